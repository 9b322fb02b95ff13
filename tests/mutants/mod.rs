//! Lint's own test: five hundred slips, one at a time, in a project that is sound. What lint says nothing of must run its
//! scenarios as before; what is neither is a survivor, and of a class that is known and has a reason.
//!
//! ```text
//! project ─▶ edit(seed) ─▶ lint ─▶ found, by which rule
//!                           └─▶ scenarios ─▶ as before
//!                                    └─▶ survivor ─▶ its class
//! ```

mod edits;
mod survivors;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::sync::{Arc, Mutex};

use edits::{Edit, Kind, Project};
use sluicegate::diagnostic::render;
use sluicegate::lint::judge;
use sluicegate::spec;
use sluicegate::testkit::scenario::{self, Settings};
use survivors::CLASSES;

const SLIPS: usize = 500;
const DOCUMENT: &str = "docs/architecture.md";

#[derive(Debug)]
enum Outcome {
    /// By this rule, the hardest of all that were found.
    Found(&'static str),
    AsBefore,
    /// How many of its scenarios were played, and how many of them hold.
    Otherwise {
        played: usize,
        hold: usize,
    },
}

fn repository() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

fn sound() -> Project {
    let root = repository().join("tests/mutants/project");
    let (mut folders, mut project) = (vec![root.clone()], Project::new());
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else {
                let name = path.strip_prefix(&root).unwrap().to_str().unwrap().to_owned();
                project.insert(name, fs::read_to_string(&path).unwrap());
            }
        }
    }
    project
}

fn write(directory: &Path, file: &str, text: &str) {
    let path = directory.join(file);
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, text).unwrap();
}

fn written(project: &Project) -> tempfile::TempDir {
    let directory = tempfile::tempdir().unwrap();
    project.iter().for_each(|(file, text)| write(directory.path(), file, text));
    directory
}

/// `scenarios`: how many there are while nothing is edited.
fn outcome(directory: &Path, scenarios: usize) -> Outcome {
    let loaded = judge(spec::load_for_lint(directory, &|_| false));
    if let Some(hardest) = loaded.diagnostics.iter().rev().max_by_key(|diagnostic| diagnostic.level) {
        return Outcome::Found(hardest.rule);
    }
    let program = Arc::new(loaded.program.expect("a project without a finding is built"));
    let settings = Settings { seed: None, threads: 1, progress: &|_, _| {} };
    let (mut played, mut hold) = (0, 0);
    for file in &loaded.scenarios {
        for scenario in &file.scenarios {
            let report = scenario::test(&program, file, scenario, &settings).unwrap();
            played += 1;
            hold += usize::from(report.failure.is_none());
        }
    }
    if (played, hold) == (scenarios, scenarios) { Outcome::AsBefore } else { Outcome::Otherwise { played, hold } }
}

/// Slips by their seeds, each once.
fn drawn(project: &Project) -> Vec<(u64, Edit)> {
    let mut seen = BTreeSet::new();
    let edits = (0..).map(|seed| (seed, edits::edit(project, seed)));
    edits.filter(|(_, edit)| seen.insert((edit.file.clone(), edit.text.clone()))).take(SLIPS).collect()
}

/// What becomes of each, in their order.
fn outcomes(project: &Project, slips: &[(u64, Edit)], scenarios: usize) -> Vec<Outcome> {
    let next = AtomicUsize::new(0);
    let done: Mutex<BTreeMap<usize, Outcome>> = Mutex::default();
    let work = || {
        let directory = written(project);
        loop {
            let at = next.fetch_add(1, Relaxed);
            let Some((_, edit)) = slips.get(at) else { return };
            match &edit.text {
                Some(text) => write(directory.path(), &edit.file, text),
                None => fs::remove_file(directory.path().join(&edit.file)).unwrap(),
            }
            let outcome = outcome(directory.path(), scenarios);
            write(directory.path(), &edit.file, &project[&edit.file]);
            done.lock().unwrap().insert(at, outcome);
        }
    };
    std::thread::scope(|scope| {
        for _ in 0..std::thread::available_parallelism().map_or(1, usize::from) {
            scope.spawn(work);
        }
    });
    done.into_inner().unwrap().into_values().collect()
}

#[test]
fn a_single_slip_is_found_or_changes_nothing_or_is_of_a_known_class() {
    let project = sound();
    let directory = written(&project);
    let loaded = judge(spec::load_for_lint(directory.path(), &|_| false));
    assert_eq!(render::human(&loaded.diagnostics, &loaded.sources, false), "", "the project is sound");
    let scenarios = loaded.scenarios.iter().map(|file| file.scenarios.len()).sum();
    assert!(matches!(outcome(directory.path(), scenarios), Outcome::AsBefore), "its scenarios hold");

    let slips = drawn(&project);
    let outcomes = outcomes(&project, &slips, scenarios);
    let mut unknown = String::new();
    let mut survivors: BTreeMap<&str, Vec<u64>> = CLASSES.iter().map(|class| (class.name, Vec::new())).collect();
    for ((seed, edit), outcome) in slips.iter().zip(&outcomes) {
        let Outcome::Otherwise { played, hold } = outcome else { continue };
        match CLASSES.iter().find(|class| (class.holds)(edit)) {
            Some(class) => survivors.entry(class.name).or_default().push(*seed),
            None => {
                let Edit { kind, file, line, before, after, .. } = edit;
                let _ = writeln!(
                    unknown,
                    "seed {seed}: {}: {file}:{line}, {hold} of {played} scenarios hold\n- {before}\n+ {after}",
                    kind.name()
                );
            }
        }
    }
    assert!(unknown.is_empty(), "lint says nothing of these, and the project does something else:\n{unknown}");
    let counted: Vec<(&str, usize)> = CLASSES.iter().map(|class| (class.name, survivors[class.name].len())).collect();
    let known: Vec<(&str, usize)> = CLASSES.iter().map(|class| (class.name, class.count)).collect();
    assert_eq!(counted, known, "a rule was lost, or one more finds what survived: {survivors:?}");
    current(&table(&slips, &outcomes));
}

/// What became of all slips, as the document shows it.
fn table(slips: &[(u64, Edit)], outcomes: &[Outcome]) -> String {
    let all = || slips.iter().map(|(_, edit)| edit).zip(outcomes);
    let mut table = "\n| slip | tried | found | runs as before | survives |\n|---|---|---|---|---|\n".to_owned();
    for kind in Kind::ALL {
        let of: Vec<&Outcome> = all().filter(|(edit, _)| edit.kind == kind).map(|(_, outcome)| outcome).collect();
        let count = |is: fn(&Outcome) -> bool| of.iter().filter(|outcome| is(outcome)).count();
        let _ = writeln!(
            table,
            "| {} | {} | {} | {} | {} |",
            kind.name(),
            of.len(),
            count(|outcome| matches!(outcome, Outcome::Found(_))),
            count(|outcome| matches!(outcome, Outcome::AsBefore)),
            count(|outcome| matches!(outcome, Outcome::Otherwise { .. })),
        );
    }
    let mut rules: BTreeMap<&str, usize> = BTreeMap::new();
    for outcome in outcomes {
        if let Outcome::Found(rule) = outcome {
            *rules.entry(rule).or_default() += 1;
        }
    }
    let rules: Vec<String> = rules.iter().map(|(rule, count)| format!("{rule} {count}")).collect();
    let _ = writeln!(
        table,
        "\nFound by: {}.\n\n| survives | of these | why it is no finding |\n|---|---|---|",
        rules.join(", ")
    );
    for class in CLASSES {
        let _ = writeln!(table, "| {} | {} | {} |", class.name, class.count, class.why);
    }
    table + "\n"
}

/// The document shows the table; `SLUICE_WRITE=1` writes it.
fn current(table: &str) {
    const BEGIN: &str = "<!-- made by tests/mutants -->\n";
    let path = repository().join(DOCUMENT);
    let text = fs::read_to_string(&path).unwrap();
    let (before, rest) = text.split_once(BEGIN).expect(BEGIN);
    let (_, after) = rest.split_once("<!-- end -->").expect("an end");
    let wanted = format!("{before}{BEGIN}{table}<!-- end -->{after}");
    if std::env::var_os("SLUICE_WRITE").is_some() {
        fs::write(path, wanted).unwrap();
    } else {
        assert!(
            text == wanted,
            "`{DOCUMENT}` is not current; write it with `SLUICE_WRITE=1 cargo test --test integration mutants`"
        );
    }
}
