//! JSON Schemas as types. What a schema says in a way that is not understood here may be anything.

use std::cell::OnceCell;
use std::collections::BTreeSet;
use std::rc::Rc;

use rhai::Position;
use serde_json::{Map, Value};

use super::model::{Absent, Atom, Kind, Place, Type, Why};
use super::record::{Member, Record, Rest, Slot};

/// A schema's file and what is in it.
#[derive(Debug)]
pub struct Document<'a> {
    /// Relative to the project.
    pub file: String,
    schema: &'a Value,
    /// Whether some part has an `$id` of its own, which references in it begin at.
    has_ids: OnceCell<bool>,
}

/// A schema within a document.
#[derive(Clone, Debug)]
pub(super) struct Node<'a> {
    pub(super) document: &'a Document<'a>,
    schema: &'a Value,
    /// JSON pointer to it.
    pub(super) at: Rc<str>,
}

/// References and alternatives within each other; more are taken for a circle.
const MAX_STEPS: usize = 16;

/// Keywords that say nothing of types, or only narrow the values of one.
const HARMLESS: [&str; 41] = [
    "$schema",
    "$id",
    "$anchor",
    "$comment",
    "$defs",
    "definitions",
    "$vocabulary",
    "title",
    "description",
    "default",
    "examples",
    "example",
    "deprecated",
    "readOnly",
    "writeOnly",
    "format",
    "pattern",
    "minLength",
    "maxLength",
    "contentEncoding",
    "contentMediaType",
    "contentSchema",
    "minimum",
    "maximum",
    "exclusiveMinimum",
    "exclusiveMaximum",
    "multipleOf",
    "minItems",
    "maxItems",
    "uniqueItems",
    "type",
    "enum",
    "const",
    "properties",
    "required",
    "additionalProperties",
    "patternProperties",
    "items",
    "oneOf",
    "anyOf",
    "discriminator",
];

/// These make an object of the data of an event without a `type`: its key is read from it.
const OF_OBJECTS: [&str; 4] = ["properties", "required", "additionalProperties", "patternProperties"];

impl<'a> Document<'a> {
    pub fn new(file: String, schema: &'a Value) -> Self {
        Self { file, schema, has_ids: OnceCell::new() }
    }

    pub(super) fn root(&'a self) -> Node<'a> {
        Node { document: self, schema: self.schema, at: "".into() }
    }
}

impl<'a> Node<'a> {
    pub(super) fn is(&self, other: &Self) -> bool {
        std::ptr::eq(self.schema, other.schema)
    }

    fn is_root(&self) -> bool {
        self.at.is_empty()
    }

    /// JSON pointer to the first of these keywords that it has, else to itself.
    pub(super) fn pointer_to(&self, keywords: &[&str]) -> String {
        match keywords.iter().find(|keyword| self.schema.get(keyword).is_some()) {
            Some(keyword) => format!("{}/{keyword}", self.at),
            None => self.at.to_string(),
        }
    }

    /// JSON pointer to where a member is `required`.
    pub(super) fn pointer_to_required(&self, member: &str) -> String {
        let list = self.schema.get("required").and_then(Value::as_array);
        match list.and_then(|list| list.iter().position(|name| name == member)) {
            Some(nth) => format!("{}/required/{nth}", self.at),
            None => self.at.to_string(),
        }
    }

    /// Whether every valid object has this member, and not null. `None`: it says nothing of it.
    pub(super) fn guarantees(&self, member: &str) -> Option<bool> {
        let list = self.schema.get("required").and_then(Value::as_array);
        let required = list.is_some_and(|list| list.iter().any(|name| name == member));
        match self.schema.get("properties").and_then(|properties| properties.get(member)) {
            Some(property) => {
                let known = self.step(property, &["properties", member]).read(None);
                Some(required && (known.is_any() || !known.may_be(Kind::Unit)))
            }
            None if required => Some(true),
            None => self.schema.get("additionalProperties").filter(|others| others.is_object()).map(|_| false),
        }
    }

    pub(super) fn step(&self, schema: &'a Value, keys: &[&str]) -> Self {
        let escaped = keys.iter().map(|key| key.replace('~', "~0").replace('/', "~1"));
        let at = escaped.fold(self.at.to_string(), |at, key| format!("{at}/{key}"));
        Self { document: self.document, schema, at: at.into() }
    }

    /// The type of what is valid by it, in a place of an event.
    pub(super) fn read(&self, place: Option<&Place>) -> Type<'a> {
        self.read_within(place, MAX_STEPS)
    }

    fn read_within(&self, place: Option<&Place>, left: usize) -> Type<'a> {
        let (Some(schema), Some(left)) = (self.schema.as_object(), left.checked_sub(1)) else { return Type::any() };
        if let Some(reference) = schema.get("$ref") {
            return match self.referred(schema, reference) {
                Some(node) => node.read_within(place, left),
                None => Type::any(),
            };
        }
        if schema.keys().any(|key| !HARMLESS.contains(&key.as_str())) {
            return Type::any();
        }
        if let Some(constant) = schema.get("const") {
            return self.constants(std::slice::from_ref(constant), place);
        }
        if let Some(constants) = schema.get("enum").and_then(Value::as_array) {
            return self.constants(constants, place);
        }
        if schema.contains_key("oneOf") || schema.contains_key("anyOf") {
            return self.alternatives(schema, place, left);
        }
        let types: Vec<&str> = match schema.get("type") {
            Some(Value::String(one)) => vec![one],
            Some(Value::Array(several)) => several.iter().filter_map(Value::as_str).collect(),
            // Anywhere else what is no object may stand there, too: these keywords say nothing of it.
            _ if self.is_root() && OF_OBJECTS.iter().any(|key| schema.contains_key(*key)) => vec!["object"],
            _ => return Type::any(),
        };
        let each = types.iter().map(|name| self.of_type(name, schema, place, left));
        each.fold(Type::never(), Type::or).said_by(self.clone())
    }

    /// The schema of the items of an array.
    pub(super) fn items(&self) -> Option<Self> {
        let mut node = self.clone();
        for _ in 0..MAX_STEPS {
            let schema = node.schema.as_object()?;
            match schema.get("$ref") {
                Some(reference) => node = node.referred(schema, reference)?,
                None => {
                    return schema
                        .get("items")
                        .filter(|items| items.is_object())
                        .map(|items| node.step(items, &["items"]));
                }
            }
        }
        None
    }

    /// Where a reference leads, if it stands alone.
    fn referred(&self, schema: &Map<String, Value>, reference: &Value) -> Option<Self> {
        let alone = |key: &str| matches!(key, "$ref" | "$defs" | "definitions" | "description" | "title" | "$comment");
        if !schema.keys().all(|key| alone(key)) {
            return None;
        }
        let pointer = reference.as_str()?.strip_prefix('#')?;
        let schema = self.document.schema.pointer(pointer)?;
        let has_ids = *self.document.has_ids.get_or_init(|| has_ids(self.document.schema));
        (!has_ids).then(|| Self { document: self.document, schema, at: pointer.into() })
    }

    fn of_type(&self, name: &str, schema: &'a Map<String, Value>, place: Option<&Place>, left: usize) -> Type<'a> {
        match name {
            "null" => self.null(place),
            "boolean" => Type::boolean(),
            "integer" => Type::int(None),
            "number" => Type::int(None).or(Type::of(Atom::Float)),
            "string" => Type::text(None),
            "array" => {
                let item = schema.get("items").filter(|items| items.is_object());
                let place = place.map(Place::item);
                let item = item.map(|items| self.step(items, &["items"]).read_within(place.as_ref(), left));
                Type::of(Atom::Array(Rc::new(item.unwrap_or_default())))
            }
            "object" => Type::map(self.record(schema, place)),
            _ => Type::any(),
        }
    }

    fn null(&self, place: Option<&Place>) -> Type<'a> {
        Type::unit(place.map(|place| Absent { place: place.clone(), why: Why::Null(self.clone()) }))
    }

    fn record(&self, schema: &'a Map<String, Value>, place: Option<&Place>) -> Record<'a> {
        let required: BTreeSet<&str> =
            schema.get("required").and_then(Value::as_array).into_iter().flatten().filter_map(Value::as_str).collect();
        let described = schema.get("properties").and_then(Value::as_object).into_iter().flatten();
        let mut record = Record { place: place.cloned(), says: Some(self.clone()), ..Record::default() };
        for (name, property) in described {
            let slot = Slot::Said(self.step(property, &["properties", name]));
            let optional = !required.contains(name.as_str());
            record.members.insert(name.as_str().into(), Member { slot, optional, at: Position::NONE });
        }
        for name in required {
            let any = || Member::known(Type::any(), Position::NONE);
            record.members.entry(name.into()).or_insert_with(any);
        }
        record.rest = match schema.get("additionalProperties") {
            _ if schema.contains_key("patternProperties") => Rest::Unknown,
            Some(Value::Bool(false)) => Rest::Nothing,
            Some(of @ Value::Object(_)) => Rest::Said(self.step(of, &["additionalProperties"])),
            _ => Rest::Unknown,
        };
        record
    }

    fn constants(&self, constants: &'a [Value], place: Option<&Place>) -> Type<'a> {
        let of = |constant: &Value| match constant {
            Value::Null => self.null(place),
            Value::Bool(b) => Type::of(Atom::Bool(Some(*b))),
            Value::String(text) => Type::text(Some(text)),
            Value::Number(number) => match number.as_i64() {
                Some(int) => Type::int(Some(int)),
                None => Type::of(Atom::Float),
            },
            Value::Array(_) | Value::Object(_) => Type::any(),
        };
        constants.iter().map(of).fold(Type::never(), Type::or).said_by(self.clone())
    }

    /// A choice between schemas that say all there is to say.
    fn alternatives(&self, schema: &'a Map<String, Value>, place: Option<&Place>, left: usize) -> Type<'a> {
        let aside = ["oneOf", "anyOf", "$defs", "definitions", "description", "title", "$comment", "discriminator"];
        let is_plain = |(key, value): (&String, &Value)| {
            aside.contains(&key.as_str()) || key.starts_with('$') || (key == "type" && value == "object")
        };
        let (key, choices) = match (schema.get("oneOf"), schema.get("anyOf")) {
            (Some(choices), None) => ("oneOf", choices),
            (None, Some(choices)) => ("anyOf", choices),
            _ => return Type::any(),
        };
        let Some(choices) = choices.as_array().filter(|_| schema.iter().all(is_plain)) else { return Type::any() };
        let each = choices.iter().enumerate().map(|(nth, choice)| {
            let node = self.step(choice, &[key, &nth.to_string()]);
            node.read_within(place, left)
        });
        each.fold(Type::never(), Type::or).said_by(self.clone())
    }
}

/// Whether some part of a schema has an `$id` of its own.
fn has_ids(schema: &Value) -> bool {
    let within = |value: &Value| match value {
        Value::Object(members) => members.iter().any(|(_, inner)| inner.get("$id").is_some() || has_ids(inner)),
        Value::Array(items) => items.iter().any(|inner| inner.get("$id").is_some() || has_ids(inner)),
        _ => false,
    };
    within(schema)
}
