//! An event that carries ids makes everybody who takes it ask its sender.

use serde_json::Value;

use crate::lint::{Flaw, Where};

/// With these a schema asks for more than what it requires itself.
const MORE: [&str; 6] = ["$ref", "allOf", "anyOf", "oneOf", "if", "dependentRequired"];

pub fn check(schema: &Value) -> Vec<Flaw> {
    let flaw = || Flaw {
        at: Where::AtEvent,
        message: "all that its schema demands is ids".to_owned(),
        help: "require what those who take it need; else each of them has to ask for it".to_owned(),
    };
    is_thin(schema).then(flaw).into_iter().collect()
}

fn is_thin(schema: &Value) -> bool {
    let Some(required) = schema["required"].as_array().filter(|required| !required.is_empty()) else { return false };
    let more = MORE.iter().any(|key| schema.get(key).is_some());
    !more && required.iter().all(|name| name.as_str().is_some_and(is_id))
}

fn is_id(name: &str) -> bool {
    name == "id" || name.ends_with("_id") || name.ends_with("Id") || name.ends_with("ID")
}
