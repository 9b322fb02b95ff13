//! `after` and `wait_for`.

use super::*;

#[tokio::test]
async fn who_waits_for_a_prerequisite_blocks_nobody_and_runs_right_behind_it() {
    let mut desk = desk(|_| ());
    let none = json!({});
    assert_eq!(desk.gets(1, "C", none.clone()).await, Parked);
    assert_eq!(desk.gets(2, "B", none.clone()).await, Parked);
    assert_eq!(desk.rounds, 1, "parking takes no extra round trip");
    let first = desk.gets(3, "A", none.clone()).await;
    assert_eq!((first, desk.timer), (Done, Some(desk.now)), "a crash here must not cost the waiters their turn");
    assert_eq!(desk.seen().await, ["e3"]);
    assert_eq!(desk.gets(4, "B", none.clone()).await, Done);
    assert_eq!(desk.seen().await, ["e3", "e2", "e1", "e4"], "waiters before what arrives later");
    assert_eq!(desk.gets(2, "B", none).await, Duplicate);
    assert_eq!((desk.record().await.book.parked, desk.timer), (0, None));
}

#[tokio::test]
async fn waiters_run_in_order_of_event_time_then_arrival() {
    let mut desk = desk(|_| ());
    for (n, second) in [(1, 30), (2, 10), (3, 20), (4, 10)] {
        let time = format!("2026-01-01T00:00:{second}Z");
        assert_eq!(desk.gets(n, "B", json!({ "time": time })).await, Parked);
    }
    assert_eq!(desk.gets(5, "A", json!({})).await, Done);
    assert_eq!(desk.when_due().await, [Done; 4]);
    assert_eq!(desk.seen().await, ["e5", "e2", "e4", "e3", "e1"]);
}

#[tokio::test]
async fn a_prerequisite_in_order_costs_no_extra_round() {
    let mut desk = desk(|_| ());
    for (n, kind) in [(1, "A"), (2, "B"), (3, "C"), (4, "B")] {
        assert_eq!((desk.gets(n, kind, json!({})).await, desk.rounds), (Done, 1));
    }
}

#[tokio::test]
async fn a_waiter_that_retries_blocks_its_key_and_keeps_its_turn() {
    let mut desk = desk(|_| ());
    desk.gets(1, "B", json!({ "retry": true })).await;
    desk.gets(2, "A", json!({})).await;
    assert_eq!(desk.look().await.0, []);
    assert_eq!(desk.gets(3, "A", json!({})).await, Parked);
    assert_eq!(desk.line().await.0.len(), 2);
    assert_eq!(desk.when_due().await, [Done, Done]);
    assert_eq!(desk.seen().await, ["e2", "e1", "e3"]);
}

#[tokio::test]
async fn waiting_ends_at_the_deadline_by_policy_and_once() {
    let mut strict = desk(|_| ());
    strict.gets(1, "B", json!({})).await;
    strict.pass(MINUTE);
    strict.gets(2, "B", json!({})).await;
    assert_eq!(strict.timer, Some(START.plus(10 * MINUTE)));
    assert_eq!(strict.when_due().await, [Dead]);
    assert_eq!(strict.timer, Some(START.plus(11 * MINUTE)), "exactly when the next one's time is over");
    assert_eq!(strict.when_due().await, [Dead]);
    assert_eq!((strict.reasons().await, strict.timer), (vec!["timeout".to_owned(), "timeout".to_owned()], None));
    assert_eq!(strict.gets(3, "A", json!({})).await, Done);
    assert_eq!(strict.replay(2).await, Done);
    assert_eq!(strict.seen().await, ["e3", "e2"]);

    let mut lenient = desk(|pipeline| pipeline.reorder.on_timeout = OnTimeout::Advance);
    lenient.gets(1, "B", json!({})).await;
    assert_eq!(lenient.when_due().await, [Done]);
    assert_eq!((lenient.seen().await, lenient.timer), (vec!["e1".to_owned()], None));
}

#[tokio::test]
async fn a_deadline_that_passes_while_the_key_is_blocked_waits_for_what_blocks_it() {
    let mut desk = desk(|pipeline| pipeline.reorder.timeout = Duration::from_secs(10));
    desk.gets(1, "B", json!({})).await;
    desk.gets(2, "A", json!({ "retry": true })).await;
    assert_eq!(desk.timer, Some(START.plus(Duration::from_secs(30))), "the attempt, not the deadline before it");
    assert_eq!(desk.when_due().await, [Done, Done]);
    assert_eq!(desk.seen().await, ["e2", "e1"]);
}

#[tokio::test]
async fn a_dead_prerequisite_is_waited_for_until_its_replay() {
    let mut desk = desk(|_| ());
    desk.gets(1, "B", json!({})).await;
    assert_eq!(desk.gets(2, "A", json!({ "fail": true })).await, Dead);
    desk.pass(60 * MINUTE);
    assert_eq!(desk.look().await.0, [], "no deadline while a person may replay it");
    assert_eq!(desk.gets(3, "B", json!({})).await, Parked);
    assert_eq!(desk.replay(2).await, Dead);
    desk.discard_letter(2).await;
    assert_eq!(desk.look().await.0, [Dead], "the first has waited long enough");
    assert_eq!(desk.gets(4, "A", json!({})).await, Done);
    assert_eq!(desk.when_due().await, [Done]);
    assert_eq!(desk.seen().await, ["e4", "e3"]);
}

#[tokio::test]
async fn a_dead_prerequisite_takes_its_waiters_with_it_where_that_is_wanted() {
    let mut desk = desk(|pipeline| pipeline.reorder.on_dead_prerequisite = OnDeadPrerequisite::DeadLetter);
    desk.gets(1, "B", json!({})).await;
    desk.gets(2, "A", json!({ "fail": true })).await;
    assert_eq!(desk.timer, Some(desk.now));
    assert_eq!(desk.look().await.0, [Dead]);
    assert_eq!(desk.gets(3, "B", json!({})).await, Dead);
    assert_eq!(desk.reasons().await, ["dead_prerequisite", "rejected", "dead_prerequisite"]);
    assert_eq!(desk.gets(4, "A", json!({})).await, Done);
    assert_eq!(desk.gets(5, "B", json!({})).await, Done);
}

#[tokio::test]
async fn a_handler_may_wait_for_a_type_and_runs_again_once_it_was_handled() {
    let mut desk = desk(|_| ());
    assert_eq!(desk.gets(1, "A", json!({ "ask": "B" })).await, Parked);
    assert_eq!(desk.line().await.0[0].1, 0, "asking is no attempt");
    assert_eq!(desk.gets(2, "A", json!({})).await, Done);
    assert_eq!(desk.gets(3, "B", json!({})).await, Done);
    assert_eq!(desk.when_due().await, [Done]);
    assert_eq!(desk.seen().await, ["e2", "e3", "e1"]);
    assert_eq!(desk.gets(4, "A", json!({ "ask": "D" })).await, Dead, "nobody handles it");
    assert_eq!(desk.reasons().await, ["script_error"]);
}

#[tokio::test]
async fn a_handler_that_asks_again_when_its_time_is_over_is_set_aside() {
    let mut desk = desk(|pipeline| pipeline.reorder.on_timeout = OnTimeout::Advance);
    desk.gets(1, "A", json!({ "ask": "B" })).await;
    assert_eq!(desk.when_due().await, [Dead]);
    assert_eq!((desk.reasons().await, desk.timer), (vec!["timeout".to_owned()], None));
}

#[tokio::test]
async fn a_type_that_is_waited_for_is_taken_by_a_full_buffer() {
    let mut desk = desk(|pipeline| pipeline.reorder.max_parked_per_key = 2);
    desk.gets(1, "B", json!({})).await;
    desk.gets(2, "C", json!({})).await;
    assert_eq!(desk.gets(3, "B", json!({})).await, Dead);
    // What blocks the key is parked without asking: it had its turn.
    assert_eq!(desk.gets(4, "A", json!({ "retry": true })).await, Parked);
    assert_eq!(desk.gets(5, "A", json!({})).await, Parked, "behind it, for `A` is waited for");
    assert_eq!(desk.when_due().await.len(), 4);
    assert_eq!(desk.seen().await, ["e4", "e1", "e2", "e5"]);
}

#[tokio::test]
async fn bytes_count_too_and_over_all_keys_of_a_partition() {
    let mut desk = desk(|pipeline| pipeline.reorder.max_parked_bytes = 2_000);
    assert_eq!(desk.gets(1, "B", json!({ "fill": "x".repeat(2_000) })).await, Parked);
    assert_eq!(desk.gets(2, "B", json!({})).await, Dead);
    assert_eq!(desk.gets(3, "A", json!({})).await, Done);
    desk.look().await;
    assert_eq!(desk.gets(4, "C", json!({})).await, Done);
}

#[tokio::test]
async fn waiters_take_rounds_by_the_page_and_a_record_that_does_not_grow() {
    let mut desk = desk(|pipeline| {
        pipeline.reorder.max_parked_per_key = 10_000;
        pipeline.reorder.max_parked_bytes = u64::MAX;
    });
    let mut sizes = Vec::new();
    for n in 1..=2_000 {
        assert_eq!(desk.gets(n, "B", json!({})).await, Parked);
        if n % 1_000 == 0 {
            sizes.push(desk.record().await.encode().len());
        }
    }
    assert!(sizes[1] <= sizes[0] + 2, "{sizes:?}");
    assert_eq!(desk.gets(2_001, "A", json!({})).await, Done);
    assert_eq!(desk.when_due().await.len(), 2_000);
    assert!(desk.rounds <= 2_000 / 100, "{}", desk.rounds);
}

#[tokio::test]
async fn what_is_remembered_of_a_waiter_is_how_it_ended() {
    let mut desk = desk(|_| ());
    desk.gets(1, "B", json!({})).await;
    assert_eq!(desk.gets(1, "B", json!({})).await, Duplicate, "it waits already");
    assert_eq!(desk.gets(1, "B", json!({ "other": 1 })).await, Dead);
    assert_eq!(desk.reasons().await, ["id_conflict"]);
    desk.gets(2, "A", json!({})).await;
    assert_eq!(desk.when_due().await, [Done]);
    assert_eq!(desk.gets(1, "B", json!({})).await, Duplicate);
}

#[tokio::test]
async fn waiters_of_a_program_that_no_longer_asks_for_it_run_at_their_deadline() {
    let mut desk = desk(|_| ());
    desk.gets(1, "B", json!({})).await;
    desk.pipeline = pipeline();
    desk.pipeline.subscriptions[1] = Arc::clone(&desk.pipeline.subscriptions[0]);
    let waits = desk.line().await.0;
    assert!(matches!(&waits[0].0, Wait::After { event, .. } if event == "A"), "{waits:?}");
    // Its type is gone with that: it stays, as one that nobody handles.
    assert_eq!(desk.when_due().await, []);
    assert_eq!(desk.line().await.0.len(), 1);
    desk.pipeline = pipeline();
    desk.pipeline.reorder.on_timeout = OnTimeout::Advance;
    assert_eq!(desk.when_due().await, [Done]);
}

#[tokio::test]
async fn a_type_that_is_waited_for_is_held_in_a_full_buffer() {
    let mut desk = desk(resequenced);
    desk.pipeline.subscriptions = pipeline().subscriptions;
    desk.pipeline.reorder.max_parked_per_key = 1;
    assert_eq!(desk.gets(1, "B", json!({})).await, Parked);
    assert_eq!(desk.when_due().await, []);
    assert_eq!(desk.gets(2, "B", json!({})).await, Dead);
    assert_eq!(desk.gets(3, "A", json!({})).await, Parked);
    assert_eq!(desk.when_due().await, [Done, Done]);
    assert_eq!(desk.seen().await, ["e3", "e1"]);
}
