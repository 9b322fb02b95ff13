//! What a person's decisions mean for those that wait.

use super::*;

/// An `A` whose replay waits for its next attempt, and a `B` that waits for it.
async fn replayed_prerequisite() -> Desk {
    let mut desk = desk(|_| ());
    let policy = desk.pipeline.retry;
    desk.pipeline.retry.attempts = 1;
    desk.gets(1, "B", json!({})).await;
    assert_eq!(desk.gets(2, "A", json!({ "retry": true })).await, Dead);
    desk.pipeline.retry = policy;
    assert_eq!(desk.replay(2).await, Parked);
    desk
}

#[tokio::test]
async fn a_prerequisite_that_is_discarded_while_its_replay_is_parked_is_waited_for_no_longer() {
    let mut desk = replayed_prerequisite().await;
    desk.discard_parked(0).await;
    assert_eq!(desk.timer, Some(START.plus(10 * MINUTE)));
    assert_eq!(desk.when_due().await, [Dead]);
    assert_eq!(desk.reasons().await, ["timeout"]);
}

#[tokio::test]
async fn a_replay_that_waits_for_who_waits_for_it_comes_to_an_end_with_it() {
    let mut desk = desk(|_| ());
    let policy = desk.pipeline.retry;
    desk.gets(1, "B", json!({})).await;
    desk.pipeline.retry.attempts = 1;
    assert_eq!(desk.gets(2, "A", json!({ "retry": true, "ask": "B" })).await, Dead);
    desk.pipeline.retry = policy;
    assert_eq!(desk.replay(2).await, Parked);
    assert_eq!(desk.when_due().await, []);
    assert_eq!(desk.when_due().await, [Dead], "the one that waited for the replay");
    desk.discard_letter(1).await;
    assert_eq!(desk.when_due().await, [Dead]);
    assert_eq!(desk.reasons().await, ["timeout"]);
}

#[tokio::test]
async fn a_discarded_conflict_says_nothing_of_the_event_whose_identity_it_took() {
    let mut desk = desk(|_| ());
    desk.gets(1, "B", json!({})).await;
    desk.gets(2, "A", json!({ "fail": true })).await;
    let other = desk.event(3, &json!({ "id": "e2", "type": "A", "data": { "key": "k", "other": true } }));
    assert_eq!(desk.settle(Some(&other)).await.outcomes, [Dead]);
    desk.discard_letter(3).await;
    desk.pass(60 * MINUTE);
    assert_eq!(desk.look().await.0, [], "a person may replay the first");
    assert_eq!(desk.line().await.0.len(), 1);
}

#[tokio::test]
async fn the_lowest_number_may_be_released_right_after_the_one_before_it_was_discarded() {
    let mut desk = desk(sequenced(First::At(1)));
    for (n, seq) in [(1, 3), (2, 4), (3, 5)] {
        desk.numbered(n, seq).await;
    }
    desk.discard_parked(0).await;
    assert_eq!(desk.release(0).await, [Done, Done]);
}

#[tokio::test]
async fn one_that_is_released_and_asks_again_waits_on_and_changes_no_deadline() {
    let mut desk = desk(|_| ());
    for n in 1..=3 {
        assert_eq!(desk.gets(n, "A", json!({ "ask": "B" })).await, Parked);
        desk.pass(MINUTE);
    }
    desk.discard_parked(0).await;
    desk.now = START.plus(10 * MINUTE + MINUTE / 2);
    assert_eq!(desk.release(0).await, []);
    assert_eq!(desk.timer, Some(START.plus(11 * MINUTE)));
    assert_eq!(desk.when_due().await, [Dead]);
}
