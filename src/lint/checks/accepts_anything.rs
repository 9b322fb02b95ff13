//! A schema that refuses nothing.

use serde_json::{Map, Value};

use crate::lint::{Flaw, Where};

/// What says something of a schema, and nothing of an event.
const REMARKS: [&str; 13] = [
    "$schema",
    "$id",
    "$comment",
    "$defs",
    "definitions",
    "title",
    "description",
    "default",
    "examples",
    "deprecated",
    "readOnly",
    "writeOnly",
    "$anchor",
];

pub fn check(schema: &Value) -> Vec<Flaw> {
    let remarks = |members: &Map<String, Value>| members.keys().all(|key| REMARKS.contains(&key.as_str()));
    let flaw = || Flaw {
        at: Where::AtEvent,
        message: "whatever comes is valid: its schema demands nothing".to_owned(),
        help: "say what handlers rely on: `\"type\": \"object\"`, `required` and `properties`".to_owned(),
    };
    let anything = *schema == Value::Bool(true) || schema.as_object().is_some_and(remarks);
    anything.then(flaw).into_iter().collect()
}
