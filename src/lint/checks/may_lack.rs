//! A key, a number or a time that the schema does not make sure of: an event without it is valid, and set aside.

use serde_json::{Map, Value};

use crate::diagnostic::did_you_mean;
use crate::lint::asked::{Asked, asked};
use crate::lint::{Findings, Project};
use crate::spec::program::{FieldPath, Pipeline};

pub fn check(project: &Project<'_>, pipeline: &Pipeline, findings: &mut Findings) {
    for (nth, subscription) in pipeline.subscriptions.iter().enumerate() {
        for Asked { path, types, of } in asked(pipeline, subscription) {
            let Some(("data", members)) = path.0.split_first().map(|(root, members)| (root.as_str(), members)) else {
                continue;
            };
            for (version, schema) in &subscription.versions {
                let document = schema.document();
                if let Err(why) = find(document, document, members, types) {
                    let kind = &subscription.event;
                    let message = format!("a valid `{kind}` {version} {}", why.told(path));
                    let help = why.help(&project.schema_file(kind, *version));
                    findings.add(of.place(project, pipeline, nth), message, help);
                }
            }
        }
    }
}

#[derive(Debug, PartialEq)]
enum Why {
    Undescribed { meant: Option<String> },
    Optional { name: String },
    OtherType { is: String },
}

impl Why {
    fn told(&self, path: &FieldPath) -> String {
        match self {
            Self::Undescribed { .. } => format!("has no `{path}` that its schema knows of"),
            Self::Optional { .. } => format!("may have no `{path}`"),
            Self::OtherType { is } => format!("has a `{path}` of type {is}, which cannot be used here"),
        }
    }

    fn help(&self, file: &str) -> String {
        match self {
            Self::Undescribed { meant: Some(meant) } => format!("did you mean `{meant}`?"),
            Self::Undescribed { meant: None } => format!("events without it are set aside; describe it in `{file}`"),
            Self::Optional { name } => {
                format!("events without it are set aside; add `{name}` to `required` in `{file}`")
            }
            Self::OtherType { .. } => "such events are set aside; name another member".to_owned(),
        }
    }
}

/// Goes down the members as far as the schema says something sure about them.
fn find(root: &Value, schema: &Value, members: &[String], types: &[&str]) -> Result<(), Why> {
    let Some(schema) = plain(root, schema) else { return Ok(()) };
    let Some((member, deeper)) = members.split_first() else {
        return match schema.get("type").and_then(Value::as_str).filter(|is| !types.contains(is)) {
            Some(is) => Err(Why::OtherType { is: is.to_owned() }),
            None => Ok(()),
        };
    };
    let required = schema.get("required").and_then(Value::as_array).into_iter().flatten();
    let required = required.filter_map(Value::as_str).any(|name| name == member);
    let described = schema.get("properties").and_then(Value::as_object);
    let Some(inner) = described.and_then(|properties| properties.get(member)) else {
        let Some(properties) = described.filter(|properties| !properties.is_empty() && !required) else {
            return Ok(());
        };
        let meant = did_you_mean(member, properties.keys().map(String::as_str)).map(str::to_owned);
        return Err(Why::Undescribed { meant });
    };
    if !required {
        return Err(Why::Optional { name: member.clone() });
    }
    find(root, inner, deeper, types)
}

/// A schema that says itself what there is: a reference is followed, and of one that is put together nothing is sure.
fn plain<'s>(root: &'s Value, schema: &'s Value) -> Option<&'s Map<String, Value>> {
    const TOGETHER: [&str; 8] =
        ["allOf", "anyOf", "oneOf", "if", "dependentSchemas", "dependencies", "dependentRequired", "patternProperties"];
    let is_together = |schema: &Map<String, Value>| TOGETHER.iter().any(|key| schema.contains_key(*key));
    let mut schema = schema.as_object()?;
    if let Some(reference) = schema.get("$ref") {
        if is_together(schema) || schema.contains_key("properties") || schema.contains_key("required") {
            return None;
        }
        schema = root.pointer(reference.as_str()?.strip_prefix('#')?)?.as_object()?;
        // References may go in circles, and one step is nearly always enough.
        if schema.contains_key("$ref") {
            return None;
        }
    }
    (!is_together(schema)).then_some(schema)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::lint::asked::KEY;

    fn found(schema: &Value) -> Result<(), Why> {
        find(schema, schema, &["a".to_owned(), "b".to_owned()], &KEY)
    }

    #[test]
    fn what_a_valid_event_may_lack_is_found() {
        let b = json!({ "required": ["b"], "properties": { "b": { "type": "string" } } });
        let of = |required: Value, a: &Value| json!({ "required": required, "properties": { "a": a } });
        assert_eq!(found(&of(json!(["a"]), &b)), Ok(()));
        assert_eq!(found(&of(json!([]), &b)), Err(Why::Optional { name: "a".into() }));
        assert_eq!(
            found(&of(json!(["a"]), &json!({ "properties": { "b": {} } }))),
            Err(Why::Optional { name: "b".into() })
        );
        let boolean = json!({ "required": ["b"], "properties": { "b": { "type": "boolean" } } });
        assert_eq!(found(&of(json!(["a"]), &boolean)), Err(Why::OtherType { is: "boolean".into() }));
        let other = json!({ "properties": { "bb": {} } });
        assert_eq!(found(&of(json!(["a"]), &other)), Err(Why::Undescribed { meant: Some("bb".into()) }));
        let mut referred = of(json!(["a"]), &json!({ "$ref": "#/$defs/a" }));
        referred["$defs"] = json!({ "a": other });
        assert_eq!(found(&referred), Err(Why::Undescribed { meant: Some("bb".into()) }));
    }

    #[test]
    fn what_is_not_sure_is_left_alone() {
        for schema in [
            json!(true),
            json!({ "type": "object" }),
            json!({ "required": ["a"] }),
            json!({ "allOf": [{ "required": ["a"] }], "properties": { "a": {} } }),
            json!({ "$ref": "#/$defs/a", "$defs": { "a": { "$ref": "#/$defs/a" } } }),
            json!({ "$ref": "#/$defs/a", "$defs": { "a": { "required": ["a"] } }, "properties": { "c": {} } }),
            json!({ "required": ["a"], "properties": { "a": { "$ref": "#/$defs/a" } }, "$defs": { "a": { "required": ["b"] } } }),
        ] {
            assert_eq!(found(&schema), Ok(()), "{schema}");
        }
    }
}
