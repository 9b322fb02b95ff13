//! The store in Redis (7.0 or later) or Valkey: one script call a partition, all pipelined.
//!
//! Any number of runners may share it, paused, partitioned or late: every commit is judged by `commit.lua` against
//! what stands in the store when it runs. The layout is in [`layout`], one connection's life in [`connection`].
//!
//! A commit is one script call however large it is, and the server does nothing else meanwhile: about 10 µs a group
//! of five commands (measured in batches of 64 on two shared cores). Callers bound their batches; up to some 1,024
//! groups and 8 MiB a commit the pause stays in the order of 10 ms.

mod connection;
mod encode;
mod info;
mod layout;
mod lease;
mod listing;
mod opening;
mod reply;
mod script;

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use futures_util::future::BoxFuture;
use redis::{Pipeline, Value};
use secrecy::SecretString;

use self::connection::Link;
use self::info::Info;
use self::layout::Layout;
use self::script::Scripts;
use super::contract;
use super::{
    Answer, Census, Commit, Committed, Cursor, DeadLetter, Found, Holder, KeysPage, Lease, Lookup, Opened, OutboxEntry,
    ParkedAt, ParkedEvent, Range, SILENT_FOR, Store, StoreError, Timer, Verdict, Which, WriterId,
};
use crate::clock::Clock;
use crate::event::{ChannelName, Key, MarkId, Millis, Partition, hex};
use crate::spec::program::DurabilityChoice;

pub use self::script::COMMIT as COMMIT_SCRIPT;

/// Dead letters carry whole events: a ledger read in one call would hold up every runner on the server.
const LETTERS_AT_ONCE: usize = 100;

/// What a pipeline's store is made of.
pub struct RedisConfig {
    pub url: SecretString,
    pub durability: DurabilityChoice,
    pub pipeline: Arc<str>,
    pub partitions: u16,
    /// How long events are remembered, at least.
    pub retain: Duration,
}

pub struct RedisStore {
    link: Link,
    lease_link: Link,
    layout: Layout,
    durability: DurabilityChoice,
    retain: Duration,
    clock: Arc<dyn Clock>,
    session: Mutex<Session>,
}

/// Who this handle is, and whom it found noted when it opened.
#[derive(Clone, Default)]
struct Session {
    runner: Option<WriterId>,
    found: Vec<Vec<u8>>,
    /// When it last gave a sign of life.
    signed: Millis,
}

/// A small part of [`SILENT_FOR`]: a few may be lost.
const SIGN_EVERY: Duration = Duration::from_secs(10);

impl RedisStore {
    /// Connects to nothing yet.
    pub fn new(config: RedisConfig, clock: Arc<dyn Clock>) -> Result<Self, StoreError> {
        Self::with_commit_script(config, clock, COMMIT_SCRIPT)
    }

    /// For tests that show what each check of [`COMMIT_SCRIPT`] is for, by leaving it out.
    #[doc(hidden)]
    pub fn with_commit_script(config: RedisConfig, clock: Arc<dyn Clock>, commit: &str) -> Result<Self, StoreError> {
        Ok(Self {
            link: Link::new(&config.url, Scripts::new(commit))?,
            lease_link: Link::new(&config.url, Scripts::new(commit))?.answer_within(lease::ANSWER_WITHIN),
            layout: Layout::new(&config.pipeline, config.partitions),
            durability: config.durability,
            retain: config.retain,
            clock,
            session: Mutex::default(),
        })
    }

    /// How long to wait for an answer before the connection is given up; 10 s unless set.
    #[must_use]
    pub fn answer_within(mut self, limit: Duration) -> Self {
        self.link = self.link.answer_within(limit);
        self
    }

    fn partition_count(&self) -> u16 {
        u16::try_from(self.layout.partitions().len()).expect("made from a u16 of partitions")
    }

    fn prefix(&self, partition: Partition) -> Result<&str, StoreError> {
        contract::check_partition(partition, self.partition_count())?;
        self.layout.partition(partition).ok_or_else(|| reply::unexpected("a partition"))
    }

    fn session(&self) -> std::sync::MutexGuard<'_, Session> {
        self.session.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// One command a partition, one round trip.
    async fn each_partition(&self, add: impl Fn(&mut Pipeline, &str)) -> Result<Vec<(Partition, Value)>, StoreError> {
        let mut pipeline = redis::pipe();
        self.layout.partitions().for_each(|(_, prefix)| add(&mut pipeline, prefix));
        let replies = self.link.ask_all(&pipeline).await?;
        Ok(self.layout.partitions().map(|(partition, _)| partition).zip(replies).collect())
    }

    fn committed(&self, value: Value, partition: Partition) -> Result<Committed, StoreError> {
        let what = "a commit";
        let items = reply::list(self.link.value(value)?, what)?;
        match items.as_slice() {
            [Value::BulkString(head), known] if head == b"TAIL" => Err(StoreError::TailLost(format!(
                "partition {} knows {} commits of this runner, not as many as were acknowledged",
                partition.0,
                reply::text(known.clone(), what)?
            ))),
            [Value::BulkString(head), Value::BulkString(verdicts), before, len, parked] if head == b"OK" => {
                Ok(Committed {
                    verdicts: verdicts
                        .iter()
                        .map(|v| if *v == b'1' { Verdict::Committed } else { Verdict::Stale })
                        .collect(),
                    outbox_before: reply::number(before, what)?,
                    outbox_len: reply::number(len, what)?,
                    parked_bytes: reply::decimal(reply::text(parked.clone(), what)?.as_bytes(), what)?,
                })
            }
            _ => Err(reply::unexpected(what)),
        }
    }

    /// What can be sent is sent in one pipeline; a breach of contract is answered without.
    async fn committed_all(&self, commits: Vec<Commit>) -> Vec<Result<Committed, StoreError>> {
        let mut pipeline = redis::pipe();
        let mut refused = Vec::with_capacity(commits.len());
        for commit in &commits {
            let checked = contract::check(commit, self.partition_count()).and_then(|()| self.prefix(commit.partition));
            refused.push(checked.map(|prefix| {
                let mut call = self.link.scripts.commit.call(prefix);
                encode::commit(&mut call, commit, self.retain);
                pipeline.add_command(call);
            }));
        }
        if !commits.is_empty() {
            self.sign(&mut pipeline);
        }
        let replies = self.link.ask(&pipeline).await;
        let mut replies = match replies {
            Ok(replies) => replies.into_iter(),
            Err(failure) => {
                return refused.into_iter().map(|checked| checked.and(Err(failure.clone()))).collect();
            }
        };
        let answer = |(checked, commit): (Result<(), StoreError>, &Commit)| {
            checked.and_then(|()| self.committed(replies.next().unwrap_or_default(), commit.partition))
        };
        refused.into_iter().zip(&commits).map(answer).collect()
    }

    fn runners(&self) -> String {
        format!("{}:runners", self.layout.pipeline)
    }

    /// Adds this runner's sign of life, when one is due.
    fn sign(&self, pipeline: &mut Pipeline) {
        let (mut session, now) = (self.session(), self.clock.now());
        let Some(runner) = session.runner.filter(|_| now.since(session.signed) >= SIGN_EVERY) else { return };
        session.signed = now;
        pipeline.cmd("HSET").arg(self.runners()).arg(hex(&runner.0)).arg(now.0);
    }

    async fn closed(&self, runner: WriterId) -> Result<(), StoreError> {
        let what = "the runners";
        let ours = self.session().runner == Some(runner);
        let found = if ours { std::mem::take(&mut *self.session()).found } else { Vec::new() };
        let mut pipeline = redis::pipe();
        pipeline.cmd("HGETALL").arg(self.runners());
        let mut noted = reply::list(self.link.ask_all(&pipeline).await?.pop().unwrap_or_default(), what)?.into_iter();
        let mut leave = redis::cmd("HDEL");
        leave.arg(self.runners()).arg(hex(&runner.0));
        while let (Some(other), Some(seen)) = (noted.next(), noted.next()) {
            let other = reply::bytes(other, what)?.unwrap_or_default();
            // What is no time was never written by a living runner.
            let seen = reply::text(seen, what)?.parse().map_or(Millis(i64::MIN), Millis);
            if found.iter().any(|found| *found == *other) && self.clock.now().since(seen) > SILENT_FOR {
                leave.arg(&*other);
            }
        }
        let mut pipeline = redis::pipe();
        pipeline.add_command(leave);
        self.link.ask_all(&pipeline).await.map(drop)
    }

    async fn found(&self, lookups: Vec<(Partition, Lookup)>) -> Result<Vec<Found>, StoreError> {
        let mut pipeline = redis::pipe();
        for (partition, lookup) in &lookups {
            let mut call = self.link.scripts.lookup.call(self.prefix(*partition)?);
            encode::lookup(&mut call, lookup);
            pipeline.add_command(call);
        }
        if !lookups.is_empty() {
            self.sign(&mut pipeline);
        }
        // A sign that could not be written, on a full server, is no reason not to read.
        let replies = self.link.ask(&pipeline).await?.into_iter().zip(&lookups);
        replies.map(|(reply, (_, lookup))| reply::found(self.link.value(reply)?, &lookup.dead)).collect()
    }

    async fn advanced(&self, channel: &ChannelName, held: Option<u64>, position: u64) -> Result<(), StoreError> {
        let incarnation = self.link.incarnation().ok_or_else(|| {
            StoreError::Refused("the store refused a call: `advance` before `open`; please report this as a bug".into())
        })?;
        let held = held.map_or(String::new(), |held| held.to_string());
        let mut pipeline = redis::pipe();
        for (_, prefix) in self.layout.partitions() {
            let mut call = self.link.scripts.advance.call(prefix);
            call.arg(&incarnation).arg(position_field(channel)).arg(position).arg(&held);
            pipeline.add_command(call);
        }
        let what = "advance";
        for ((partition, _), reply) in self.layout.partitions().zip(self.link.ask_all(&pipeline).await?) {
            match reply::list(reply, what)?.as_slice() {
                [Value::BulkString(head)] if head == b"OK" => {}
                [Value::BulkString(head), _] if head == b"TAIL" => return Err(self.link.tail_lost()),
                [Value::BulkString(head), found] if head == b"LOST" => {
                    let found = reply::text(found.clone(), what)?;
                    let found = if found.is_empty() { None } else { Some(reply::decimal(found.as_bytes(), what)?) };
                    return Err(contract::position_lost(partition, channel, found));
                }
                _ => return Err(reply::unexpected(what)),
            }
        }
        Ok(())
    }
}

fn position_field(channel: &ChannelName) -> String {
    format!("pos:{channel}")
}

impl Store for RedisStore {
    fn open(&self, runner: WriterId) -> Answer<'_, Opened> {
        Box::pin(self.opened(runner))
    }

    fn close(&self, runner: WriterId) -> Answer<'_, ()> {
        Box::pin(self.closed(runner))
    }

    fn probe(&self) -> Answer<'_, ()> {
        Box::pin(async move {
            let mut pipeline = redis::pipe();
            pipeline.cmd("INFO").arg("server");
            let info = Info::parse(self.link.ask_all(&pipeline).await?.pop().unwrap_or_default())?;
            match self.link.incarnation() {
                Some(opened) if opened != info.run_id() => Err(self.link.tail_lost()),
                _ => Ok(()),
            }
        })
    }

    fn lookup(&self, lookups: Vec<(Partition, Lookup)>) -> Answer<'_, Vec<Found>> {
        Box::pin(self.found(lookups))
    }

    fn commit(&self, commits: Vec<Commit>) -> BoxFuture<'_, Vec<Result<Committed, StoreError>>> {
        Box::pin(self.committed_all(commits))
    }

    fn start(&self, partition: Partition, event: MarkId, runner: WriterId) -> Answer<'_, u32> {
        Box::pin(async move {
            let mut call = self.link.scripts.start.call(self.prefix(partition)?);
            call.arg(&event.0).arg(&runner.0);
            let mut pipeline = redis::pipe();
            pipeline.add_command(call);
            let answer = self.link.ask_all(&pipeline).await?.pop().unwrap_or_default();
            Ok(u32::try_from(reply::number(&answer, "a start")?).unwrap_or(u32::MAX))
        })
    }

    fn returned(&self, events: Vec<(Partition, MarkId)>) -> Answer<'_, ()> {
        Box::pin(async move {
            let mut pipeline = redis::pipe();
            for (partition, event) in events {
                pipeline.cmd("HDEL").arg(format!("{}:s", self.prefix(partition)?)).arg(&event.0);
            }
            self.link.ask_all(&pipeline).await?;
            Ok(())
        })
    }

    fn position(&self, channel: &ChannelName) -> Answer<'_, Option<u64>> {
        let field = position_field(channel);
        Box::pin(async move {
            let what = "a position";
            let replies = self
                .each_partition(|pipeline, prefix| {
                    pipeline.cmd("HGET").arg(format!("{prefix}:m")).arg(&field);
                })
                .await?;
            let mut lowest = None;
            for (_, reply) in replies {
                let Some(held) = reply::bytes(reply, what)? else { return Ok(None) };
                let held = reply::decimal(&held, what)?;
                lowest = Some(lowest.map_or(held, |lowest: u64| lowest.min(held)));
            }
            Ok(lowest)
        })
    }

    fn advance(&self, channel: &ChannelName, held: Option<u64>, position: u64) -> Answer<'_, ()> {
        let channel = channel.clone();
        Box::pin(async move { self.advanced(&channel, held, position).await })
    }

    fn outbox(&self, partition: Partition) -> Answer<'_, Vec<OutboxEntry>> {
        Box::pin(async move {
            let what = "an outbox";
            let mut pipeline = redis::pipe();
            pipeline.cmd("HGETALL").arg(format!("{}:o", self.prefix(partition)?));
            let answer = self.link.ask_all(&pipeline).await?.pop().unwrap_or_default();
            let mut items = reply::list(answer, what)?.into_iter();
            let mut entries = Vec::with_capacity(items.len() / 2);
            while let (Some(number), Some(body)) = (items.next(), items.next()) {
                let number = reply::bytes(number, what)?.unwrap_or_default();
                let body = reply::bytes(body, what)?.unwrap_or_default();
                entries.push(OutboxEntry { number: reply::decimal(&number, what)?, body });
            }
            entries.sort_by_key(|entry| entry.number);
            Ok(entries)
        })
    }

    fn outbox_lens(&self) -> Answer<'_, Vec<u64>> {
        Box::pin(async move {
            let replies = self
                .each_partition(|pipeline, prefix| {
                    pipeline.cmd("HLEN").arg(format!("{prefix}:o"));
                })
                .await?;
            replies.into_iter().map(|(_, len)| reply::number(&len, "an outbox length")).collect()
        })
    }

    fn timers(&self, until: Millis, limit: usize) -> Answer<'_, Vec<Timer>> {
        Box::pin(async move {
            let what = "timers";
            let replies = self
                .each_partition(|pipeline, prefix| {
                    pipeline.cmd("ZRANGE").arg(format!("{prefix}:t")).arg("-inf").arg(until.0);
                    pipeline.arg("BYSCORE").arg("LIMIT").arg(0).arg(limit).arg("WITHSCORES");
                })
                .await?;
            let mut timers = Vec::new();
            for (partition, reply) in replies {
                let mut items = reply::list(reply, what)?.into_iter();
                while let (Some(key), Some(due)) = (items.next(), items.next()) {
                    let key = reply::key(&reply::bytes(key, what)?.unwrap_or_default(), what)?;
                    let due: f64 = reply::text(due, what)?.parse().map_err(|_| reply::unexpected(what))?;
                    timers.push(Timer { partition, key, due: Millis(due as i64) });
                }
            }
            timers.sort_by_key(|timer| timer.due);
            Ok(timers)
        })
    }

    fn dead_letters(&self, open_only: bool) -> Answer<'_, Vec<(Partition, DeadLetter)>> {
        Box::pin(async move {
            let what = "dead letters";
            let ids = self
                .each_partition(|pipeline, prefix| {
                    if open_only {
                        pipeline.cmd("SMEMBERS").arg(format!("{prefix}:lo"));
                    } else {
                        pipeline.cmd("HKEYS").arg(format!("{prefix}:ls"));
                    }
                })
                .await?;
            let mut letters = Vec::new();
            for (partition, reply) in ids {
                let ids = reply::list(reply, what)?.into_iter();
                let ids: Vec<MarkId> = ids
                    .map(|id| reply::mark_id(&reply::bytes(id, what)?.unwrap_or_default(), what))
                    .collect::<Result<_, _>>()?;
                for page in ids.chunks(LETTERS_AT_ONCE) {
                    let lookup = Lookup { dead: page.to_vec(), ..Lookup::default() };
                    let found = self.found(vec![(partition, lookup)]).await?.into_iter().flat_map(|found| found.dead);
                    // One may have been closed since its id was read.
                    let found = found.flatten().filter(|letter| letter.open || !open_only);
                    letters.extend(found.map(|letter| (partition, letter)));
                }
            }
            Ok(letters)
        })
    }

    fn dead_letter(&self, id: MarkId) -> Answer<'_, Option<(Partition, DeadLetter)>> {
        Box::pin(async move {
            let lookup = Lookup { dead: vec![id], ..Lookup::default() };
            let everywhere = self.layout.partitions().map(|(partition, _)| (partition, lookup.clone()));
            let found = self.found(everywhere.collect()).await?;
            let mut found = self.layout.partitions().zip(found);
            Ok(found.find_map(|((partition, _), mut found)| Some((partition, found.dead.pop()??))))
        })
    }

    fn keys(&self, which: Which, from: Option<Cursor>) -> Answer<'_, KeysPage> {
        Box::pin(self.keys_page(which, from))
    }

    fn line(&self, partition: Partition, key: &Key, part: Range) -> Answer<'_, Vec<ParkedEvent>> {
        Box::pin(self.line_part(partition, key.clone(), part))
    }

    fn parked(&self, id: MarkId) -> Answer<'_, Option<ParkedAt>> {
        Box::pin(self.parked_event(id))
    }

    fn census(&self) -> Answer<'_, Census> {
        Box::pin(async move {
            let mut pipeline = redis::pipe();
            for (_, prefix) in self.layout.partitions() {
                pipeline.cmd("HLEN").arg(format!("{prefix}:p"));
                pipeline.cmd("HLEN").arg(format!("{prefix}:o"));
                pipeline.cmd("SCARD").arg(format!("{prefix}:lo"));
                pipeline.cmd("ZCARD").arg(format!("{prefix}:t"));
            }
            let replies = self.link.ask_all(&pipeline).await?;
            let mut census = Census::default();
            for counts in replies.chunks_exact(4) {
                census.parked += reply::number(&counts[0], "a count")?;
                census.outbox += reply::number(&counts[1], "a count")?;
                census.dead_open += reply::number(&counts[2], "a count")?;
                census.keys_with_timer += reply::number(&counts[3], "a count")?;
            }
            Ok(census)
        })
    }

    fn lease(&self, runner: WriterId, lasts: Duration, _: Millis) -> Answer<'_, Lease> {
        Box::pin(self.leased(runner, lasts))
    }

    fn release(&self, runner: WriterId) -> Answer<'_, ()> {
        Box::pin(self.released(runner))
    }

    fn holder(&self, _: Millis) -> Answer<'_, Option<Holder>> {
        Box::pin(self.leaseholder())
    }
}
