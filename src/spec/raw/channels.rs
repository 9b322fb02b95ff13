//! Channels, and the envelopes of what is in them.

use schemars::JsonSchema;
use serde::Deserialize;

use super::super::values;
use super::{Constant, Human};

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
