//! One partition's data and the two calls that matter: lookup and commit.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::time::Duration;

use bytes::Bytes;

use crate::event::{ChannelName, ContentDigest, Key, MarkId, Millis, Partition};
use crate::mutant::{self, Mutant};
use crate::store::{
    Census, Commit, Committed, Condition, DeadLetter, Found, FoundKey, Group, Lookup, Mark, MarkStatus, Nonce,
    OutboxEntry, ParkedEvent, Place, Range, StoreError, Timer, Touch, Verdict, Which, Write, WriterId,
};

/// Bytes of a key's parked events in one answer; one event goes over it.
const LINE_BYTES: usize = 1 << 20;

#[derive(Clone, Default)]
pub(super) struct PartitionData {
    /// The newest first.
    generations: Vec<Generation>,
    records: HashMap<Key, (Nonce, Bytes)>,
    parked: HashMap<MarkId, ParkedEvent>,
    parked_bytes: u64,
    lines: HashMap<Key, BTreeSet<(Place, MarkId)>>,
    timers: BTreeMap<Key, Millis>,
    outbox: BTreeMap<u64, Bytes>,
    outbox_seq: u64,
    dead: BTreeMap<MarkId, DeadLetter>,
    started: HashMap<MarkId, Vec<WriterId>>,
    commits: HashMap<WriterId, u64>,
    positions: HashMap<ChannelName, u64>,
}

#[derive(Clone)]
struct Generation {
    start: Millis,
    marks: HashMap<MarkId, (MarkStatus, ContentDigest)>,
}

impl PartitionData {
    pub fn lookup(&self, lookup: &Lookup) -> Found {
        let key = |key: &Key, line: &[Range]| {
            let parked = line.iter().map(|part| self.line(key, *part)).collect();
            let (nonce, record) = self.records.get(key).cloned().unzip();
            FoundKey { nonce, record: record.unwrap_or_default(), parked }
        };
        Found {
            marks: lookup.marks.iter().map(|id| self.mark(id)).collect(),
            keys: lookup.keys.iter().map(|asked| key(&asked.key, &asked.line)).collect(),
            dead: lookup.dead.iter().map(|id| self.dead_letter(id)).collect(),
            parked_bytes: self.parked_bytes,
        }
    }

    /// Parked first: an event that died, was replayed and waits again is waiting.
    fn mark(&self, id: &MarkId) -> Option<Mark> {
        if let Some(parked) = self.parked.get(id) {
            return Some(Mark::Parked { content: parked.content });
        }
        let (status, content) = self.generations.iter().find_map(|generation| generation.marks.get(id))?;
        Some(Mark::Finished { status: *status, content: *content })
    }

    pub fn commit(&mut self, commit: Commit, retain: Duration) -> Result<Committed, StoreError> {
        let known = self.commits.get(&commit.writer).copied().unwrap_or(0);
        if known != commit.expected_number {
            return Err(StoreError::TailLost(format!(
                "partition {} knows {known} commits of this runner, not as many as were acknowledged",
                commit.partition.0
            )));
        }
        self.rotate(commit.now, retain);
        // All are judged before the first is written.
        let verdicts: Vec<Verdict> = commit.groups.iter().map(|group| self.judge(group)).collect();
        let outbox_before = self.outbox_seq;
        self.commits.insert(commit.writer, known + 1);
        commit.cleared.iter().for_each(|number| drop(self.outbox.remove(number)));
        commit.returned.iter().for_each(|event| self.returned(event));
        for (group, verdict) in commit.groups.into_iter().zip(&verdicts) {
            if *verdict == Verdict::Committed {
                self.write(group);
            }
        }
        let (outbox_len, parked_bytes) = (self.outbox.len() as u64, self.parked_bytes);
        Ok(Committed { verdicts, outbox_before, outbox_len, parked_bytes })
    }

    /// A generation takes marks for half of `retain` and is kept until the last of them is as old as `retain`.
    /// Forwards only: a clock that goes back drops nothing and starts nothing.
    fn rotate(&mut self, now: Millis, retain: Duration) {
        self.generations.retain(|generation| now < generation.start.plus(retain + retain / 2));
        if self.generations.first().is_none_or(|newest| now >= newest.start.plus(retain / 2)) {
            self.generations.insert(0, Generation { start: now, marks: HashMap::new() });
        }
    }

    fn judge(&self, group: &Group) -> Verdict {
        let nonce = |touch: &Touch| self.records.get(&touch.key).map(|(nonce, _)| *nonce);
        let fresh = group.touch.as_ref().is_none_or(|touch| nonce(touch) == touch.expected)
            || mutant::on(Mutant::NoVersionCheck);
        let holds = |condition: &Condition| match condition {
            Condition::Unmarked(id) => self.mark(id).is_none(),
            Condition::Parked(id) => self.parked.contains_key(id),
            Condition::DeadOpen { id, generation } => {
                self.dead.get(id).is_some_and(|letter| letter.open && letter.generation == *generation)
            }
            Condition::Owed(number) => self.outbox.contains_key(number),
        };
        let released = group.conditions.iter().any(|condition| matches!(condition, Condition::Parked(_)));
        if released && mutant::on(Mutant::ReleaseUnconditionally) {
            return Verdict::Committed;
        }
        if fresh && group.conditions.iter().all(holds) { Verdict::Committed } else { Verdict::Stale }
    }

    fn write(&mut self, group: Group) {
        let key = group.touch.as_ref().map(|touch| touch.key.clone());
        if let Some(touch) = group.touch {
            match touch.timer {
                Some(due) => drop(self.timers.insert(touch.key.clone(), due)),
                None => drop(self.timers.remove(&touch.key)),
            }
            self.records.insert(touch.key, (touch.new, touch.record));
        }
        for write in group.writes {
            match write {
                Write::Mark { id, status, content } => {
                    if let Some(newest) = self.generations.first_mut() {
                        newest.marks.insert(id, (status, content));
                    }
                }
                Write::Park(parked) => self.park(key.as_ref(), parked),
                Write::Unpark { mark } => self.unpark(key.as_ref(), &mark),
                Write::Emit(body) => {
                    self.outbox_seq += 1;
                    self.outbox.insert(self.outbox_seq, body);
                }
                Write::Unowe(number) => drop(self.outbox.remove(&number)),
                Write::Dead { id, body } => self.dead_next(id, body, true),
                Write::CloseDead { id, body } => {
                    if self.dead.contains_key(&id) {
                        self.dead_next(id, body, false);
                    }
                }
            }
        }
    }

    fn park(&mut self, key: Option<&Key>, parked: ParkedEvent) {
        self.unpark(key, &parked.mark);
        if let Some(key) = key {
            let line = self.lines.entry(key.clone()).or_default();
            line.extend(parked.places().map(|place| (place, parked.mark)));
        }
        self.parked_bytes += parked.body.len() as u64;
        self.parked.insert(parked.mark, parked);
    }

    fn unpark(&mut self, key: Option<&Key>, mark: &MarkId) {
        let Some(parked) = self.parked.remove(mark) else { return };
        self.parked_bytes -= parked.body.len() as u64;
        if let Some(line) = key.and_then(|key| self.lines.get_mut(key)) {
            for place in parked.places() {
                line.remove(&(place, *mark));
            }
        }
    }

    fn dead_next(&mut self, id: MarkId, body: Bytes, open: bool) {
        let generation = self.dead.get(&id).map_or(0, |letter| letter.generation) + 1;
        self.dead.insert(id, DeadLetter { id, open, generation, body });
    }

    pub fn start(&mut self, event: MarkId, runner: WriterId) -> u32 {
        let runners = self.started.entry(event).or_default();
        if !runners.contains(&runner) {
            runners.push(runner);
        }
        u32::try_from(runners.len()).unwrap_or(u32::MAX)
    }

    pub fn returned(&mut self, event: &MarkId) {
        self.started.remove(event);
    }

    pub fn position(&self, channel: &ChannelName) -> Option<u64> {
        self.positions.get(channel).copied()
    }

    pub fn advance(&mut self, channel: &ChannelName, position: u64) {
        let held = self.positions.entry(channel.clone()).or_default();
        *held = position.max(*held);
    }

    pub fn outbox(&self) -> Vec<OutboxEntry> {
        self.outbox.iter().map(|(number, body)| OutboxEntry { number: *number, body: body.clone() }).collect()
    }

    pub fn timers(&self, partition: Partition, until: Millis, limit: usize) -> Vec<Timer> {
        let due = self.timers.iter().filter(|(_, due)| **due <= until);
        let mut timers: Vec<Timer> = due.map(|(key, due)| Timer { partition, key: key.clone(), due: *due }).collect();
        timers.sort_by_key(|timer| timer.due);
        timers.truncate(limit);
        timers
    }

    pub fn dead_letters(&self) -> impl Iterator<Item = DeadLetter> {
        self.dead.values().cloned()
    }

    pub fn dead_letter(&self, id: &MarkId) -> Option<DeadLetter> {
        self.dead.get(id).cloned()
    }

    pub fn keys(&self, which: Which) -> Vec<Key> {
        let mut keys: Vec<Key> = match which {
            Which::All => self.records.keys().cloned().collect(),
            Which::WithParked => {
                self.lines.iter().filter(|(_, line)| !line.is_empty()).map(|(k, _)| k.clone()).collect()
            }
        };
        keys.sort();
        keys
    }

    /// Up to the entry that goes over [`LINE_BYTES`].
    pub fn line(&self, key: &Key, part: Range) -> Vec<ParkedEvent> {
        let Some(line) = self.lines.get(key).filter(|_| part.from <= part.to) else { return Vec::new() };
        let within = line.range((part.from, MarkId([0; 16]))..=(part.to, MarkId([0xff; 16]))).take(part.limit);
        let mut weight = 0;
        let page = within.filter_map(|(_, mark)| self.parked.get(mark)).take_while(|event| {
            let room = weight <= LINE_BYTES;
            weight += event.body.len();
            room
        });
        page.cloned().collect()
    }

    /// With its key, and how many stand before it.
    pub fn parked(&self, id: &MarkId) -> Option<(Key, u64, ParkedEvent)> {
        let event = self.parked.get(id)?;
        let place = (event.place, *id);
        let (key, line) = self.lines.iter().find(|(_, line)| line.contains(&place))?;
        Some((key.clone(), line.range(..place).count() as u64, event.clone()))
    }

    pub fn census(&self) -> Census {
        Census {
            parked: self.parked.len() as u64,
            outbox: self.outbox.len() as u64,
            dead_open: self.dead.values().filter(|letter| letter.open).count() as u64,
            keys_with_timer: self.timers.len() as u64,
        }
    }
}
