//! The state of keys, as it stands in the store.

use super::ledger::{Keys, Ledger, Trouble};
use crate::event::{Key, Millis, Partition};
use crate::store::record::{KeyRecord, Unreadable};
use crate::store::{KeyLookup, Lookup, Which};

/// Records that are read in one call: each may hold a state of `limits.state`, 1 MiB unless set.
const AT_ONCE: usize = 32;

/// A key and what is kept of it.
#[derive(Clone, Debug)]
pub struct Kept {
    pub key: Key,
    pub record: Result<KeyRecord, Unreadable>,
}

impl Kept {
    /// When it next needs attention without an arrival: `None` when nothing waits, or its record cannot be read.
    pub fn next(&self, now: Millis) -> Option<Millis> {
        let book = &self.record.as_ref().ok()?.book;
        (book.parked > 0).then(|| book.blocked_until.unwrap_or(now))
    }

    /// Length of its state as compact JSON.
    pub fn bytes(&self) -> usize {
        let state = self.record.as_ref().ok().and_then(|record| record.state.as_ref());
        state.map_or(0, |state| state.to_string().len())
    }
}

impl Ledger {
    /// `None`: no event of this key was ever committed.
    pub async fn kept(&self, key: &Key) -> Result<Option<Kept>, Trouble> {
        let partition = key.partition(self.pipeline.partitions);
        Ok(self.read(vec![(partition, key.clone())]).await?.pop())
    }

    /// Every key that begins so.
    pub fn states<'l>(&'l self, prefix: &'l str) -> States<'l> {
        States { ledger: self, keys: self.keys(Which::All), prefix }
    }

    async fn read(&self, keys: Vec<(Partition, Key)>) -> Result<Vec<Kept>, Trouble> {
        let lookup =
            |key: &Key| Lookup { keys: vec![KeyLookup { key: key.clone(), line: Vec::new() }], ..Lookup::default() };
        let lookups = keys.iter().map(|(partition, key)| (*partition, lookup(key))).collect();
        let found = self.store.lookup(lookups).await?.into_iter().flat_map(|found| found.keys);
        let known = keys.into_iter().zip(found).filter(|(_, found)| found.nonce.is_some());
        Ok(known.map(|((_, key), found)| Kept { key, record: KeyRecord::decode(&found.record) }).collect())
    }
}

/// A walk through the keys of a store, a page in memory.
pub struct States<'l> {
    ledger: &'l Ledger,
    keys: Keys<'l>,
    prefix: &'l str,
}

impl States<'_> {
    /// Some more. `None`: those were all.
    pub async fn page(&mut self) -> Result<Option<Vec<Kept>>, Trouble> {
        let keys = self.keys.take(AT_ONCE, |key| key.as_str().starts_with(self.prefix)).await?;
        if keys.is_empty() {
            return Ok(None);
        }
        self.ledger.read(keys).await.map(Some)
    }
}
