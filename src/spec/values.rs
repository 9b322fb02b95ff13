//! Values as people write them, and what a JSON Schema says of them.
//!
//! The patterns are for editors: they say early and roughly what [`names`](super::names) and [`units`](super::units)
//! decide. A test compares the two.

use std::fmt;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::Deserialize;
use serde::de::{self, Deserializer, SeqAccess, Visitor};

use crate::diagnostic::rules::RULES;

pub const DURATION: &str = r"^([0-9]+(ms|s|m|h|d|w))+$";
pub const SIZE: &str = r"^0*[1-9][0-9]* *(B|[kKMG]B|[KMG]iB)?$";
pub const PIPELINE: &str = r"^[a-z0-9][a-z0-9_-]{0,63}$";
pub const CHANNEL: &str = r"^[A-Za-z0-9_-]{1,64}$";
pub const EVENT: &str = r"^[A-Za-z][A-Za-z0-9_-]*(\.[A-Za-z0-9_-]+)*$";
pub const FIELD_PATH: &str = r"^(id|source|(data|headers)(\.[^.\s]+( +[^.\s]+)*)+)$";
pub const MEMBER_PATH: &str = r"^(data|headers)(\.[^.\s]+( +[^.\s]+)*)+$";
pub const EVENT_TIME: &str = r"^(time|(data|headers)(\.[^.\s]+( +[^.\s]+)*)+)$";
pub const STREAM: &str = r"^[^\s.*>/\\]+$";
pub const SUBJECT: &str =
    r"^(\*|([^\s.*>{}]|\{(pipeline|type|key)\})+)(\.(\*|([^\s.*>{}]|\{(pipeline|type|key)\})+))*(\.>)?$|^>$";
pub const VERSION: &str = r"^[1-9][0-9]*$";
const LISTEN: &str = r"^(localhost|[0-9.]+|\[[0-9A-Fa-f:.]+\]):[0-9]{1,5}$";

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

impl JsonSchema for OneOrMany {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "OneOrMany".into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let one = channel(generator);
        json_schema!({ "anyOf": [one, { "type": "array", "items": one, "minItems": 1, "uniqueItems": true }] })
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

impl JsonSchema for Constant {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Constant".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": ["string", "integer"], "minLength": 1, "minimum": 1 })
    }
}

/// The number a sequence begins with.
#[derive(Clone, Copy, Debug)]
pub enum FirstNumber {
    Any,
    At(i64),
}

impl<'de> Deserialize<'de> for FirstNumber {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Either;
        impl Visitor<'_> for Either {
            type Value = FirstNumber;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a whole number of 64 bits, or `any`")
            }

            fn visit_i64<E: de::Error>(self, number: i64) -> Result<FirstNumber, E> {
                Ok(FirstNumber::At(number))
            }

            fn visit_u64<E: de::Error>(self, number: u64) -> Result<FirstNumber, E> {
                let fits = i64::try_from(number);
                fits.map(FirstNumber::At).map_err(|_| E::invalid_value(de::Unexpected::Unsigned(number), &self))
            }

            fn visit_str<E: de::Error>(self, text: &str) -> Result<FirstNumber, E> {
                match text {
                    "any" => Ok(FirstNumber::Any),
                    other => Err(E::invalid_value(de::Unexpected::Str(other), &self)),
                }
            }
        }
        deserializer.deserialize_any(Either)
    }
}

impl JsonSchema for FirstNumber {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "FirstNumber".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "oneOf": [{ "type": "integer" }, { "const": "any" }] })
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
pub fn present<'de, D: Deserializer<'de>, T: Deserialize<'de>>(deserializer: D) -> Result<Option<T>, D::Error> {
    T::deserialize(deserializer).map(Some)
}

/// A text of a pattern; editors show `wrong` where it does not match.
fn text(pattern: &str, wrong: &str) -> Schema {
    json_schema!({ "type": "string", "pattern": pattern, "patternErrorMessage": wrong })
}

pub fn duration(_: &mut SchemaGenerator) -> Schema {
    text(DURATION, "write a duration like `500ms`, `30s`, `10m`, `1h30m` or `7d`")
}

pub fn size(_: &mut SchemaGenerator) -> Schema {
    json_schema!({
        "type": ["string", "integer"],
        "pattern": SIZE,
        "patternErrorMessage": "write a size like `512`, `64KiB`, `1MB` or `16MiB`",
        "minimum": 1,
    })
}

pub fn pipeline(_: &mut SchemaGenerator) -> Schema {
    text(PIPELINE, "a pipeline's name is lower case letters, digits, `-` and `_`, and begins with a letter or digit")
}

pub fn channel(_: &mut SchemaGenerator) -> Schema {
    text(CHANNEL, "a channel's name is letters, digits, `-` and `_`")
}

pub fn event(_: &mut SchemaGenerator) -> Schema {
    let mut schema = text(EVENT, "an event type begins with a letter and holds letters, digits, `.`, `-` and `_`");
    schema.insert("maxLength".to_owned(), 128.into());
    schema
}

pub fn events(generator: &mut SchemaGenerator) -> Schema {
    let one = event(generator);
    json_schema!({ "type": "array", "items": one, "uniqueItems": true })
}

pub fn member_path(_: &mut SchemaGenerator) -> Schema {
    text(MEMBER_PATH, "a path to a member begins with `data.` or `headers.`, like `data.seq`")
}

pub fn event_time(_: &mut SchemaGenerator) -> Schema {
    text(EVENT_TIME, "write `time`, or a path that begins with `data.` or `headers.`, like `data.at`")
}

pub fn field_path(_: &mut SchemaGenerator) -> Schema {
    text(FIELD_PATH, "a path begins with `data.` or `headers.`, or is `id` or `source`, like `data.order_id`")
}

pub fn stream(_: &mut SchemaGenerator) -> Schema {
    text(STREAM, "a stream's name has no spaces, dots, slashes, `*` or `>`")
}

pub fn subject(_: &mut SchemaGenerator) -> Schema {
    text(
        SUBJECT,
        "a subject is tokens joined by dots, like `orders.eu`; its placeholders are `{pipeline}`, `{type}` and `{key}`",
    )
}

pub fn subjects(generator: &mut SchemaGenerator) -> Schema {
    let one = subject(generator);
    json_schema!({ "type": "array", "items": one, "minItems": 1 })
}

/// Ids of the rules of `sluice lint`.
pub fn rules() -> Vec<&'static str> {
    RULES.iter().map(|rule| rule.id).collect()
}

pub fn listen(_: &mut SchemaGenerator) -> Schema {
    text(LISTEN, "write an address and port, like `127.0.0.1:7474`")
}

pub fn nats_url(_: &mut SchemaGenerator) -> Schema {
    text("^(nats|tls|ws|wss)://.", "it begins with `nats://`, `tls://`, `ws://` or `wss://`")
}

pub fn redis_url(_: &mut SchemaGenerator) -> Schema {
    text("^rediss?://.", "it begins with `redis://` or `rediss://`")
}

/// `[source, id]` or `[id]`.
pub fn identity(_: &mut SchemaGenerator) -> Schema {
    json_schema!({
        "type": "array",
        "items": { "enum": ["source", "id"] },
        "contains": { "const": "id" },
        "minItems": 1,
        "uniqueItems": true,
    })
}

pub fn versions(_: &mut SchemaGenerator) -> Schema {
    json_schema!({
        "type": "array",
        "items": { "type": "integer", "minimum": 1, "maximum": u32::MAX },
        "minItems": 1,
        "uniqueItems": true,
    })
}
