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
#[derive(Clone, Copy, Debug)]
pub(super) struct Node<'a> {
    pub(super) document: &'a Document<'a>,
    schema: &'a Value,
    /// It is about the whole of an event's data.
    whole: bool,
    /// Conditions hold around it: what it lets be absent or null may still have to be there.
    pub(super) conditional: bool,
}

/// References and alternatives within each other; more are taken for a circle.
const MAX_STEPS: usize = 16;

/// Keywords that can make a member be there, or not be null, where others do not say so.
const CONDITIONS: [&str; 14] = [
    "if",
    "then",
    "else",
    "not",
    "dependentRequired",
    "dependentSchemas",
    "dependencies",
    "minProperties",
    "maxProperties",
    "propertyNames",
    "patternProperties",
    "contains",
    "$dynamicRef",
    "$recursiveRef",
];

/// What only names, explains or holds other schemas.
const ASIDE: [&str; 12] = [
    "$schema",
    "$id",
    "$anchor",
    "$comment",
    "$defs",
    "definitions",
    "title",
    "description",
    "examples",
    "default",
    "deprecated",
    "discriminator",
];

/// These make an object of the data of an event without a `type`: its key is read from it.
const OF_OBJECTS: [&str; 4] = ["properties", "required", "additionalProperties", "patternProperties"];

impl<'a> Document<'a> {
    pub fn new(file: String, schema: &'a Value) -> Self {
        Self { file, schema, has_ids: OnceCell::new() }
    }

    /// Of draft 7, or before.
    fn is_old(&self) -> bool {
        self.schema["$schema"].as_str().is_some_and(|draft| draft.contains("/draft-0"))
    }

    pub(super) fn root(&'a self) -> Node<'a> {
        Node { document: self, schema: self.schema, whole: true, conditional: false }
    }
}

impl<'a> Node<'a> {
    pub(super) fn is(&self, other: &Self) -> bool {
        std::ptr::eq(self.schema, other.schema)
    }

    /// JSON pointer to it.
    pub(super) fn pointer(&self) -> String {
        let mut keys = Vec::new();
        leads_to(self.document.schema, self.schema, &mut keys);
        keys.iter().rev().fold(String::new(), |at, key| format!("{at}/{}", key.replace('~', "~0").replace('/', "~1")))
    }

    /// JSON pointer to the first of these keywords that it has, else to itself.
    pub(super) fn pointer_to(&self, keywords: &[&str]) -> String {
        match keywords.iter().find(|keyword| self.schema.get(keyword).is_some()) {
            Some(keyword) => format!("{}/{keyword}", self.pointer()),
            None => self.pointer(),
        }
    }

    /// JSON pointer to where a member is `required`.
    pub(super) fn pointer_to_required(&self, member: &str) -> String {
        let list = self.schema.get("required").and_then(Value::as_array);
        match list.and_then(|list| list.iter().position(|name| name == member)) {
            Some(nth) => format!("{}/required/{nth}", self.pointer()),
            None => self.pointer(),
        }
    }

    /// Whether every valid object has this member, and not null. `None`: it says nothing of it.
    pub(super) fn guarantees(&self, member: &str) -> Option<bool> {
        let list = self.schema.get("required").and_then(Value::as_array);
        let required = list.is_some_and(|list| list.iter().any(|name| name == member));
        match self.schema.get("properties").and_then(|properties| properties.get(member)) {
            Some(property) => {
                let known = self.step(property).read(None);
                Some(required && (known.is_any() || !known.may_be(Kind::Unit)))
            }
            None if required => Some(true),
            None => self.schema.get("additionalProperties").filter(|others| others.is_object()).map(|_| false),
        }
    }

    /// A schema within it.
    fn step(&self, schema: &'a Value) -> Self {
        Self { schema, whole: false, ..*self }
    }

    /// The type of what is valid by it, in a place of an event.
    pub(super) fn read(&self, place: Option<&Place>) -> Type<'a> {
        self.read_within(place, MAX_STEPS)
    }

    fn read_within(&self, place: Option<&Place>, left: usize) -> Type<'a> {
        let (Some(schema), Some(left)) = (self.schema.as_object(), left.checked_sub(1)) else { return Type::any() };
        let conditional = self.conditional || schema.keys().any(|key| CONDITIONS.contains(&key.as_str()));
        let node = Self { conditional, ..*self };
        if !schema.contains_key("$ref") && !schema.contains_key("allOf") {
            return node.read_alone(schema, place, left);
        }
        let parts = node.parts(schema);
        // Beside a reference, older drafts take no notice of anything.
        if let Some(referred) = parts.first().filter(|_| schema.contains_key("$ref") && self.document.is_old()) {
            return referred.read_within(place, left);
        }
        let all = |whole: bool| {
            let each = parts.iter().map(|part| Self { whole, ..*part }.read_within(place, left));
            each.chain([Self { whole, ..node }.read_alone(schema, place, left)]).collect::<Vec<_>>()
        };
        let mut read = all(self.whole);
        // Where one part says that it is an object, the others are about objects, too.
        if !self.whole && read.iter().any(|part| part.is_only(Kind::Map)) {
            read = all(true);
        }
        read.into_iter().fold(Type::any(), Type::met)
    }

    /// Schemas that must hold beside what it says itself.
    fn parts(&self, schema: &'a Map<String, Value>) -> Vec<Self> {
        let mut parts = Vec::new();
        if let Some(reference) = schema.get("$ref") {
            let unknown = || self.step(&Value::Bool(true));
            parts.push(self.referred(reference).unwrap_or_else(unknown));
        }
        for part in schema.get("allOf").and_then(Value::as_array).into_iter().flatten() {
            parts.push(self.step(part));
        }
        parts
    }

    /// What it says itself.
    fn read_alone(&self, schema: &'a Map<String, Value>, place: Option<&Place>, left: usize) -> Type<'a> {
        if let Some(constant) = schema.get("const") {
            return self.constants(std::slice::from_ref(constant), place);
        }
        if let Some(constants) = schema.get("enum").and_then(Value::as_array) {
            return self.constants(constants, place);
        }
        if schema.contains_key("oneOf") || schema.contains_key("anyOf") {
            return match self.alternatives(schema, place, left) {
                Some(alternatives) => alternatives,
                None => Self { conditional: true, ..*self }.of_types(schema, place, left),
            };
        }
        self.of_types(schema, place, left)
    }

    fn of_types(&self, schema: &'a Map<String, Value>, place: Option<&Place>, left: usize) -> Type<'a> {
        let types: Vec<&str> = match schema.get("type") {
            Some(Value::String(one)) => vec![one],
            Some(Value::Array(several)) => several.iter().filter_map(Value::as_str).collect(),
            // Anywhere else what is no object may stand there, too: these keywords say nothing of it.
            _ if self.whole && OF_OBJECTS.iter().any(|key| schema.contains_key(*key)) => vec!["object"],
            _ => return Type::any(),
        };
        let each = types.iter().map(|name| self.of_type(name, schema, place, left));
        each.fold(Type::never(), Type::or).said_by(*self)
    }

    /// Whether nothing is within what it allows: then it can be read at once.
    pub(super) fn is_plain(&self) -> bool {
        let plain = |name: &Value| matches!(name.as_str(), Some("string" | "integer" | "number" | "boolean" | "null"));
        let Some(schema) = self.schema.as_object() else { return false };
        schema.contains_key("const")
            || schema.contains_key("enum")
            || match schema.get("type") {
                Some(Value::Array(several)) => several.iter().all(plain),
                Some(one) => plain(one),
                None => false,
            }
    }

    /// The schema of the items of an array.
    pub(super) fn items(&self) -> Option<Self> {
        let mut node = *self;
        for _ in 0..MAX_STEPS {
            let schema = node.schema.as_object()?;
            match schema.get("$ref") {
                Some(reference) => node = node.referred(reference)?,
                None => return node.item(schema),
            }
        }
        None
    }

    /// The schema of all items, if one schema is about all.
    fn item(&self, schema: &'a Map<String, Value>) -> Option<Self> {
        let items = schema.get("items").filter(|items| items.is_object() && !schema.contains_key("prefixItems"))?;
        Some(self.step(items))
    }

    /// Where a reference leads.
    fn referred(&self, reference: &Value) -> Option<Self> {
        let pointer = reference.as_str()?.strip_prefix('#')?;
        let schema = self.document.schema.pointer(pointer)?;
        let has_ids = *self.document.has_ids.get_or_init(|| has_ids(self.document.schema));
        (!has_ids).then_some(Self { schema, ..*self })
    }

    fn of_type(&self, name: &str, schema: &'a Map<String, Value>, place: Option<&Place>, left: usize) -> Type<'a> {
        match name {
            "null" => self.null(place),
            "boolean" => Type::boolean(),
            "integer" => Type::int(None),
            "number" => Type::int(None).or(Type::of(Atom::Float)),
            "string" => Type::text(None),
            "array" => {
                let place = place.map(Place::item);
                let item = self.item(schema).map(|items| items.read_within(place.as_ref(), left));
                Type::of(Atom::Array(Rc::new(item.unwrap_or_default())))
            }
            "object" => Type::map(self.record(schema, place)),
            _ => Type::any(),
        }
    }

    fn null(&self, place: Option<&Place>) -> Type<'a> {
        if self.conditional {
            return Type::any();
        }
        Type::unit(place.map(|place| Absent::new(place.clone(), Why::Null(*self))))
    }

    fn record(&self, schema: &'a Map<String, Value>, place: Option<&Place>) -> Record<'a> {
        let required: BTreeSet<&str> =
            schema.get("required").and_then(Value::as_array).into_iter().flatten().filter_map(Value::as_str).collect();
        let described = schema.get("properties").and_then(Value::as_object).into_iter().flatten();
        let mut record = Record { place: place.cloned(), says: Some(*self), ..Record::default() };
        for (name, property) in described {
            let slot = Slot::Said(self.step(property));
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
            Some(of @ Value::Object(_)) => Rest::Said(self.step(of)),
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
        constants.iter().map(of).fold(Type::never(), Type::or).said_by(*self)
    }

    /// A choice between schemas that say all there is to say.
    fn alternatives(&self, schema: &'a Map<String, Value>, place: Option<&Place>, left: usize) -> Option<Type<'a>> {
        let is_aside = |(key, value): (&String, &Value)| {
            ["oneOf", "anyOf", "allOf"].contains(&key.as_str())
                || ASIDE.contains(&key.as_str())
                || (key == "type" && value == "object")
        };
        let choices = match (schema.get("oneOf"), schema.get("anyOf")) {
            (Some(choices), None) | (None, Some(choices)) => choices,
            _ => return None,
        };
        let choices = choices.as_array().filter(|_| schema.iter().all(is_aside))?;
        let each = choices.iter().map(|choice| {
            let node = self.step(choice);
            node.read_within(place, left)
        });
        Some(each.fold(Type::never(), Type::or).said_by(*self))
    }
}

/// Adds the keys on the way from a value to one within it, the last first.
fn leads_to(value: &Value, wanted: &Value, keys: &mut Vec<String>) -> bool {
    if std::ptr::eq(value, wanted) {
        return true;
    }
    let key = match value {
        Value::Object(members) => {
            members.iter().find(|(_, inner)| leads_to(inner, wanted, keys)).map(|(name, _)| name.clone())
        }
        Value::Array(items) => items.iter().position(|inner| leads_to(inner, wanted, keys)).map(|nth| nth.to_string()),
        _ => None,
    };
    keys.extend(key.clone());
    key.is_some()
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
