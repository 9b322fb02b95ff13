//! Scripts that do nothing wrong, feature by feature: nothing is told of them.

use super::*;

/// Handlers of orders.
pub(super) const SCRIPTS: &[(&str, &str)] = &[
    ("what is required", "state.total = event.data.total_cents + 1; state.name = event.data.customer.name.to_upper();"),
    ("a default", "state.due = event.data.total_cents - (event.data.discount_cents ?? 0);"),
    ("a default of a note", "state.note = (event.data.note ?? \"\").len();"),
    (
        "a check with not equal",
        "if event.data.discount_cents != () { state.due = event.data.total_cents - event.data.discount_cents; }",
    ),
    (
        "a check with equal and else",
        "if event.data.note == () { state.n = 0; } else { state.n = event.data.note.len(); }",
    ),
    ("an early skip", "if event.data.note == () { skip(\"no note\"); }\nstate.n = event.data.note.len();"),
    (
        "an early reject",
        "if event.data.discount_cents == () { reject(\"none\") }\nstate.n = event.data.discount_cents * 2;",
    ),
    (
        "an early retry",
        "if event.data.discount_cents == () { retry(\"none\", \"1s\"); }\nstate.n = event.data.discount_cents * 2;",
    ),
    ("an early return", "if event.data.discount_cents == () { return; }\nstate.n = event.data.discount_cents * 2;"),
    (
        "an early throw",
        "if event.data.discount_cents == () { throw \"none\"; }\nstate.n = event.data.discount_cents * 2;",
    ),
    (
        "waiting",
        "if event.data.discount_cents == () { wait_for(\"Discount\"); }\nstate.n = -event.data.discount_cents;",
    ),
    ("a skip in a default", "let note = event.data.note ?? skip(\"none\");\nstate.n = note.len();"),
    ("a copy checked", "let note = event.data.note; if note != () { state.n = note.len(); }"),
    (
        "a copy, the original checked",
        "let note = event.data.note; if event.data.note == () { skip(\"x\"); } state.n = note.len();",
    ),
    (
        "the original, a copy checked",
        "let note = event.data.note; if note == () { skip(\"x\"); } state.n = event.data.note.len();",
    ),
    ("an answer kept", "let has = event.data.note != (); if has { state.n = event.data.note.len(); }"),
    ("a negated answer kept", "let lacks = event.data.note == (); if !lacks { state.n = event.data.note.len(); }"),
    (
        "a flag set in a branch",
        "let ok = false; if event.data.note != () { ok = true; } if ok { state.n = event.data.note.len(); }",
    ),
    (
        "a number set in a branch",
        "let n = 0; if event.data.note != () { n = 1; } if n == 1 { state.n = event.data.note.len(); }",
    ),
    (
        "a comparison says it is there",
        "if event.data.discount_cents > 100 { state.n = event.data.discount_cents - 100; }",
    ),
    ("an equality says it is there", "if event.data.currency == \"EUR\" { state.c = event.data.currency.to_lower(); }"),
    ("and", "if event.data.note != () && event.data.note.len() > 3 { state.long = true; }"),
    ("or", "if event.data.note == () || event.data.note.len() == 0 { state.empty = true; }"),
    (
        "or, then else",
        "if event.data.note == () || event.data.discount_cents == () { return; } state.n = event.data.note.len() + event.data.discount_cents;",
    ),
    ("not of an or", "if !(event.data.note == () || event.data.note == \"x\") { state.n = event.data.note.len(); }"),
    (
        "not of an and",
        "if !(event.data.note != () && event.data.discount_cents != ()) { return; } state.n = event.data.note.len() - event.data.discount_cents;",
    ),
    ("type_of", "if type_of(event.data.note) == \"string\" { state.n = event.data.note.len(); }"),
    ("type_of of nothing", "if type_of(event.data.note) != \"()\" { state.n = event.data.note.len(); }"),
    (
        "type_of and early end",
        "if type_of(event.data.discount_cents) != \"i64\" { skip(\"x\"); } state.n = event.data.discount_cents % 7;",
    ),
    ("in", "if \"discount_cents\" in event.data { state.n = event.data.discount_cents - 1; }"),
    ("not in", "if \"discount_cents\" !in event.data { skip(\"x\"); } state.n = event.data.discount_cents - 1;"),
    ("contains", "if event.data.contains(\"discount_cents\") { state.n = event.data.discount_cents - 1; }"),
    ("in, null left", "if \"note\" in event.data && event.data.note != () { state.n = event.data.note.len(); }"),
    ("one of a list", "if event.data.currency in [\"EUR\", \"USD\"] { state.c = event.data.currency.to_lower(); }"),
    ("safe navigation", "state.city = event.data.customer.address?.city ?? \"unknown\";"),
    ("safe navigation with a method", "state.n = event.data.note?.len() ?? 0;"),
    (
        "safe navigation compared",
        "if event.data.customer.address?.city == \"Bonn\" { state.s = event.data.customer.address.city.to_upper(); }",
    ),
    (
        "safe navigation checked",
        "if event.data.customer.address?.street != () { state.s = event.data.customer.address.street.to_upper(); }",
    ),
    ("safe navigation of several", "state.top = event.data.category?.parent?.parent?.name;"),
    ("a boolean that may lack", "if event.data.priority ?? false { state.fast = true; }"),
    ("a boolean compared", "if event.data.priority == true { state.fast = event.data.priority; }"),
    ("a chosen value", "state.c = if event.data.priority == true { \"fast\" } else { \"slow\" };"),
    (
        "a loop",
        "let sum = 0; for item in event.data.items { sum += item.quantity * item.price_cents; } state.sum = sum;",
    ),
    ("a loop with a counter", "for (item, i) in event.data.items { state[item.sku] = i + item.quantity; }"),
    (
        "a loop that goes on",
        "let n = 0; for item in event.data.items { if item.note == () { continue; } n += item.note.len(); } state.n = n;",
    ),
    ("a loop that ends", "for item in event.data.items { if item.note == () { break; } state.n = item.note.len(); }"),
    ("a loop over keys", "for key in event.data.keys() { state[key] = event.data[key]; }"),
    (
        "a loop over a range",
        "for i in 0..event.data.items.len() { let item = event.data.items[i]; state[item.sku] = item.quantity; }",
    ),
    (
        "a loop by index, checked",
        "for i in 0..event.data.items.len() { if event.data.items[i].note != () { state.n = event.data.items[i].note.len(); } }",
    ),
    ("a while", "let i = 0; while i < event.data.items.len() { state.s = event.data.items[i].sku; i += 1; }"),
    ("a while that searches", "let c = event.data.category; while c != () { state.name = c.name; c = c.parent; }"),
    ("a loop without an end", "let i = 0; loop { if i >= 3 { break; } i += 1; }"),
    ("do until", "let i = 0; do { i += 1; } until i > 3; state.i = i;"),
    (
        "a variable that begins as nothing",
        "let best = (); for item in event.data.items { if best == () || item.price_cents > best.price_cents { best = item; } } state.best = best?.sku;",
    ),
    (
        "an item by index, checked",
        "if event.data.items.len() > 0 && event.data.items[0].note != () { state.n = event.data.items[0].note.len(); }",
    ),
    ("filter and map", "state.skus = event.data.items.filter(|i| i.quantity > 1).map(|i| i.sku);"),
    ("map with arithmetic", "state.sums = event.data.items.map(|i| i.quantity * i.price_cents);"),
    ("reduce", "state.sum = event.data.items.reduce(|sum, i| (sum ?? 0) + i.quantity * i.price_cents);"),
    (
        "some and all",
        "state.some = event.data.items.some(|i| i.note != ()); state.all = event.data.items.all(|i| i.quantity > 0);",
    ),
    ("find", "let found = event.data.items.find(|i| i.sku == \"A\"); if found != () { state.n = found.quantity + 1; }"),
    (
        "a closure with what is around it",
        "let least = event.data.total_cents / 2; state.big = event.data.items.filter(|i| i.price_cents > least);",
    ),
    (
        "for_each",
        "let skus = []; let items = event.data.items; items.for_each(|| { skus.push(this.sku); }); state.skus = skus;",
    ),
    (
        "sorting a copy",
        "let items = event.data.items; items.sort(|a, b| a.price_cents - b.price_cents); state.first = items.get(0)?.sku;",
    ),
    (
        "switch",
        "state.n = switch event.data.status { \"created\" => 1, \"paid\" => 2, \"shipped\" | \"cancelled\" => 3 };",
    ),
    (
        "switch with a default",
        "switch event.data.status { \"paid\" => { state.paid = true; } _ => { state.paid = false; } }",
    ),
    (
        "switch with conditions",
        "switch event.data.status { \"paid\" if event.data.total_cents > 10 => { state.a = 1; } \"paid\" => { state.a = 2; } _ => () }",
    ),
    (
        "switch on a number",
        "state.size = switch event.data.total_cents { 0 => \"none\", 1..100 => \"small\", _ => \"big\" };",
    ),
    (
        "switch that discriminates",
        "switch event.data.payment.kind { \"card\" => { state.p = event.data.payment.last4.len(); } \"invoice\" => { state.p = event.data.payment.due_days + 1; } }",
    ),
    (
        "if that discriminates",
        "if event.data.payment.kind == \"card\" { state.p = event.data.payment.last4.len(); } else { state.p = event.data.payment.due_days + 1; }",
    ),
    ("a copy that discriminates", "let p = event.data.payment; if p.kind == \"invoice\" { state.d = p.due_days * 2; }"),
    ("in that discriminates", "if \"last4\" in event.data.payment { state.l = event.data.payment.last4.len(); }"),
    (
        "switch that ends",
        "switch event.data.status { \"cancelled\" => skip(\"gone\"), _ => () } state.s = event.data.status;",
    ),
    (
        "a switch on what may lack",
        "switch event.data.currency { \"EUR\" => { state.c = event.data.currency.len(); } _ => { state.c = 0; } }",
    ),
    (
        "a function",
        "fn due(total, discount) { total - (discount ?? 0) }\nstate.due = due(event.data.total_cents, event.data.discount_cents);",
    ),
    (
        "a function that checks",
        "fn present(x) { x != () }\nif present(event.data.note) { state.n = event.data.note.len(); }",
    ),
    (
        "a function that checks an object",
        "fn has_note(d) { d.note != () }\nif has_note(event.data) { state.n = event.data.note.len(); }",
    ),
    (
        "a function that returns early",
        "fn length(x) { if x == () { return 0; } x.len() }\nstate.n = length(event.data.note);",
    ),
    (
        "a function that takes an object",
        "fn label(c) { c.name + \" (\" + c.id + \")\" }\nstate.label = label(event.data.customer);",
    ),
    (
        "a function that ends",
        "fn need(x) { if x == () { reject(\"missing\"); } x }\nstate.n = need(event.data.note).len();",
    ),
    (
        "a recursive function",
        "fn depth(c) { if c == () { 0 } else { 1 + depth(c.parent) } }\nstate.depth = depth(event.data.category);",
    ),
    (
        "a method of its own",
        "fn add(n) { this.total += n; }\nlet t = #{ total: 0 }; t.add(event.data.total_cents); state.t = t.total;",
    ),
    (
        "a function of several kinds",
        "fn text(x) { if type_of(x) == \"string\" { x } else { x.to_string() } }\nstate.a = text(event.data.order_id); state.b = text(event.data.total_cents);",
    ),
    ("two kinds of objects", "fn name(o) { o.name ?? o.city }\nstate.a = name(event.data.customer);"),
    ("a closure kept and called", "let double = |x| x * 2; state.n = double.call(event.data.total_cents);"),
    (
        "interpolation",
        "log(\"info\", `order ${event.data.order_id} of ${event.data.customer.name} has ${event.data.note}`);",
    ),
    ("printing", "print(event.data.note); log(\"debug\", event.data);"),
    ("concatenation with nothing", "state.text = \"note: \" + event.data.note;"),
    ("comparing with nothing in it", "if event.data.discount_cents > 5 { state.much = true; }"),
    (
        "floats and integers",
        "state.w = (event.data.weight * 1000.0).round().to_int(); state.t = event.data.total_cents / 100.0;",
    ),
    ("a number compared", "if event.data.weight == 2 || event.data.weight > 1.5 { state.heavy = true; }"),
    ("a string by index", "state.first = event.data.order_id[0]; state.len = event.data.order_id.len;"),
    (
        "text methods",
        "let id = event.data.order_id; state.id = id.sub_string(0, 2) + id.to_upper(); state.s = id.split(\"-\"); state.h = id.starts_with(\"o\");",
    ),
    ("text changed in place", "let id = event.data.order_id; id.trim(); id.replace(\"-\", \"\"); state.id = id;"),
    ("text made", "let line = \"\"; for item in event.data.items { line += item.sku + \",\"; } state.line = line;"),
    (
        "an array made",
        "let skus = []; for item in event.data.items { skus.push(item.sku); } state.skus = skus; state.n = skus.len();",
    ),
    ("an array of numbers", "let all = [1, 2, 3]; all += 4; state.sum = all[0] + all[1]; state.has = 2 in all;"),
    ("an object made", "let m = #{ a: 1 }; m.b = 2; m[\"c\"] = 3; state.sum = m.a + m.b + m.c; state.d = m.d;"),
    (
        "an object filled by names",
        "let counts = #{}; for item in event.data.items { counts[item.sku] = (counts[item.sku] ?? 0) + item.quantity; } state.counts = counts;",
    ),
    ("an object filled in a branch", "let m = #{}; if event.data.priority == true { m.p = 1; } state.p = m.p ?? 0;"),
    ("objects within objects", "let m = #{ a: #{ b: 1 } }; m.a.b += 1; m.a.c = \"x\"; state.m = m.a.c.len();"),
    ("objects merged", "let m = #{ a: 1 }; m += #{ b: 2 }; m.mixin(#{ c: 3 }); state.m = m.b + m.c;"),
    (
        "objects changed elsewhere",
        "let m = #{ a: 1 }; m.remove(\"a\"); m.set(\"b\", 2); state.a = m.a; state.b = m.b + 1;",
    ),
    ("headers", "state.trace = event.headers[\"X-Trace\"] ?? \"none\"; state.n = event.headers.len();"),
    (
        "the envelope",
        "state.at = event.time ?? ctx.time; state.v = event.version + 1; state.k = event.key.len() + event.id.len() + event.source.len(); state.t = event.type;",
    ),
    ("the context", "if ctx.attempt > 1 { log(\"warn\", `again in ${ctx.pipeline}`); }"),
    (
        "the state",
        "state.count = (state.count ?? 0) + 1; state.items = state.items ?? []; state.items.push(event.data.order_id); if state.shipped == true { skip(\"done\"); }",
    ),
    (
        "a state of its own shape",
        "if state.order == () { state.order = #{ lines: [] }; } state.order.lines.push(event.data.total_cents); state.order.total = (state.order.total ?? 0) + 1;",
    ),
    ("the state deleted", "if event.data.status == \"cancelled\" { delete_state(); }"),
    ("an id", "state.id = uuid(); state.n = uuid().len();"),
    (
        "something unknown",
        "let m = event.data.meta; if m != () { state.x = m.whatever.deep + 1; for x in m.all { state.m = x.y; } }",
    ),
    (
        "attributes",
        "state.colour = event.data.attributes?[\"colour\"] ?? \"none\"; state.size = event.data.attributes?.size;",
    ),
    ("attributes, checked", "let a = event.data.attributes ?? #{}; if a.colour != () { state.n = a.colour.len(); }"),
    ("try and catch", "try { state.n = event.data.note.len(); } catch (e) { state.n = 0; }"),
    ("try around arithmetic", "let n = 0; try { n = event.data.discount_cents - 1; } catch { n = -1; } state.n = n;"),
    ("a block", "let x = { let y = event.data.total_cents; y * 2 }; state.x = x;"),
    ("a name used again", "let x = event.data.note; let x = x ?? \"none\"; state.n = x.len();"),
    ("a name within a block", "let x = 1; { let x = event.data.note ?? \"\"; state.n = x.len(); } state.m = x + 1;"),
    ("a constant", "const RATE = 19; state.tax = event.data.total_cents * RATE / 100;"),
    ("a constant chosen", "let mode = \"a\"; if mode == \"b\" { state.b = 1; }"),
    (
        "bits",
        "state.b = event.data.total_cents & 0xff; state.s = event.data.total_cents << 2; state.bit = event.data.total_cents[0];",
    ),
    ("power", "state.p = event.data.total_cents ** 2; state.m = event.data.total_cents % 10;"),
    (
        "min and max",
        "state.m = max(0, event.data.total_cents - (event.data.discount_cents ?? 0)); state.n = min(event.data.total_cents, 10);",
    ),
    ("parsing", "let n = parse_int(\"12\"); state.n = n + event.data.total_cents; state.f = parse_float(\"1.5\");"),
    (
        "json",
        "state.text = event.data.customer.to_json(); let back = parse_json(state.text); state.name = back.name.to_upper();",
    ),
    ("an emission", "emit(\"OrderTracked\", #{ order_id: event.data.order_id, state: \"open\" });"),
    (
        "an emission with all",
        "emit(\"OrderTracked\", #{ order_id: event.key, state: \"done\", note: event.data.note ?? \"\", amount_cents: event.data.total_cents });",
    ),
    (
        "an emission with lines",
        "emit(\"OrderTracked\", #{ order_id: event.key, state: \"done\", lines: event.data.items.map(|i| #{ sku: i.sku, quantity: i.quantity }) });",
    ),
    (
        "an emission made step by step",
        "let out = #{ order_id: event.key, state: \"open\" }; if event.data.note != () { out.note = event.data.note; } emit(\"OrderTracked\", out);",
    ),
    (
        "an emission completed",
        "let out = #{}; out.order_id = event.key; out.state = \"open\"; emit(\"OrderTracked\", out);",
    ),
    (
        "an emission with options",
        "emit(\"OrderTracked\", #{ order_id: \"a\", state: \"open\" }, #{ version: 1, key: event.key, headers: #{ a: \"b\" } });",
    ),
    (
        "an emission of what is chosen",
        "emit(\"OrderTracked\", #{ order_id: \"a\", state: if event.data.status == \"paid\" { \"done\" } else { \"open\" } });",
    ),
    ("an emission of the state", "emit(\"OrderTracked\", #{ order_id: \"a\", state: state.s, note: state.note });"),
    (
        "an emission made by a function",
        "fn out(id) { #{ order_id: id, state: \"open\" } }\nemit(\"OrderTracked\", out(event.key));",
    ),
    ("an emission of a computed type", "let t = \"OrderTracked\"; emit(t, #{ anything: 1 });"),
    (
        "an emission of lines made in a loop",
        "let lines = []; for i in event.data.items { lines.push(#{ sku: i.sku }); } emit(\"OrderTracked\", #{ order_id: \"a\", state: \"open\", lines: lines });",
    ),
    ("nothing at all", ""),
    ("comments", "// nothing\n/* at all */\nstate.n = 1;"),
    (
        "equal kinds of text",
        "if event.data.order_id[0] == \"o\" { state.o = true; } if event.data.order_id == 'o' { state.p = true; }",
    ),
    ("what may be either compared", "if event.data.note == event.data.currency { state.same = true; }"),
    (
        "a check that is not needed",
        "if event.data.total_cents == () { reject(\"no total\"); } state.t = event.data.total_cents;",
    ),
    ("a check of what is required", "state.name = event.data.customer?.name ?? \"nobody\";"),
    (
        "defaults in a condition",
        "if (event.data.discount_cents ?? 0) > 10 { state.d = event.data.discount_cents - 10; }",
    ),
    ("a default kept", "let d = event.data.discount_cents ?? 0; if d > 0 { state.d = event.data.discount_cents - d; }"),
    (
        "a comparison of two that may lack",
        "if event.data.note != () && event.data.currency != () { state.s = event.data.note.len() + event.data.currency.len(); }",
    ),
    ("an array with gaps", "let a = [event.data.note, event.data.currency]; state.a = a.filter(|x| x != ());"),
    ("tags of an item", "for item in event.data.items { for tag in item.tags ?? [] { state[tag] = true; } }"),
    (
        "tags checked",
        "for item in event.data.items { if item.tags != () && item.tags.contains(\"hot\") { state.hot = item.sku; } }",
    ),
    ("tags with in", "for item in event.data.items { if \"hot\" in (item.tags ?? []) { state.hot = item.sku; } }"),
    (
        "a label and a loop within a loop",
        "for a in event.data.items { for b in event.data.items { if a.sku == b.sku && a.quantity > b.quantity { state.more = a.sku; } } }",
    ),
    (
        "a closure that captures the event",
        "let items = event.data.items; let same = items.filter(|i| i.sku == event.data.order_id); state.n = same.len();",
    ),
    (
        "a closure that captures a variable",
        "let least = event.data.total_cents; state.n = event.data.items.map(|i| i.quantity + least);",
    ),
    (
        "a closure that changes what it captures",
        "let n = 0; event.data.items.some(|i| { n += i.quantity; false }); state.n = n + 1;",
    ),
    (
        "a kept closure that captures",
        "let has = || event.data.note != (); if has.call() { state.n = event.data.note.len(); }",
    ),
    ("reduce with a beginning", "state.sum = event.data.items.reduce(|sum, i| sum + i.quantity, 0);"),
    ("a closure with the number of the item", "state.n = event.data.items.map(|i, n| i.quantity + n);"),
    ("two ways to the same", "let n = if event.data.note == () { 0 } else { event.data.note.len() }; state.n = n + 1;"),
    (
        "what is left by a loop",
        "let last = (); for item in event.data.items { last = item; } if last != () { state.s = last.sku.len(); }",
    ),
    (
        "what is left by a loop that is left",
        "let found = (); for item in event.data.items { if item.sku == \"A\" { found = item; break; } } if found != () { state.q = found.quantity + 1; }",
    ),
    (
        "a number that becomes another kind",
        "let n = 0; for item in event.data.items { n = n + item.quantity / 2.0; } state.n = n.to_string();",
    ),
    (
        "a text or a number",
        "let x = 0; for item in event.data.items { if item.quantity > 1 { x = item.sku; } } if type_of(x) == \"string\" { state.n = x.len(); } else { state.n = x + 1; }",
    ),
    (
        "an object that grows",
        "let out = #{ lines: [] }; for item in event.data.items { out.lines.push(#{ sku: item.sku, quantity: item.quantity }); } out.order_id = event.key; out.state = \"open\"; emit(\"OrderTracked\", out);",
    ),
    (
        "the payment as a whole",
        "let p = event.data.payment; state.p = switch p.kind { \"card\" => p.last4, \"invoice\" => p.due_days.to_string() };",
    ),
    (
        "what is required of a variant",
        "if event.data.payment.kind != \"card\" { state.d = event.data.payment.due_days - 1; }",
    ),
    (
        "several early ends",
        "if event.data.note == () { skip(\"a\"); } if event.data.discount_cents == () { skip(\"b\"); } for item in event.data.items { state.n = item.quantity * event.data.discount_cents + event.data.note.len(); }",
    ),
    (
        "an early end within a loop",
        "for item in event.data.items { if item.tags == () { skip(\"no tags\"); } state.t = item.tags.len(); }",
    ),
];

#[test]
fn nothing_is_told_of_scripts_that_do_nothing_wrong() {
    let wrong: Vec<String> = SCRIPTS
        .iter()
        .filter_map(|(name, text)| {
            let told = told(text);
            (!told.is_empty()).then(|| format!("{name}: {told:?}\n{text}"))
        })
        .collect();
    assert!(wrong.is_empty(), "{} of {}\n{}", wrong.len(), SCRIPTS.len(), wrong.join("\n"));
}

/// Without a `type` the members of an object say nothing of what is none.
#[test]
fn what_need_not_be_an_object_may_be_anything() {
    let inner = json!({ "properties": { "name": { "type": "string" } } });
    let schema = json!({ "type": "object", "required": ["by"], "properties": { "by": inner } });
    let text = "state.nobody = event.data.by == \"nobody\"; if type_of(event.data.by) == \"string\" { skip(\"x\"); }";
    assert_eq!(told_of(Kind::Handler, text, &schema), [""; 0]);
}

#[test]
fn nothing_is_told_where_a_schema_says_nothing() {
    let text = "state.a = event.data.x.y + 1; if event.data.z { state.z = event.data.z - 1; }";
    for schema in [
        json!(true),
        json!({}),
        json!({ "type": "object" }),
        json!({ "properties": { "x": {} }, "if": { "required": ["x"] }, "then": { "required": ["z"] } }),
        json!({ "$ref": "#/$defs/a", "$defs": { "a": { "$ref": "#/$defs/a" } } }),
        json!({ "$ref": "https://example.com/order.json" }),
        json!({ "type": "object", "patternProperties": { "^x": { "type": "object" } }, "additionalProperties": false }),
    ] {
        let told = told_of(Kind::Handler, text, &schema);
        assert_eq!(told, Vec::<String>::new(), "{schema}");
    }
}
