//! Order beyond that of arrival: sequences, resequencing, and what holds for events that wait for others.

use schemars::JsonSchema;
use serde::Deserialize;

use super::super::values;
use super::{FirstNumber, Human};

#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
#[schemars(extend("required" = ["by"]))]
pub struct Sequence {
    /// Path to the number: an integer below `data.`, or a header of digits; read from the event as it was received.
    #[schemars(schema_with = "values::member_path", example = &"data.seq")]
    pub by: Option<String>,
    /// The number that a key begins with; `any`: with whichever comes first.
    #[schemars(extend("default" = 1))]
    pub first: Option<FirstNumber>,
}

#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
#[schemars(extend("required" = ["by", "hold"]))]
pub struct Resequence {
    /// When an event happened: `time` is that of its envelope, or when the event was stored, if it has none; else the path
    /// to a time in RFC 3339 or to an integer, below `data.` or in a header.
    #[schemars(schema_with = "values::event_time", example = &"time", example = &"data.at")]
    pub by: Option<String>,
    /// How long an event is held from its arrival, for earlier ones to come. Not longer than `idempotency.retain`.
    #[schemars(schema_with = "values::duration", example = &"5s")]
    pub hold: Option<Human>,
}

#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Reorder {
    /// How long an event waits for a type it comes `after`, and a key for a gap in its `sequence`.
    #[schemars(schema_with = "values::duration", extend("default" = "10m"))]
    pub timeout: Option<Human>,
    /// What becomes of those that waited too long. `dead_letter`: they are set aside, `timeout` or `gap`. `advance`: what they
    /// waited for is given up, and they are handled in order.
    #[schemars(extend("default" = "dead_letter"))]
    pub on_timeout: Option<OnTimeout>,
    /// What becomes of those that wait for an event that was set aside. `hold`: they wait until a person replays or discards
    /// it, however long that takes. `dead_letter`: they are set aside too, `dead_prerequisite`.
    #[schemars(extend("default" = "hold"))]
    pub on_dead_prerequisite: Option<OnDeadPrerequisite>,
    /// How many events of one key may wait. One more is set aside, `buffer_full`; what others wait for is always admitted.
    #[schemars(range(min = 1, max = 1_000_000), extend("default" = 1000))]
    pub max_parked_per_key: Option<u64>,
    /// Bytes of all that waits in one partition; beyond them as beyond `max_parked_per_key`.
    #[schemars(schema_with = "values::size", extend("default" = "64MiB"))]
    pub max_parked_bytes: Option<Human>,
}

#[derive(Clone, Copy, Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case", expecting = "one of `dead_letter`, `advance`")]
pub enum OnTimeout {
    DeadLetter,
    Advance,
}

#[derive(Clone, Copy, Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case", expecting = "one of `hold`, `dead_letter`")]
pub enum OnDeadPrerequisite {
    Hold,
    DeadLetter,
}

#[derive(Clone, Copy, Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case", expecting = "one of `continue`, `block_key`")]
pub enum OnFailure {
    Continue,
    BlockKey,
}
