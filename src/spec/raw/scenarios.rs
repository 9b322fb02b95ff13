//! What users write into `*.test.yaml`.

use std::collections::BTreeMap;
use std::fmt;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::Deserialize;
use serde::de::{self, Deserializer, MapAccess, Visitor};
use serde_yaml::Value;

use super::super::values::{self, Human};

/// Scenarios for `sluice test`: events that come, and what must have become of them.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
#[schemars(extend("required" = ["pipelines", "scenarios"]))]
pub struct Scenarios {
    /// Version of this file's format.
    #[schemars(extend("const" = 1, "default" = 1))]
    pub format: Option<u64>,
    /// The pipelines that run, by their files, relative to this one. Of several, one's output is another's input where they name
    /// the same channel.
    #[schemars(length(min = 1), example = ["fulfilment.yaml"])]
    pub pipelines: Option<Vec<String>>,
    /// What is played, each by itself, on an empty store and empty channels.
    #[schemars(length(min = 1))]
    pub scenarios: Option<Vec<Scenario>>,
}

#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
#[schemars(extend("required" = ["name", "given", "then"]))]
pub struct Scenario {
    /// What it shows, for people; unique in its file.
    #[schemars(length(min = 1), example = &"shipped before created still converges")]
    pub name: Option<String>,
    /// What comes, in this order.
    #[schemars(length(min = 1))]
    pub given: Option<Vec<Given>>,
    /// Play it again in other orders, with duplicates, with crashes: `then` must hold every time.
    pub explore: Option<Explore>,
    /// What must hold when nothing is in flight any more. What waits for a time waits: let it pass with `wait`.
    pub then: Option<Then>,
}

/// An `event`, something `raw`, or a `wait`.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
#[schemars(extend("oneOf" = [{ "required": ["event"] }, { "required": ["raw"] }, { "required": ["wait"] }]))]
pub struct Given {
    /// Type of an event that comes.
    #[schemars(schema_with = "values::event", example = &"OrderCreated")]
    pub event: Option<String>,
    /// A message as it stands, event or not; nothing is checked or filled in.
    #[schemars(example = &"{not json")]
    pub raw: Option<String>,
    /// Time that passes. Nothing that comes before it is delivered after it, in no order that is explored.
    #[schemars(schema_with = "values::duration", example = &"2m")]
    pub wait: Option<Human>,
    /// The event's version; without it, the newest that is accepted.
    #[schemars(range(min = 1, max = 4_294_967_295_u32), example = 1)]
    pub version: Option<u64>,
    /// The event's data, which must match the schema of its version.
    #[schemars(with = "serde_json::Value", extend("examples" = [{ "order_id": "o1" }]))]
    pub data: Option<Value>,
    /// The event's id; without it, `e-1` for the first of `given`, `e-2` for the second, and so on.
    #[schemars(example = &"e-1")]
    pub id: Option<String>,
    /// Who tells it.
    #[schemars(extend("default" = "scenario"))]
    pub source: Option<String>,
    /// When it happened; without it, when it is delivered in this order. Time begins on 2025-01-01 at midnight, UTC; each delivery
    /// takes a millisecond.
    #[schemars(example = &"2025-01-01T12:00:00Z")]
    pub time: Option<String>,
    /// The channel it comes from; without it, the first of the subscription that takes it. Needed where that is not clear.
    #[schemars(schema_with = "values::channel", example = &"orders")]
    pub from: Option<String>,
    /// Headers of the message.
    #[schemars(extend("examples" = [{ "x-tenant": "eu" }]))]
    pub headers: BTreeMap<String, String>,
    /// How often it comes again, right behind itself.
    #[schemars(range(max = 100), extend("default" = 0))]
    pub duplicates: Option<u64>,
}

#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Explore {
    /// Which orders of delivery are tried. `all`: every one; where there are more than 2,000, a sample of so many, and it says so.
    /// `{ sample: 200, seed: 1 }`: some. Without it, only the order that is given.
    pub orders: Option<Orders>,
    /// How many events may be delivered once more in one run, whichever, at any later place before the next `wait`. What is `raw`
    /// is not repeated: without an identity, it would be another.
    #[schemars(range(max = 5), extend("default" = 0))]
    pub duplicates: Option<u64>,
    /// Play the given order once for each moment at which the process could die, and go on after it.
    #[schemars(extend("default" = false))]
    pub crashes: Option<bool>,
}

/// `all`, or `{ sample: 200, seed: 1 }`.
#[derive(Debug)]
pub enum Orders {
    All,
    Sample(Sample),
}

#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
#[schemars(extend("required" = ["sample"]))]
pub struct Sample {
    /// How many orders.
    #[schemars(range(min = 1, max = 100_000))]
    pub sample: Option<u64>,
    /// Another seed is another sample.
    #[schemars(extend("default" = 1))]
    pub seed: Option<u64>,
}

impl<'de> Deserialize<'de> for Orders {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Either;
        impl<'de> Visitor<'de> for Either {
            type Value = Orders;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("`all`, or `{ sample: 200, seed: 1 }`")
            }

            fn visit_str<E: de::Error>(self, word: &str) -> Result<Orders, E> {
                if word == "all" { Ok(Orders::All) } else { Err(E::unknown_variant(word, &["all"])) }
            }

            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Orders, A::Error> {
                Sample::deserialize(de::value::MapAccessDeserializer::new(map)).map(Orders::Sample)
            }
        }
        deserializer.deserialize_any(Either)
    }
}

impl JsonSchema for Orders {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Orders".into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        json_schema!({ "oneOf": [{ "enum": ["all"] }, Sample::json_schema(generator)] })
    }
}

#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
#[schemars(extend(
    "allOf" = [
        { "not": { "required": ["state", "state_exact"] } },
        { "not": { "required": ["emits", "emits_exact"] } },
    ],
    "minProperties" = 1,
))]
pub struct Then {
    /// State of keys: members that it has, among others, or `absent`. In a file of several pipelines, by pipeline first:
    /// `{ fulfilment: { o1: { status: shipped } } }`.
    #[schemars(with = "Option<BTreeMap<String, serde_json::Value>>", extend("examples" = [{ "o1": { "status": "shipped" }, "o2": "absent" }]))]
    pub state: Option<BTreeMap<String, Value>>,
    /// All state there is: these keys and no others, each with all it has.
    #[schemars(with = "Option<BTreeMap<String, serde_json::Value>>", extend("examples" = [{ "o1": { "status": "shipped" } }]))]
    pub state_exact: Option<BTreeMap<String, Value>>,
    /// Events that were emitted, among others, in any order.
    pub emits: Option<Vec<Emitted>>,
    /// All events that were emitted, in any order.
    pub emits_exact: Option<Vec<Emitted>>,
    /// All events that were set aside, in any order; `[]` for none.
    pub dead_letters: Option<Vec<DeadLetter>>,
    /// How many events wait.
    #[schemars(range(max = 1_000_000), example = 0)]
    pub parked: Option<u64>,
}

#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
#[schemars(extend("required" = ["event"]))]
pub struct Emitted {
    /// The event's type.
    #[schemars(schema_with = "values::event", example = &"ShipmentTracked")]
    pub event: Option<String>,
    /// Its version.
    #[schemars(range(min = 1, max = 4_294_967_295_u32), example = 1)]
    pub version: Option<u64>,
    /// Where it went.
    #[schemars(schema_with = "values::channel", example = &"shipments")]
    pub to: Option<String>,
    /// Members of its data, among others.
    #[schemars(with = "serde_json::Value", extend("examples" = [{ "order_id": "o1" }]))]
    pub data: Option<Value>,
}

#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
#[schemars(extend("minProperties" = 1))]
pub struct DeadLetter {
    /// The event's type.
    #[schemars(schema_with = "values::event", example = &"OrderShipped")]
    pub event: Option<String>,
    /// Its key.
    #[schemars(example = &"o1")]
    pub key: Option<String>,
    /// How it failed: `permanent`, `script`, `transient`, `limit` or `crash_suspect`.
    #[schemars(example = &"permanent")]
    pub class: Option<String>,
    /// Why, in one word: `schema`, `rejected`, `no_key` and so on.
    #[schemars(example = &"schema")]
    pub reason: Option<String>,
    /// The pipeline that set it aside.
    #[schemars(schema_with = "values::pipeline", example = &"fulfilment")]
    pub pipeline: Option<String>,
}
