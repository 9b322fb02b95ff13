//! A property that must be there and is not described, while one that is almost called so is, and need not be there: one of
//! the two is misspelt.

use serde_json::Value;

use crate::diagnostic::did_you_mean;
use crate::lint::subschemas::{self, Role};
use crate::lint::{Flaw, Where};
use crate::spec::locate::Target;

/// With these the description may stand elsewhere.
const ELSEWHERE: [&str; 10] = [
    "$ref",
    "allOf",
    "anyOf",
    "oneOf",
    "if",
    "dependentSchemas",
    "dependencies",
    "patternProperties",
    "additionalProperties",
    "unevaluatedProperties",
];

pub fn check(schema: &Value) -> Vec<Flaw> {
    let mut found = Vec::new();
    subschemas::each(schema, &mut |members, at, role| {
        let described = members.get("properties").and_then(Value::as_object);
        let required = members.get("required").and_then(Value::as_array);
        let (Some(described), Some(required)) = (described, required) else { return };
        if role == Role::Part || ELSEWHERE.iter().any(|key| members.contains_key(*key)) {
            return;
        }
        let names: Vec<&str> = required.iter().filter_map(Value::as_str).collect();
        // One that is required itself is not what another was meant to be.
        let left = || described.keys().map(String::as_str).filter(|known| !names.contains(known));
        for (nth, name) in required.iter().enumerate().filter_map(|(nth, name)| Some((nth, name.as_str()?))) {
            if described.contains_key(name) {
                continue;
            }
            if let Some(meant) = did_you_mean(name, left()) {
                found.push(Flaw {
                    at: Where::InSchema(at.key("required").index(nth), Target::Value),
                    message: format!("`{name}` must be there, and is not among the `properties`"),
                    help: format!("did you mean `{meant}`?"),
                });
            }
        }
    });
    found
}
