//! What a user reads: at compile time with a span, at run time with a place.

use super::*;

fn refused(kind: Kind, text: &str) -> Diagnostic {
    compile(kind, text).expect_err(text).remove(0)
}

#[test]
fn reserved_words_as_fields_get_the_way_around() {
    for word in ["private", "default", "new"] {
        let problem = refused(Kind::Handler, &format!("let x = 1;\nlet y = event.data.{word};"));
        assert!(problem.rule.starts_with("SG2"), "{}", problem.rule);
        assert_eq!(problem.message, format!("`{word}` is a reserved word"));
        assert!(problem.help.expect("help").contains(&format!("event.data[\"{word}\"]")));
        let span = problem.span.expect("a span");
        assert_eq!((span.line, span.column, span.end_column), (2, 20, 20 + word.len()));
    }
    assert_eq!(state("state.x = event.data[\"private\"];", json!({"private": 1})), json!({"x": 1}));
}

#[test]
fn unknown_functions_get_a_suggestion() {
    let problem = refused(Kind::Handler, "emitt(\"A\", #{});");
    assert_eq!(problem.message, "no function `emitt`");
    assert_eq!(problem.help.as_deref(), Some("did you mean `emit`?"));
    let method = refused(Kind::Handler, "let x = event.data.items.fliter(|i| true);");
    assert_eq!(method.help.as_deref(), Some("did you mean `filter`?"));
    assert!(compile(Kind::Handler, "let m = #{twice: |x| x * 2}; state.n = m.twice(2);").is_ok());
    assert!(compile(Kind::Handler, "fn twice(x) { x * 2 } state.n = twice(2); state.m = 2.twice();").is_ok());
}

#[test]
fn what_scripts_do_not_have_is_said_with_what_to_do() {
    assert!(refused(Kind::Handler, "sleep(1);").help.expect("help").contains("retry"));
    assert!(refused(Kind::Handler, "let t = timestamp();").help.expect("help").contains("ctx.time"));
}

#[test]
fn the_event_is_read_only() {
    for text in ["event.data.x = 1;", "event.version += 1;", "event = 1;", "ctx.attempt = 2;", "event[\"id\"] = 1;"] {
        let problem = refused(Kind::Handler, text);
        assert!(problem.message.ends_with("is read-only"), "{text}: {}", problem.message);
    }
    let error = error("event.data.items.push(1);", json!({"items": []}));
    assert_eq!(error.class, ErrorClass::Script);
    assert_eq!(state("let d = event.data; d.x = 1; state.d = d;", json!({})), json!({"d": {"x": 1}}));
}

#[test]
fn what_is_given_cannot_be_hidden() {
    for text in ["let state = 1;", "let event = 1;", "for ctx in [1] {}", "if true { const state = 1; }"] {
        assert!(refused(Kind::Handler, text).message.ends_with("this would hide it"), "{text}");
    }
    assert!(compile(Kind::Handler, "let data = event.data;").is_ok());
    assert!(refused(Kind::Upcaster, "let data = #{};").message.ends_with("this would hide it"));
}

#[test]
fn functions_do_not_see_the_event_and_are_told_so() {
    let problem = refused(Kind::Handler, "fn total() { event.data.total }\nstate.t = total();");
    assert_eq!(problem.message, "`event` is not in scope here");
    assert!(problem.help.expect("help").ends_with("as an argument"));
    let closure = refused(Kind::Handler, "let f = |i| event.id; fn g() { [1].map(|i| event.id) }\ng();");
    assert_eq!(closure.message, "`event` is not in scope here");
    assert_eq!(refused(Kind::Handler, "fn f() { nowhere }").message, "unknown variable `nowhere`");
    assert!(compile(Kind::Handler, "fn f(a) { let b = a; [1].map(|i| a + b + i) }\nstate.x = f(1);").is_ok());
    assert_eq!(refused(Kind::Handler, "state.x = nowhere;").message, "unknown variable `nowhere`");
}

#[test]
fn a_closure_that_would_wait_for_its_own_call_is_found() {
    let problem = refused(Kind::Handler, "state.n = event.data.items.filter(|i| i.sku == event.data.sku).len();");
    assert!(problem.message.starts_with("the closure uses `event`"), "{}", problem.message);
    assert!(problem.span.is_some());
}

#[test]
fn embedded_scripts_are_placed_in_their_file() {
    let root = tempfile::tempdir().expect("a directory");
    let engine = Engine::new(Limits::default(), root.path());
    let source = |text| Source { file: "pipelines/p.yaml", text, line_offset: 10 };
    let problem = engine.compile(Kind::Handler, &source("let x = 1;\nlet y = ;")).expect_err("refused").remove(0);
    let span = problem.span.expect("a span");
    assert_eq!((span.file.as_str(), span.line), ("pipelines/p.yaml", 12));
    let script = engine.compile(Kind::Handler, &source("\nthrow \"no\";")).expect("it compiles");
    let error = script.handle(&event(json!({})), &Key::new("k").expect("a key"), None, &context()).expect_err("fails");
    assert_eq!(error.at, Place { file: "pipelines/p.yaml".into(), line: 12, column: 1 });
}

#[test]
fn errors_stand_where_they_happen_and_name_the_calls() {
    let error = error("fn price(x) {\n  x.amount * \"a\"\n}\n\nstate.p = price(#{amount: 2});", json!({}));
    assert_eq!((error.at.line, error.class), (2, ErrorClass::Script));
    assert!(error.message.ends_with(", in `price`"), "{}", error.message);
}

#[test]
fn absent_values_are_named_as_the_cause() {
    let sum = error("state.n = event.data.absent + 1;", json!({}));
    assert!(sum.message.contains("a value is absent"), "{}", sum.message);
    let deep = error("state.n = event.data.absent.deeper;", json!({}));
    assert!(deep.message.contains("use `?.` and `??`"), "{}", deep.message);
}

#[test]
fn a_hopeless_text_is_a_diagnostic() {
    for text in ["}", "let", "\"open", "/* open", "\u{0}", "é", "let x = 1 let y", "#{", "`${", "fn", "🦀"] {
        let _ = compile(Kind::Handler, text);
        let _ = compile(Kind::Filter, text);
    }
    assert!(compile(Kind::Filter, "").is_err());
    assert!(compile(Kind::Handler, "").is_ok());
}

#[test]
fn a_misspelt_variable_is_told_with_what_it_may_mean() {
    for (text, meant) in [
        ("state.x = evnt.data.x;", Some("event")),
        ("let total = 1;\nstate.x = totl;", Some("total")),
        ("state.x = nowhere;", None),
    ] {
        assert_eq!(refused(Kind::Handler, text).help, meant.map(|meant| format!("did you mean `{meant}`?")), "{text}");
    }
}

#[test]
fn a_missing_semicolon_is_told_where_it_belongs() {
    let place = |text: &str| {
        let span = refused(Kind::Handler, text).span.expect("a span");
        (span.line, span.column, span.end_column)
    };
    assert_eq!(place("state.a = \"ä\"  \n\n  state.b = 2;"), (1, 14, 14));
    // Where a comment ends and code begins, only the parser knows.
    assert_eq!(place("state.a = 1 // one\nstate.b = 2;").0, 2);
    assert_eq!(place("state.a = 1 state.b = 2;"), (1, 13, 18));
}

#[test]
fn an_import_is_marked_with_its_quotes() {
    let span = refused(Kind::Handler, "import \"lib/näme\" as name;").span.expect("a span");
    assert_eq!((span.column, span.end_column), (8, 18));
}
