//! What a pipeline may say about order, and what is told when it cannot be meant.

use std::time::Duration;

use super::program::{
    EventTime, FieldPath, First, OnDeadPrerequisite, OnFailure, OnTimeout, Reorder, Resequence, Sequence,
};
use super::*;

#[test]
fn arrival_order_alone_holds_unless_more_is_said() {
    let program = Project::new().program();
    let pipeline = &program.pipelines[0];
    assert_eq!((&pipeline.sequence, &pipeline.resequence), (&None, &None));
    assert_eq!((pipeline.on_failure, pipeline.reorder), (OnFailure::Continue, Reorder::default()));
    assert_eq!(pipeline.subscriptions[0].after, Vec::<String>::new());
    // A key that waits for others for ten minutes is no news where nothing waits.
    assert!(Project::new().and("retry: { attempts: 1 }\nidempotency: { retain: 1m }\n").load().diagnostics.is_empty());
}

#[test]
fn what_holds_for_those_that_wait_may_be_a_default() {
    let program = Project::new()
        .with(
            "sluice.yaml",
            "defaults: { on_failure: block_key, reorder: { timeout: 1h, on_timeout: advance, max_parked_per_key: 7 } }\n",
        )
        .and("reorder: { timeout: 2h, on_dead_prerequisite: dead_letter, max_parked_bytes: 1MiB }\n")
        .program();
    let pipeline = &program.pipelines[0];
    let wanted = Reorder {
        timeout: Duration::from_secs(7200),
        on_timeout: OnTimeout::Advance,
        on_dead_prerequisite: OnDeadPrerequisite::DeadLetter,
        max_parked_per_key: 7,
        max_parked_bytes: 1 << 20,
    };
    assert_eq!((pipeline.reorder, pipeline.on_failure), (wanted, OnFailure::BlockKey));
}

#[test]
fn numbers_and_times_are_read_from_where_a_pipeline_says() {
    let path = |members: &[&str]| FieldPath(members.iter().map(|member| (*member).to_owned()).collect());
    let sequence = |text: &str| Project::new().and(text).program().pipelines[0].sequence.clone();
    for (said, first) in [
        ("", First::At(1)),
        (", first: any", First::Any),
        (", first: 0", First::At(0)),
        (", first: -9223372036854775808", First::At(i64::MIN)),
        (", first: 9223372036854775807", First::At(i64::MAX)),
    ] {
        let wanted = Sequence { by: path(&["data", "nr"]), key: path(&["data", "order_id"]), first };
        assert_eq!(sequence(&format!("sequence: {{ by: data.nr{said} }}\n")), Some(wanted), "{said}");
    }
    let resequence = |text: &str| Project::new().and(text).program().pipelines[0].resequence.clone();
    let hold = Duration::from_secs(5);
    let by = EventTime::Envelope;
    assert_eq!(resequence("resequence: { by: time, hold: 5s }\n"), Some(Resequence { by, hold }));
    let by = EventTime::Path(path(&["headers", "At"]));
    assert_eq!(resequence("resequence: { by: headers.At, hold: 5s }\n"), Some(Resequence { by, hold }));
}

#[test]
fn one_way_to_a_type_is_enough_for_those_that_come_after_it() {
    let after = |after: &str| format!("from: orders\n    after: [{after}]");
    let program = Project::new()
        .with("schemas/OrderPaid/1.json", "{}")
        .with(
            "pipelines/p.yaml",
            PIPELINE.replace("from: orders", &after("OrderPaid"))
                + "  - { event: OrderPaid, from: orders, versions: [1], after: [OrderCreated], handler: h.rhai }\n"
                + "  - { event: OrderPaid, from: legacy, versions: [1], key: data.order, handler: h.rhai }\n",
        )
        .program();
    let after: Vec<&[String]> = program.pipelines[0].subscriptions.iter().map(|s| s.after.as_slice()).collect();
    assert_eq!(after, [&["OrderPaid".to_owned()][..], &["OrderCreated".to_owned()], &[]]);
}

#[test]
fn what_is_wrong_with_order() {
    let more = |text: &str| Project::new().and(text);
    let paid = "  - { event: OrderPaid, from: orders, versions: [3], handler: h.rhai }\n";
    let after = |types: &str| {
        let first = PIPELINE.replace("    handler", &format!("    after: {types}\n    handler"));
        Project::new().with("pipelines/p.yaml", first + paid)
    };
    let chain = |chain: &[(&str, &str)]| {
        let one = |(event, after): &(&str, &str)| {
            format!("  - {{ event: {event}, from: orders, versions: [1], after: [{after}], handler: h.rhai }}\n")
        };
        ["schemas/A/1.json", "schemas/B/1.json", "schemas/C/1.json", "schemas/D/1.json"]
            .iter()
            .fold(more(&chain.iter().map(one).collect::<String>()), |project, name| project.with(name, "{}"))
    };
    told(
        "what_is_wrong_with_order",
        [
            ("after a type that nothing takes", after("[OrderShipped]")),
            ("after a misspelt type", after("[OrderPiad]")),
            ("after itself", after("[OrderCreated]")),
            ("after a type twice", chain(&[("A", "OrderCreated, OrderCreated")])),
            ("after one name", after("OrderPaid")),
            ("a circle of two", chain(&[("A", "B"), ("B", "A")])),
            ("two circles, and one that waits for them", chain(&[("D", "C"), ("A", "B"), ("B", "A"), ("C", "A, C")])),
            ("a circle of three", chain(&[("A", "OrderCreated, B"), ("B", "C"), ("C", "A")])),
            ("a sequence by nothing", more("sequence: {}\n")),
            ("a sequence by an id", more("sequence: { by: id }\n")),
            ("a first that is no number", more("sequence: { by: data.seq, first: one }\n")),
            ("a first that is too large", more("sequence: { by: data.seq, first: 9223372036854775808 }\n")),
            (
                "a sequence without a key",
                Project::new().with(
                    "pipelines/p.yaml",
                    PIPELINE
                        .replace("key: data.order_id\n", "sequence: { by: data.seq }\n")
                        .replace("    handler", "    key: data.order_id\n    handler"),
                ),
            ),
            ("two orders", more("sequence: { by: data.seq }\nresequence: { by: time, hold: 5s }\n")),
            ("resequenced by nothing, for no time", more("resequence: {}\n")),
            ("resequenced by a source", more("resequence: { by: source, hold: 0s }\n")),
            ("held for longer than remembered", more("resequence: { by: time, hold: 8d }\n")),
            (
                "an unknown policy",
                more("reorder: { on_timeout: advnce, on_dead_prerequisite: wait }\non_failure: block\n"),
            ),
            ("room for nothing", more("reorder: { timeout: 0s, max_parked_per_key: 0, max_parked_bytes: 0 }\n")),
            ("forgotten while it waits", more("reorder: { timeout: 8d }\n")),
            (
                "forgotten while it waits, as all do",
                more("sequence: { by: data.seq }\n").with("sluice.yaml", "defaults: { reorder: { timeout: 8d } }\n"),
            ),
            (
                "remembered for too short a time",
                more("sequence: { by: data.seq }\nretry: { attempts: 1 }\nidempotency: { retain: 1m }\n"),
            ),
        ],
    );
}
