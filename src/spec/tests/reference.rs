//! The tables of `docs/configuration.md`, made from the JSON Schemas: one a map, a row a key.

use std::fmt::Write as _;

use serde_json::Value;

use super::json_schemas::assert_current;
use super::*;
use crate::spec::values;

const DOCUMENT: &str = "docs/configuration.md";

#[test]
fn the_reference_is_current() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(DOCUMENT);
    let mut text = fs::read_to_string(path).expect(DOCUMENT);
    for kind in FileKind::ALL {
        let (what, heading) = match kind {
            FileKind::Project => ("a project", "Keys of sluice.yaml"),
            FileKind::Pipeline => ("a pipeline", "Keys of a pipeline"),
            FileKind::Scenarios => ("scenarios", "Keys of a file of scenarios"),
        };
        let begin = format!("<!-- every key of {what}, made from src/spec/raw -->\n");
        let (before, rest) = text.split_once(&begin).expect(&begin);
        let (_, after) = rest.split_once("<!-- end -->").expect("an end");
        let mut tables = String::new();
        write_tables(&mut tables, heading, "", &json_schema(kind));
        text = format!("{before}{begin}\n{tables}<!-- end -->{after}");
    }
    assert_current(DOCUMENT, &text);
}

#[test]
fn every_key_says_what_it_means() {
    for kind in FileKind::ALL {
        every_key(&json_schema(kind), &mut |path, schema| {
            assert!(schema["description"].as_str().is_some_and(|text| text.ends_with('.')), "{path}: {schema}");
        });
    }
}

fn every_key(schema: &Value, told: &mut impl FnMut(&str, &Value)) {
    for (key, inner) in schema["properties"].as_object().into_iter().flatten() {
        told(key, inner);
        let (_, within) = within(inner);
        every_key(within, told);
    }
}

/// The map that is asked for below a key, and how to get from the key to it.
fn within(schema: &Value) -> (&'static str, &Value) {
    let mut choices = schema["oneOf"].as_array().into_iter().flatten();
    if let Some(map) = choices.find(|choice| choice["properties"].is_object()) {
        ("", map)
    } else if schema["additionalProperties"].is_object() {
        (".<name>", &schema["additionalProperties"])
    } else if schema["items"].is_object() {
        ("[]", &schema["items"])
    } else {
        ("", schema)
    }
}

/// The table of one map, and after it those of the maps in it.
fn write_tables(out: &mut String, heading: &str, path: &str, schema: &Value) {
    let Some(properties) = schema["properties"].as_object().filter(|properties| !properties.is_empty()) else { return };
    let _ = writeln!(out, "### {heading}\n\n| key | type | default | meaning |\n|---|---|---|---|");
    let needed = |key: &str| schema["required"].as_array().is_some_and(|keys| keys.iter().any(|needed| needed == key));
    let mut keys: Vec<(&String, &Value)> = properties.iter().collect();
    keys.sort_by_key(|(key, _)| (!needed(key), *key));
    for (key, inner) in &keys {
        let default = match inner.get("default") {
            Some(default) => code(default),
            None if needed(key) => "needed".to_owned(),
            None => instead(schema, key),
        };
        let example =
            inner["examples"].as_array().map(|examples| examples.iter().map(code).collect::<Vec<_>>().join(" or "));
        let example = example.map_or(String::new(), |example| format!(" Like {example}."));
        let meaning = inner["description"].as_str().unwrap_or_default();
        let _ = writeln!(out, "| `{key}` | {} | {default} | {meaning}{example} |", kind(inner));
    }
    out.push('\n');
    let below = |key: &str| if path.is_empty() { key.to_owned() } else { format!("{path}.{key}") };
    let mut maps: Vec<(Vec<String>, &Value)> = Vec::new();
    for (key, inner) in keys {
        let (step, inner) = within(inner);
        // What is explained with pipelines is not explained again.
        if inner["description"].as_str().is_some_and(|text| text.starts_with("See ")) {
            continue;
        }
        let path = below(key) + step;
        // Maps of the same keys share a table.
        match maps.iter_mut().find(|(_, known)| known["properties"] == inner["properties"]) {
            Some((paths, _)) => paths.push(path),
            None => maps.push((vec![path], inner)),
        }
    }
    for (paths, inner) in maps {
        let heading: Vec<String> = paths.iter().map(|path| format!("`{path}`")).collect();
        write_tables(out, &heading.join(", "), &paths[0], inner);
    }
}

/// For a key that is one of several ways.
fn instead(schema: &Value, key: &str) -> String {
    let ways: Vec<&str> =
        schema["oneOf"].as_array().into_iter().flatten().filter_map(|way| way["required"][0].as_str()).collect();
    match ways.iter().position(|way| *way == key) {
        Some(own) => {
            let others: Vec<String> =
                ways.iter().enumerate().filter(|(at, _)| *at != own).map(|(_, way)| format!("`{way}`")).collect();
            format!("needed, or {}", others.join(" or "))
        }
        None => String::new(),
    }
}

/// As it is written in YAML.
fn code(value: &Value) -> String {
    let text = match value {
        Value::String(text) => text.clone(),
        Value::Array(items) => {
            let items: Vec<String> = items.iter().map(|item| code(item).trim_matches('`').to_owned()).collect();
            format!("[{}]", items.join(", "))
        }
        Value::Object(entries) => {
            let entries: Vec<String> =
                entries.iter().map(|(key, value)| format!("{key}: {}", code(value).trim_matches('`'))).collect();
            format!("{{ {} }}", entries.join(", "))
        }
        other => other.to_string(),
    };
    format!("`{text}`")
}

fn kind(schema: &Value) -> String {
    let pattern = schema["pattern"].as_str().unwrap_or_default();
    let looks_like = |known: &str| pattern.starts_with(known);
    if let Some(choices) = schema["enum"].as_array() {
        return choices.iter().map(code).collect::<Vec<_>>().join(", ");
    }
    if let Some(only) = schema.get("const") {
        return code(only);
    }
    if let (None, Some(choices)) = (schema.get("properties"), schema["oneOf"].as_array()) {
        return choices.iter().map(kind).collect::<Vec<_>>().join(", or ");
    }
    if schema.get("anyOf").is_some() {
        return "name, or list of names".to_owned();
    }
    match schema["type"].as_str() {
        None if looks_like(values::SIZE) => "size".to_owned(),
        None if schema.get("type").is_none() => "anything".to_owned(),
        None => "text, or whole number".to_owned(),
        Some("boolean") => "`true`, `false`".to_owned(),
        Some("integer" | "number") => number(schema),
        Some("array") => match kind(&schema["items"]).as_str() {
            "map" => "list of maps".to_owned(),
            items => format!("list: {items}"),
        },
        Some("object") if schema["maxProperties"] == 1 => "map of one key".to_owned(),
        Some("object") => "map".to_owned(),
        _ if looks_like(values::DURATION) => "duration".to_owned(),
        _ if [values::CHANNEL, values::PIPELINE, values::EVENT].iter().any(|known| looks_like(known)) => {
            "name".to_owned()
        }
        _ => "text".to_owned(),
    }
}

fn number(schema: &Value) -> String {
    let what = if schema["type"] == "integer" { "whole number" } else { "number" };
    let bound = |key: &str| schema[key].as_u64().or_else(|| schema[key].as_f64().map(|bound| bound as u64));
    match (bound("minimum"), bound("maximum")) {
        (Some(from), Some(to)) if to < u64::from(u32::MAX) => format!("{what}, {from} to {to}"),
        (Some(from), _) => format!("{what} from {from}"),
        _ => what.to_owned(),
    }
}
