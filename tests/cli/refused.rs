//! An emission that its destination does not take: set aside, and sent again by a person.

use async_nats::jetstream::{self, stream};
use serde_json::Value;

use super::sandbox::Sandbox;
use crate::support::servers::NatsServer;

fn letters(sandbox: &Sandbox) -> Vec<Value> {
    let listed = sandbox.sluice(&["dlq", "list", "--format", "json"]).expect(0).json();
    listed["dead_letters"].as_array().unwrap().clone()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refused_emission_is_set_aside_holds_up_nothing_and_can_be_sent_again() {
    let nats = NatsServer::start();
    let jetstream = jetstream::new(async_nats::connect(nats.url()).await.unwrap());
    let mut config = stream::Config {
        name: "OUT".into(),
        subjects: vec!["out".into()],
        max_message_size: 1_000,
        ..Default::default()
    };
    let mut out = jetstream.create_stream(config.clone()).await.unwrap();
    let sandbox = Sandbox::empty()
        .file(
            "sluice.yaml",
            &format!(
                "connections: {{ nats: {{ nats: {{ url: \"{}\" }} }} }}\n\
                 channels: {{ out: {{ nats: {{ stream: OUT, subject: out }} }} }}\n\
                 admin: {{ listen: '127.0.0.1:0' }}\n",
                nats.url()
            ),
        )
        .file(
            "pipelines/p.yaml",
            "pipeline: p\nkey: data.id\nsubscriptions:\n  - { event: Noted, from: in, versions: [1], \
             script: 'emit(\"Noted\", event.data);' }\nemits: [{ event: Noted, version: 1, to: out }]\n",
        )
        .file("schemas/Noted/1.json", "{}")
        .file(
            "events.ndjson",
            &["x".repeat(2_000), "short".to_owned()]
                .iter()
                .enumerate()
                .map(|(n, note)| {
                    let data = serde_json::json!({ "id": "k", "note": note });
                    serde_json::json!({ "id": format!("{n}"), "type": "Noted", "version": 1, "source": "s", "data": data })
                        .to_string()
                        + "\n"
                })
                .collect::<String>(),
        );
    // It ends: nothing is owed, and every event is acked.
    let done = sandbox.sluice(&["run", "--feed", "in=events.ndjson", "--until-idle"]).expect(0);
    assert!(done.stdout.contains("received 2 = done 2 + "), "{}", done.stdout);
    assert!(done.stderr.contains("the destination refuses an event for good"), "{}", done.stderr);
    assert_eq!(out.info().await.unwrap().state.messages, 1, "what came after it has left");

    let [letter] = &letters(&sandbox)[..] else { panic!("{:#?}", letters(&sandbox)) };
    assert_eq!((&letter["failure"]["reason"], &letter["event"]["type"]), (&"refused".into(), &"Noted".into()));
    let id = letter["id"].as_str().unwrap();
    let shown = sandbox.sluice(&["dlq", "show", id]).expect(0).stdout;
    assert!(shown.contains("emission to  out") && shown.contains("channel `out` does not take it"), "{shown}");
    assert!(shown.contains(&"x".repeat(2_000)), "as it was to leave");
    let tried = sandbox.sluice(&["dlq", "try", id]).expect(1);
    assert!(tried.stderr.contains("no handler runs; `sluice dlq replay` sends it again"), "{}", tried.stderr);

    let again = sandbox.sluice(&["dlq", "replay", id]).expect(1).stdout;
    assert!(again.contains("died again: permanent/refused: "), "{again}");
    assert_eq!(letters(&sandbox).len(), 1);

    config.max_message_size = -1;
    jetstream.update_stream(config).await.unwrap();
    let again = sandbox.sluice(&["dlq", "replay", id]).expect(0).stdout;
    assert!(again.contains("sent again\nreplayed 1 of 1 dead letter"), "{again}");
    assert_eq!(letters(&sandbox).len(), 0);
    let sent = out.get_raw_message(2).await.unwrap();
    assert!(String::from_utf8_lossy(&sent.payload).contains(&"x".repeat(2_000)));
    assert_eq!(out.info().await.unwrap().state.messages, 2);
    sandbox.sluice(&["dlq", "replay", id]).expect(1);
}
