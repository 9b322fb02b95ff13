//! The schemas within a JSON Schema.

use serde_json::{Map, Value};

use crate::spec::locate::NodePath;

/// Where a schema stands in what is around it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// It says all there is to say of a value.
    Whole,
    /// It adds to what others say of the same value, as those in `allOf` do.
    Part,
}

/// Keywords with one schema each.
const ONE: [&str; 8] = [
    "additionalProperties",
    "unevaluatedProperties",
    "items",
    "additionalItems",
    "unevaluatedItems",
    "contains",
    "propertyNames",
    "contentSchema",
];
/// The same, of schemas that others add to.
const ONE_PART: [&str; 4] = ["not", "if", "then", "else"];
/// Keywords with a list of schemas.
const LIST: [&str; 2] = ["prefixItems", "items"];
const LIST_OF_PARTS: [&str; 3] = ["allOf", "anyOf", "oneOf"];
/// Keywords with schemas by name.
const NAMED: [&str; 4] = ["properties", "patternProperties", "$defs", "definitions"];
const NAMED_PARTS: [&str; 2] = ["dependentSchemas", "dependencies"];

/// The schema itself, and all within it. Deep nesting is no danger: the reader of JSON ends it.
pub fn each(schema: &Value, tell: &mut impl FnMut(&Map<String, Value>, &NodePath, Role)) {
    walk(schema, &NodePath::default(), Role::Whole, tell);
}

fn walk(schema: &Value, at: &NodePath, role: Role, tell: &mut impl FnMut(&Map<String, Value>, &NodePath, Role)) {
    let Some(members) = schema.as_object() else { return };
    tell(members, at, role);
    for (name, value) in members {
        let key = name.as_str();
        // Nearly every member is no schema.
        let at = || at.key(name);
        let role = if [&ONE_PART[..], &LIST_OF_PARTS, &NAMED_PARTS].iter().any(|parts| parts.contains(&key)) {
            Role::Part
        } else {
            Role::Whole
        };
        match value {
            Value::Object(_) if ONE.contains(&key) || ONE_PART.contains(&key) => walk(value, &at(), role, tell),
            Value::Object(named) if NAMED.contains(&key) || NAMED_PARTS.contains(&key) => {
                named.iter().for_each(|(name, schema)| walk(schema, &at().key(name), role, tell));
            }
            Value::Array(list) if LIST.contains(&key) || LIST_OF_PARTS.contains(&key) => {
                list.iter().enumerate().for_each(|(nth, schema)| walk(schema, &at().index(nth), role, tell));
            }
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn schemas_are_found_and_what_only_looks_like_one_is_not() {
        let schema = json!({
            "properties": { "properties": { "items": [{ "title": "a" }] }, "b": true },
            "allOf": [{ "not": { "title": "b" } }],
            "enum": [{ "title": "c" }],
            "default": { "properties": { "title": "d" } },
        });
        let mut found = Vec::new();
        each(&schema, &mut |members, _, role| found.extend(members.get("title").map(|title| (title.clone(), role))));
        assert_eq!(found, [(json!("b"), Role::Part), (json!("a"), Role::Whole)]);
    }
}
