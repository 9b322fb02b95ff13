//! Events in versions that the program does not accept yet.

use async_nats::jetstream;
use rustix::process::Signal;
use serde_json::{Value, json};

use super::sandbox::{Running, Sandbox};
use crate::support::servers::{NatsServer, RedisServer};

const PROJECT: &str = r#"
connections: { nats: { nats: { url: "${NATS_URL}" } } }
store: { redis: { url: "${REDIS_URL}" } }
admin: { listen: "127.0.0.1:0" }
channels:
  orders: { nats: { stream: ORDERS, subject: orders, create: true } }
  seen:   { nats: { stream: SEEN, subject: seen, create: true } }
defaults: { unknown_version: park }
"#;

const PIPELINE: &str = r#"
pipeline: p
key: data.key
subscriptions:
  - event: OrderPlaced
    from: orders
    versions: [2]
    script: |
      state.seen = (state.seen ?? "") + event.data.n;
      emit("OrderSeen", #{ seen: state.seen, attempt: ctx.attempt });
emits:
  - { event: OrderSeen, version: 1, to: seen }
"#;

struct Shop {
    nats: NatsServer,
    _redis: RedisServer,
    sandbox: Sandbox,
}

impl Shop {
    fn open() -> Self {
        let (nats, redis) = (NatsServer::start(), RedisServer::start());
        let sandbox =
            Sandbox::empty().on(&nats, &redis).file("sluice.yaml", PROJECT).file("pipelines/p.yaml", PIPELINE);
        let sandbox = sandbox.file("pipelines/up.rhai", "data = event.data;").file("schemas/OrderSeen/1.json", "{}");
        let sandbox = [1, 2, 3].iter().fold(sandbox, |s, v| s.file(&format!("schemas/OrderPlaced/{v}.json"), "{}"));
        Self { nats, _redis: redis, sandbox }
    }

    fn publish(&self, events: &[(&str, u32, Value)]) {
        let line = |(n, version, key): &(&str, u32, Value)| json!({ "id": n, "type": "OrderPlaced", "version": version, "source": "shop", "data": { "key": key, "n": n } });
        let lines: Vec<String> = events.iter().map(|event| line(event).to_string()).collect();
        self.sandbox.sluice_fed(&["publish", "orders", "--raw"], &lines.join("\n")).expect(0);
    }

    fn parked(&self) -> (Value, Value) {
        let status = self.sandbox.sluice(&["status", "--format", "json"]).expect(0).json();
        let store = &status["pipelines"][0]["store"];
        (store["parked"].clone(), store["dead_letters"].clone())
    }

    async fn seen(&self) -> Vec<Value> {
        let jetstream = jetstream::new(async_nats::connect(self.nats.url()).await.unwrap());
        let stream = jetstream.get_stream("SEEN").await.unwrap();
        let mut found = Vec::new();
        for seq in 1..=stream.cached_info().state.messages {
            let message = stream.get_raw_message(seq).await.unwrap();
            found.push(serde_json::from_slice::<Value>(&message.payload).unwrap()["data"].clone());
        }
        found
    }
}

fn until_settled(running: &Running, received: f64) {
    running.until_metric("sluice_received_total{pipeline=\"p\"}", received);
    running.until_metric("sluice_in_flight{pipeline=\"p\"}", 0.0);
}

#[tokio::test(flavor = "multi_thread")]
async fn events_of_unknown_versions_wait_for_the_program_that_accepts_them_and_keep_their_turn() {
    let mut shop = Shop::open();
    let running = shop.sandbox.run(&[]);
    running.until_ready();
    shop.publish(&[
        ("1", 2, json!("a")),
        ("2", 3, json!("a")),
        ("3", 2, json!("a")),
        ("4", 1, json!("b")),
        ("5", 2, json!("c")),
        ("6", 3, Value::Null),
    ]);
    until_settled(&running, 6.0);
    assert_eq!(shop.parked(), (json!(3), json!(1)));
    let letters = shop.sandbox.sluice(&["dlq", "list", "--format", "json"]).expect(0).json();
    assert_eq!(letters["dead_letters"][0]["failure"]["reason"], "no_key");
    // Neither a kill nor a start with the same program moves them.
    running.signal(Signal::KILL);
    drop(running);
    let running = shop.sandbox.run(&[]);
    running.until_ready();
    shop.publish(&[("7", 2, json!("a"))]);
    running.until("the new event waits, too", |_| shop.parked().0 == 4);
    running.terminated().expect(0);

    let accepting = "versions: [1, 2, 3]\n    upcast: { 1: up.rhai, 2: up.rhai }";
    shop.sandbox = shop.sandbox.edited("pipelines/p.yaml", "versions: [2]", accepting);
    let running = shop.sandbox.run(&[]);
    running.until_metric("sluice_unparked_total{pipeline=\"p\",to=\"done\"}", 4.0);
    shop.publish(&[("8", 3, json!("a"))]);
    running.until_metric("sluice_events_total{pipeline=\"p\",subscription=\"OrderPlaced\",outcome=\"done\"}", 1.0);
    running.terminated().expect(0);
    assert_eq!(shop.parked(), (json!(0), json!(1)));
    let mut seen = shop.seen().await;
    assert!(seen.iter().all(|data| data["attempt"] == 1), "{seen:?}");
    seen.sort_by_key(|data| data["seen"].to_string());
    let seen: Vec<&Value> = seen.iter().map(|data| &data["seen"]).collect();
    assert_eq!(seen, ["1", "12", "123", "1237", "12378", "4", "5"]);
}

#[test]
fn a_dead_letter_of_an_unknown_version_says_where_a_replay_would_put_it() {
    let mut shop = Shop::open();
    shop.sandbox = shop.sandbox.edited("sluice.yaml", "defaults: { unknown_version: park }\n", "");
    let running = shop.sandbox.run(&[]);
    running.until_ready();
    shop.publish(&[("1", 3, json!("a")), ("2", 2, json!("a"))]);
    until_settled(&running, 2.0);
    running.terminated().expect(0);
    assert_eq!(shop.parked(), (json!(0), json!(1)));
    shop.sandbox = shop.sandbox.edited("pipelines/p.yaml", "emits:", "unknown_version: park\nemits:");
    let letters = shop.sandbox.sluice(&["dlq", "list", "--format", "json"]).expect(0).json();
    let id = letters["dead_letters"][0]["id"].as_str().unwrap();
    let tried = shop.sandbox.sluice(&["dlq", "try", id]).expect(0).stdout;
    assert!(
        tried.starts_with("would be parked: it waits for a program that accepts version 3 of `OrderPlaced`\n"),
        "{tried}"
    );
    shop.sandbox.sluice(&["dlq", "replay", id]).expect(0);
    assert_eq!(shop.parked(), (json!(1), json!(0)));
}
