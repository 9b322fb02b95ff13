//! Why versions are fresh nonces: a key that was lost and rebuilt must not come back to a version somebody still
//! holds.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde_json::json;

use super::plan::{PARTITIONS, RETAIN};
use super::workload::fold::accepting;
use crate::clock::{Entropy, SeededEntropy};
use crate::event::{Headers, Key, Millis, Position, RawEvent};
use crate::flow::decide::{Env, Item, KeyWork, Origin, Remembered, decide};
use crate::flow::emit::{Destination, Destinations};
use crate::flow::route::{Route, route};
use crate::spec::program::{Envelope, Pipeline, Written};
use crate::store::memory::{Memory, MemoryStore};
use crate::store::record::KeyRecord;
use crate::store::{Commit, FoundKey, Group, KeyLookup, Lookup, Store, Verdict, WriterId};

struct Table {
    pipeline: Arc<Pipeline>,
    destinations: Destinations,
    entropy: SeededEntropy,
    key: Key,
}

impl Table {
    fn event(&self, n: u64) -> Item {
        let data = json!({ "key": self.key.as_str(), "n": n, "flaky": false });
        let event = json!({ "id": format!("e{n}"), "type": "Counted", "version": 1, "source": "test", "data": data });
        let raw = RawEvent {
            position: Position { channel: "in".into(), seq: n },
            stored_at: Millis(0),
            headers: Headers::default(),
            payload: event.to_string().into(),
        };
        match route(raw, &self.pipeline, &Envelope::Auto) {
            Route::Handle(routed) => Item { origin: Origin::Source, routed: *routed },
            Route::Ignore => panic!("the pipeline subscribes to it"),
        }
    }

    async fn found(&self, store: &MemoryStore) -> FoundKey {
        let lookup = Lookup { keys: vec![KeyLookup { key: self.key.clone(), line: Vec::new() }], ..Lookup::default() };
        let found = store.lookup(vec![(self.key.partition(PARTITIONS), lookup)]).await.expect("it answers");
        found[0].keys[0].clone()
    }

    /// What a runner that reads the key now would commit for this event.
    async fn prepared(&self, store: &MemoryStore, n: u64) -> Group {
        let (item, found) = (self.event(n), self.found(store).await);
        let env = Env {
            pipeline: &self.pipeline,
            destinations: &self.destinations,
            revision: "test",
            envelope: &|_| Envelope::Auto,
            now: Millis(1),
            entropy: &self.entropy,
            watched: false,
        };
        let items = vec![(&item, Remembered::default())];
        let work = KeyWork { items, ..KeyWork::of(Some(&self.key), &found) };
        decide(&env, &work).group.expect("something to write")
    }

    async fn commit(&self, store: &MemoryStore, group: Group) -> Verdict {
        let commit = Commit {
            partition: self.key.partition(PARTITIONS),
            // A name nobody used before: the count of a writer's commits does not tell on this one.
            writer: WriterId(self.entropy.fresh()),
            expected_number: 0,
            now: Millis(1),
            groups: vec![group],
            cleared: Vec::new(),
            returned: Vec::new(),
        };
        store.commit(vec![commit]).await[0].clone().expect("it answers").verdicts[0]
    }
}

/// A reads the key after event 1 and prepares event 2. The store loses event 1; B rebuilds the key with event 3. Then
/// A's commit arrives.
pub fn late_commit_on_a_rebuilt_key() -> Result<(), String> {
    let bus = crate::bus::memory::MemoryBus::new(Arc::new(crate::clock::SystemClock));
    let out = Destination { sink: Arc::new(bus.sink("out".into())), envelope: Written::Sluice };
    let table = Table {
        pipeline: Arc::new(accepting(&[1])),
        destinations: Destinations(BTreeMap::from([("out".into(), out)])),
        entropy: SeededEntropy::new(1),
        key: Key::new("k").ok_or("an empty key")?,
    };
    let runtime = tokio::runtime::Builder::new_current_thread().build().map_err(|error| error.to_string())?;
    runtime.block_on(async {
        let memory = Memory::new(PARTITIONS, RETAIN);
        let empty = memory.snapshot();
        let a = MemoryStore::new(Arc::clone(&memory));
        let first = table.prepared(&a, 1).await;
        assert_eq!(table.commit(&a, first).await, Verdict::Committed);
        let late = table.prepared(&a, 2).await;

        memory.restart_from(empty);
        let b = MemoryStore::new(Arc::clone(&memory));
        let rebuilt = table.prepared(&b, 3).await;
        assert_eq!(table.commit(&b, rebuilt).await, Verdict::Committed);

        let verdict = table.commit(&b, late).await;
        let record = KeyRecord::decode(&table.found(&b).await.record).map_err(|error| error.to_string())?;
        let sum = record.state.unwrap_or_default()["sum"].as_u64();
        if (verdict, sum) == (Verdict::Stale, Some(3)) {
            Ok(())
        } else {
            Err(format!("the late commit is {verdict:?} and the sum {sum:?}: event 3 is marked and gone"))
        }
    })
}
