//! What checks see beyond the examples of their pages, and what they leave alone.

use super::*;

/// Rule and place of each finding.
fn found(files: &[(&str, &str)]) -> Vec<String> {
    let loaded = lint(project(files.iter().copied()).path());
    assert!(loaded.program.is_some(), "{}", shown(&loaded));
    let place = |span: &Span| format!("{}:{}:{}", span.file, span.line, span.column);
    let tell = |d: &Diagnostic| format!("{} {}", d.rule, d.span.as_ref().map(place).unwrap_or_default());
    loaded.diagnostics.iter().map(tell).collect()
}

#[test]
fn what_others_named_is_left_alone() {
    let pipeline = BASE[0].1.replace("OrderCreated", "Push");
    let schema = ("schemas/Push/1.json", BASE[2].1);
    let mapped =
        "channels: { orders: { local: {}, envelope: { map: { type: { value: Push }, id: { path: .id } } } } }\n";
    let told = found(&[("pipelines/orders.yaml", &pipeline), schema, ("sluice.yaml", mapped)]);
    assert_eq!(told, Vec::<String>::new());
    assert_eq!(found(&[("pipelines/orders.yaml", &pipeline), schema]), ["SG110 pipelines/orders.yaml:4:12"]);
}

#[test]
fn a_channel_that_defaults_name_is_used() {
    let main = "channels: { dead: { local: {} } }\ndefaults: { dead_letter: dead }\n";
    assert_eq!(found(&[("sluice.yaml", main)]), Vec::<String>::new());
}

#[test]
fn a_setting_of_all_pipelines_is_told_once_and_where_it_is_said() {
    let second = BASE[0].1.replace("pipeline: orders", "pipeline: second");
    let main = "defaults: { idempotency: { by: [id] } }\n";
    let told = found(&[("sluice.yaml", main), ("pipelines/second.yaml", &second)]);
    assert_eq!(told, ["SG407 sluice.yaml:1:32"]);
}

/// A handler of `OrderCreated` that emits it again, to the channel `again`.
fn echo(channels: &str) -> Vec<String> {
    let emits = "emits:\n  - { event: OrderCreated, version: 1, to: again }\n";
    let pipeline = format!("{}{emits}", BASE[0].1);
    let script = "fn send(data) { emit(\"OrderCreated\", data); }\nsend(event.data);\n";
    found(&[("pipelines/orders.yaml", &pipeline), ("pipelines/created.rhai", script), ("sluice.yaml", channels)])
}

#[test]
fn events_come_back_over_another_channel_of_the_same_stream() {
    let loops = ["SG312 pipelines/orders.yaml:9:14"];
    let local = |subject: &str| {
        format!(
            "channels:\n  orders: {{ local: {{ stream: all, subjects: [\"orders.>\"] }} }}\n  again: {{ local: {{ stream: all, subject: \"{subject}\" }} }}\n"
        )
    };
    assert_eq!(echo(&local("orders.{key}")), loops);
    assert_eq!(echo(&local("others.{key}")), Vec::<String>::new());
    assert_eq!(echo(""), Vec::<String>::new(), "nobody reads what it emits");
    let nats = |stream: &str| {
        format!(
            "connections: {{ main: {{ nats: {{ url: \"nats://127.0.0.1\" }} }} }}\nchannels:\n  orders: {{ nats: {{ stream: ALL, subject: orders }} }}\n  \
             again: {{ nats: {{ stream: {stream}, subject: orders }} }}\n"
        )
    };
    assert_eq!(echo(&nats("ALL")), loops);
    assert_eq!(echo(&nats("OTHER")), Vec::<String>::new());
}

#[test]
fn the_newest_version_is_the_one_that_is_looked_at() {
    let pipeline = BASE[0].1.replace("[1]", "[1, 2]").replace("    handler", "    upcast: { 1: up.rhai }\n    handler");
    let files =
        |newest| [("pipelines/orders.yaml", pipeline.as_str()), ("pipelines/up.rhai", "data = event.data;\n"), newest];
    let thin = "{ \"type\": \"object\", \"required\": [\"order_id\", \"customerId\", \"id\"] }";
    // What scripts do wrong with these schemas is told as well.
    let found =
        |files: &[(&str, &str)]| found(files).into_iter().filter(|told| told.starts_with("SG1")).collect::<Vec<_>>();
    assert_eq!(found(&files(("schemas/OrderCreated/2.json", thin))), ["SG111 pipelines/orders.yaml:4:12"]);
    assert_eq!(found(&files(("schemas/OrderCreated/2.json", "true"))), ["SG113 pipelines/orders.yaml:4:12"]);
    assert_eq!(found(&files(("schemas/OrderCreated/2.json", "false"))), ["SG112 schemas/OrderCreated/2.json:1:1"]);
}
