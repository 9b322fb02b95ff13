use serde_json::json;

use super::*;

fn schema(value: Value) -> Schema {
    Schema::compile(&value).expect("a usable schema")
}

fn refused(value: Value) -> SchemaError {
    Schema::compile(&value).expect_err("a broken schema")
}

fn messages(schema: &Schema, data: &Value) -> Vec<String> {
    schema.validate(data).into_iter().map(|v| format!("{}: {}", v.path, v.message)).collect()
}

#[test]
fn every_violation_is_told_up_to_ten() {
    let names: Vec<String> = (0..30).map(|i| format!("p{i}")).collect();
    let strict = schema(json!({ "type": "object", "required": names }));
    assert_eq!(strict.validate(&json!({})).len(), 10);
    assert!(schema(json!({ "type": "object" })).validate(&json!({})).is_empty());
}

#[test]
fn violations_never_repeat_the_data() {
    let secret = "hunter2-hunter2";
    let keywords = [
        json!({ "type": "integer" }),
        json!({ "enum": ["a", "b"] }),
        json!({ "const": "a" }),
        json!({ "maxLength": 3 }),
        json!({ "minLength": 300 }),
        json!({ "pattern": "^[0-9]+$" }),
        json!({ "format": "date-time" }),
        json!({ "format": "uuid" }),
        json!({ "not": { "type": "string" } }),
        json!({ "anyOf": [{ "type": "null" }, { "type": "integer" }] }),
        json!({ "oneOf": [{ "type": "null" }, { "type": "integer" }] }),
        json!({ "oneOf": [{ "type": "string" }, { "minLength": 1 }] }),
        json!(false),
        json!({ "$schema": "http://json-schema.org/draft-07/schema#", "contentEncoding": "base64" }),
        json!({ "$schema": "http://json-schema.org/draft-07/schema#", "contentMediaType": "application/json" }),
    ];
    for keyword in &keywords {
        let violations = schema(json!({ "properties": { "p": keyword } })).validate(&json!({ "p": secret }));
        assert!(!violations.is_empty(), "{keyword}");
        assert!(!format!("{violations:?}").contains("hunter2"), "{keyword}: {violations:?}");
    }
    let arrays = [
        json!({ "contains": { "type": "integer" } }),
        json!({ "maxItems": 1 }),
        json!({ "uniqueItems": true }),
        json!({ "prefixItems": [{}], "items": false }),
        json!({ "prefixItems": [{}], "unevaluatedItems": false }),
        json!({ "$schema": "http://json-schema.org/draft-07/schema#", "items": [{}], "additionalItems": false }),
    ];
    for keyword in &arrays {
        let violations = schema(keyword.clone()).validate(&json!([secret, secret]));
        assert!(!violations.is_empty(), "{keyword}");
        assert!(!format!("{violations:?}").contains("hunter2"), "{keyword}: {violations:?}");
    }
    let named = schema(json!({ "propertyNames": { "maxLength": 3 } })).validate(&json!({ secret: 1 }));
    assert!(!named[0].message.contains("hunter2"), "{named:?}");
}

#[test]
fn messages_say_where_and_what() {
    let order = schema(json!({
        "type": "object",
        "required": ["order_id", "total_cents"],
        "properties": { "total_cents": { "type": "integer", "minimum": 0 } },
        "additionalProperties": false,
    }));
    assert_eq!(
        messages(&order, &json!({ "total_cents": -5, "colour": "red" })),
        [
            ": `order_id` is missing",
            "/total_cents: the value is less than the minimum of 0",
            ": not allowed here: `colour`"
        ]
    );
}

#[test]
fn formats_are_asserted_in_both_drafts() {
    for draft in ["http://json-schema.org/draft-07/schema#", "https://json-schema.org/draft/2020-12/schema"] {
        let timed = schema(json!({ "$schema": draft, "format": "date-time" }));
        assert!(timed.validate(&json!("2024-05-01T10:00:00Z")).is_empty());
        assert_eq!(timed.validate(&json!("yesterday")).len(), 1, "{draft}");
    }
}

#[test]
fn the_draft_is_taken_from_the_schema_and_is_the_newest_without_it() {
    let tuple = json!([1, 2]);
    let newest = schema(json!({ "prefixItems": [{}], "items": false }));
    assert_eq!(newest.validate(&tuple).len(), 1);
    let seven =
        schema(json!({ "$schema": "http://json-schema.org/draft-07/schema#", "prefixItems": [{}], "items": {} }));
    assert!(seven.validate(&tuple).is_empty());
}

#[test]
fn references_work_within_the_schema_only() {
    let local =
        schema(json!({ "$defs": { "Id": { "type": "string" } }, "properties": { "id": { "$ref": "#/$defs/Id" } } }));
    assert_eq!(local.validate(&json!({ "id": 1 })).len(), 1);
    for reference in ["https://example.com/money.json", "money.json", "#/$defs/Missing"] {
        let error = refused(json!({ "properties": { "id": { "$ref": reference } } }));
        assert!(error.message.contains(&format!("`{reference}` leads nowhere")), "{error}");
        assert_eq!(error.path, "/properties/id/$ref");
    }
}

#[test]
fn a_schema_that_refers_to_itself_does_not_hang_or_overflow() {
    for looped in [
        json!({ "$ref": "#" }),
        json!({ "allOf": [{ "$ref": "#" }] }),
        json!({ "$ref": "#/$defs/a", "$defs": { "a": { "$ref": "#/$defs/b" }, "b": { "$ref": "#/$defs/a" } } }),
        json!({ "not": { "$ref": "#" } }),
    ] {
        if let Ok(schema) = Schema::compile(&looped) {
            schema.validate(&json!({ "a": 1 }));
        }
    }
}

#[test]
fn broken_schemas_say_where() {
    let error = refused(json!({ "properties": { "id": { "type": "strin" } } }));
    assert_eq!(error.path, "/properties/id/type");
    assert!(refused(json!([])).message.contains("a schema is a JSON object"));
    let lookahead = refused(json!({ "properties": { "id": { "pattern": "(?=a)b" } } }));
    assert_eq!(lookahead.path, "/properties/id/pattern");
    assert!(lookahead.message.contains("not a usable pattern"), "{lookahead}");
}

#[test]
fn an_unknown_draft_is_named() {
    for draft in ["https://example.com/my-draft", "https://json-schema.org/draft/2099-01/schema#"] {
        let error = refused(json!({ "$schema": draft, "type": "object" }));
        assert_eq!((error.path.as_str(), error.message.contains(draft)), ("/$schema", true), "{error}");
    }
}

#[test]
fn a_hostile_pattern_takes_linear_time() {
    let evil = schema(json!({ "pattern": "^(a+)+$" }));
    assert_eq!(evil.validate(&json!("a".repeat(50_000) + "!")).len(), 1);
}

#[test]
fn numbers_keep_their_precision() {
    let parse = |text: &str| serde_json::from_str::<Value>(text).expect("JSON");
    let exact = schema(parse(r#"{ "maximum": 9007199254740993 }"#));
    assert!(exact.validate(&parse("9007199254740993")).is_empty());
    assert_eq!(exact.validate(&parse("9007199254740994")).len(), 1);
    let cents = schema(parse(r#"{ "multipleOf": 0.01 }"#));
    assert!(cents.validate(&parse("19.99")).is_empty());
}
