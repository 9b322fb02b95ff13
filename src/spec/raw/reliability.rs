//! How hard a pipeline tries, what it remembers, and its bounds; most of it may also be a default for all.

use schemars::JsonSchema;
use serde::Deserialize;

use super::super::values;
use super::{Human, OnFailure, Reorder};

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
    /// See the pipeline's `reorder`.
    pub reorder: Option<Reorder>,
    /// See the pipeline's `on_failure`.
    pub on_failure: Option<OnFailure>,
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
