//! Modules: where they are found, and where not.

use std::fs;

use tempfile::TempDir;

use super::*;

const FILE: &str = "pipelines/handlers/h.rhai";

fn project(files: &[(&str, &str)]) -> TempDir {
    let root = tempfile::tempdir().expect("a directory");
    for (path, text) in files {
        let path = root.path().join(path);
        fs::create_dir_all(path.parent().expect("a parent")).expect("a directory");
        fs::write(path, text).expect("a file");
    }
    root
}

fn compiled(root: &Path, text: &str) -> Result<Script, Vec<Diagnostic>> {
    // The operations are to run out, not the time, also on a machine that is busy with other things.
    let limits = Limits { wall: std::time::Duration::from_secs(60), ..Limits::default() };
    Engine::new(limits, root).compile(Kind::Handler, &Source { file: FILE, text, line_offset: 0 })
}

fn handled(script: &Script) -> Result<Outcome, ScriptError> {
    script.handle(&event(json!({})), &Key::new("o1").expect("a key"), None, &context())
}

fn left(files: &[(&str, &str)], text: &str) -> Value {
    let root = project(files);
    let script = compiled(root.path(), text).unwrap_or_else(|problems| panic!("{problems:?}"));
    // Nothing is read while a script runs.
    drop(root);
    match handled(&script) {
        Ok(Outcome::Done { state: Some(state), .. }) => state,
        other => panic!("{other:?}"),
    }
}

fn refused(files: &[(&str, &str)], text: &str) -> Vec<Diagnostic> {
    let root = project(files);
    compiled(root.path(), text).expect_err("refused")
}

#[test]
fn a_module_is_found_beside_the_importer_then_below_the_project() {
    let files = [
        ("pipelines/handlers/lib/money.rhai", "fn cents(x) { x * 100 }"),
        ("lib/money.rhai", "fn cents(x) { -1 }"),
        ("shared/tax.rhai", "export const RATE = 19; fn tax(x) { x * 19 / 100 }"),
    ];
    let text = "import \"lib/money\" as money; import \"shared/tax\" as tax;
        state.c = money::cents(5); state.t = tax::tax(100); state.r = tax::RATE;";
    assert_eq!(left(&files, text), json!({"c": 500, "t": 19, "r": 19}));
}

#[test]
fn modules_import_modules_relative_to_themselves() {
    let files = [
        ("a/one.rhai", "import \"two\" as two; fn f() { two::g() + 1 }"),
        ("a/two.rhai", "import \"../b/three\" as three; fn g() { three::h() + 1 }"),
        ("b/three.rhai", "fn h() { 1 }"),
        ("two.rhai", "fn g() { -100 }"),
    ];
    assert_eq!(left(&files, "import \"a/one\" as one; state.n = one::f();"), json!({"n": 3}));
}

#[test]
fn an_import_inside_a_function_works() {
    let files = [("a/one.rhai", "fn f() { import \"two\" as two; two::g() + 1 }"), ("a/two.rhai", "fn g() { 1 }")];
    let text =
        "import \"a/one\" as one; fn local() { import \"a/two\" as two; two::g() } state.n = one::f() + local();";
    assert_eq!(left(&files, text), json!({"n": 3}));
}

#[test]
fn two_paths_to_a_file_are_one_module() {
    let files = [("lib/x.rhai", "fn f() { 1 }")];
    let text = "import \"lib/x\" as a; import \"../../lib/x\" as b; state.n = a::f() + b::f();";
    assert_eq!(left(&files, text), json!({"n": 2}));
}

#[test]
fn a_missing_module_is_a_diagnostic_at_the_import() {
    let problems = refused(&[], "let x = 1;\nimport \"lib/money\" as money;");
    assert_eq!(problems[0].message, "no file `lib/money.rhai` beside `pipelines/handlers/h.rhai` or below the project");
    assert_eq!(problems[0].span.as_ref().map(|span| span.line), Some(2));
    let computed = refused(&[], "let p = \"x\"; import p as money;");
    assert_eq!(computed[0].message, "`import` needs a literal path");
}

#[test]
fn a_misspelt_path_is_told_with_what_may_be_meant() {
    let money = ("pipelines/handlers/lib/money.rhai", "fn f() { 1 }");
    for (files, meant) in
        [(vec![money], Some("lib/money")), (vec![("lib/money.rhai", "")], Some("lib/money")), (vec![], None)]
    {
        let problems = refused(&files, "import \"lib/mony\" as m;");
        assert_eq!(problems[0].help, meant.map(|meant| format!("did you mean `{meant}`?")));
    }
}

#[test]
fn a_path_out_of_the_project_is_refused() {
    let outside = project(&[("secret.rhai", "fn f() { 1 }")]);
    let absolute = outside.path().join("secret");
    for path in ["../../../secret", "../../../../../../../../etc/passwd", absolute.to_str().expect("text"), ""] {
        let problems = refused(&[], &format!("import \"{path}\" as s;"));
        assert!(problems[0].message.contains("the project"), "{path}: {}", problems[0].message);
    }
}

#[cfg(unix)]
#[test]
fn a_link_out_of_the_project_is_refused() {
    let outside = project(&[("secret.rhai", "fn f() { 1 }")]);
    let root = project(&[("lib/ok.rhai", "fn f() { 1 }")]);
    std::os::unix::fs::symlink(outside.path(), root.path().join("out")).expect("a link");
    std::os::unix::fs::symlink(outside.path().join("secret.rhai"), root.path().join("link.rhai")).expect("a link");
    std::os::unix::fs::symlink(root.path().join("lib/ok.rhai"), root.path().join("inside.rhai")).expect("a link");
    for path in ["out/secret", "link"] {
        let problems = compiled(root.path(), &format!("import \"{path}\" as s;")).expect_err("refused");
        assert!(problems[0].message.contains("leaves the project"), "{}", problems[0].message);
    }
    assert!(compiled(root.path(), "import \"inside\" as s;").is_ok());
}

/// The way ConfigMaps are mounted.
#[cfg(unix)]
#[test]
fn a_module_reached_by_links_goes_by_the_name_it_is_reached_by() {
    let root = project(&[("..2026/pipelines/handlers/money.rhai", "fn f( { 1 }")]);
    std::os::unix::fs::symlink("..2026", root.path().join("..data")).expect("a link");
    std::os::unix::fs::symlink("..data/pipelines", root.path().join("pipelines")).expect("a link");
    let problems = compiled(root.path(), "import \"money\" as money;").expect_err("refused");
    let file = problems[0].span.as_ref().map(|span| span.file.as_str());
    assert_eq!(file, Some("pipelines/handlers/money.rhai"));
}

#[test]
fn cycles_are_diagnostics() {
    let files = [("a.rhai", "import \"b\" as b; fn f() { 1 }"), ("b.rhai", "import \"a\" as a; fn f() { 1 }")];
    let problems = refused(&files, "import \"a\" as a;");
    assert!(problems[0].message.contains("imports itself"), "{}", problems[0].message);
    assert_eq!(problems[0].span.as_ref().map(|span| span.file.as_str()), Some("b.rhai"));
    let chain: Vec<_> = (0..40).map(|n| (format!("m{n}.rhai"), format!("import \"m{}\" as m;", n + 1))).collect();
    let chain: Vec<_> = chain.iter().map(|(path, text)| (path.as_str(), text.as_str())).collect();
    assert_eq!(refused(&chain, "import \"m0\" as m;")[0].message, "imports of imports, more than 32 deep");
    let own = refused(&[(FILE, "")], "import \"h\" as h;");
    assert!(own[0].message.contains("imports itself"), "{}", own[0].message);
}

#[test]
fn a_broken_module_is_reported_in_its_own_file() {
    let problems = refused(&[("lib.rhai", "fn f() {\n  let x = ;\n}")], "import \"lib\" as lib;");
    let span = problems[0].span.as_ref().expect("a span");
    assert_eq!((span.file.as_str(), span.line), ("lib.rhai", 2));
    let unknown = refused(&[("lib.rhai", "fn f() { nothing() }")], "import \"lib\" as lib;");
    assert_eq!(unknown[0].message, "no function `nothing`");
    let endless = refused(&[("lib.rhai", "loop {}")], "import \"lib\" as lib;");
    assert!(endless[0].message.contains("more than 1000000 operations"), "{}", endless[0].message);
    let deep = "let f = || 0; loop { let g = f; f = || g.call(); }";
    assert!(refused(&[("lib.rhai", deep)], "import \"lib\" as lib;")[0].message.contains("operations"));
    let effects = refused(&[("lib.rhai", "\nemit(\"A\", #{});")], "import \"lib\" as lib;");
    assert_eq!(effects[0].span.as_ref().map(|span| span.line), Some(2));
}

#[test]
fn an_unknown_function_of_a_module_is_found() {
    let problems = refused(&[("money.rhai", "fn cents(x) { x }")], "import \"money\" as money;\nmoney::cnets(1);");
    assert_eq!(problems[0].message, "no function `cnets` in `money`");
    assert_eq!(problems[0].help.as_deref(), Some("did you mean `cents`?"));
}

#[test]
fn an_error_in_a_module_stands_in_the_module() {
    let root = project(&[("lib.rhai", "\nfn f(x) {\n  throw \"no\"\n}\nfn g() { emit(\"A\", #{}); }")]);
    let source = Source { file: "p.yaml", text: "import \"lib\" as lib;\nlib::f(1);", line_offset: 10 };
    let script = Engine::new(Limits::default(), root.path()).compile(Kind::Handler, &source).expect("it compiles");
    let error = handled(&script).expect_err("it fails");
    assert_eq!(error.at, Place { file: "lib.rhai".into(), line: 3, column: 3 });
    assert_eq!(error.message, "no, in `f`");
    let emitting = compiled(root.path(), "import \"lib\" as lib; lib::g();").expect("it compiles");
    let Ok(Outcome::Done { emitted, .. }) = handled(&emitting) else { panic!("not done") };
    assert_eq!((emitted[0].at.file.as_str(), emitted[0].at.line), ("lib.rhai", 5));
}
