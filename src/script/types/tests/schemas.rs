//! Schemas that are put together from others, and those that hang on conditions.

use super::*;

#[track_caller]
fn tells(schema: &Value, text: &str, wanted: &[&str]) {
    let root = tempfile::tempdir().expect("a directory");
    let engine = Engine::new(Limits::default(), root.path());
    let script = engine.compile(Kind::Handler, &Source { file: "h.rhai", text, line_offset: 0 }).expect("a script");
    let (data, tracked) = (Document::new("schemas/OrderPlaced/1.json".to_owned(), schema), tracked());
    let emitted = Document::new("schemas/OrderTracked/1.json".to_owned(), &tracked);
    let found = script.check(&Given { present: Vec::new(), ..given(&data, &emitted) });
    assert_eq!(shown(&found), wanted, "{text}\n{schema}");
}

fn extended() -> Value {
    json!({
        "allOf": [
            { "$ref": "#/$defs/base" },
            { "required": ["total", "note"], "properties": { "total": { "type": "integer" }, "kind": { "const": "paid" } } }
        ],
        "properties": { "extra": { "type": "string" } },
        "$defs": {
            "base": {
                "type": "object",
                "required": ["id", "kind"],
                "properties": {
                    "id": { "type": "string" },
                    "kind": { "enum": ["placed", "paid"] },
                    "note": { "type": "string" },
                    "by": { "type": "string" }
                }
            }
        }
    })
}

#[test]
fn what_all_parts_say_holds() {
    let schema = extended();
    tells(&schema, "let x = event.data.id + event.data.note + event.data.total;", &[]);
    tells(&schema, "let x = event.data.id - 1;", &["SG222 1:23 `-` cannot take a string and an integer"]);
    tells(&schema, "let x = event.data.note - 1;", &["SG222 1:25 `-` cannot take a string and an integer"]);
    tells(&schema, "let x = event.data.by.len();", &["SG221 1:20 `event.data.by` may be absent"]);
    tells(&schema, "let x = event.data.extra.len();", &["SG221 1:20 `event.data.extra` may be absent"]);
    tells(&schema, "let x = event.data.totall;", &["SG220 1:20 `event.data` has no `totall` that its schema knows of"]);
    let never = "SG224 1:26 this is never true: it is `\"paid\"`, not `\"placed\"`";
    tells(&schema, "if event.data.kind == \"placed\" { state.x = 1; }", &[&never.replace("1:26", "1:23")]);
}

#[test]
fn beside_a_reference_newer_drafts_look_further() {
    let schema = |draft: &str| {
        json!({
            "$schema": draft,
            "type": "object",
            "properties": { "who": { "$ref": "#/$defs/person", "required": ["name"] } },
            "required": ["who"],
            "$defs": { "person": { "type": "object", "properties": { "name": { "type": "string" } } } }
        })
    };
    let text = "let x = event.data.who.name.len();";
    tells(&schema("https://json-schema.org/draft/2020-12/schema"), text, &[]);
    let absent = "SG221 1:24 `event.data.who.name` may be absent";
    tells(&schema("http://json-schema.org/draft-07/schema#"), text, &[absent]);
}

#[test]
fn what_a_condition_may_ask_for_is_not_told_to_be_absent() {
    let schema = json!({
        "type": "object",
        "additionalProperties": false,
        "required": ["kind"],
        "properties": {
            "kind": { "enum": ["card", "cash"] },
            "card": { "type": "object", "properties": { "last4": { "type": ["string", "null"] } } }
        },
        "if": { "properties": { "kind": { "const": "card" } } },
        "then": { "required": ["card"], "properties": { "card": { "required": ["last4"] } } }
    });
    tells(&schema, "if event.data.kind == \"card\" { state.n = event.data.card.last4.len(); }", &[]);
    tells(&schema, "state.n = event.data.kind - 1;", &["SG222 1:27 `-` cannot take a string and an integer"]);
    tells(&schema, "state.n = event.data.crad;", &["SG220 1:22 `event.data` has no `crad`"]);
}

#[test]
fn a_choice_of_what_is_required_is_a_condition() {
    let schema = json!({
        "type": "object",
        "properties": { "mail": { "type": "string" }, "phone": { "type": "string" }, "n": { "type": "integer" } },
        "required": ["n"],
        "anyOf": [{ "required": ["mail"] }, { "required": ["phone"] }]
    });
    tells(
        &schema,
        "state.to = if \"mail\" in event.data { event.data.mail.len() } else { event.data.phone.len() };",
        &[],
    );
    tells(&schema, "state.n = event.data.n.len();", &["SG222 1:24 `len` cannot take an integer"]);
}

#[test]
fn words_that_are_no_keywords_change_nothing() {
    let schema = json!({
        "type": "object",
        "x-owner": "shop",
        "additionalProperties": false,
        "properties": { "n": { "type": "integer", "unit": "cents" } },
        "required": ["n"]
    });
    tells(&schema, "state.n = event.data.m;", &["SG220 1:22 `event.data` has no `m`"]);
    tells(&schema, "state.n = event.data.n.len();", &["SG222 1:24 `len` cannot take an integer"]);
}

#[test]
fn items_that_differ_by_place_may_be_anything() {
    let schema = json!({
        "type": "object",
        "required": ["pair"],
        "properties": {
            "pair": { "type": "array", "prefixItems": [{ "type": "string" }], "items": { "type": "integer" } }
        }
    });
    tells(&schema, "state.n = event.data.pair[0].len() + event.data.pair[1];", &[]);
}

#[test]
fn parts_that_lead_back_to_the_whole_come_to_an_end() {
    let schema = json!({
        "type": "object",
        "properties": { "child": { "$ref": "#" }, "name": { "type": "string" } },
        "required": ["name"],
        "allOf": [{ "properties": { "child": { "$ref": "#" } } }, { "$ref": "#/$defs/more" }],
        "$defs": { "more": { "allOf": [{ "$ref": "#/$defs/more" }], "properties": { "n": { "type": "integer" } } } }
    });
    tells(&schema, "state.n = event.data.child?.child?.name;", &[]);
}
