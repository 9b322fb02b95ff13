use jsonschema::Validator;
use serde_json::Value;

use super::super::sandbox::Sandbox;
use super::sound;

/// Findings in YAML, in JSON, in Rhai and in no file, errors and warnings.
fn broken(below: &str) -> Sandbox {
    let pipeline = "pipeline: p\nkye: data.id\nsubscriptions:\n  \
        - { event: OrderCreated, from: orders, versions: [1, 2, 3], handler: h.rhai }\n";
    Sandbox::empty()
        .file(&format!("{below}sluice.yaml"), "store: { memory: {} }\nchannels: { orders: { local: {} } }\n")
        .file(&format!("{below}pipelines/größe 1.yaml"), pipeline)
        .file(&format!("{below}pipelines/h.rhai"), "let x = [1;\n")
        .file(&format!("{below}schemas/OrderCreated/1.json"), "{ \"type\": \"strin\" }")
        .file(&format!("{below}schemas/OrderCreated/2.json"), "{")
}

/// Its pattern for languages of texts, none of which is in our logs, is none that the library reads.
fn published() -> Validator {
    let text = include_str!("../../third-party/sarif/sarif-schema-2.1.0.json");
    let mut schema: Value = serde_json::from_str(text).unwrap();
    for of in ["run", "toolComponent"] {
        let language = &mut schema["definitions"][of]["properties"]["language"];
        language.as_object_mut().unwrap().remove("pattern").unwrap();
    }
    jsonschema::options().offline().should_validate_formats(true).build(&schema).unwrap()
}

#[track_caller]
fn assert_valid(log: &Value, schema: &Validator) {
    let errors: Vec<String> = schema.iter_errors(log).map(|e| format!("{}: {e}", e.instance_path())).collect();
    assert!(errors.is_empty(), "{errors:#?}");
}

#[test]
fn sarif_is_what_the_published_schema_asks_for() {
    let schema = published();
    let found = broken("").sluice(&["lint", "--format", "sarif"]).expect(1).json();
    assert_valid(&found, &schema);
    let results = found["runs"][0]["results"].as_array().unwrap();
    let json = broken("").sluice(&["lint", "--format", "json"]).expect(1).json();
    assert_eq!(results.len(), json["diagnostics"].as_array().unwrap().len());
    assert!(results.len() > 3, "{results:#?}");
    let nothing = sound().sluice(&["lint", "--format", "sarif"]).expect(0).json();
    assert_valid(&nothing, &schema);
    assert_eq!(nothing["runs"][0]["results"], serde_json::json!([]));
    // The schema is one that finds something.
    let mut wrong = found.clone();
    wrong["runs"][0]["results"][0]["level"] = "info".into();
    assert!(!schema.is_valid(&wrong));
}

fn uris(log: &Value) -> Vec<&str> {
    let results = log["runs"][0]["results"].as_array().unwrap().iter();
    results.filter_map(|r| r["locations"][0]["physicalLocation"]["artifactLocation"]["uri"].as_str()).collect()
}

#[test]
fn files_are_named_from_the_root_of_the_repository() {
    let sandbox = broken("apps/shop/");
    let sarif = sandbox.sluice(&["lint", "--format", "sarif", "--project", "apps/shop"]).expect(1).json();
    assert!(uris(&sarif).contains(&"apps/shop/pipelines/gr%C3%B6%C3%9Fe%201.yaml"), "{sarif:#}");
    let github = sandbox.sluice(&["lint", "--format", "github", "--project", "apps/shop"]).expect(1);
    assert!(github.stdout.contains("file=apps/shop/pipelines/h.rhai,line="), "{}", github.stdout);
}

#[test]
fn a_jobs_workspace_is_the_root_wherever_the_step_works() {
    let sandbox = broken("apps/shop/");
    let workspace = sandbox.path().to_str().unwrap().to_owned();
    let sandbox = sandbox.with("GITHUB_WORKSPACE", &workspace);
    let step = sandbox.shell("cd apps/shop && sluice lint --format github").output().unwrap();
    let commands = String::from_utf8(step.stdout).unwrap();
    assert!(commands.contains("file=apps/shop/pipelines/h.rhai,line="), "{commands}");
}

#[test]
fn github_gets_a_command_for_each_finding_and_nothing_else() {
    let done = broken("").sluice(&["lint", "--format", "github"]).expect(1);
    let json = broken("").sluice(&["lint", "--format", "json"]).expect(1).json();
    assert_eq!(done.stdout.lines().count(), json["diagnostics"].as_array().unwrap().len());
    let is_command = |line: &str| ["::error ", "::warning ", "::notice "].iter().any(|level| line.starts_with(level));
    assert!(done.stdout.lines().all(is_command), "{}", done.stdout);
    let sound = sound().sluice(&["lint", "--format", "github"]).expect(0);
    assert_eq!(sound.stdout, "");
}
