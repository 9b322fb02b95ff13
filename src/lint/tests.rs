//! Every page holds what it says; what configuration and comments do; `docs/rules` is what the pages make.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};

use super::*;
use crate::diagnostic::render;
use crate::spec;

mod checks;
mod pages;
pub(crate) mod run;
mod settings;

/// What every example begins with; it has no findings of its own.
const BASE: [(&str, &str); 4] = [
    (
        "pipelines/orders.yaml",
        "\
pipeline: orders
key: data.order_id
subscriptions:
  - event: OrderCreated
    from: orders
    versions: [1]
    handler: created.rhai
",
    ),
    ("pipelines/created.rhai", "state.customer = event.data.customer;\n"),
    (
        "schemas/OrderCreated/1.json",
        "\
{
  \"type\": \"object\",
  \"required\": [\"order_id\", \"customer\"],
  \"properties\": { \"order_id\": { \"type\": \"string\" }, \"customer\": { \"type\": \"string\" } }
}
",
    ),
    (
        "schemas/OrderPaid/1.json",
        "\
{
  \"type\": \"object\",
  \"required\": [\"order_id\", \"cents\"],
  \"properties\": { \"order_id\": { \"type\": \"string\" }, \"cents\": { \"type\": \"integer\" } }
}
",
    ),
];

/// The base with some of its files replaced, and others beside them.
pub(super) fn project<'a>(files: impl IntoIterator<Item = (&'a str, &'a str)>) -> tempfile::TempDir {
    let directory = tempfile::tempdir().expect("a directory");
    let files: BTreeMap<&str, &str> = BASE.into_iter().chain(files).collect();
    for (name, text) in files {
        let path = directory.path().join(name);
        fs::create_dir_all(path.parent().expect("a parent")).expect("directories");
        fs::write(path, text).expect("a file");
    }
    directory
}

fn lint(directory: &Path) -> Loaded {
    judge(spec::load_for_lint(directory, &|_| false))
}

fn shown(loaded: &Loaded) -> String {
    render::human(&loaded.diagnostics, &loaded.sources, false)
}

#[test]
fn every_rule_has_its_line_in_the_order_of_ids() {
    let rules: Vec<rules::Rule> = RULES.iter().map(|known| known.rule).collect();
    assert_eq!(rules, rules::RULES);
}

#[test]
fn a_project_that_does_not_load_is_not_checked_as_a_whole() {
    let broken = project([
        ("sluice.yaml", "channels: { unused: { local: {} } }\n"),
        ("pipelines/other.yaml", "pipeline: other\nkye: data.x\n"),
    ]);
    let found = lint(broken.path());
    assert!(found.program.is_none());
    assert!(found.diagnostics.iter().all(|d| d.level == Level::Error), "{}", shown(&found));
}
