//! Files of scenarios: what is told about bad ones, and what good ones become.

use super::*;
use crate::spec::scenario::{Body, Given, Orders, Scenario};

fn given(part: &str) -> Project {
    Project::new().with(
        "pipelines/p.test.yaml",
        format!(
            "pipelines: [p.yaml]\nscenarios:\n  - name: one\n    given:\n      - {part}\n    then: {{ parked: 0 }}\n"
        ),
    )
}

fn then(part: &str) -> Project {
    Project::new().with(
        "pipelines/p.test.yaml",
        format!(
            "pipelines: [p.yaml]\nscenarios:\n  - name: one\n    given: [{{ event: OrderCreated, data: {{ order_id: o1 }} }}]\n    then: {part}\n"
        ),
    )
}

fn file(text: &str) -> Project {
    Project::new().with("pipelines/p.test.yaml", text)
}

const STRICT: &str =
    r#"{ "type": "object", "required": ["order_id"], "properties": { "cents": { "type": "integer" } } }"#;

#[test]
fn what_is_wrong_with_scenarios() {
    let strict = |part: &str| given(part).with("schemas/OrderCreated/1.json", STRICT);
    let emitting = |part: &str| then(part).and("emits:\n  - { event: OrderPaid, version: 3, to: paid }\n");
    let several = |part: &str| {
        let second = PIPELINE.replace("pipeline: orders", "pipeline: billing").replace("from: orders", "from: bills");
        let both = SCENARIOS.replace("[p.yaml]", "[p.yaml, q.yaml]");
        file(&both.replace("{ event: OrderCreated, data: { order_id: o1 } }", part)).with("pipelines/q.yaml", second)
    };
    told(
        "scenarios",
        [
            ("an empty file", file("# nothing yet\n")),
            ("no pipelines", file("scenarios: []\n")),
            ("a pipeline that is not there", file(&SCENARIOS.replace("p.yaml", "q.yaml"))),
            ("the same pipeline twice", file(&SCENARIOS.replace("[p.yaml]", "[p.yaml, ./p.yaml]"))),
            ("a misspelt key", file(&SCENARIOS.replace("given:", "givn:"))),
            ("one name twice", file(&format!("{SCENARIOS}{}", SCENARIOS.split_once("scenarios:\n").expect("both").1))),
            ("an unknown type", given("{ event: OrderCraeted, data: { order_id: o1 } }")),
            ("a type far from any", given("{ event: InvoicePrinted }")),
            ("a version without a schema", given("{ event: OrderCreated, version: 9, data: { order_id: o1 } }")),
            ("a type that nobody takes", given("{ event: OrderPaid, data: {} }")),
            ("an unknown channel", given("{ event: OrderCreated, from: order, data: { order_id: o1 } }")),
            ("data that does not fit", strict("{ event: OrderCreated, data: { order_id: o1, cents: lots } }")),
            ("no data", strict("{ event: OrderCreated }")),
            ("a number that JSON has not", given("{ event: OrderCreated, data: { order_id: .nan } }")),
            ("nothing to deliver", given("{ wait: 1m }")),
            ("a wait with more", given("{ wait: 1m, from: orders }")),
            ("a version of what is raw", given("{ raw: \"{\", version: 1 }")),
            ("neither of three", given("{ data: { order_id: o1 } }")),
            ("an unclear channel", several("{ event: OrderCreated, data: { order_id: o1 } }")),
            ("keys where pipelines belong", several("{ event: OrderCreated, from: bills, data: { order_id: o1 } }")),
            ("a state that is none", then("{ state: { o1: missing } }")),
            ("nothing demanded", then("{}")),
            ("both of the state", then("{ state: { o1: absent }, state_exact: {} }")),
            ("an emission that nobody makes", emitting("{ emits: [{ event: OrderPayed }] }")),
            ("an emission of a version that nobody makes", emitting("{ emits: [{ event: OrderPaid, version: 4 }] }")),
            (
                "an emission that its schema refuses",
                emitting("{ emits: [{ event: OrderPaid, data: { order_id: o1, cents: lots } }] }").with(
                    "schemas/OrderPaid/3.json",
                    r#"{ "type": "object", "required": ["note"], "properties": { "cents": { "type": "integer" } } }"#,
                ),
            ),
            ("a dead letter of an unknown type", then("{ dead_letters: [{ event: OrderCraeted }] }")),
            ("an emission to elsewhere", emitting("{ emits_exact: [{ event: OrderPaid, to: orders }] }")),
            ("an unknown class", then("{ dead_letters: [{ class: permanently }] }")),
            ("an unknown pipeline", then("{ dead_letters: [{ pipeline: order }] }")),
        ],
    );
}

#[test]
fn what_runs_does_not_ask_for_its_scenarios() {
    let broken = file("givn: 1\n");
    assert!(broken.load().program.is_some());
    assert_eq!(broken.program().revision, Project::new().program().revision);
}

#[test]
fn a_broken_pipeline_is_told_once() {
    let project = file(SCENARIOS).swap("handler: h.rhai", "handlr: h.rhai");
    let loaded = project.load_tests();
    assert!(
        loaded.diagnostics.iter().all(|d| d.span.as_ref().is_some_and(|s| s.file == "pipelines/p.yaml")),
        "{}",
        shown(&loaded)
    );
}

fn only(project: &Project) -> Scenario {
    let mut loaded = project.load_tests();
    assert!(loaded.diagnostics.is_empty(), "{}", shown(&loaded));
    let file = loaded.scenarios.pop().and_then(std::sync::Arc::into_inner).expect("a file of nobody else's");
    file.scenarios.into_iter().next_back().expect("a scenario")
}

#[test]
fn what_is_absent_is_filled_in() {
    let two = "{ event: OrderCreated, data: { order_id: o1 } }\n      - { wait: 1m }\n      - { event: OrderCreated, data: { order_id: 7 }, duplicates: 2 }";
    let scenario = only(
        &given(two).swap("[1]", "[1, 2]\n    upcast: { 1: u.rhai }").with("pipelines/u.rhai", "data = event.data;"),
    );
    let [Given::Message(first), Given::Wait(_), Given::Message(second)] = scenario.given.as_slice() else {
        panic!("{:?}", scenario.given)
    };
    let (Body::Event(a), Body::Event(b)) = (&first.body, &second.body) else { panic!("two events") };
    assert_eq!((&*first.channel, first.times, second.times), ("orders", 1, 3));
    assert_eq!((a.id.as_str(), a.source.as_str(), a.version), ("e-1", "scenario", 2));
    assert_eq!((b.id.as_str(), b.data["order_id"].as_u64()), ("e-2", Some(7)));
    assert_eq!(a.time.as_deref(), Some("2025-01-01T00:00:00Z"));
    assert_eq!(b.time.as_deref(), Some("2025-01-01T00:01:00.001Z"));
    assert_eq!((scenario.explore.orders, scenario.explore.crashes, scenario.line), (Orders::Given, false, 3));
}

#[test]
fn a_version_that_is_not_accepted_yet_may_come() {
    let scenario = only(&given("{ event: OrderCreated, version: 2, data: { order_id: o1 } }"));
    assert!(matches!(&scenario.given[0], Given::Message(message) if message.times == 1));
}
