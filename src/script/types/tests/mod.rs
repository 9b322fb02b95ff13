//! What is told of scripts over a realistic schema, and what is not.

mod correct;
mod corpus;
mod events;
mod mutants;
mod runs;
mod wrong;

use serde_json::{Value, json};

use super::*;
use crate::script::{Engine, Kind, Source};
use crate::spec::program::Limits;
use corpus::Corpus;

/// Closed, with something of everything.
fn order() -> Value {
    Corpus::read("order").data
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
    let corpus = Corpus { data: schema.clone(), ..Corpus::read("order") };
    shown(&corpus.check(&script))
}

fn shown(findings: &[Finding]) -> Vec<String> {
    let one = |found: &Finding| {
        let diagnostic = &found.diagnostic;
        let place = diagnostic.span.as_ref().map(|span| format!("{}:{}", span.line, span.column));
        format!("{} {} {}", diagnostic.rule, place.unwrap_or_default(), diagnostic.message)
    };
    findings.iter().map(one).collect()
}
