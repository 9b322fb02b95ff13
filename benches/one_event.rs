//! What the gate does with one event, step by step, for those who measure it: without broker, store, clock or threads,
//! and with randomness from a seed.
//!
//! The job: events of 400 bytes, each about an order that was seen before. They match a schema of nested objects, a
//! script adds them to the order's state and emits one event of another type. `BATCH` of them, of as many keys, are
//! measured in turn.

use std::fs;
use std::hint::black_box;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use serde_json::{Value, json};
use sluicegate::bus::memory::MemoryBus;
use sluicegate::clock::{Entropy as _, SeededEntropy, SystemClock};
use sluicegate::event::{Event, Headers, Key, Millis, Partition, Position, RawEvent};
use sluicegate::flow::decide::{Decision, Env, Item, KeyWork, Origin, Outcome, Remembered, decide};
use sluicegate::flow::emit::{Destination, Destinations};
use sluicegate::flow::route::{Route, Routed, Subject, route};
use sluicegate::flow::validate::validate;
use sluicegate::script::Context;
use sluicegate::spec::load_without_environment;
use sluicegate::spec::program::{DurabilityChoice, Envelope, Pipeline, Subscription, Written};
use sluicegate::store::record::{Book, KeyRecord};
use sluicegate::store::redis::{RedisConfig, RedisStore};
use sluicegate::store::{Commit, FoundKey, Group, Nonce, WriterId};

/// Events that are prepared, and that one commit carries.
pub const BATCH: usize = 64;
const PAYLOAD_BYTES: usize = 400;
const NOW: Millis = Millis(1_740_823_200_000);

const PIPELINE: &str = "\
pipeline: orders
key: data.order_id
subscriptions:
  - { event: ItemsOrdered, from: in, versions: [1], handler: handlers/items_ordered.rhai }
emits:
  - { event: OrderChanged, version: 1, to: out }
";

const HANDLER: &str = "\
state.customer_id = event.data.customer_id;
state.total_cents = (state.total_cents ?? 0) + event.data.amount_cents;
state.deliveries = (state.deliveries ?? 0) + 1;
state.status = if state.total_cents > 1000000 { \"large\" } else { \"open\" };
emit(\"OrderChanged\", #{ order_id: event.key, total_cents: state.total_cents, status: state.status });
";

/// A step's name, how many events it does at once, and how it is done: with the `n`th event, or batch, counted round and round.
pub struct Step {
    pub name: &'static str,
    pub events: u64,
    pub run: Box<dyn Fn(usize)>,
}

/// All steps, in the order in which an event takes them; `parse` is the floor that the others are compared with.
pub fn steps() -> Vec<Step> {
    let job = Arc::new(Job::new());
    let step = |name, run: fn(&Job, usize)| {
        let job = Arc::clone(&job);
        Step { name, events: 1, run: Box::new(move |n| run(&job, n % BATCH)) }
    };
    vec![
        step("parse", |job, n| {
            black_box(serde_json::from_slice::<Value>(&job.raws[n].payload).is_ok());
        }),
        step("route", |job, n| {
            black_box(job.route(n));
        }),
        step("validate", |job, n| {
            let (_, event, subscription) = job.keyed(n);
            let _ = black_box(validate(event, subscription));
        }),
        step("handle", |job, n| {
            let (key, event, subscription) = job.keyed(n);
            let context = Context { attempt: 1, time: NOW, pipeline: Arc::clone(&job.pipeline.name) };
            let _ = black_box(subscription.handler.handle(event, key, job.records[n].state.as_ref(), &context));
        }),
        step("decide", |job, n| {
            black_box(job.decide(n));
        }),
        step("read record", |job, n| {
            let _ = black_box(KeyRecord::decode(&job.found[n].record));
        }),
        step("write record", |job, n| {
            black_box(job.records[n].encode());
        }),
        Step {
            events: BATCH as u64,
            ..step("encode commit", |job, _| {
                black_box(job.store.encoded(&job.commits));
            })
        },
    ]
}

/// A batch, ready for each step.
struct Job {
    pipeline: Arc<Pipeline>,
    destinations: Destinations,
    raws: Vec<RawEvent>,
    items: Vec<Item>,
    records: Vec<KeyRecord>,
    found: Vec<FoundKey>,
    entropy: SeededEntropy,
    store: RedisStore,
    commits: [Commit; 1],
}

impl Job {
    fn new() -> Self {
        let bus = MemoryBus::new(Arc::new(SystemClock));
        let mut destinations = Destinations::default();
        let sink = Arc::new(bus.sink("out".into()));
        destinations.0.insert("out".into(), Destination { sink, envelope: Written::Sluice });
        let config = RedisConfig {
            url: "redis://127.0.0.1/".to_owned().into(),
            durability: DurabilityChoice::Relaxed,
            pipeline: "orders".into(),
            partitions: 1,
            retain: Duration::from_secs(7 * 24 * 60 * 60),
        };
        let store = RedisStore::new(config, Arc::new(SystemClock)).expect("the address is one");
        let entropy = SeededEntropy::new(1);
        let records: Vec<KeyRecord> = (0..BATCH).map(record).collect();
        let found = records
            .iter()
            .map(|record| FoundKey { nonce: Some(Nonce(entropy.fresh())), record: record.encode(), parked: Vec::new() })
            .collect();
        let mut job = Self {
            pipeline: pipeline(),
            destinations,
            raws: (0..BATCH).map(raw).collect(),
            items: Vec::new(),
            records,
            found,
            entropy,
            store,
            commits: [Commit::alone(Partition(0), Group::default(), NOW, &SeededEntropy::new(2))],
        };
        job.items = (0..BATCH).map(|n| Item { origin: Origin::Source, routed: job.routed(n) }).collect();
        let groups = (0..BATCH).map(|n| {
            let decision = job.decide(n);
            assert_eq!(
                decision.outcomes,
                [Outcome::Done],
                "the events must be handled, or it is not the job that is measured"
            );
            assert_eq!(decision.emissions.len(), 1, "each emits one event");
            decision.group.expect("a handled event is written down")
        });
        job.commits = [Commit {
            partition: Partition(0),
            writer: WriterId(job.entropy.fresh()),
            expected_number: 1_000,
            now: NOW,
            groups: groups.collect(),
            cleared: (1..=BATCH as u64).collect(),
            returned: Vec::new(),
        }];
        job
    }

    fn route(&self, n: usize) -> Route {
        route(self.raws[n].clone(), &self.pipeline, &Envelope::Auto)
    }

    fn routed(&self, n: usize) -> Routed {
        match self.route(n) {
            Route::Handle(routed) => *routed,
            Route::Ignore => panic!("the pipeline takes every event of the job"),
        }
    }

    fn keyed(&self, n: usize) -> (&Key, &Event, &Arc<Subscription>) {
        match &self.items[n].routed.subject {
            Subject::Keyed { key, event, subscription: Some(subscription) } => (key, event, subscription),
            other => panic!("every event of the job has a key and a subscription: {other:?}"),
        }
    }

    fn decide(&self, n: usize) -> Decision {
        let env = Env {
            pipeline: &self.pipeline,
            destinations: &self.destinations,
            revision: "bench",
            envelope: &|_| Envelope::Auto,
            now: NOW,
            entropy: &self.entropy,
            watched: false,
        };
        let (key, ..) = self.keyed(n);
        let items = vec![(&self.items[n], Remembered::default())];
        decide(&env, &KeyWork { items, ..KeyWork::of(Some(key), &self.found[n]) })
    }
}

fn pipeline() -> Arc<Pipeline> {
    let project = tempfile::tempdir().expect("a folder");
    let text = |minimum| json!({ "type": "string", "minLength": minimum });
    let line = json!({
        "type": "object",
        "required": ["sku", "quantity", "cents"],
        "properties": {
            "sku": { "type": "string", "pattern": "^[A-Z]{3}-[0-9]+$" },
            "quantity": { "type": "integer", "minimum": 1 },
            "cents": { "type": "integer", "minimum": 0 }
        },
        "additionalProperties": false
    });
    let ordered = json!({
        "type": "object",
        "required": ["order_id", "customer_id", "amount_cents", "currency", "lines"],
        "properties": {
            "order_id": text(1),
            "customer_id": text(1),
            "amount_cents": { "type": "integer", "minimum": 0 },
            "currency": { "enum": ["EUR", "USD"] },
            "lines": { "type": "array", "minItems": 1, "items": line },
            "note": text(0)
        },
        "additionalProperties": false
    });
    let changed = json!({ "type": "object", "required": ["order_id", "total_cents", "status"] });
    for (path, content) in [
        ("sluice.yaml", String::new()),
        ("pipelines/orders.yaml", PIPELINE.to_owned()),
        ("pipelines/handlers/items_ordered.rhai", HANDLER.to_owned()),
        ("schemas/ItemsOrdered/1.json", ordered.to_string()),
        ("schemas/OrderChanged/1.json", changed.to_string()),
    ] {
        write(&project.path().join(path), &content);
    }
    let loaded = load_without_environment(project.path());
    let program = loaded.program.unwrap_or_else(|| panic!("{:?}", loaded.diagnostics));
    Arc::clone(&program.pipelines[0])
}

fn write(path: &Path, content: &str) {
    fs::create_dir_all(path.parent().expect("it is in a folder")).expect("a folder is made");
    fs::write(path, content).expect("a file is written");
}

/// The `n`th event, a note making up what is missing to the size that is wanted.
fn raw(n: usize) -> RawEvent {
    let event = |note: &str| {
        json!({
            "id": format!("event-{n:08}"),
            "type": "ItemsOrdered",
            "version": 1,
            "source": "shop",
            "time": "2025-03-01T10:00:00Z",
            "data": {
                "order_id": format!("order-{n:08}"),
                "customer_id": format!("customer-{n:08}"),
                "amount_cents": 4_200 + n,
                "currency": "EUR",
                "lines": [
                    { "sku": format!("ABC-{n:04}"), "quantity": 1, "cents": 2_100 },
                    { "sku": format!("XYZ-{n:04}"), "quantity": 2, "cents": 1_050 }
                ],
                "note": note
            }
        })
        .to_string()
    };
    let missing = PAYLOAD_BYTES.checked_sub(event("").len()).expect("the event is short enough without a note");
    let payload = event(&"x".repeat(missing));
    RawEvent {
        position: Position { channel: "in".into(), seq: 1 + n as u64 },
        stored_at: NOW,
        headers: Headers::default(),
        payload: Bytes::from(payload),
    }
}

/// What is known of the `n`th order.
fn record(n: usize) -> KeyRecord {
    let state = json!({
        "customer_id": format!("customer-{n:08}"),
        "total_cents": 120_000 + n,
        "deliveries": 12,
        "status": "open"
    });
    let mut book = Book::default();
    book.handle("ItemsOrdered");
    KeyRecord { book, state: Some(state) }
}
