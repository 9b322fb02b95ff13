//! `sluice test`: scenarios that hold, and how those are told that do not.

use std::fs;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::json;

use super::sandbox::Sandbox;
use crate::support::wait::eventually;

const PIPELINE: &str = r#"
pipeline: loyalty
key: data.customer
subscriptions:
  - event: CardIssued
    from: cards
    versions: [1]
    script: |
      state.points = 0;
  - event: PointsEarned
    from: cards
    versions: [1]
    script: |
      if event.data.points > 1000 { reject("too many at once"); }
      if event.data.points == 13 && ctx.attempt == 1 { retry("not on a Friday", "1h"); }
      state.points = (state.points ?? 0) + event.data.points;
      emit("PointsCounted", #{ customer: event.key, points: state.points });
emits:
  - { event: PointsCounted, version: 1, to: counted }
"#;

/// A pipeline whose handlers mind the order in which events come.
fn loyalty(scenarios: &str) -> Sandbox {
    let schema = r#"{ "type": "object", "required": ["customer"], "properties": { "points": { "type": "integer" } } }"#;
    ["CardIssued", "PointsEarned", "PointsCounted"]
        .iter()
        .fold(Sandbox::empty(), |sandbox, event| sandbox.file(&format!("schemas/{event}/1.json"), schema))
        .file("pipelines/loyalty.yaml", PIPELINE)
        .file("pipelines/loyalty.test.yaml", &format!("pipelines: [loyalty.yaml]\nscenarios:\n{scenarios}"))
}

const HOLDS: &str = r"
  - name: points add up
    given:
      - { event: CardIssued, data: { customer: ada } }
      - { event: PointsEarned, data: { customer: ada, points: 5 }, duplicates: 2 }
      - { event: PointsEarned, data: { customer: ada, points: 2 } }
    then:
      state: { ada: { points: 7 }, bob: absent }
      emits: [{ event: PointsCounted, data: { points: 7 } }]
      dead_letters: []
      parked: 0
";

const DEPENDS: &str = r"
  - name: points are not lost
    given:
      - { event: CardIssued, data: { customer: ada } }
      - { event: PointsEarned, data: { customer: ada, points: 5 } }
      - { event: PointsEarned, data: { customer: bob, points: 1 } }
    explore: { orders: all, duplicates: 1, crashes: true }
    then: { state: { ada: { points: 5 } } }
";

/// What it prints, without times.
#[track_caller]
fn told(sandbox: &Sandbox, arguments: &[&str], code: i32) -> String {
    let done = sandbox.sluice(&[&["test"], arguments].concat()).expect(code);
    assert_eq!(done.stderr, "");
    let (all, time) = done.stdout.rsplit_once(" in ").unwrap();
    assert!(time.trim_end_matches("s\n").parse::<f64>().is_ok(), "{time}");
    format!("{all}\n")
}

#[track_caller]
fn snapshot(name: &str, text: &str) {
    insta::with_settings!({ omit_expression => true, prepend_module_to_snapshot => false }, {
        insta::assert_snapshot!(name, text);
    });
}

#[test]
fn scenarios_that_hold_are_told_in_a_line_each() {
    let sandbox = loyalty(HOLDS);
    let expected = "ok    pipelines/loyalty.test.yaml › points add up\n1 scenario, all hold: 1 run\n";
    assert_eq!(told(&sandbox, &[], 0), expected);
    assert!(!sandbox.path().join(".sluice").exists(), "nothing of it is kept");
}

#[test]
fn what_does_not_hold_is_told_by_the_smallest_part_that_differs() {
    let scenarios = r"
  - name: one of each
    given:
      - { event: CardIssued, data: { customer: ada } }
      - { event: PointsEarned, data: { customer: ada, points: 13 } }
      - { event: PointsEarned, data: { customer: bob, points: 3 } }
      - { event: PointsEarned, data: { customer: eve, points: 9999 } }
      - { raw: '{not json' }
    then:
      state: { ada: { points: 13, tier: { name: gold } }, bob: absent, eve: { points: 9999 } }
      emits_exact: [{ event: PointsCounted, data: { customer: ada, points: 13 } }]
      dead_letters: [{ event: PointsEarned, class: script }]
      parked: 0
  - name: all there is
    given: [{ event: PointsEarned, data: { customer: bob, points: 3 } }]
    then: { state_exact: { ada: { points: 3 } } }
";
    snapshot("what_does_not_hold", &told(&loyalty(scenarios), &[], 1));
}

#[test]
fn an_order_that_ends_otherwise_is_shown_as_small_as_it_can_be() {
    snapshot("another_order", &told(&loyalty(DEPENDS), &[], 1));
}

#[test]
fn a_sample_says_that_it_is_one_and_a_seed_draws_another() {
    let many: String = (0..7)
        .map(|n| format!("      - {{ event: PointsEarned, data: {{ customer: c{n}, points: {n} }} }}\n"))
        .collect();
    let explored = |orders: &str| {
        format!("  - name: many\n    given:\n{many}    explore: {{ orders: {orders} }}\n    then: {{ parked: 0 }}\n")
    };
    let few = told(&loyalty(&explored("{ sample: 20, seed: 7 }")), &[], 0);
    assert!(
        few.starts_with(
            "ok    pipelines/loyalty.test.yaml › many (21 runs; there are more orders, these were drawn with seed 7)"
        ),
        "{few}"
    );
    let other = told(&loyalty(&explored("{ sample: 20, seed: 7 }")), &["--seed", "8"], 0);
    assert!(other.contains("drawn with seed 8"), "{other}");
}

#[test]
fn time_passes_when_a_scenario_says_so() {
    let scenario = |wait: &str| {
        format!(
            "  - name: a retry\n    given:\n      - {{ event: PointsEarned, data: {{ customer: ada, points: 13 }} }}\n{wait}    then: {{ parked: 0, state: {{ ada: {{ points: 13 }} }} }}\n"
        )
    };
    let start = Instant::now();
    told(&loyalty(&scenario("      - { wait: 1h }\n")), &[], 0);
    assert!(start.elapsed() < Duration::from_secs(60), "it waited");
    for too_short in ["", "      - { wait: 59m }\n"] {
        let told = told(&loyalty(&scenario(too_short)), &[], 1);
        assert!(told.contains("parked events"), "{told}");
    }
}

#[test]
fn pipelines_are_joined_by_their_channels() {
    let second = "pipeline: letters\nkey: data.customer\nsubscriptions:\n  - { event: PointsCounted, from: counted, versions: [1], script: state.told = event.data.points }\n";
    let scenarios = "
pipelines: [loyalty.yaml, letters.yaml]
scenarios:
  - name: who has points is told
    given: [{ event: PointsEarned, data: { customer: ada, points: 5 } }, { event: PointsEarned, data: { customer: ada, points: 6 } }]
    explore: { orders: given }
    then: { state: { letters: { ada: { told: 11 } }, loyalty: { ada: { points: 11 } } } }
";
    let sandbox = loyalty(HOLDS)
        .file("pipelines/letters.yaml", second)
        .file("pipelines/both.test.yaml", &scenarios.replace("orders: given", "duplicates: 1, crashes: true"));
    assert!(
        told(&sandbox, &["--filter", "told"], 0)
            .starts_with("ok    pipelines/both.test.yaml › who has points is told (")
    );
    let wrong = sandbox.edited("pipelines/both.test.yaml", "told: 11", "told: 5");
    assert!(told(&wrong, &["--filter", "told"], 1).contains("state of ada in letters /told  5         11"));
}

#[test]
fn what_is_put_in_turn_ends_alike_in_every_order() {
    let pipeline = |order: &str| {
        format!(
            "pipeline: log\nkey: data.customer\n{order}\nsubscriptions:\n  - event: PointsEarned\n    from: cards\n    versions: [1]\n    script: |\n      state.log = state.log ?? [];\n      state.log.push(event.data.points);\n"
        )
    };
    let given: String = (1..=4)
        .map(|n| format!("      - {{ event: PointsEarned, data: {{ customer: ada, points: {n} }} }}\n"))
        .collect();
    let scenario = format!(
        "pipelines: [log.yaml]\nscenarios:\n  - name: in turn\n    given:\n{given}      - {{ wait: 10s }}\n    explore: {{ orders: all, duplicates: 1, crashes: true }}\n    then: {{ state: {{ ada: {{ log: [1, 2, 3, 4] }} }}, dead_letters: [], parked: 0 }}\n"
    );
    let sandbox = loyalty(HOLDS).file("pipelines/log.test.yaml", &scenario);
    for (order, code) in [
        ("sequence: { by: data.points, first: 1 }", 0),
        ("resequence: { by: time, hold: 5s }", 0),
        ("description: In no order but that of arrival.", 1),
    ] {
        sandbox.write("pipelines/log.yaml", &pipeline(order));
        told(&sandbox, &["pipelines/log.test.yaml"], code);
    }
}

#[test]
fn pipelines_that_cause_what_they_read_are_found_out() {
    let endless = "pipeline: echo\nkey: data.customer\nsubscriptions:\n  - event: PointsCounted\n    from: counted\n    versions: [1]\n    script: emit(\"PointsCounted\", event.data)\nemits:\n  - { event: PointsCounted, version: 1, to: counted }\n";
    let scenarios = "pipelines: [echo.yaml]\nscenarios:\n  - name: an echo\n    given: [{ event: PointsCounted, data: { customer: ada } }]\n    then: { parked: 0 }\n";
    let sandbox = loyalty(HOLDS).file("pipelines/echo.yaml", endless).file("pipelines/echo.test.yaml", scenarios);
    let told = told(&sandbox, &["--filter", "echo"], 1);
    assert!(told.contains("does a pipeline cause what it reads?"), "{told}");
}

#[test]
fn the_sample_project_does_what_its_scenarios_say() {
    let told = told(&Sandbox::sample_alone(), &[], 0);
    assert!(told.lines().count() > 4 && told.lines().last().unwrap().contains(" scenarios, all hold: "), "{told}");
}

#[test]
fn files_and_a_filter_choose() {
    let sandbox =
        loyalty(&format!("{HOLDS}{DEPENDS}")).file("pipelines/more.test.yaml", "pipelines: nonsense\nscenarios: []\n");
    let expected = "ok    pipelines/loyalty.test.yaml › points add up\n1 scenario, all hold: 1 run\n";
    assert_eq!(told(&sandbox, &["pipelines/loyalty.test.yaml", "--filter", "add up"], 0), expected);
    let nothing = sandbox.sluice(&["test", "pipelines/loyalty.test.yaml", "--filter", "xyz"]).expect(2);
    assert_eq!(
        nothing.stderr,
        "error: no scenario's file or name has `xyz` in it\nhelp: `sluice test` without `--filter` plays all\n"
    );
    let broken = sandbox.sluice(&["test"]).expect(1);
    assert!(broken.stderr.contains("--> pipelines/more.test.yaml:1:12"), "{}", broken.stderr);
    assert!(broken.stderr.ends_with("error: the project has 2 errors\n"), "{}", broken.stderr);
    sandbox.sluice(&["lint"]).expect(1);
    sandbox.sluice(&["test", "nowhere.test.yaml"]).expect(2);
}

#[test]
fn a_project_without_scenarios_does_not_pass() {
    let done = Sandbox::small("{}").sluice(&["test"]).expect(2);
    assert!(done.stderr.starts_with("error: the project has no scenarios\nhelp: write some"), "{}", done.stderr);
}

#[test]
fn servers_and_variables_are_not_needed() {
    let sandbox = loyalty(HOLDS).file(
        "sluice.yaml",
        "connections: { n: { nats: { url: '${NOBODY_SET_THIS}' } } }\nstore: { redis: { url: '${NOR_THIS}' } }\n\
         channels:\n  cards: { nats: { stream: CARDS, subject: cards }, envelope: cloudevents-binary }\n  \
         counted: { nats: { stream: COUNTED, subject: counted }, envelope: cloudevents }\n",
    );
    assert!(told(&sandbox, &[], 0).ends_with("all hold: 1 run\n"));
}

#[test]
fn json_has_all_there_is_to_know() {
    let done = loyalty(&format!("{HOLDS}{DEPENDS}")).sluice(&["test", "--format", "json"]).expect(1).json();
    assert_eq!((&done["passed"], &done["failed"]), (&json!(1), &json!(1)));
    let [held, failed] = done["scenarios"].as_array().unwrap().as_slice() else { panic!("{done}") };
    assert_eq!((&held["passed"], &held["failure"]), (&json!(true), &json!(null)));
    let failure = &failed["failure"];
    assert_eq!((&failed["line"], &failure["in"], &failure["crash"]), (&json!(15), &json!("another run"), &json!(null)));
    assert_eq!(failure["order"][0], json!({ "message": "PointsEarned e-2", "again": false }));
    let mismatch = json!({ "about": "state of ada", "path": "/points", "expected": 5, "actual": 0 });
    assert_eq!(failure["mismatches"], json!([mismatch]));
    assert_eq!(failure["against_given_order"][0], mismatch);
}

/// Names and attributes of elements, told by an indent; texts are left out. Panics where it is not well formed.
fn elements(xml: &str) -> Vec<(usize, String)> {
    let (mut open, mut found) = (Vec::<String>::new(), Vec::new());
    let mut rest = xml.strip_prefix("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n").unwrap();
    while let Some(at) = rest.find('<') {
        assert!(!rest[..at].contains(['>']), "{rest}");
        let end = at + rest[at..].find('>').unwrap();
        let tag = &rest[at + 1..end];
        rest = &rest[end + 1..];
        if let Some(closed) = tag.strip_prefix('/') {
            assert_eq!(open.pop().as_deref(), Some(closed));
            continue;
        }
        found.push((open.len(), tag.trim_end_matches('/').to_owned()));
        if !tag.ends_with('/') {
            open.push(tag.split(' ').next().unwrap().to_owned());
        }
    }
    assert!(open.is_empty() && rest.trim().is_empty(), "{open:?} {rest}");
    found
}

#[test]
fn junit_is_well_formed_and_counts_right() {
    let odd = DEPENDS.replace("points are not lost", "'<points> & \"more\"'");
    let done = loyalty(&format!("{HOLDS}{odd}")).sluice(&["test", "--format", "junit"]).expect(1);
    let found = elements(&done.stdout);
    let shown: Vec<String> =
        found.iter().map(|(depth, tag)| format!("{depth} {}", tag.split(" time=").next().unwrap())).collect();
    assert_eq!(
        shown,
        [
            "0 testsuites name=\"sluice test\" tests=\"2\" failures=\"1\" errors=\"0\"",
            "1 testsuite name=\"pipelines/loyalty.test.yaml\" tests=\"2\" failures=\"1\" errors=\"0\"",
            "2 testcase name=\"points add up\" classname=\"pipelines/loyalty.test.yaml\" file=\"pipelines/loyalty.test.yaml\" line=\"4\"",
            "2 testcase name=\"&lt;points&gt; &amp; &quot;more&quot;\" classname=\"pipelines/loyalty.test.yaml\" file=\"pipelines/loyalty.test.yaml\" line=\"15\"",
            "3 failure message=\"what it demands holds in the given order, but not in another run\"",
        ]
    );
    assert!(done.stdout.contains("PointsEarned e-2"), "{}", done.stdout);
}

#[tokio::test]
async fn a_change_of_any_file_plays_them_again() {
    let sandbox = loyalty(HOLDS);
    let out = sandbox.path().join("watched.txt");
    let mut command = Command::new(env!("CARGO_BIN_EXE_sluice"));
    command.args(["test", "--watch"]).current_dir(sandbox.path());
    command
        .stdin(Stdio::null())
        .stdout(fs::File::create(&out).unwrap())
        .stderr(fs::File::create(sandbox.path().join("notes.txt")).unwrap());
    let mut child = command.spawn().unwrap();
    let until = async |words: &str, times: usize| {
        let read = |path: &std::path::Path| fs::read_to_string(path).unwrap();
        let said = || format!("{}{}", read(&out), read(&sandbox.path().join("notes.txt")));
        eventually(Duration::from_secs(20), words, async || said().matches(words).count() >= times).await;
    };
    until("all hold", 1).await;
    sandbox.write("pipelines/loyalty.yaml", &PIPELINE.replace("+ event.data.points", "- event.data.points"));
    until("1 failed", 1).await;
    sandbox.write("pipelines/loyalty.yaml", "pipeline: [\n");
    until("the project has 1 error", 1).await;
    sandbox.write("pipelines/loyalty.yaml", PIPELINE);
    until("all hold", 2).await;
    assert!(child.try_wait().unwrap().is_none(), "it ended by itself");
    child.kill().unwrap();
    child.wait().unwrap();
}
