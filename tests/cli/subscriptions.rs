//! What a subscription may say for itself: several channels, a filter, a script in place, a key of its own.

use async_nats::jetstream;
use serde_json::{Value, json};

use super::sandbox::Sandbox;
use crate::support::servers::{NatsServer, RedisServer};

const PROJECT: &str = r#"
connections: { nats: { nats: { url: "${NATS_URL}" } } }
store: { redis: { url: "${REDIS_URL}" } }
admin: { listen: "127.0.0.1:0" }
channels:
  orders: { nats: { stream: ORDERS, subject: orders, create: true } }
  legacy: { nats: { stream: LEGACY, subject: legacy, create: true } }
  notes:  { nats: { stream: NOTES, subject: notes, create: true } }
  audit:  { nats: { stream: AUDIT, subject: audit, create: true }, envelope: cloudevents }
"#;

const PIPELINE: &str = r#"
pipeline: p
key: data.order_id
subscriptions:
  - event: OrderPlaced
    from: [orders, legacy]
    versions: [1]
    where: event.data.total > 0
    script: |
      state.placed = (state.placed ?? 0) + event.data.total;
      emit("Noted", #{ about: event.key, placed: state.placed });
  - event: RefundMade
    from: orders
    key: data.refund.order
    versions: [1]
    script: |
      emit("Noted", #{ about: event.key, placed: state.placed ?? 0 });
emits:
  - { event: Noted, version: 1, to: [notes, audit] }
"#;

async fn data(nats: &NatsServer, stream: &str) -> Vec<Value> {
    let stream = jetstream::new(async_nats::connect(nats.url()).await.unwrap()).get_stream(stream).await.unwrap();
    let mut found = Vec::new();
    for seq in 1..=stream.cached_info().state.messages {
        let message = stream.get_raw_message(seq).await.unwrap();
        found.push(serde_json::from_slice::<Value>(&message.payload).unwrap()["data"].clone());
    }
    found
}

#[tokio::test(flavor = "multi_thread")]
async fn channels_filters_scripts_and_keys_are_those_of_the_subscription() {
    let (nats, redis) = (NatsServer::start(), RedisServer::start());
    let schemas = ["OrderPlaced", "RefundMade", "Noted"];
    let sandbox = Sandbox::empty().on(&nats, &redis).file("sluice.yaml", PROJECT).file("pipelines/p.yaml", PIPELINE);
    let sandbox = schemas.iter().fold(sandbox, |s, name| s.file(&format!("schemas/{name}/1.json"), "{}"));
    let running = sandbox.run(&[]);
    running.until_ready();
    let mut published = 0.0;
    let mut publish = |channel: &str, kind: &str, data: Value| {
        sandbox.sluice(&["publish", channel, "--type", kind, "--data", &data.to_string()]).expect(0);
        published += 1.0;
        running.until_metric("sluice_received_total{pipeline=\"p\"}", published);
        running.until_metric("sluice_in_flight{pipeline=\"p\"}", 0.0);
    };
    publish("orders", "OrderPlaced", json!({ "order_id": "o-1", "total": 5 }));
    publish("legacy", "OrderPlaced", json!({ "order_id": "o-1", "total": 7 }));
    publish("orders", "OrderPlaced", json!({ "order_id": "o-1", "total": 0 }));
    publish("orders", "RefundMade", json!({ "refund": { "order": "o-1" } }));
    // Nobody subscribes to it from there, so it needs no key either.
    publish("legacy", "RefundMade", json!({}));
    let balance =
        "p: received 5 = done 3 + skipped 1 + duplicate 0 + parked 0 + dead 0 + ignored 1 + returned 0 + in_flight 0\n";
    assert_eq!(running.terminated().expect(0).stdout, balance);
    let expected: Vec<Value> = [5, 12, 12].iter().map(|placed| json!({ "about": "o-1", "placed": placed })).collect();
    assert_eq!(data(&nats, "NOTES").await, expected);
    assert_eq!(data(&nats, "AUDIT").await, expected);
}
