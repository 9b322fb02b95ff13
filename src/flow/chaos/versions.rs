//! Decisions about versions, committed to a store one after the other.

use std::time::Duration;

use serde_json::json;

use super::desk::{Desk, START};
use super::plan::RETAIN;
use super::workload::fold::accepting;
use crate::flow::decide::{LOOK_AGAIN, Outcome};
use crate::flow::route::Subject;
use crate::spec::program::{Pipeline, UnknownVersion};
use crate::store::record::{Class, Wait};

fn version(version: u32) -> Wait {
    Wait::Version { event: "Counted".to_owned(), version }
}

#[tokio::test]
async fn an_event_of_an_unknown_version_waits_and_later_ones_of_its_key_wait_behind_it() {
    let mut desk = Desk::under(accepting(&[1]));
    assert_eq!(desk.arrive(1, 1).await, Outcome::Done);
    assert_eq!(desk.arrive(2, 2).await, Outcome::Parked);
    assert_eq!(desk.arrive(3, 1).await, Outcome::Parked);
    assert_eq!(desk.arrive(4, 3).await, Outcome::Parked);
    assert_eq!(desk.line().await, (vec![(version(2), 0), (Wait::Behind, 0), (Wait::Behind, 0)], 1));

    desk.pipeline = accepting(&[1, 2]);
    assert_eq!(desk.look().await.0, [Outcome::Done, Outcome::Done]);
    assert_eq!(desk.line().await, (vec![(version(3), 0)], 3));

    desk.pipeline = accepting(&[1, 2, 3]);
    assert_eq!(desk.look().await.0, [Outcome::Done]);
    assert_eq!((desk.line().await, desk.timer), ((Vec::new(), 4), None));
    assert!(desk.dead().await.is_empty());
}

#[tokio::test]
async fn a_version_below_all_that_is_accepted_waits_too() {
    let mut desk = Desk::under(accepting(&[2]));
    assert_eq!(desk.arrive(1, 1).await, Outcome::Parked);
    desk.pipeline = accepting(&[1, 2]);
    assert_eq!(desk.look().await.0, [Outcome::Done]);
}

#[tokio::test]
async fn a_look_that_finds_no_new_program_moves_the_timer_and_writes_no_event() {
    let mut desk = Desk::under(accepting(&[1]));
    desk.arrive(1, 2).await;
    for _ in 0..10 {
        let due = desk.timer.expect("a timer");
        assert!(due <= desk.now.plus(LOOK_AGAIN) && due >= desk.now.plus(LOOK_AGAIN / 2), "{due:?}");
        desk.now = due;
        let (unparked, group) = desk.look().await;
        assert!(unparked.is_empty() && group.writes.is_empty() && group.touch.is_some(), "{group:?}");
        assert_eq!(group.conditions.len(), 1);
    }
    assert_eq!(desk.line().await, (vec![(version(2), 0)], 0));
}

#[tokio::test]
async fn what_waited_for_as_long_as_events_are_remembered_is_set_aside_and_its_line_moves_on() {
    let mut desk = Desk::under(accepting(&[1]));
    desk.arrive(1, 2).await;
    desk.now = START.plus(RETAIN - Duration::from_secs(60));
    assert_eq!(desk.look().await.0, []);
    assert_eq!(desk.timer, Some(START.plus(RETAIN)), "its time is over before the next look");
    assert_eq!(desk.arrive(2, 1).await, Outcome::Parked);
    desk.now = START.plus(RETAIN);
    assert_eq!(desk.look().await.0, [Outcome::Dead, Outcome::Done]);
    let dead = desk.dead().await;
    let [record] = dead.as_slice() else { panic!("{dead:?}") };
    assert_eq!((record.failure.class, record.failure.reason.as_str()), (Class::Permanent, "unknown_version"));
    assert_eq!(record.attempts, 0);
    let expected = "`Counted` version 2 is not accepted (accepted: 1), and no program that does came within \
                    `idempotency.retain` (86400s)";
    assert_eq!(record.failure.message, expected);
}

#[tokio::test]
async fn a_copy_of_what_waits_is_a_duplicate_and_another_under_its_id_a_conflict() {
    let mut desk = Desk::under(accepting(&[1]));
    desk.arrive(1, 2).await;
    assert_eq!(desk.arrive(1, 2).await, Outcome::Duplicate);
    assert_eq!(desk.arrive(1, 3).await, Outcome::Dead);
    assert_eq!(desk.dead().await[0].failure.reason, "id_conflict");
    assert_eq!(desk.line().await.0, [(version(2), 0)]);
}

#[tokio::test]
async fn what_waits_behind_a_retry_is_looked_at_when_its_turn_comes() {
    let mut desk = Desk::under(accepting(&[1]));
    let flaky = desk.item(1, 1, &json!({ "key": "k", "n": 1, "flaky": true }));
    assert_eq!(desk.settle(Some(&flaky)).await.outcomes, [Outcome::Parked]);
    assert_eq!(desk.arrive(2, 2).await, Outcome::Parked);
    // Looked at before it is due, a retry is left as it is.
    let due = desk.timer.expect("a timer");
    let (unparked, group) = desk.look().await;
    assert!(unparked.is_empty() && group.touch.is_none(), "{group:?}");
    assert_eq!(desk.timer, Some(due));
    for _ in 0..2 {
        desk.now = desk.timer.expect("a timer");
        desk.look().await;
    }
    assert_eq!(desk.line().await, (vec![(version(2), 0)], 1));
    assert!(desk.timer.expect("a timer") > desk.now.plus(LOOK_AGAIN / 2));
}

#[tokio::test]
async fn where_nothing_may_wait_an_unknown_version_is_a_dead_letter_at_once() {
    let mut desk = Desk::under(Pipeline { unknown_version: UnknownVersion::DeadLetter, ..accepting(&[1]) });
    assert_eq!(desk.arrive(1, 2).await, Outcome::Dead);
    assert_eq!(desk.dead().await[0].failure.reason, "unknown_version");
    assert_eq!(desk.arrive(2, 1).await, Outcome::Done);
}

#[tokio::test]
async fn what_waits_is_set_aside_by_a_program_that_lets_nothing_wait_any_more() {
    let mut desk = Desk::under(accepting(&[1]));
    desk.arrive(1, 2).await;
    desk.arrive(2, 1).await;
    desk.pipeline.unknown_version = UnknownVersion::DeadLetter;
    assert_eq!(desk.look().await.0, [Outcome::Dead, Outcome::Done]);
    assert_eq!(desk.dead().await[0].failure.reason, "unknown_version");
}

#[tokio::test]
async fn without_a_key_nothing_waits() {
    let desk = Desk::under(accepting(&[1]));
    let item = desk.item(1, 2, &json!({ "n": 1 }));
    let Subject::Keyless { failure, .. } = &item.routed.subject else { panic!("{item:?}") };
    assert_eq!(failure.reason, "no_key");
}
