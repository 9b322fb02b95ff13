//! Checks a script and runs what passes: as a handler, as an upcaster and as a filter, within a small budget.
#![no_main]

use std::sync::LazyLock;
use std::time::{Duration, Instant};

use libfuzzer_sys::fuzz_target;
use serde_json::json;
use sluicegate::event::{Event, Headers, Key, Millis};
use sluicegate::script::pool::Pool;
use sluicegate::script::{Context, Engine, Kind, Source};
use sluicegate::spec::program::Limits;

/// One engine: built once in a process, as in a run.
static ENGINE: LazyLock<Engine> = LazyLock::new(|| {
    let limits = Limits { operations: 20_000, wall: Duration::from_millis(200), ..Limits::default() };
    Engine::new(limits, std::path::Path::new("/nonexistent"))
});
static POOL: LazyLock<Pool> = LazyLock::new(|| Pool::new(1).expect("a thread"));

/// Generous: the sanitizer and a busy machine are slow, but a native that does not end is slower.
const PATIENCE: Duration = Duration::from_secs(8);

fuzz_target!(|text: &str| {
    let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
    for kind in [Kind::Handler, Kind::Upcaster, Kind::Filter] {
        let Ok(script) = ENGINE.compile(kind, &Source { file: "h.rhai", text, line_offset: 0 }) else { continue };
        let started = Instant::now();
        let run = move || {
            let event = event();
            let key = Key::new("k").expect("a key");
            let state = json!({ "n": 1, "list": ["a", "b"] });
            let context = Context { attempt: 1, time: Millis(1_767_323_045_000), pipeline: "p".into() };
            match kind {
                Kind::Handler => drop(script.handle(&event, &key, Some(&state), &context)),
                Kind::Upcaster => drop(script.upcast(&event)),
                Kind::Filter => drop(script.matches(&event, &key, Some(&state), &context)),
            }
        };
        runtime.block_on(POOL.run(run)).expect("no panic gets out of a run");
        assert!(started.elapsed() < PATIENCE, "{:?}", started.elapsed());
    }
});

fn event() -> Event {
    Event {
        id: "e1".into(),
        kind: "OrderCreated".into(),
        version: 1,
        source: "shop".into(),
        time: None,
        data: json!({ "s": "text", "n": 5, "f": 1.5, "list": [1, 2, 3], "map": { "a": { "b": null } } }),
        headers: Headers(vec![("x-trace".into(), "t1".into())]),
    }
}
