//! The store in memory: what the contract says, in its plainest form. For tests, `sluice test` and `memory: {}`.
//!
//! A [`Memory`] is the data, as a server would hold it; a [`MemoryStore`] is one runner's handle on it. A handle may
//! be dropped and another opened on the same data, as when a runner dies.

mod partition;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use futures_util::future::{BoxFuture, ready};

use self::partition::PartitionData;
use super::contract;
use super::listing::PAGE;
use super::{
    Answer, Census, Commit, Committed, Cursor, DeadLetter, Durability, Found, Holder, KeysPage, Lease, Lookup, Opened,
    OutboxEntry, ParkedAt, ParkedEvent, Range, SILENT_FOR, Store, StoreError, Timer, Which, WriterId,
};
use crate::event::{ChannelName, Key, MarkId, Millis, Partition};

/// What this store is worth, in a sentence.
pub const NOTHING_OUTLIVES: &str = "the store is in memory: nothing outlives the process";

/// One pipeline's data. Outlives its handles.
pub struct Memory {
    retain: Duration,
    data: Mutex<Data>,
}

#[derive(Clone)]
struct Data {
    partitions: Vec<PartitionData>,
    /// When each last gave a sign of life.
    runners: BTreeMap<[u8; 16], Millis>,
    /// The latest time any commit named.
    now: Millis,
    known: bool,
    incarnation: u64,
    /// Whose, and until when.
    lease: Option<(WriterId, Millis)>,
}

/// The data at one moment, to go back to.
pub struct Snapshot(Data);

impl Memory {
    /// Events are remembered for `retain` at least.
    pub fn new(partitions: u16, retain: Duration) -> Arc<Self> {
        let partitions = (0..partitions).map(|_| PartitionData::default()).collect();
        let data = Data {
            partitions,
            runners: BTreeMap::new(),
            now: Millis::default(),
            known: false,
            incarnation: 1,
            lease: None,
        };
        Arc::new(Self { retain, data: Mutex::new(data) })
    }

    pub fn snapshot(&self) -> Snapshot {
        Snapshot(self.lock().clone())
    }

    /// What a server does that restarts having lost everything since the snapshot: handles find its tail lost.
    pub fn restart_from(&self, snapshot: Snapshot) {
        let mut data = self.lock();
        let incarnation = data.incarnation + 1;
        *data = Data { incarnation, ..snapshot.0 };
    }

    /// What a server does that restarts and lost nothing.
    pub fn restart(&self) {
        self.lock().incarnation += 1;
    }

    fn lock(&self) -> MutexGuard<'_, Data> {
        self.data.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// One runner's handle.
pub struct MemoryStore {
    memory: Arc<Memory>,
    session: Mutex<Option<Session>>,
}

struct Session {
    runner: WriterId,
    incarnation: u64,
    /// Not closed.
    noted: bool,
    /// Whom it found noted when it opened.
    found: BTreeSet<[u8; 16]>,
}

impl MemoryStore {
    pub fn new(memory: Arc<Memory>) -> Self {
        Self { memory, session: Mutex::new(None) }
    }

    fn session(&self) -> MutexGuard<'_, Option<Session>> {
        self.session.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Who this handle is, once it is noted.
    fn noted(&self) -> Option<WriterId> {
        self.session().as_ref().filter(|session| session.noted).map(|session| session.runner)
    }

    /// Answers at once, with the data locked.
    fn now<T: Send + 'static>(&self, ask: impl FnOnce(&mut Data) -> Result<T, StoreError>) -> Answer<'_, T> {
        Box::pin(ready(self.same_process().and_then(|mut data| ask(&mut data))))
    }

    fn same_process(&self) -> Result<MutexGuard<'_, Data>, StoreError> {
        let opened = self.session().as_ref().map(|session| session.incarnation);
        let data = self.memory.lock();
        if opened.is_some_and(|opened| opened != data.incarnation) {
            return Err(StoreError::TailLost("the memory store was restarted".to_owned()));
        }
        Ok(data)
    }
}

impl Data {
    fn sign(&mut self, runner: Option<WriterId>) {
        if let Some(runner) = runner {
            self.runners.insert(runner.0, self.now);
        }
    }

    fn at(&mut self, partition: Partition) -> Result<&mut PartitionData, StoreError> {
        contract::check_partition(partition, self.partition_count())?;
        Ok(&mut self.partitions[usize::from(partition.0)])
    }

    fn partition_count(&self) -> u16 {
        u16::try_from(self.partitions.len()).expect("made from a u16 of partitions")
    }

    fn each(&mut self) -> impl Iterator<Item = (Partition, &mut PartitionData)> {
        self.partitions.iter_mut().zip(0..).map(|(partition, number)| (Partition(number), partition))
    }

    fn holder(&self, now: Millis) -> Option<Holder> {
        let (runner, until) = self.lease.filter(|(_, until)| *until > now)?;
        Some(Holder { runner, left: until.since(now) })
    }
}

impl Store for MemoryStore {
    fn open(&self, runner: WriterId) -> Answer<'_, Opened> {
        let mut session = self.session();
        let mut data = self.memory.lock();
        if let Some(before) = session.take()
            && before.runner != runner
        {
            data.runners.remove(&before.runner.0);
        }
        let now = data.now;
        data.runners.insert(runner.0, now);
        let found: BTreeSet<_> = data.runners.keys().copied().filter(|other| *other != runner.0).collect();
        let opened = Opened {
            fresh: !std::mem::replace(&mut data.known, true),
            unclean: !found.is_empty(),
            incarnation: data.incarnation.to_string(),
            durability: Durability::None,
            warnings: vec![NOTHING_OUTLIVES.to_owned()],
        };
        *session = Some(Session { runner, incarnation: data.incarnation, noted: true, found });
        Box::pin(ready(Ok(opened)))
    }

    fn close(&self, runner: WriterId) -> Answer<'_, ()> {
        let mut found = BTreeSet::new();
        if let Some(session) = self.session().as_mut().filter(|session| session.runner == runner) {
            session.noted = false;
            found = std::mem::take(&mut session.found);
        }
        self.now(|data| {
            let now = data.now;
            data.runners.remove(&runner.0);
            data.runners.retain(|other, seen| !found.contains(other) || now.since(*seen) <= SILENT_FOR);
            Ok(())
        })
    }

    fn probe(&self) -> Answer<'_, ()> {
        self.now(|_| Ok(()))
    }

    fn lookup(&self, lookups: Vec<(Partition, Lookup)>) -> Answer<'_, Vec<Found>> {
        let runner = self.noted();
        self.now(|data| {
            data.sign(runner);
            lookups.iter().map(|(partition, lookup)| Ok(data.at(*partition)?.lookup(lookup))).collect()
        })
    }

    fn commit(&self, commits: Vec<Commit>) -> BoxFuture<'_, Vec<Result<Committed, StoreError>>> {
        let runner = self.noted();
        let answers = match self.same_process() {
            Err(failure) => vec![Err(failure); commits.len()],
            Ok(mut data) => commits
                .into_iter()
                .map(|commit| {
                    contract::check(&commit, data.partition_count())?;
                    data.now = data.now.max(commit.now);
                    data.sign(runner);
                    data.at(commit.partition)?.commit(commit, self.memory.retain)
                })
                .collect(),
        };
        Box::pin(ready(answers))
    }

    fn start(&self, partition: Partition, event: MarkId, runner: WriterId) -> Answer<'_, u32> {
        self.now(|data| Ok(data.at(partition)?.start(event, runner)))
    }

    fn returned(&self, events: Vec<(Partition, MarkId)>) -> Answer<'_, ()> {
        self.now(|data| {
            events.iter().try_for_each(|(partition, event)| {
                data.at(*partition)?.returned(event);
                Ok(())
            })
        })
    }

    fn position(&self, channel: &ChannelName) -> Answer<'_, Option<u64>> {
        self.now(|data| {
            let held: Option<Vec<u64>> = data.each().map(|(_, data)| data.position(channel)).collect();
            Ok(held.and_then(|held| held.into_iter().min()))
        })
    }

    fn advance(&self, channel: &ChannelName, held: Option<u64>, position: u64) -> Answer<'_, ()> {
        if self.session().is_none() {
            let bug = "the store refused a call: `advance` before `open`; please report this as a bug";
            return Box::pin(ready(Err(StoreError::Refused(bug.to_owned()))));
        }
        self.now(|data| {
            if let Some((partition, data)) = data.each().find(|(_, data)| data.position(channel) < held) {
                return Err(contract::position_lost(partition, channel, data.position(channel)));
            }
            data.each().for_each(|(_, data)| data.advance(channel, position));
            Ok(())
        })
    }

    fn outbox(&self, partition: Partition) -> Answer<'_, Vec<OutboxEntry>> {
        self.now(|data| Ok(data.at(partition)?.outbox()))
    }

    fn outbox_lens(&self) -> Answer<'_, Vec<u64>> {
        self.now(|data| Ok(data.each().map(|(_, data)| data.census().outbox).collect()))
    }

    fn timers(&self, until: Millis, limit: usize) -> Answer<'_, Vec<Timer>> {
        self.now(|data| {
            let mut timers: Vec<Timer> = data.each().flat_map(|(p, data)| data.timers(p, until, limit)).collect();
            timers.sort_by_key(|timer| timer.due);
            Ok(timers)
        })
    }

    fn dead_letters(&self, open_only: bool) -> Answer<'_, Vec<(Partition, DeadLetter)>> {
        self.now(|data| {
            let letters = data.each().flat_map(|(p, data)| data.dead_letters().map(move |letter| (p, letter)));
            Ok(letters.filter(|(_, letter)| letter.open || !open_only).collect())
        })
    }

    fn dead_letter(&self, id: MarkId) -> Answer<'_, Option<(Partition, DeadLetter)>> {
        self.now(|data| Ok(data.each().find_map(|(p, data)| Some((p, data.dead_letter(&id)?)))))
    }

    fn keys(&self, which: Which, from: Option<Cursor>) -> Answer<'_, KeysPage> {
        self.now(|data| {
            let keys = data.each().flat_map(|(p, data)| data.keys(which).into_iter().map(move |key| (p, key)));
            let behind = |(partition, key): &(Partition, Key)| {
                from.as_ref().is_none_or(|from| (*partition, key.as_str()) > (from.partition, from.after.as_str()))
            };
            Ok(KeysPage::in_order(keys.filter(behind).take(PAGE).collect()))
        })
    }

    fn line(&self, partition: Partition, key: &Key, part: Range) -> Answer<'_, Vec<ParkedEvent>> {
        self.now(|data| Ok(data.at(partition)?.line(key, part)))
    }

    fn parked(&self, id: MarkId) -> Answer<'_, Option<ParkedAt>> {
        self.now(|data| {
            Ok(data.each().find_map(|(partition, data)| {
                let (key, before, event) = data.parked(&id)?;
                Some(ParkedAt { partition, key, before, event })
            }))
        })
    }

    fn census(&self) -> Answer<'_, Census> {
        self.now(|data| {
            let add = |sum: Census, one: Census| Census {
                parked: sum.parked + one.parked,
                outbox: sum.outbox + one.outbox,
                dead_open: sum.dead_open + one.dead_open,
                keys_with_timer: sum.keys_with_timer + one.keys_with_timer,
            };
            Ok(data.each().map(|(_, data)| data.census()).fold(Census::default(), add))
        })
    }

    fn lease(&self, runner: WriterId, lasts: Duration, now: Millis) -> Answer<'_, Lease> {
        let mut data = self.memory.lock();
        let lease = match data.holder(now).filter(|holder| holder.runner != runner) {
            Some(holder) => Lease::Theirs(holder),
            None => {
                data.lease = Some((runner, now.plus(lasts)));
                Lease::Ours
            }
        };
        Box::pin(ready(Ok(lease)))
    }

    fn release(&self, runner: WriterId) -> Answer<'_, ()> {
        self.memory.lock().lease.take_if(|(holder, _)| *holder == runner);
        Box::pin(ready(Ok(())))
    }

    fn holder(&self, now: Millis) -> Answer<'_, Option<Holder>> {
        Box::pin(ready(Ok(self.memory.lock().holder(now))))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testkit::conformance::store::{Handles, PARTITIONS, RETAIN, Subject, failures, lease_failures};

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn conforms() {
        let subject: Subject = Arc::new(|| -> Handles {
            let memory = Memory::new(PARTITIONS, RETAIN);
            Arc::new(move || Arc::new(MemoryStore::new(memory.clone())))
        });
        assert_eq!(failures(&subject).await, [""; 0]);
        assert_eq!(lease_failures(&subject).await, [""; 0]);
    }

    #[tokio::test]
    async fn a_restart_that_lost_its_tail_is_told_until_the_store_is_opened_again() {
        let memory = Memory::new(2, Duration::from_secs(60));
        let store = MemoryStore::new(memory.clone());
        let runner = WriterId([1; 16]);
        let opened = store.open(runner).await.expect("it opens");
        let channel: ChannelName = "orders".into();
        store.advance(&channel, None, 5).await.expect("an advance");
        let snapshot = memory.snapshot();
        store.advance(&channel, Some(5), 9).await.expect("an advance");
        memory.restart_from(snapshot);
        assert!(matches!(store.probe().await, Err(StoreError::TailLost(_))));
        assert!(matches!(store.advance(&channel, Some(9), 10).await, Err(StoreError::TailLost(_))));
        let again = store.open(runner).await.expect("it opens");
        assert_ne!(again.incarnation, opened.incarnation);
        assert_eq!(store.position(&channel).await.expect("a position"), Some(5));
        assert!(matches!(store.advance(&channel, Some(9), 10).await, Err(StoreError::TailLost(_))));
        assert_eq!(store.position(&channel).await.expect("a position"), Some(5));
    }

    #[tokio::test]
    async fn a_clean_stop_settles_the_end_of_the_silent_and_not_of_the_living() {
        let memory = Memory::new(2, Duration::from_secs(60));
        let [silent, living, closing] = [1, 2, 3].map(|n| (MemoryStore::new(memory.clone()), WriterId([n; 16])));
        for (store, runner) in [&silent, &living, &closing] {
            store.open(*runner).await.expect("it opens");
        }
        let commit = Commit {
            partition: Partition(0),
            writer: closing.1,
            expected_number: 0,
            now: Millis(61_000),
            groups: Vec::new(),
            cleared: Vec::new(),
            returned: Vec::new(),
        };
        assert!(closing.0.commit(vec![commit]).await.iter().all(Result::is_ok));
        living.0.lookup(Vec::new()).await.expect("a lookup");
        closing.0.close(closing.1).await.expect("a close");
        let noted = || memory.lock().runners.keys().copied().collect::<Vec<_>>();
        assert_eq!(noted(), [living.1.0]);
        closing.0.lookup(Vec::new()).await.expect("a lookup");
        silent.0.lookup(Vec::new()).await.expect("a lookup");
        assert_eq!(noted(), [silent.1.0, living.1.0], "who was silent and lives after all is noted again");
    }
}
