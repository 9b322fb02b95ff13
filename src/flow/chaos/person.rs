//! What a person asks of a line, decided and committed.

use std::time::Duration;

use serde_json::json;

use super::desk::Desk;
use super::plan::PARTITIONS;
use super::workload::fold::accepting;
use crate::event::Millis;
use crate::flow::decide::{self, Hurried, Item, Outcome, discard};
use crate::store::record::{DeadRecord, How};
use crate::store::{FoundKey, Group, Lookup, Mark, MarkStatus, ParkedEvent, Store as _, Verdict};

/// Asks for a retry, twice.
fn flaky(desk: &Desk) -> Item {
    desk.item(1, 1, &json!({ "key": "k", "n": 1, "flaky": true }))
}

/// A line of three: one that asks for a retry, twice, and two behind it. With its head.
async fn line() -> (Desk, ParkedEvent) {
    let mut desk = Desk::under(accepting(&[1]));
    let first = flaky(&desk);
    assert_eq!(desk.settle(Some(&first)).await.outcomes, [Outcome::Parked]);
    assert_eq!([desk.arrive(2, 1).await, desk.arrive(3, 1).await], [Outcome::Parked, Outcome::Parked]);
    let head = found(&desk).await.parked.remove(0).remove(0);
    (desk, head)
}

async fn found(desk: &Desk) -> FoundKey {
    desk.found(None, vec![decide::each(None, 9)]).await.keys.remove(0)
}

async fn discarding(desk: &Desk, place: usize) -> (ParkedEvent, Group) {
    let found = found(desk).await;
    let parked = found.parked[0][place].clone();
    let group = discard(&desk.env(), &desk.key, &found, &parked, "not wanted").expect("readable");
    (parked, group.expect("something to write"))
}

#[tokio::test]
async fn what_is_hurried_runs_before_its_time_and_once_for_each_time_it_was_looked_at() {
    let (mut desk, head) = line().await;
    let due = desk.timer;
    let hurried = |attempts| Some(Hurried { mark: head.mark, attempts, place: head.place });
    for not_that in [hurried(0), hurried(2), None] {
        assert!(desk.hurry(not_that).await.1.touch.is_none(), "{not_that:?}");
        assert_eq!(desk.timer, due);
    }
    let other = found(&desk).await.parked[0][1].clone();
    assert!(desk.hurry(Some(Hurried { mark: other.mark, attempts: 0, place: other.place })).await.1.touch.is_none());
    assert!(desk.hurry(hurried(1)).await.1.touch.is_some());
    assert_eq!(desk.line().await.0[0].1, 2, "it ran, and waits again");
    assert!(desk.hurry(hurried(1)).await.1.touch.is_none(), "the second of a double click");
    let unparked = desk.hurry(hurried(2)).await.0;
    assert_eq!((unparked.as_slice(), desk.line().await), (&[Outcome::Done; 3][..], (Vec::new(), 3)));
}

#[tokio::test]
async fn a_discarded_head_is_in_the_ledger_closed_and_its_line_is_due() {
    let (mut desk, head) = line().await;
    desk.now = desk.now.plus(Duration::from_millis(1));
    let (_, group) = discarding(&desk, 0).await;
    assert_eq!(group.touch.as_ref().and_then(|touch| touch.timer), Some(desk.now));
    assert_eq!(desk.commit(group).await, Verdict::Committed);
    let (_, letter) = desk.store.dead_letter(head.mark).await.expect("it answers").expect("a letter");
    let (record, payload) = DeadRecord::decode(&letter.body).expect("readable");
    assert!(!letter.open && !payload.is_empty());
    let resolution = record.resolution.expect("it says how it ended");
    assert_eq!((resolution.how, resolution.why.as_deref()), (How::Discarded, Some("not wanted")));
    assert_eq!((record.failure.reason.as_str(), record.attempts), ("discarded", 1));
    let lookup = vec![(desk.key.partition(PARTITIONS), Lookup { marks: vec![head.mark], ..Lookup::default() })];
    let marks = desk.store.lookup(lookup).await.expect("it answers").remove(0).marks;
    assert_eq!(marks, [Some(Mark::Finished { status: MarkStatus::Dead, content: head.content })]);
    assert_eq!(desk.look().await.0, [Outcome::Done, Outcome::Done]);
    let again = flaky(&desk);
    assert_eq!(desk.settle(Some(&again)).await.outcomes, [Outcome::Duplicate]);
}

#[tokio::test]
async fn the_last_of_a_line_goes_with_its_timer_and_one_in_the_middle_leaves_it() {
    let (mut desk, _) = line().await;
    let due = desk.timer;
    for place in [1, 1] {
        let (_, group) = discarding(&desk, place).await;
        assert_eq!(group.touch.as_ref().map(|touch| touch.timer), Some(due), "the head waits on");
        assert_eq!(desk.commit(group).await, Verdict::Committed);
    }
    let (_, group) = discarding(&desk, 0).await;
    assert_eq!(desk.commit(group).await, Verdict::Committed);
    assert_eq!(desk.store.timers(Millis(i64::MAX), 9).await.expect("it answers"), []);
    assert_eq!(desk.arrive(4, 1).await, Outcome::Done);
}

#[tokio::test]
async fn a_discard_that_comes_after_another_commit_of_its_key_is_refused() {
    let (mut desk, head) = line().await;
    let (_, late) = discarding(&desk, 0).await;
    let (_, late_too) = discarding(&desk, 2).await;
    desk.hurry(Some(Hurried { mark: head.mark, attempts: 1, place: head.place })).await;
    for group in [late, late_too] {
        assert_eq!(desk.commit(group).await, Verdict::Stale);
    }
    assert_eq!(desk.line().await.0.len(), 3);
    assert!(desk.store.dead_letters(false).await.expect("it answers").is_empty());
}
