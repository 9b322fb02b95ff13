//! Decodes and routes a message: lines `name: value` are headers, what follows the first empty line is the payload.
//! The first byte pins the envelope.
#![no_main]

use std::fs;
use std::sync::LazyLock;

use libfuzzer_sys::fuzz_target;
use sluicegate::event::{Headers, Millis, Position, RawEvent};
use sluicegate::flow::decode::decode;
use sluicegate::flow::route::route;
use sluicegate::spec;
use sluicegate::spec::program::{Envelope, Limits, Program};

static PROGRAM: LazyLock<Program> = LazyLock::new(|| {
    let project = tempfile::tempdir().expect("a directory");
    let file = |path: &str, text: &str| {
        let path = project.path().join(path);
        fs::create_dir_all(path.parent().expect("a parent")).expect("a directory");
        fs::write(path, text).expect("a file");
    };
    let pipeline = "pipeline: p\nkey: data.a.id\nsubscriptions:\n  \
                    - { event: T, from: c, versions: [1, 2], upcast: { 1: u.rhai }, handler: h.rhai }\n";
    let mapping = "{ id: { path: headers.X-Id }, type: { template: \"T.{data.action}\" }, version: { value: 1 }, data: { path: . } }";
    file("sluice.yaml", &format!("channels:\n  c: {{ local: {{}}, envelope: {{ map: {mapping} }} }}\n"));
    file("pipelines/p.yaml", pipeline);
    file("pipelines/h.rhai", "state.seen = true;\n");
    file("pipelines/u.rhai", "data = event.data;\n");
    file("schemas/T/1.json", "{}");
    file("schemas/T/2.json", "{}");
    spec::load(project.path(), &|_| None).program.expect("it loads")
});

fuzz_target!(|data: &[u8]| {
    let Some((first, rest)) = data.split_first() else { return };
    let mapped = &PROGRAM.channels["c"].envelope;
    let envelopes =
        [&Envelope::Auto, &Envelope::Sluice, &Envelope::CloudEventsStructured, &Envelope::CloudEventsBinary, mapped];
    let envelope = envelopes[usize::from(*first) % envelopes.len()];
    let at = rest.windows(2).position(|part| part == b"\n\n");
    let (head, payload) = at.map_or((&b""[..], rest), |at| (&rest[..at], &rest[at + 2..]));
    let head = String::from_utf8_lossy(head);
    let headers = head.lines().filter_map(|line| line.split_once(": "));
    let raw = RawEvent {
        position: Position { channel: "c".into(), seq: 1 },
        stored_at: Millis(1_767_323_045_000),
        headers: Headers(headers.map(|(name, value)| (name.to_owned(), value.to_owned())).collect()),
        payload: payload.to_vec().into(),
    };
    if let Ok(event) = decode(&raw, envelope, &Limits::default()) {
        assert!(!event.id.is_empty() && !event.kind.is_empty() && !event.source.is_empty());
        // What was read can be written, and is then read as the same.
        let text = serde_json::to_vec(&event.data).expect("JSON values serialize");
        assert_eq!(serde_json::from_slice::<serde_json::Value>(&text).expect("what was written"), event.data);
    }
    route(raw, &PROGRAM.pipelines[0], envelope);
});
