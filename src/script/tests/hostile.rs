//! What a script may try against the process, each contained: it ends with an error of its class, and the next
//! script runs on the same thread as if nothing had been.

use std::time::{Duration, Instant};

use super::super::pool::Pool;
use super::*;

/// Runs it on a pool of one thread and then an honest script on the same thread.
fn contained(text: &str) -> ScriptError {
    let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
    let pool = Pool::new(1).expect("a pool");
    let script = handler(text);
    let started = Instant::now();
    let outcome = runtime.block_on(pool.run(move || {
        let key = Key::new("o1").expect("a key");
        script.handle(&event(json!({})), &key, None, &context())
    }));
    let took = started.elapsed();
    let honest = handler("state.n = 1;");
    let key = Key::new("o1").expect("a key");
    let after = runtime.block_on(pool.run(move || honest.handle(&event(json!({})), &key, None, &context())));
    assert!(matches!(after, Ok(Ok(Outcome::Done { state: Some(_), .. }))), "{after:?}");
    // Within a few times the budget of one second, on a machine that is busy and a build that is not optimized.
    assert!(took < Duration::from_secs(10), "{took:?}");
    outcome.expect("the job is not lost").expect_err("the script fails")
}

fn stopped(text: &str) -> String {
    let error = contained(text);
    assert_eq!(error.class, ErrorClass::Limit, "{error:?}");
    error.message
}

#[test]
fn an_endless_loop_is_stopped() {
    stopped("loop {}");
}

#[test]
fn deep_recursion_is_stopped() {
    stopped("fn f(n) { f(n + 1) } f(0);");
    stopped("let f = Fn(\"g\"); fn g(f) { f.call(f) } g(f);");
}

#[test]
fn nested_maps_are_bounded() {
    stopped("let m = #{}; loop { m = #{a: m}; }");
    stopped("let m = #{}; loop { let n = #{}; n.a = m; m = n; }");
}

#[test]
fn nested_arrays_are_bounded() {
    stopped("let a = []; loop { a = [a]; }");
    stopped("let a = []; loop { a = [a, a]; }");
    stopped("let a = []; loop { a = [#{a: a}]; }");
}

#[test]
fn a_chain_of_closures_is_dropped_on_a_large_stack() {
    stopped("let f = || 0; loop { let g = f; f = || g.call(); }");
    stopped("let f = 0; loop { let g = #{a: #{a: #{a: f}}}; f = || g; }");
    stopped("let a = []; a.pad(60000, 0); let k = 0; loop { k = a.reduce(|f, x| { || f }, k); }");
}

#[test]
fn closures_that_hold_much_are_stopped() {
    stopped(
        r#"let s = "x"; s.pad(1000000, "x"); let keep = ();
           loop { let t = s + "y"; let p = keep; keep = || { [p, t] }; }"#,
    );
    stopped(
        r#"let s = "x"; s.pad(1000000, "x"); let a = []; a.pad(60000, 0);
           let b = a.map(|x| s + x);"#,
    );
}

#[test]
fn strings_cannot_grow_without_end() {
    stopped(r#"let s = "x"; loop { s += s; }"#);
    stopped(r#"let s = "x"; loop { s = s + s; }"#);
    stopped(r#"let s = "x"; loop { s = `${s}${s}`; }"#);
    stopped(r#"let s = "x"; s.pad(1000000000, "x");"#);
    stopped(r#"let s = "a"; s.pad(1000000, "a"); let t = s; s.replace("a", t);"#);
    stopped(r#"let s = "a"; s.pad(1000000, "a"); let t = s; s.replace('a', t);"#);
    stopped(r#"let s = "a"; s.pad(1000000, "a"); let t = s; s.replace("", t);"#);
}

#[test]
fn arrays_cannot_grow_without_end() {
    stopped("let a = []; loop { a.push(0); }");
    stopped("let a = [0]; loop { a += a; }");
    stopped("let a = []; a.pad(100000000, 0);");
    stopped("let a = [0]; loop { a.append(a); }");
    stopped("let b = blob(100000000);");
    stopped("let m = #{}; let i = 0; loop { m[i.to_string()] = i; i += 1; }");
}

#[test]
fn thousands_of_long_natives_are_stopped_by_the_clock() {
    stopped(r#"let s = "x"; s.pad(1000000, "x"); loop { let t = s.to_upper(); }"#);
    stopped(r#"let s = "x"; s.pad(1000000, "x"); loop { s.contains("y"); s.index_of("xxxxxxy"); }"#);
    stopped(r#"let s = "x"; s.pad(1000000, "x"); loop { let t = s.to_chars(); }"#);
    stopped(r#"let s = "x"; s.pad(1000000, "x"); loop { let t = s.split(""); }"#);
    stopped("let a = []; a.pad(60000, 1); loop { let b = a; b.sort(); b.reverse(); }");
    stopped("let a = []; a.pad(60000, 1); loop { a.index_of(2); let b = a == a; }");
    stopped("let a = []; a.pad(60000, 1); loop { a.map(|x| x + 1); }");
}

#[test]
fn many_variables_are_bounded() {
    let text: String = (0..1000).map(|n| format!("let v{n} = {n};\n")).collect();
    stopped(&text);
}

#[test]
fn many_emissions_are_bounded() {
    stopped(r#"let s = "x"; s.pad(1000000, "x"); loop { emit("T", #{s: s}); }"#);
    stopped(r#"loop { emit("T", #{}); }"#);
    stopped(r#"loop { try { emit("T", #{a: "x"}); } catch {} }"#);
}

#[test]
fn a_limit_cannot_be_caught() {
    stopped("loop { try { loop {} } catch {} }");
    stopped("fn f(n) { try { f(n + 1) } catch {} f(n + 1) } f(0);");
    stopped(r#"let s = "x"; loop { try { s += s; } catch {} }"#);
    stopped("[1].map(|x| { try { loop {} } catch {} }); loop { try { loop {} } catch {} }");
}

#[test]
fn a_result_nested_too_deeply_is_refused() {
    stopped("let m = #{}; for i in 0..10000 { m = #{a: m}; } state.m = m;");
    stopped("let m = #{}; for i in 0..100 { m = #{a: m}; } state.m = m;");
    stopped("let m = []; for i in 0..100 { m = [m]; } emit(\"T\", #{m: m});");
}

#[test]
fn a_value_thrown_is_bounded_in_the_message() {
    let error = contained(r#"let s = "x"; s.pad(1000000, "x"); throw s;"#);
    assert_eq!(error.class, ErrorClass::Script);
    assert!(error.message.len() < 2_000);
}

#[test]
fn a_thread_cannot_be_put_to_sleep() {
    let error = contained(r#"Fn("sleep").call(100);"#);
    assert_eq!(error.class, ErrorClass::Script);
    let error = contained(r#"Fn("sleep").call(100.0);"#);
    assert_eq!(error.class, ErrorClass::Script);
}

#[test]
fn a_closure_that_holds_itself_is_let_go() {
    let script = handler("let a = 0; let f = || a; a = [f]; let a = 1;");
    let key = Key::new("o1").expect("a key");
    assert!(script.handle(&event(json!({})), &key, None, &context()).is_ok());
}

#[test]
fn currying_and_eval_do_not_parse() {
    for text in ["let f = |x| 0; loop { f = f.curry(f); }", "let f = |x| 0; loop { f = curry(f, f); }", "eval(\"1\");"]
    {
        assert!(compile(Kind::Handler, text).is_err(), "{text}");
    }
    let error = contained("let f = Fn(\"curry\"); f.call(f, 1);");
    assert_eq!(error.class, ErrorClass::Script);
}

/// What follows has a closure over a megabyte, sixty thousand times.
const MANY_HOLD_MUCH: &str = r#"let s = "x"; s.pad(1000000, "x"); let f = || s; let a = []; a.pad(60000, f);"#;

#[test]
fn the_text_of_a_value_is_bounded_while_it_is_made() {
    for text in ["`${a}`", "a.to_string()", "a.to_debug()", "print(a)", "\"\" + a", "#{a: a}.to_string()"] {
        let message = stopped(&format!("{MANY_HOLD_MUCH} {text};"));
        assert!(message.starts_with("a text of more than 1048576 bytes"), "{text}: {message}");
    }
    let error = contained(&format!("{MANY_HOLD_MUCH} throw a;"));
    assert_eq!(error.class, ErrorClass::Script);
    assert!(error.message.len() < 2_000);
}

#[test]
fn what_is_printed_reads_as_the_language_prints_it() {
    let all = state(
        r#"state.list = `${[1, "a\n", 1.5, (), true, 'c', [2], 0..5, parse_json("[1e400]")[0]]}`;
           state.map = `${#{b: "x", c: #{}}}`;
           state.inner = [event.data].to_debug();
           state.joined = "n: " + [1] + #{a: 1};"#,
        json!({ "n": 1 }),
    );
    assert_eq!(all["list"], r#"[1, "a\n", 1.5, (), true, c, [2], 0..5, 1e+400]"#);
    assert_eq!(all["map"], r##"#{"b": "x", "c": #{}}"##);
    assert_eq!(all["inner"], r##"[#{"n": 1}]"##);
    assert_eq!(all["joined"], r##"n: [1]#{"a": 1}"##);
}

#[test]
fn padding_ends_and_its_length_does_not_wrap_around() {
    stopped("let item = []; item.pad(65535, 0); let a = []; a.pad(281474976710656, item);");
    stopped("let a = []; a.pad(4611686018427387904, [1, 2, 3]);");
    stopped(r#"let a = []; let s = "x"; s.pad(1000000, "x"); a.pad(60000, s);"#);
    stopped(r#"let s = ""; s.pad(9223372036854775807, "xy");"#);
    let padded = state(
        r#"let a = [0]; a.pad(3, "x"); a.pad(-1, 9); state.a = a;
           let s = "a"; s.pad(6, "xyz"); s.pad(9, ""); s.pad(-1, "z"); state.s = s;"#,
        json!({}),
    );
    assert_eq!(padded, json!({ "a": [0, "x", "x"], "s": "axyzxy" }));
}

#[test]
fn a_switch_over_functions_that_are_kept_is_refused() {
    const SWITCH: &str = "switch a { 1 => 2, _ => 3 }";
    for text in [
        format!("{MANY_HOLD_MUCH} {SWITCH}"),
        format!("fn keep(f) {{ [f] }} let s = 1; let a = keep(|| s); {SWITCH}"),
        format!("fn map(f) {{ this.push(f); }} let s = 1; let a = []; a.map(|| s); {SWITCH}"),
        format!("fn f() {{ 1 }} let a = [f]; {SWITCH}"),
        format!("let a = [Fn(\"f\")]; fn f() {{ 1 }} {SWITCH}"),
        "let s = 1; let f = || s; fn g(event) { switch event { 1 => 2, _ => 3 } } g(f);".to_owned(),
        "let s = 1; let f = || s; try { throw f; } catch (event) { switch event { 1 => 2, _ => 3 } }".to_owned(),
    ] {
        let problems = compile(Kind::Handler, &text).err().unwrap_or_default();
        let told =
            problems.iter().any(|problem| problem.message.contains("`switch` on a value that may hold functions"));
        assert!(told, "{text}: {problems:?}");
    }
    for text in [
        "let wanted = 2; state.n = [1, 2].filter(|i| i == wanted); switch state.n { 1 => 2, _ => 3 }",
        "let s = 1; let f = || s; switch event.data.kind { 1 => f.call(), _ => 3 }",
    ] {
        assert!(compile(Kind::Handler, text).is_ok(), "{text}");
    }
}

#[test]
fn a_storm_of_log_lines_is_stopped() {
    for text in [
        r#"loop { log("info", 1); }"#,
        r#"let s = "x"; s.pad(1000000, "x"); loop { log("debug", s); }"#,
        r#"loop { print("x"); }"#,
        r#"loop { debug("x"); }"#,
    ] {
        assert_eq!(stopped(text), "more than 256 KiB of log", "{text}");
    }
}

#[test]
fn reasons_and_types_are_as_long_as_messages_may_be() {
    let long = r#"let s = "x"; s.pad(500000, "é");"#;
    for verb in ["retry", "reject", "skip"] {
        match run(&format!("{long} {verb}(s);"), json!({}), None) {
            Ok(Outcome::Retry { why, .. } | Outcome::Reject { why } | Outcome::Skip { why }) => {
                assert!(why.len() <= 1_003 && why.ends_with('…'), "{verb}: {} bytes", why.len());
            }
            other => panic!("{other:?}"),
        }
    }
    let error = error(&format!("{long} emit(s, #{{}});"), json!({}));
    assert!(error.message.starts_with("an event type has at most 255 bytes"), "{error:?}");
}

#[test]
fn headers_count_as_what_is_emitted() {
    stopped(r#"let s = "x"; s.pad(300000, "x"); loop { emit("T", #{}, #{ headers: #{ a: s } }); }"#);
}

#[test]
fn a_run_is_not_stopped_for_the_memory_of_another() {
    let bomb = "let a = []; a.pad(60000, 0); let k = []; loop { let b = a; k.push(|| b); }";
    // Takes longer than the bombs, looks at the memory again and again, and never holds much itself.
    let limits = Limits { operations: 10_000_000, wall: Duration::from_secs(60), ..Limits::default() };
    let engine = Engine::new(limits, std::path::Path::new("."));
    let text = "let n = 0; for i in 0..1000000 { n += i; } state.n = n;";
    let honest = engine.compile(Kind::Handler, &Source { file: "h.rhai", text, line_offset: 0 }).expect("it compiles");
    let key = Key::new("o1").expect("a key");
    std::thread::scope(|scope| {
        let bombs = scope.spawn(|| (0..3).map(|_| contained(bomb)).collect::<Vec<_>>());
        let outcome = honest.handle(&event(json!({})), &key, None, &context());
        assert!(matches!(outcome, Ok(Outcome::Done { .. })), "{outcome:?}");
        assert_eq!(bombs.join().expect("the bombs end").len(), 3);
    });
}

#[test]
fn what_the_script_leaves_is_told_at_its_end() {
    let error = contained("let m = #{};\nfor i in 0..100 { m = #{a: m}; }\nstate.m = m;");
    assert_eq!((error.class, error.at.line), (ErrorClass::Limit, 3), "{error:?}");
}
