//! A runner at work, and short words for what it does.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;

use super::Handles;
use crate::clock::{Entropy as _, SeededEntropy};
use crate::event::{ContentDigest, Key, MarkId, Millis, Partition};
use crate::store::{
    Commit, Committed, Condition, Found, FoundKey, Group, KeyLookup, Lookup, Mark, MarkStatus, Nonce, Opened,
    ParkedEvent, Place, Range, Store, StoreError, Touch, Verdict, Write, WriterId,
};

pub const HERE: Partition = Partition(1);
pub const NOW: Millis = Millis(1_700_000_000_000);

/// One runner with a handle of its own. Counts its acknowledged commits as the flow does.
pub struct Bench {
    pub store: Arc<dyn Store>,
    pub writer: WriterId,
    pub opened: Opened,
    numbers: Mutex<HashMap<Partition, u64>>,
    entropy: SeededEntropy,
}

impl Bench {
    pub async fn open(handles: &Handles, runner: u8) -> Self {
        let store = handles();
        let writer = WriterId([runner; 16]);
        let opened = store.open(writer).await.expect("the store opens");
        Self { store, writer, opened, numbers: Mutex::default(), entropy: SeededEntropy::new(u64::from(runner) + 1) }
    }

    pub fn nonce(&self) -> Nonce {
        Nonce(self.entropy.fresh())
    }

    /// A commit as the flow would make it next.
    pub fn draft(&self, partition: Partition, groups: Vec<Group>) -> Commit {
        let number = self.numbers.lock().unwrap_or_else(PoisonError::into_inner).get(&partition).copied().unwrap_or(0);
        Commit {
            partition,
            writer: self.writer,
            expected_number: number,
            now: NOW,
            groups,
            cleared: Vec::new(),
            returned: Vec::new(),
        }
    }

    pub async fn send(&self, commit: Commit) -> Result<Committed, StoreError> {
        let partition = commit.partition;
        let mut answers = self.store.commit(vec![commit]).await;
        assert_eq!(answers.len(), 1, "one answer a commit");
        let answer = answers.remove(0);
        if answer.is_ok() {
            *self.numbers.lock().unwrap_or_else(PoisonError::into_inner).entry(partition).or_default() += 1;
        }
        answer
    }

    pub async fn commit(&self, groups: Vec<Group>) -> Committed {
        self.commit_at(NOW, groups).await
    }

    pub async fn commit_at(&self, now: Millis, groups: Vec<Group>) -> Committed {
        self.send(Commit { now, ..self.draft(HERE, groups) }).await.expect("the commit is taken")
    }

    /// Commits one group and tells whether it was written.
    pub async fn holds(&self, group: Group) -> bool {
        self.commit(vec![group]).await.verdicts == [Verdict::Committed]
    }

    /// Commits one group that must be written.
    pub async fn must(&self, group: Group) {
        assert!(self.holds(group.clone()).await, "must be written: {group:?}");
    }

    pub async fn found(&self, lookup: Lookup) -> Found {
        let mut found = self.store.lookup(vec![(HERE, lookup)]).await.expect("a lookup");
        assert_eq!(found.len(), 1, "one answer a lookup");
        found.remove(0)
    }

    pub async fn mark(&self, id: MarkId) -> Option<Mark> {
        let mut found = self.found(Lookup { marks: vec![id], ..Lookup::default() }).await;
        assert_eq!(found.marks.len(), 1, "one answer a mark");
        found.marks.remove(0)
    }

    /// The key without its line.
    pub async fn key(&self, name: &Key) -> FoundKey {
        self.parts(name, &[]).await
    }

    /// The key and these parts of its line.
    pub async fn parts(&self, name: &Key, line: &[Range]) -> FoundKey {
        let keys = vec![KeyLookup { key: name.clone(), line: line.to_vec() }];
        let mut found = self.found(Lookup { keys, ..Lookup::default() }).await;
        assert_eq!(found.keys.len(), 1, "one answer a key");
        assert_eq!(found.keys[0].parked.len(), line.len(), "one answer a part");
        found.keys.remove(0)
    }

    /// Up to a hundred of a key's parked events.
    pub async fn line(&self, name: &Key) -> Vec<ParkedEvent> {
        self.parts(name, &[Range::all(100)]).await.parked.remove(0)
    }
}

pub fn key(name: &str) -> Key {
    Key::new(name).expect("a key")
}

pub fn id(n: u32) -> MarkId {
    let mut bytes = [0x5a; 16];
    // At both ends: whatever part of an id shards go by, these differ there.
    bytes[..4].copy_from_slice(&n.to_be_bytes());
    bytes[12..].copy_from_slice(&n.to_le_bytes());
    MarkId(bytes)
}

pub fn content(n: u8) -> ContentDigest {
    ContentDigest([n, 0, 255, 10, 13, 0, 0, n])
}

pub fn body(text: &str) -> Bytes {
    Bytes::copy_from_slice(text.as_bytes())
}

/// A group without a key.
pub fn keyless() -> Group {
    Group::default()
}

pub fn touch(name: &Key, expected: Option<Nonce>, new: Nonce, record: &str) -> Group {
    let touch = Touch { key: name.clone(), expected, new, record: body(record), timer: None };
    Group { touch: Some(touch), ..Group::default() }
}

impl Group {
    pub(super) fn when(mut self, condition: Condition) -> Self {
        self.conditions.push(condition);
        self
    }

    pub(super) fn then(mut self, write: Write) -> Self {
        self.writes.push(write);
        self
    }

    pub(super) fn done(self, n: u32) -> Self {
        self.then(Write::Mark { id: id(n), status: MarkStatus::Done, content: content(1) })
    }

    pub(super) fn park(self, n: u32, order: u64) -> Self {
        self.then(Write::Park(parked(n, order)))
    }

    pub(super) fn unpark(self, n: u32) -> Self {
        self.then(Write::Unpark { mark: id(n) })
    }

    pub(super) fn due(mut self, due: Millis) -> Self {
        self.touch.as_mut().expect("a key has timers").timer = Some(due);
        self
    }
}

pub fn parked(n: u32, order: u64) -> ParkedEvent {
    let body = body(&format!("parked {n} at {order}"));
    ParkedEvent { mark: id(n), content: content(2), place: at(order), also: None, body }
}

pub fn two_places(n: u32, place: u64, also: u64) -> ParkedEvent {
    ParkedEvent { also: Some(at(also)), ..parked(n, place) }
}

/// Places in the order of their numbers.
pub fn at(order: u64) -> Place {
    let mut bytes = [0x0a; Place::BYTES];
    bytes[..8].copy_from_slice(&order.to_be_bytes());
    Place(bytes)
}

pub fn between(from: u64, to: u64, limit: usize) -> Range {
    Range { from: at(from), to: at(to), limit }
}

pub fn finished(status: MarkStatus) -> Option<Mark> {
    Some(Mark::Finished { status, content: content(1) })
}
