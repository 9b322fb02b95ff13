//! An event that carries ids makes everybody who takes it ask its sender.

use serde_json::Value;

use crate::lint::{Findings, Project};

/// With these a schema asks for more than what it requires itself.
const MORE: [&str; 6] = ["$ref", "allOf", "anyOf", "oneOf", "if", "dependentRequired"];

pub fn check(project: &Project<'_>, findings: &mut Findings) {
    for (event, file, schema) in project.newest_schemas() {
        if is_thin(schema) {
            let message = format!("all that `{}` {} must say is ids", event.kind, event.newest);
            let help = format!("require in `{file}` what those who take it need; else each of them has to ask for it");
            // Not in the schema: JSON has no comments, and one event may be thin with reason.
            findings.add(project.at_event(event), message, help);
        }
    }
}

fn is_thin(schema: &Value) -> bool {
    let Some(required) = schema["required"].as_array().filter(|required| !required.is_empty()) else { return false };
    let more = MORE.iter().any(|key| schema.get(key).is_some());
    !more && required.iter().all(|name| name.as_str().is_some_and(is_id))
}

fn is_id(name: &str) -> bool {
    name == "id" || name.ends_with("_id") || name.ends_with("Id") || name.ends_with("ID")
}
