//! What is written in files that scripts import.

use super::*;

/// What is told of a script beside such files, with the file where it is.
fn told(files: &[(&str, &str)], text: &str) -> Vec<String> {
    findings(files, text)
        .iter()
        .zip(shown(&findings(files, text)))
        .map(|(found, shown)| {
            let file = found.diagnostic.span.as_ref().map(|span| span.file.as_str());
            format!("{}: {shown}", file.unwrap_or_default())
        })
        .collect()
}

fn findings(files: &[(&str, &str)], text: &str) -> Vec<Finding> {
    let root = tempfile::tempdir().expect("a directory");
    for (file, text) in files {
        std::fs::write(root.path().join(file), text).expect("a file");
    }
    let engine = Engine::new(Limits::default(), root.path());
    let script = engine.compile(Kind::Handler, &Source { file: "h.rhai", text, line_offset: 0 });
    check_with(&script.unwrap_or_else(|problems| panic!("{problems:#?}")), &order())
}

#[test]
fn a_function_of_another_file_is_followed() {
    let lib = ("lib.rhai", "fn cents(item) {\n    item.price_cents * item.quantty\n}\n");
    let script = "import \"lib\" as lib;\nfor item in event.data.items { state.sum = lib::cents(item); }";
    assert_eq!(told(&[lib], script), ["lib.rhai: SG220 2:29 `event.data.items[]` has no `quantty`"]);
}

#[test]
fn what_it_yields_is_known() {
    let lib = ("lib.rhai", "fn name(item) { item.sku }");
    let script = "import \"lib\" as lib;\nfor item in event.data.items { state.sum = lib::name(item) - 1; }";
    assert_eq!(told(&[lib], script), ["h.rhai: SG222 2:60 `-` cannot take a string and an integer"]);
}

#[test]
fn files_that_import_others_are_followed_too() {
    let files = [
        ("outer.rhai", "import \"inner\" as inner;\nfn of(data) { inner::total(data) }"),
        ("inner.rhai", "fn total(data) { helped(data.total_cents) }\nfn helped(n) { n.len() }"),
    ];
    let script = "import \"outer\" as o;\nlet n = o::of(event.data);";
    assert_eq!(told(&files, script), ["inner.rhai: SG222 2:18 `len` cannot take an integer"]);
}

#[test]
fn functions_of_one_name_in_two_files_are_told_apart() {
    let lib = ("lib.rhai", "fn of(data) { own(data) } fn own(data) { data.order_id }");
    let script = "import \"lib\" as lib;\nfn own(data) { data.total_cents }\nlet a = lib::of(event.data) - 1;\nlet b = own(event.data) - 1;";
    assert_eq!(told(&[lib], script), ["h.rhai: SG222 3:29 `-` cannot take a string and an integer"]);
}

#[test]
fn what_others_import_too_is_not_mended_for_one() {
    let lib = ("lib.rhai", "fn of(data) { data.total_cent }");
    let found = findings(&[lib], "import \"lib\" as lib;\nlet n = lib::of(event.data);");
    let [found] = found.as_slice() else { panic!("{found:?}") };
    assert_eq!(found.diagnostic.help.as_deref(), Some("did you mean `total_cents`?"));
    assert_eq!(found.diagnostic.fix, None);
}
