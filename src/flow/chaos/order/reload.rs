//! What waits under one program and goes on under another.

use super::*;
use crate::store::Touch;
use crate::store::record::{Book, KeyRecord};

#[tokio::test]
async fn what_waited_for_numbers_goes_first_when_they_count_no_more() {
    let mut desk = desk(sequenced(First::At(1)));
    desk.numbered(1, 3).await;
    desk.pipeline.sequence = None;
    assert_eq!(desk.numbered(2, 9).await, Done);
    assert_eq!(desk.seen().await, ["e1", "e2"]);
}

#[tokio::test]
async fn what_was_held_goes_first_when_nothing_is_held_any_more() {
    let mut desk = desk(resequenced);
    desk.at(1, 30).await;
    desk.at(2, 20).await;
    desk.pipeline.resequence = None;
    assert_eq!(desk.at(3, 10).await, Done);
    assert_eq!(desk.seen().await, ["e2", "e1", "e3"]);
}

#[tokio::test]
async fn a_waiter_that_had_no_handler_when_it_was_let_go_is_not_run_out_of_turn() {
    let mut desk = desk(|_| ());
    desk.gets(1, "B", json!({})).await;
    desk.pipeline.subscriptions.truncate(1);
    assert_eq!(desk.when_due().await, []);
    let line = desk.line().await.0;
    assert_eq!(line.len(), 1);
    let Wait::NoHandler { due, was } = &line[0].0 else { panic!("{line:?}") };
    assert!(*due == desk.now.plus(MINUTE) && matches!(**was, Wait::After { .. }), "{line:?}");
    assert_eq!(desk.timer, Some(*due));
    desk.pipeline = pipeline();
    assert_eq!(desk.when_due().await, [Dead], "its prerequisite is not there, and its time is over");
    assert_eq!(desk.reasons().await, ["timeout"]);
    assert_eq!(desk.gets(2, "A", json!({})).await, Done);
    assert_eq!(desk.replay(1).await, Done);
}

#[tokio::test]
async fn what_a_handler_asked_to_wait_for_is_kept_while_it_has_no_handler() {
    for on_timeout in [OnTimeout::DeadLetter, OnTimeout::Advance] {
        let mut desk = desk(|pipeline| pipeline.reorder.on_timeout = on_timeout);
        assert_eq!(desk.gets(1, "A", json!({ "ask": "B" })).await, Parked);
        let subscriptions = std::mem::take(&mut desk.pipeline.subscriptions);
        for _ in 0..3 {
            assert_eq!(desk.when_due().await, []);
            let line = desk.line().await.0;
            assert!(matches!(&line[0].0, Wait::NoHandler { was, .. } if was.asked() == ["B"]), "{line:?}");
        }
        desk.pipeline.subscriptions = subscriptions;
        assert_eq!(desk.when_due().await, [Dead], "`B` is not there, and its time is over");
        assert_eq!(desk.reasons().await, ["timeout"]);
    }
}

#[tokio::test]
async fn who_has_waited_goes_on_within_its_deadline_once_it_has_a_handler_again() {
    let mut desk = desk(|_| ());
    assert_eq!(desk.gets(1, "C", json!({})).await, Parked);
    let deadline = desk.timer;
    assert_eq!(desk.gets(2, "A", json!({})).await, Done);
    let subscriptions = std::mem::take(&mut desk.pipeline.subscriptions);
    assert_eq!(desk.when_due().await, []);
    desk.pipeline.subscriptions = subscriptions;
    assert_eq!(desk.when_due().await, []);
    assert_eq!(desk.timer, deadline, "for `B`, and no longer than it was to wait for `A`");
    assert_eq!(desk.gets(3, "B", json!({})).await, Done);
    assert_eq!(desk.when_due().await, [Done]);
}

#[tokio::test]
async fn what_has_begun_is_not_skipped_when_its_subscription_goes() {
    let mut desk = desk(sequenced(First::At(1)));
    assert_eq!(desk.gets(1, "A", json!({ "seq": 1, "retry": true })).await, Parked);
    let subscriptions = std::mem::take(&mut desk.pipeline.subscriptions);
    assert_eq!(desk.when_due().await, []);
    desk.pipeline.subscriptions = subscriptions;
    assert_eq!(desk.when_due().await, [Done]);
    assert_eq!(desk.seen().await, ["e1"]);
}

#[tokio::test]
async fn a_line_that_is_not_there_holds_up_nothing() {
    let mut desk = desk(|_| ());
    let record = KeyRecord { book: Book { parked: 1, line: 1, ..Book::default() }, state: None };
    let new = crate::store::Nonce([1; 16]);
    let touch = Touch { key: desk.key.clone(), expected: None, new, record: record.encode(), timer: Some(desk.now) };
    let group = crate::store::Group { touch: Some(touch), ..Default::default() };
    assert_eq!(desk.commit(group).await, crate::store::Verdict::Committed);
    desk.look().await;
    assert!(desk.timer > Some(desk.now), "or it would be looked at again and again");
    assert_eq!(desk.gets(1, "A", json!({})).await, Done);
}
