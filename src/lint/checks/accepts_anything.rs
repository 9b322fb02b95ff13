//! A schema that refuses nothing.

use serde_json::Value;

use crate::lint::{Findings, Project};
use crate::spec::locate::NodePath;

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
    for event in project.events() {
        let Some((file, schema)) = project.schema(&event) else { continue };
        let remarks =
            |members: &serde_json::Map<String, Value>| members.keys().all(|key| REMARKS.contains(&key.as_str()));
        if schema == Value::Bool(true) || schema.as_object().is_some_and(remarks) {
            let message = format!("whatever comes as `{}` {} is valid", event.kind, event.newest);
            let help = "say what its handlers rely on, like `\"type\": \"object\"`, `required` and `properties`";
            findings.add(project.at(&file, &NodePath::default()), message, help);
        }
    }
}
