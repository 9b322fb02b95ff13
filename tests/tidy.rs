//! What is true of the source as a whole, where neither the compiler nor clippy can see it.

use std::fs;
use std::path::{Path, PathBuf};

struct Source {
    /// Relative to `src/`, with slashes.
    path: String,
    text: String,
}

impl Source {
    /// Lines of code with their numbers: no comments, no test modules at the end of a file.
    fn code(&self) -> impl Iterator<Item = (usize, &str)> {
        let shown = self.text.lines().take_while(|line| *line != "#[cfg(test)]");
        shown.enumerate().map(|(at, line)| (at + 1, line.split("//").next().unwrap_or(line)))
    }

    fn module(&self) -> &str {
        self.path.split(['/', '.']).next().unwrap()
    }
}

fn sources() -> Vec<Source> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let (mut folders, mut found) = (vec![root.clone()], Vec::new());
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path: PathBuf = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                let text = fs::read_to_string(&path).unwrap();
                found.push(Source { path: path.strip_prefix(&root).unwrap().display().to_string(), text });
            }
        }
    }
    assert!(found.len() > 50, "the source is not where it was");
    found.sort_by(|a, b| a.path.cmp(&b.path));
    found
}

/// Whether the code names a crate: `redis::`, `::redis::` or `use redis;`, but not `super::redis::`.
fn names_crate(code: &str, name: &str) -> bool {
    let is_word = |c: char| c.is_alphanumeric() || c == '_';
    code.match_indices(name).any(|(at, _)| {
        let (before, after) = (&code[..at], &code[at + name.len()..]);
        let global = before.strip_suffix("::").map(|before| !before.ends_with(is_word));
        let begins = global.unwrap_or(!before.ends_with(|c: char| is_word(c) || c == '"'));
        let used = after.starts_with("::") || before.trim_end().ends_with("use") && after.starts_with(';');
        begins && used
    })
}

#[track_caller]
fn none(what: &str, found: Vec<String>) {
    assert!(found.is_empty(), "{what}:\n{}", found.join("\n"));
}

#[test]
fn each_outside_world_has_one_importer() {
    let owners = [
        ("async_nats", "bus/nats/"),
        ("redis", "store/redis/"),
        ("rusqlite", "database/"),
        ("rhai", "script/"),
        ("jsonschema", "schema/"),
        ("serde_yaml", "spec/"),
        ("schemars", "spec/"),
        ("clap_complete", "cli/"),
        ("clap_mangen", "cli/"),
        ("notify", "cli/lint/"),
        ("axum", "admin/"),
        ("prometheus_client", "admin/"),
        ("annotate_snippets", "diagnostic/"),
    ];
    let mut found = Vec::new();
    for source in &sources() {
        for (line, code) in source.code() {
            for (name, _) in owners.iter().filter(|(_, owner)| !source.path.starts_with(owner)) {
                if names_crate(code, name) {
                    found.push(format!("src/{}:{line}: `{name}`", source.path));
                }
            }
        }
    }
    none("a crate is used outside of the module that owns it", found);
}

#[test]
fn modules_use_only_those_below_them() {
    let below: &[(&str, &[&str])] = &[
        ("event", &[]),
        ("clock", &["event"]),
        ("diagnostic", &[]),
        ("schema", &[]),
        ("script", &["event", "diagnostic", "spec::program"]),
        ("spec", &["event", "diagnostic", "schema", "script"]),
        ("lint", &["diagnostic", "event", "schema", "script", "spec"]),
        ("database", &["clock"]),
        ("bus", &["event", "clock", "spec::program", "database", "mutant"]),
        // What a store keeps tells of violations and places; `spec` says which store.
        ("store", &["event", "clock", "spec::program", "schema::Violation", "script::Place", "database", "mutant"]),
        ("flow", &["event", "clock", "spec::program", "schema", "script", "bus", "store", "mutant"]),
        ("ops", &["event", "clock", "spec", "schema", "script", "database", "bus", "store", "flow", "diagnostic"]),
        ("admin", &["flow", "spec::program"]),
        ("telemetry", &[]),
        ("mutant", &[]),
    ];
    let mut found = Vec::new();
    for source in &sources() {
        let Some((module, allowed)) = below.iter().find(|(module, _)| *module == source.module()) else {
            assert!(["lib", "main", "cli", "testkit"].contains(&source.module()), "say what `{}` is on", source.path);
            continue;
        };
        if source.path.contains("/tests") || source.path.starts_with("flow/chaos/") {
            continue;
        }
        for (line, code) in source.code() {
            for used in code.split("crate::").skip(1) {
                let fine =
                    |name: &&str| used.strip_prefix(name).is_some_and(|rest| !rest.starts_with(char::is_alphanumeric));
                if !fine(module) && !allowed.iter().any(fine) {
                    found.push(format!("src/{}:{line}: `{module}` uses `crate::{used}`", source.path));
                }
            }
        }
    }
    none("a module uses one that is not below it", found);
}

/// The flow knows brokers and stores by their traits.
#[test]
fn the_flow_names_no_broker_and_no_store() {
    let mut found = Vec::new();
    for source in sources().iter().filter(|s| s.path.starts_with("flow/") && !s.path.starts_with("flow/chaos/")) {
        for (line, code) in source.code() {
            if ["bus::nats", "bus::local", "bus::memory", "store::redis", "store::embedded", "store::memory"]
                .iter()
                .any(|name| code.contains(name))
            {
                found.push(format!("src/{}:{line}", source.path));
            }
        }
    }
    none("the flow names an implementation", found);
}

#[test]
fn loading_and_scripts_touch_no_network() {
    let worlds = ["tokio::net", "TcpStream", "TcpListener", "UdpSocket", "ToSocketAddrs", "UnixStream"];
    let mut found = Vec::new();
    for source in sources().iter().filter(|s| ["spec", "schema", "script", "lint", "diagnostic"].contains(&s.module()))
    {
        for (line, code) in source.code() {
            if worlds.iter().any(|world| code.contains(world)) {
                found.push(format!("src/{}:{line}", source.path));
            }
        }
    }
    none("a module that must not knows the network", found);
}

/// An ack takes a receipt, and only what holds a delivery until its outcome is committed makes one.
#[test]
fn receipts_are_made_in_one_place() {
    let mut makers = Vec::new();
    for source in sources().iter().filter(|source| source.module() != "testkit") {
        if source.code().any(|(_, code)| code.contains("Receipt::new")) {
            makers.push(source.path.clone());
        }
    }
    assert_eq!(makers, ["flow/held.rs"]);
}

#[test]
fn files_are_short_enough_to_read() {
    let long = |source: &Source| {
        let lines = source.text.lines().count();
        (lines > 500).then(|| format!("src/{}: {lines} lines, split it", source.path))
    };
    none("files above 500 lines", sources().iter().filter_map(long).collect());
}

#[test]
fn nothing_is_left_for_later() {
    let marks = ["TODO", "FIXME", "XXX", "todo!", "unimplemented!"];
    let mut found = Vec::new();
    for source in &sources() {
        for (at, line) in source.text.lines().enumerate() {
            if marks.iter().any(|mark| line.contains(mark)) {
                found.push(format!("src/{}:{}", source.path, at + 1));
            }
        }
    }
    none("something is left for later", found);
}

#[test]
fn crates_are_told_from_modules_of_the_same_name() {
    for crate_named in
        ["use redis::Value;", "use ::redis::Value;", "let x: redis::Value;", "use redis;", "(redis::cmd(x))"]
    {
        assert!(names_crate(crate_named, "redis"), "{crate_named}");
    }
    for other in ["use super::redis::{A};", "pub mod redis;", "crate::store::redis::A", "credis::x", "\"redis://\""] {
        assert!(!names_crate(other, "redis"), "{other}");
    }
}
