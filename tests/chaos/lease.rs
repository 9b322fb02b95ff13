//! Several runners on real servers: who takes over, how soon, and that the order of each key is kept.

use std::time::{Duration, Instant};

use rustix::process::Signal;

use super::fold::{Fold, PATIENCE, Runner};
use crate::support::wait::eventually;

/// What `docs/operations.md` says a lease is.
const LEASE: Duration = Duration::from_secs(5);
/// For the next runner to notice, to open the store and to read again.
const NOTICE: Duration = Duration::from_secs(2);

impl Runner {
    /// By the last word of its log on the matter.
    fn is_active(&self) -> bool {
        let log = self.log();
        let last = |words: &str| log.rfind(words);
        last("\"store open\"") > last("\"standing by").max(last("no longer the active runner"))
    }
}

/// Waits until one of them is active, and takes it out.
async fn active(runners: &mut Vec<Runner>) -> Runner {
    let index = || runners.iter().position(Runner::is_active);
    eventually(PATIENCE, "an active runner", async || index().is_some()).await;
    let index = index().expect("there was one");
    runners.remove(index)
}

/// How long it takes until what is fed from now on begins to come out.
async fn until_taken_over(fold: &mut Fold) -> Duration {
    let before = fold.messages("OUT").await;
    let began = Instant::now();
    fold.feed(20, 10).await;
    fold.until_emitted(before + 1).await;
    began.elapsed()
}

#[tokio::test(flavor = "multi_thread")]
async fn another_runner_takes_over_within_the_lease_and_two_seconds_after_a_kill() {
    let mut fold = Fold::new(31);
    fold.make_streams().await;
    let mut runners = vec![fold.start(), fold.start(), fold.start()];
    for _ in 0..2 {
        let active = active(&mut runners).await;
        fold.feed(200, 10).await;
        fold.until_emitted(1).await;
        // Nothing that was fed before may hide the pause.
        fold.until_acked().await;
        active.kill9();
        let took = until_taken_over(&mut fold).await;
        println!("taken over {took:?} after the kill");
        assert!(took <= LEASE + NOTICE, "{took:?}");
    }
    fold.until_done().await;
    runners.pop().expect("the third").stop();
    fold.check_exact().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_runner_that_stops_hands_over_at_once() {
    let mut fold = Fold::new(32);
    fold.make_streams().await;
    let mut runners = vec![fold.start(), fold.start()];
    let first = active(&mut runners).await;
    fold.feed(200, 10).await;
    fold.until_acked().await;
    assert_eq!(fold.open_requests().await, 1, "who stands by asks the broker for nothing");
    first.stop();
    let took = until_taken_over(&mut fold).await;
    println!("taken over {took:?} after the stop");
    assert!(took < LEASE - NOTICE, "{took:?}");
    fold.until_done().await;
    runners.pop().expect("the second").stop();
    fold.check_exact().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_frozen_runner_whose_request_takes_events_away_costs_no_order_and_doubles_nothing() {
    let mut fold = Fold::new(33);
    fold.make_streams().await;
    let mut runners = vec![fold.start(), fold.start()];
    for _ in 0..3 {
        let frozen = active(&mut runners).await;
        fold.feed(100, 5).await;
        fold.until_all_emitted().await;
        frozen.signal(Signal::STOP);
        // Into its open request; then, once the other is active, to both in turn.
        fold.feed(100, 5).await;
        for _ in 0..10 {
            fold.feed(20, 5).await;
            fold.until_all_emitted().await;
        }
        frozen.signal(Signal::CONT);
        fold.feed(100, 5).await;
        eventually(PATIENCE, "it stands by", async || !frozen.is_active()).await;
        runners.push(frozen);
    }
    fold.until_done().await;
    let noticed = |runner: &Runner| runner.log().matches("another runner's request took deliveries away").count();
    let noticed: usize = runners.iter().map(noticed).sum();
    println!("noticed {noticed} times that another runner's request took deliveries away");
    assert!(noticed > 0, "nothing was taken away, so nothing was shown");
    for runner in runners {
        runner.stop();
    }
    fold.check_exact().await;
}
