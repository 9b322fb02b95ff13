//! A schema that refuses everything: every event of the type would be set aside.

use serde_json::{Map, Value};

use crate::lint::{Flaw, Where};
use crate::spec::locate::{NodePath, Target};

pub fn check(schema: &Value) -> Vec<Flaw> {
    let flaw = |path| Flaw {
        at: Where::InSchema(path, Target::Value),
        message: "this schema refuses every event".to_owned(),
        help: "these demands cannot be met together; take one of them back".to_owned(),
    };
    contradiction(schema, NodePath::default()).map(flaw).into_iter().collect()
}

/// Where it shows that nothing matches; `None` also where that is only not sure.
fn contradiction(schema: &Value, at: NodePath) -> Option<NodePath> {
    let schema = match schema {
        Value::Bool(false) => return Some(at),
        // What stands beside a reference may not count.
        Value::Object(schema) if !schema.contains_key("$ref") => schema,
        _ => return None,
    };
    if let Some(Value::Bool(true)) = schema.get("not") {
        return Some(at.key("not"));
    }
    if schema.get("not").and_then(Value::as_object).is_some_and(Map::is_empty) {
        return Some(at.key("not"));
    }
    if schema.get("enum").and_then(Value::as_array).is_some_and(Vec::is_empty) {
        return Some(at.key("enum"));
    }
    if let Some(all) = schema.get("allOf").and_then(Value::as_array) {
        let each = all.iter().enumerate().find_map(|(nth, one)| contradiction(one, at.key("allOf").index(nth)));
        if each.is_some() {
            return each;
        }
    }
    for key in ["anyOf", "oneOf"] {
        if let Some(choices) = schema.get(key).and_then(Value::as_array)
            && choices.iter().all(|choice| contradiction(choice, NodePath::default()).is_some())
        {
            return Some(at.key(key));
        }
    }
    match schema.get("type").and_then(Value::as_str)? {
        "object" => crossed(schema, "minProperties", "maxProperties", &at).or_else(|| required(schema, &at)),
        "array" => crossed(schema, "minItems", "maxItems", &at),
        "string" => crossed(schema, "minLength", "maxLength", &at),
        "integer" | "number" => crossed(schema, "minimum", "maximum", &at),
        _ => None,
    }
}

fn crossed(schema: &Map<String, Value>, least: &str, most: &str, at: &NodePath) -> Option<NodePath> {
    let bound = |key: &str| schema.get(key).and_then(Value::as_f64);
    (bound(least)? > bound(most)?).then(|| at.key(least))
}

/// A property that must be there and cannot.
fn required(schema: &Map<String, Value>, at: &NodePath) -> Option<NodePath> {
    let properties = schema.get("properties").and_then(Value::as_object);
    let closed =
        schema.get("additionalProperties") == Some(&Value::Bool(false)) && !schema.contains_key("patternProperties");
    let names = schema.get("required")?.as_array()?;
    names.iter().enumerate().find_map(|(nth, name)| {
        let name = name.as_str()?;
        match properties.and_then(|properties| properties.get(name)) {
            Some(property) => contradiction(property, at.key("properties").key(name)),
            None => closed.then(|| at.key("required").index(nth)),
        }
    })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::schema::Schema;

    fn refuses(schema: &Value) -> bool {
        contradiction(schema, NodePath::default()).is_some()
    }

    #[test]
    fn what_cannot_be_met_is_found() {
        for schema in [
            json!(false),
            json!({ "not": {} }),
            json!({ "not": true }),
            json!({ "allOf": [{}, false] }),
            json!({ "anyOf": [false, { "not": {} }] }),
            json!({ "type": "object", "required": ["a"], "additionalProperties": false }),
            json!({ "type": "object", "required": ["a"], "properties": { "a": false } }),
            json!({ "type": "object", "required": ["a"], "properties": { "a": { "type": "string", "minLength": 3, "maxLength": 2 } } }),
            json!({ "type": "integer", "minimum": 3, "maximum": 2 }),
            json!({ "type": "array", "minItems": 2, "maxItems": 1 }),
        ] {
            assert!(refuses(&schema), "{schema}");
        }
    }

    /// Each of these accepts the event beside it, so it must not be called impossible.
    #[test]
    fn what_can_be_met_is_left_alone() {
        for (schema, event) in [
            (json!(true), json!(1)),
            (json!({ "minimum": 3, "maximum": 2 }), json!("no number")),
            (json!({ "type": ["string", "null"], "minLength": 3, "maxLength": 2 }), json!(null)),
            (json!({ "required": ["a"], "additionalProperties": false }), json!([])),
            (json!({ "type": "object", "properties": { "a": false } }), json!({})),
            (
                json!({ "type": "object", "required": ["a"], "additionalProperties": false, "patternProperties": { "a": {} } }),
                json!({ "a": 1 }),
            ),
            (json!({ "anyOf": [false, { "type": "string" }] }), json!("a")),
            (json!({ "not": { "type": "string" } }), json!(1)),
            (json!({ "type": "integer", "minimum": 2, "maximum": 2 }), json!(2)),
        ] {
            assert!(!refuses(&schema), "{schema}");
            assert_eq!(Schema::compile(&schema).expect("a schema").validate(&event), [], "{schema}");
        }
    }
}
