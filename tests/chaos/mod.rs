//! The guarantee under fire: the real binary on real servers, killed, frozen, cut off.

mod alone;
mod fold;
mod lease;
mod order;
mod streams;

use std::time::Duration;

use fold::{Fold, PATIENCE};
use rustix::process::Signal;

use crate::support::proxy::Proxy;
use crate::support::wait::eventually;

/// A moment for things to be under way when the next blow falls. Nothing is waited for.
async fn moment(fold: &Fold, up_to: u64) {
    tokio::time::sleep(Duration::from_millis(fold.roll(up_to))).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn twenty_kills_lose_and_double_nothing() {
    let mut fold = Fold::new(20);
    fold.make_streams().await;
    for _ in 0..20 {
        fold.feed(250, 500).await;
        let before = fold.messages("OUT").await;
        let runner = fold.start();
        // Somewhere in the middle of its work: after at least one emission of its own, and then some.
        fold.until_emitted(before + 1 + fold.roll(120)).await;
        moment(&fold, 20).await;
        runner.kill9();
    }
    let runner = fold.start();
    fold.until_done().await;
    let said = runner.stop();
    assert!(said.contains("received"), "the balance is printed: {said}");
    fold.check_exact().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_redis_that_loses_its_last_second_costs_nothing() {
    let mut fold = Fold::new(21);
    fold.make_streams().await;
    let runner = fold.start();
    fold.until_emitted(0).await;
    for round in 0..5 {
        fold.feed(150, 100).await;
        fold.until_emitted(round * 300 + 100).await;
        let kept = fold.redis.aof_size();
        fold.feed(150, 100).await;
        fold.until_emitted(round * 300 + 200).await;
        moment(&fold, 300).await;
        fold.redis.kill9();
        fold.redis.truncate_aof(kept);
        fold.redis.restart();
    }
    fold.until_done().await;
    runner.stop();
    fold.check_exact().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_nats_server_killed_and_restarted_costs_nothing() {
    let mut fold = Fold::new(22);
    fold.make_streams().await;
    let runner = fold.start();
    for round in 0..3 {
        fold.feed(300, 100).await;
        fold.until_emitted(round * 300 + 50 + fold.roll(200)).await;
        fold.nats.kill9();
        moment(&fold, 500).await;
        fold.nats.restart();
    }
    fold.feed(100, 100).await;
    fold.until_done().await;
    runner.stop();
    // What the broker itself forgot when it was killed is not fed any more; what it kept is handled exactly.
    fold.check_exact().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_connection_cut_with_deliveries_on_their_way_keeps_the_order_of_keys() {
    let mut fold = Fold::new(27);
    fold.make_streams().await;
    let proxy = Proxy::start(fold.nats.port).await;
    fold.write_project(&format!("nats://127.0.0.1:{}", proxy.port()), &fold.redis.url());
    let runner = fold.start();
    for round in 0..10 {
        fold.feed(100, 10).await;
        fold.until_emitted(round * 200 + 10 + fold.roll(50)).await;
        proxy.hold_replies();
        fold.feed(50, 10).await;
        proxy.cut();
        proxy.let_go();
        // New events while it comes back: they must not overtake those that were held.
        fold.feed(50, 10).await;
    }
    fold.until_done().await;
    runner.stop();
    fold.check_exact().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn two_runners_one_frozen_again_and_again_double_nothing() {
    let mut fold = Fold::new(23);
    fold.make_streams().await;
    let runners = [fold.start(), fold.start()];
    for round in 0..10 {
        fold.feed(60, 20).await;
        let frozen = &runners[round % 2];
        moment(&fold, 30).await;
        frozen.signal(Signal::STOP);
        fold.feed(60, 20).await;
        // Longer than the ack wait of one second: what it holds is delivered to the other.
        tokio::time::sleep(Duration::from_millis(1_300)).await;
        frozen.signal(Signal::CONT);
    }
    fold.until_done().await;
    for runner in runners {
        runner.stop();
    }
    // Shorter than the lease: the same one stays active.
    fold.check_exact().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn redis_down_for_ten_seconds_under_load_kills_no_event() {
    let mut fold = Fold::new(24);
    fold.make_streams().await;
    let runner = fold.start();
    fold.feed(200, 50).await;
    fold.until_emitted(50).await;
    fold.redis.kill9();
    fold.feed(200, 50).await;
    tokio::time::sleep(Duration::from_secs(10)).await;
    fold.redis.restart();
    fold.feed(200, 50).await;
    fold.until_done().await;
    runner.stop();
    fold.check_exact().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn after_a_clean_stop_nothing_comes_again() {
    let mut fold = Fold::new(25);
    fold.make_streams().await;
    let runner = fold.start();
    fold.feed(500, 50).await;
    // In the middle of the work, not at its end.
    fold.until_emitted(100).await;
    let said = runner.stop();
    let handled = fold.messages("OUT").await;
    let jetstream = fold.jetstream().await;
    let stream = jetstream.get_stream("IN").await.unwrap();
    let consumer = stream.consumer_info("sluice-fold-in").await.unwrap();
    // What was pulled is committed and acked, or handed back and unacked: then the store does not know it.
    let store = fold.store();
    let census = sluicegate::store::Store::census(&store).await.unwrap();
    assert_eq!(census.outbox, 0, "{said}");
    let again = fold.start();
    fold.until_done().await;
    let said = again.stop();
    let duplicates_fed = fold.messages("IN").await - fold.messages("OUT").await;
    assert!(handled >= 100 && consumer.ack_floor.stream_sequence > 0);
    // Every duplicate there is was published as one: none comes from a delivery that was committed before.
    let counted = counted(&said, "duplicate");
    assert!(counted <= duplicates_fed, "{counted} duplicates of {duplicates_fed} fed\n{said}");
    fold.check_exact().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_event_that_breaks_the_connection_does_not_stop_those_behind_it() {
    let mut fold = Fold::new(28);
    fold.make_streams().await;
    fold.feed(50, 10).await;
    fold.feed_undeliverable();
    fold.feed(50, 10).await;
    let runner = fold.start();
    fold.until_emitted(101).await;
    for round in 1..=4 {
        fold.feed(50, 10).await;
        fold.feed_undeliverable();
        fold.until_emitted(101 + round * 51).await;
        // Longer than the ack wait of one second: what nobody acked is delivered again, and breaks the connection again.
        tokio::time::sleep(Duration::from_millis(1_300)).await;
    }
    fold.until_acked().await;
    let log = runner.log();
    let broke = ["lost the connection to NATS", "the NATS client ended"].map(|words| log.matches(words).count());
    runner.stop();
    assert_eq!(fold.emitted_of("odd").await, 5);
    // Delivered once, and read again once, or twice where a panic is noticed late, before it is known.
    assert!(broke.iter().sum::<usize>() <= 3 * 5, "the connection broke {broke:?} times for five events");
    fold.check_exact().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_stays_unacked_is_read_again_once_and_not_with_every_cut() {
    let mut fold = Fold::new(29);
    fold.make_streams().await;
    // The destination takes one event and no more: the others are handled, and not acked.
    let config = async_nats::jetstream::stream::Config {
        name: "OUT".to_owned(),
        subjects: vec!["out".to_owned()],
        max_messages: 1,
        discard: async_nats::jetstream::stream::DiscardPolicy::New,
        ..Default::default()
    };
    fold.jetstream().await.update_stream(&config).await.unwrap();
    let proxy = Proxy::start(fold.nats.port).await;
    fold.write_project(&format!("nats://127.0.0.1:{}", proxy.port()), &fold.redis.url());
    let runner = fold.start();
    fold.feed(50, 10).await;
    fold.until_delivered().await;
    for cuts in 1..=3 {
        let missing = "deliveries may be missing";
        let before = runner.log().matches(missing).count();
        proxy.cut();
        let told = async || runner.log().matches(missing).count() > before;
        eventually(PATIENCE, &format!("cut {cuts} is noticed"), told).await;
        eventually(PATIENCE, "a recovery", async || runner.log().contains("\"recovered\"")).await;
    }
    let read = runner.log().matches("reading again what was delivered before").count();
    assert_eq!(read, 1, "{}", runner.log());
}

/// A number of the balance line.
fn counted(said: &str, outcome: &str) -> u64 {
    let line =
        said.lines().rev().find(|line| line.contains("received ")).unwrap_or_else(|| panic!("no balance: {said}"));
    let after = &line[line.find(&format!("{outcome} ")).unwrap() + outcome.len() + 1..];
    after.chars().take_while(char::is_ascii_digit).collect::<String>().parse().unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn redis_sees_few_round_trips_a_batch() {
    let mut fold = Fold::new(26);
    fold.make_streams().await;
    fold.feed(10_000, 500).await;
    let proxy = Proxy::start(fold.redis.port).await;
    fold.write_project(&fold.nats.url(), &format!("redis://127.0.0.1:{}", proxy.port()));
    let runner = fold.start();
    fold.until_emitted(10_000).await;
    let trips = proxy.round_trips();
    println!("{trips} round trips to Redis for {} deliveries of 10,000 events", fold.messages("IN").await);
    // All that came was counted as it came, also under load: nothing is read twice without need.
    assert!(!runner.log().contains("deliveries may be missing"), "{}", runner.log());
    runner.stop();
    // One lookup and one commit a batch of up to 256; the rest are heartbeats and clears. Two an event would be 20,000.
    assert!(trips < 1_000, "{trips} round trips for 10,000 events");
    eventually(PATIENCE, "an end", async || fold.messages("OUT").await == 10_000).await;
    fold.check_exact().await;
}
