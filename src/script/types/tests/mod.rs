//! What is told of scripts over realistic schemas, and what is not.

mod copies;
mod correct;
mod corpus;
mod events;
mod hunted;
mod modules;
mod mutants;
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
use corpus::Corpus;

/// Where the key of an order is.
static KEY: LazyLock<[String; 2]> = LazyLock::new(|| ["data".to_owned(), "order_id".to_owned()]);

/// Closed, with something of everything.
fn order() -> Value {
    Corpus::read("order").data
}

/// What may be emitted.
fn tracked() -> Value {
    Corpus::read("order").emits.1
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
