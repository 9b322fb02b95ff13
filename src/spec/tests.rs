//! Whole projects: what is told about bad ones (snapshots), what good ones become, and the sample project.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs;

use super::*;
use crate::diagnostic::{Level, render};
use crate::lint::tests::run::agrees;

mod again;
mod bad;
mod good;
mod json_schemas;
mod order;
mod reference;
mod sample;
mod scenarios;

const PIPELINE: &str = "\
pipeline: orders
key: data.order_id
subscriptions:
  - event: OrderCreated
    from: orders
    versions: [1]
    handler: h.rhai
";

const SCENARIOS: &str = "\
pipelines: [p.yaml]
scenarios:
  - name: one
    given: [{ event: OrderCreated, data: { order_id: o1 } }]
    then: { state: { o1: { seen: true } } }
";

/// A project that loads without a finding, and may be changed file by file.
struct Project(BTreeMap<&'static str, Vec<u8>>);

impl Project {
    fn new() -> Self {
        let files = [
            ("sluice.yaml", ""),
            ("pipelines/p.yaml", PIPELINE),
            ("pipelines/h.rhai", "state.seen = true;\n"),
            ("schemas/OrderCreated/1.json", "{ \"type\": \"object\" }\n"),
            ("schemas/OrderCreated/2.json", "{ \"type\": \"object\" }\n"),
            ("schemas/OrderPaid/3.json", "{ \"type\": \"object\" }\n"),
        ];
        Self(files.into_iter().map(|(name, text)| (name, text.as_bytes().to_vec())).collect())
    }

    fn with(mut self, name: &'static str, text: impl AsRef<[u8]>) -> Self {
        self.0.insert(name, text.as_ref().to_vec());
        self
    }

    fn without(mut self, name: &str) -> Self {
        self.0.remove(name);
        self
    }

    /// The pipeline with more behind it.
    fn and(self, more: &str) -> Self {
        self.with("pipelines/p.yaml", format!("{PIPELINE}{more}"))
    }

    /// The pipeline with a part replaced.
    fn swap(self, part: &str, by: &str) -> Self {
        assert!(PIPELINE.contains(part), "{part}");
        self.with("pipelines/p.yaml", PIPELINE.replace(part, by))
    }

    fn write(&self) -> tempfile::TempDir {
        let directory = tempfile::tempdir().expect("a directory");
        for (name, bytes) in &self.0 {
            let path = directory.path().join(name);
            fs::create_dir_all(path.parent().expect("a parent")).expect("directories");
            fs::write(path, bytes).expect("a file");
        }
        directory
    }

    fn load(&self) -> Loaded {
        self.load_in(&[])
    }

    fn load_tests(&self) -> Loaded {
        load_with_scenarios(self.write().path(), None)
    }

    fn load_in(&self, environment: &[(&str, &str)]) -> Loaded {
        let directory = self.write();
        let environment =
            environment.iter().map(|(n, v)| ((*n).to_owned(), (*v).to_owned())).collect::<BTreeMap<_, _>>();
        load(directory.path(), &|name| environment.get(name).cloned())
    }

    fn has_scenarios(&self) -> bool {
        self.0.keys().any(|name| name.ends_with(".test.yaml"))
    }

    fn program(&self) -> Program {
        let loaded = self.load();
        let shown = shown(&loaded);
        loaded.program.unwrap_or_else(|| panic!("it loads:\n{shown}"))
    }
}

fn shown(loaded: &Loaded) -> String {
    render::human(&loaded.diagnostics, &loaded.sources, false)
}

/// What is told about each project, as a snapshot; `INSTA_UPDATE=always` blesses. Lint tells of whatever is refused.
fn told<const N: usize>(name: &str, cases: [(&str, Project); N]) {
    let mut out = String::new();
    for (case, project) in cases {
        agrees(case, project.write().path());
        let loaded = if project.has_scenarios() { project.load_tests() } else { project.load() };
        assert!(!loaded.diagnostics.is_empty(), "{case}: nothing is told");
        let errors = loaded.diagnostics.iter().any(|d| d.level == Level::Error);
        assert_eq!(loaded.program.is_none(), errors, "{case}: a program exactly when there is no error");
        let _ = writeln!(out, "=== {case}\n{}", shown(&loaded));
    }
    insta::with_settings!({ omit_expression => true, prepend_module_to_snapshot => false }, {
        insta::assert_snapshot!(name, out);
    });
}
