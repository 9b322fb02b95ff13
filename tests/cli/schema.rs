use std::fs;

use serde_json::{Value, json};

use super::sandbox::Sandbox;

/// The sample project, which lies in another directory every time.
#[test]
fn what_a_project_reads_is_told_as_a_file_for_producers() {
    let sandbox = Sandbox::sample_alone();
    let read = |path: &str, required: bool, at: &[(&str, u32, u32)]| {
        let place = |(file, line, column): &(&str, u32, u32)| json!({ "pipeline": "fulfilment", "file": format!("pipelines/{file}"), "line": line, "column": column });
        let at: Vec<Value> = at.iter().map(place).collect();
        json!({ "path": path, "required": required, "at": at })
    };
    let with = |mut read: Value, values: Value| {
        read["values"] = values;
        read
    };
    let key = ("fulfilment.yaml", 4, 6);
    let upcaster = "handlers/order_created_1_to_2.rhai";
    let (created, shipped) = ("handlers/order_created.rhai", "handlers/order_shipped.rhai");
    let paid = "handlers/payment_received.rhai";
    let expected = json!({
        "sluice": 1,
        "consumer": "sample",
        "uses": [
            { "event": "OrderCreated", "version": 1, "reads": [
                read("data.customer_id", true, &[(upcaster, 4, 29)]),
                read("data.order_id", true, &[key, (upcaster, 3, 26)]),
                read("data.total", true, &[(upcaster, 5, 30)]),
            ] },
            { "event": "OrderCreated", "version": 2, "reads": [
                read("data.currency", true, &[(created, 3, 29)]),
                read("data.order_id", true, &[key]),
                read("data.total_cents", true, &[(created, 2, 32)]),
            ] },
            { "event": "OrderShipped", "version": 1, "reads": [
                with(read("data.carrier", true, &[("fulfilment.yaml", 22, 23), (shipped, 1, 28)]), json!(["none"])),
                read("data.order_id", true, &[key]),
                read("data.shipped_at", true, &[(shipped, 3, 31)]),
                read("data.tracking_code", false, &[(shipped, 2, 34)]),
            ] },
            { "event": "PaymentReceived", "version": 1, "reads": [
                read("data.amount_cents", true, &[(paid, 9, 42), (paid, 11, 31)]),
                read("data.order_id", true, &[key]),
                with(read("data.status", true, &[(paid, 1, 15), (paid, 5, 15)]), json!(["pending", "refused"])),
            ] },
        ],
    });
    let told = sandbox.sluice(&["schema", "uses", "--name", "sample", "--format", "json"]).expect(0);
    assert_eq!(told.json(), expected, "{}", told.stdout);

    let written = sandbox.sluice(&["schema", "uses", "--name", "sample", "--output", "uses.json"]).expect(0);
    assert_eq!((written.stdout.as_str(), written.stderr.as_str()), ("", ""));
    assert_eq!(fs::read_to_string(sandbox.path().join("uses.json")).unwrap(), told.stdout);
}

#[test]
fn a_person_sees_a_table_for_each_version() {
    let done = Sandbox::sample_alone().sluice(&["schema", "uses"]).expect(0);
    let shipped = "\
OrderShipped 1
FIELD               NEEDED  READ AT
data.carrier        yes     pipelines/fulfilment.yaml:22:23 and 1 more
data.order_id       yes     pipelines/fulfilment.yaml:4:6
data.shipped_at     yes     pipelines/handlers/order_shipped.rhai:3:31
data.tracking_code  no      pipelines/handlers/order_shipped.rhai:2:34
";
    assert!(done.stdout.contains(shipped), "{}", done.stdout);
}

#[test]
fn what_pipelines_read_themselves_is_needed_whatever_their_scripts_do() {
    let sandbox = Sandbox::small("{}").file(
        "pipelines/p.yaml",
        "\
pipeline: p
key: headers.x-shop
sequence: { by: data.order.number }
subscriptions:
  - { event: OrderCreated, from: orders, versions: [1], script: 'state.whole = event.data' }
",
    );
    let told = sandbox.sluice(&["schema", "uses", "--format", "json"]).expect(0).json();
    let name = sandbox.path().file_name().unwrap().to_str().unwrap();
    let at = |line: u32, column: u32| json!([{ "pipeline": "p", "file": "pipelines/p.yaml", "line": line, "column": column }]);
    let expected = json!({
        "sluice": 1,
        "consumer": name,
        "uses": [{
            "event": "OrderCreated",
            "version": 1,
            "reads": [
                { "path": "data.order.number", "required": true, "at": at(3, 17) },
                { "path": "headers[\"x-shop\"]", "required": true, "at": at(2, 6) },
            ],
            "whole": ["data"],
        }],
    });
    assert_eq!(told, expected);
}

#[test]
fn one_pipeline_that_needs_a_field_is_enough() {
    let pipeline = |name: &str, script: &str| {
        format!(
            "pipeline: {name}\nkey: id\nsubscriptions:\n  - {{ event: OrderCreated, from: orders, versions: [1], script: '{script}' }}\n"
        )
    };
    let sandbox = Sandbox::small("{}")
        .file("pipelines/p.yaml", &pipeline("p", "state.id = event.data.id ?? 0"))
        .file("pipelines/q.yaml", &pipeline("q", "state.id = event.data.id"));
    let told = sandbox.sluice(&["schema", "uses", "--format", "json"]).expect(0).json();
    let read = &told["uses"][0]["reads"][0];
    assert_eq!((&read["path"], &read["required"]), (&json!("data.id"), &json!(true)), "{told}");
    let pipelines: Vec<&Value> = read["at"].as_array().unwrap().iter().map(|at| &at["pipeline"]).collect();
    assert_eq!(pipelines, ["p", "q"]);
}

#[test]
fn a_project_with_errors_tells_nothing() {
    let broken = Sandbox::small("{}").file("pipelines/p.yaml", "pipeline: p\nkye: data.id\n");
    let done = broken.sluice(&["schema", "uses", "--output", "uses.json"]).expect(1);
    assert!(done.stdout.is_empty() && done.stderr.contains("did you mean `key`?"), "{}", done.stderr);
    assert!(!broken.path().join("uses.json").exists());
}

#[test]
fn a_file_that_cannot_be_written_is_named() {
    let done = Sandbox::small("{}").sluice(&["schema", "uses", "--output", "no/such/uses.json"]).expect(2);
    assert!(done.stderr.contains("`no/such/uses.json` cannot be written"), "{}", done.stderr);
}
