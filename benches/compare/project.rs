//! The project that `sluice` runs for a workload, as a user would write it.

use std::fs;
use std::path::Path;

use crate::servers::{CONSUMER, IN, IN_STREAM, OUT, OUT_STREAM};
use crate::workload::{Ground, Job, Keys, Workload};

/// The name of the pipeline; with its channel's it makes the consumer's.
const PIPELINE: &str = "bench";
/// The channel that events come from.
pub const CHANNEL: &str = "orders";

const FOLD: &str = "\
state.count = (state.count ?? 0) + 1;
state.total_cents = (state.total_cents ?? 0) + event.data.amount_cents;
state.last_seq = event.data.seq;
state.status = \"open\";
state.currency = event.data.currency;
state.customer_id = event.data.customer_id;
";
const TELL: &str =
    "emit(\"OrderTotal\", #{ order_id: event.key, count: state.count, total_cents: state.total_cents });\n";
const PASS: &str = "emit(\"OrderTotal\", #{ order_id: event.key, count: 1, total_cents: event.data.amount_cents });\n";

const EVENT: &str = r#"{
  "type": "object",
  "required": ["order_id", "seq", "amount_cents", "currency", "customer_id", "items"],
  "properties": {
    "order_id": { "type": "string", "minLength": 1 },
    "seq": { "type": "integer", "minimum": 1 },
    "amount_cents": { "type": "integer", "minimum": 0 },
    "currency": { "type": "string", "pattern": "^[A-Z]{3}$" },
    "customer_id": { "type": "string", "minLength": 1 },
    "items": {
      "type": "array",
      "items": {
        "type": "object",
        "required": ["sku", "quantity"],
        "properties": { "sku": { "type": "string" }, "quantity": { "type": "integer", "minimum": 1 } }
      }
    },
    "notes": { "type": "string" }
  }
}
"#;
const TOTAL: &str = r#"{
  "type": "object",
  "required": ["order_id", "count", "total_cents"],
  "properties": {
    "order_id": { "type": "string", "minLength": 1 },
    "count": { "type": "integer", "minimum": 1 },
    "total_cents": { "type": "integer", "minimum": 0 }
  }
}
"#;

/// The first is the one that the driver watches.
pub fn pipeline_name(number: u64) -> String {
    if number == 0 { PIPELINE.to_owned() } else { format!("{PIPELINE}-{number}") }
}

/// Writes it with so many pipelines, each of which handles every event.
pub fn write_several(workload: &Workload, dir: &Path, pipelines: u64) {
    write(workload, dir);
    for name in (1..pipelines).map(pipeline_name) {
        file(dir, &format!("pipelines/{name}.yaml"), &pipeline(workload, &name));
    }
}

/// Writes it into `dir`. On servers it reads `NATS_URL` and `REDIS_URL` from its environment.
pub fn write(workload: &Workload, dir: &Path) {
    assert_eq!(CONSUMER, format!("sluice-{PIPELINE}-{CHANNEL}"), "the driver watches the consumer by its name");
    file(dir, "sluice.yaml", &settings(workload));
    file(dir, "pipelines/bench.yaml", &pipeline(workload, PIPELINE));
    let handler = match workload.job {
        Job::Order => [FOLD, TELL].concat(),
        Job::Pass => PASS.to_owned(),
        Job::Fold => FOLD.to_owned(),
    };
    file(dir, "pipelines/handler.rhai", &handler);
    for kind in workload.types() {
        file(dir, &format!("schemas/{kind}/1.json"), EVENT);
    }
    file(dir, "schemas/OrderTotal/1.json", TOTAL);
}

fn settings(workload: &Workload) -> String {
    match workload.ground {
        Ground::Servers => format!(
            "connections:\n  \
               bench: {{ nats: {{ url: \"${{NATS_URL}}\" }} }}\n\
             store: {{ redis: {{ url: \"${{REDIS_URL}}\" }} }}\n\
             channels:\n  \
               {CHANNEL}: {{ nats: {{ stream: {IN_STREAM}, subject: {IN} }} }}\n  \
               totals: {{ nats: {{ stream: {OUT_STREAM}, subject: {OUT} }} }}\n"
        ),
        Ground::Local => "store: { embedded: { path: .sluice } }\n".to_owned(),
    }
}

fn pipeline(workload: &Workload, name: &str) -> String {
    let mut text = format!("pipeline: {name}\nkey: data.order_id\nsubscriptions:\n");
    for kind in workload.types() {
        let waits = workload.keys == Keys::Pairs && *kind == "OrderPaid";
        let after = if waits { ", after: [OrderCreated]" } else { "" };
        text += &format!("  - {{ event: {kind}, from: {CHANNEL}, versions: [1], handler: handler.rhai{after} }}\n");
    }
    if workload.job != Job::Fold {
        text += "emits:\n  - { event: OrderTotal, version: 1, to: totals }\n";
    }
    text
}

fn file(dir: &Path, path: &str, text: &str) {
    let path = dir.join(path);
    fs::create_dir_all(path.parent().expect("it is in a directory")).expect("a directory");
    fs::write(path, text).expect("a file");
}
