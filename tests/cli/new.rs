//! `sluice new`, and what it says to do next.

use std::fs;

use super::sandbox::{Done, Sandbox};

/// A fresh `shop`, and the commands that are printed for it.
fn made() -> (Sandbox, Vec<String>) {
    let sandbox = Sandbox::empty();
    let done = sandbox.sluice(&["new", "shop"]).expect(0);
    let commands: Vec<String> =
        done.stdout.lines().filter_map(|line| line.strip_prefix("  ")).map(str::to_owned).collect();
    (sandbox, commands)
}

#[test]
fn a_new_project_has_nothing_to_find_fault_with() {
    let (sandbox, _) = made();
    let done = sandbox.sluice(&["lint", "--project", "shop", "--deny", "warnings"]).expect(0);
    assert_eq!(done.stdout, "1 pipeline, no problems found\n");
}

#[test]
fn the_commands_it_prints_run_and_show_what_becomes_of_events() {
    let (sandbox, commands) = made();
    let [cd, lint, test, run, status, letters, guarantee] = commands.as_slice() else { panic!("{commands:#?}") };
    let said = |command: &str| Done::of(sandbox.shell(&format!("{cd}; {command}")).output().unwrap()).expect(0).stdout;
    assert_eq!(said(lint), "1 pipeline, no problems found\n");
    assert!(said(test).contains("\n2 scenarios, all hold: "), "{}", said(test));
    let shown = said(run);
    assert!(shown.starts_with("done ") && shown.lines().count() == 6, "{shown}");
    let balance = shown.lines().last().unwrap();
    assert!(balance.starts_with("welcome: received 5 = done 3 + skipped 0 + duplicate 1 + parked 0 + dead 1 + "));
    assert!(said(status).contains("channel signups: position 5"));
    assert!(said(letters).contains("nobody reads mail at this address"));
    assert!(!said(guarantee).contains("weakened"));
    // What is told beside the commands is what the project tells of itself.
    let readme = fs::read_to_string(sandbox.path().join("shop/README.md")).unwrap();
    assert!(readme.starts_with("# shop\n") && readme.contains(&commands[1..].join("\n")), "{readme}");
}

#[test]
fn what_is_commented_out_moves_it_to_servers() {
    let (sandbox, _) = made();
    let project = fs::read_to_string(sandbox.path().join("shop/sluice.yaml")).unwrap();
    let (mine, servers) = project.split_once("\n# connections:").unwrap();
    let servers = format!("# connections:{servers}");
    let servers: String = servers.lines().map(|line| format!("{}\n", line.strip_prefix("# ").unwrap())).collect();
    let sandbox = sandbox.file("shop/sluice.yaml", &format!("{mine}\n{servers}"));
    sandbox.sluice(&["lint", "--project", "shop", "--deny", "warnings"]).expect(0);
    let told = sandbox.sluice(&["guarantee", "--project", "shop", "--format", "json"]).expect(0).json();
    assert_eq!(told["pipelines"][0]["weakened"], serde_json::json!([]));
}

#[test]
fn editors_find_the_schemas_that_the_files_name() {
    let (sandbox, _) = made();
    for (file, kind) in [
        ("sluice.yaml", "project"),
        ("pipelines/welcome.yaml", "pipeline"),
        ("pipelines/welcome.test.yaml", "scenarios"),
    ] {
        let path = sandbox.path().join("shop").join(file);
        let text = fs::read_to_string(&path).unwrap();
        let named = text.lines().next().unwrap().strip_prefix("# yaml-language-server: $schema=").expect(file);
        let schema = fs::read_to_string(path.parent().unwrap().join(named)).expect(named);
        let current = fs::read_to_string(format!("{}/docs/schema/{kind}.json", env!("CARGO_MANIFEST_DIR"))).unwrap();
        assert_eq!(schema, current, "{file}");
    }
}

#[test]
fn nothing_is_overwritten() {
    let (sandbox, _) = made();
    let sandbox = sandbox.file("shop/sluice.yaml", "# mine\n").file("taken", "a file").file("empty/x", "");
    for taken in ["shop", "taken"] {
        let done = sandbox.sluice(&["new", taken]).expect(2);
        assert!(done.stderr.starts_with(&format!("error: `{taken}` ")), "{}", done.stderr);
    }
    assert_eq!(fs::read_to_string(sandbox.path().join("shop/sluice.yaml")).unwrap(), "# mine\n");
    fs::remove_file(sandbox.path().join("empty/x")).unwrap();
    sandbox.sluice(&["new", "empty"]).expect(0);
}

#[test]
fn names_are_checked() {
    let sandbox = Sandbox::empty();
    for bad in [".", "..", "my shop", "a.b", "_x", "shop\u{1b}[2J", &"a".repeat(65)] {
        let done = sandbox.sluice(&["new", bad]).expect(2);
        assert!(done.stderr.contains("cannot be a project's name\nhelp: "), "{bad}: {}", done.stderr);
    }
    assert_eq!(fs::read_dir(sandbox.path()).unwrap().count(), 0);
    let done = sandbox.sluice(&["new", "it's here/shop"]).expect(0);
    let there = done.stdout.lines().find(|line| line.starts_with("  cd ")).unwrap();
    Done::of(sandbox.shell(&format!("{there} && sluice lint")).output().unwrap()).expect(0);
}
