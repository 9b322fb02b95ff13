//! A schema that refuses nothing.

use serde_json::Value;

use crate::lint::{Findings, Project};

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

pub fn check(project: &Project<'_>, findings: &mut Findings) {
    for (event, file, schema) in project.newest_schemas() {
        let remarks =
            |members: &serde_json::Map<String, Value>| members.keys().all(|key| REMARKS.contains(&key.as_str()));
        if **schema == Value::Bool(true) || schema.as_object().is_some_and(remarks) {
            let message = format!("whatever comes as `{}` {} is valid", event.kind, event.newest);
            let help =
                format!("say in `{file}` what handlers rely on: `\"type\": \"object\"`, `required` and `properties`");
            // Not in the schema: JSON has no comments, and it may be meant.
            findings.add(project.at_event(event), message, help);
        }
    }
}
