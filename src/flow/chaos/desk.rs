//! Decisions on one key, committed to a store one after the other.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde_json::json;

use super::plan::{PARTITIONS, RETAIN};
use crate::bus::memory::MemoryBus;
use crate::clock::{SeededEntropy, SystemClock};
use crate::event::{Headers, Key, Millis, Position, RawEvent};
use crate::flow::decide::{self, Decision, Env, Hurried, Item, KeyWork, Origin, Outcome, Remembered, decide};
use crate::flow::emit::{Destination, Destinations};
use crate::flow::route::{Route, route};
use crate::spec::program::{Envelope, Pipeline, Written};
use crate::store::memory::{Memory, MemoryStore};
use crate::store::record::{DeadRecord, KeyRecord, ParkedBody, Wait};
use crate::store::{Commit, Found, Group, KeyLookup, Lookup, Range, Store as _, Verdict};

pub(super) const START: Millis = Millis(1_700_000_000_000);

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
    /// Parked events run one by one, as suspects do.
    pub(super) alone: bool,
    /// Lookups of the last decision.
    pub(super) rounds: usize,
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
            alone: false,
            rounds: 0,
        }
    }

    pub(super) fn item(&self, n: u64, version: u32, data: &serde_json::Value) -> Item {
        self.event(n, &json!({ "type": "Counted", "version": version, "data": data }))
    }

    /// An event with a number of its own, and what else it says.
    pub(super) fn event(&self, n: u64, said: &serde_json::Value) -> Item {
        let mut event = json!({ "id": format!("e{n}"), "version": 1, "source": "test" });
        let parts = said.as_object().expect("an object").clone();
        event.as_object_mut().expect("an object").extend(parts);
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

    /// Round after round, as a worker does, until nothing more is asked for.
    async fn decided(&mut self, item: Option<&Item>, hurried: Option<Hurried>) -> Decision {
        let (mut item, mut hurried, mut attention) = (item, hurried, item.is_none());
        let mut line: Vec<Range> = Vec::new();
        if attention {
            line = vec![decide::line()];
            line.extend(hurried.map(|hurried| decide::only(hurried.place)));
        }
        let mut whole = Decision::default();
        self.rounds = 0;
        loop {
            self.rounds += 1;
            assert!(self.rounds < 1_000, "it goes on and on");
            let found = self.found(item, line.clone()).await;
            let event = found.marks.first().copied().flatten();
            let items = item.iter().map(|item| (*item, Remembered { event, ..Remembered::default() })).collect();
            let work = KeyWork {
                read: &line,
                parked_bytes: found.parked_bytes,
                attention,
                alone: self.alone,
                hurried,
                items,
                ..KeyWork::of(Some(&self.key), &found.keys[0])
            };
            let env = self.env();
            let decision = decide(&env, &work);
            if let Some(group) = decision.group.clone() {
                assert_eq!(self.commit(group).await, Verdict::Committed);
            }
            self.timer = decision.timer;
            whole.unparked.extend(decision.unparked);
            item = item.filter(|_| decision.outcomes.is_empty());
            whole.outcomes.extend(decision.outcomes);
            if decision.group.is_some() {
                whole.group = decision.group;
            }
            hurried = hurried.filter(|_| !decision.hurried);
            let Some(mut again) = decision.again else { return whole };
            again.extend(hurried.map(|hurried| decide::only(hurried.place)));
            (line, attention) = (again, true);
        }
    }

    pub(super) async fn found(&self, item: Option<&Item>, line: Vec<Range>) -> Found {
        let keys = vec![KeyLookup { key: self.key.clone(), line }];
        let marks = item.iter().map(|item| item.routed.mark).collect();
        let lookup = Lookup { marks, keys, ..Lookup::default() };
        self.store.lookup(vec![(self.key.partition(PARTITIONS), lookup)]).await.expect("it answers").remove(0)
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
        let found = self.found(None, vec![decide::each(None, 100)]).await;
        let found = &found.keys[0];
        let parked = found.parked.iter().flatten();
        let bodies = parked.map(|parked| ParkedBody::decode(&parked.body).expect("readable"));
        let state = KeyRecord::decode(&found.record).expect("readable").state.unwrap_or_default();
        (bodies.map(|body| (body.wait, body.attempts)).collect(), state["count"].as_u64().unwrap_or(0))
    }

    pub(super) async fn record(&self) -> KeyRecord {
        KeyRecord::decode(&self.found(None, Vec::new()).await.keys[0].record).expect("readable")
    }

    pub(super) async fn dead(&self) -> Vec<DeadRecord> {
        let letters = self.store.dead_letters(true).await.expect("it answers");
        letters.iter().map(|(_, letter)| DeadRecord::decode(&letter.body).expect("readable").0).collect()
    }
}
