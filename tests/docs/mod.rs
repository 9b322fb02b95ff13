//! What the documents say is run, compiled, or looked up: README.md and docs/.
//!
//! A block says after its language what is to be done with it: `yaml file=…` is a file of the document's project, `yaml
//! servers=…` one that takes its place where there are servers, `sh exit=1` ends with that code, `sh on-servers` wants
//! servers, `sh not-run` is for systems that tests do not have, `text output` is what the block before it prints, `…`
//! standing for anything. In docs/rules, `lint::tests` plays the examples; `text output run` is of `sluice run` there.

mod document;
mod readme;
mod walk;

use std::collections::BTreeSet;
use std::fs;

use document::{Block, Document, project, quoted, root};
use readme::missing;
use sluicegate::script::{Engine, Kind, Source};
use sluicegate::spec;
use sluicegate::spec::program::Limits;

use crate::cli::sandbox::{Done, Sandbox};

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
                    let known =
                        ["first", "servers", "run", "exit=1", "test", "project", "on-servers", "sim", "not-run"];
                    attributes.iter().all(|a| known.contains(a))
                }
                "text" => attributes.iter().all(|a| ["output", "balance", "run"].contains(a)),
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
    let loaded = spec::load_with_scenarios(sandbox.path(), None);
    assert!(loaded.program.is_some() && loaded.diagnostics.is_empty(), "{:#?}", loaded.diagnostics);
}

#[test]
fn the_project_that_operators_are_shown_loads() {
    let sandbox = project(&Document::read("docs/operate/README.md"), Sandbox::small("{}"));
    let loaded = spec::load_without_environment(sandbox.path());
    assert!(loaded.program.is_some() && loaded.diagnostics.is_empty(), "{:#?}", loaded.diagnostics);
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

#[test]
fn the_workloads_that_are_told_are_those_that_are_measured() {
    let performance = Document::read("docs/performance.md");
    let told = performance.rows("## Workloads");
    let told: BTreeSet<&str> = told.iter().flat_map(|row| quoted(row[0])).collect();
    let source = fs::read_to_string(root().join("benches/compare/workload.rs")).unwrap();
    let names = source.split("name: \"").skip(1).filter_map(|rest| rest.split('"').next());
    assert_eq!(told, names.collect());
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
    // A literal may go on in the next line of the source.
    let source: String = source().split("\\\n").map(str::trim_start).collect();
    let (operations, guarantee) = (Document::read("docs/operations.md"), Document::read("docs/guarantee.md"));
    let told = operations.rows("## What the log says");
    let seen = guarantee.rows("## When something fails");
    assert!(told.len() > 5 && seen.len() > 5);
    let told = told.iter().skip(1).flat_map(|row| row[..2].iter().flat_map(|cell| quoted(cell)));
    let seen = seen.iter().filter(|row| row.len() == 4).flat_map(|row| quoted(row[2]));
    for line in told.chain(seen).filter(|line| line.contains(' ') && !line.starts_with("sluice ")) {
        for part in line.split('…') {
            assert!(source.contains(part), "nothing says `{line}`");
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
            let is_written = document.blocks().iter().any(|block| block.files().any(|file| file == name));
            if is_path && !is_written && !name.contains(['*', '<']) {
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
            let link = link.split(')').next().unwrap();
            if link.starts_with("http") {
                continue;
            }
            let (target, place) = link.split_once('#').unwrap_or((link, ""));
            let path = match target {
                "" => root().join(&document.name),
                target => root().join(&document.name).parent().unwrap().join(target),
            };
            assert!(path.exists(), "{}: {link}", document.name);
            if !place.is_empty() {
                let text = fs::read_to_string(&path).unwrap();
                let mut headings = text.lines().filter(|line| line.starts_with('#'));
                assert!(headings.any(|heading| anchor(heading) == place), "{}: {link}", document.name);
            }
        }
    }
}

/// What a heading is called in links.
fn anchor(heading: &str) -> String {
    let words = heading.trim_start_matches('#').trim().to_lowercase().replace(' ', "-");
    words.chars().filter(|c| c.is_alphanumeric() || matches!(c, '-' | '_')).collect()
}
