use std::fs;

use rustix::process::Signal;

use super::super::sandbox::Running;
use super::sound;

const SOUND: &str = "1 pipeline, no problems found";
const ONE: &str = "1 error, 0 warnings";

#[track_caller]
fn until_last(run: &Running, line: &str) {
    run.until(line, |run| run.log().lines().last() == Some(line));
}

#[test]
fn findings_follow_the_files() {
    let sandbox = sound();
    let run = sandbox.at_work(&["lint", "--watch"]);
    until_last(&run, SOUND);
    // Each change undoes the one before, so that every answer is another.
    let pipeline = fs::read_to_string(sandbox.path().join("pipelines/p.yaml")).unwrap();
    sandbox.write("pipelines/h.rhai", "import \"lib/a\" as a;\n");
    until_last(&run, ONE);
    sandbox.write("pipelines/lib/a.rhai", "fn f() { 1 }\n");
    until_last(&run, SOUND);
    fs::remove_dir_all(sandbox.path().join("schemas")).unwrap();
    until_last(&run, ONE);
    sandbox.write("schemas/OrderCreated/1.json", r#"{ "type": "object", "required": ["id", "customer"] }"#);
    until_last(&run, SOUND);
    sandbox.write("sluice.yaml", "admn: {}\n");
    until_last(&run, ONE);
    sandbox.write("sluice.yaml", "");
    until_last(&run, SOUND);
    sandbox.write("pipelines/more/q.yaml", &pipeline.replace("h.rhai", "../h.rhai"));
    until_last(&run, ONE);
    fs::rename(sandbox.path().join("pipelines/more/q.yaml"), sandbox.path().join("q.yaml")).unwrap();
    until_last(&run, SOUND);
}

#[test]
fn editors_that_write_beside_and_rename_are_followed() {
    let sandbox = sound();
    let run = sandbox.at_work(&["lint", "--watch"]);
    until_last(&run, SOUND);
    let file = sandbox.path().join("pipelines/h.rhai");
    for (text, told) in [("foo();", ONE), ("state.n = 1;", SOUND), ("bar();", ONE)] {
        let beside = sandbox.path().join("pipelines/.h.rhai.swp");
        fs::write(&beside, text).unwrap();
        fs::rename(&beside, &file).unwrap();
        until_last(&run, told);
    }
}

#[test]
fn what_is_no_file_of_the_project_is_no_reason_to_lint_again() {
    let sandbox = sound();
    let run = sandbox.at_work(&["lint", "--watch"]);
    until_last(&run, SOUND);
    for name in [".sluice/db", "notes.md", ".git/index", "events.ndjson"] {
        sandbox.write(name, "x");
    }
    // What comes after them is answered, once.
    sandbox.write("pipelines/h.rhai", "foo();");
    until_last(&run, ONE);
    assert_eq!(run.log().matches(SOUND).count(), 1, "{}", run.log());
}

#[test]
fn told_to_stop_it_ends_as_lint_would() {
    for (handler, last, signal, code) in [("foo();", ONE, Signal::INT, 1), ("state.n = 1;", SOUND, Signal::TERM, 0)] {
        let sandbox = sound().file("pipelines/h.rhai", handler);
        let run = sandbox.at_work(&["lint", "--watch"]);
        until_last(&run, last);
        run.signal(signal);
        run.ended().expect(code);
    }
}
