use super::*;

#[test]
fn the_sample_project_loads_without_a_finding() {
    let loaded = load(Path::new(env!("CARGO_MANIFEST_DIR")), &|_| None);
    let shown = crate::diagnostic::render::human(&loaded.diagnostics, &loaded.sources, false);
    assert!(loaded.diagnostics.is_empty(), "{shown}");
    println!("{:#?}", loaded.program);
}
