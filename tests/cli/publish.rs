use async_nats::jetstream::{self, stream::Stream};

use super::sandbox::Sandbox;
use crate::support::servers::{NatsServer, RedisServer};

const CREATED: &str = r#"{"order_id":"o-1","customer_id":"c-1","total_cents":1999,"currency":"EUR"}"#;

struct Shop {
    nats: NatsServer,
    _redis: RedisServer,
    sandbox: Sandbox,
}

impl Shop {
    fn open() -> Self {
        let (nats, redis) = (NatsServer::start(), RedisServer::start());
        let sandbox = Sandbox::sample(&nats, &redis);
        Self { nats, _redis: redis, sandbox }
    }

    async fn stream(&self) -> Stream {
        let client = async_nats::connect(self.nats.url()).await.unwrap();
        jetstream::new(client).get_stream("ORDERS").await.unwrap()
    }
}

#[tokio::test]
async fn one_event_comes_from_the_arguments_with_what_is_missing_filled_in() {
    let shop = Shop::open();
    let arguments =
        ["publish", "orders", "--type", "OrderCreated", "--version", "2", "--data", CREATED, "--header", "a=b"];
    let done = shop.sandbox.sluice(&arguments).expect(0);
    assert_eq!(done.stdout, "published 1 event to `orders`\n");
    assert_eq!(done.stderr, "");
    let message = shop.stream().await.get_raw_message(1).await.unwrap();
    assert_eq!(message.subject.as_str(), "orders.OrderCreated");
    assert_eq!(message.headers.get("a").map(|value| value.as_str()), Some("b"));
    assert!(message.headers.get("Nats-Msg-Id").is_none(), "only with --dedupe");
    let event: serde_json::Value = serde_json::from_slice(&message.payload).unwrap();
    assert_eq!(event["source"], "sluice-publish");
    assert_eq!(event["data"]["order_id"], "o-1");
    assert!(event["id"].as_str().unwrap().parse::<uuid::Uuid>().is_ok(), "{event}");
    assert!(event["time"].as_str().unwrap().ends_with('Z'), "{event}");
}

#[tokio::test]
async fn a_line_that_is_not_valid_is_named_and_the_others_go_on() {
    let shop = Shop::open();
    let good = format!(r#"{{"type":"OrderCreated","version":2,"data":{CREATED}}}"#);
    let lines = [
        good.as_str(),
        "not json",
        r#"{"type":"OrderCreated","version":2,"data":{"order_id":"o-1"}}"#,
        "",
        r#"{"type":"OrderCreted","version":2,"data":{}}"#,
        r#"{"type":"OrderCreated","version":9,"data":{}}"#,
        good.as_str(),
    ];
    let done = shop.sandbox.sluice_fed(&["publish", "orders"], &lines.join("\n")).expect(1);
    assert_eq!(done.stdout, "published 2 events to `orders`, 4 not valid\n");
    for expected in [
        "error: line 2: not JSON",
        "error: line 3: `OrderCreated` version 2: ",
        "did you mean `OrderCreated`?",
        "error: line 6: no pipeline knows version 9 of `OrderCreated` (known: 1, 2)",
    ] {
        assert!(done.stderr.contains(expected), "{expected}: {}", done.stderr);
    }
    assert_eq!(shop.stream().await.info().await.unwrap().state.messages, 2);
}

#[tokio::test]
async fn an_event_without_a_usable_key_is_not_valid() {
    let shop = Shop::open();
    let data = CREATED.replace("\"o-1\"", "\"\"");
    let done = shop
        .sandbox
        .sluice(&["publish", "orders", "--type", "OrderCreated", "--version", "2", "--data", &data])
        .expect(1);
    assert!(done.stderr.contains("pipeline `fulfilment`: "), "{}", done.stderr);
}

#[tokio::test]
async fn the_broker_drops_what_it_took_before_when_asked_to() {
    let shop = Shop::open();
    let event = format!(r#"{{"id":"e-1","type":"OrderCreated","version":2,"data":{CREATED}}}"#);
    for _ in 0..2 {
        shop.sandbox.sluice_fed(&["publish", "orders", "--dedupe"], &event).expect(0);
    }
    assert_eq!(shop.stream().await.info().await.unwrap().state.messages, 1);
    shop.sandbox.sluice_fed(&["publish", "orders"], &event).expect(0);
    assert_eq!(shop.stream().await.info().await.unwrap().state.messages, 2);
}

#[tokio::test]
async fn events_of_one_key_keep_their_order() {
    let shop = Shop::open();
    let line = |n: usize| {
        let data = CREATED.replace("o-1", &format!("o-{}", n % 7));
        format!(r#"{{"id":"{n}","type":"OrderCreated","version":2,"data":{data}}}"#)
    };
    let lines: Vec<String> = (0..500).map(line).collect();
    let done = shop.sandbox.sluice_fed(&["publish", "orders"], &lines.join("\n")).expect(0);
    assert_eq!(done.stdout, "published 500 events to `orders`\n");
    let stream = shop.stream().await;
    let mut last = [None::<usize>; 7];
    for seq in 1..=500 {
        let message = stream.get_raw_message(seq).await.unwrap();
        let event: serde_json::Value = serde_json::from_slice(&message.payload).unwrap();
        let n: usize = event["id"].as_str().unwrap().parse().unwrap();
        assert!(last[n % 7].is_none_or(|before| before < n), "{n} came late");
        last[n % 7] = Some(n);
    }
}

#[tokio::test]
async fn raw_lines_go_out_as_they_are_where_they_are_told_to() {
    let shop = Shop::open();
    shop.sandbox.sluice_fed(&["publish", "orders", "--raw", "--subject", "orders.odd"], "not json\n").expect(0);
    let message = shop.stream().await.get_raw_message(1).await.unwrap();
    assert_eq!((message.subject.as_str(), &message.payload[..]), ("orders.odd", &b"not json"[..]));
    let lines = "not json\n{\"id\":\"1\",\"type\":\"Odd\",\"source\":\"s\",\"version\":1,\"data\":{}}\n";
    shop.sandbox.sluice_fed(&["publish", "orders", "--raw"], lines).expect(0);
    for (seq, subject) in [(2, "orders.unknown"), (3, "orders.Odd")] {
        assert_eq!(shop.stream().await.get_raw_message(seq).await.unwrap().subject.as_str(), subject);
    }
    let done = shop.sandbox.sluice_fed(&["publish", "orders", "--subject", "elsewhere"], "{}").expect(2);
    assert!(done.stderr.contains("`elsewhere` is not in this channel, which takes `orders.>`"), "{}", done.stderr);
}

#[test]
fn a_broker_that_does_not_answer_is_given_up_on_and_told() {
    let shop = Shop::open();
    let Shop { mut nats, sandbox, _redis } = shop;
    nats.kill9();
    let arguments =
        ["publish", "orders", "--patience", "100ms", "--type", "OrderCreated", "--version", "2", "--data", CREATED];
    let done = sandbox.sluice(&arguments).expect(2);
    assert!(done.stderr.contains("error: line 1: not confirmed: no connection to NATS"), "{}", done.stderr);
    assert_eq!(done.stdout, "published 0 events to `orders`, 1 not confirmed\n");
}

/// What comes behind it must not take its place, and each would be waited for as long.
#[test]
fn nothing_is_tried_behind_an_event_that_is_given_up() {
    let lines = format!("{0}\n{0}\n{0}\n{0}\n", "x".repeat(600 << 10));
    let sandbox = Sandbox::small("{ listen: '127.0.0.1:0' }")
        .file("sluice.yaml", "channels:\n  orders: { local: { subject: orders, max_bytes: 1MiB } }\n")
        .file("large.txt", &lines);
    // There is a consumer that has read nothing of it.
    sandbox.sluice(&["run", "--until-idle"]).expect(0);
    let done = sandbox.sluice(&["publish", "orders", "large.txt", "--raw", "--patience", "100ms"]).expect(2);
    assert_eq!(done.stdout, "published 1 event to `orders`, 1 not confirmed\n");
    assert!(done.stderr.contains("line 2: not confirmed: the local stream `orders` is full"), "{}", done.stderr);
    assert!(done.stderr.contains("nothing after line 2 was published"), "{}", done.stderr);
}

#[test]
fn an_unknown_channel_is_met_with_a_suggestion() {
    let done = Sandbox::small("{ listen: '127.0.0.1:0' }").sluice(&["publish", "order"]).expect(2);
    assert_eq!(done.stderr, "error: there is no channel `order` in this project\nhelp: did you mean `orders`?\n");
}

#[tokio::test]
async fn events_are_written_in_the_envelope_of_their_channel() {
    for (envelope, header) in
        [("cloudevents-binary", "ce-type"), ("cloudevents", "content-type"), ("sluice", "sluice-test")]
    {
        let mut shop = Shop::open();
        let to = format!("create: true }}, envelope: {envelope} }}\n  shipments");
        shop.sandbox = shop.sandbox.edited("sluice.yaml", "create: true } }\n  shipments", &to);
        let event = format!(r#"{{"type":"OrderCreated","version":2,"data":{CREATED}}}"#);
        shop.sandbox.sluice_fed(&["publish", "orders", "--header", "sluice-test=1"], &event).expect(0);
        let message = shop.stream().await.get_raw_message(1).await.unwrap();
        assert!(message.headers.get(header).is_some(), "{envelope}: {:?}", message.headers);
        let running = shop.sandbox.run(&[]);
        running.until_metric(
            "sluice_events_total{pipeline=\"fulfilment\",subscription=\"OrderCreated\",outcome=\"done\"}",
            1.0,
        );
        running.terminated().expect(0);
    }
}

/// A channel of somebody else's messages beside those of the sample project.
fn with_hooks(shop: Shop, id: &str) -> Shop {
    let map = format!(
        "{{ {id} type: {{ template: '{{headers.X-Event}}' }}, version: {{ path: .v }}, data: {{ path: .body }} }}"
    );
    let hooks = format!(
        "channels:\n  hooks: {{ nats: {{ stream: HOOKS, subject: hooks, create: true }}, envelope: {{ map: {map} }} }}\n"
    );
    let sandbox = shop.sandbox.edited("sluice.yaml", "channels:\n", &hooks);
    let sandbox = sandbox.edited(
        "pipelines/fulfilment.yaml",
        "    from: orders\n    versions: [1, 2]",
        "    from: [orders, hooks]\n    versions: [1, 2]",
    );
    Shop { sandbox, ..shop }
}

#[tokio::test]
async fn somebody_elses_messages_go_out_to_the_byte_when_their_mapping_makes_valid_events() {
    let shop = with_hooks(Shop::open(), "id: { path: .nr },");
    let good = format!(r#"{{ "nr": 7,  "v": 2, "body": {CREATED} }}"#);
    let lines = [&good, &good.replace("\"nr\": 7,", ""), &good.replace("1999", "-1"), &good.replace("2,", "9,")];
    let lines = lines.map(String::as_str).join("\n");
    let publish = ["publish", "hooks", "--header", "x-event=OrderCreated", "--dedupe"];
    let done = shop.sandbox.sluice_fed(&publish, &lines).expect(1);
    assert_eq!(done.stdout, "published 1 event to `hooks`, 3 not valid\n");
    for expected in [
        "error: line 2: `id` is to come from `.nr`, which is not there",
        "error: line 3: `OrderCreated` version 2: /total_cents: ",
        "error: line 4: no pipeline knows version 9 of `OrderCreated`",
    ] {
        assert!(done.stderr.contains(expected), "{expected}: {}", done.stderr);
    }
    let client = async_nats::connect(shop.nats.url()).await.unwrap();
    let message = jetstream::new(client).get_stream("HOOKS").await.unwrap().get_raw_message(1).await.unwrap();
    assert_eq!(message.payload, good);
    assert_eq!(message.headers.get("Nats-Msg-Id").map(|value| value.as_str()), Some("hooks/7"));
}

#[test]
fn what_a_mapping_cannot_know_is_not_asked_of_it() {
    let shop = with_hooks(Shop::open(), "");
    let done = shop.sandbox.sluice(&["publish", "hooks", "--type", "OrderCreated", "--data", CREATED]).expect(2);
    assert!(done.stderr.starts_with("error: the envelope of channel `hooks` is a `map`"), "{}", done.stderr);
    let done = shop.sandbox.sluice_fed(&["publish", "hooks", "--dedupe"], "{}").expect(2);
    assert!(done.stderr.contains("help: leave out `--dedupe`, or map an `id`"), "{}", done.stderr);
}

#[test]
fn what_is_published_before_the_first_run_is_kept_for_it() {
    let sandbox = Sandbox::small("{ listen: '127.0.0.1:0' }")
        .file("sluice.yaml", "channels: { orders: { local: { max_bytes: 1MiB } } }\n");
    let note = "x".repeat(100_000);
    let lines: String = (0..20)
        .map(|n| {
            format!(r#"{{"id":"{n}","type":"OrderCreated","version":1,"data":{{"id":"o","note":"{note}"}}}}"#) + "\n"
        })
        .collect();
    let sandbox = sandbox.file("orders.ndjson", &lines);
    let done = sandbox.sluice(&["publish", "orders", "orders.ndjson", "--patience", "100ms"]).expect(2);
    assert!(done.stderr.contains("is full, and pipeline `p` is not done with its oldest event"), "{}", done.stderr);
    let status = sandbox.sluice(&["status", "--format", "json"]).expect(0).json();
    assert_eq!(status["pipelines"][0]["inputs"][0]["consumer"]["first"], 1);
    let done = sandbox.sluice(&["run", "--until-idle"]).expect(0);
    assert!(done.stdout.contains("p: received 10 = done 10 + "), "{}", done.stdout);
}
