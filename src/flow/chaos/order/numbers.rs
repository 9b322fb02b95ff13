//! Sequences, gaps, and what a full buffer takes.

use super::*;

#[tokio::test]
async fn numbers_are_handled_in_turn_whatever_order_they_come_in() {
    let mut desk = desk(sequenced(First::At(1)));
    for (n, seq) in [(1, 3), (2, 5), (3, 2), (4, 4)] {
        assert_eq!((desk.numbered(n, seq).await, desk.rounds), (Parked, 1));
    }
    assert_eq!(desk.numbered(5, 1).await, Done);
    assert_eq!(desk.when_due().await, [Done; 4]);
    assert_eq!(desk.seen().await, ["e5", "e3", "e1", "e4", "e2"]);
    assert_eq!((desk.numbered(6, 6).await, desk.rounds), (Done, 1));
    assert_eq!(desk.numbered(6, 6).await, Duplicate);
    assert_eq!(desk.numbered(7, 6).await, Dead);
    assert_eq!(desk.gets(8, "A", json!({})).await, Dead);
    assert_eq!(desk.reasons().await, ["sequence_conflict", "no_sequence"]);
}

#[tokio::test]
async fn of_two_with_one_number_the_second_is_a_conflict() {
    let mut desk = desk(sequenced(First::Any));
    assert_eq!(desk.numbered(1, 7).await, Done);
    desk.numbered(2, 9).await;
    desk.numbered(3, 9).await;
    assert_eq!(desk.numbered(4, 8).await, Done);
    assert_eq!(desk.when_due().await, [Done, Dead]);
    assert_eq!((desk.seen().await.len(), desk.reasons().await), (3, vec!["sequence_conflict".to_owned()]));
    assert_eq!(desk.numbered(5, 3).await, Dead);
    assert_eq!(desk.reasons().await, ["sequence_conflict", "late"], "it came before the first that was seen");
}

#[tokio::test]
async fn numbers_of_types_without_a_subscription_count() {
    let mut desk = desk(sequenced(First::At(1)));
    assert_eq!(desk.gets(1, "Other", json!({ "seq": 2 })).await, Parked);
    assert_eq!(desk.numbered(2, 3).await, Parked);
    assert_eq!(desk.numbered(3, 1).await, Done);
    assert_eq!(desk.when_due().await, [Skipped, Done]);
    assert_eq!(desk.seen().await, ["e3", "e2"]);
}

#[tokio::test]
async fn a_gap_ends_a_timeout_after_it_reached_the_head() {
    let mut desk = desk(sequenced(First::At(1)));
    desk.numbered(1, 2).await;
    desk.numbered(2, 4).await;
    desk.pass(5 * MINUTE);
    assert_eq!(desk.numbered(3, 1).await, Done);
    assert_eq!(desk.when_due().await, [Done]);
    assert_eq!(desk.timer, Some(START.plus(15 * MINUTE)), "3 is missing since 2 was done");
    desk.numbered(4, 5).await;
    assert_eq!(desk.when_due().await, [Dead, Dead]);
    assert_eq!(desk.reasons().await, ["gap", "gap"]);
    assert_eq!(desk.numbered(5, 6).await, Parked, "3 is still expected");
    assert_eq!(desk.numbered(6, 3).await, Done);
    assert_eq!(desk.when_due().await, [Done], "what was set aside is not waited for");
    assert_eq!([desk.replay(2).await, desk.replay(4).await], [Done, Done], "a person may insist");
    assert_eq!(desk.seen().await, ["e3", "e1", "e6", "e5", "e2", "e4"]);
}

#[tokio::test]
async fn what_is_replayed_while_its_gap_is_open_waits_for_its_turn() {
    let mut desk = desk(sequenced(First::At(1)));
    desk.numbered(1, 3).await;
    assert_eq!(desk.when_due().await, [Dead]);
    assert_eq!(desk.replay(1).await, Parked);
    assert_eq!(desk.numbered(2, 2).await, Parked);
    assert_eq!(desk.numbered(3, 1).await, Done);
    assert_eq!(desk.when_due().await, [Done, Done]);
    assert_eq!(desk.seen().await, ["e3", "e2", "e1"]);
}

#[tokio::test]
async fn a_gap_that_is_given_up_lets_go_what_waits_and_its_number_is_late() {
    let mut desk = desk(|pipeline| {
        sequenced(First::At(1))(pipeline);
        pipeline.reorder.on_timeout = OnTimeout::Advance;
    });
    for (n, seq) in [(1, 2), (2, 3), (3, 6)] {
        desk.numbered(n, seq).await;
    }
    assert_eq!(desk.when_due().await, [Done, Done]);
    assert_eq!(desk.timer, Some(START.plus(20 * MINUTE)), "the next gap has a time of its own");
    assert_eq!(desk.numbered(4, 1).await, Dead);
    assert_eq!(desk.numbered(5, 3).await, Dead);
    assert_eq!(desk.reasons().await, ["late", "sequence_conflict"]);
    assert_eq!(desk.when_due().await, [Done]);
    assert_eq!(desk.seen().await, ["e1", "e2", "e3"]);
}

#[tokio::test]
async fn no_gap_runs_out_while_its_number_waits_for_another_attempt() {
    let mut desk = desk(|pipeline| {
        sequenced(First::At(1))(pipeline);
        pipeline.reorder.timeout = Duration::from_secs(10);
    });
    desk.numbered(1, 2).await;
    assert_eq!(desk.gets(2, "A", json!({ "seq": 1, "retry": true })).await, Parked);
    assert_eq!(desk.when_due().await, [Done, Done]);
    assert_eq!(desk.seen().await, ["e2", "e1"]);
}

#[tokio::test]
async fn a_dead_letters_number_is_not_waited_for() {
    let mut desk = desk(sequenced(First::At(1)));
    assert_eq!(desk.gets(1, "A", json!({ "seq": 1, "fail": true })).await, Dead);
    assert_eq!(desk.numbered(2, 2).await, Done);
}

#[tokio::test]
async fn a_full_buffer_takes_no_waiter_and_always_what_they_wait_for() {
    let mut desk = desk(|pipeline| {
        sequenced(First::At(1))(pipeline);
        pipeline.reorder.max_parked_per_key = 2;
    });
    desk.numbered(1, 3).await;
    desk.numbered(2, 4).await;
    assert_eq!(desk.numbered(3, 5).await, Dead);
    assert_eq!(desk.reasons().await, ["buffer_full"]);
    assert_eq!(desk.gets(4, "A", json!({ "seq": 1, "retry": true })).await, Parked);
    assert_eq!(desk.numbered(5, 2).await, Dead, "not the next one");
    assert_eq!(desk.when_due().await, [Done, Done, Done]);
    assert_eq!(desk.numbered(6, 6).await, Done, "numbers of what the full buffer did not take are not waited for");
}

#[tokio::test]
async fn a_number_counts_also_when_the_first_of_a_key_is_set_aside_before_its_turn() {
    for first in [First::At(1), First::Any] {
        let mut desk = desk(sequenced(first));
        let old = desk.made(1, "A", json!({ "seq": 1 }));
        desk.pass(desk.pipeline.retain + MINUTE);
        assert_eq!(desk.settle(Some(&old)).await.outcomes, [Dead]);
        assert_eq!(desk.reasons().await, ["beyond_retain"]);
        assert_eq!(desk.numbered(2, 2).await, Done);
    }
}

#[tokio::test]
async fn a_copy_on_a_channel_that_its_type_is_not_taken_from_is_no_event_of_its_own() {
    let mut desk = desk(sequenced(First::At(1)));
    desk.pipeline.subscriptions.push(pipeline().subscriptions.swap_remove(1));
    let mut raw = desk.made(1, "A", json!({ "seq": 1 })).routed.raw;
    raw.position.channel = "mirror".into();
    let routed = route(raw, &desk.pipeline, &Envelope::Auto);
    assert!(matches!(routed, Route::Ignore), "counted, it would make the event itself a duplicate");
}
