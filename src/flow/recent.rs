//! The records that a worker committed last, so that it need not look for what it wrote itself.
//!
//! A guess, and safe as one: a commit names the nonce of the record it was decided on, and demands of each event that it
//! is not remembered. Where the guess was wrong the group is stale, and the next round looks. So nothing is to be kept in
//! step with anything; what goes stale often only costs runs, and is given up while it does.

use std::collections::HashMap;

use bytes::Bytes;

use crate::event::{Key, Partition};
use crate::store::{FoundKey, Nonce};

/// For all workers of a pipeline together; keys, records and what surrounds them.
const BYTES: usize = 16 << 20;
/// Beside key and record.
const ENTRY_BYTES: usize = 160;
/// Where more of the events than this were handled before, looking for marks first is cheaper than running in vain.
const MOST_DUPLICATES: f64 = 0.05;
/// The share is that of about so many events.
const EVENTS: f64 = 2_560.0;

pub struct Recent {
    /// Twice as old as half of what there is room for: what is not asked for again goes with `old`.
    young: HashMap<Key, FoundKey>,
    old: HashMap<Key, FoundKey>,
    young_bytes: usize,
    half: usize,
    parked_bytes: HashMap<Partition, u64>,
    duplicates: f64,
}

impl Recent {
    /// For the worker of so many partitions out of all.
    pub fn new(partitions: usize, all: u16) -> Self {
        Self {
            young: HashMap::new(),
            old: HashMap::new(),
            young_bytes: 0,
            half: BYTES / 2 * partitions / usize::from(all.max(1)),
            parked_bytes: HashMap::new(),
            duplicates: 0.0,
        }
    }

    /// What a lookup would most likely find, with the bytes that are parked in its partition.
    pub fn recall(&mut self, partition: Partition, key: &Key) -> Option<(FoundKey, u64)> {
        if self.duplicates > MOST_DUPLICATES {
            return None;
        }
        let parked_bytes = *self.parked_bytes.get(&partition)?;
        if let Some(found) = self.young.get(key) {
            return Some((found.clone(), parked_bytes));
        }
        let (key, found) = self.old.remove_entry(key)?;
        self.put(key, found.clone());
        Some((found, parked_bytes))
    }

    pub fn keep(&mut self, key: Key, nonce: Nonce, record: Bytes) {
        self.old.remove(&key);
        self.put(key, FoundKey { nonce: Some(nonce), record, parked: Vec::new() });
    }

    fn put(&mut self, key: Key, found: FoundKey) {
        self.young_bytes += weight(&key, &found);
        let (again, before) = (key.clone(), self.young.insert(key, found));
        self.young_bytes -= before.map_or(0, |before| weight(&again, &before));
        if self.young_bytes > self.half {
            self.old = std::mem::take(&mut self.young);
            self.young_bytes = 0;
        }
    }

    pub fn forget(&mut self, key: &Key) {
        let young = self.young.remove(key);
        self.young_bytes -= young.map_or(0, |found| weight(key, &found));
        self.old.remove(key);
    }

    /// Nobody knows what the store holds now.
    pub fn forget_all(&mut self) {
        self.young.clear();
        self.old.clear();
        self.young_bytes = 0;
    }

    pub fn parked(&mut self, partition: Partition, bytes: u64) {
        self.parked_bytes.insert(partition, bytes);
    }

    /// What became of some events.
    pub fn settled(&mut self, events: usize, duplicates: usize) {
        let (events, duplicates) = (events as f64, duplicates as f64);
        self.duplicates += (duplicates - events * self.duplicates) / EVENTS.max(events);
    }
}

fn weight(key: &Key, found: &FoundKey) -> usize {
    key.as_str().len() + found.record.len() + ENTRY_BYTES
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(n: usize) -> Key {
        Key::new(&format!("k{n}")).expect("a key")
    }

    fn recent() -> Recent {
        let mut recent = Recent::new(16, 16);
        recent.parked(Partition(0), 7);
        recent
    }

    fn knows(recent: &mut Recent, n: usize) -> bool {
        recent.recall(Partition(0), &key(n)).is_some()
    }

    #[test]
    fn what_was_kept_last_is_recalled_until_it_is_forgotten() {
        let mut recent = recent();
        recent.keep(key(1), Nonce([1; 16]), Bytes::from_static(b"one"));
        recent.keep(key(1), Nonce([2; 16]), Bytes::from_static(b"two"));
        let (found, parked) = recent.recall(Partition(0), &key(1)).expect("it was kept");
        assert_eq!((found.nonce, &*found.record, parked), (Some(Nonce([2; 16])), &b"two"[..], 7));
        assert!(recent.recall(Partition(1), &key(1)).is_none(), "of that partition nothing was heard");
        recent.forget(&key(1));
        assert!(!knows(&mut recent, 1));
        assert_eq!(recent.young_bytes, 0);
    }

    #[test]
    fn it_takes_bounded_room_and_keeps_what_is_asked_for() {
        let mut recent = recent();
        let record = Bytes::from(vec![0; 1 << 16]);
        for n in 0..1_000 {
            recent.keep(key(n), Nonce([0; 16]), record.clone());
            assert!(knows(&mut recent, 0), "asked for again and again, after {n}");
            let held: usize = recent.young.iter().chain(&recent.old).map(|(key, found)| weight(key, found)).sum();
            assert!(held <= BYTES + (2 << 16), "{held} bytes");
        }
        assert!(!knows(&mut recent, 1));
    }

    #[test]
    fn it_is_given_up_while_much_comes_again() {
        let mut recent = recent();
        recent.keep(key(1), Nonce([0; 16]), Bytes::new());
        let pass = |recent: &mut Recent, first: usize, again: usize| {
            // What comes again shows only in the round after.
            (0..50).for_each(|_| {
                recent.settled(first, 0);
                recent.settled(again, again);
            });
        };
        pass(&mut recent, 250, 6);
        assert!(knows(&mut recent, 1), "little comes again");
        pass(&mut recent, 200, 56);
        assert!(!knows(&mut recent, 1));
        pass(&mut recent, 256, 0);
        assert!(knows(&mut recent, 1));
    }
}
