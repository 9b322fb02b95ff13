//! Publishes what was committed, in order, until the broker confirms it.
//!
//! ```text
//! commit reply ─▶ lines, one per (partition, destination, key) ─▶ publish the head ─▶ confirmed ─▶ ack the source,
//! sweep of the store ─▶   at most one unconfirmed a line                                        └▶ clear by number
//! ```
//!
//! The store's outbox is the truth; here is a view of it. A gap in the numbers a commit returns means that another
//! runner emitted in between: the view is then read anew before anything more of that partition is published.

mod publishing;
mod waiters;

use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use futures_util::StreamExt as _;
use futures_util::future::FutureExt as _;
use futures_util::stream::FuturesUnordered;
use tokio::sync::{mpsc, oneshot};
use tokio::time::Instant;

use self::publishing::Publishing;
use self::waiters::Waiters;
use super::confirmed::Confirmed;
use super::context::Context;
use super::held::Settled;
use super::refused;
use super::worker::Fatal;
use crate::bus::PublishError;
use crate::event::{ChannelName, Outgoing, Partition};
use crate::mutant::{self, Mutant};
use crate::store::StoreError;
use crate::store::record::OutboxBody;

/// Unconfirmed publishes per destination.
const WINDOW: usize = 512;
/// How long a line waits whose head can neither be sent nor be set aside.
const REFUSED_PAUSE: Duration = Duration::from_secs(30);
const BACKOFF_FIRST: Duration = Duration::from_millis(100);
const BACKOFF_MAX: Duration = Duration::from_secs(5);
const RELOAD_PAUSE: Duration = Duration::from_millis(200);
/// How often the store is asked whether it owes more than is known here.
const SWEEP: Duration = Duration::from_secs(5);

/// What a worker tells.
pub enum Message {
    Committed {
        partition: Partition,
        /// Number of the entry before the first one here.
        before: u64,
        /// In order of their numbers, with the index into `owners` of who waits for each.
        entries: Vec<(OutboxBody, Option<usize>)>,
        owners: Vec<Settled>,
    },
    /// A duplicate: acked when its key owes nothing.
    Owed { partition: Partition, order_key: String, settled: Settled },
    /// Nobody knows whether a commit to this partition happened: read what it owes.
    Reload { partition: Partition, done: oneshot::Sender<()> },
}

#[derive(Debug, Default)]
pub struct PublishCounts {
    pub confirmed: AtomicU64,
    pub errors: AtomicU64,
    /// Entries known and not confirmed.
    pub waiting: AtomicU64,
}

type LineId = Arc<LineName>;

#[derive(PartialEq, Eq, Hash)]
struct LineName {
    partition: Partition,
    to: ChannelName,
    order_key: String,
}

#[derive(Default)]
struct Line {
    /// In boxes: most lines hold one, and a node of the map has room for eleven.
    waiting: BTreeMap<u64, Box<Entry>>,
    publishing: bool,
    /// In its destination's ready queue already.
    queued: bool,
}

struct Entry {
    event: Arc<Outgoing>,
    waiters: Vec<u64>,
}

#[derive(Default)]
struct Lane {
    ready: VecDeque<LineId>,
    unconfirmed: usize,
    /// Set while the destination does not confirm: when to try again, and the pause after that.
    down: Option<(Instant, Duration)>,
}

pub struct Outbox {
    context: Arc<Context>,
    messages: mpsc::Receiver<Message>,
    confirmed: Arc<Confirmed>,
    lines: HashMap<LineId, Line>,
    lanes: BTreeMap<ChannelName, Lane>,
    known: BTreeMap<Partition, BTreeMap<u64, LineId>>,
    waiters: Waiters,
    /// The last number seen assigned, per partition: all up to it that is still owed is known.
    tails: BTreeMap<Partition, u64>,
    /// Entries that were read from the store and not told by a worker; most of them are another runner's.
    early: BTreeSet<(Partition, u64)>,
    /// Partitions whose view is out of date: nothing of them is published before it was read.
    outdated: BTreeSet<Partition>,
    reload_at: Instant,
    refused: Vec<(Instant, LineId)>,
    short: BTreeSet<Partition>,
    publishing: FuturesUnordered<Publishing>,
}

impl Outbox {
    pub fn new(context: Arc<Context>, messages: mpsc::Receiver<Message>, confirmed: Arc<Confirmed>) -> Self {
        let all = (0..context.pipeline.partitions).map(Partition).collect();
        Self {
            context,
            messages,
            confirmed,
            lines: HashMap::new(),
            lanes: BTreeMap::new(),
            known: BTreeMap::new(),
            waiters: Waiters::default(),
            tails: BTreeMap::new(),
            early: BTreeSet::new(),
            outdated: all,
            reload_at: Instant::now(),
            refused: Vec::new(),
            short: BTreeSet::new(),
            publishing: FuturesUnordered::new(),
        }
    }

    /// Runs until all workers are gone and nothing is owed any more, or until the store turns out to have lost its
    /// tail: what is known here may then not be true.
    pub async fn run(mut self) -> Result<(), Fatal> {
        let mut sweep = tokio::time::interval_at(Instant::now() + SWEEP, SWEEP);
        sweep.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        let mut open = true;
        self.reload().await?;
        while open || !self.lines.is_empty() || !self.outdated.is_empty() {
            self.publish_ready();
            let wake = self.next_wake();
            tokio::select! {
                // In order, so that a simulated run repeats: what is rare and due first, for the rest may never rest.
                biased;
                _ = sweep.tick() => self.sweep().await?,
                () = sleep_until(wake) => self.wake().await?,
                Some(answered) = self.publishing.next() => {
                    let mut next = Some(answered);
                    while let Some((line, number, result)) = next {
                        self.answered(line, number, result).await?;
                        next = self.publishing.next().now_or_never().flatten();
                    }
                }
                message = self.messages.recv(), if open => match message {
                    Some(message) => self.receive(message).await?,
                    None => open = false,
                },
            }
            self.context.published.waiting.store(self.known.values().map(BTreeMap::len).sum::<usize>() as u64, Relaxed);
        }
        Ok(())
    }

    async fn receive(&mut self, message: Message) -> Result<(), Fatal> {
        match message {
            Message::Committed { partition, before, entries, owners } => {
                // What a reload saw of later commits is known: only numbers above it can be somebody else's.
                let tail = *self.tails.get(&partition).unwrap_or(&0);
                let unknown_between = before > tail;
                let mut ids: Vec<Option<u64>> = Vec::with_capacity(owners.len());
                for settled in owners {
                    ids.push(Some(self.waiters.add(settled)));
                }
                let mut number = before;
                for (body, owner) in entries {
                    number += 1;
                    let waiter = owner.and_then(|index| ids.get(index).copied().flatten());
                    if self.early.remove(&(partition, number)) {
                        // Read from the store before we were told: it is under way, or through already.
                        self.attach(partition, number, waiter);
                    } else {
                        self.insert(partition, number, body, waiter);
                    }
                }
                // Commits are told in their order: what is still early below belongs to other runners.
                self.early.retain(|(other, early)| *other != partition || *early > number);
                self.tails.insert(partition, tail.max(number));
                for id in ids.into_iter().flatten() {
                    self.waiters.release(id);
                }
                if unknown_between {
                    self.outdated.insert(partition);
                    self.reload().await?;
                }
            }
            Message::Owed { partition, order_key, settled } => {
                let id = self.waiters.add(settled);
                for channel in self.context.destinations.0.keys() {
                    let line = LineName { partition, to: channel.clone(), order_key: order_key.clone() };
                    for entry in self.lines.get_mut(&line).into_iter().flat_map(|line| line.waiting.values_mut()) {
                        entry.waiters.push(id);
                        self.waiters.one_more(id);
                    }
                }
                self.waiters.release(id);
            }
            Message::Reload { partition, done } => {
                self.outdated.insert(partition);
                self.reload().await?;
                let _ = done.send(());
            }
        }
        Ok(())
    }

    /// One more waits for an entry that is known, if it still is.
    fn attach(&mut self, partition: Partition, number: u64, waiter: Option<u64>) {
        let Some(id) = waiter else { return };
        let line = self.known.get(&partition).and_then(|known| known.get(&number));
        let entry = line.and_then(|line| self.lines.get_mut(line)).and_then(|line| line.waiting.get_mut(&number));
        if let Some(entry) = entry {
            self.waiters.one_more(id);
            entry.waiters.push(id);
        }
    }

    fn insert(&mut self, partition: Partition, number: u64, body: OutboxBody, waiter: Option<u64>) {
        let OutboxBody { to, order_key, event } = body;
        let id = Arc::new(LineName { partition, to, order_key });
        if let Some(id) = waiter {
            self.waiters.one_more(id);
        }
        self.known.entry(partition).or_default().insert(number, id.clone());
        let line = self.lines.entry(id.clone()).or_default();
        line.waiting.insert(number, Box::new(Entry { event, waiters: waiter.into_iter().collect() }));
        self.queue(id);
    }

    fn queue(&mut self, id: LineId) {
        let Some(line) = self.lines.get_mut(&id) else { return };
        if !line.publishing && !line.queued && !line.waiting.is_empty() {
            line.queued = true;
            self.lanes.entry(id.to.clone()).or_default().ready.push_back(id);
        }
    }

    fn publish_ready(&mut self) {
        let now = Instant::now();
        for (channel, lane) in &mut self.lanes {
            let window = match lane.down {
                Some((until, _)) if until > now => 0,
                Some(_) => 1,
                None => WINDOW,
            };
            let mut look = lane.ready.len();
            while lane.unconfirmed < window && look > 0 {
                look -= 1;
                let Some(id) = lane.ready.pop_front() else { break };
                if self.outdated.contains(&id.partition) {
                    lane.ready.push_back(id);
                    continue;
                }
                let Some(line) = self.lines.get_mut(&id) else { continue };
                line.queued = false;
                let Some((number, entry)) = line.waiting.first_key_value() else { continue };
                let Some(destination) = self.context.destinations.0.get(channel) else {
                    tracing::error!(%channel, "the store owes an event to a channel that is not open; add it to `sluice.yaml`");
                    self.refused.push((now + REFUSED_PAUSE, id));
                    continue;
                };
                line.publishing = true;
                lane.unconfirmed += 1;
                let number = *number;
                let answer = destination.sink.publish(Arc::clone(&entry.event));
                self.publishing.push(Publishing::new(id, number, answer));
            }
        }
    }

    async fn answered(&mut self, id: LineId, number: u64, result: Result<(), PublishError>) -> Result<(), Fatal> {
        let counts = &self.context.published;
        let lane = self.lanes.entry(id.to.clone()).or_default();
        lane.unconfirmed = lane.unconfirmed.saturating_sub(1);
        if let Some(line) = self.lines.get_mut(&id) {
            line.publishing = false;
        }
        match result {
            Ok(()) => {
                if lane.down.take().is_some() {
                    tracing::info!(channel = %id.to, "publishing goes on");
                }
                counts.confirmed.fetch_add(1, Relaxed);
                if mutant::on(Mutant::ClearByRange) {
                    let known = self.known.get(&id.partition).into_iter().flat_map(BTreeMap::keys);
                    known.filter(|n| **n <= number).for_each(|n| self.confirmed.add(id.partition, *n));
                }
                self.confirmed.add(id.partition, number);
                self.remove(id.partition, number);
                self.queue(id);
            }
            Err(PublishError::Unconfirmed(why)) => {
                counts.errors.fetch_add(1, Relaxed);
                let pause = match lane.down {
                    None => {
                        tracing::warn!(channel = %id.to, %why, "a publish was not confirmed; trying again until it is");
                        BACKOFF_FIRST
                    }
                    // Many fail together: only the one that probes lengthens the pause.
                    Some((until, pause)) if until > Instant::now() => pause,
                    Some((_, pause)) => (pause * 2).min(BACKOFF_MAX),
                };
                lane.down = Some((Instant::now() + pause, pause));
                self.queue(id);
            }
            Err(PublishError::Refused(why)) => {
                counts.errors.fetch_add(1, Relaxed);
                tracing::error!(
                    channel = %id.to, partition = id.partition.0, number, %why,
                    "the destination refuses an event for good; it is set aside as a dead letter"
                );
                self.set_aside(id, number, &why).await?;
            }
        }
        Ok(())
    }

    /// Out of the outbox goes what nobody takes.
    async fn set_aside(&mut self, id: LineId, number: u64, why: &str) -> Result<(), Fatal> {
        let event = self.lines.get(&id).and_then(|line| line.waiting.get(&number)).map(|entry| entry.event.clone());
        // Without one, another runner saw to it meanwhile.
        if let Some(event) = event {
            let body = OutboxBody { to: id.to.clone(), order_key: id.order_key.clone(), event };
            match refused::bury(&self.context, id.partition, number, &body, why).await {
                Ok(()) => {}
                Err(error @ StoreError::TailLost(_)) => return Err(Fatal::Recover(error)),
                Err(error) => {
                    tracing::warn!(channel = %id.to, number, %error, "it could not be set aside; trying again");
                    self.refused.push((Instant::now() + REFUSED_PAUSE, id));
                    return Ok(());
                }
            }
        }
        self.remove(id.partition, number);
        self.queue(id);
        Ok(())
    }

    /// An entry is confirmed, or another runner confirmed and cleared it.
    fn remove(&mut self, partition: Partition, number: u64) {
        let Some(id) = self.known.get_mut(&partition).and_then(|known| known.remove(&number)) else { return };
        let Some(line) = self.lines.get_mut(&id) else { return };
        let entry = line.waiting.remove(&number);
        if line.waiting.is_empty() && !line.publishing {
            self.lines.remove(&id);
        }
        for waiter in entry.into_iter().flat_map(|entry| entry.waiters) {
            self.waiters.release(waiter);
        }
    }

    fn next_wake(&self) -> Option<Instant> {
        let now = Instant::now();
        let lanes = self.lanes.values().filter(|lane| !lane.ready.is_empty()).filter_map(|lane| lane.down);
        // A pause that is over is not waited for: its probe is under way.
        let lanes = lanes.map(|(until, _)| until).filter(|until| *until > now);
        let reload = (!self.outdated.is_empty()).then_some(self.reload_at);
        lanes.chain(self.refused.iter().map(|(until, _)| *until)).chain(reload).min()
    }

    async fn wake(&mut self) -> Result<(), Fatal> {
        let now = Instant::now();
        let (due, later) = std::mem::take(&mut self.refused).into_iter().partition(|(until, _)| *until <= now);
        self.refused = later;
        let due: Vec<(Instant, LineId)> = due;
        for (_, id) in due {
            self.queue(id);
        }
        if !self.outdated.is_empty() && self.reload_at <= now {
            self.reload().await?;
        }
        Ok(())
    }

    /// Reads the outbox of every partition whose view is out of date.
    async fn reload(&mut self) -> Result<(), Fatal> {
        for partition in self.outdated.clone() {
            // Before the read: what is confirmed now may be cleared while we read.
            let confirmed: BTreeSet<u64> = self.confirmed.of(partition).into_iter().collect();
            let entries = match self.context.store.outbox(partition).await {
                Ok(entries) => entries,
                Err(error @ StoreError::TailLost(_)) => return Err(Fatal::Recover(error)),
                Err(error) => {
                    tracing::debug!(%error, "cannot read the outbox");
                    self.reload_at = Instant::now() + RELOAD_PAUSE;
                    return Ok(());
                }
            };
            let stored: BTreeSet<u64> = entries.iter().map(|entry| entry.number).collect();
            let known: Vec<(u64, LineId)> =
                self.known.get(&partition).into_iter().flatten().map(|(number, id)| (*number, id.clone())).collect();
            for (number, id) in known {
                let head_in_flight = self
                    .lines
                    .get(&id)
                    .is_some_and(|line| line.publishing && line.waiting.keys().next() == Some(&number));
                if !stored.contains(&number) && !head_in_flight {
                    self.remove(partition, number);
                }
            }
            for entry in entries {
                let known = self.known.get(&partition).is_some_and(|known| known.contains_key(&entry.number));
                if known || confirmed.contains(&entry.number) {
                    continue;
                }
                match OutboxBody::decode(&entry.body) {
                    Ok(body) => {
                        self.early.insert((partition, entry.number));
                        self.insert(partition, entry.number, body, None);
                    }
                    Err(error) => tracing::error!(%error, number = entry.number, "an outbox entry stays where it is"),
                }
                let tail = self.tails.entry(partition).or_default();
                *tail = (*tail).max(entry.number);
            }
            self.outdated.remove(&partition);
        }
        Ok(())
    }

    /// Does the store owe what nobody here knows of, twice in a row? Then its runner is gone: it is ours to send.
    async fn sweep(&mut self) -> Result<(), Fatal> {
        let lens = match self.context.store.outbox_lens().await {
            Ok(lens) => lens,
            Err(error @ StoreError::TailLost(_)) => return Err(Fatal::Recover(error)),
            Err(_) => return Ok(()),
        };
        for (index, len) in lens.into_iter().enumerate() {
            let partition = Partition(u16::try_from(index).unwrap_or(u16::MAX));
            let known = self.known.get(&partition).map_or(0, BTreeMap::len) + self.confirmed.of(partition).len();
            if len > known as u64 {
                if !self.short.insert(partition) {
                    self.short.remove(&partition);
                    self.outdated.insert(partition);
                }
            } else {
                self.short.remove(&partition);
            }
        }
        if !self.outdated.is_empty() {
            self.reload().await?;
        }
        Ok(())
    }
}

async fn sleep_until(wake: Option<Instant>) {
    match wake {
        Some(wake) => tokio::time::sleep_until(wake).await,
        None => std::future::pending().await,
    }
}
