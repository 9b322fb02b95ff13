//! The store in the project's own database. Its tables are described in `src/database/schema.sql`.

mod commit;
mod counts;
mod listing;
mod lookup;
mod opening;

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use futures_util::future::{BoxFuture, FutureExt as _};

use super::{
    Answer, Census, Commit, Committed, Cursor, DeadLetter, Found, Holder, KeysPage, Lease, Lookup, Opened, OutboxEntry,
    ParkedAt, ParkedEvent, Range, SILENT_FOR, Store, StoreError, Timer, Which, WriterId, contract,
};
use crate::clock::Clock;
use crate::database::{self, Connection, Database, Row, Trouble, params};
use crate::event::{ChannelName, Key, MarkId, Millis, Partition};

/// How often a runner that reads writes that it lives.
const SIGN_OF_LIFE: Duration = Duration::from_secs(10);

impl From<Trouble> for StoreError {
    fn from(trouble: Trouble) -> Self {
        match trouble {
            Trouble::Passing(why) => Self::Unavailable(why),
            Trouble::Lasting(why) => Self::Refused(why),
        }
    }
}

/// One pipeline's handle.
pub struct EmbeddedStore {
    database: Database,
    pipeline: Arc<str>,
    partitions: u16,
    retain: Duration,
    clock: Arc<dyn Clock>,
    session: Mutex<Session>,
    /// Broken on purpose.
    #[cfg(test)]
    mutant: Option<crate::mutant::Mutant>,
}

#[derive(Default)]
struct Session {
    /// The pipeline's id in the database, once it is known.
    id: Option<i64>,
    /// Signed in and not closed.
    runner: Option<WriterId>,
    /// Whom it found noted when it opened.
    found: BTreeSet<Vec<u8>>,
    signed: Millis,
}

/// A pipeline's partitions in the tables.
#[derive(Clone, Copy, Debug)]
struct Slots {
    first: i64,
    count: u16,
}

impl Slots {
    fn of(pipeline: i64, count: u16) -> Self {
        Self { first: pipeline << 16, count }
    }

    fn of_partition(self, partition: Partition) -> Result<i64, StoreError> {
        contract::check_partition(partition, self.count)?;
        Ok(self.first + i64::from(partition.0))
    }

    fn each(self) -> impl Iterator<Item = (Partition, i64)> {
        (0..self.count).map(move |number| (Partition(number), self.first + i64::from(number)))
    }

    fn last(self) -> i64 {
        self.first + i64::from(self.count) - 1
    }

    fn partition(self, slot: i64) -> Partition {
        Partition(u16::try_from(slot - self.first).unwrap_or(u16::MAX))
    }
}

impl EmbeddedStore {
    pub fn new(
        database: Database,
        pipeline: Arc<str>,
        partitions: u16,
        retain: Duration,
        clock: Arc<dyn Clock>,
    ) -> Self {
        Self {
            database,
            pipeline,
            partitions,
            retain,
            clock,
            session: Mutex::default(),
            #[cfg(test)]
            mutant: None,
        }
    }

    fn session(&self) -> MutexGuard<'_, Session> {
        self.session.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn slots(&self) -> Result<Slots, StoreError> {
        let id = self.session().id;
        id.map(|id| Slots::of(id, self.partitions)).ok_or_else(|| {
            StoreError::Refused(
                "the store refused a call: nobody opened it before; please report this as a bug".to_owned(),
            )
        })
    }

    fn read<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Connection, Slots) -> database::Result<T> + Send + 'static,
    ) -> Answer<'static, T> {
        match self.slots() {
            Err(error) => std::future::ready(Err(error)).boxed(),
            Ok(slots) => {
                let answer = self.database.read(move |connection| work(connection, slots));
                async move { Ok(answer.await?) }.boxed()
            }
        }
    }

    /// The work's own refusals must come before it wrote anything.
    fn write<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Connection, Slots) -> database::Result<Result<T, StoreError>> + Send + 'static,
    ) -> Answer<'static, T> {
        match self.slots() {
            Err(error) => std::future::ready(Err(error)).boxed(),
            Ok(slots) => {
                let answer = self.database.write(move |connection| work(connection, slots));
                async move { answer.await? }.boxed()
            }
        }
    }

    /// Who looks things up, or commits, is alive.
    fn sign(&self) {
        let now = self.clock.now();
        let mut session = self.session();
        let (Some(id), Some(runner)) = (session.id, session.runner) else { return };
        if now.since(session.signed) < SIGN_OF_LIFE {
            return;
        }
        session.signed = now;
        // One that is lost is followed by the next.
        self.database.write_lazily(move |connection| opening::note(connection, id, runner, now), drop);
    }
}

impl Store for EmbeddedStore {
    fn open(&self, runner: WriterId) -> Answer<'_, Opened> {
        self.opened(runner).boxed()
    }

    fn close(&self, runner: WriterId) -> Answer<'_, ()> {
        let (id, found) = {
            let mut session = self.session();
            let mine = session.runner == Some(runner);
            if mine {
                session.runner = None;
            }
            (session.id, if mine { std::mem::take(&mut session.found) } else { BTreeSet::new() })
        };
        let Some(id) = id else { return std::future::ready(Ok(())).boxed() };
        // Where no other can run, those that were found are dead; elsewhere, those that are silent.
        let until = match self.database.is_ours_to_run() {
            true => Millis(i64::MAX),
            false => Millis(self.clock.now().0.saturating_sub(i64::try_from(SILENT_FOR.as_millis()).unwrap_or(0))),
        };
        let done = self.database.write(move |connection| opening::forget(connection, id, runner, &found, until));
        async move { Ok(done.await?) }.boxed()
    }

    fn probe(&self) -> Answer<'_, ()> {
        // By a write: that is what fails when the disk is full or the file is gone. One that changes nothing would not.
        let (runner, now) = (self.session().runner, self.clock.now());
        self.write(move |connection, slots| {
            let signed = runner.map(|runner| opening::note(connection, slots.first >> 16, runner, now));
            signed.unwrap_or(Ok(())).map(Ok)
        })
    }

    fn lookup(&self, lookups: Vec<(Partition, Lookup)>) -> Answer<'_, Vec<Found>> {
        self.sign();
        let slots = match self.slots() {
            Ok(slots) => slots,
            Err(error) => return std::future::ready(Err(error)).boxed(),
        };
        let lookups: Result<Vec<_>, StoreError> =
            lookups.into_iter().map(|(partition, lookup)| Ok((slots.of_partition(partition)?, lookup))).collect();
        match lookups {
            Err(error) => std::future::ready(Err(error)).boxed(),
            Ok(lookups) => self.read(move |connection, _| {
                lookups.iter().map(|(slot, lookup)| lookup::look(connection, *slot, lookup)).collect()
            }),
        }
    }

    fn commit(&self, commits: Vec<Commit>) -> BoxFuture<'_, Vec<Result<Committed, StoreError>>> {
        self.sign();
        let (count, retain) = (commits.len(), self.retain);
        #[cfg(test)]
        let mutant = self.mutant;
        let answers = self.write(move |connection, slots| {
            let each = || {
                let answers = commits.into_iter().map(|one| commit::commit(connection, slots, one, retain));
                answers.collect::<Result<Vec<_>, _>>().map(Ok)
            };
            #[cfg(test)]
            return crate::mutant::with(mutant, each);
            #[cfg(not(test))]
            each()
        });
        async move { answers.await.unwrap_or_else(|error| vec![Err(error); count]) }.boxed()
    }

    fn start(&self, partition: Partition, event: MarkId, runner: WriterId) -> Answer<'_, u32> {
        self.write(move |connection, slots| {
            let slot = match slots.of_partition(partition) {
                Ok(slot) => slot,
                Err(error) => return Ok(Err(error)),
            };
            connection
                .prepare_cached("INSERT OR IGNORE INTO started VALUES (?1, ?2, ?3)")?
                .execute(params![slot, event.0, runner.0])?;
            let runners = connection
                .prepare_cached("SELECT count(*) FROM started WHERE slot = ?1 AND event = ?2")?
                .query_row(params![slot, event.0], |row| row.get(0))?;
            Ok(Ok(runners))
        })
    }

    fn returned(&self, events: Vec<(Partition, MarkId)>) -> Answer<'_, ()> {
        self.write(move |connection, slots| {
            for (partition, event) in events {
                match slots.of_partition(partition) {
                    Ok(slot) => commit::returned(connection, slot, &event)?,
                    Err(error) => return Ok(Err(error)),
                }
            }
            Ok(Ok(()))
        })
    }

    fn position(&self, channel: &ChannelName) -> Answer<'_, Option<u64>> {
        let channel = channel.clone();
        self.read(move |connection, slots| {
            let mut lowest = None;
            for (_, slot) in slots.each() {
                let Some(held) = lookup::position(connection, slot, &channel)? else { return Ok(None) };
                lowest = Some(lowest.map_or(held, |lowest: u64| lowest.min(held)));
            }
            Ok(lowest)
        })
    }

    fn advance(&self, channel: &ChannelName, held: Option<u64>, position: u64) -> Answer<'_, ()> {
        let channel = channel.clone();
        self.write(move |connection, slots| {
            let mut known = Vec::new();
            for (partition, slot) in slots.each() {
                let found = lookup::position(connection, slot, &channel)?;
                if found < held {
                    return Ok(Err(contract::position_lost(partition, &channel, found)));
                }
                known.push((slot, found));
            }
            for (slot, found) in known {
                if found.is_none_or(|found| found < position) {
                    connection
                        .prepare_cached("INSERT OR REPLACE INTO positions VALUES (?1, ?2, ?3)")?
                        .execute(params![slot, &*channel, position.cast_signed()])?;
                }
            }
            Ok(Ok(()))
        })
    }

    fn outbox(&self, partition: Partition) -> Answer<'_, Vec<OutboxEntry>> {
        let slot = match self.slots().and_then(|slots| slots.of_partition(partition)) {
            Ok(slot) => slot,
            Err(error) => return std::future::ready(Err(error)).boxed(),
        };
        self.read(move |connection, _| {
            let mut entries =
                connection.prepare_cached("SELECT number, body FROM outbox WHERE slot = ?1 ORDER BY number")?;
            let entries = entries.query_map([slot], |row| {
                Ok(OutboxEntry { number: lookup::unsigned(row, 0)?, body: lookup::bytes(row, 1)? })
            })?;
            entries.collect()
        })
    }

    fn outbox_lens(&self) -> Answer<'_, Vec<u64>> {
        self.read(|connection, slots| {
            let mut len = connection.prepare_cached("SELECT outbox_len FROM slots WHERE slot = ?1")?;
            slots.each().map(|(_, slot)| len.query_row([slot], |row| lookup::unsigned(row, 0))).collect()
        })
    }

    fn timers(&self, until: Millis, limit: usize) -> Answer<'_, Vec<Timer>> {
        self.read(move |connection, slots| {
            let mut due = connection
                .prepare_cached("SELECT key, due FROM records WHERE slot = ?1 AND due <= ?2 ORDER BY due LIMIT ?3")?;
            let mut timers = Vec::new();
            for (partition, slot) in slots.each() {
                let limit = i64::try_from(limit).unwrap_or(i64::MAX);
                let mut rows = due.query(params![slot, until.0, limit])?;
                while let Some(row) = rows.next()? {
                    let key: String = row.get(0)?;
                    if let Some(key) = Key::new(&key) {
                        timers.push(Timer { partition, key, due: Millis(row.get(1)?) });
                    }
                }
            }
            timers.sort_by_key(|timer| timer.due);
            Ok(timers)
        })
    }

    fn dead_letters(&self, open_only: bool) -> Answer<'_, Vec<(Partition, DeadLetter)>> {
        self.read(move |connection, slots| {
            let open = if open_only { "AND open = 1" } else { "" };
            let mut letters = connection.prepare_cached(&format!(
                "SELECT id, open, generation, body, slot FROM dead WHERE slot BETWEEN ?1 AND ?2 {open}"
            ))?;
            let letters = letters.query_map([slots.first, slots.last()], |row| {
                Ok((slots.partition(row.get(4)?), lookup::letter(row)?))
            })?;
            letters.collect()
        })
    }

    fn dead_letter(&self, id: MarkId) -> Answer<'_, Option<(Partition, DeadLetter)>> {
        self.read(move |connection, slots| {
            for (partition, slot) in slots.each() {
                if let Some(letter) = lookup::dead(connection, slot, &id)? {
                    return Ok(Some((partition, letter)));
                }
            }
            Ok(None)
        })
    }

    fn keys(&self, which: Which, from: Option<Cursor>) -> Answer<'_, KeysPage> {
        let from = from.unwrap_or_default();
        self.read(move |connection, slots| listing::keys(connection, slots, which, &from))
    }

    fn line(&self, partition: Partition, key: &Key, part: Range) -> Answer<'_, Vec<ParkedEvent>> {
        let slot = match self.slots().and_then(|slots| slots.of_partition(partition)) {
            Ok(slot) => slot,
            Err(error) => return std::future::ready(Err(error)).boxed(),
        };
        let key = key.clone();
        self.read(move |connection, _| lookup::line(connection, slot, &key, part))
    }

    fn parked(&self, id: MarkId) -> Answer<'_, Option<ParkedAt>> {
        self.read(move |connection, slots| listing::parked(connection, slots, &id))
    }

    fn census(&self) -> Answer<'_, Census> {
        self.read(|connection, slots| {
            let count = |query: &str| {
                let mut query = connection.prepare_cached(query)?;
                query.query_row([slots.first, slots.last()], |row| lookup::unsigned(row, 0))
            };
            Ok(Census {
                parked: count("SELECT count(*) FROM parked WHERE slot BETWEEN ?1 AND ?2")?,
                outbox: count("SELECT ifnull(sum(outbox_len), 0) FROM slots WHERE slot BETWEEN ?1 AND ?2")?,
                dead_open: count("SELECT count(*) FROM dead WHERE open = 1 AND slot BETWEEN ?1 AND ?2")?,
                keys_with_timer: count(
                    "SELECT count(*) FROM records WHERE due IS NOT NULL AND slot BETWEEN ?1 AND ?2",
                )?,
            })
        })
    }

    /// Only one process may run, and the system takes its lock back when it dies: whoever asks is that one.
    fn lease(&self, _: WriterId, _: Duration, _: Millis) -> Answer<'_, Lease> {
        std::future::ready(Ok(Lease::Alone)).boxed()
    }

    fn release(&self, _: WriterId) -> Answer<'_, ()> {
        std::future::ready(Ok(())).boxed()
    }

    fn holder(&self, _: Millis) -> Answer<'_, Option<Holder>> {
        std::future::ready(Ok(None)).boxed()
    }
}

#[cfg(test)]
mod tests;
