//! Servers that are not as a project wants them: what a person reads, and that nothing is lost meanwhile.

use async_nats::jetstream::{self, consumer, stream};

use super::sandbox::{Done, Running, Sandbox};
use crate::support::servers::{NatsServer, RedisServer};

const RECEIVED: &str = "sluice_received_total{pipeline=\"fulfilment\"}";
const IN_FLIGHT: &str = "sluice_in_flight{pipeline=\"fulfilment\"}";
const DONE: &str = "sluice_events_total{pipeline=\"fulfilment\",subscription=\"OrderCreated\",outcome=\"done\"}";

/// An order with so much customer.
fn order(n: usize, customer: usize) -> String {
    let customer = "c".repeat(customer);
    format!(
        r#"{{"id":"{n}","type":"OrderCreated","version":2,"data":{{"order_id":"o-{n}","customer_id":"{customer}","total_cents":1,"currency":"EUR"}}}}"#
    )
}

fn orders(numbers: std::ops::Range<usize>) -> String {
    numbers.map(|n| order(n, 1)).collect::<Vec<_>>().join("\n")
}

async fn jetstream(nats: &NatsServer) -> jetstream::Context {
    jetstream::new(async_nats::connect(nats.url()).await.unwrap())
}

async fn make_orders(nats: &NatsServer) -> stream::Stream {
    let config =
        stream::Config { name: "ORDERS".into(), subjects: vec!["orders.>".into()], ..stream::Config::default() };
    jetstream(nats).await.create_stream(config).await.unwrap()
}

#[track_caller]
fn says(done: &Done, words: &[&str]) {
    for words in words {
        assert!(done.stderr.contains(words), "{words}: {}", done.stderr);
    }
}

#[track_caller]
fn until_handled(running: &Running, events: f64) {
    running.until_metric(RECEIVED, events);
    running.until_metric(IN_FLIGHT, 0.0);
}

#[test]
fn a_redis_that_wants_a_password_is_told_and_the_password_never_printed() {
    let (nats, redis) = (NatsServer::start(), RedisServer::start());
    redis.ask("CONFIG SET requirepass open-sesame");
    let missing = Sandbox::sample(&nats, &redis).run(&[]).ended().expect(2);
    says(&missing, &["error: pipeline `fulfilment`: ", "asks for a password: put it into the store's `url`"]);

    let url = format!("redis://:${{REDIS_PASSWORD}}@127.0.0.1:{}", redis.port);
    let sandbox = Sandbox::sample(&nats, &redis).edited("sluice.yaml", "${REDIS_URL:-redis://127.0.0.1:6379}", &url);
    let unset = sandbox.sluice(&["run"]).expect(1);
    says(&unset, &["`REDIS_PASSWORD`", "sluice.yaml"]);

    let sandbox = sandbox.with("REDIS_PASSWORD", "let-me-in");
    for arguments in [&["run", "--log", "trace"][..], &["status"], &["dlq", "list"]] {
        let wrong = sandbox.sluice(arguments).expect(2);
        let said = format!("{}{}", wrong.stdout, wrong.stderr);
        assert!(said.contains("refused user or password of the store's `url`"), "{arguments:?}: {said}");
        assert!(!said.contains("let-me-in"), "{arguments:?}: {said}");
    }

    let sandbox = sandbox.with("REDIS_PASSWORD", "open-sesame");
    let running = sandbox.run(&["--log", "trace"]);
    running.until_ready();
    let done = running.terminated().expect(0);
    assert!(!done.stderr.contains("open-sesame"), "{}", done.stderr);
}

#[test]
fn a_full_redis_is_waited_for_and_loses_nothing() {
    let (nats, redis) = (NatsServer::start(), RedisServer::start());
    let sandbox = Sandbox::sample(&nats, &redis);
    let running = sandbox.run(&[]);
    sandbox.sluice_fed(&["publish", "orders"], &orders(0..100)).expect(0);
    until_handled(&running, 100.0);

    redis.ask("CONFIG SET maxmemory 1mb");
    sandbox.sluice_fed(&["publish", "orders"], &orders(100..600)).expect(0);
    running.until_logged("out of memory: raise `maxmemory`, or free some; nothing was written");
    running.until("readiness says so", |run| run.get("/readyz", &[]).0 == 503);
    assert_eq!(running.metric(DONE), Some(100.0));
    // It stays the active one: who starts meanwhile waits, too.
    let beside = Sandbox::sample(&nats, &redis);
    let second = beside.run(&[]);
    second.until("it stands by", |run| run.get("/readyz", &[]).1.contains("standby: runner "));
    second.terminated().expect(0);

    redis.ask("CONFIG SET maxmemory 0");
    running.until_metric(DONE, 600.0);
    running.until_ready();
    let balance = running.terminated().expect(0).stdout;
    assert!(balance.contains("done 600 ") && balance.contains("dead 0 "), "{balance}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_that_does_not_exist_is_waited_for() {
    let (nats, redis) = (NatsServer::start(), RedisServer::start());
    let sandbox = Sandbox::sample(&nats, &redis).edited(
        "sluice.yaml",
        "subjects: [\"orders.>\"], create: true",
        "subjects: [\"orders.>\"]",
    );
    let running = sandbox.run(&[]);
    let how = "there is no stream `ORDERS`; make it with `nats stream add ORDERS --subjects='orders.>'`, or write \
               `create: true` at the channel";
    running.until("it says how to make it", |run| run.get("/readyz", &[]).1.contains(how));
    running.until_logged(how);
    make_orders(&nats).await;
    sandbox.sluice_fed(&["publish", "orders"], &orders(0..20)).expect(0);
    running.until_ready();
    until_handled(&running, 20.0);
    let balance = running.terminated().expect(0).stdout;
    assert!(balance.contains("received 20 = done 20 "), "{balance}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_consumer_configured_by_someone_else_is_refused_with_what_to_do() {
    let (nats, redis) = (NatsServer::start(), RedisServer::start());
    let stream = make_orders(&nats).await;
    let name = "sluice-fulfilment-orders";
    let config = consumer::Config {
        durable_name: Some(name.into()),
        ack_policy: consumer::AckPolicy::None,
        ..consumer::Config::default()
    };
    stream.create_consumer(config).await.unwrap();
    let sandbox = Sandbox::sample(&nats, &redis);
    let refused = sandbox.run(&[]).ended().expect(2);
    says(
        &refused,
        &[
            "error: pipeline `fulfilment`: channel `orders`: consumer `sluice-fulfilment-orders` of stream `ORDERS` is not ours: its ack policy is",
            "remove it with `nats consumer rm ORDERS sluice-fulfilment-orders`, or rename the pipeline",
        ],
    );
    let found = stream.consumer_info(name).await.unwrap();
    assert_eq!(found.config.ack_policy, consumer::AckPolicy::None, "it stays as it is");
    stream.delete_consumer(name).await.unwrap();
    let running = sandbox.run(&[]);
    running.until_ready();
    running.terminated().expect(0);
}

#[test]
fn a_payload_of_two_mebibytes_is_refused_by_the_publisher_and_the_others_go_on() {
    let (nats, redis) = (NatsServer::start(), RedisServer::start());
    let sandbox = Sandbox::sample(&nats, &redis);
    let lines = [order(1, 1), order(2, 2 << 20), order(3, 1)].join("\n");
    let done = sandbox.sluice_fed(&["publish", "orders"], &lines).expect(1);
    says(&done, &["error: line 2: the payload has 20973"]);
    let running = sandbox.run(&[]);
    until_handled(&running, 2.0);
    running.terminated().expect(0);
}

#[test]
fn a_payload_of_two_mebibytes_from_elsewhere_becomes_a_dead_letter() {
    let (nats, redis) = (NatsServer::with_config("max_payload: 8MB"), RedisServer::start());
    let sandbox = Sandbox::sample(&nats, &redis);
    let running = sandbox.run(&[]);
    running.until_ready();
    nats.publish_raw("orders.created", b"NATS/1.0\r\na: b", &order(1, 2 << 20));
    sandbox.sluice_fed(&["publish", "orders"], &orders(2..4)).expect(0);
    until_handled(&running, 3.0);
    let letters = sandbox.sluice(&["dlq", "list", "--format", "json"]).expect(0);
    assert!(letters.stdout.contains("too_large") && letters.stdout.len() < 64 << 10, "{:.2000}", letters.stdout);
    let balance = running.terminated().expect(0).stdout;
    assert!(balance.contains("done 2 ") && balance.contains("dead 1 "), "{balance}");
}
