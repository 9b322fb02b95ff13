//! The functions of the host.

use std::time::Duration;

use super::*;

#[test]
fn emissions_come_in_order_with_their_options_and_place() {
    let (state, emitted) = done(
        r#"emit("A", #{n: 1});
        emit("B", #{n: 2}, #{version: 3, key: "k", headers: #{h: "v"}});
        emit("C", [event.key], #{key: 42});"#,
        json!({}),
    );
    assert_eq!(state, Some(json!({})));
    assert_eq!(emitted.iter().map(|e| e.kind.as_str()).collect::<Vec<_>>(), ["A", "B", "C"]);
    assert_eq!(emitted[0].data, json!({"n": 1}));
    assert_eq!((emitted[0].version, emitted[0].key.clone()), (None, None));
    assert_eq!(emitted[1].version, Some(3));
    assert_eq!(emitted[1].key, Key::new("k"));
    assert_eq!(emitted[1].headers.get("h"), Some("v"));
    assert_eq!(emitted[2].key, Key::new("42"));
    assert_eq!(emitted[2].data, json!(["o1"]));
    assert_eq!(emitted[1].at, Place { file: "pipelines/handlers/h.rhai".into(), line: 2, column: 9 });
}

#[test]
fn emit_refuses_what_it_does_not_understand() {
    for (text, message) in [
        (r#"emit("A", #{}, #{to: "x"});"#, "`emit` has no option `to`; it has `version`, `key` and `headers`"),
        (r#"emit("A", #{}, #{version: 0});"#, "`version` must be a positive integer"),
        (r#"emit("A", #{}, #{key: ""});"#, "`key` must be an integer or a string of 1 to 1024 bytes"),
        (r#"emit("A", #{}, #{headers: #{a: 1}});"#, "`headers` must be a map of strings"),
        (
            r#"emit("A", #{}, #{headers: #{a: "x\nb: y"}});"#,
            "header `a` cannot be sent: a value has no line breaks or other control characters",
        ),
        (r#"emit("A", #{a: [0.0 / 0.0]});"#, "`data.a[0]` is `NaN`, a number that JSON does not have"),
    ] {
        let error = error(text, json!({}));
        assert_eq!((error.class, error.message.as_str(), error.at.line), (ErrorClass::Script, message, 1), "{text}");
    }
    let wrong = error("emit(1, 2);", json!({}));
    assert!(wrong.message.contains("call it as `emit(type, data)"), "{}", wrong.message);
}

#[test]
fn emit_refuses_headers_that_cannot_be_sent_or_are_not_a_scripts_to_set() {
    let refused = |name: &str, value: &str| {
        let data = json!({ "name": name, "value": value });
        let text = "let h = #{}; h[event.data.name] = event.data.value; emit(\"A\", #{}, #{headers: h});";
        let error = error(text, data);
        assert_eq!(error.class, ErrorClass::Script, "{name:?}: {value:?}");
        error.message
    };
    for name in ["", "a b", "a:", "ä", "a\u{0}", "a\r\nb", "\u{7f}"] {
        let message = refused(name, "v");
        assert!(message.ends_with("a name is made of visible ASCII characters without `:` and spaces"), "{message}");
        assert!(!message.contains('\r'), "{message:?}");
    }
    for name in ["Nats-Msg-Id", "nats-", "NATS-Rollup", "ce-id", "CE-x", "Sluice-Cause-Id"] {
        let message = refused(name, "v");
        assert!(message.contains("names that begin with `nats-`, `ce-` or `sluice-` are taken"), "{message}");
    }
    for value in ["a\nb", "\r", "a\u{0}", "a\tb", "\u{85}"] {
        let message = refused("a", value);
        assert!(message.ends_with("a value has no line breaks or other control characters"), "{message}");
    }
    let (_, emitted) = done(r#"emit("A", #{}, #{headers: #{"!x~": "grün"}});"#, json!({}));
    assert_eq!(emitted[0].headers.get("!x~"), Some("grün"));
}

#[test]
fn a_member_name_that_json_could_not_be_read_back_with_is_refused() {
    for name in ["$serde_json::private::Number", "$serde_json::private::RawValue"] {
        let data = json!([name]);
        for (text, place) in [
            ("state[event.data[0]] = \"1\";", "state"),
            ("state.a = [#{}]; state.a[0][event.data[0]] = 1;", "state.a[0]"),
            ("let d = #{}; d[event.data[0]] = \"1\"; emit(\"A\", d);", "data"),
        ] {
            let error = error(text, data.clone());
            assert_eq!(error.class, ErrorClass::Script, "{text}");
            let expected = format!("`{place}` has a member `{name}`; names that begin with `$serde_json::private::`");
            assert!(error.message.starts_with(&expected), "{}", error.message);
        }
    }
}

#[test]
fn endings_discard_everything_and_pass_every_try() {
    let ends = |call: &str| {
        let text = format!(
            r#"state.n = 1; emit("A", #{{}}); delete_state();
            fn end() {{ try {{ {call}; }} catch {{ emit("B", #{{}}); }} }}
            try {{ [1].map(|x| {{ try {{ end() }} catch {{ emit("C", #{{}}); }} }}); }} catch {{ state.n = 2; }}
            loop {{}}"#
        );
        run(&text, json!({}), None).expect("an ending is no error")
    };
    assert_eq!(ends(r#"skip("s")"#), Outcome::Skip { why: "s".into() });
    assert_eq!(ends(r#"reject("r")"#), Outcome::Reject { why: "r".into() });
    assert_eq!(ends(r#"retry("t")"#), Outcome::Retry { why: "t".into(), delay: None });
    let delayed = |delay| Outcome::Retry { why: "t".into(), delay: Some(Duration::from_secs(delay)) };
    assert_eq!(ends(r#"retry("t", "1m30s")"#), delayed(90));
    assert_eq!(ends(r#"retry("t", 5)"#), delayed(5));
}

#[test]
fn a_delay_must_make_sense() {
    assert!(error(r#"retry("t", "soon");"#, json!({})).message.starts_with("`soon` is not a delay"));
    assert_eq!(error(r#"retry("t", -1);"#, json!({})).message, "a delay of -1 s lies in the past");
}

#[test]
fn delete_state_leaves_none_and_keeps_emissions() {
    let (state, emitted) = done(r#"delete_state(); state.n = 1; emit("A", #{});"#, json!({}));
    assert_eq!(state, None);
    assert_eq!(emitted.len(), 1);
}

#[test]
fn uuids_differ_within_a_run_and_agree_between_runs() {
    let text = "state.a = uuid(); state.b = uuid();";
    let first = state(text, json!({}));
    assert_ne!(first["a"], first["b"]);
    assert_eq!(first, state(text, json!({})));
    let expected = crate::event::derived_id(&["fulfilment", "uuid", "shop", "e1", "o1"], 0).to_string();
    assert_eq!(first["a"], json!(expected));
}

#[test]
fn log_takes_four_levels() {
    for level in ["debug", "info", "warn", "error"] {
        state(&format!("log(\"{level}\", \"m\"); log(\"{level}\", #{{a: 1}}); print(\"p\"); debug(1);"), json!({}));
    }
    let wrong = error("log(\"loud\", \"m\");", json!({}));
    assert_eq!(wrong.message, "`loud` is no log level; use `debug`, `info`, `warn` or `error`");
}

#[test]
fn filters_upcasters_and_imports_have_no_effects() {
    for text in [r#"emit("A", #{})"#, r#"retry("t")"#, r#"reject("r")"#, r#"skip("s")"#, "delete_state()"] {
        for kind in [Kind::Filter, Kind::Upcaster] {
            let problems = compile(kind, text).expect_err("refused");
            assert!(problems[0].message.ends_with("is for handlers"), "{problems:?}");
        }
    }
    let hidden = compile(Kind::Filter, r#"Fn("skip").call("s")"#).expect("it compiles");
    let key = Key::new("o1").expect("a key");
    let error = hidden.matches(&event(json!({})), &key, None, &context()).expect_err("refused");
    assert!(error.message.starts_with("`skip` is for handlers"), "{error:?}");
}

#[test]
fn replace_still_replaces() {
    let left = state(
        r#"let s = "a-b-a"; s.replace("a", "xy"); state.s = s;
           let c = "a-b"; c.replace('-', "+"); c.replace('+', '*'); c.replace("b", 'z'); state.c = c;
           let n = "abc"; n.replace("q", "r"); state.n = n;"#,
        json!({}),
    );
    assert_eq!(left, json!({"s": "xy-b-xy", "c": "a*z", "n": "abc"}));
}
