mod fix;
mod formats;
mod watch;

use super::sandbox::Sandbox;

/// Its event says more than an id.
fn sound() -> Sandbox {
    Sandbox::small("{ listen: '127.0.0.1:0' }")
        .file("schemas/OrderCreated/1.json", r#"{ "type": "object", "required": ["id", "customer"] }"#)
}

#[test]
fn a_sound_project_passes() {
    let done = sound().sluice(&["lint"]).expect(0);
    assert_eq!(done.stdout, "1 pipeline, no problems found\n");
}

#[test]
fn findings_are_shown_where_they_are_and_counted() {
    let broken = Sandbox::small("{}").file("pipelines/p.yaml", "pipeline: p\nkye: data.id\n");
    let done = broken.sluice(&["lint"]).expect(1);
    assert!(done.stdout.contains("--> pipelines/p.yaml:2:1"), "{}", done.stdout);
    assert!(done.stdout.contains("help: did you mean `key`?"), "{}", done.stdout);
    assert!(done.stdout.lines().last().unwrap().contains("error"), "{}", done.stdout);
}

#[test]
fn json_is_one_object_with_a_place_for_every_finding() {
    let broken = Sandbox::small("{}").file("pipelines/p.yaml", "pipeline: p\nkye: data.id\n");
    let found = broken.sluice(&["lint", "--format", "json"]).expect(1).json();
    let first = &found["diagnostics"][0];
    assert_eq!(first["file"], "pipelines/p.yaml");
    for field in ["rule", "level", "message", "line", "column", "end_line", "end_column"] {
        assert!(!first[field].is_null(), "{field}: {first}");
    }
    let sound = sound().sluice(&["lint", "--format", "json"]).expect(0).json();
    assert_eq!(sound["diagnostics"], serde_json::json!([]));
}

#[test]
fn what_a_project_says_of_rules_is_about_lint_and_not_about_run() {
    let project = sound().edited("pipelines/p.yaml", "pipeline: p", "idempotency: { retain: 1m }\npipeline: p");
    let harder = project.file("sluice.yaml", "lint: { SG401: error }\n");
    assert!(harder.sluice(&["lint"]).expect(1).stdout.starts_with("error[SG401]"));
    harder.sluice(&["run", "--until-idle"]).expect(0);
    let off = harder.file("sluice.yaml", "lint: { SG401: off }\n");
    assert_eq!(off.sluice(&["lint"]).expect(0).stdout, "1 pipeline, no problems found\n");
    off.sluice(&["run", "--until-idle"]).expect(0);
}

#[test]
fn warnings_fail_only_when_they_are_denied() {
    let weak = Sandbox::small("{}").file(
        "sluice.yaml",
        "connections: { nats: { nats: { url: 'nats://127.0.0.1:1' } } }\nstore: { memory: {} }\n\
         channels: { orders: { nats: { stream: S, subject: s } } }\n",
    );
    weak.sluice(&["lint"]).expect(0);
    weak.sluice(&["lint", "--deny", "warnings"]).expect(1);
}

#[test]
fn needs_no_environment() {
    let secret = sound().file("sluice.yaml", "admin: { listen: '127.0.0.1:0', token: '${NOBODY_SET_THIS}' }\n");
    let noted = secret.sluice(&["lint", "--deny", "warnings"]).expect(0);
    assert!(
        noted.stdout.starts_with("info[SG021]: the variable `NOBODY_SET_THIS` is not set here"),
        "{}",
        noted.stdout
    );
    assert!(noted.stdout.ends_with("1 pipeline, 1 note\n"), "{}", noted.stdout);
    let done = secret.sluice(&["run"]).expect(1);
    assert!(done.stderr.contains("NOBODY_SET_THIS"), "{}", done.stderr);
    let set = secret.with("NOBODY_SET_THIS", "hunter2");
    assert_eq!(set.sluice(&["lint"]).expect(0).stdout, "1 pipeline, no problems found\n");
}

#[test]
fn a_missing_project_is_told_in_words() {
    for command in ["lint", "run", "status"] {
        let done = Sandbox::empty().sluice(&[command, "--project", "nowhere"]).expect(2);
        assert!(done.stderr.starts_with("error: `nowhere` is not a directory\nhelp: "), "{}", done.stderr);
    }
}

#[test]
fn help_teaches_by_example_and_names_the_exit_codes() {
    let sandbox = Sandbox::empty();
    for command in [&["--help"][..], &["new", "--help"], &["guarantee", "--help"], &["dlq", "list", "--help"]] {
        let done = sandbox.sluice(command).expect(0);
        assert!(done.stdout.contains("Examples:\n  sluice "), "{}", done.stdout);
        assert!(done.stdout.contains("Exit codes:"), "{}", done.stdout);
    }
    assert!(sandbox.sluice(&["--version"]).expect(0).stdout.starts_with("sluice "));
    sandbox.sluice(&["lint", "--no-such-flag"]).expect(2);
}
