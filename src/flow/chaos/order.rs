//! Decisions about order: prerequisites, numbers, holds, and dead letters that block.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};

use super::desk::{Desk, START};
use super::rig::accepting;
use crate::flow::decide::{self, Hurried, Item, Origin, Outcome};
use crate::schema::Schema;
use crate::script::{Engine, Kind, Source};
use crate::spec::program::{
    EventTime, FieldPath, First, Limits, OnDeadPrerequisite, OnFailure, OnTimeout, Pipeline, Resequence, Sequence,
    Subscription,
};
use crate::store::Store as _;
use crate::store::record::{DeadRecord, Wait};

use Outcome::{Dead, Done, Duplicate, Parked, Skipped};

/// Writes down what it saw, and does what it is told.
const HANDLER: &str = r#"
    if "fail" in event.data && !("mended" in state) { reject("as told"); }
    if "retry" in event.data && ctx.attempt < 2 { retry("as told", "30s"); }
    if "ask" in event.data && !(event.data.ask in (state.types ?? [])) { wait_for(event.data.ask); }
    state.types = (state.types ?? []) + [event.type];
    state.seen = (state.seen ?? []) + [event.id];
"#;

fn path(members: &[&str]) -> FieldPath {
    FieldPath(members.iter().map(ToString::to_string).collect())
}

/// Types `A`, `B` after `A`, and `C` after both.
fn pipeline() -> Pipeline {
    let engine = Engine::new(Limits::default(), Path::new("."));
    let source = Source { file: "h.rhai", text: HANDLER, line_offset: 0 };
    let handler = Arc::new(engine.compile(Kind::Handler, &source).unwrap_or_else(|errors| panic!("{errors:?}")));
    let subscription = |event: &str, after: &[&str]| {
        Arc::new(Subscription {
            event: event.to_owned(),
            from: vec!["in".into()],
            key: path(&["data", "key"]),
            versions: [(1, Arc::new(Schema::compile(&json!(true)).expect("a schema")))].into(),
            upcasts: Default::default(),
            newest: 1,
            after: after.iter().map(ToString::to_string).collect(),
            filter: None,
            handler: Arc::clone(&handler),
        })
    };
    let subscriptions = vec![subscription("A", &[]), subscription("B", &["A"]), subscription("C", &["A", "B"])];
    Pipeline { subscriptions, emits: Vec::new(), ..accepting(&[1]) }
}

fn desk(change: impl FnOnce(&mut Pipeline)) -> Desk {
    let mut pipeline = pipeline();
    change(&mut pipeline);
    Desk::under(pipeline)
}

fn sequenced(first: First) -> impl FnOnce(&mut Pipeline) {
    move |pipeline| {
        pipeline.subscriptions.truncate(1);
        pipeline.sequence = Some(Sequence { by: path(&["data", "seq"]), key: path(&["data", "key"]), first });
    }
}

fn resequenced(pipeline: &mut Pipeline) {
    pipeline.subscriptions.truncate(1);
    pipeline.resequence = Some(Resequence { by: EventTime::Envelope, hold: Duration::from_secs(5) });
}

impl Desk {
    async fn gets(&mut self, n: u64, kind: &str, data: Value) -> Outcome {
        let item = self.made(n, kind, data);
        self.settle(Some(&item)).await.outcomes[0]
    }

    fn made(&self, n: u64, kind: &str, data: Value) -> Item {
        let mut all = json!({ "key": "k" });
        let more = data.as_object().expect("an object").clone();
        let time = more.get("time").cloned();
        all.as_object_mut().expect("an object").extend(more);
        self.event(n, &json!({ "type": kind, "data": all, "time": time }))
    }

    async fn numbered(&mut self, n: u64, seq: i64) -> Outcome {
        self.gets(n, "A", json!({ "seq": seq })).await
    }

    async fn at(&mut self, n: u64, second: u64) -> Outcome {
        self.gets(n, "A", json!({ "time": format!("2026-01-01T00:00:{second:02}Z") })).await
    }

    /// Time passes until the key wants attention, and it gets it.
    async fn when_due(&mut self) -> Vec<Outcome> {
        self.now = self.timer.expect("a timer");
        self.look().await.0
    }

    async fn seen(&self) -> Vec<String> {
        let seen = self.record().await.state.unwrap_or_default()["seen"].clone();
        serde_json::from_value(seen).unwrap_or_default()
    }

    async fn reasons(&self) -> Vec<String> {
        let mut dead = self.dead().await;
        dead.sort_by_key(|letter| letter.position.seq);
        dead.into_iter().map(|letter| letter.failure.reason).collect()
    }

    async fn replay(&mut self, n: u64) -> Outcome {
        let letters = self.store.dead_letters(true).await.expect("it answers");
        let of = |letter: &crate::store::DeadLetter| DeadRecord::decode(&letter.body).expect("readable");
        let (_, letter) = letters.iter().find(|(_, letter)| of(letter).0.position.seq == n).expect("a letter");
        let (record, payload) = of(letter);
        let said: Value = serde_json::from_slice(&payload).expect("JSON");
        let mut item = self.event(n, &said);
        item.origin = Origin::Replay { id: letter.id, generation: letter.generation, record: Box::new(record) };
        self.settle(Some(&item)).await.outcomes[0]
    }

    async fn discard_letter(&mut self, n: u64) {
        let letters = self.store.dead_letters(true).await.expect("it answers");
        let of = |letter: &crate::store::DeadLetter| DeadRecord::decode(&letter.body).expect("readable");
        let (_, letter) = letters.iter().find(|(_, letter)| of(letter).0.position.seq == n).expect("a letter");
        let (record, payload) = of(letter);
        let found = self.found(None, Vec::new()).await.keys.remove(0);
        let (id, what) = ((letter.id, letter.generation), (&record, &payload[..]));
        let group =
            decide::discard_letter(&self.env(), Some((&self.key, &found)), id, what, "no use").expect("readable");
        self.timer = group.touch.as_ref().and_then(|touch| touch.timer);
        assert_eq!(self.commit(group).await, crate::store::Verdict::Committed);
    }

    async fn release(&mut self, n: usize) -> Vec<Outcome> {
        let found = self.found(None, vec![decide::each(None, 100)]).await;
        let parked = found.keys[0].parked[0][n].clone();
        self.hurry(Some(Hurried { mark: parked.mark, attempts: 0, place: parked.place })).await.0
    }

    fn pass(&mut self, time: Duration) {
        self.now = self.now.plus(time);
    }
}

const MINUTE: Duration = Duration::from_secs(60);

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
