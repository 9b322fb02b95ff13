//! Scripts that do nothing wrong and were once told that they do: what a person looking for false alarms came up with.

use super::*;

#[track_caller]
fn silent(text: &str) {
    assert_eq!(told(text), Vec::<String>::new(), "{text}");
}

#[test]
fn a_closure_that_is_called_on_the_items_may_change_them() {
    let emits = "emit(\"OrderTracked\", #{ order_id: event.key, state: \"open\", lines: l });";
    silent(&format!("let l = []; l.push(#{{ quantity: 1 }}); l.for_each(|| this.sku = \"a\"); {emits}"));
    silent(&format!("let l = [#{{ sku: 1 }}]; l.for_each(|| this.sku = \"a\"); {emits}"));
    silent("let l = [#{ q: 1 }]; l.for_each(|| this.t = this.q * 2); let sum = 0; for x in l { sum += x.t; }");
    silent("let l = [#{ q: 1 }]; l.some(|| { this.t = 1; false }); let sum = 0; for x in l { sum += x.t; }");
}

#[test]
fn items_that_are_written_one_by_one_may_all_be_written() {
    silent(
        "let l = event.data.items; for (x, i) in l { l[i].note = x.note ?? \"\"; } \
         for x in l { state.n = (state.n ?? 0) + x.note.len(); }",
    );
    silent(
        "let l = [#{ sku: \"a\", extra: 1 }]; for (x, i) in l { l[i].remove(\"extra\"); } \
         emit(\"OrderTracked\", #{ order_id: event.key, state: \"open\", lines: l });",
    );
}

#[test]
fn what_was_looked_at_by_another_name_may_be_there() {
    silent("for x in event.data.items { let n = x.note; if n != () { state.l = x.note.len(); } }");
    silent(
        "let s = event.data.customer.address?.street; if s == () { skip(\"x\"); } state.l = event.data.customer.address.street.len();",
    );
    silent("if event.data.note.type_of() == \"string\" { state.l = event.data.note.len(); }");
    silent(
        "for name in [\"note\"] { if event.data[name] == () { skip(\"no \" + name); } } state.l = event.data.note.len();",
    );
    silent("for name in [\"note\"] { if !(name in event.data) { skip(name); } } state.l = event.data.note?.len();");
    silent("if \"priority\" in event.data.keys() { state.l = !event.data.priority; }");
    silent("try { state.l = event.data.note.len(); } catch { skip(\"no note\"); } state.m = event.data.note.len();");
    silent("state.has = event.data.note != (); if state.has { state.l = event.data.note.len(); }");
    silent(
        "let n = switch event.data.currency { \"EUR\" => 1, () => 0, _ => 2 }; if n != 0 { state.l = event.data.currency.len(); }",
    );
}

#[test]
fn what_was_put_there_as_nothing_is_there() {
    silent("let x = #{ a: event.data.note }; if \"a\" in x && x.a == () { state.none = true; } state.l = x.a ?? \"\";");
}

#[test]
fn a_copy_that_a_function_is_given_is_looked_at() {
    silent("fn told(o) { o.status } let o = state.o ?? #{}; o.status = \"done\"; o.sent = told(o);");
    silent(
        "fn set(n) { this.n = n; emit(\"OrderTracked\", #{ order_id: \"a\", state: \"open\" }) } let q = state.q ?? #{}; q.set(1);",
    );
}
