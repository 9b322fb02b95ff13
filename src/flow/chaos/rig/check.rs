//! What must be true in the end, whatever passed: the balance, emissions once each; the rest its workload knows.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use serde_json::Value;

use super::World;
use crate::event::Key;
use crate::flow::chaos::plan::PARTITIONS;
use crate::flow::chaos::script::Script;
use crate::flow::chaos::workload::{End, KeyEnd, Letter};
use crate::store::memory::MemoryStore;
use crate::store::record::{DeadRecord, KeyRecord};
use crate::store::{KeyLookup, Lookup, Store};

impl World {
    pub(super) async fn check(&self, script: &Script) -> Result<(), String> {
        for tally in &self.tallies {
            if !tally.snapshot().holds() {
                return Err(format!("the balance does not hold: {}", tally.snapshot()));
            }
        }
        let fed = script.fed();
        let mut keys = self.emitted(&fed.iter().map(|fed| (fed.n, fed.key.clone())).collect())?;
        let every: BTreeSet<&Key> = fed.iter().map(|fed| &fed.key).collect();
        for key in every {
            keys.entry(key.clone()).or_default().state = self.state(key).await?;
        }
        self.plan.workload.check(&End { plan: &self.plan, fed, dead: self.dead().await?, keys })
    }

    async fn state(&self, key: &Key) -> Result<Value, String> {
        let store = MemoryStore::new(Arc::clone(&self.memory));
        let lookup = Lookup { keys: vec![KeyLookup { key: key.clone(), line: Vec::new() }], ..Lookup::default() };
        let found = store.lookup(vec![(key.partition(PARTITIONS), lookup)]).await.map_err(|error| error.to_string())?;
        let record = KeyRecord::decode(&found[0].keys[0].record).map_err(|error| error.to_string())?;
        Ok(record.state.unwrap_or_default())
    }

    async fn dead(&self) -> Result<Vec<Letter>, String> {
        let store = MemoryStore::new(Arc::clone(&self.memory));
        let mut letters = Vec::new();
        for (_, letter) in store.dead_letters(false).await.map_err(|error| error.to_string())? {
            let (record, payload) = DeadRecord::decode(&letter.body).map_err(|error| error.to_string())?;
            let refused = record.emission.is_some() && self.plan.workload.refuses(&payload);
            letters.push(Letter { data: data(&payload)?, refused, open: letter.open, record });
        }
        Ok(letters)
    }

    /// By the key of its cause, which an emission names by its number.
    fn emitted(&self, causes: &BTreeMap<u64, Key>) -> Result<BTreeMap<Key, KeyEnd>, String> {
        let mut keys: BTreeMap<Key, KeyEnd> = BTreeMap::new();
        // Where an emission was stored last.
        let mut stored: BTreeMap<String, u64> = BTreeMap::new();
        for raw in self.bus.events("out") {
            let event: Value = serde_json::from_slice(&raw.payload).map_err(|error| error.to_string())?;
            let id = event["id"].as_str().unwrap_or_default().to_owned();
            let key = event["data"]["n"].as_u64().and_then(|n| causes.get(&n)).ok_or("an emission of nothing")?;
            let Some(before) = stored.insert(id, raw.position.seq) else {
                keys.entry(key.clone()).or_default().emitted.push(event["data"].clone());
                continue;
            };
            // The broker knows an id again until it forgets it.
            if !self.forgot.iter().any(|at| (before..raw.position.seq).contains(at)) {
                return Err(format!("key {key}: emitted twice: {}", event["data"]));
            }
        }
        Ok(keys)
    }
}

fn data(payload: &[u8]) -> Result<Value, String> {
    let mut event: Value = serde_json::from_slice(payload).map_err(|error| error.to_string())?;
    Ok(event["data"].take())
}
