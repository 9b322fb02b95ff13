//! A misspelt keyword of JSON Schema: whoever validates passes over what it does not know.

use serde_json::Value;

use crate::diagnostic::did_you_mean;
use crate::lint::{Flaw, Where, subschemas};
use crate::spec::locate::Target;

/// Of drafts 7 and 2020-12, in order.
const KEYWORDS: [&str; 61] = [
    "$anchor",
    "$comment",
    "$defs",
    "$dynamicAnchor",
    "$dynamicRef",
    "$id",
    "$ref",
    "$schema",
    "$vocabulary",
    "additionalItems",
    "additionalProperties",
    "allOf",
    "anyOf",
    "const",
    "contains",
    "contentEncoding",
    "contentMediaType",
    "contentSchema",
    "default",
    "definitions",
    "dependencies",
    "dependentRequired",
    "dependentSchemas",
    "deprecated",
    "description",
    "else",
    "enum",
    "examples",
    "exclusiveMaximum",
    "exclusiveMinimum",
    "format",
    "id",
    "if",
    "items",
    "maxContains",
    "maxItems",
    "maxLength",
    "maxProperties",
    "maximum",
    "minContains",
    "minItems",
    "minLength",
    "minProperties",
    "minimum",
    "multipleOf",
    "not",
    "oneOf",
    "pattern",
    "patternProperties",
    "prefixItems",
    "properties",
    "propertyNames",
    "readOnly",
    "required",
    "then",
    "title",
    "type",
    "unevaluatedItems",
    "unevaluatedProperties",
    "uniqueItems",
    "writeOnly",
];
const FORMATS: [&str; 19] = [
    "date",
    "date-time",
    "duration",
    "email",
    "hostname",
    "idn-email",
    "idn-hostname",
    "ipv4",
    "ipv6",
    "iri",
    "iri-reference",
    "json-pointer",
    "regex",
    "relative-json-pointer",
    "time",
    "uri",
    "uri-reference",
    "uri-template",
    "uuid",
];
/// Words of OpenAPI, which are remarks here.
const OTHERS: [&str; 1] = ["example"];

pub fn check(schema: &Value) -> Vec<Flaw> {
    let mut found = Vec::new();
    let mut tell = |path, target, what: &str, word: &str, meant: &str| {
        let message = format!("JSON Schema has no {what}`{word}`, so it demands nothing");
        found.push(Flaw { at: Where::InSchema(path, target), message, help: format!("did you mean `{meant}`?") });
    };
    subschemas::each(schema, &mut |members, at, _| {
        let is_known =
            |key: &str| KEYWORDS.binary_search(&key).is_ok() || OTHERS.contains(&key) || key.starts_with("x-");
        for key in members.keys().filter(|key| !is_known(key)) {
            if let Some(meant) = did_you_mean(key, KEYWORDS) {
                tell(at.key(key), Target::Key(0), "", key, meant);
            }
        }
        let format = members.get("format").and_then(Value::as_str).filter(|format| !FORMATS.contains(format));
        if let Some((format, meant)) = format.and_then(|format| Some((format, did_you_mean(format, FORMATS)?))) {
            tell(at.key("format"), Target::Value, "format ", format, meant);
        }
    });
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keywords_are_in_order_as_whoever_looks_for_one_needs() {
        assert!(KEYWORDS.is_sorted());
    }
}
