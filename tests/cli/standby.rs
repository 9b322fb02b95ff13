//! Two runners on one store: what is told of who is active, and of who stands by.

use serde_json::Value;

use super::sandbox::{Running, Sandbox};
use crate::support::servers::{NatsServer, RedisServer};

const ACTIVE: &str = "sluice_pipeline_active{pipeline=\"fulfilment\"}";
const READY: &str = "sluice_pipeline_ready{pipeline=\"fulfilment\"}";

/// As its own log names it.
fn runner(running: &Running) -> String {
    let log = running.log();
    let mut events = log.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
    let opened = events.find(|line| line["message"] == "store open").unwrap_or_else(|| panic!("never active: {log}"));
    opened["runner"].as_str().unwrap().to_owned()
}

#[test]
fn who_stands_by_is_ready_takes_nothing_and_takes_over_when_the_other_stops() {
    let (nats, redis) = (NatsServer::start(), RedisServer::start());
    let sandbox = Sandbox::sample(&nats, &redis);
    let first = sandbox.run(&[]);
    first.until_metric(ACTIVE, 1.0);
    // Each has its log in its own folder.
    let elsewhere = Sandbox::sample(&nats, &redis);
    let second = elsewhere.run(&[]);
    second.until_logged("standing by: another runner is active");
    let active = runner(&first);
    let (status, body) = second.get("/readyz", &[]);
    assert_eq!(status, 200, "{body}");
    let body: Value = serde_json::from_str(&body).unwrap();
    assert_eq!(body["pipelines"][0]["phase"], format!("standby: runner {active} is active"));
    assert_eq!((second.metric(READY), second.metric(ACTIVE)), (Some(1.0), Some(0.0)));

    let told = sandbox.sluice(&["status"]).expect(0).stdout;
    assert!(told.contains(&format!("  active: runner {active}, and for ")), "{told}");
    let told: Value = serde_json::from_str(&sandbox.sluice(&["status", "--format", "json"]).expect(0).stdout).unwrap();
    let told = &told["pipelines"][0]["store"]["active"];
    assert!(told["runner"] == *active && told["lease_ms"].as_u64().is_some_and(|left| left <= 5_000), "{told}");

    first.terminated().expect(0);
    second.until_metric(ACTIVE, 1.0);
    let log = second.log();
    assert!(!log.contains("reading again"), "the first left nothing behind: {log}");
    let active = runner(&second);
    second.terminated().expect(0);
    let told = sandbox.sluice(&["status"]).expect(0).stdout;
    assert!(!told.contains("active: runner"), "{active} gave it back: {told}");
}

#[test]
fn who_stands_by_is_told_of_a_store_that_is_not_its_pipelines() {
    let (nats, redis) = (NatsServer::start(), RedisServer::start());
    let sandbox = Sandbox::sample(&nats, &redis);
    let first = sandbox.run(&[]);
    first.until_metric(ACTIVE, 1.0);
    let other = Sandbox::sample(&nats, &redis).edited(
        "pipelines/fulfilment.yaml",
        "pipeline: fulfilment",
        "pipeline: fulfilment\npartitions: 3",
    );
    let refused = other.run(&[]).ended().expect(2);
    assert!(refused.stderr.contains("was made with 16 partitions"), "{}", refused.stderr);
}
