//! What handlers keep for a key, and what the next event of the key finds.

use super::*;
use crate::script::types::State;

/// What is told of the handlers of a pipeline, one after the other.
fn told(handlers: &[&str]) -> Vec<String> {
    told_where(handlers, false)
}

fn told_where(handlers: &[&str], in_order: bool) -> Vec<String> {
    let root = tempfile::tempdir().expect("a directory");
    let engine = Engine::new(Limits::default(), root.path());
    let compiled = |text: &&str| {
        let script = engine.compile(Kind::Handler, &Source { file: "h.rhai", text, line_offset: 0 });
        script.unwrap_or_else(|problems| panic!("{problems:#?}\n{text}"))
    };
    let scripts: Vec<Script> = handlers.iter().map(compiled).collect();
    let (schema, tracked) = (order(), tracked());
    let data = Document::new("schemas/OrderPlaced/1.json".to_owned(), &schema);
    let emitted = Document::new("schemas/OrderTracked/1.json".to_owned(), &tracked);
    let given = given(&data, &emitted);
    let kept = State::left_by(&scripts.iter().map(|script| (script, &given)).collect::<Vec<_>>());
    let given = Given { state: if in_order { kept.in_order() } else { kept }, ..given };
    scripts.iter().flat_map(|script| shown(&script.check(&given))).collect()
}

#[track_caller]
fn silent(handlers: &[&str]) {
    assert_eq!(told(handlers), Vec::<String>::new(), "{handlers:#?}");
}

#[test]
fn what_is_read_is_there_when_it_is_given_a_default() {
    silent(&["state.count = (state.count ?? 0) + 1;"]);
    silent(&["if state.count == () { state.count = 0; } state.count += 1;"]);
    silent(&[r#"if "count" in state { state.count += 1; } else { state.count = 1; }"#]);
    silent(&["let all = state.all ?? []; all.shift(); all.push(1); state.all = all; state.remove(\"other\");"]);
    silent(&["state.by = state.by ?? #{}; state.by[event.data.order_id] = 1;"]);
    silent(&["let all = state.all ?? []; all.push(event.data.order_id); state.all = all;"]);
}

#[test]
fn the_first_event_of_a_key_finds_nothing() {
    let wrong = ["SG221 1:7 `state.count` may be absent"];
    assert_eq!(told(&["state.count += 1;"]), wrong);
    assert_eq!(told(&["state.count += 1;", "state.count = 0;"]), wrong);
    assert_eq!(told(&["state.items.push(1);", "state.items = [];"]), ["SG221 1:7 `state.items` may be absent"]);
    let reads = [
        "state.total = event.data.total_cents;",
        "emit(\"OrderTracked\", #{ order_id: event.key, state: \"open\", amount_cents: state.total - 1 });",
    ];
    assert_eq!(told(&reads), ["SG221 1:81 `state.total` may be absent"]);
}

#[test]
fn what_comes_together_is_told_by_one_part() {
    for test in [
        "if state.status == () { state.status = 1; state.items = []; }",
        "let first = state.status == (); if first { state.status = 1; state.items = []; }",
        "switch state.status { () => { state.status = 1; state.items = []; } }",
        "if state.status == () { state = #{ status: 1, items: [] }; }",
        "if (state.status ?? 0) == 0 { state.status = 1; state.items = []; }",
        "if state.is_empty() { state.status = 1; state.items = []; }",
        "if state.len() == 0 { state.status = 1; state.items = []; }",
        "if state == #{} { state.status = 1; state.items = []; }",
        "if state.keys().len() == 0 { state.status = 1; state.items = []; }",
        "fn init() { this.status = 1; this.items = []; } if state.status == () { state.init(); }",
        "fn init(s) { if s.len() > 0 { return s; } s.status = 1; s.items = []; s } state = init(state);",
    ] {
        silent(&[&format!("{test} state.items.push(1);")]);
    }
    for test in [
        "if state.status == () { skip(\"not yet\"); }",
        "if state.status != 1 { skip(\"not yet\"); }",
        "if !(\"status\" in state) { wait_for(\"OrderPlaced\"); }",
        "fn known(s) { s.status != () } if !known(state) { reject(\"unknown\"); }",
        "if (state.status ?? 0) == 0 { skip(\"not yet\"); }",
    ] {
        silent(&["state.status = 1; state.items = [];", &format!("{test} state.items.push(1);")]);
    }
    silent(&[
        "let old = state.at ?? 0; let first = state.n == (); state.n = 1; if !first { state.at - 1; } state.at = 2;",
    ]);
}

#[test]
fn where_an_order_is_promised_it_may_be_there() {
    let handlers = ["state.total = event.data.total_cents;", "state.paid = state.total - 1; state.left = state.totl;"];
    let wrong = ["SG225 1:50 nothing in this pipeline writes `state.totl`"];
    assert_eq!(told_where(&handlers, true), wrong);
}

#[test]
fn what_no_handler_writes_is_told() {
    let wrong = ["SG225 1:22 nothing in this pipeline writes `state.cuont`"];
    assert_eq!(told(&["state.count = (state.cuont ?? 0) + 1;"]), wrong);
    assert_eq!(told(&["state.count = (state.cuont ?? 0) + 1;", "state.total = 1;"]), wrong);
    silent(&["state.count = (state.cuont ?? 0) + 1;", "state.cuont = 1;"]);
    // Of a run that is cut short nothing is kept.
    let skipped = ["state.seen = true; skip(\"enough\");", "if state.seen ?? false { state.again = true; }"];
    assert_eq!(told(&skipped), ["SG225 1:10 nothing in this pipeline writes `state.seen`"]);
    let nested = ["state.sum = #{ cents: 1 };", "let sum = state.sum; if sum != () { state.n = sum.cent; }"];
    assert_eq!(told(&nested), ["SG225 1:51 nothing in this pipeline writes `state.sum.cent`"]);
}

#[test]
fn every_way_to_the_end_counts() {
    silent(&[
        "if event.data.total_cents == 0 { state.none = true; return; } state.some = true;",
        "let x = state.none ?? state.some;",
    ]);
    silent(&["fn marked(s) { s.marked = true; s } state = marked(state);", "let x = state.marked ?? false;"]);
    silent(&["try { state.tried = true; } catch { }", "let x = state.tried ?? false;"]);
    silent(&["for item in event.data.items { state.last = item.sku; }", "let x = state.last ?? \"\";"]);
    silent(&["state = #{ whole: 1 };", "let x = state.whole ?? 0;"]);
}

#[test]
fn what_is_written_under_a_name_that_is_computed_may_be_anything() {
    silent(&["state[event.data.order_id] = 1;", "let x = state.a + 1;"]);
    silent(&["state.each = #{}; state.each[event.key] = 1;", "let each = state.each ?? #{}; let x = each.a + 1;"]);
    silent(&["event.data.items.for_each(|| state.last = this.sku);", "let x = state.other + 1;"]);
}

#[test]
fn a_method_of_the_script_changes_what_it_is_called_on() {
    silent(&["fn count() { this.n = (this.n ?? 0) + 1; } state.count();", "let n = state.n ?? 0; state.next = n + 1;"]);
    silent(&[
        "fn early(n) { if n > 3 { return; } this.n = n; } state.early(4);",
        "let x = state.n ?? 0; let y = state.m ?? 0;",
    ]);
    let wrong = told(&["fn count() { this.n += 1; } state.count();"]);
    assert_eq!(wrong, ["SG221 1:19 `state.n` may be absent"]);
    let wrong = told(&["fn named(name) { this.name = name; this.name } state.n = state.named(\"a\") - 1;"]);
    assert_eq!(wrong, ["SG222 1:75 `-` cannot take a string and an integer"]);
}

#[test]
fn what_is_kept_keeps_its_type() {
    let wrong = told(&["state.name = event.data.order_id;", "if state.name != () { state.n = state.name - 1; }"]);
    assert_eq!(wrong, ["SG222 1:44 `-` cannot take a string and an integer"]);
    let kept = ["state.items = event.data.items;", "for item in state.items ?? [] { state.last = item.skuu; }"];
    assert_eq!(told(&kept), ["SG220 1:51 `state.items[]` has no `skuu`"]);
    let null = ["state.note = event.data.note;", "state.length = state.note.len();"];
    assert_eq!(told(&null), ["SG221 1:22 `state.note` may be absent"]);
}

#[test]
fn a_state_must_be_an_object_in_the_end() {
    assert_eq!(
        told(&["state = 1;"]),
        ["SG222 1:1 `state` must be an object when the script ends, and it is an integer"]
    );
    silent(&["state = 1; skip(\"it is not kept\");"]);
}
