//! `schemas/<Type>/<version>.json`, each compiled once.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::super::cache::Changed;
use super::super::document::Document;
use super::super::locate::{NodePath, Target, span};
use super::super::tree::given_twice_in_json;
use super::Context;
use crate::diagnostic::{Diagnostic, Span, did_you_mean, rules};
use crate::schema::Schema;

pub struct Schemas {
    directory: PathBuf,
    /// Problems are told wherever it is used: once in the end, for they are the same.
    compiled: HashMap<(String, u32), Compiled>,
}

struct Compiled {
    file: PathBuf,
    schema: Result<Arc<Schema>, Vec<Diagnostic>>,
}

impl Schemas {
    pub fn new(directory: &Path) -> Self {
        Self { directory: directory.to_owned(), compiled: HashMap::new() }
    }

    /// The schema of a version; that there is none is told at the place that asks for it, `path`, or at the name of the
    /// event in `base` if that looks misspelt.
    pub fn get(
        &mut self,
        context: &mut Context<'_>,
        event: &str,
        version: u32,
        document: &Document,
        base: &NodePath,
        path: &NodePath,
    ) -> Option<Arc<Schema>> {
        let file = self.directory.join(event).join(format!("{version}.json"));
        let (name, text) = match context.files.read(&file) {
            Ok(found) => found,
            Err(refused) if refused.absent => {
                let types = self.types(context);
                let (message, at, help) = match did_you_mean(event, types.iter().map(String::as_str)) {
                    // Once for all its versions.
                    Some(meant) if !types.iter().any(|known| known == event) => {
                        let message = format!("no version of `{event}` has a schema");
                        (message, document.at(&base.key("event")), format!("did you mean `{meant}`?"))
                    }
                    _ => {
                        let help = self.what_to_write(context, event, &file);
                        (format!("`{event}` {version} has no schema"), document.at(path), help)
                    }
                };
                context.push(Diagnostic::new(&rules::NO_SCHEMA, message).at(at).help(help));
                return None;
            }
            Err(refused) => {
                context.refused(&file.to_string_lossy(), &refused);
                return None;
            }
        };
        let key = (event.to_owned(), version);
        let compiled = self.compiled.entry(key);
        let compiled = compiled.or_insert_with(|| Compiled { file, schema: compile(&name, &text).map(Arc::new) });
        context.take(&compiled.schema)
    }

    /// Whatever was made of files that may have changed is made again.
    pub fn forget(&mut self, changed: &Changed) {
        self.compiled.retain(|_, compiled| !changed.concerns(&compiled.file));
    }

    /// Every type that has a directory.
    pub fn types(&self, context: &mut Context<'_>) -> Vec<String> {
        context.files.directories(&self.directory)
    }

    fn what_to_write(&self, context: &mut Context<'_>, event: &str, file: &Path) -> String {
        let listed = context.files.listing(&self.directory.join(event));
        let mut versions: Vec<u32> =
            listed.iter().filter_map(|name| name.strip_suffix(".json")?.parse().ok()).collect();
        versions.sort_unstable();
        let versions: Vec<String> = versions.iter().map(u32::to_string).collect();
        match versions.as_slice() {
            [] => format!("write `{}`", file.display()),
            _ => format!("write `{}`; the versions there are {}", file.display(), versions.join(", ")),
        }
    }
}

fn compile(name: &str, text: &str) -> Result<Schema, Vec<Diagnostic>> {
    let value = serde_json::from_str(text).map_err(|error| {
        let why = if text.trim().is_empty() {
            "the file is empty".to_owned()
        } else {
            format!("not valid JSON: {}", cause(&error))
        };
        // Columns are counted in bytes there, and the last is that of the slip.
        let line = text.split('\n').nth(error.line().saturating_sub(1)).unwrap_or_default();
        let before = line.char_indices().take_while(|(at, _)| at + 1 < error.column()).count();
        let at = Span::on_line(name, error.line(), before + 1, line.chars().count().saturating_sub(before).min(1));
        vec![Diagnostic::new(&rules::BAD_SCHEMA, why).at(at)]
    })?;
    let twice = given_twice_in_json(name, text);
    if !twice.is_empty() {
        return Err(twice);
    }
    Schema::compile(&value).map_err(|error| {
        let at = span(name, text, &NodePath::from_pointer(&error.path), Target::Value);
        let rule = if error.reference { &rules::BROKEN_REF } else { &rules::BAD_SCHEMA };
        vec![Diagnostic::new(rule, error.message).at(at)]
    })
}

/// Serde's message without the place, which the frame shows.
fn cause(error: &serde_json::Error) -> String {
    let message = error.to_string();
    message.split(" at line ").next().unwrap_or_default().to_owned()
}
