//! A pipeline's own file.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::Deserialize;
use serde_yaml::Value;

use super::super::values;
use super::{Idempotency, Limits, OnFailure, OneOrMany, Reorder, Resequence, Retry, Sequence, Slo, UnknownVersion};

/// One pipeline: the events it takes, what becomes of them, and how hard it tries.
// Subscriptions and emits are decoded one by one, so that a broken one hides no other.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
#[schemars(extend("required" = ["pipeline", "subscriptions"]))]
pub struct Pipeline {
    /// Version of this file's format.
    #[schemars(extend("const" = 1, "default" = 1))]
    pub format: Option<u64>,
    /// Its name, part of the names of consumers and of all that is stored: lower case letters, digits, `-` and `_`.
    #[schemars(schema_with = "values::pipeline", example = &"fulfilment")]
    pub pipeline: Option<String>,
    /// What it is for, for people.
    #[schemars(example = &"One shipment per order")]
    pub description: Option<String>,
    /// Path to what an event is about, the unit of order and of state: `data.…`, `headers.…`, `id` or `source`, read from
    /// the event as it was received. There it finds a string or an integer of at most 1,024 bytes. A subscription may
    /// have its own.
    #[schemars(schema_with = "values::field_path", example = &"data.order_id")]
    pub key: Option<String>,
    /// Slices of the keys, handled side by side. Fixed with first use: a store that was made otherwise refuses to start.
    #[schemars(range(min = 1, max = 1024), extend("default" = 16))]
    pub partitions: Option<u64>,
    /// The event types it takes, each from where, and with which handler. A type from a channel has one at most.
    #[schemars(with = "Vec<Subscription>", length(min = 1))]
    pub subscriptions: Vec<Value>,
    /// What its handlers may emit, by which schema, to which channels.
    #[schemars(with = "Vec<Emit>")]
    pub emits: Vec<Value>,
    /// How an event is known again.
    pub idempotency: Option<Idempotency>,
    /// Events of a key carry numbers without gaps, and are handled in the order of these. One whose number is too high waits
    /// for those between; one whose number is behind is a dead letter. An event of a type without a subscription counts, if
    /// it has the `key` of the pipeline. Not together with `resequence`.
    pub sequence: Option<Sequence>,
    /// Events are held for a while and handled in the order in which they happened. One that is older than what was handled
    /// is a dead letter, `late`. Not together with `sequence`.
    pub resequence: Option<Resequence>,
    /// What holds for events that wait for others, by `after`, `sequence` or `wait_for("…")` in a handler.
    pub reorder: Option<Reorder>,
    /// What becomes of a key when one of its events is set aside. `continue`: the next one is handled. `block_key`: what comes
    /// later for the key waits until a person replays or discards the dead letter.
    #[schemars(extend("default" = "continue"))]
    pub on_failure: Option<OnFailure>,
    /// The schedule for `retry("…")` in a handler.
    pub retry: Option<Retry>,
    /// What becomes of an event in a version that is not among `versions`. `dead_letter`: it is set aside at once. `park`: it
    /// waits for a program that accepts it, and what comes later for its key waits behind it, so order holds; no attempt
    /// is counted. Restart with the new pipeline file, and it is handled at once (within five minutes, where another runner
    /// has it). After `idempotency.retain` it is a dead letter `unknown_version` after all. `sluice status` counts it as
    /// parked.
    #[schemars(extend("default" = "dead_letter"))]
    pub unknown_version: Option<UnknownVersion>,
    /// Channel that dead letters are also published to, with the reason in headers. Without it they are in the store's
    /// ledger only.
    #[schemars(schema_with = "values::channel", example = &"dead")]
    pub dead_letter: Option<String>,
    /// What is expected of it.
    pub slo: Option<Slo>,
    /// Bounds on an event, on a run of a script, and on the state it leaves.
    pub limits: Option<Limits>,
}

#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
#[schemars(extend(
    "required" = ["event", "from", "versions"],
    "oneOf" = [{ "required": ["handler"] }, { "required": ["script"] }],
))]
pub struct Subscription {
    /// The event's type: a fact, in the past tense. Also the name of its directory below `schemas`.
    #[schemars(schema_with = "values::event", example = &"OrderCreated")]
    pub event: Option<String>,
    /// The channel it comes from, or several.
    #[schemars(example = &"orders", example = ["orders", "legacy-orders"])]
    pub from: Option<OneOrMany>,
    /// The versions it accepts; each has a schema. The handler sees only the newest.
    #[schemars(schema_with = "values::versions", example = [1, 2])]
    pub versions: Option<Vec<u64>>,
    /// For every accepted version below the newest, the script that makes it the next accepted one. Paths are relative to
    /// this file.
    // By the version it starts from, as it is written.
    #[schemars(extend("propertyNames" = { "pattern": values::VERSION }, "examples" = [{ "1": "order_created_1_to_2.rhai" }]))]
    pub upcast: BTreeMap<String, String>,
    /// Path to what this event is about, where it is not the pipeline's.
    #[schemars(schema_with = "values::field_path", example = &"data.order.id")]
    pub key: Option<String>,
    /// Types that must have been handled for the key before this event is: until then it waits, and holds up no other. Each
    /// is the `event` of another subscription of this pipeline.
    #[schemars(schema_with = "values::events", example = ["OrderCreated"])]
    pub after: Option<Vec<String>>,
    /// A filter: a Rhai expression over `event` (in its newest version), `state` and `ctx`. Where it is `false`, the event is `skipped`.
    #[serde(rename = "where")]
    #[schemars(example = &"event.data.carrier != \"none\"")]
    pub filter: Option<String>,
    /// Path of the handler, relative to this file. Either this or `script`.
    #[schemars(example = &"handlers/order_created.rhai")]
    pub handler: Option<String>,
    /// The handler itself.
    #[schemars(example = &"state.seen = true;")]
    pub script: Option<String>,
}

#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
#[schemars(extend("required" = ["event", "version", "to"]))]
pub struct Emit {
    /// The event's type.
    #[schemars(schema_with = "values::event", example = &"ShipmentTracked")]
    pub event: Option<String>,
    /// The version whose schema it must match.
    #[schemars(range(min = 1, max = 4_294_967_295_u32), example = 1)]
    pub version: Option<u64>,
    /// The channel it goes to, or several: each gets it.
    #[schemars(example = &"shipments", example = ["shipments", "audit"])]
    pub to: Option<OneOrMany>,
}
