//! Every statement finds its rows by an index: a table that was small when it was written will not stay so.

use std::fs;
use std::path::Path;

use super::*;
use crate::clock::SystemClock;

/// Read once, at the start.
const SCANNED: [&str; 1] = ["SELECT count(*) FROM sqlite_schema"];
/// Rows are put in order only where there are few: one for each pipeline that reads a stream.
const SORTED: [&str; 1] = ["SELECT pipeline, floor FROM consumers"];

/// The statements in the sources of a directory, as SQLite gets them.
fn statements(directory: &Path) -> Vec<String> {
    let mut found = Vec::new();
    for entry in fs::read_dir(directory).expect("sources") {
        let path = entry.expect("a file").path();
        let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default().to_owned();
        if path.is_dir() || !name.ends_with(".rs") || ["tests.rs", "plans.rs"].contains(&name.as_str()) {
            continue;
        }
        let source = fs::read_to_string(&path).expect("a source");
        // Every other piece between quotes is a text: none of these sources holds an escaped quote.
        for text in source.split('"').skip(1).step_by(2) {
            if !["SELECT ", "UPDATE ", "DELETE ", "INSERT "].iter().any(|verb| text.starts_with(verb)) {
                continue;
            }
            let joined = text.split("\\\n").map(str::trim_start).collect::<String>();
            let variants = match joined.contains("{open}") {
                true => vec![joined.replace("{open}", ""), joined.replace("{open}", "AND open = 1")],
                false => vec![joined],
            };
            found.extend(variants);
        }
    }
    found
}

fn plan(connection: &Connection, statement: &str) -> Vec<String> {
    let mut plan = connection
        .prepare(&format!("EXPLAIN QUERY PLAN {statement}"))
        .unwrap_or_else(|error| panic!("{statement}: {error}"));
    // Of parameters the plan does not depend: they stay unbound.
    let mut rows = plan.raw_query();
    let mut steps = Vec::new();
    while let Some(row) = rows.next().expect("a step") {
        steps.push(row.get(3).expect("a text"));
    }
    steps
}

#[test]
fn every_statement_uses_an_index() {
    let sources = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let all: Vec<String> = ["database", "store/embedded", "bus/local"]
        .iter()
        .flat_map(|directory| statements(&sources.join(directory)))
        .collect();
    assert!(all.len() > 50, "{} statements were found", all.len());
    let directory = tempfile::tempdir().expect("a directory");
    let _made = Database::open(directory.path(), Access::Beside, &SystemClock).expect("opens");
    let connection = opening::reader(&directory.path().join(opening::FILE)).expect("reads");
    let mut wrong = Vec::new();
    for statement in &all {
        for step in plan(&connection, statement) {
            let scans = step.starts_with("SCAN") && !SCANNED.iter().any(|known| statement.starts_with(known));
            let sorts = step.contains("TEMP B-TREE") && !SORTED.iter().any(|known| statement.starts_with(known));
            if scans || sorts {
                wrong.push(format!("{step}: {statement}"));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
