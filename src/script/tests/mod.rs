mod diagnostics;
mod functions;
mod hostile;
mod imports;
mod language;

use serde_json::json;

use super::*;

fn event(data: Value) -> Event {
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

fn context() -> Context {
    Context { attempt: 1, time: Millis(1_767_323_045_000), pipeline: "fulfilment".into() }
}

fn compile(kind: Kind, text: &str) -> Result<Script, Vec<Diagnostic>> {
    let root = tempfile::tempdir().expect("a directory");
    let engine = Engine::new(Limits::default(), root.path());
    engine.compile(kind, &Source { file: "pipelines/handlers/h.rhai", text, line_offset: 0 })
}

fn handler(text: &str) -> Script {
    compile(Kind::Handler, text).unwrap_or_else(|problems| panic!("{problems:#?}"))
}

fn run(text: &str, data: Value, state: Option<Value>) -> Result<Outcome, ScriptError> {
    let key = Key::new("o1").expect("a key");
    handler(text).handle(&event(data), &key, state.as_ref(), &context())
}

/// The state a handler leaves.
fn state(text: &str, data: Value) -> Value {
    match run(text, data, None) {
        Ok(Outcome::Done { state: Some(state), .. }) => state,
        other => panic!("{other:?}"),
    }
}

fn error(text: &str, data: Value) -> ScriptError {
    run(text, data, None).expect_err("the script fails")
}

fn done(text: &str, data: Value) -> (Option<Value>, Vec<Emitted>) {
    match run(text, data, None) {
        Ok(Outcome::Done { state, emitted }) => (state, emitted),
        other => panic!("{other:?}"),
    }
}

fn json_of(text: &str) -> Value {
    serde_json::from_str(text).expect("JSON")
}
