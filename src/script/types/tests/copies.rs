//! Changes that are lost.

use super::*;

#[track_caller]
fn tells(text: &str, wanted: &[&str]) {
    let wanted: Vec<String> = wanted
        .iter()
        .map(|place| {
            let (at, name) = place.split_once(' ').expect("a place and a name");
            format!("SG226 {at} `{name}` is a copy, and nothing looks at it after this change")
        })
        .collect();
    assert_eq!(told(text), wanted, "{text}");
}

#[test]
fn a_change_of_an_argument_is_lost() {
    tells("fn count(kept) { kept.n = 1; } count(state);", &["1:18 kept"]);
    tells("fn count(kept) { kept.n += kept.m; } count(state);", &["1:18 kept"]);
    tells("fn add(all, one) { all.push(one + all.len()); } add(state.all ?? [], 1);", &["1:20 all"]);
    tells("fn count(kept) { if kept.n > 1 { kept.n = 0; } } count(state);", &["1:34 kept"]);
    tells("fn count(kept) { kept.n = 1; kept } state = count(state);", &[]);
    tells("fn count(kept) { kept.n = 1; return kept; } state = count(state);", &[]);
    tells("fn count(kept) { kept.n = 1; kept.n + 1 } state.m = count(state);", &[]);
    tells("fn last(all) { all.pop() } state.last = last(state.all ?? [1]);", &[]);
    tells("fn all(n) { while n.left > 0 { n.left -= 1; } } all(#{ left: 3 });", &[]);
    tells("fn bump() { this.n = 1; } state.bump();", &[]);
}

#[test]
fn a_change_of_an_item_is_lost() {
    tells("for item in event.data.items { item.seen = true; }", &["1:32 item"]);
    tells("for item in event.data.items { if item.quantity > 1 { item.quantity = 1; } }", &["1:55 item"]);
    tells("let all = []; for item in event.data.items { item.seen = true; all.push(item); } state.all = all;", &[]);
    tells("let items = event.data.items; for (item, i) in items { items[i].seen = true; } state.items = items;", &[]);
}

#[test]
fn a_change_of_what_was_taken_is_lost() {
    tells("let items = state.items ?? []; items.push(1);", &["1:32 items"]);
    tells("let sum = state.sum; sum.n = 1;", &["1:22 sum"]);
    tells("let items = state.items ?? []; items.push(1); state.items = items;", &[]);
    tells("let items = []; items.push(1);", &[]);
    tells(
        "let items = state.items ?? []; for i in 0..3 { items.push(items.len()); if items.len() > 9 { break; } }",
        &[],
    );
    tells("let sum = state.sum ?? #{}; let set = || sum.n = 1; set.call(); state.n = 1;", &[]);
}
