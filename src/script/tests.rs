use std::sync::Arc;

use super::*;
use serde_json::json;

pub(super) fn event(data: Value) -> Event {
    Event {
        id: "e1".into(),
        kind: "OrderCreated".into(),
        version: 2,
        source: "shop".into(),
        time: Some("2026-01-02T03:04:05Z".into()),
        data,
        headers: Headers(vec![("X-Trace".into(), "t1".into())]),
    }
}

pub(super) fn context() -> Context {
    Context { attempt: 1, time: Millis(1_767_323_045_000), pipeline: "fulfilment".into() }
}

pub(super) fn compile(kind: Kind, text: &str) -> Result<Script, Vec<Diagnostic>> {
    let root = tempfile::tempdir().expect("a directory");
    let engine = Engine::new(Limits::default(), root.path());
    engine.compile(kind, &Source { file: "pipelines/handlers/h.rhai", text, line_offset: 0 })
}

pub(super) fn handler(text: &str) -> Script {
    compile(Kind::Handler, text).unwrap_or_else(|problems| panic!("{problems:#?}"))
}

pub(super) fn run(text: &str, data: Value, state: Option<Value>) -> Result<Outcome, ScriptError> {
    let key = Key::new("o1").expect("a key");
    handler(text).handle(&event(data), &key, state.as_ref(), &context())
}

/// The state a handler leaves.
pub(super) fn state(text: &str, data: Value) -> Value {
    match run(text, data, None) {
        Ok(Outcome::Done { state: Some(state), .. }) => state,
        other => panic!("{other:?}"),
    }
}

pub(super) fn error(text: &str, data: Value) -> ScriptError {
    run(text, data, None).expect_err("the script fails")
}

#[test]
fn the_event_is_in_scope_with_all_its_fields() {
    let left = state(
        r#"
        state.id = event.id; state.type = event.type; state.version = event.version; state.source = event.source;
        state.time = event.time; state.key = event.key; state.amount = event.data.amount;
        state.trace = event.headers["X-Trace"]; state.attempt = ctx.attempt; state.at = ctx.time;
        state.pipeline = ctx.pipeline;
        "#,
        json!({"amount": 5}),
    );
    assert_eq!(
        left,
        json!({
            "id": "e1", "type": "OrderCreated", "version": 2, "source": "shop", "time": "2026-01-02T03:04:05Z",
            "key": "o1", "amount": 5, "trace": "t1", "attempt": 1, "at": "2026-01-02T03:04:05Z",
            "pipeline": "fulfilment",
        })
    );
}

#[test]
fn absent_properties_read_as_unit_and_take_defaults() {
    let left = state(
        r#"
        state.a = event.data.absent ?? "default";
        state.b = event.data.absent?.deeper?.still ?? 1;
        state.c = event.data.absent == ();
        state.d = event.data.nothing ?? "null is absent";
        "#,
        json!({"nothing": null}),
    );
    assert_eq!(left, json!({"a": "default", "b": 1, "c": true, "d": "null is absent"}));
}

#[test]
fn closures_may_look_at_the_event_they_filter() {
    let left = state(
        r#"
        state.same = event.data.items.filter(|i| i.sku == event.data.sku).len();
        let wanted = event.data.sku;
        state.captured = event.data.items.filter(|i| i.sku == wanted).len();
        let total = 0;
        for item in event.data.items { total += item.n; }
        state.total = total;
        state.sum = event.data.items.map(|i| i.n).reduce(|sum, n| sum + n, 0);
        "#,
        json!({"sku": "a", "items": [{"sku": "a", "n": 1}, {"sku": "b", "n": 2}]}),
    );
    assert_eq!(left, json!({"same": 1, "captured": 1, "total": 3, "sum": 3}));
}
