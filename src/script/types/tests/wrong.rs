//! Scripts with something wrong in them: what is told, and where.

use super::*;

/// Handlers of orders, and what is told of each.
const SCRIPTS: &[(&str, &[&str])] = &[
    // Properties that no event has.
    ("state.x = event.data.custmer.name;", &["SG220 1:22 `event.data` has no `custmer`"]),
    ("state.x = event.data.customer.nam;", &["SG220 1:31 `event.data.customer` has no `nam`"]),
    ("state.x = event.dta.total_cents;", &["SG220 1:17 `event` has no `dta`"]),
    ("state.x = ctx.atempt;", &["SG220 1:15 `ctx` has no `atempt`"]),
    ("state.x = event.data[\"totl_cents\"];", &["SG220 1:22 `event.data` has no `totl_cents`"]),
    ("for item in event.data.items { state.q = item.quantty; }", &["SG220 1:47 `event.data.items[]` has no `quantty`"]),
    ("state.q = event.data.items.map(|i| i.quantty);", &["SG220 1:38 `event.data.items[]` has no `quantty`"]),
    ("state.q = event.data.items[0].prise_cents;", &["SG220 1:31 `event.data.items[]` has no `prise_cents`"]),
    ("let c = event.data.customer;\nstate.x = c.emial;", &["SG220 2:13 `event.data.customer` has no `emial`"]),
    ("state.l = event.data.payment.lst4;", &["SG220 1:30 `event.data.payment` has no `lst4`"]),
    (
        "if event.data.payment.kind == \"card\" { state.d = event.data.payment.due_days; }",
        &["SG220 1:69 `event.data.payment` has no `due_days`"],
    ),
    (
        "switch event.data.payment.kind { \"invoice\" => { state.d = event.data.payment.last4; } _ => () }",
        &["SG220 1:78 `event.data.payment` has no `last4`"],
    ),
    (
        "fn city(a) { a.citty }\nstate.c = city(event.data.customer.address ?? #{});",
        &["SG220 1:16 `event.data.customer.address` has no `citty`"],
    ),
    ("fn n(c) { c.nmae }\nstate.c = n(event.data.customer);", &["SG220 1:13 `event.data.customer` has no `nmae`"]),
    ("state.p = event.data.category?.parent?.nam;", &["SG220 1:40 `event.data.category.parent` has no `nam`"]),
    ("log(\"info\", `of ${event.data.custmer}`);", &["SG220 1:30 `event.data` has no `custmer`"]),
    // Values that may be absent.
    ("state.x = event.data.note.len();", &["SG221 1:22 `event.data.note` may be null"]),
    ("state.x = event.data.discount_cents + 1;", &["SG221 1:22 `event.data.discount_cents` may be absent"]),
    ("state.x = 1 - event.data.discount_cents;", &["SG221 1:26 `event.data.discount_cents` may be absent"]),
    ("state.x = -event.data.discount_cents;", &["SG221 1:23 `event.data.discount_cents` may be absent"]),
    ("state.x = event.data.customer.address.city;", &["SG221 1:31 `event.data.customer.address` may be absent"]),
    (
        "let a = event.data.customer.address;\nstate.x = a.city;",
        &["SG221 2:11 `event.data.customer.address` may be absent"],
    ),
    ("state.x = event.data.attributes[\"a\"];", &["SG221 1:22 `event.data.attributes` may be absent"]),
    (
        "for item in event.data.items { state.n = item.note.len(); }",
        &["SG221 1:47 `event.data.items[].note` may be absent"],
    ),
    (
        "for item in event.data.items { for t in item.tags { state.t = t; } }",
        &["SG221 1:46 `event.data.items[].tags` may be absent"],
    ),
    ("if event.data.priority { state.p = 1; }", &["SG221 1:15 `event.data.priority` may be absent"]),
    (
        "if event.data.total_cents > 1 && event.data.priority { state.p = 1; }",
        &["SG221 1:45 `event.data.priority` may be absent"],
    ),
    ("if !event.data.priority { state.p = 1; }", &["SG221 1:16 `event.data.priority` may be absent"]),
    ("if event.data.note == () { state.n = event.data.note.len(); }", &["SG221 1:49 `event.data.note` may be null"]),
    (
        "if event.data.note != () { skip(\"x\"); }\nstate.n = event.data.note.len();",
        &["SG221 2:22 `event.data.note` may be null"],
    ),
    ("if event.data.note != () || event.data.note.len() > 1 { }", &["SG221 1:40 `event.data.note` may be null"]),
    ("state.t = event.time.len();", &["SG221 1:17 `event.time` may be absent"]),
    ("state.h = event.headers[\"X\"].len();", &["SG221 1:25 `event.headers.X` may be absent"]),
    ("let sum = 0;\nsum += event.data.discount_cents;", &["SG221 2:19 `event.data.discount_cents` may be absent"]),
    ("fn length(x) { x.len() }\nstate.n = length(event.data.note);", &["SG221 1:16 `event.data.note` may be null"]),
    ("state.n = event.data.items.map(|i| i.note.len());", &["SG221 1:38 `event.data.items[].note` may be absent"]),
    ("if \"note\" in event.data { state.n = event.data.note.len(); }", &["SG221 1:48 `event.data.note` may be null"]),
    // Wrong types.
    ("state.x = event.data.order_id - 1;", &["SG222 1:31 `-` cannot take a string and an integer"]),
    ("state.x = event.data.customer * 2;", &["SG222 1:31 `*` cannot take an object and an integer"]),
    ("state.x = event.data.total_cents.len();", &["SG222 1:34 `len` cannot take an integer"]),
    ("state.x = event.data.total_cents.to_upper();", &["SG222 1:34 `to_upper` cannot take an integer"]),
    ("state.x = event.data.order_id.city;", &["SG222 1:31 a string has no `city`"]),
    ("state.x = event.data.items.sku;", &["SG222 1:28 an array has no `sku`"]),
    ("for x in event.data.total_cents { }", &["SG222 1:10 `for` cannot run over an integer"]),
    ("for x in event.data.customer { }", &["SG222 1:10 `for` cannot run over an object"]),
    ("if event.data.order_id { }", &["SG222 1:4 a condition must be true or false, not a string"]),
    ("state.x = event.data.items[\"a\"];", &["SG222 1:28 an array has no items by a string"]),
    ("state.x = event.data.customer[1];", &["SG222 1:31 an object has no items by an integer"]),
    ("let n = event.data.order_id;\nn -= 1;", &["SG222 2:3 `-=` cannot take a string and an integer"]),
    ("state.x = !event.data.total_cents;", &["SG222 1:11 `!` cannot take an integer"]),
    ("skip(event.data.total_cents);", &["SG222 1:1 `skip` cannot take an integer"]),
    // Emissions.
    ("emit(\"OrderTracked\", #{ order_id: event.key });", &["SG223 1:22 `data` lacks `state`"]),
    (
        "emit(\"OrderTracked\", #{ order_id: event.key, state: \"closed\" });",
        &["SG223 1:46 `data.state` is `\"closed\"`, and must be `\"done\"` or `\"open\"`"],
    ),
    (
        "emit(\"OrderTracked\", #{ order_id: event.data.total_cents, state: \"open\" });",
        &["SG223 1:25 `data.order_id` is an integer, and must be a string"],
    ),
    (
        "emit(\"OrderTracked\", #{ order_id: \"a\", state: \"open\", amount: 1 });",
        &["SG223 1:55 `data` must not have `amount`"],
    ),
    (
        "emit(\"OrderTracked\", #{ order_id: \"a\", state: \"open\", note: event.data.note });",
        &["SG223 1:55 `data.note` must be a string, and `event.data.note` may be null"],
    ),
    (
        "let out = #{ state: \"open\" };\nout.order_id = 1;\nemit(\"OrderTracked\", out);",
        &["SG223 2:5 `data.order_id` is an integer, and must be a string"],
    ),
    (
        "emit(\"OrderTracked\", #{ order_id: \"a\", state: \"open\", lines: [#{ quantity: 1 }] });",
        &["SG223 1:63 `data.lines[]` lacks `sku`"],
    ),
    ("emit(\"OrderTracked\", 1);", &["SG223 1:22 `data` is an integer, and must be an object"]),
    (
        "emit(\"OrderTracke\", #{ order_id: \"a\", state: \"open\" });",
        &["SG228 1:6 this pipeline does not declare `OrderTracke` under `emits`"],
    ),
    (
        "emit(\"OrderTracked\", #{ order_id: \"a\", state: \"open\" }, #{ version: 2 });",
        &["SG228 1:6 this pipeline does not declare version 2 of `OrderTracked` under `emits`"],
    ),
    // Comparisons.
    (
        "if event.data.status == \"payed\" { }",
        &[
            "SG224 1:25 this is never true: it is `\"cancelled\"`, `\"created\"`, `\"paid\"` or `\"shipped\"`, not `\"payed\"`",
        ],
    ),
    (
        "if event.data.status != \"payed\" { }",
        &[
            "SG224 1:25 this is always true: it is `\"cancelled\"`, `\"created\"`, `\"paid\"` or `\"shipped\"`, not `\"payed\"`",
        ],
    ),
    ("if event.data.total_cents == \"1\" { }", &["SG224 1:30 this is never true: it is an integer, not `\"1\"`"]),
    (
        "if event.data.currency == \"GBP\" { }",
        &["SG224 1:27 this is never true: it is `\"EUR\"` or `\"USD\"`, not `\"GBP\"`"],
    ),
    (
        "let items = event.data.items;\nstate.q = items.filter(|i| i.quantty == event.data.total_cents);",
        &["SG220 2:30 `event.data.items[]` has no `quantty`"],
    ),
    (
        "let lines = [];\nfor i in event.data.items { lines.push(#{ sku: i.quantity }); }\nemit(\"OrderTracked\", #{ order_id: \"a\", state: \"open\", lines: lines });",
        &["SG223 2:43 `data.lines[].sku` is an integer, and must be a string"],
    ),
    (
        "switch event.data.status { \"paid\" => { state.p = 1; } \"shipped\" => { state.p = 2; } }",
        &["SG227 1:1 there is no case for `\"cancelled\"` or `\"created\"`"],
    ),
];

#[test]
fn what_is_wrong_is_told_with_its_place() {
    let wrong: Vec<String> = SCRIPTS
        .iter()
        .filter_map(|(text, expected)| {
            let told = told(text);
            (told != *expected).then(|| format!("{text}\n  told     {told:?}\n  expected {expected:?}"))
        })
        .collect();
    assert!(wrong.is_empty(), "{} of {}\n{}", wrong.len(), SCRIPTS.len(), wrong.join("\n"));
}

#[test]
fn an_open_object_has_what_is_not_nearly_the_name_of_what_is_described() {
    let open = json!({ "type": "object", "required": ["total"], "properties": { "total": { "type": "integer" } } });
    let told = |text: &str| told_of(Kind::Handler, text, &open);
    assert_eq!(told("state.x = event.data.other;"), Vec::<String>::new());
    assert_eq!(told("state.x = event.data.totl;"), ["SG220 1:22 `event.data` has no `totl` that its schema knows of"]);
}

#[test]
fn an_upcaster_is_checked_from_the_old_version_to_the_new() {
    let old = json!({
        "type": "object", "additionalProperties": false, "required": ["order_id"],
        "properties": { "order_id": { "type": "string" }, "status": { "type": "string" } }
    });
    let told = |text: &str| told_of(Kind::Upcaster, text, &old);
    assert_eq!(told("data = #{ order_id: event.data.order_id, state: \"open\" };"), Vec::<String>::new());
    assert_eq!(told("data.state = \"open\"; data.remove(\"status\");"), Vec::<String>::new());
    assert_eq!(told("data.state = \"open\";"), ["SG223 1:1 `data` must not have `status`"]);
    assert_eq!(
        told("data = #{ order_id: event.data.order };"),
        ["SG223 1:8 `data` lacks `state`", "SG220 1:32 `event.data` has no `order`"]
    );
    assert_eq!(told("data.note = \"x\";"), ["SG223 1:1 `data` lacks `state`"]);
}

#[test]
fn a_filter_yields_true_or_false() {
    let told = |text: &str| told_of(Kind::Filter, text, &order());
    assert_eq!(told("event.data.status == \"paid\""), Vec::<String>::new());
    assert_eq!(told("event.data.priority ?? false"), Vec::<String>::new());
    assert_eq!(told("event.data.order_id"), ["SG222 1:1 a condition must be true or false, not a string"]);
    assert_eq!(told("event.data.priority"), ["SG221 1:12 `event.data.priority` may be absent"]);
}

#[test]
fn what_is_put_into_itself_or_never_ends_is_looked_at_within_bounds() {
    let nested = format!("let a = []; {} state.a = a;", "a = [a, a]; ".repeat(4_000));
    let objects = format!("let m = #{{}}; {} emit(\"OrderTracked\", m);", "m = #{ a: m, b: m }; ".repeat(4_000));
    let choices = format!("let n = 0; {} state.n = n;", "if event.data.note == () || n > 1 { n += 1; } ".repeat(2_000));
    let calls = "fn a(n) { b(n) + b(n) } fn b(n) { c(n) + c(n) } fn c(n) { d(n) + d(n) } fn d(n) { a(n) + d(n) }\nstate.n = a(1);";
    let loops = "for a in 0..9 { for b in 0..9 { for c in 0..9 { for d in 0..9 { for e in 0..9 { state.n = [state.n]; } } } } }";
    for text in [&nested, &objects, &choices, calls, loops] {
        told(text);
    }
}
