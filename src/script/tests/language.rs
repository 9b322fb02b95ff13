//! What a script sees and leaves: scope, state, numbers, kinds of script.

use super::*;

#[test]
fn the_event_is_in_scope_with_all_its_fields() {
    let left = state(
        r#"
        state.id = event.id; state.type = event.type; state.version = event.version; state.source = event.source;
        state.time = event.time; state.key = event.key; state.amount = event.data.amount;
        state.trace = event.headers["X-Trace"]; state.attempt = ctx.attempt; state.at = ctx.time;
        state.pipeline = ctx.pipeline;
        "#,
        json!({"amount": 5}),
    );
    assert_eq!(
        left,
        json!({
            "id": "e1", "type": "OrderCreated", "version": 2, "source": "shop", "time": "2026-01-02T03:04:05Z",
            "key": "o1", "amount": 5, "trace": "t1", "attempt": 1, "at": "2026-01-02T03:04:05Z",
            "pipeline": "fulfilment",
        })
    );
}

#[test]
fn absent_properties_read_as_unit_and_take_defaults() {
    let left = state(
        r#"
        state.a = event.data.absent ?? "default";
        state.b = event.data.absent?.deeper?.still ?? 1;
        state.c = event.data.absent == ();
        state.d = event.data.nothing ?? "null is absent";
        "#,
        json!({"nothing": null}),
    );
    assert_eq!(left, json!({"a": "default", "b": 1, "c": true, "d": "null is absent"}));
}

#[test]
fn closures_may_look_at_variables_around_them() {
    let left = state(
        r#"
        let items = event.data.items;
        state.same = items.filter(|i| i.sku == event.data.sku).len();
        let wanted = event.data.sku;
        state.captured = event.data.items.filter(|i| i.sku == wanted).len();
        let total = 0;
        for item in event.data.items { total += item.n; }
        state.total = total;
        state.sum = event.data.items.map(|i| i.n).reduce(|sum, n| sum + n, 0);
        "#,
        json!({"sku": "a", "items": [{"sku": "a", "n": 1}, {"sku": "b", "n": 2}]}),
    );
    assert_eq!(left, json!({"same": 1, "captured": 1, "total": 3, "sum": 3}));
}

#[test]
fn state_is_kept_and_an_untouched_one_stays_equal() {
    let before = json_of(r#"{"n": 1, "f": 1.5, "big": 12345678901234567890123, "list": [1, null, "x", true, {}]}"#);
    let outcome = run("", json!({}), Some(before.clone())).expect("it runs");
    assert_eq!(outcome, Outcome::Done { state: Some(before.clone()), emitted: Vec::new() });
    let Outcome::Done { state, .. } = run("state.n += 1; state.list.push(2);", json!({}), Some(before)).expect("runs")
    else {
        panic!("not done")
    };
    let state = state.expect("a state");
    assert_eq!(state["n"], json!(2));
    assert_eq!(state["list"], json!([1, null, "x", true, {}, 2]));
}

#[test]
fn the_scope_is_fresh_for_each_run() {
    let script = handler("state.n = (state.n ?? 0) + 1; let local = state.n;");
    let key = Key::new("o1").expect("a key");
    for _ in 0..3 {
        let outcome = script.handle(&event(json!({})), &key, None, &context()).expect("it runs");
        assert_eq!(outcome, Outcome::Done { state: Some(json!({"n": 1})), emitted: Vec::new() });
    }
}

#[test]
fn state_must_be_a_map_of_json() {
    for (text, message) in [
        ("state = 5;", "`state` must be a map when the script ends, not i64"),
        ("state.x = 0.0 / 0.0;", "`state.x` is `NaN`, a number that JSON does not have"),
        ("state.a = [1, #{f: |x| x}];", "`state.a[1].f` is a function, which JSON does not have"),
        ("state.b = blob(3);", "`state.b` is a blob, which JSON does not have; convert it with `to_array()`"),
    ] {
        let error = error(text, json!({}));
        assert_eq!((error.class, error.message.as_str()), (ErrorClass::Script, message), "{text}");
    }
    assert_eq!(state("state.c = 'x'; state.r = [(), 3.0];", json!({})), json_of(r#"{"c": "x", "r": [null, 3.0]}"#));
}

#[test]
fn numbers_beyond_rhai_pass_untouched() {
    let data = json_of(
        r#"{"id": 12345678901234567890123, "tiny": 1e-400, "huge": 1e400, "price": 1.10,
            "long": 0.1000000000000000055511151231257827, "edge": 9223372036854775808, "int": 9007199254740993}"#,
    );
    let left = state("state.all = event.data; state.text = `${event.data.id}`;", data.clone());
    assert_eq!(left["text"], "12345678901234567890123");
    for (name, value) in data.as_object().expect("an object") {
        let expected = if name == "price" { json_of("1.1") } else { value.clone() };
        assert_eq!(left["all"][name], expected, "{name}");
    }
    let same = state(
        "state.eq = event.data.id == event.data.id; state.ne = event.data.id != event.data.edge;
         state.zero = event.data.id == 0; state.s = event.data.id.to_string();",
        data.clone(),
    );
    assert_eq!(same, json!({"eq": true, "ne": true, "zero": false, "s": "12345678901234567890123"}));
    for calculation in ["id + 1", "id * 2.0", "id < 5", "id - event.data.edge", "edge > 0"] {
        let error = error(&format!("state.x = event.data.{calculation};"), data.clone());
        assert_eq!(error.class, ErrorClass::Script);
        assert!(error.message.contains("would round it"), "{calculation}: {}", error.message);
    }
}

#[test]
fn overflow_is_an_error_and_not_another_number() {
    let error = error("state.x = event.data.n + 1;", json!({"n": i64::MAX}));
    assert_eq!(error.class, ErrorClass::Script);
}

#[test]
fn parse_json_and_to_json_keep_numbers_exact() {
    let left = state(
        r#"let v = parse_json(`{"n": 12345678901234567890123, "a": [1.5, null]}`);
           state.v = v; state.text = v.to_json();"#,
        json!({}),
    );
    assert_eq!(left["v"], json_of(r#"{"n": 12345678901234567890123, "a": [1.5, null]}"#));
    assert_eq!(left["text"], r#"{"a":[1.5,null],"n":12345678901234567890123}"#);
    assert_eq!(
        state("state.e = event.data.to_json(); state.n = event.to_json().len() > 9;", json!({"a": 1})),
        json!({"e": "{\"a\":1}", "n": true})
    );
    assert!(error("parse_json(`{`);", json!({})).message.starts_with("not JSON"));
}

#[test]
fn upcasters_leave_data() {
    let upcaster = compile(Kind::Upcaster, "data.total_cents = event.data.total * 100; data.remove(\"total\");");
    let upcaster = upcaster.expect("it compiles");
    assert_eq!(upcaster.upcast(&event(json!({"total": 5}))), Ok(json!({"total_cents": 500})));
    let whole = compile(Kind::Upcaster, "data = #{old: event.data, version: event.version};").expect("it compiles");
    assert_eq!(whole.upcast(&event(json!({"a": 1}))), Ok(json!({"old": {"a": 1}, "version": 2})));
    let failing = compile(Kind::Upcaster, "throw \"no\";").expect("it compiles");
    assert_eq!(failing.upcast(&event(json!({}))).expect_err("it fails").message, "no");
}

#[test]
fn filters_yield_a_boolean() {
    let key = Key::new("o1").expect("a key");
    let matches = |text: &str| {
        let filter = compile(Kind::Filter, text).unwrap_or_else(|problems| panic!("{problems:?}"));
        filter.matches(&event(json!({"carrier": "DHL"})), &key, Some(&json!({"n": 2})), &context())
    };
    assert_eq!(matches(r#"event.data.carrier != "none""#), Ok(true));
    assert_eq!(matches("state.n > 5 || ctx.attempt > 1"), Ok(false));
    let error = matches("state.n").expect_err("not a boolean");
    assert_eq!(error.message, "the filter yields i64; it must yield true or false");
    assert!(compile(Kind::Filter, "let x = 1; x == 1").is_err());
}

#[test]
fn exit_and_return_keep_the_state() {
    assert_eq!(state("state.n = 1; return; state.n = 2;", json!({})), json!({"n": 1}));
    assert_eq!(state("state.n = 1; exit(); state.n = 2;", json!({})), json!({"n": 1}));
}

#[test]
fn an_event_of_the_deepest_depth_is_readable() {
    let mut data = json!(1);
    for _ in 0..64 {
        data = json!([data]);
    }
    assert_eq!(state("let read = event.data; state.ok = true;", data.clone()), json!({"ok": true}));
    assert_eq!(error("let read = event.data;", json!([data])).class, ErrorClass::Limit);
}
