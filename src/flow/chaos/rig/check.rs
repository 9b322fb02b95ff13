//! What is fed, and what must be true at the end.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use serde_json::{Value, json};

use super::super::broker::is_refused;
use super::{PARTITIONS, Trouble, World};
use crate::event::Key;
use crate::store::memory::MemoryStore;
use crate::store::record::{DeadRecord, KeyRecord};
use crate::store::{KeyLookup, Lookup, Store};

impl World {
    pub(super) fn expected_feed(&self) -> Feed {
        let mut feed = Vec::new();
        let mut first_seen: BTreeMap<String, Vec<u64>> = BTreeMap::new();
        let mut sent: Vec<(String, u64, String)> = Vec::new();
        for n in 1..=self.plan.events {
            let key = format!("k{}", self.roll(self.plan.keys));
            let flaky = self.plan.retries && self.roll(8) == 0;
            let version = if self.plan.upgrade && self.roll(6) == 0 { 2 } else { 1 };
            let event = json!({
                "id": format!("e{n}"), "type": "Counted", "version": version, "source": "test",
                "data": { "key": key, "n": n, "flaky": flaky },
            });
            let payload = event.to_string();
            feed.push(payload.clone());
            first_seen.entry(key.clone()).or_default().push(n);
            sent.push((key, n, payload));
            while self.roll(3) == 0 {
                let again = usize::try_from(self.roll(sent.len() as u64)).expect("a small number");
                // Mostly right behind, where one batch holds both.
                let pick = if self.roll(2) == 0 { sent.len() - 1 } else { again };
                feed.push(sent[pick].2.clone());
            }
        }
        Feed { feed, by_key: first_seen }
    }

    pub(super) async fn check(&self, expected: &Feed) -> Result<(), String> {
        let store = MemoryStore::new(Arc::clone(&self.memory));
        let dead = store.dead_letters(false).await.map_err(|error| error.to_string())?;
        let (mut refused, mut discarded) = (Vec::new(), BTreeSet::new());
        for (_, letter) in &dead {
            let (record, payload) = DeadRecord::decode(&letter.body).map_err(|error| error.to_string())?;
            if record.emission.is_some() && is_refused(&payload) {
                refused.push(number(&payload)?);
            } else if self.plan.person && !letter.open && record.failure.reason == "discarded" {
                discarded.insert(number(&payload)?);
            } else {
                return Err(format!("{} dead letters: {}", dead.len(), record.failure.message));
            }
        }
        refused.sort_unstable();
        let refuses = self.plan.trouble.contains(&Trouble::Refusals);
        let disliked: Vec<u64> = (1..=self.plan.events).filter(|n| refuses && n % 5 == 0).collect();
        if refused != disliked {
            return Err(format!("refused emissions set aside: {refused:?}, wanted {disliked:?}"));
        }
        for tally in &self.tallies {
            if !tally.snapshot().holds() {
                return Err(format!("the balance does not hold: {}", tally.snapshot()));
            }
        }
        let mut emitted: BTreeMap<String, Vec<Value>> = BTreeMap::new();
        for raw in self.bus.events("out") {
            let event: Value = serde_json::from_slice(&raw.payload).map_err(|error| error.to_string())?;
            let n = event["data"]["n"].as_u64().unwrap_or(0);
            let key = expected.by_key.iter().find(|(_, ns)| ns.contains(&n)).map(|(key, _)| key.clone());
            emitted.entry(key.ok_or("an emission of nothing")?).or_default().push(event["data"].clone());
        }
        for (text, ns) in &expected.by_key {
            let ns: Vec<u64> = ns.iter().copied().filter(|n| !discarded.contains(n)).collect();
            let key = Key::new(text).ok_or("an empty key")?;
            let lookup = Lookup { keys: vec![KeyLookup { key: key.clone(), line: Vec::new() }], ..Lookup::default() };
            let found =
                store.lookup(vec![(key.partition(PARTITIONS), lookup)]).await.map_err(|error| error.to_string())?;
            let record = KeyRecord::decode(&found[0].keys[0].record).map_err(|error| error.to_string())?;
            let state = record.state.unwrap_or_default();
            let count = state["count"].as_u64().unwrap_or(0);
            let got = emitted.get(text).cloned().unwrap_or_default();
            if self.plan.runners == 1 {
                let mut hash = 7_u64;
                let mut wanted = Vec::new();
                for (index, n) in ns.iter().enumerate() {
                    hash = (hash * 31 + n) % 1_000_003;
                    if !disliked.contains(n) {
                        wanted.push(json!({ "n": n, "count": index + 1, "hash": hash }));
                    }
                }
                if state["hash"].as_u64().unwrap_or(7) != hash || count != ns.len() as u64 {
                    return Err(format!("key {text}: state {state}, wanted count {} hash {hash}", ns.len()));
                }
                if got != wanted {
                    return Err(format!("key {text}: emitted {got:?}, wanted {wanted:?}"));
                }
            } else {
                // Order across runners is not promised, but each event counts once and is emitted once; and unless
                // the store forgot some (then they may come about again in another order), emissions keep the order
                // of the state changes that caused them.
                let sum: u64 = ns.iter().sum();
                if count != ns.len() as u64 || state["sum"].as_u64().unwrap_or(0) != sum {
                    return Err(format!("key {text}: state {state}, wanted count {} sum {sum}", ns.len()));
                }
                let counts: Vec<u64> = got.iter().filter_map(|data| data["count"].as_u64()).collect();
                let mut emitted: Vec<u64> = got.iter().filter_map(|data| data["n"].as_u64()).collect();
                emitted.sort_unstable();
                if ns.iter().filter(|n| !disliked.contains(n)).ne(&emitted) {
                    return Err(format!("key {text}: emitted for {emitted:?}, wanted {ns:?} without {disliked:?}"));
                }
                let forgot = self.plan.trouble.contains(&Trouble::TailLost) || refuses;
                if !forgot && counts != (1..=ns.len() as u64).collect::<Vec<_>>() {
                    return Err(format!("key {text}: emissions out of turn: {counts:?}"));
                }
            }
        }
        Ok(())
    }
}

fn number(payload: &[u8]) -> Result<u64, String> {
    let event: Value = serde_json::from_slice(payload).map_err(|error| error.to_string())?;
    event["data"]["n"].as_u64().ok_or_else(|| "an emission without its number".to_owned())
}

pub(super) struct Feed {
    pub(super) feed: Vec<String>,
    /// Numbers of each key in the order of their first arrival.
    by_key: BTreeMap<String, Vec<u64>>,
}
