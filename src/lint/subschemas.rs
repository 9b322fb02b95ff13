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

enum Holds {
    One,
    List,
    /// By name.
    Named,
    OneOrList,
    Nothing,
}

/// What stands at a keyword, and what it is to the schema around it.
fn held(key: &str) -> (Holds, Role) {
    match key {
        "additionalProperties"
        | "unevaluatedProperties"
        | "additionalItems"
        | "unevaluatedItems"
        | "contains"
        | "propertyNames"
        | "contentSchema" => (Holds::One, Role::Whole),
        "items" => (Holds::OneOrList, Role::Whole),
        "prefixItems" => (Holds::List, Role::Whole),
        "properties" | "patternProperties" | "$defs" | "definitions" => (Holds::Named, Role::Whole),
        "not" | "if" | "then" | "else" => (Holds::One, Role::Part),
        "allOf" | "anyOf" | "oneOf" => (Holds::List, Role::Part),
        "dependentSchemas" | "dependencies" => (Holds::Named, Role::Part),
        _ => (Holds::Nothing, Role::Whole),
    }
}

/// The schema itself, and all within it. Deep nesting is no danger: the reader of JSON ends it.
pub fn each(schema: &Value, tell: &mut impl FnMut(&Map<String, Value>, &NodePath, Role)) {
    walk(schema, &NodePath::default(), Role::Whole, tell);
}

fn walk(schema: &Value, at: &NodePath, role: Role, tell: &mut impl FnMut(&Map<String, Value>, &NodePath, Role)) {
    let Some(members) = schema.as_object() else { return };
    tell(members, at, role);
    for (name, value) in members {
        let (holds, role) = held(name);
        match (holds, value) {
            (Holds::One | Holds::OneOrList, Value::Object(_)) => walk(value, &at.key(name), role, tell),
            (Holds::List | Holds::OneOrList, Value::Array(list)) => {
                let at = at.key(name);
                list.iter().enumerate().for_each(|(nth, schema)| walk(schema, &at.index(nth), role, tell));
            }
            (Holds::Named, Value::Object(named)) => {
                let at = at.key(name);
                named.iter().for_each(|(name, schema)| walk(schema, &at.key(name), role, tell));
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
