//! Loading again finds what loading anew finds, whatever changed in between.

use std::fs;
use std::path::{Path, PathBuf};

use super::super::{Cache, Changed, Loaded, load_again, load_with_scenarios};

/// The sample project, with a second pipeline that shares its files, and a file for whatever may be missing.
fn sample() -> tempfile::TempDir {
    let project = tempfile::tempdir().expect("a directory");
    let from = Path::new(env!("CARGO_MANIFEST_DIR"));
    for name in ["sluice.yaml", "pipelines", "schemas"] {
        copy(&from.join(name), &project.path().join(name));
    }
    let first = fs::read_to_string(project.path().join("pipelines/fulfilment.yaml")).expect("it is there");
    let second = first.replace("pipeline: fulfilment", "pipeline: second");
    fs::write(project.path().join("pipelines/second.yaml"), second).expect("written");
    project
}

fn copy(from: &Path, to: &Path) {
    if from.is_dir() {
        fs::create_dir_all(to).expect("a directory");
        for entry in fs::read_dir(from).expect("entries") {
            let entry = entry.expect("an entry");
            copy(&entry.path(), &to.join(entry.file_name()));
        }
    } else {
        fs::copy(from, to).expect("copied");
    }
}

fn files(directory: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(directory).expect("entries") {
        let path = entry.expect("an entry").path();
        if path.is_dir() { files(&path, found) } else { found.push(path) }
    }
}

#[track_caller]
fn same(again: &Loaded, anew: &Loaded, after: &str) {
    assert_eq!(again.diagnostics, anew.diagnostics, "{after}");
    assert_eq!(again.sources.0, anew.sources.0, "{after}");
    let revision = |loaded: &Loaded| loaded.program.as_ref().map(|program| program.revision.clone());
    assert_eq!(revision(again), revision(anew), "{after}");
    let scenarios = |loaded: &Loaded| loaded.scenarios.iter().map(|file| file.scenarios.len()).collect::<Vec<_>>();
    assert_eq!(scenarios(again), scenarios(anew), "{after}");
}

#[test]
fn loading_again_after_any_change_finds_what_loading_anew_finds() {
    let project = sample();
    let root = project.path();
    let mut cache = Cache::default();
    let mut check = |path: &Path, after: &str| {
        let relative = path.strip_prefix(root).expect("below the project");
        cache.forget(root, &Changed::new([relative.to_path_buf()]));
        let anew = load_with_scenarios(root, None);
        same(&load_again(root, &|_| true, &mut cache), &anew, &format!("{after} {}", relative.display()));
        anew.diagnostics.len()
    };
    let mut all = Vec::new();
    files(root, &mut all);
    all.sort();
    assert_eq!(check(&all[0], "nothing to"), 0);
    let mut findings = 0;
    for path in all {
        let text = fs::read_to_string(&path).expect("text");
        for wrong in ["", "{ [", &text.replace("OrderShipped", "OrderShiped"), &text.replace("order_id", "id")] {
            fs::write(&path, wrong).expect("written");
            findings += check(&path, "another text in");
        }
        fs::remove_file(&path).expect("removed");
        findings += check(&path, "no more");
        fs::create_dir(&path).expect("made");
        findings += check(&path, "a directory for");
        fs::remove_dir(&path).expect("removed");
        fs::write(&path, text).expect("written");
        assert_eq!(check(&path, "as before"), 0);
    }
    assert!(findings > 50, "{findings}");
}

#[test]
fn directories_that_go_and_come_are_noticed() {
    let project = sample();
    let root = project.path();
    let mut cache = Cache::default();
    load_again(root, &|_| true, &mut cache);
    for directory in ["pipelines/handlers/lib", "pipelines", "schemas/OrderCreated", "schemas"] {
        let (there, aside) = (root.join(directory), root.join("aside"));
        for (from, to) in [(&there, &aside), (&aside, &there)] {
            fs::rename(from, to).expect("renamed");
            cache.forget(root, &Changed::new([PathBuf::from(directory)]));
            same(&load_again(root, &|_| true, &mut cache), &load_with_scenarios(root, None), directory);
        }
    }
}
