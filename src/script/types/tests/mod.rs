//! What is told of scripts over a realistic schema, and what is not.

mod copies;
mod correct;
mod modules;
mod runs;
mod schemas;
mod state;
mod uses;
mod wrong;

use std::sync::LazyLock;

use serde_json::{Value, json};

use super::*;
use crate::script::{Engine, Kind, Source};
use crate::spec::program::Limits;

/// Where the key of an order is.
static KEY: LazyLock<[String; 2]> = LazyLock::new(|| ["data".to_owned(), "order_id".to_owned()]);

/// Closed, with something of everything.
pub(super) fn order() -> Value {
    json!({
        "type": "object",
        "additionalProperties": false,
        "required": ["order_id", "status", "total_cents", "items", "customer", "payment", "weight"],
        "properties": {
            "order_id": { "type": "string" },
            "status": { "enum": ["created", "paid", "shipped", "cancelled"] },
            "total_cents": { "type": "integer" },
            "weight": { "type": "number" },
            "discount_cents": { "type": "integer" },
            "note": { "type": ["string", "null"] },
            "priority": { "type": "boolean" },
            "currency": { "enum": ["EUR", "USD"] },
            "customer": {
                "type": "object",
                "additionalProperties": false,
                "required": ["id", "name"],
                "properties": {
                    "id": { "type": "string" },
                    "name": { "type": "string" },
                    "email": { "type": "string", "format": "email" },
                    "address": { "$ref": "#/$defs/address" }
                }
            },
            "items": {
                "type": "array",
                "items": {
                    "type": "object",
                    "additionalProperties": false,
                    "required": ["sku", "quantity", "price_cents"],
                    "properties": {
                        "sku": { "type": "string" },
                        "quantity": { "type": "integer", "minimum": 1 },
                        "price_cents": { "type": "integer" },
                        "note": { "type": "string" },
                        "tags": { "type": "array", "items": { "type": "string" } }
                    }
                }
            },
            "payment": {
                "oneOf": [
                    {
                        "type": "object", "additionalProperties": false, "required": ["kind", "last4"],
                        "properties": { "kind": { "const": "card" }, "last4": { "type": "string" } }
                    },
                    {
                        "type": "object", "additionalProperties": false, "required": ["kind", "due_days"],
                        "properties": { "kind": { "const": "invoice" }, "due_days": { "type": "integer" } }
                    }
                ]
            },
            "category": { "$ref": "#/$defs/category" },
            "attributes": { "type": "object", "additionalProperties": { "type": "string" } },
            "meta": {}
        },
        "$defs": {
            "address": {
                "type": "object",
                "additionalProperties": false,
                "required": ["city"],
                "properties": { "city": { "type": "string" }, "street": { "type": "string" } }
            },
            "category": {
                "type": "object",
                "additionalProperties": false,
                "required": ["name"],
                "properties": { "name": { "type": "string" }, "parent": { "$ref": "#/$defs/category" } }
            }
        }
    })
}

/// What may be emitted.
pub(super) fn tracked() -> Value {
    json!({
        "type": "object",
        "additionalProperties": false,
        "required": ["order_id", "state"],
        "properties": {
            "order_id": { "type": "string" },
            "state": { "enum": ["open", "done"] },
            "note": { "type": "string" },
            "amount_cents": { "type": "integer" },
            "lines": {
                "type": "array",
                "items": {
                    "type": "object",
                    "required": ["sku"],
                    "properties": { "sku": { "type": "string" }, "quantity": { "type": "integer" } }
                }
            }
        }
    })
}

/// Rule, place and message of each finding in a handler of orders.
fn told(text: &str) -> Vec<String> {
    told_of(Kind::Handler, text, &order())
}

fn told_of(kind: Kind, text: &str, schema: &Value) -> Vec<String> {
    let root = tempfile::tempdir().expect("a directory");
    let engine = Engine::new(Limits::default(), root.path());
    let script = engine.compile(kind, &Source { file: "h.rhai", text, line_offset: 0 });
    let script = script.unwrap_or_else(|problems| panic!("{problems:#?}\n{text}"));
    shown(&check_with(&script, schema))
}

fn check_with(script: &Script, schema: &Value) -> Vec<Finding> {
    with(script, schema, |given| script.check(given))
}

fn with<T>(script: &Script, schema: &Value, look: impl FnOnce(&Given<'_>) -> T) -> T {
    let tracked = tracked();
    let data = Document::new("schemas/OrderPlaced/1.json".to_owned(), schema);
    let emitted = Document::new("schemas/OrderTracked/1.json".to_owned(), &tracked);
    let becomes = (script.compiled.kind == Kind::Upcaster).then_some(&emitted);
    look(&Given { becomes, ..given(&data, &emitted) })
}

fn given<'a>(data: &'a Document<'a>, emitted: &'a Document<'a>) -> Given<'a> {
    Given {
        event: "OrderPlaced",
        version: 1,
        data,
        present: vec![&*KEY],
        filter: None,
        state: State::default(),
        emits: vec![Emits { event: "OrderTracked", version: 1, data: emitted }],
        becomes: None,
    }
}

fn shown(findings: &[Finding]) -> Vec<String> {
    let one = |found: &Finding| {
        let diagnostic = &found.diagnostic;
        let place = diagnostic.span.as_ref().map(|span| format!("{}:{}", span.line, span.column));
        format!("{} {} {}", diagnostic.rule, place.unwrap_or_default(), diagnostic.message)
    };
    findings.iter().map(one).collect()
}
