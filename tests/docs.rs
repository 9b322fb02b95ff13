//! What the documents say is run, compiled, or looked up: README.md and docs/.
//!
//! A block says after its language what is to be done with it: `yaml file=…` is a file of the document's project,
//! `sh exit=1` ends with that code, `sh not-run` is for systems that tests do not have, `text output` is what the
//! block before it prints, `…` standing for anything.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use sluicegate::script::{Engine, Kind, Source};
use sluicegate::spec;
use sluicegate::spec::program::Limits;

use crate::cli::sandbox::{Done, Sandbox};
use crate::support::servers::{NatsServer, RedisServer};

const SOON: Duration = Duration::from_secs(30);

struct Document {
    name: String,
    text: String,
}

struct Block<'d> {
    language: &'d str,
    attributes: Vec<&'d str>,
    text: String,
    /// For messages.
    place: String,
}

impl Document {
    fn read(name: &str) -> Self {
        Self { name: name.to_owned(), text: fs::read_to_string(root().join(name)).unwrap() }
    }

    fn all() -> Vec<Self> {
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

    fn blocks(&self) -> Vec<Block<'_>> {
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

    /// Rows of every table below a heading, cell by cell.
    fn rows(&self, heading: &str) -> Vec<Vec<&str>> {
        let below = self.text.split_once(&format!("\n{heading}\n")).expect(heading).1;
        let section = below.split("\n## ").next().unwrap();
        let rows = section.lines().filter(|line| line.starts_with('|') && !line.starts_with("|---"));
        rows.map(|row| row.trim_matches('|').split('|').map(str::trim).collect()).collect()
    }
}

impl Block<'_> {
    fn files(&self) -> impl Iterator<Item = &str> {
        self.attributes.iter().filter_map(|attribute| attribute.strip_prefix("file="))
    }
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).to_owned()
}

/// What stands between backticks.
fn quoted(text: &str) -> impl Iterator<Item = &str> {
    text.split('`').skip(1).step_by(2)
}

/// The project that a document writes.
fn project(document: &Document, sandbox: Sandbox) -> Sandbox {
    let blocks = document.blocks();
    let files = blocks.iter().flat_map(|block| block.files().map(move |file| (file, &block.text)));
    files.fold(sandbox, |sandbox, (file, text)| sandbox.file(file, text))
}

#[test]
fn every_block_says_what_is_to_be_done_with_it() {
    for document in Document::all() {
        for Block { language, attributes, place, .. } in document.blocks() {
            let known = match language {
                "yaml" | "json" => {
                    !attributes.is_empty()
                        && attributes.iter().all(|a| a.starts_with("file=") || a.starts_with("servers="))
                }
                "rhai" => attributes.iter().all(|a| a.starts_with("file=") || ["filter", "upcaster"].contains(a)),
                "sh" => {
                    let known = ["first", "servers", "run", "exit=1", "test", "project", "sim", "not-run"];
                    attributes.iter().all(|a| known.contains(a))
                }
                "text" => attributes.iter().all(|a| ["output", "balance"].contains(a)),
                _ => false,
            };
            assert!(known, "{place}: {language} {attributes:?}");
        }
    }
}

#[test]
fn scripts_compile() {
    let engine = Engine::new(Limits::default(), &root());
    for document in Document::all() {
        for block in document.blocks().iter().filter(|block| block.language == "rhai" && block.files().count() == 0) {
            let kind = match block.attributes.as_slice() {
                ["filter"] => Kind::Filter,
                ["upcaster"] => Kind::Upcaster,
                _ => Kind::Handler,
            };
            let text = block.text.trim_end();
            let compiled = engine.compile(kind, &Source { file: "doc.rhai", text, line_offset: 0 });
            compiled.unwrap_or_else(|problems| panic!("{}: {problems:?}", block.place));
        }
    }
}

#[test]
fn the_project_that_shows_every_key_loads() {
    let sandbox = Sandbox::empty().file("pipelines/up.rhai", "data = event.data;").file("pipelines/created.rhai", "");
    let schemas = ["OrderCreated/1", "OrderCreated/2", "OrderShipped/1", "ShipmentTracked/1"];
    let sandbox = schemas.iter().fold(sandbox, |sandbox, name| sandbox.file(&format!("schemas/{name}.json"), "{}"));
    let sandbox = project(&Document::read("docs/configuration.md"), sandbox);
    let loaded = spec::load_without_environment(sandbox.path());
    assert!(loaded.program.is_some() && loaded.diagnostics.is_empty(), "{:#?}", loaded.diagnostics);
}

#[test]
fn the_project_that_operators_are_shown_loads() {
    let sandbox = project(&Document::read("docs/operate/README.md"), Sandbox::small("{}"));
    let loaded = spec::load_without_environment(sandbox.path());
    assert!(loaded.program.is_some() && loaded.diagnostics.is_empty(), "{:#?}", loaded.diagnostics);
}

#[test]
fn the_first_pipeline_of_the_readme_handles_its_first_event() {
    let readme = Document::read("README.md");
    let sandbox = project(&readme, Sandbox::empty());
    let blocks = readme.blocks();
    let mut blocks = blocks.iter().filter(|block| block.attributes == ["project"]);
    let done = Done::of(sandbox.shell(&blocks.next().unwrap().text).output().unwrap()).expect(0);
    assert!(done.stdout.lines().any(|line| line.starts_with("welcome: received 1 = done 1 + ")), "{}", done.stdout);
}

#[test]
fn the_webhooks_of_the_document_end_as_it_says() {
    let envelopes = Document::read("docs/envelopes.md");
    let sandbox = project(&envelopes, Sandbox::empty());
    let blocks = envelopes.blocks();
    let running = sandbox.run(&[]);
    let commands: Vec<_> = blocks.iter().zip(&blocks[1..]).filter(|(block, _)| block.language == "sh").collect();
    assert_eq!(commands.len(), 2);
    for (block, output) in commands {
        assert_eq!((&block.attributes[..], &output.attributes[..]), (&["project"][..], &["output"][..]));
        let done = Done::of(sandbox.shell(&block.text).output().unwrap()).expect(0);
        let missing = missing(&output.text, &done.stdout);
        assert!(missing.is_empty(), "{}: not said: {missing:#?}\n{}", block.place, done.stdout);
        running.until("all three are handled", |_| {
            let status = sandbox.sluice(&["status", "--format", "json"]).expect(0).json();
            status["pipelines"][0]["inputs"][0]["position"] == 3
        });
    }
    let balance = blocks.iter().find(|block| block.attributes == ["balance"]).unwrap();
    assert_eq!(running.terminated().expect(0).stdout, balance.text);
}

#[test]
fn the_first_command_of_the_readme_shows_every_outcome() {
    let readme = Document::read("README.md");
    let blocks = readme.blocks();
    let at = blocks.iter().position(|block| block.attributes == ["first"]).unwrap();
    let sandbox = Sandbox::sample_alone();
    let done = Done::of(sandbox.shell(&blocks[at].text).output().unwrap()).expect(0);
    let missing = missing(&blocks[at + 1].text, &done.stdout);
    assert!(missing.is_empty(), "not said: {missing:#?}\n{}", done.stdout);
    assert_eq!(done.stdout.lines().count(), blocks[at + 1].text.lines().count(), "{}", done.stdout);
    let again = Done::of(sandbox.shell(&blocks[at].text).output().unwrap()).expect(0);
    assert!(again.stdout.contains("received 10 = done 0 + skipped 0 + duplicate 9 + parked 0 + dead 0 + ignored 1"));
}

#[test]
fn the_commands_of_the_readme_do_what_it_says() {
    let (nats, redis) = (NatsServer::start(), RedisServer::start());
    let readme = Document::read("README.md");
    let blocks = readme.blocks();
    let sandbox = Sandbox::sample(&nats, &redis);
    let mut running = None;
    let servers = blocks.iter().position(|block| block.attributes == ["servers=sluice.yaml"]).unwrap();
    for (at, block) in blocks.iter().enumerate().skip(servers).filter(|(_, block)| block.language == "sh") {
        let output = blocks.get(at + 1).filter(|next| next.attributes == ["output"]).map(|next| next.text.as_str());
        match block.attributes.as_slice() {
            ["run"] => {
                let run = Background::start(&sandbox, block.text.trim());
                run.until_it_says(output.unwrap());
                running = Some(run);
            }
            [] | ["exit=1"] => {
                let code = block.attributes.len().try_into().unwrap();
                let start = Instant::now();
                // Events take their time; asking again does no harm.
                let again = code == 0;
                loop {
                    let done = Done::of(sandbox.shell(&block.text).output().unwrap()).expect(code);
                    let missing = missing(output.unwrap_or_default(), &format!("{}{}", done.stderr, done.stdout));
                    if missing.is_empty() {
                        break;
                    }
                    assert!(again && start.elapsed() < SOON, "{}: not said: {missing:#?}", block.place);
                }
            }
            _ => {}
        }
    }
    let balance = blocks.iter().find(|block| block.attributes == ["balance"]).unwrap();
    assert_eq!(running.unwrap().interrupted(), balance.text);
}

/// Lines that are promised and not said.
fn missing(promised: &str, said: &str) -> Vec<String> {
    let anywhere = promised.replace(":7474", ":…").replace(":6379", ":…");
    let is_said = |line: &&str| !said.lines().any(|said| matches(said, line));
    anywhere.lines().filter(is_said).map(str::to_owned).collect()
}

/// Whether the parts between the dots stand in the line, in order, the last one at its end.
fn matches(said: &str, promised: &str) -> bool {
    let mut rest = said;
    let parts: Vec<&str> = promised.split('…').collect();
    for part in &parts {
        let Some(at) = rest.find(part) else { return false };
        rest = &rest[at + part.len()..];
    }
    rest.is_empty() || parts.last() == Some(&"")
}

/// `sluice run` as a person sees it.
struct Background {
    child: std::process::Child,
    log: PathBuf,
}

impl Background {
    fn start(sandbox: &Sandbox, command: &str) -> Self {
        assert_eq!(command, "cargo run -- run");
        let log = sandbox.path().join("run.log");
        let mut shell = sandbox.shell("exec sluice run --log-format human");
        shell.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(fs::File::create(&log).unwrap());
        Self { child: shell.spawn().unwrap(), log }
    }

    fn until_it_says(&self, promised: &str) {
        let start = Instant::now();
        loop {
            let said = fs::read_to_string(&self.log).unwrap();
            let missing = missing(promised, &said);
            if missing.is_empty() {
                return;
            }
            assert!(start.elapsed() < SOON, "not said: {missing:#?}\n{said}");
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    /// Ctrl-C, and what it prints then.
    fn interrupted(mut self) -> String {
        kill_process(Pid::from_child(&self.child), Signal::INT).unwrap();
        let start = Instant::now();
        while self.child.try_wait().unwrap().is_none() {
            assert!(start.elapsed() < SOON, "it does not end");
            std::thread::sleep(Duration::from_millis(10));
        }
        let mut stdout = self.child.stdout.take().unwrap();
        std::io::read_to_string(&mut stdout).unwrap()
    }
}

impl Drop for Background {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[test]
fn the_metrics_that_are_told_are_those_there_are() {
    let (_sandbox, running) = Sandbox::small("{ listen: '127.0.0.1:0' }").run_kept();
    running.until_ready();
    let (_, scraped) = running.get("/metrics", &[]);
    let samples = scraped.lines().filter(|line| !line.starts_with('#'));
    let there: BTreeSet<&str> = samples.filter_map(|line| line.split(['{', ' ']).next()).collect();
    let operations = Document::read("docs/operations.md");
    let rows = operations.rows("## Health and metrics");
    let told: BTreeSet<&str> =
        rows.iter().flat_map(|row| quoted(row[0])).filter(|name| name.starts_with("sluice_")).collect();
    assert_eq!(told, there);
}

/// Text of every source file, tests included.
fn source() -> String {
    let (mut folders, mut text) = (vec![root().join("src"), root().join("tests")], String::new());
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs" || extension == "lua") {
                text += &fs::read_to_string(&path).unwrap();
            }
        }
    }
    text
}

#[test]
fn the_log_lines_that_are_explained_are_those_there_are() {
    let (operations, source) = (Document::read("docs/operations.md"), source());
    let rows = operations.rows("## What the log says");
    assert!(rows.len() > 5);
    for line in rows.iter().skip(1).flat_map(|row| quoted(row[0])) {
        for part in line.split('…') {
            assert!(source.contains(part), "nothing logs `{line}`");
        }
    }
}

/// Tests, files and functions that a document names are there.
#[test]
fn what_the_documents_name_exists() {
    let source = source();
    for document in Document::all() {
        // Blocks have backticks of their own.
        let prose: Vec<&str> = document.text.split("```").step_by(2).collect();
        for name in prose.iter().flat_map(|prose| quoted(prose)) {
            let is_path =
                name.contains('/') && ["src/", "tests/", "docs/", "pipelines/"].iter().any(|p| name.starts_with(p));
            if is_path && !name.contains(['*', '<']) {
                assert!(root().join(name).exists(), "{}: there is no `{name}`", document.name);
            }
            let is_test = !name.starts_with("sluice_")
                && name.matches('_').count() >= 3
                && name.bytes().all(|b| b.is_ascii_lowercase() || b == b'_');
            if is_test {
                let there = source.contains(&format!("fn {name}(")) || source.contains(&format!("\"{name}\""));
                assert!(there, "{}: there is no test `{name}`", document.name);
            }
        }
        for link in prose.iter().flat_map(|prose| prose.split("](").skip(1)) {
            let target = link.split([')', '#']).next().unwrap();
            let folder = root().join(&document.name).parent().unwrap().to_owned();
            assert!(target.starts_with("http") || folder.join(target).exists(), "{}: {target}", document.name);
        }
    }
}
