//! A document as its readers and its tests see it: blocks with what is to be done with them, tables, words in backticks.

use std::fs;
use std::path::{Path, PathBuf};

use crate::cli::sandbox::Sandbox;

pub struct Document {
    pub name: String,
    pub text: String,
}

pub struct Block<'d> {
    pub language: &'d str,
    pub attributes: Vec<&'d str>,
    pub text: String,
    /// For messages.
    pub place: String,
}

impl Document {
    pub fn read(name: &str) -> Self {
        Self { name: name.to_owned(), text: fs::read_to_string(root().join(name)).unwrap() }
    }

    pub fn all() -> Vec<Self> {
        let (mut folders, mut names) = (vec!["docs".to_owned()], vec!["README.md".to_owned()]);
        while let Some(folder) = folders.pop() {
            for entry in fs::read_dir(root().join(&folder)).unwrap() {
                let entry = entry.unwrap();
                let name = format!("{folder}/{}", entry.file_name().into_string().unwrap());
                if entry.file_type().unwrap().is_dir() {
                    folders.push(name);
                } else if name.ends_with(".md") {
                    names.push(name);
                }
            }
        }
        names.sort();
        names.iter().map(|name| Self::read(name)).collect()
    }

    pub fn blocks(&self) -> Vec<Block<'_>> {
        let mut blocks = Vec::new();
        let mut lines = self.text.lines().enumerate();
        while let Some((at, line)) = lines.next() {
            let Some(info) = line.strip_prefix("```") else { continue };
            let mut words = info.split_whitespace();
            let language = words.next().unwrap_or_default();
            let inside = lines.by_ref().map(|(_, line)| line).take_while(|line| *line != "```");
            let text = inside.fold(String::new(), |text, line| text + line + "\n");
            blocks.push(Block {
                language,
                attributes: words.collect(),
                text,
                place: format!("{}:{}", self.name, at + 1),
            });
        }
        blocks
    }

    /// From a heading to the next one; what stands before becomes empty lines, so that places stay right.
    pub fn section(&self, heading: &str) -> Self {
        let (before, below) = self.text.split_once(&format!("\n{heading}\n")).expect(heading);
        let section = below.split("\n## ").next().unwrap();
        Self { name: self.name.clone(), text: "\n".repeat(before.lines().count() + 1) + section }
    }

    /// Rows of every table below a heading, cell by cell.
    pub fn rows(&self, heading: &str) -> Vec<Vec<&str>> {
        let below = self.text.split_once(&format!("\n{heading}\n")).expect(heading).1;
        let section = below.split("\n## ").next().unwrap();
        let rows = section.lines().filter(|line| line.starts_with('|') && !line.starts_with("|---"));
        rows.map(|row| row.trim_matches('|').split('|').map(str::trim).collect()).collect()
    }
}

impl Block<'_> {
    pub fn files(&self) -> impl Iterator<Item = &str> {
        self.attributes.iter().filter_map(|attribute| attribute.strip_prefix("file="))
    }

    /// The file that this replaces where there are servers.
    pub fn file_on_servers(&self) -> Option<&str> {
        self.attributes.iter().find_map(|attribute| attribute.strip_prefix("servers="))
    }
}

pub fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).to_owned()
}

/// What stands between backticks.
pub fn quoted(text: &str) -> impl Iterator<Item = &str> {
    text.split('`').skip(1).step_by(2)
}

/// The project that a document writes.
pub fn project(document: &Document, sandbox: Sandbox) -> Sandbox {
    let blocks = document.blocks();
    let files = blocks.iter().flat_map(|block| block.files().map(move |file| (file, &block.text)));
    files.fold(sandbox, |sandbox, (file, text)| sandbox.file(file, text))
}
