//! Holds, dead letters that block, and what a person does about waiting.

use super::*;

#[tokio::test]
async fn events_are_held_and_leave_in_the_order_they_happened() {
    let mut desk = desk(resequenced);
    for (n, second) in [(1, 30), (2, 10), (3, 40), (4, 10)] {
        assert_eq!((desk.at(n, second).await, desk.rounds), (Parked, 1));
        desk.pass(Duration::from_secs(1));
    }
    assert_eq!(desk.timer, Some(START.plus(Duration::from_secs(5))));
    assert_eq!(desk.when_due().await, [Done; 3], "the first, and what happened before it");
    assert_eq!(desk.seen().await, ["e2", "e4", "e1"]);
    assert_eq!(desk.at(5, 29).await, Dead);
    assert_eq!(desk.at(6, 35).await, Parked);
    assert_eq!(desk.timer, Some(START.plus(Duration::from_secs(7))));
    assert_eq!(desk.when_due().await, [Done, Done]);
    assert_eq!((desk.seen().await, desk.timer), (["e2", "e4", "e1", "e6", "e3"].map(str::to_owned).to_vec(), None));
    assert_eq!(desk.reasons().await, ["late"]);
}

#[tokio::test]
async fn a_hold_that_is_over_is_over_also_when_others_take_rounds_of_their_own() {
    let mut desk = desk(resequenced);
    desk.pipeline.subscriptions = pipeline().subscriptions;
    desk.at(1, 50).await;
    desk.pass(Duration::from_secs(1));
    desk.at(2, 10).await;
    desk.gets(3, "C", json!({ "time": "2026-01-01T00:00:20Z" })).await;
    desk.gets(4, "B", json!({ "time": "2026-01-01T00:00:30Z" })).await;
    desk.at(5, 55).await;
    assert_eq!(desk.when_due().await, [Done; 4]);
    assert_eq!(desk.seen().await, ["e2", "e4", "e3", "e1"]);
    assert_eq!(desk.timer, Some(START.plus(Duration::from_secs(6))));
}

#[tokio::test]
async fn a_held_event_that_retries_keeps_what_is_let_go_behind_it() {
    let mut desk = desk(resequenced);
    desk.gets(1, "A", json!({ "retry": true, "time": "2026-01-01T00:00:01Z" })).await;
    desk.at(2, 2).await;
    assert_eq!(desk.when_due().await, []);
    assert_eq!(desk.timer, Some(START.plus(Duration::from_secs(35))));
    assert_eq!(desk.when_due().await, [Done, Done]);
    assert_eq!(desk.seen().await, ["e1", "e2"]);
}

#[tokio::test]
async fn a_dead_letter_blocks_its_key_until_a_person_decides() {
    for discard in [true, false] {
        let mut desk = desk(|pipeline| pipeline.on_failure = OnFailure::BlockKey);
        assert_eq!(desk.gets(1, "A", json!({ "fail": true })).await, Dead);
        assert_eq!(desk.gets(2, "A", json!({})).await, Parked);
        assert_eq!(desk.gets(3, "B", json!({})).await, Parked);
        desk.pass(60 * MINUTE);
        assert_eq!((desk.look().await.0, desk.line().await.0.len()), (vec![], 2));
        assert!(desk.timer > Some(desk.now), "a parked key has a timer, or nobody would find it");
        assert_eq!(desk.replay(1).await, Dead, "and the key stays blocked");
        assert_eq!(desk.look().await.0, []);
        if discard {
            desk.discard_letter(1).await;
        } else {
            // As an edited handler would take it.
            desk.pipeline.subscriptions[0] = Arc::clone(&pipeline().subscriptions[0]);
            let handler = r#"state.seen = [event.id];"#;
            let engine = Engine::new(Limits::default(), Path::new("."));
            let source = Source { file: "h.rhai", text: handler, line_offset: 0 };
            let mended = engine.compile(Kind::Handler, &source).unwrap_or_else(|errors| panic!("{errors:?}"));
            let old = desk.pipeline.subscriptions[0].clone();
            desk.pipeline.subscriptions[0] = Arc::new(Subscription {
                event: old.event.clone(),
                from: old.from.clone(),
                key: old.key.clone(),
                versions: old.versions.clone(),
                upcasts: Default::default(),
                newest: 1,
                after: Vec::new(),
                filter: None,
                handler: Arc::new(mended),
            });
            assert_eq!(desk.replay(1).await, Done);
            desk.pipeline.subscriptions[0] = old;
        }
        assert_eq!(desk.timer, Some(desk.now));
        assert_eq!(desk.look().await.0, [Done, Done]);
        let seen = desk.seen().await;
        assert_eq!(seen, if discard { vec!["e2", "e3"] } else { vec!["e1", "e2", "e3"] });
    }
}

#[tokio::test]
async fn what_a_person_replays_of_a_blocked_key_goes_before_its_successors_also_when_it_retries() {
    let mut desk = desk(|pipeline| pipeline.on_failure = OnFailure::BlockKey);
    let policy = desk.pipeline.retry;
    desk.pipeline.retry.attempts = 1;
    assert_eq!(desk.gets(1, "A", json!({ "retry": true })).await, Dead);
    desk.gets(2, "A", json!({})).await;
    desk.pipeline.retry = policy;
    assert_eq!(desk.replay(1).await, Parked);
    assert_eq!(desk.when_due().await, [Done, Done]);
    assert_eq!(desk.seen().await, ["e1", "e2"]);
}

#[tokio::test]
async fn what_a_person_releases_waits_no_longer() {
    let mut waiter = desk(|_| ());
    waiter.gets(1, "B", json!({})).await;
    assert_eq!(waiter.release(0).await, [Done]);

    let mut numbers = desk(sequenced(First::At(1)));
    numbers.numbered(1, 3).await;
    numbers.numbered(2, 4).await;
    assert_eq!(numbers.release(1).await, [], "another must go first");
    assert_eq!(numbers.release(0).await, [Done, Done]);
    assert_eq!(numbers.numbered(3, 2).await, Dead);
    assert_eq!(numbers.reasons().await, ["late"]);

    let mut held = desk(resequenced);
    held.at(1, 10).await;
    held.at(2, 20).await;
    assert_eq!(held.release(0).await, [Done]);
    assert_eq!(held.line().await.0.len(), 1);
}

#[tokio::test]
async fn a_program_that_goes_on_past_failures_unblocks_what_another_blocked() {
    let mut desk = desk(|pipeline| pipeline.on_failure = OnFailure::BlockKey);
    desk.gets(1, "A", json!({ "fail": true })).await;
    desk.gets(2, "A", json!({})).await;
    desk.pipeline.on_failure = OnFailure::Continue;
    assert_eq!(desk.look().await.0, [Done]);
    assert_eq!(desk.seen().await, ["e2"]);
}
