//! What users write, and nothing more: serde only. [`compile`](super::compile) makes it mean something.
//!
//! Everything is optional here, so that one missing key hides no other problem; `compile` asks for what must be there.
//! The comments on fields are read by users: editors show them, and `docs/configuration.md` holds them. They, the
//! defaults and the examples come to both through [`json_schema`](super::json_schema).

pub mod scenarios;

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::Deserialize;
use serde_yaml::Value;

use super::values;
pub use super::values::{Constant, Human, OneOrMany, Orders};

/// Where the things live that pipelines name: connections, channels, the store. Every line is optional.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Project {
    /// Version of this file's format.
    #[schemars(extend("const" = 1, "default" = 1))]
    pub format: Option<u64>,
    /// Directory of the events' schemas, one file a version: `schemas/OrderCreated/1.json`. Relative to this file.
    #[schemars(extend("default" = "schemas"))]
    pub schemas: Option<String>,
    /// Directory of the pipelines: every `.yaml` file below it is one, except for `*.test.yaml`. Relative to this file.
    #[schemars(extend("default" = "pipelines"))]
    pub pipelines: Option<String>,
    /// Servers by a name of your choice, for channels to refer to.
    pub connections: BTreeMap<String, Connection>,
    /// Where is kept what was handled, the state of every key, what is parked and what is still to be sent. Exactly
    /// one kind; without it, `embedded`.
    pub store: Option<Store>,
    /// Channels by the name that pipelines use: where events come from and go to. One that is not listed is local.
    #[schemars(extend("propertyNames" = { "pattern": values::CHANNEL }))]
    pub channels: BTreeMap<String, Channel>,
    /// Health and metrics over HTTP; without it nothing listens.
    pub admin: Option<Admin>,
    /// What holds for every pipeline that does not say otherwise.
    pub defaults: Option<Reliability>,
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase", expecting = "one of `nats`")]
pub enum Connection {
    /// A NATS server, or a cluster of them, with JetStream.
    Nats(Nats),
}

#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
#[schemars(extend("required" = ["url"]))]
pub struct Nats {
    /// Begins with `nats://`, `tls://`, `ws://` or `wss://`; several, separated by commas, are one cluster.
    #[schemars(schema_with = "values::nats_url", example = &"${NATS_URL:-nats://127.0.0.1:4222}")]
    pub url: Option<String>,
    /// Encryption of the connection.
    pub tls: Option<Tls>,
    /// Path of a credentials file, relative to the project. Of `creds`, `nkey`, `token` and `user` only one may be given.
    #[schemars(example = &"/run/secrets/nats.creds")]
    pub creds: Option<String>,
    /// An nkey's seed.
    #[schemars(example = &"${file:/run/secrets/nkey}")]
    pub nkey: Option<String>,
    /// A token.
    #[schemars(example = &"${NATS_TOKEN}")]
    pub token: Option<String>,
    /// A user's name; goes with `password`.
    #[schemars(example = &"shop")]
    pub user: Option<String>,
    /// The user's password.
    #[schemars(example = &"${file:/run/secrets/nats}")]
    pub password: Option<String>,
}

#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
#[schemars(extend("dependencies" = { "cert": ["key"], "key": ["cert"] }))]
pub struct Tls {
    /// Refuse a connection that is not encrypted.
    #[schemars(extend("default" = false))]
    pub required: Option<bool>,
    /// Path of a PEM file with the authorities to trust, beside the system's. Relative to the project.
    #[schemars(example = &"ca.pem")]
    pub ca: Option<String>,
    /// Path of a PEM file with the client's certificate; goes with `key`.
    #[schemars(example = &"client.pem")]
    pub cert: Option<String>,
    /// Path of a PEM file with the client's private key.
    #[schemars(example = &"client.key")]
    pub key: Option<String>,
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase", expecting = "one of `embedded`, `redis`, `memory`")]
pub enum Store {
    /// The project's own database, in a directory of this machine; also what there is without `store`. One `sluice run` at
    /// a time. Local channels live there too.
    Embedded(Embedded),
    /// A Redis or Valkey server, 7.0 or later, no cluster. The store of several runners.
    Redis(Redis),
    /// Remembers until the process ends: for trying things out.
    Memory(Nothing),
}

#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Embedded {
    /// The directory, relative to the project. It is made when it is not there.
    #[schemars(extend("default" = ".sluice"))]
    pub path: Option<String>,
}

#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
#[schemars(extend("required" = ["url"]))]
pub struct Redis {
    /// Begins with `redis://`, or `rediss://` for TLS; may hold user, password and database. A certificate must be issued by
    /// an authority that this system trusts, or one in the file that `SSL_CERT_FILE` names.
    #[schemars(schema_with = "values::redis_url", example = &"${REDIS_URL:-redis://127.0.0.1:6379}")]
    pub url: Option<String>,
    /// What a power failure may cost. `auto`: as the server's settings say. `strict`: refuse to start unless a reply is
    /// durable (`appendfsync always`). `relaxed`: accept without a warning that the last second or two can be lost.
    #[schemars(extend("default" = "auto"))]
    pub durability: Option<Durability>,
}

#[derive(Clone, Copy, Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase", expecting = "one of `auto`, `strict`, `relaxed`")]
pub enum Durability {
    Auto,
    Strict,
    Relaxed,
}

/// `{}`
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Nothing {}

/// Exactly one kind, and the envelope beside it.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
#[schemars(extend("oneOf" = [{ "required": ["nats"] }, { "required": ["local"] }]))]
pub struct Channel {
    /// A JetStream stream, or some of its subjects.
    #[serde(deserialize_with = "values::present")]
    pub nats: Option<NatsChannel>,
    /// A stream in the project's own database, on this machine; `local: {}` is what an unlisted channel is.
    #[serde(deserialize_with = "values::present")]
    pub local: Option<LocalChannel>,
    /// How messages say what they are: `sluice` (`{ id, type, source, version, time, data }`), `cloudevents` (structured) or
    /// `cloudevents-binary` (`ce-*` headers), read and written so; or a `map` of somebody else's messages, read only.
    /// Without it, what comes is told apart message by message, and what goes is written as `sluice`.
    pub envelope: Option<Envelope>,
}

#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
#[schemars(extend(
    "required" = ["stream"],
    "oneOf" = [{ "required": ["subject"] }, { "required": ["subjects"] }],
))]
pub struct NatsChannel {
    /// Which of `connections`; needed when there are several.
    #[schemars(example = &"main")]
    pub connection: Option<String>,
    /// Name of the stream.
    #[schemars(schema_with = "values::stream", example = &"ORDERS")]
    pub stream: Option<String>,
    /// The one subject. What is published to needs one without wildcards, in which `{pipeline}`, `{type}` and `{key}` are
    /// filled in.
    #[schemars(schema_with = "values::subject", example = &"dead.{pipeline}")]
    pub subject: Option<String>,
    /// Several subjects, or wildcards, to read from.
    #[schemars(schema_with = "values::subjects", example = ["orders.>"])]
    pub subjects: Option<Vec<String>>,
    /// Make the stream when it is not there: on disk, kept without limits, one replica, a duplicate window of two minutes.
    #[schemars(extend("default" = false))]
    pub create: Option<bool>,
    /// After this long without a sign of life the broker delivers an event to another runner, `1s` to `1h`. Runners send
    /// signs of life while they hold events.
    #[schemars(schema_with = "values::duration", extend("default" = "30s"))]
    pub ack_wait: Option<Human>,
}

#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
#[schemars(extend("not" = { "required": ["subject", "subjects"] }))]
pub struct LocalChannel {
    /// Name of the stream; the channel's unless said otherwise. Channels that name one stream share its events.
    #[schemars(schema_with = "values::stream", example = &"orders")]
    pub stream: Option<String>,
    /// The one subject; the channel's name unless said otherwise. What is published to needs one without wildcards, in which
    /// `{pipeline}`, `{type}` and `{key}` are filled in.
    #[schemars(schema_with = "values::subject", example = &"dead.{pipeline}")]
    pub subject: Option<String>,
    /// Several subjects, or wildcards, to read from. Not together with `subject`.
    #[schemars(schema_with = "values::subjects", example = ["orders.>"])]
    pub subjects: Option<Vec<String>>,
    /// What the stream holds at most, not less than `1MiB`. Beyond it, the oldest events go that all consumers are done
    /// with; a stream that is full of others takes nothing more until its consumers caught up.
    #[schemars(schema_with = "values::size", extend("default" = "1GiB"))]
    pub max_bytes: Option<Human>,
    /// An event that is older goes once all consumers are done with it.
    #[schemars(schema_with = "values::duration", extend("default" = "7d"))]
    pub max_age: Option<Human>,
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase", expecting = "one of `sluice`, `cloudevents`, `cloudevents-binary`, or a `map`")]
pub enum Envelope {
    Sluice,
    CloudEvents,
    #[serde(rename = "cloudevents-binary")]
    CloudEventsBinary,
    /// Where the parts of an event stand in messages of somebody else's making.
    Map(Mapping),
}

#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
#[schemars(extend("required" = ["type"]))]
pub struct Mapping {
    /// The event's id. Without it, an event is identified by its place in the stream.
    #[schemars(extend("examples" = [{ "path": ".delivery" }]))]
    pub id: Option<Mapped>,
    /// The event's type.
    #[serde(rename = "type")]
    #[schemars(extend("examples" = [{ "template": "PullRequest.{.action}" }]))]
    pub kind: Option<Mapped>,
    /// The event's version; without it, 1.
    #[schemars(extend("examples" = [{ "value": 1 }]))]
    pub version: Option<Mapped>,
    /// Who tells it; without it, the channel.
    #[schemars(extend("examples" = [{ "path": ".repository.full_name" }]))]
    pub source: Option<Mapped>,
    /// When it happened.
    #[schemars(extend("examples" = [{ "path": ".created_at" }]))]
    pub time: Option<Mapped>,
    /// The event's data, by a `path` to a member of the payload; without it, the whole payload.
    #[schemars(extend("examples" = [{ "path": ".order" }]))]
    pub data: Option<Mapped>,
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase", expecting = "one of `path`, `template`, `value`")]
pub enum Mapped {
    /// A place in the message: `.` is the payload, `.order.id` a member of it, `headers.NAME` a header, `data.…` a member of
    /// what `data` takes.
    Path(String),
    /// A text with paths in braces, like `PullRequest.{.action}`.
    Template(String),
    /// The same for every event: a text, or a version.
    Value(Constant),
}

#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Admin {
    /// Address and port. One that is not loopback needs a `token`.
    #[schemars(schema_with = "values::listen", extend("default" = "127.0.0.1:7474"))]
    pub listen: Option<String>,
    /// What a caller must send as `Authorization: Bearer …`.
    #[schemars(example = &"${file:/run/secrets/sluice}")]
    pub token: Option<String>,
}

/// What `defaults` may hold: any reliability block of a pipeline.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Reliability {
    /// See the pipeline's `retry`.
    pub retry: Option<Retry>,
    /// See the pipeline's `dead_letter`.
    #[schemars(schema_with = "values::channel", example = &"dead")]
    pub dead_letter: Option<String>,
    /// See the pipeline's `idempotency`.
    pub idempotency: Option<Idempotency>,
    /// See the pipeline's `unknown_version`.
    pub unknown_version: Option<UnknownVersion>,
    /// See the pipeline's `slo`.
    pub slo: Option<Slo>,
}

#[derive(Clone, Copy, Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case", expecting = "one of `dead_letter`, `park`")]
pub enum UnknownVersion {
    DeadLetter,
    Park,
}

#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Retry {
    /// Runs of the handler in all, the first included; then the event is a dead letter.
    #[schemars(range(min = 1, max = 1000), extend("default" = 5))]
    pub attempts: Option<u64>,
    /// The first wait. Every wait is between half and all of what the schedule says.
    #[schemars(schema_with = "values::duration", extend("default" = "5s"))]
    pub first: Option<Human>,
    /// How much longer each wait is than the one before it.
    #[schemars(range(min = 1, max = 100), extend("default" = 4))]
    pub factor: Option<f64>,
    /// The longest wait; not shorter than `first`.
    #[schemars(schema_with = "values::duration", extend("default" = "1h"))]
    pub max: Option<Human>,
}

#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Idempotency {
    /// What identifies an event, always together with its key: `[source, id]` or `[id]`.
    #[schemars(schema_with = "values::identity", extend("default" = ["source", "id"]))]
    pub by: Option<Vec<String>>,
    /// How long events are remembered, at least. One that arrives later than this is a dead letter, `beyond_retain`.
    #[schemars(schema_with = "values::duration", extend("default" = "7d"))]
    pub retain: Option<Human>,
}

#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Slo {
    /// How far behind the pipeline may be. Checked and kept; nothing acts on it in this release.
    #[schemars(schema_with = "values::duration", example = &"30s")]
    pub lag: Option<Human>,
}

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
pub struct Limits {
    /// Bytes of an event as it is received.
    #[schemars(schema_with = "values::size", extend("default" = "1MiB"))]
    pub payload: Option<Human>,
    /// Levels of nesting in an event, a state, or what is emitted.
    #[schemars(range(min = 1, max = 100), extend("default" = 64))]
    pub depth: Option<u64>,
    /// Operations of one run of a script.
    #[schemars(range(min = 1, max = 1_000_000_000), extend("default" = 1_000_000))]
    pub operations: Option<u64>,
    /// Function calls within function calls.
    #[schemars(range(min = 1, max = 128), extend("default" = 32))]
    pub call_depth: Option<u64>,
    /// Bytes of one string in a script.
    #[schemars(schema_with = "values::size", extend("default" = "1MiB"))]
    pub string: Option<Human>,
    /// Items of one list or map in a script.
    #[schemars(range(min = 1, max = 10_000_000), extend("default" = 65_536))]
    pub items: Option<u64>,
    /// Time that one run of a script may take.
    #[schemars(schema_with = "values::duration", extend("default" = "1s"))]
    pub wall: Option<Human>,
    /// Bytes of one key's state, as JSON.
    #[schemars(schema_with = "values::size", extend("default" = "1MiB"))]
    pub state: Option<Human>,
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
