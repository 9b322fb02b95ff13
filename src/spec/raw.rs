//! What users write, and nothing more: serde only. [`compile`](super::compile) makes it mean something.
//!
//! Everything is optional here, so that one missing key hides no other problem; `compile` asks for what must be there.

use std::collections::BTreeMap;
use std::fmt;

use serde::Deserialize;
use serde::de::{self, Deserializer, SeqAccess, Visitor};
use serde_yaml::Value;

/// `sluice.yaml`.
#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Project {
    pub format: Option<u64>,
    pub schemas: Option<String>,
    pub pipelines: Option<String>,
    pub connections: BTreeMap<String, Connection>,
    pub store: Option<Store>,
    pub channels: BTreeMap<String, Channel>,
    pub admin: Option<Admin>,
    pub defaults: Option<Reliability>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "lowercase", expecting = "one of `nats`")]
pub enum Connection {
    Nats(Nats),
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Nats {
    pub url: Option<String>,
    pub tls: Option<Tls>,
    pub creds: Option<String>,
    pub nkey: Option<String>,
    pub token: Option<String>,
    pub user: Option<String>,
    pub password: Option<String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Tls {
    pub required: Option<bool>,
    pub ca: Option<String>,
    pub cert: Option<String>,
    pub key: Option<String>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "lowercase", expecting = "one of `embedded`, `redis`, `memory`")]
pub enum Store {
    Embedded(Embedded),
    Redis(Redis),
    Memory(Nothing),
}

/// A database in a directory of this machine; what there is when nothing else is said.
#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Embedded {
    /// The directory, relative to the project: `.sluice` unless said otherwise. Local channels live there too.
    pub path: Option<String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Redis {
    pub url: Option<String>,
    pub durability: Option<Durability>,
}

#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(rename_all = "lowercase", expecting = "one of `auto`, `strict`, `relaxed`")]
pub enum Durability {
    Auto,
    Strict,
    Relaxed,
}

/// `{}`
#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Nothing {}

/// Exactly one kind, and the envelope beside it.
#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Channel {
    #[serde(deserialize_with = "present")]
    pub nats: Option<NatsChannel>,
    #[serde(deserialize_with = "present")]
    pub local: Option<LocalChannel>,
    pub envelope: Option<Envelope>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct NatsChannel {
    pub connection: Option<String>,
    pub stream: Option<String>,
    pub subject: Option<String>,
    pub subjects: Option<Vec<String>>,
    pub create: Option<bool>,
    pub ack_wait: Option<Human>,
}

/// A stream in the project's own database.
#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct LocalChannel {
    /// The channel's name unless said otherwise. Channels of one stream share its events.
    pub stream: Option<String>,
    /// The channel's name unless said otherwise.
    pub subject: Option<String>,
    pub subjects: Option<Vec<String>>,
    /// What the stream holds at most; beyond it, the oldest events go that all its consumers are done with.
    pub max_bytes: Option<Human>,
    /// An event that is older goes once all consumers are done with it.
    pub max_age: Option<Human>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "lowercase", expecting = "one of `sluice`, `cloudevents`, `cloudevents-binary`, or a `map`")]
pub enum Envelope {
    Sluice,
    CloudEvents,
    #[serde(rename = "cloudevents-binary")]
    CloudEventsBinary,
    Map(Mapping),
}

/// `{ map: {…} }`: each field from one place.
#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Mapping {
    pub id: Option<Mapped>,
    #[serde(rename = "type")]
    pub kind: Option<Mapped>,
    pub version: Option<Mapped>,
    pub source: Option<Mapped>,
    pub time: Option<Mapped>,
    pub data: Option<Mapped>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "lowercase", expecting = "one of `path`, `template`, `value`")]
pub enum Mapped {
    Path(String),
    Template(String),
    Value(Constant),
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Admin {
    pub listen: Option<String>,
    pub token: Option<String>,
}

/// What `defaults` may hold: any reliability block of a pipeline.
#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Reliability {
    pub retry: Option<Retry>,
    pub dead_letter: Option<String>,
    pub idempotency: Option<Idempotency>,
    pub unknown_version: Option<UnknownVersion>,
    pub slo: Option<Slo>,
}

#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(rename_all = "snake_case", expecting = "one of `dead_letter`, `park`")]
pub enum UnknownVersion {
    DeadLetter,
    Park,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Retry {
    pub attempts: Option<u64>,
    pub first: Option<Human>,
    pub factor: Option<f64>,
    pub max: Option<Human>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Idempotency {
    pub by: Option<Vec<String>>,
    pub retain: Option<Human>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Slo {
    pub lag: Option<Human>,
}

/// A pipeline file. Subscriptions and emits are decoded one by one, so that a broken one hides no other.
#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Pipeline {
    pub format: Option<u64>,
    pub pipeline: Option<String>,
    pub description: Option<String>,
    pub key: Option<String>,
    pub partitions: Option<u64>,
    pub subscriptions: Vec<Value>,
    pub emits: Vec<Value>,
    pub idempotency: Option<Idempotency>,
    pub retry: Option<Retry>,
    pub unknown_version: Option<UnknownVersion>,
    pub dead_letter: Option<String>,
    pub slo: Option<Slo>,
    pub limits: Option<Limits>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Limits {
    pub payload: Option<Human>,
    pub depth: Option<u64>,
    pub operations: Option<u64>,
    pub call_depth: Option<u64>,
    pub string: Option<Human>,
    pub items: Option<u64>,
    pub wall: Option<Human>,
    pub state: Option<Human>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Subscription {
    pub event: Option<String>,
    pub from: Option<OneOrMany>,
    pub versions: Option<Vec<u64>>,
    /// By the version it starts from, as it is written.
    pub upcast: BTreeMap<String, String>,
    pub key: Option<String>,
    #[serde(rename = "where")]
    pub filter: Option<String>,
    pub handler: Option<String>,
    pub script: Option<String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Emit {
    pub event: Option<String>,
    pub version: Option<u64>,
    pub to: Option<OneOrMany>,
}

/// `orders` or `[orders, legacy-orders]`.
#[derive(Debug)]
pub enum OneOrMany {
    One(String),
    Many(Vec<String>),
}

impl OneOrMany {
    pub fn names(&self) -> &[String] {
        match self {
            Self::One(name) => std::slice::from_ref(name),
            Self::Many(names) => names,
        }
    }
}

impl<'de> Deserialize<'de> for OneOrMany {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Either;
        impl<'de> Visitor<'de> for Either {
            type Value = OneOrMany;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a name or a list of names")
            }

            fn visit_str<E: de::Error>(self, name: &str) -> Result<OneOrMany, E> {
                Ok(OneOrMany::One(name.to_owned()))
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<OneOrMany, A::Error> {
                let mut names = Vec::new();
                while let Some(name) = seq.next_element()? {
                    names.push(name);
                }
                Ok(OneOrMany::Many(names))
            }
        }
        deserializer.deserialize_any(Either)
    }
}

/// A text or a whole number.
#[derive(Debug)]
pub enum Constant {
    Text(String),
    Number(u64),
}

impl<'de> Deserialize<'de> for Constant {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Either;
        impl Visitor<'_> for Either {
            type Value = Constant;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a text or a whole number")
            }

            fn visit_str<E: de::Error>(self, text: &str) -> Result<Constant, E> {
                Ok(Constant::Text(text.to_owned()))
            }

            fn visit_u64<E: de::Error>(self, number: u64) -> Result<Constant, E> {
                Ok(Constant::Number(number))
            }
        }
        deserializer.deserialize_any(Either)
    }
}

/// A duration or a size as it is written; `512` is a number in YAML and `1MB` is not.
#[derive(Debug)]
pub struct Human(pub String);

impl<'de> Deserialize<'de> for Human {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Text;
        impl Visitor<'_> for Text {
            type Value = Human;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a number with a unit")
            }

            fn visit_str<E: de::Error>(self, text: &str) -> Result<Human, E> {
                Ok(Human(text.to_owned()))
            }

            fn visit_u64<E: de::Error>(self, number: u64) -> Result<Human, E> {
                Ok(Human(number.to_string()))
            }

            fn visit_i64<E: de::Error>(self, number: i64) -> Result<Human, E> {
                Ok(Human(number.to_string()))
            }

            fn visit_f64<E: de::Error>(self, number: f64) -> Result<Human, E> {
                Ok(Human(number.to_string()))
            }
        }
        deserializer.deserialize_any(Text)
    }
}

/// A key that is there counts, even with nothing after its colon.
fn present<'de, D: Deserializer<'de>, T: Deserialize<'de>>(deserializer: D) -> Result<Option<T>, D::Error> {
    T::deserialize(deserializer).map(Some)
}
