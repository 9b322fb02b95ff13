//! Lints whole projects, written as the pages of the rules are: a fenced block for a file, a heading between one project
//! and the next. What is found lies in the files and can be shown in every format; mending makes nothing worse and ends;
//! what is known of the project before changes nothing; and what lint accepts loads, but for what only the environment
//! knows.
#![no_main]

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Component, Path, PathBuf};
use std::sync::LazyLock;

use libfuzzer_sys::fuzz_target;
use serde_json::Value;
use sluicegate::diagnostic::{Diagnostic, Fix, Level, fixed, render};
use sluicegate::lint::{Seen, judge, judge_again};
use sluicegate::spec::{self, Cache, Changed, Loaded};

/// Texts by their paths.
type Files = BTreeMap<PathBuf, String>;

/// What every example begins with.
static BASE: LazyLock<Files> = LazyLock::new(|| files(include_str!("../../docs/rules/README.md")));
const MAX_PROJECTS: usize = 3;
const MAX_FILES: usize = 24;
/// As `sluice lint --fix`.
const MAX_ROUNDS: usize = 10;

fuzz_target!(|page: &str| {
    let directory = tempfile::tempdir().expect("a directory");
    let root = directory.path();
    let (mut cache, mut seen, mut before) = (Cache::default(), Seen::default(), Files::new());
    let projects = page.split("\n## ").map(files).filter(|project| !project.is_empty());
    for mut project in projects.take(MAX_PROJECTS) {
        for (path, text) in BASE.iter() {
            project.entry(path.clone()).or_insert_with(|| text.clone());
        }
        lay_out(root, &mut project);
        cache.forget(root, &Changed::new(changes(&before, &project)));
        let again = judge_again(spec::load_again(root, &|_| false, &mut cache), &mut seen);
        let found = lint(root);
        assert_eq!(again.diagnostics, found.diagnostics, "found with what was known before, and without");
        show(&found);
        run(root, &found);
        before = project.clone();
        mend(root, &mut project, found);
        lay_out(root, &mut before);
    }
});

fn lint(root: &Path) -> Loaded {
    judge(spec::load_for_lint(root, &|_| false))
}

fn files(section: &str) -> Files {
    // What is before the first fence, and after each closing one, is prose.
    let blocks = section.split("\n```").skip(1).step_by(2);
    blocks.filter_map(|block| block.split_once('\n')).filter_map(file).take(MAX_FILES).collect()
}

fn file((fence, text): (&str, &str)) -> Option<(PathBuf, String)> {
    let path = Path::new(fence.split_once(" file=")?.1);
    let inside = path.components().all(|part| matches!(part, Component::Normal(_)));
    (inside && !fence.contains('\0')).then(|| (path.components().collect(), format!("{text}\n")))
}

/// Makes the directory hold these files and nothing else; leaves out those that cannot be written.
fn lay_out(root: &Path, project: &mut Files) {
    for entry in fs::read_dir(root).expect("a directory").map(|entry| entry.expect("an entry").path()) {
        if entry.is_dir() { fs::remove_dir_all(entry) } else { fs::remove_file(entry) }.expect("removed");
    }
    project.retain(|path, text| {
        let path = root.join(path);
        path.parent().is_some_and(|parent| fs::create_dir_all(parent).is_ok()) && fs::write(path, text).is_ok()
    });
}

/// Files that are not what they were, and directories that came or went.
fn changes(before: &Files, after: &Files) -> BTreeSet<PathBuf> {
    let above = |files: &Files| -> BTreeSet<PathBuf> {
        files.keys().flat_map(|path| path.ancestors().skip(1)).map(Path::to_path_buf).collect()
    };
    let differs = |path: &&PathBuf| before.get(*path) != after.get(*path);
    let files = before.keys().chain(after.keys()).filter(differs).cloned();
    files.chain(above(before).symmetric_difference(&above(after)).cloned()).collect()
}

/// Shows what was found in every way there is.
fn show(loaded: &Loaded) {
    let Loaded { diagnostics, sources, .. } = loaded;
    for diagnostic in diagnostics {
        inside(diagnostic, loaded);
    }
    for color in [false, true] {
        render::human(diagnostics, sources, color);
    }
    let json: Value = serde_json::from_str(&render::json(diagnostics)).expect("it is JSON");
    assert_eq!(json["diagnostics"].as_array().map(Vec::len), Some(diagnostics.len()));
    let sarif: Value = serde_json::from_str(&render::sarif(diagnostics, "shop")).expect("it is JSON");
    assert_eq!(sarif["runs"][0]["results"].as_array().map(Vec::len), Some(diagnostics.len()));
    assert_eq!(render::github(diagnostics, "shop").lines().count(), diagnostics.len());
}

/// A place is one in its file, its end at or after its beginning.
fn inside(diagnostic: &Diagnostic, loaded: &Loaded) {
    let Some(span) = &diagnostic.span else { return };
    let Some(text) = loaded.sources.0.get(&span.file) else { return };
    let lines: Vec<usize> = text.split('\n').map(|line| line.chars().count()).collect();
    let is_in = |line: usize, column: usize| {
        column > 0 && line.checked_sub(1).and_then(|at| lines.get(at)).is_some_and(|length| column <= length + 1)
    };
    let (begin, end) = ((span.line, span.column), (span.end_line, span.end_column));
    assert!(is_in(begin.0, begin.1) && is_in(end.0, end.1) && begin <= end, "{diagnostic:?} in {text:?}");
}

/// What lint accepts loads, but for what only the environment knows: variables, and files of keys.
fn run(root: &Path, linted: &Loaded) {
    let loaded = spec::load(root, &|_| None);
    show(&loaded);
    let errors = loaded.diagnostics.iter().filter(|diagnostic| diagnostic.level == Level::Error);
    let unforeseen: Vec<_> = errors.filter(|diagnostic| !["SG003", "SG004"].contains(&diagnostic.rule)).collect();
    assert!(linted.program.is_none() || unforeseen.is_empty(), "{unforeseen:?}");
}

/// Mends until there is nothing left to mend.
fn mend(root: &Path, project: &mut Files, mut found: Loaded) {
    for _ in 0..MAX_ROUNDS {
        let fixes: Vec<(&Diagnostic, &Fix)> =
            found.diagnostics.iter().filter_map(|d| Some((d, d.fix.as_ref()?))).collect();
        let mut mended = Vec::new();
        for (path, text) in project.iter_mut() {
            let here: Vec<&Fix> =
                fixes.iter().map(|(_, fix)| *fix).filter(|fix| Path::new(&fix.span.file) == path).collect();
            let done = fixed(text.strip_prefix('\u{feff}').unwrap_or(text), &here);
            mended.extend(fixes.iter().filter(|(_, fix)| done.made.iter().any(|made| std::ptr::eq(*made, *fix))));
            let mark = if text.starts_with('\u{feff}') { "\u{feff}" } else { "" };
            *text = format!("{mark}{}", done.text);
        }
        if mended.is_empty() {
            return;
        }
        lay_out(root, project);
        let after = lint(root);
        show(&after);
        let mut lines = BTreeSet::new();
        for (diagnostic, Fix { span, .. }) in mended {
            // Further on in its line, all has moved.
            if lines.insert((&span.file, span.line)) {
                let again = |other: &&Diagnostic| other.rule == diagnostic.rule && other.message == diagnostic.message;
                let there = |d: &Diagnostic| d.span.clone().map(|span| (span.file, span.line, span.column));
                let again = after.diagnostics.iter().filter(again).find(|other| there(other) == there(diagnostic));
                assert!(again.is_none(), "mended, and found again: {again:?}");
            }
        }
        found = after;
    }
    panic!("mending goes in circles");
}
