//! What waiting costs: nothing where nothing waits, and the same for each waiter however many there are.

use std::time::{Duration, Instant};

use super::steps::{MOST, Message, Steps, chained, message, pipeline, step};
use crate::chaos::fold::{HANDLER, state};
use crate::support::proxy::Proxy;
use crate::support::wait::eventually;

/// A fold that emits nothing.
const QUIET: &str = "
state.hash = ((state.hash ?? 7) * 31 + event.data.n) % 1000003;
state.count = (state.count ?? 0) + 1;
";

const ROOMY: &str = "reorder: { timeout: 1h, max_parked_per_key: 100000, max_parked_bytes: 4GiB }";

/// Round trips to Redis, and bytes both ways.
#[derive(Clone, Copy, Debug)]
struct Cost {
    trips: u64,
    bytes: u64,
}

impl Cost {
    fn so_far(proxy: &Proxy) -> Self {
        Self { trips: proxy.round_trips(), bytes: proxy.bytes_to_server() + proxy.bytes_to_client() }
    }

    fn since(proxy: &Proxy, before: Self) -> Self {
        let now = Self::so_far(proxy);
        Self { trips: now.trips - before.trips, bytes: now.bytes - before.bytes }
    }
}

/// On a busy machine, too, nothing is delivered twice.
fn steps(seed: u64) -> Steps {
    let mut steps = Steps::new(seed);
    steps.ack_wait = "5m";
    steps
}

/// How often Redis was asked to do this.
async fn times_called(port: u16, command: &str) -> u64 {
    let client = redis::Client::open(("127.0.0.1", port)).unwrap();
    let mut connection = client.get_multiplexed_async_connection().await.unwrap();
    let said: String = redis::cmd("INFO").arg("commandstats").query_async(&mut connection).await.unwrap();
    let calls = said.lines().find_map(|line| line.strip_prefix(&format!("cmdstat_{command}:calls=")));
    calls.map_or(0, |calls| calls.split(',').next().unwrap().parse().unwrap())
}

/// 10,000 events in order, each step of all keys before the next.
async fn in_order(seed: u64, pipeline: &[(String, String)]) -> Cost {
    let mut steps = steps(seed);
    let proxy = Proxy::start(steps.redis.port).await;
    steps.write(&format!("redis://127.0.0.1:{}", proxy.port()), HANDLER, pipeline).await;
    let mut messages = Vec::new();
    for n in 1..=5 {
        messages.extend((0..2_000).map(|k| message("in.a", &step(n), &format!("k{k}"), n)));
    }
    steps.publish(&messages).await;
    let runner = steps.start();
    steps.until_settled(&pipeline[0].0, 0).await;
    let cost = Cost::so_far(&proxy);
    // Each partition's outbox is read at the start. Later, what is on its way is known.
    let read = times_called(steps.redis.port, "hgetall").await;
    assert!(read < 40, "{read} lists were read");
    let said = runner.stop();
    assert!(said.contains("= done 10000 + skipped 0 + duplicate 0 + parked 0 + dead 0"), "{said}");
    cost
}

#[tokio::test(flavor = "multi_thread")]
async fn events_that_come_in_order_cost_no_extra_round_trip() {
    let mut seen = Vec::new();
    // How many events make a batch is a matter of luck, which only adds: of three looks, one shows what it must cost.
    for look in 0..3 {
        let plain = pipeline("plain", "", (1..=MOST).map(|n| (n, String::new())));
        let without = in_order(42 + look, &[plain]).await;
        let with = in_order(42 + look, &[chained("chained", "")]).await;
        println!("10,000 events in order: without `after` {without:?}, with {with:?}");
        // One more a batch would be half as many again.
        if with.trips < 1_000 && with.trips <= without.trips + without.trips / 5 + 10 {
            return;
        }
        seen.push((without, with));
    }
    panic!("events in order cost more round trips with `after`: {seen:?}");
}

/// So many events of one key that wait for its first step.
fn waiters(key: &str, count: u64) -> Vec<Message> {
    (1..=count).map(|n| message("in.a", &step(2), key, n)).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn each_waiter_of_a_key_costs_the_same_however_many_there_are() {
    let mut steps = steps(44);
    let proxy = Proxy::start(steps.redis.port).await;
    let url = format!("redis://127.0.0.1:{}", proxy.port());
    steps.write(&url, QUIET, &[chained("chained", ROOMY)]).await;
    let runner = steps.start();
    let mut costs = Vec::new();
    for count in [1_000, 3_000, 10_000] {
        let key = format!("of{count}");
        let before = Cost::so_far(&proxy);
        steps.publish(&waiters(&key, count)).await;
        steps.until_settled("chained", count).await;
        let parked = Cost::since(&proxy, before);
        let before = Cost::so_far(&proxy);
        steps.publish(&[message("in.b", &step(1), &key, 0)]).await;
        steps.until_settled("chained", 0).await;
        let released = Cost::since(&proxy, before);
        println!("{count} waiters on one key: parked {parked:?}, released {released:?}");
        let state = state(&steps.store("chained"), &key).await;
        let hash = (0..=count).fold(7, |hash, n| (hash * 31 + n) % 1_000_003);
        assert_eq!(state["hash"].as_u64(), Some(hash), "{key} in order: {state}");
        costs.push((count, parked, released));
    }
    runner.stop();
    let (few, parked_few, released_few) = costs[0];
    for (count, parked, released) in costs.iter().skip(1) {
        for (what, cost, of_few) in [("parking", parked, parked_few), ("releasing", released, released_few)] {
            let (each, each_of_few) = (cost.bytes / count, of_few.bytes / few);
            assert!(each <= each_of_few + each_of_few / 2, "{what} {count}: {each} bytes each, not {each_of_few}");
            // Those that are made now and then, traffic or not, aside.
            let most = of_few.trips * count / few * 3 / 2 + 100;
            assert!(cost.trips <= most, "{what} {count}: {} round trips, not {most}", cost.trips);
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hundred_thousand_waiters_take_little_memory_and_a_restart_is_short() {
    let mut steps = steps(45);
    steps.write(&steps.redis.url(), QUIET, &[chained("chained", ROOMY)]).await;
    let runner = steps.start();
    steps.publish(&waiters("many", 10_000)).await;
    let few: Vec<Message> = (0..9_000).flat_map(|k| waiters(&format!("k{k}"), 10)).collect();
    steps.publish(&few).await;
    steps.until_settled("chained", 100_000).await;
    let parking = runner.peak_memory_mib();
    runner.kill9();

    let began = Instant::now();
    let runner = steps.start();
    steps.publish(&[message("in.a", &step(1), "new", 0)]).await;
    let store = steps.store("chained");
    let handled = async || state(&store, "new").await["count"] == 1;
    eventually(Duration::from_secs(20), "an event that is handled after the restart", handled).await;
    println!("handled {:?} after the start", began.elapsed());
    let first: Vec<Message> = (0..1_000).map(|k| message("in.b", &step(1), &format!("k{k}"), 0)).collect();
    steps.publish(&first).await;
    steps.publish(&[message("in.b", &step(1), "many", 0)]).await;
    steps.until_settled("chained", 80_000).await;
    let after = runner.peak_memory_mib();
    runner.stop();
    println!("{parking} MiB while 100,000 were parked, {after} MiB for the restart and the release of 20,000");
    assert!(parking.max(after) <= 128, "{parking} MiB, {after} MiB");
    for (key, count) in [("many", 10_000), ("k0", 10), ("k999", 10)] {
        assert_eq!(state(&store, key).await["count"], count + 1, "{key}");
    }
    assert_eq!(steps.dead("chained").await, []);
}
