//! The sample project does what its comments promise.

use serde_json::{Value, json};

use super::*;
use crate::event::{Event, Headers, Key, Millis};
use crate::script::{Context, Outcome};

fn sample() -> Program {
    let loaded = load(Path::new(env!("CARGO_MANIFEST_DIR")), &|_| None);
    assert!(loaded.diagnostics.is_empty(), "{}", shown(&loaded));
    loaded.program.expect("no error")
}

fn events() -> Vec<Value> {
    let text = include_str!("../../../pipelines/sample-events.ndjson");
    text.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect()
}

fn event(raw: &Value) -> Event {
    let text = |key: &str| raw[key].as_str().expect("a text").to_owned();
    Event {
        id: text("id"),
        kind: text("type"),
        version: u32::try_from(raw["version"].as_u64().expect("a number")).expect("small"),
        source: text("source"),
        time: raw["time"].as_str().map(str::to_owned),
        data: raw["data"].clone(),
        headers: Headers::default(),
    }
}

#[derive(Debug, PartialEq)]
enum Ended {
    Ignored,
    Invalid,
    Filtered,
    Ran(Outcome),
}

/// What a runner does to one event, without the runner.
fn run(program: &Program, raw: &Value, state: Option<&Value>) -> Ended {
    let pipeline = &program.pipelines[0];
    let mut event = event(raw);
    let Some(subscription) = pipeline.subscription(&"orders".into(), &event.kind) else { return Ended::Ignored };
    if !subscription.versions[&event.version].validate(&event.data).is_empty() {
        return Ended::Invalid;
    }
    while let Some(upcast) = subscription.upcasts.get(&event.version) {
        event.data = upcast.script.upcast(&event).expect("upcasts");
        event.version = upcast.to;
        assert_eq!(subscription.versions[&event.version].validate(&event.data), []);
    }
    let key = Key::from_json(&event.data["order_id"]).expect("a key");
    let context = Context { attempt: 1, time: Millis(0), pipeline: pipeline.name.clone() };
    if let Some(filter) = &subscription.filter
        && !filter.matches(&event, &key, state, &context).expect("filters")
    {
        return Ended::Filtered;
    }
    Ended::Ran(subscription.handler.handle(&event, &key, state, &context).expect("handles"))
}

#[test]
fn a_shipment_is_tracked_once_it_is_paid_and_shipped_in_any_order() {
    let program = sample();
    let all = events();
    let of_o1 = [&all[0], &all[3], &all[4]];
    for order in [[0, 1, 2], [0, 2, 1], [1, 0, 2], [1, 2, 0], [2, 0, 1], [2, 1, 0]] {
        let mut state: Option<Value> = None;
        let mut tracked = Vec::new();
        for at in order {
            let Ended::Ran(Outcome::Done { state: next, emitted }) = run(&program, of_o1[at], state.as_ref()) else {
                panic!("{order:?}: {at} is done");
            };
            state = next;
            tracked.extend(emitted);
        }
        let [only] = tracked.as_slice() else { panic!("{order:?}: {tracked:?}") };
        let emit = program.pipelines[0].emit(&only.kind, only.version).expect("declared");
        assert_eq!(emit.schema.validate(&only.data), [], "{order:?}");
        let state = state.expect("a state");
        assert_eq!((&state["status"], &state["total_cents"]), (&json!("tracked"), &json!(1999)), "{order:?}");
    }
}

#[test]
fn the_sample_events_show_every_outcome() {
    let program = sample();
    let all = events();
    assert_eq!(all[0], all[1], "a duplicate");
    let Ended::Ran(Outcome::Done { state: Some(order), .. }) = run(&program, &all[2], None) else { panic!("upcast") };
    assert_eq!((&order["total_cents"], &order["currency"]), (&json!(4990), &json!("EUR")));
    assert_eq!(run(&program, &all[5], None), Ended::Invalid);
    assert!(matches!(run(&program, &all[6], Some(&order)), Ended::Ran(Outcome::Reject { .. })));
    assert_eq!(run(&program, &all[7], None), Ended::Filtered);
    assert!(matches!(run(&program, &all[8], None), Ended::Ran(Outcome::Retry { .. })));
    assert_eq!(run(&program, &all[9], None), Ended::Ignored);
}

#[test]
fn totals_of_version_one_become_exact_cents() {
    let program = sample();
    for (total, cents) in [("19.99", 1999), ("0.29", 29), ("49", 4900), ("1.15", 115), ("1234567.89", 123_456_789)] {
        let mut raw = events()[2].clone();
        raw["data"]["total"] = serde_json::from_str(total).expect("a number");
        let Ended::Ran(Outcome::Done { state: Some(order), .. }) = run(&program, &raw, None) else { panic!("{total}") };
        assert_eq!(order["total_cents"], json!(cents), "{total}");
    }
}
