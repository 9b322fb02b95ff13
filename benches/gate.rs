//! What the gate itself costs an event, without broker and store: `cargo bench`.
//!
//! Three sides, interleaved, several rounds, on the sample project's events: *parse* (JSON alone, the floor), *route*
//! (envelope, key, digests) and *decide* (route, schema, upcast, handler, group of writes). Told are medians, their
//! spread and ratios to the floor; absolute figures depend on the machine and on what else it does.

#![allow(clippy::print_stdout, clippy::disallowed_methods, reason = "a benchmark prints, and asks for the time")]

use std::hint::black_box;
use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

use bytes::Bytes;
use sluicegate::bus::memory::MemoryBus;
use sluicegate::clock::{SeededEntropy, SystemClock};
use sluicegate::event::{Headers, Millis, Position, RawEvent};
use sluicegate::flow::decide::{Env, Item, KeyWork, Origin, Remembered, decide};
use sluicegate::flow::emit::{Destination, Destinations};
use sluicegate::flow::route::{Route, Subject, route};
use sluicegate::spec::load_without_environment;
use sluicegate::spec::program::{Envelope, Pipeline, Written};
use sluicegate::store::FoundKey;

const ROUNDS: usize = 9;
const PASSES: usize = 2_000;

/// A name, and what it does with one event.
type Side<'a> = (&'static str, &'a dyn Fn(&Bytes));

fn main() {
    let loaded = load_without_environment(Path::new(env!("CARGO_MANIFEST_DIR")));
    let program = loaded.program.expect("the sample project loads");
    let pipeline = &program.pipelines[0];
    let bus = MemoryBus::new(Arc::new(SystemClock));
    let mut destinations = Destinations::default();
    for name in ["shipments", "dead"] {
        let sink = Arc::new(bus.sink(name.into()));
        destinations.0.insert(name.into(), Destination { sink, envelope: Written::Sluice });
    }
    let text = include_str!("../pipelines/sample-events.ndjson");
    let events: Vec<Bytes> = text.lines().map(|line| Bytes::from_static(line.as_bytes())).collect();

    let sides: [Side<'_>; 3] = [
        ("parse", &|event| {
            let _ = black_box(serde_json::from_slice::<serde_json::Value>(event));
        }),
        ("route", &|event| {
            black_box(routed(event, pipeline));
        }),
        ("decide", &|event| decided(event, pipeline, &destinations)),
    ];
    let mut times = [const { Vec::new() }; 3];
    for _ in 0..ROUNDS {
        for ((_, side), times) in sides.iter().zip(&mut times) {
            let began = Instant::now();
            for _ in 0..PASSES {
                events.iter().for_each(side);
            }
            times.push(began.elapsed().as_nanos() as f64 / (PASSES * events.len()) as f64);
        }
    }
    println!("{:8} {:>10} {:>10} {:>10} {:>8}", "side", "median ns", "least", "most", "ratio");
    let mut floor = None;
    for ((name, _), times) in sides.iter().zip(&mut times) {
        times.sort_by(f64::total_cmp);
        let median = times[ROUNDS / 2];
        let floor = *floor.get_or_insert(median);
        println!("{name:8} {median:10.0} {:10.0} {:10.0} {:8.2}", times[0], times[ROUNDS - 1], median / floor);
    }
}

fn routed(payload: &Bytes, pipeline: &Pipeline) -> Route {
    let raw = RawEvent {
        position: Position { channel: "orders".into(), seq: 1 },
        stored_at: Millis(0),
        headers: Headers::default(),
        payload: payload.clone(),
    };
    route(raw, pipeline, &Envelope::Auto)
}

fn decided(payload: &Bytes, pipeline: &Pipeline, destinations: &Destinations) {
    let Route::Handle(routed) = routed(payload, pipeline) else { return };
    let env = Env {
        pipeline,
        destinations,
        revision: "bench",
        envelope: &|_| Envelope::Auto,
        now: Millis(1),
        entropy: &SeededEntropy::new(1),
        watched: false,
    };
    let item = Item { origin: Origin::Source, routed: *routed };
    let key = match &item.routed.subject {
        Subject::Keyed { key, .. } => Some(key.clone()),
        Subject::Keyless { .. } => None,
    };
    let items = vec![(&item, Remembered::default())];
    let found = FoundKey::default();
    black_box(decide(&env, &KeyWork { items, ..KeyWork::of(key.as_ref(), &found) }));
}
