//! Decisions about versions, committed to a store one after the other.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use serde_json::json;

use super::plan::{PARTITIONS, RETAIN};
use super::workload::fold::accepting;
use crate::bus::memory::MemoryBus;
use crate::clock::{SeededEntropy, SystemClock};
use crate::event::{Headers, Key, Millis, Position, RawEvent};
use crate::flow::decide::{Decision, Env, Hurried, Item, KeyWork, LOOK_AGAIN, Origin, Outcome, Remembered, decide};
use crate::flow::emit::{Destination, Destinations};
use crate::flow::route::{Route, Subject, route};
use crate::spec::program::{Envelope, Pipeline, UnknownVersion, Written};
use crate::store::memory::{Memory, MemoryStore};
use crate::store::record::{Class, DeadRecord, KeyRecord, ParkedBody, Wait};
use crate::store::{Commit, Group, KeyLookup, Lookup, Store as _, Verdict};

const START: Millis = Millis(1_700_000_000_000);

/// One key at one store, under a program that may be changed.
pub(super) struct Desk {
    pub(super) pipeline: Pipeline,
    destinations: Destinations,
    entropy: SeededEntropy,
    pub(super) store: MemoryStore,
    pub(super) key: Key,
    pub(super) now: Millis,
    /// When the key wants attention, by the last commit.
    pub(super) timer: Option<Millis>,
}

impl Desk {
    pub(super) fn under(pipeline: Pipeline) -> Self {
        let bus = MemoryBus::new(Arc::new(SystemClock));
        let out = Destination { sink: Arc::new(bus.sink("out".into())), envelope: Written::Sluice };
        Self {
            pipeline,
            destinations: Destinations(BTreeMap::from([("out".into(), out)])),
            entropy: SeededEntropy::new(1),
            store: MemoryStore::new(Memory::new(PARTITIONS, RETAIN)),
            key: Key::new("k").expect("a key"),
            now: START,
            timer: None,
        }
    }

    pub(super) fn item(&self, n: u64, version: u32, data: &serde_json::Value) -> Item {
        let event =
            json!({ "id": format!("e{n}"), "type": "Counted", "version": version, "source": "test", "data": data });
        let raw = RawEvent {
            position: Position { channel: "in".into(), seq: n },
            stored_at: self.now,
            headers: Headers::default(),
            payload: event.to_string().into(),
        };
        match route(raw, &self.pipeline, &Envelope::Auto) {
            Route::Handle(routed) => Item { origin: Origin::Source, routed: *routed },
            Route::Ignore => panic!("the pipeline subscribes to it"),
        }
    }

    /// An event arrives; its outcome.
    pub(super) async fn arrive(&mut self, n: u64, version: u32) -> Outcome {
        let item = self.item(n, version, &json!({ "key": "k", "n": n, "flaky": false }));
        let decision = self.settle(Some(&item)).await;
        decision.outcomes[0]
    }

    /// The key gets attention; what left the park, and the writes.
    pub(super) async fn look(&mut self) -> (Vec<Outcome>, Group) {
        self.hurry(None).await
    }

    /// The same, when a person asks for it.
    pub(super) async fn hurry(&mut self, hurried: Option<Hurried>) -> (Vec<Outcome>, Group) {
        let decision = self.decided(None, hurried).await;
        (decision.unparked, decision.group.unwrap_or_default())
    }

    pub(super) async fn settle(&mut self, item: Option<&Item>) -> Decision {
        self.decided(item, None).await
    }

    async fn decided(&mut self, item: Option<&Item>, hurried: Option<Hurried>) -> Decision {
        let partition = self.key.partition(PARTITIONS);
        let keys = vec![KeyLookup { key: self.key.clone(), parked: if item.is_none() { 32 } else { 0 } }];
        let marks = item.iter().map(|item| item.routed.mark).collect();
        let lookup = Lookup { marks, keys, ..Lookup::default() };
        let found = self.store.lookup(vec![(partition, lookup)]).await.expect("it answers").remove(0);
        let event = found.marks.first().copied().flatten();
        let items = item.iter().map(|item| (*item, Remembered { event, ..Remembered::default() })).collect();
        let env = self.env();
        let work = KeyWork {
            key: Some(&self.key),
            found: &found.keys[0],
            attention: item.is_none(),
            hurried,
            items,
            forced: None,
        };
        let decision = decide(&env, &work);
        self.timer = decision.timer;
        if let Some(group) = decision.group.clone() {
            assert_eq!(self.commit(group).await, Verdict::Committed);
        }
        decision
    }

    pub(super) fn env(&self) -> Env<'_> {
        Env {
            pipeline: &self.pipeline,
            destinations: &self.destinations,
            revision: "test",
            envelope: &|_| Envelope::Auto,
            now: self.now,
            entropy: &self.entropy,
            watched: false,
        }
    }

    pub(super) async fn commit(&self, group: Group) -> Verdict {
        let commit = Commit::alone(self.key.partition(PARTITIONS), group, self.now, &self.entropy);
        self.store.commit(vec![commit]).await.remove(0).expect("it answers").verdicts[0]
    }

    /// The line's entries, and how many events the handler counted.
    pub(super) async fn line(&self) -> (Vec<(Wait, u32)>, u64) {
        let keys = vec![KeyLookup { key: self.key.clone(), parked: 32 }];
        let lookup = Lookup { keys, ..Lookup::default() };
        let found = self.store.lookup(vec![(self.key.partition(PARTITIONS), lookup)]).await.expect("it answers");
        let found = &found[0].keys[0];
        let bodies = found.parked.iter().map(|parked| ParkedBody::decode(&parked.body).expect("readable"));
        let state = KeyRecord::decode(&found.record).expect("readable").state.unwrap_or_default();
        (bodies.map(|body| (body.wait, body.attempts)).collect(), state["count"].as_u64().unwrap_or(0))
    }

    pub(super) async fn dead(&self) -> Vec<DeadRecord> {
        let letters = self.store.dead_letters(true).await.expect("it answers");
        letters.iter().map(|(_, letter)| DeadRecord::decode(&letter.body).expect("readable").0).collect()
    }
}

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
