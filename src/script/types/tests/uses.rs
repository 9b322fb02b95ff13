//! What is noted of scripts that read: which fields, whether they are needed, what is handed on.

use super::*;

/// Each read as `path`, with `!` where it is needed, `?` where no schema says whether it is there, and the texts that it is
/// compared with; then what is handed on, with `*`.
fn noted(kind: Kind, text: &str, schema: &Value) -> Vec<String> {
    let root = tempfile::tempdir().expect("a directory");
    let engine = Engine::new(Limits::default(), root.path());
    let script = engine.compile(kind, &Source { file: "h.rhai", text, line_offset: 0 });
    let script = script.unwrap_or_else(|problems| panic!("{problems:#?}\n{text}"));
    let uses = with(&script, schema, |given| script.uses(given));
    let read = |(path, read): (&String, &Read)| {
        let sign = match read.required {
            Some(true) => "!",
            Some(false) => "",
            None => "?",
        };
        let values: Vec<String> = read.values.iter().map(ToString::to_string).collect();
        let values = if values.is_empty() { String::new() } else { format!(" {}", values.join("|")) };
        assert!(!read.at.is_empty(), "{path}: {text}");
        format!("{path}{sign}{values}")
    };
    uses.reads.iter().map(read).chain(uses.whole.iter().map(|path| format!("{path} *"))).collect()
}

#[track_caller]
fn check(text: &str, expected: &[&str]) {
    assert_eq!(noted(Kind::Handler, text, &order()), expected, "{text}");
}

#[test]
fn a_member_that_is_there_is_needed_by_whoever_uses_it() {
    check("state.total = event.data.total_cents;", &["data.total_cents!"]);
    check("state.total = event[\"data\"][\"total_cents\"];", &["data.total_cents!"]);
    check("state.name = event.data.customer.name;", &["data.customer!", "data.customer.name!"]);
    check("log(\"info\", `of ${event.data.order_id}`);", &["data.order_id!"]);
    check("state.x = -event.data.total_cents + 1;", &["data.total_cents!"]);
    check("emit(\"OrderTracked\", #{ order_id: event.data.order_id, state: \"open\" });", &["data.order_id!"]);
    check("state.x = event.data.status.to_upper();", &["data.status!"]);
    check("if event.data.total_cents > 5 { state.x = 1; }", &["data.total_cents!"]);
}

#[test]
fn what_is_looked_at_with_care_is_not_needed() {
    check("state.total = event.data.total_cents ?? 0;", &["data.total_cents"]);
    check("state.name = event.data.customer?.name ?? \"\";", &["data.customer", "data.customer.name"]);
    check("if event.data.total_cents != () { state.x = event.data.total_cents; }", &["data.total_cents"]);
    check("if event.data.total_cents == () { skip(\"x\"); } state.x = event.data.total_cents;", &["data.total_cents"]);
    check("if \"total_cents\" in event.data { state.x = 1; }", &["data.total_cents"]);
    check("if event.data.contains(\"total_cents\") { state.x = 1; }", &["data.total_cents"]);
    check("if type_of(event.data.total_cents) == \"i64\" { state.x = 1; }", &["data.total_cents"]);
    check("let n = event.data.total_cents; if n != () { state.x = n; }", &["data.total_cents"]);
    check("let n = event.data.total_cents; state.x = n ?? 0;", &["data.total_cents"]);
}

#[test]
fn care_in_one_place_is_none_in_another() {
    check("state.a = event.data.total_cents ?? 0; state.b = event.data.total_cents;", &["data.total_cents!"]);
    check("let n = event.data.total_cents; state.a = n ?? 0; state.b = n + 1;", &["data.total_cents!"]);
}

#[test]
fn what_may_be_absent_is_needed_where_lint_says_that_it_must_not_be() {
    check("state.x = event.data.note;", &["data.note"]);
    check("if event.data.note != () { state.x = event.data.note.len(); }", &["data.note"]);
    check("state.x = event.data.note.len();", &["data.note!"]);
    check("emit(\"OrderTracked\", #{ order_id: event.data.currency, state: \"open\" });", &["data.currency!"]);
}

#[test]
fn reads_go_through_variables_functions_and_closures() {
    check("let c = event.data.customer; state.n = c.name;", &["data.customer!", "data.customer.name!"]);
    check("let c; c = event.data.customer; state.n = c.name;", &["data.customer!", "data.customer.name!"]);
    check("fn n(c) { c.name } state.n = n(event.data.customer);", &["data.customer!", "data.customer.name!"]);
    check("fn n() { this.name } state.n = event.data.customer.n();", &["data.customer!", "data.customer.name!"]);
    let items = ["data.items!", "data.items[].sku!"];
    check("for item in event.data.items { state.s = item.sku; }", &items);
    check("state.s = event.data.items.map(|item| item.sku);", &items);
    check("event.data.items.for_each(|| log(\"info\", this.sku));", &items);
    check("state.s = event.data.items[0].sku;", &items);
    check("let list = event.data.items; let first = list[0]; state.s = first.sku;", &items);
    check("state.n = event.data.items.len();", &["data.items!"]);
}

#[test]
fn what_is_handed_on_may_be_read_whole() {
    check("state.c = event.data.customer;", &["data.customer!", "data.customer *"]);
    check("state = event.data;", &["data *"]);
    check("log(\"info\", event);", &["data *"]);
    check("state.c = #{ of: event.data.customer };", &["data.customer!", "data.customer *"]);
    check("let c = event.data.customer; emit(\"OrderTracked\", c);", &["data.customer!", "data.customer *"]);
    check("state.i = event.data.items;", &["data.items!", "data.items[] *"]);
    check("for name in event.data.customer.keys() { state.n = name; }", &["data.customer!", "data.customer *"]);
    check("let n = \"a\"; state.n = event.data.customer[n];", &["data.customer!", "data.customer *"]);
    check("fn all(c) { c } state.n = all(event.data.customer);", &["data.customer!", "data.customer *"]);
    check("state.m = event.data.meta;", &["data.meta", "data.meta *"]);
}

#[test]
fn a_variable_that_gets_another_value_hides_nothing() {
    let sums = "let n = 0; if ctx.attempt > 1 { n = event.data.total_cents; } state.n = n;";
    check(sums, &["data.total_cents!"]);
    let replaced = "let n = event.data.total_cents; if event.data.priority == true { n = 0; } state.n = n;";
    check(replaced, &["data.priority", "data.total_cents!"]);
    let one = "let a = event.data.customer; if a.name == \"\" { a = event.data.payment; } state.k = a.kind ?? \"\";";
    let reads = noted(Kind::Handler, one, &order());
    assert!(
        reads.contains(&"data.payment!".to_owned()) && reads.contains(&"data.payment.kind".to_owned()),
        "{reads:?}"
    );
    let unknown = "let m = #{}; if ctx.attempt > 1 { m = event.data.meta; } state.m = m.a;";
    check(unknown, &["data.meta", "data.meta *"]);
}

#[test]
fn what_a_closure_takes_along_is_not_followed_and_so_handed_on() {
    let script = "let c = event.data.customer; state.n = event.data.items.map(|i| i.sku + c.name);";
    check(script, &["data.customer!", "data.items!", "data.items[].sku!", "data.customer *"]);
}

#[test]
fn of_what_no_schema_describes_it_is_not_said_whether_it_is_needed() {
    check("state.m = event.data.meta.a.b + 1;", &["data.meta", "data.meta.a?", "data.meta.a.b?", "data.meta.a.b *"]);
    let open = json!({ "type": "object", "properties": { "order_id": { "type": "string" } } });
    assert_eq!(
        noted(Kind::Handler, "state.x = event.data.more.a ?? 1;", &open),
        ["data.more?", "data.more.a?", "data.more.a *"]
    );
    let unknown = json!({ "not": { "type": "null" } });
    assert_eq!(noted(Kind::Handler, "state.x = event.data.more ?? 1;", &unknown), ["data.more?", "data.more *"]);
}

#[test]
fn of_schemas_that_hold_together_each_counts() {
    let text = json!({ "type": "string" });
    let together = json!({
        "allOf": [
            { "type": "object", "properties": { "a": text, "b": text } },
            { "type": "object", "required": ["a"] }
        ]
    });
    let script = "state.a = event.data.a; state.b = event.data.b;";
    assert_eq!(noted(Kind::Handler, script, &together), ["data.a!", "data.b"]);
    let depends = json!({
        "type": "object", "properties": { "a": text, "b": text }, "required": ["a"],
        "if": { "properties": { "a": { "const": "x" } } }, "then": { "required": ["b"] }
    });
    assert_eq!(noted(Kind::Handler, script, &depends), ["data.a!", "data.b?", "data.b *"]);
}

#[test]
fn texts_that_a_field_is_compared_with_are_told() {
    check("if event.data.status == \"paid\" { state.p = true; }", &["data.status! paid"]);
    check("if event.data.status in [\"paid\", \"shipped\"] { state.p = true; }", &["data.status! paid|shipped"]);
    check("state.r = switch event.data.status { \"paid\" => 1, _ => 0 };", &["data.status! paid"]);
    check(
        "let s = event.data.status; if s != \"paid\" && s != \"created\" { state.p = true; }",
        &["data.status! created|paid"],
    );
}

#[test]
fn a_look_ahead_notes_nothing_that_no_event_comes_to() {
    check("if event.data.total_cents == () { state.x = event.data.weight; }", &["data.total_cents"]);
    check("let n = 0; while n < 3 { n += event.data.total_cents; }", &["data.total_cents!"]);
}

#[test]
fn the_envelope_is_read_where_it_may_lack_something() {
    check(
        "state.t = event.time; state.h = event.headers[\"x-shop\"]; state.k = event.key;",
        &["headers[\"x-shop\"]?", "time?"],
    );
}

#[test]
fn an_upcaster_hands_on_what_it_leaves_in_place() {
    let noted = |text: &str| noted(Kind::Upcaster, text, &order());
    let made = "data = #{ order_id: event.data.order_id, state: \"open\" };";
    assert_eq!(noted(made), ["data.order_id!"]);
    let changed = "data.state = event.data.status; data.remove(\"status\");";
    assert_eq!(noted(changed), ["data.status!", "data *"]);
    let own = "data.state = \"open\"; data.note = data.state;";
    assert_eq!(noted(own), ["data *"]);
}

#[test]
fn reads_in_imported_files_are_noted_where_they_are() {
    let root = tempfile::tempdir().expect("a directory");
    std::fs::write(root.path().join("lib.rhai"), "fn name(c) {\n    c.name\n}").expect("a file");
    let engine = Engine::new(Limits::default(), root.path());
    let text = "import \"lib\" as lib;\nstate.n = lib::name(event.data.customer);";
    let script = engine.compile(Kind::Handler, &Source { file: "h.rhai", text, line_offset: 0 }).expect("it compiles");
    let uses = with(&script, &order(), |given| script.uses(given));
    let at = |path: &str| uses.reads[path].at.iter().map(|s| (s.file.clone(), s.line, s.column)).collect::<Vec<_>>();
    assert_eq!(at("data.customer"), [("h.rhai".to_owned(), 2, 32)]);
    assert_eq!(at("data.customer.name"), [("lib.rhai".to_owned(), 2, 7)]);
    assert!(uses.whole.is_empty(), "{:?}", uses.whole);
}

#[test]
fn every_place_of_a_read_is_told() {
    let text = "let c = event.data.customer;\nstate.a = c.name;\nstate.b = event.data.customer.name;";
    let root = tempfile::tempdir().expect("a directory");
    let engine = Engine::new(Limits::default(), root.path());
    let script = engine.compile(Kind::Handler, &Source { file: "h.rhai", text, line_offset: 0 }).expect("it compiles");
    let uses = with(&script, &order(), |given| script.uses(given));
    let at = |path: &str| uses.reads[path].at.iter().map(|span| (span.line, span.column)).collect::<Vec<_>>();
    assert_eq!(at("data.customer"), [(1, 20), (3, 22)]);
    assert_eq!(at("data.customer.name"), [(2, 13), (3, 31)]);
}

#[test]
fn what_is_too_long_to_follow_may_read_anything() {
    let long = format!("let x = 1;\n{}state.x = event.data.total_cents;", "x += 1;\n".repeat(20_000));
    assert_eq!(noted(Kind::Handler, &long, &order()), ["data *"]);
}
