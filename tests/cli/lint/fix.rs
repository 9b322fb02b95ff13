use std::fs;
use std::os::unix::fs::{PermissionsExt as _, symlink};

use super::super::sandbox::Sandbox;

const PIPELINE: &str = "\
pipeline: p   # slips below
kye: data.id
subscriptions:
  - { event: OrderCreated, from: ordrs, versions: [1], handler: h.rhai }
  - event: OrderPaid
    from: \"ordrs\"
    verions: [1]
    after: [OrderCraeted]
    script: state.paid = true;
on_failure: continu
";

/// A slip of each kind that is mended, and one that is not.
fn slips() -> Sandbox {
    let schema = r#"{ "type": "object", "required": ["id"], "properties": { "id": {}, "n": {} } }"#;
    Sandbox::small("{ listen: '127.0.0.1:0' }")
        .file(
            "sluice.yaml",
            "admin: { listen: '127.0.0.1:0', tokn: hunter2hunter2 }\nchannels: { orders: { local: {} } }\n",
        )
        .file("pipelines/p.yaml", PIPELINE)
        .file("schemas/OrderPaid/1.json", schema)
        .file("pipelines/h.rhai", "foo();\n")
}

fn read(sandbox: &Sandbox, name: &str) -> String {
    fs::read_to_string(sandbox.path().join(name)).unwrap()
}

#[test]
fn a_diff_shows_what_would_be_mended_and_changes_nothing() {
    let sandbox = slips();
    let done = sandbox.sluice(&["lint", "--diff"]).expect(1);
    insta::assert_snapshot!(done.stdout, @r#"
    --- a/pipelines/p.yaml
    +++ b/pipelines/p.yaml
    @@ -1,10 +1,10 @@
     pipeline: p   # slips below
    -kye: data.id
    +key: data.id
     subscriptions:
    -  - { event: OrderCreated, from: ordrs, versions: [1], handler: h.rhai }
    +  - { event: OrderCreated, from: orders, versions: [1], handler: h.rhai }
       - event: OrderPaid
         from: "ordrs"
    -    verions: [1]
    -    after: [OrderCraeted]
    +    versions: [1]
    +    after: [OrderCreated]
         script: state.paid = true;
    -on_failure: continu
    +on_failure: continue
    --- a/sluice.yaml
    +++ b/sluice.yaml
    @@ -1,2 +1,2 @@
    -admin: { listen: '127.0.0.1:0', tokn: hunter2hunter2 }
    +admin: { listen: '127.0.0.1:0', token: hunter2hunter2 }
     channels: { orders: { local: {} } }
    "#);
    assert_eq!(read(&sandbox, "pipelines/p.yaml"), PIPELINE);
    let sound = Sandbox::small("{ listen: '127.0.0.1:0' }").sluice(&["lint", "--diff"]).expect(0);
    assert_eq!(sound.stdout, "");
}

#[test]
fn slips_are_mended_until_nothing_is_left_to_mend() {
    let sandbox = slips();
    let path = sandbox.path().join("pipelines/p.yaml");
    fs::set_permissions(&path, fs::Permissions::from_mode(0o640)).unwrap();
    let first = sandbox.sluice(&["lint", "--fix"]).expect(1);
    assert!(first.stderr.contains("fixed pipelines/p.yaml:2:1: `kye` is `key` now\n"), "{}", first.stderr);
    assert!(first.stdout.contains("no function `foo`"), "what is left is told: {}", first.stdout);
    let mended = PIPELINE
        .replace("kye", "key")
        .replace("ordrs", "orders")
        .replace("verions", "versions")
        .replace("OrderCraeted", "OrderCreated")
        .replace("continu\n", "continue\n");
    assert_eq!(read(&sandbox, "pipelines/p.yaml"), mended);
    assert!(read(&sandbox, "sluice.yaml").contains("token: hunter2hunter2"), "a secret that is masked is kept");
    assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o640);
    let left: Vec<_> = fs::read_dir(path.parent().unwrap()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(left.len(), 2, "{left:?}");

    let second = sandbox.sluice(&["lint", "--fix"]).expect(1);
    assert_eq!((second.stderr.as_str(), &second.stdout), ("", &first.stdout));
    sandbox.sluice(&["lint", "--diff"]).expect(0);
}

#[test]
fn scenarios_are_mended_too() {
    let scenarios = "pipelines: [p.yaml]\nscenarios:\n  - name: one\n    given: [{ event: OrderCreatd, data: { id: a } }]\n    then: { state: { a: { seen: true } } }\n";
    let sandbox = Sandbox::small("{ listen: '127.0.0.1:0' }").file("pipelines/p.test.yaml", scenarios);
    sandbox.sluice(&["lint", "--fix"]).expect(0);
    assert_eq!(read(&sandbox, "pipelines/p.test.yaml"), scenarios.replace("OrderCreatd", "OrderCreated"));
}

/// Mending it would give the key twice.
#[test]
fn a_slip_beside_what_it_means_is_left_to_a_person() {
    let both = "pipeline: p\nkey: data.id\nkye: data.id\nsubscriptions:\n  - { event: OrderCreated, from: orders, versions: [1], handler: h.rhai }\n";
    let sandbox = Sandbox::small("{ listen: '127.0.0.1:0' }").file("pipelines/p.yaml", both);
    sandbox.sluice(&["lint", "--fix"]).expect(1);
    assert_eq!(read(&sandbox, "pipelines/p.yaml"), both);
}

#[test]
fn links_stay_links_and_nothing_outside_is_written() {
    let sandbox = Sandbox::small("{ listen: '127.0.0.1:0' }").file("shared/p.yaml", PIPELINE);
    let outside = Sandbox::empty().file("q.yaml", PIPELINE);
    let pipelines = sandbox.path().join("pipelines");
    fs::remove_file(pipelines.join("p.yaml")).unwrap();
    symlink("../shared/p.yaml", pipelines.join("p.yaml")).unwrap();
    symlink(outside.path().join("q.yaml"), pipelines.join("q.yaml")).unwrap();
    sandbox.sluice(&["lint", "--fix"]).expect(1);
    assert!(fs::symlink_metadata(pipelines.join("p.yaml")).unwrap().is_symlink());
    assert!(read(&sandbox, "shared/p.yaml").contains("\nkey: data.id\n"));
    assert_eq!(read(&outside, "q.yaml"), PIPELINE);
}
