use serde_json::Value;

use super::sandbox::Sandbox;
use crate::support::servers::{NatsServer, RedisServer};

/// The sample project after it has set one payment aside.
struct Shop {
    _servers: (NatsServer, RedisServer),
    sandbox: Sandbox,
    id: String,
}

impl Shop {
    fn with_a_dead_letter() -> Self {
        let servers = (NatsServer::start(), RedisServer::start());
        let sandbox = Sandbox::sample(&servers.0, &servers.1);
        sandbox.sluice(&["publish", "orders", "pipelines/sample-events.ndjson"]).expect(1);
        let running = sandbox.run(&[]);
        running.until_metric("sluice_received_total{pipeline=\"fulfilment\"}", 8.0);
        running.until_metric("sluice_in_flight{pipeline=\"fulfilment\"}", 0.0);
        running.terminated().expect(0);
        let id = letters(&sandbox, &[])[0]["id"].as_str().unwrap().to_owned();
        Self { _servers: servers, sandbox, id }
    }

    /// From now on any payment is enough.
    fn mend(self) -> Self {
        let handler = "state.paid = true;\nemit(\"ShipmentTracked\", #{ order_id: event.key, carrier: \"DHL\", \
                       tracking_code: \"\", shipped_at: \"2025-03-01T10:55:00Z\" });\n";
        Self { sandbox: self.sandbox.file("pipelines/handlers/payment_received.rhai", handler), ..self }
    }
}

fn letters(sandbox: &Sandbox, arguments: &[&str]) -> Vec<Value> {
    let list = [&["dlq", "list", "--format", "json"], arguments].concat();
    sandbox.sluice(&list).expect(0).json()["dead_letters"].as_array().unwrap().clone()
}

#[test]
fn a_dead_letter_is_listed_and_shown_with_its_reason() {
    let shop = Shop::with_a_dead_letter();
    let found = letters(&shop.sandbox, &["--pipeline", "fulfilment"]);
    assert_eq!(found.len(), 1);
    assert_eq!((&found[0]["key"], &found[0]["open"]), (&"o-2".into(), &true.into()));
    assert_eq!(found[0]["failure"]["reason"], "rejected");
    let listed = shop.sandbox.sluice(&["dlq", "list"]).expect(0).stdout;
    assert!(listed.contains(&shop.id[..12]) && listed.contains("paid 100 of 4990 cents"), "{listed}");
    let grouped = shop.sandbox.sluice(&["dlq", "list", "--group", "--format", "json"]).expect(0).json();
    assert_eq!(
        (&grouped["groups"][0]["count"], &grouped["groups"][0]["example"]),
        (&1.into(), &shop.id.clone().into())
    );

    let shown = shop.sandbox.sluice(&["dlq", "show", &shop.id[..6]]).expect(0).stdout;
    assert!(shown.contains("permanent/rejected") && shown.contains("\"amount_cents\": 100"), "{shown}");
    let shown = shop.sandbox.sluice(&["dlq", "show", &shop.id, "--format", "json"]).expect(0).json();
    assert_eq!(shown["payload"]["data"]["order_id"], "o-2");
    assert_eq!(shown["position"]["channel"], "orders");
}

#[test]
fn trying_shows_what_would_happen_and_writes_nothing() {
    let shop = Shop::with_a_dead_letter();
    let done = shop.sandbox.sluice(&["dlq", "try", &shop.id]).expect(1);
    assert!(done.stdout.starts_with("would die again: permanent/rejected"), "{}", done.stdout);

    let shop = shop.mend();
    let done = shop.sandbox.sluice(&["dlq", "try", &shop.id[..8]]).expect(0);
    assert!(
        done.stdout.starts_with("would end as: done\nstate:\n  + /paid: true\nemits:\n  → shipments"),
        "{}",
        done.stdout
    );
    let tried = shop.sandbox.sluice(&["dlq", "try", &shop.id, "--format", "json"]).expect(0).json();
    assert_eq!(tried["state"]["after"]["paid"], true);
    assert_eq!(tried["emissions"][0]["payload"]["type"], "ShipmentTracked");

    let found = letters(&shop.sandbox, &[]);
    assert_eq!((&found[0]["open"], &found[0]["generation"]), (&true.into(), &1.into()));
    let status = shop.sandbox.sluice(&["status", "--format", "json"]).expect(0).json();
    assert_eq!(status["pipelines"][0]["store"]["outbox"], 0);
}

#[test]
fn a_replay_that_is_handled_closes_its_record_and_a_second_one_does_nothing() {
    let shop = Shop::with_a_dead_letter();
    let done = shop.sandbox.sluice(&["dlq", "replay", &shop.id]).expect(1);
    assert!(done.stdout.contains("died again: permanent/rejected"), "{}", done.stdout);
    assert_eq!(letters(&shop.sandbox, &[])[0]["generation"], 2);

    let shop = shop.mend();
    let done = shop.sandbox.sluice(&["dlq", "replay", "--all-open", "--yes"]).expect(0);
    assert!(done.stdout.ends_with("done\nreplayed 1 of 1 dead letter\n"), "{}", done.stdout);
    assert!(letters(&shop.sandbox, &[]).is_empty());
    assert_eq!(letters(&shop.sandbox, &["--all"])[0]["resolution"]["how"], "replayed");

    let again = shop.sandbox.sluice(&["dlq", "replay", &shop.id]).expect(1);
    assert!(again.stdout.contains("not replayed: it is closed already"), "{}", again.stdout);
}

#[test]
fn copies_that_died_without_a_key_are_not_replayed_under_one() {
    let (nats, redis) = (NatsServer::start(), RedisServer::start());
    // One partition: the records could be closed from wherever the events belong now.
    let one = "pipeline: fulfilment\npartitions: 1\n";
    let sandbox = Sandbox::sample(&nats, &redis).edited("pipelines/fulfilment.yaml", "pipeline: fulfilment\n", one);
    sandbox.sluice(&["publish", "orders", "pipelines/sample-events.ndjson"]).expect(1);
    let sandbox = sandbox.edited("pipelines/fulfilment.yaml", "key: data.order_id", "key: headers.order");
    let running = sandbox.run(&[]);
    running.until_metric("sluice_received_total{pipeline=\"fulfilment\"}", 8.0);
    running.until_metric("sluice_in_flight{pipeline=\"fulfilment\"}", 0.0);
    running.terminated().expect(0);
    let found = letters(&sandbox, &[]);
    let copies: Vec<_> = found.iter().filter(|letter| letter["event"]["id"] == "e-1").collect();
    assert!(copies.len() == 2 && copies.iter().all(|letter| letter["failure"]["reason"] == "no_key"), "{found:#?}");

    let sandbox = sandbox.edited("pipelines/fulfilment.yaml", "key: headers.order", "key: data.order_id");
    let done = sandbox.sluice(&["dlq", "replay", "--all-open", "--yes"]).expect(1);
    assert!(done.stdout.contains(&format!("replayed 0 of {} dead letters", found.len())), "{}", done.stdout);
    assert!(done.stdout.contains("not replayed: the pipeline reads another key"), "{}", done.stdout);
    assert_eq!(letters(&sandbox, &[]).len(), found.len());
}

#[test]
fn two_replays_at_once_handle_the_event_once() {
    let shop = Shop::with_a_dead_letter().mend();
    let outcomes: Vec<String> = std::thread::scope(|scope| {
        let replays: Vec<_> = (0..2)
            .map(|_| scope.spawn(|| shop.sandbox.sluice(&["dlq", "replay", &shop.id, "--format", "json"])))
            .collect();
        replays
            .into_iter()
            .map(|r| r.join().unwrap().json()["replayed"][0]["outcome"].as_str().unwrap().to_owned())
            .collect()
    });
    assert_eq!(outcomes.iter().filter(|outcome| *outcome == "done").count(), 1, "{outcomes:?}");
}

#[test]
fn replaying_many_asks_first() {
    let shop = Shop::with_a_dead_letter();
    let fingerprint = letters(&shop.sandbox, &[])[0]["fingerprint"].as_str().unwrap().to_owned();
    let done = shop.sandbox.sluice(&["dlq", "replay", "--fingerprint", &fingerprint]).expect(2);
    assert!(done.stderr.contains("help: add `--yes` to do it"), "{}", done.stderr);
    shop.sandbox.sluice(&["dlq", "replay", "--fingerprint", &fingerprint, "--yes"]).expect(1);
    shop.sandbox.sluice(&["dlq", "replay", "--fingerprint", "000000000000", "--yes"]).expect(2);
}

#[test]
fn a_discarded_letter_says_why_and_stays_closed() {
    let shop = Shop::with_a_dead_letter();
    shop.sandbox.sluice(&["dlq", "discard", &shop.id]).expect(2);
    let done = shop.sandbox.sluice(&["dlq", "discard", &shop.id[..4], "--why", "a test order"]).expect(0);
    assert!(done.stdout.contains("discarded"), "{}", done.stdout);
    assert!(letters(&shop.sandbox, &[]).is_empty());
    let shown = shop.sandbox.sluice(&["dlq", "show", &shop.id]).expect(0).stdout;
    assert!(shown.contains(": a test order"), "{shown}");
    shop.sandbox.sluice(&["dlq", "discard", &shop.id, "--why", "again"]).expect(1);
    shop.sandbox.sluice(&["dlq", "replay", &shop.id]).expect(1);
}

#[test]
fn an_unknown_id_is_told_and_so_is_a_store_in_memory() {
    let shop = Shop::with_a_dead_letter();
    let done = shop.sandbox.sluice(&["dlq", "show", "zz"]).expect(2);
    assert!(done.stderr.starts_with("error: there is no dead letter `zz`\nhelp: "), "{}", done.stderr);
    let done = Sandbox::small("{}").file("sluice.yaml", "store: { memory: {} }\n").sluice(&["dlq", "list"]).expect(2);
    assert!(done.stderr.contains("the store is in memory"), "{}", done.stderr);
}
