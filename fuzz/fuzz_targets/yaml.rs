//! Loads a project whose YAML files are the input: `sluice.yaml`, a pipeline, its scenarios, a line `%%%` between them. It
//! loads, or says why not; what it says can be shown.
#![no_main]

use std::fs;
use std::sync::LazyLock;

use libfuzzer_sys::fuzz_target;
use sluicegate::diagnostic::{has_errors, render};
use sluicegate::{lint, spec};
use tempfile::TempDir;

static PROJECT: LazyLock<TempDir> = LazyLock::new(|| {
    let project = tempfile::tempdir().expect("a directory");
    let file = |path: &str, text: &str| {
        let path = project.path().join(path);
        fs::create_dir_all(path.parent().expect("a parent")).expect("a directory");
        fs::write(path, text).expect("a file");
    };
    file("pipelines/h.rhai", "state.seen = true;\n");
    file("schemas/OrderCreated/1.json", "{ \"type\": \"object\" }\n");
    file("schemas/OrderCreated/2.json", "{ \"type\": \"object\" }\n");
    file("schemas/OrderPaid/3.json", "{ \"type\": \"object\" }\n");
    project
});

fuzz_target!(|data: &[u8]| {
    let (main, rest) = split(data);
    let (pipeline, scenarios) = split(rest);
    let root = PROJECT.path();
    for (file, text) in [("sluice.yaml", main), ("pipelines/p.yaml", pipeline), ("pipelines/p.test.yaml", scenarios)] {
        fs::write(root.join(file), text).expect("a file");
    }

    let environment = |name: &str| (name == "SET").then(|| "hunter2".to_owned());
    for loaded in [spec::load(root, &environment), spec::load_with_scenarios(root, None)] {
        assert_eq!(loaded.program.is_none(), has_errors(&loaded.diagnostics));
        let loaded = lint::judge(loaded);
        render::human(&loaded.diagnostics, &loaded.sources, true);
        render::json(&loaded.diagnostics);
    }
});

fn split(data: &[u8]) -> (&[u8], &[u8]) {
    let separator = b"\n%%%\n";
    let at = data.windows(separator.len()).position(|part| part == separator);
    at.map_or((data, &b""[..]), |at| (&data[..=at], &data[at + separator.len()..]))
}
