use rustix::process::Signal;
use serde_json::Value;

use super::sandbox::Sandbox;
use crate::support::servers::{NatsServer, RedisServer};

const EVERYTHING_DONE: &str = "fulfilment: received 8 = done 4 + skipped 1 + duplicate 1 + parked 1 + dead 1 + ignored 0 + returned 0 + in_flight 0\n";

#[test]
fn events_are_handled_and_the_balance_is_told_at_the_end() {
    let (nats, redis) = (NatsServer::start(), RedisServer::start());
    let sandbox = Sandbox::sample(&nats, &redis);
    sandbox.sluice(&["publish", "orders", "pipelines/sample-events.ndjson"]).expect(1);

    let running = sandbox.run(&[]);
    running.until_ready();
    running.until_metric("sluice_received_total{pipeline=\"fulfilment\"}", 8.0);
    running.until_metric("sluice_in_flight{pipeline=\"fulfilment\"}", 0.0);
    running.until_metric("sluice_publish_confirmed_total{pipeline=\"fulfilment\"}", 2.0);
    let dead = "sluice_events_total{pipeline=\"fulfilment\",subscription=\"PaymentReceived\",outcome=\"dead\"}";
    assert_eq!(running.metric(dead), Some(1.0));

    let done = running.terminated().expect(0);
    assert_eq!(done.stdout, EVERYTHING_DONE);

    let status = sandbox.sluice(&["status", "--format", "json"]).expect(0).json();
    let pipeline = &status["pipelines"][0];
    assert_eq!(pipeline["store"]["parked"], 1);
    assert_eq!(pipeline["store"]["dead_letters"], 1);
    assert_eq!(pipeline["store"]["outbox"], 0);
    assert_eq!(pipeline["inputs"][0]["position"], 8);
    assert_eq!(pipeline["inputs"][0]["consumer"]["pending"], 0);
    let told = sandbox.sluice(&["status"]).expect(0).stdout;
    assert!(told.contains("parked 1 · outbox 0 · dead letters open 1"), "{told}");
}

#[test]
fn what_is_about_to_run_is_said_at_the_start() {
    let running = Sandbox::small("{ listen: '127.0.0.1:0' }").run_kept();
    running.1.until_ready();
    let log = running.1.log();
    let events: Vec<Value> = log.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let said = |field: &str, value: &str| events.iter().any(|event| event[field] == value);
    assert!(said("pipeline", "p") && said("subscriptions", "OrderCreated") && said("from", "orders"), "{log}");
    assert!(said("durability", "strict") && events.iter().any(|event| event["revision"].is_string()), "{log}");
}

#[test]
fn what_handlers_log_is_in_the_log_by_its_level() {
    let handler = "log(\"info\", `${event.key} came`);\nlog(\"debug\", \"not at this level\");\nskip(\"enough\");\n";
    let sandbox = Sandbox::small("{}")
        .file("pipelines/h.rhai", handler)
        .file("events.ndjson", r#"{"id":"1","type":"OrderCreated","version":1,"source":"s","data":{"id":"a"}}"#);
    let run = ["run", "--feed", "orders=events.ndjson", "--until-idle"];
    let done = sandbox.sluice(&run).expect(0);
    assert!(done.stderr.contains("a came") && !done.stderr.contains("not at this level"), "{}", done.stderr);
    let sandbox =
        sandbox.file("events.ndjson", r#"{"id":"2","type":"OrderCreated","version":1,"source":"s","data":{"id":"b"}}"#);
    let done = sandbox.sluice(&[&run[..], &["--show", "--log", "debug"]].concat()).expect(0);
    assert!(done.stderr.contains("not at this level"), "{}", done.stderr);
    assert!(done.stdout.starts_with("skipped    OrderCreated v1        b "), "{}", done.stdout);
    assert!(done.stdout.contains("enough\n"), "{}", done.stdout);
}

#[test]
fn a_feed_that_cannot_be_read_or_placed_is_told() {
    let sandbox = Sandbox::small("{ listen: '127.0.0.1:0' }");
    for (feed, why) in [
        ("orders", "write it like `orders=events.ndjson`"),
        ("orders=nowhere.ndjson", "`nowhere.ndjson` cannot be opened"),
        ("order=pipelines/p.yaml", "help: did you mean `orders`?"),
    ] {
        let done = sandbox.sluice(&["run", "--feed", feed]).expect(2);
        assert!(done.stderr.contains(why), "{feed}: {}", done.stderr);
    }
}

#[test]
fn a_second_run_on_the_same_store_is_refused_and_told_who_holds_it() {
    let (sandbox, running) = Sandbox::small("{ listen: '127.0.0.1:0' }").run_kept();
    running.until_ready();
    let done = sandbox.sluice(&["run"]).expect(2);
    assert!(done.stderr.contains("is in use by another `sluice run`: process "), "{}", done.stderr);
    assert!(done.stderr.contains("embedded: { path: "), "{}", done.stderr);
    // The command line reads and acts beside it.
    sandbox.sluice_fed(&["publish", "orders", "--raw"], "not json\n").expect(0);
    running.until("it is set aside", |_| {
        let letters = sandbox.sluice(&["dlq", "list", "--format", "json"]).expect(0).json();
        letters["dead_letters"].as_array().is_some_and(|letters| letters.len() == 1)
    });
    let id = sandbox.sluice(&["dlq", "list", "--format", "json"]).expect(0).json()["dead_letters"][0]["id"].clone();
    sandbox.sluice(&["dlq", "discard", id.as_str().unwrap(), "--why", "not ours"]).expect(0);
    let status = sandbox.sluice(&["status"]).expect(0).stdout;
    assert!(status.contains("store: strict") && status.contains("dead letters open 0"), "{status}");
    let done = running.terminated().expect(0);
    assert!(
        done.stdout.starts_with("p: received 1 = done 0 + skipped 0 + duplicate 0 + parked 0 + dead 1"),
        "{}",
        done.stdout
    );
}

#[test]
fn a_pipeline_without_events_balances_at_nothing() {
    let (_sandbox, running) = Sandbox::small("{ listen: '127.0.0.1:0' }").run_kept();
    running.until_ready();
    assert_eq!(running.get("/healthz", &[]), (200, "ok\n".to_owned()));
    let done = running.terminated().expect(0);
    assert!(done.stdout.starts_with("p: received 0 = "), "{}", done.stdout);
}

/// It knows no position at first, whatever was acked before: that is what was chosen, no mistake.
#[test]
fn a_store_in_memory_starts_again_where_its_channels_stand() {
    let sandbox = Sandbox::small("{ listen: '127.0.0.1:0' }").file("sluice.yaml", "store: { memory: {} }\n");
    let event =
        |id: &str| format!("{{\"id\":\"{id}\",\"type\":\"OrderCreated\",\"version\":1,\"data\":{{\"id\":\"k\"}}}}");
    for id in ["e-1", "e-2"] {
        sandbox.sluice_fed(&["publish", "orders"], &event(id)).expect(0);
        let done = sandbox.sluice(&["run", "--until-idle"]).expect(0);
        assert!(done.stdout.starts_with("p: received 1 = done 1 "), "{}", done.stdout);
    }
}

#[test]
fn health_is_for_everybody_and_metrics_for_the_token() {
    let (_sandbox, running) = Sandbox::small("{ listen: '127.0.0.1:0', token: s3cret }").run_kept();
    running.until_ready();
    assert_eq!(running.get("/metrics", &[]).0, 401);
    assert_eq!(running.get("/metrics", &[("Authorization", "Bearer wrong")]).0, 401);
    let (status, text) = running.get("/metrics", &[("Authorization", "Bearer s3cret")]);
    assert_eq!(status, 200);
    assert!(text.contains("sluice_pipeline_ready{pipeline=\"p\"} 1"), "{text}");
    assert!(!running.log().contains("s3cret"));
}

#[test]
fn a_request_that_names_another_host_is_turned_away() {
    let (_sandbox, running) = Sandbox::small("{ listen: '127.0.0.1:0' }").run_kept();
    running.until_ready();
    assert_eq!(running.get("/metrics", &[("Host", "evil.example")]).0, 403);
    assert_eq!(running.get("/healthz", &[("Host", "localhost:1")]).0, 200);
}

#[test]
fn an_admin_port_in_use_is_refused() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap();
    let done = Sandbox::small(&format!("{{ listen: '{address}' }}")).sluice(&["run"]).expect(2);
    assert!(done.stderr.contains(&format!("error: the admin address {address} cannot be used")), "{}", done.stderr);
    assert!(done.stderr.contains("help: another process listens there"), "{}", done.stderr);
}

#[test]
fn a_broken_project_does_not_run() {
    let done = Sandbox::small("{}").file("pipelines/p.yaml", "pipeline: p\nkye: data.id\n").sluice(&["run"]).expect(1);
    assert!(done.stderr.contains("--> pipelines/p.yaml:2:1"), "{}", done.stderr);
    assert!(done.stderr.contains("error: the project has "), "{}", done.stderr);
}

#[test]
fn a_broker_that_is_down_at_the_start_is_waited_for() {
    let (mut nats, redis) = (NatsServer::start(), RedisServer::start());
    nats.kill9();
    let sandbox = Sandbox::sample(&nats, &redis);
    let running = sandbox.run(&[]);
    running.until("readiness says what is missing", |run| {
        let (status, body) = run.get("/readyz", &[]);
        status == 503 && body.contains("connecting: source `orders`")
    });
    assert_eq!(running.get("/healthz", &[]).0, 200);
    let status = sandbox.sluice(&["status"]).expect(2);
    assert!(status.stdout.contains("no connection to NATS"), "{}", status.stdout);
    nats.restart();
    running.until_ready();
    sandbox.sluice(&["publish", "orders", "pipelines/sample-events.ndjson"]).expect(1);
    running.until_metric("sluice_received_total{pipeline=\"fulfilment\"}", 8.0);
    running.until_metric("sluice_in_flight{pipeline=\"fulfilment\"}", 0.0);
    assert_eq!(running.terminated().expect(0).stdout, EVERYTHING_DONE);
}

#[test]
fn a_store_that_is_down_at_the_start_is_waited_for() {
    let (nats, mut redis) = (NatsServer::start(), RedisServer::start());
    redis.kill9();
    let sandbox = Sandbox::sample(&nats, &redis);
    let running = sandbox.run(&[]);
    running.until("readiness says what is missing", |run| {
        let (status, body) = run.get("/readyz", &[]);
        status == 503 && body.contains("connecting: store: redis at")
    });
    let status = sandbox.sluice(&["status"]).expect(2);
    assert!(status.stdout.contains("cannot be reached"), "{}", status.stdout);
    redis.restart();
    running.until_ready();
    running.terminated().expect(0);
}

#[test]
fn a_stop_while_waiting_for_a_broker_ends_at_once() {
    let (mut nats, redis) = (NatsServer::start(), RedisServer::start());
    nats.kill9();
    let running = Sandbox::sample(&nats, &redis).run_kept();
    running.1.until("it waits", |run| run.get("/readyz", &[]).1.contains("connecting: source"));
    running.1.terminated().expect(0);
}

#[test]
fn a_second_signal_leaves_at_once_and_the_next_start_loses_nothing() {
    let (nats, redis) = (NatsServer::start(), RedisServer::start());
    let sandbox = Sandbox::sample(&nats, &redis);
    let running = sandbox.run(&["--grace", "10m"]);
    running.until_ready();
    redis.sigstop();
    sandbox.sluice(&["publish", "orders", "pipelines/sample-events.ndjson"]).expect(1);
    running.until_metric("sluice_in_flight{pipeline=\"fulfilment\"}", 8.0);
    running.signal(Signal::INT);
    running.until_logged("stopping");
    running.signal(Signal::INT);
    running.ended().expect(130);
    redis.sigcont();

    let running = sandbox.run(&[]);
    running.until_ready();
    let outcome = |run: &super::sandbox::Running, outcome: &str| -> f64 {
        ["OrderCreated", "PaymentReceived", "OrderShipped"]
            .iter()
            .filter_map(|s| {
                run.metric(&format!(
                    "sluice_events_total{{pipeline=\"fulfilment\",subscription=\"{s}\",outcome=\"{outcome}\"}}"
                ))
            })
            .sum()
    };
    // The frozen store may have carried out what it was sent before: then these come as duplicates.
    running.until("every event has an outcome", |run| {
        ["done", "skipped", "parked", "dead", "duplicate"].iter().map(|name| outcome(run, name)).sum::<f64>() >= 8.0
    });
    running.terminated().expect(0);
    let status = sandbox.sluice(&["status", "--format", "json"]).expect(0).json();
    assert_eq!(status["pipelines"][0]["store"]["parked"], 1);
    assert_eq!(status["pipelines"][0]["store"]["dead_letters"], 1);
}

#[test]
fn an_unknown_pipeline_is_met_with_a_suggestion() {
    let (nats, redis) = (NatsServer::start(), RedisServer::start());
    let done = Sandbox::sample(&nats, &redis).sluice(&["status", "--pipeline", "fulfillment"]).expect(2);
    assert!(done.stderr.contains("help: did you mean `fulfilment`?"), "{}", done.stderr);
}

#[test]
fn an_emptied_store_is_refused_until_a_person_says_how_to_go_on() {
    let (nats, redis) = (NatsServer::start(), RedisServer::start());
    let sandbox = Sandbox::sample(&nats, &redis);
    sandbox.sluice(&["publish", "orders", "pipelines/sample-events.ndjson"]).expect(1);
    let running = sandbox.run(&[]);
    running.until_metric("sluice_received_total{pipeline=\"fulfilment\"}", 8.0);
    running.until_metric("sluice_in_flight{pipeline=\"fulfilment\"}", 0.0);
    running.terminated().expect(0);

    redis.flush();
    let refused = sandbox.run(&[]).ended().expect(2);
    assert!(refused.stderr.contains("error: pipeline `fulfilment`: the store knows no position"), "{}", refused.stderr);
    assert!(refused.stdout.starts_with("fulfilment: received 0 = "), "{}", refused.stdout);

    let running = sandbox.run(&["--unknown-position", "continue"]);
    running.until_ready();
    running.terminated().expect(0);
    let status = sandbox.sluice(&["status", "--format", "json"]).expect(0).json();
    assert_eq!(status["pipelines"][0]["inputs"][0]["position"], 8);
}

#[test]
fn looking_makes_nothing_and_disturbs_nobody() {
    let (nats, redis) = (NatsServer::start(), RedisServer::start());
    let sandbox = Sandbox::sample(&nats, &redis);
    let before = sandbox.sluice(&["status"]).expect(0).stdout;
    assert!(before.contains("this pipeline never ran on it") && before.contains("no consumer yet"), "{before}");
    assert_eq!(sandbox.sluice(&["dlq", "list"]).expect(0).stdout, "no open dead letters\n");
    assert_eq!(sandbox.sluice(&["status"]).expect(0).stdout, before);

    // Whoever died at work is still found to have died, after others have looked.
    let running = sandbox.run(&[]);
    running.until_ready();
    running.signal(Signal::KILL);
    drop(running);
    sandbox.sluice(&["status"]).expect(0);
    sandbox.sluice(&["dlq", "list"]).expect(0);
    assert_eq!(redis.field_count("{sluice:fulfilment}:runners"), 1);
}

/// What a balance says of an outcome.
fn count(balance: &str, what: &str) -> u64 {
    let (_, rest) = balance.split_once(&format!(" {what} ")).unwrap();
    rest.split_whitespace().next().unwrap().parse().unwrap()
}

#[test]
fn a_stop_under_load_drains_and_the_next_run_does_the_rest_once() {
    let (nats, redis) = (NatsServer::start(), RedisServer::start());
    let sandbox = Sandbox::sample(&nats, &redis);
    let line = |n: usize| {
        format!(
            r#"{{"id":"{n}","type":"OrderCreated","version":2,"data":{{"order_id":"o-{}","customer_id":"c","total_cents":1,"currency":"EUR"}}}}"#,
            n % 100
        )
    };
    let lines: Vec<String> = (0..5_000).map(line).collect();
    sandbox.sluice_fed(&["publish", "orders"], &lines.join("\n")).expect(0);

    let running = sandbox.run(&[]);
    running.until("it is at work", |run| run.metric("sluice_received_total{pipeline=\"fulfilment\"}") > Some(0.0));
    let first = running.terminated().expect(0).stdout;
    assert_eq!(count(&first, "in_flight"), 0, "{first}");

    let running = sandbox.run(&[]);
    let left = 5_000 - count(&first, "done");
    let done = "sluice_events_total{pipeline=\"fulfilment\",subscription=\"OrderCreated\",outcome=\"done\"}";
    running.until_metric(done, left as f64);
    let second = running.terminated().expect(0).stdout;
    assert_eq!(count(&second, "done"), left, "{first}{second}");
    assert_eq!(count(&second, "dead") + count(&second, "parked"), 0, "{second}");
}
