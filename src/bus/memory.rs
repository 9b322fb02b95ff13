//! Channels within one process: streams that outlive the pipelines on them, with no timers of their own.
//!
//! The model of what the flow may expect of a broker, and the bus of scenario tests: the same calls give the same
//! deliveries.

mod trouble;

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use futures_util::future::{BoxFuture, FutureExt as _};
use tokio::sync::Notify;

use super::continuity::Continuity;
use super::{Answer, BusError, ConsumerSpec, Delivery, Demand, Progress, PublishError, Responder, Sink, Source};
use crate::clock::Clock;
use crate::event::{ChannelName, Headers, Outgoing, Position, RawEvent};

/// Bytes a channel holds before it forgets what all its consumers acked.
const CHANNEL_BYTES: usize = 64 << 20;
/// Ids of publishes a channel remembers.
const DEDUPE_IDS: usize = 65_536;

/// A handle; its clones share the channels.
#[derive(Clone)]
pub struct MemoryBus {
    shared: Arc<Shared>,
}

struct Shared {
    clock: Arc<dyn Clock>,
    channel_bytes: usize,
    channels: Mutex<HashMap<ChannelName, Channel>>,
    changed: Notify,
}

#[derive(Default)]
struct Channel {
    events: BTreeMap<u64, RawEvent>,
    bytes: usize,
    last: u64,
    deletes_on_ack: bool,
    published: HashSet<String>,
    published_order: VecDeque<String>,
    consumers: HashMap<Arc<str>, Consumer>,
}

/// Where one pipeline stands.
#[derive(Default)]
struct Consumer {
    /// Last sequence handed out.
    delivered: u64,
    /// Handed out and not acked, by sequence, with the number of the delivery that may hand it back.
    held: BTreeMap<u64, u64>,
    /// Handed out once, to be handed out again.
    returned: BTreeSet<u64>,
    deliveries: u64,
    /// How many deliveries a request still takes that a dead or frozen runner left open.
    left_open: usize,
    /// What it took, by sequence and number of the delivery.
    astray: Vec<(u64, u64)>,
}

impl Consumer {
    /// What is to be handed out again first, then what never was; both in stream order.
    fn hand_out(&mut self, events: &BTreeMap<u64, RawEvent>) -> Option<HandedOut> {
        let again = std::iter::from_fn(|| self.returned.pop_first()).find_map(|seq| events.get(&seq));
        let raw = again.or_else(|| events.range(self.delivered + 1..).next().map(|(_, raw)| raw))?.clone();
        let seq = raw.position.seq;
        self.delivered = self.delivered.max(seq);
        self.deliveries += 1;
        self.held.insert(seq, self.deliveries);
        Some(HandedOut { raw, redelivered: again.is_some(), number: self.deliveries })
    }

    fn hand_back(&mut self, seq: u64, delivery: u64) {
        if self.held.get(&seq) == Some(&delivery) {
            self.held.remove(&seq);
            self.returned.insert(seq);
        }
    }

    fn ack_floor(&self) -> u64 {
        let held = self.held.keys().next();
        let returned = self.returned.first();
        held.into_iter().chain(returned).min().map_or(self.delivered, |seq| seq - 1)
    }
}

struct HandedOut {
    raw: RawEvent,
    redelivered: bool,
    /// Of the delivery, counted per consumer from 1.
    number: u64,
}

impl MemoryBus {
    /// `clock` stamps events as they are stored.
    pub fn new(clock: Arc<dyn Clock>) -> Self {
        Self::with_channel_bytes(clock, CHANNEL_BYTES)
    }

    /// A channel that holds this many bytes takes no more until its consumers caught up; without consumers it
    /// forgets its oldest events.
    pub fn with_channel_bytes(clock: Arc<dyn Clock>, channel_bytes: usize) -> Self {
        let shared = Shared { clock, channel_bytes, channels: Mutex::default(), changed: Notify::new() };
        Self { shared: Arc::new(shared) }
    }

    pub fn source(&self, spec: ConsumerSpec) -> MemorySource {
        self.lock()
            .entry(spec.channel.clone())
            .or_default()
            .consumers
            .entry(spec.pipeline.clone())
            .or_insert_with(|| Consumer { delivered: spec.start_after.unwrap_or(0), ..Consumer::default() });
        MemorySource { bus: self.clone(), spec, continuity: Continuity::default(), waiting: VecDeque::new() }
    }

    pub fn sink(&self, channel: ChannelName) -> MemorySink {
        MemorySink { bus: self.clone(), channel }
    }

    /// Every event a channel holds, in order.
    pub fn events(&self, channel: &str) -> Vec<RawEvent> {
        self.lock().get(channel).map(|c| c.events.values().cloned().collect()).unwrap_or_default()
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<ChannelName, Channel>> {
        self.shared.channels.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn store(
        &self,
        name: &ChannelName,
        dedupe_id: Option<String>,
        headers: Headers,
        payload: Bytes,
    ) -> Result<(), PublishError> {
        let limit = self.shared.channel_bytes;
        let mut channels = self.lock();
        let channel = channels.entry(name.clone()).or_default();
        if dedupe_id.as_ref().is_some_and(|id| channel.published.contains(id)) {
            return Ok(());
        }
        let raw = RawEvent {
            position: Position { channel: name.clone(), seq: channel.last + 1 },
            stored_at: self.shared.clock.now(),
            headers,
            payload,
        };
        if raw.weight() > limit {
            return Err(PublishError::Refused(format!("the event is larger than channel `{name}` ({limit} bytes)")));
        }
        if !channel.make_room(limit - raw.weight()) {
            return Err(PublishError::Unconfirmed(format!(
                "channel `{name}` is full: its consumers are {limit} bytes behind"
            )));
        }
        dedupe_id.into_iter().for_each(|id| channel.remember(id));
        channel.last += 1;
        channel.bytes += raw.weight();
        channel.events.insert(channel.last, raw);
        channel.serve_left_open();
        drop(channels);
        self.shared.changed.notify_waiters();
        Ok(())
    }

    fn answer(&self, spec: &ConsumerSpec, seq: u64, delivery: u64, answer: Answer) {
        let mut channels = self.lock();
        let Some(channel) = channels.get_mut(&spec.channel) else { return };
        let Some(consumer) = channel.consumers.get_mut(&spec.pipeline) else { return };
        match answer {
            Answer::Ack => {
                let known = consumer.held.remove(&seq).is_some() | consumer.returned.remove(&seq);
                if known && channel.deletes_on_ack {
                    channel.delete(seq);
                }
            }
            Answer::Return => {
                consumer.hand_back(seq, delivery);
                channel.serve_left_open();
            }
        }
        drop(channels);
        self.shared.changed.notify_waiters();
    }
}

impl Channel {
    fn serve_left_open(&mut self) {
        for consumer in self.consumers.values_mut() {
            while consumer.left_open > 0
                && let Some(HandedOut { raw, number, .. }) = consumer.hand_out(&self.events)
            {
                consumer.left_open -= 1;
                consumer.astray.push((raw.position.seq, number));
            }
        }
    }

    fn delete(&mut self, seq: u64) {
        if let Some(event) = self.events.remove(&seq) {
            self.bytes -= event.weight();
        }
    }

    /// Forgets the oldest events that all consumers acked until no more than `bytes` are held.
    fn make_room(&mut self, bytes: usize) -> bool {
        let acked = self.consumers.values().map(Consumer::ack_floor).min().unwrap_or(u64::MAX);
        while self.bytes > bytes {
            match self.events.keys().next() {
                Some(&oldest) if oldest <= acked => self.delete(oldest),
                _ => return false,
            }
        }
        true
    }

    fn remember(&mut self, dedupe_id: String) {
        if self.published_order.len() == DEDUPE_IDS
            && let Some(oldest) = self.published_order.pop_front()
        {
            self.published.remove(&oldest);
        }
        self.published.insert(dedupe_id.clone());
        self.published_order.push_back(dedupe_id);
    }
}

/// One pipeline's side of a channel. Sources of the same pipeline and channel share its consumer.
pub struct MemorySource {
    bus: MemoryBus,
    spec: ConsumerSpec,
    continuity: Continuity,
    /// Taken, and kept back until the caller was told what others took.
    waiting: VecDeque<Delivery>,
}

impl MemorySource {
    fn take(&self, demand: Demand) -> Vec<Delivery> {
        let mut channels = self.bus.lock();
        let channel = channels.entry(self.spec.channel.clone()).or_default();
        let consumer = channel.consumers.entry(self.spec.pipeline.clone()).or_default();
        let mut batch = Vec::new();
        let mut bytes = 0;
        while batch.len() < demand.events.max(1)
            && (batch.is_empty() || bytes < demand.bytes)
            && let Some(HandedOut { raw, redelivered, number }) = consumer.hand_out(&channel.events)
        {
            bytes += raw.weight();
            self.continuity.came(number);
            let (bus, spec, seq) = (self.bus.clone(), self.spec.clone(), raw.position.seq);
            let responder = Responder::new(move |answer| bus.answer(&spec, seq, number, answer));
            batch.push(Delivery { raw, redelivered, responder });
        }
        batch
    }
}

impl Source for MemorySource {
    fn next(&mut self, demand: Demand) -> BoxFuture<'_, Result<Vec<Delivery>, BusError>> {
        async move {
            loop {
                // Registered before looking, so that nothing arrives unnoticed in between.
                let changed = self.bus.shared.changed.notified();
                if self.waiting.is_empty() {
                    self.waiting = self.take(demand).into();
                }
                if self.continuity.is_broken() {
                    self.continuity.told();
                    return Err(BusError::Lapsed("another runner's request took deliveries away".to_owned()));
                }
                if !self.waiting.is_empty() {
                    let count = self.waiting.len().min(demand.events.max(1));
                    return Ok(self.waiting.drain(..count).collect());
                }
                changed.await;
            }
        }
        .boxed()
    }

    fn progress(&self) -> BoxFuture<'_, Result<Progress, BusError>> {
        let mut channels = self.bus.lock();
        let channel = channels.entry(self.spec.channel.clone()).or_default();
        let consumer = channel.consumers.entry(self.spec.pipeline.clone()).or_default();
        let progress = Progress {
            ack_floor: consumer.ack_floor(),
            delivered: consumer.delivered,
            pending: channel.events.range(consumer.delivered + 1..).count() as u64,
            first: channel.events.keys().next().copied().unwrap_or(channel.last + 1),
            last: channel.last,
            deletes_on_ack: channel.deletes_on_ack,
        };
        self.continuity.delivered(consumer.deliveries);
        std::future::ready(Ok(progress)).boxed()
    }

    fn read(&self, from: u64, to: u64, demand: Demand) -> BoxFuture<'_, Result<(Vec<RawEvent>, u64), BusError>> {
        let channels = self.bus.lock();
        let mut events: Vec<RawEvent> = Vec::new();
        let mut bytes = 0;
        let mut next = from.max(to.saturating_add(1));
        let held = channels.get(&self.spec.channel).filter(|_| from <= to);
        for raw in held.into_iter().flat_map(|c| c.events.range(from..=to)).map(|(_, raw)| raw) {
            if !events.is_empty() && (events.len() >= demand.events || bytes >= demand.bytes) {
                next = raw.position.seq;
                break;
            }
            bytes += raw.weight();
            events.push(raw.clone());
        }
        std::future::ready(Ok((events, next))).boxed()
    }

    fn settle(&mut self, _: Duration) -> BoxFuture<'_, usize> {
        self.waiting.clear();
        std::future::ready(0).boxed()
    }
}

/// A producer's side of a channel.
#[derive(Clone)]
pub struct MemorySink {
    bus: MemoryBus,
    channel: ChannelName,
}

impl MemorySink {
    /// Stores an event without a dedupe id.
    pub fn put(&self, headers: Headers, payload: impl Into<Bytes>) -> Result<(), PublishError> {
        self.bus.store(&self.channel, None, headers, payload.into())
    }
}

impl Sink for MemorySink {
    fn publish(&self, event: Arc<Outgoing>) -> BoxFuture<'static, Result<(), PublishError>> {
        let (bus, channel) = (self.bus.clone(), self.channel.clone());
        let Outgoing { dedupe_id, headers, payload, .. } = Arc::unwrap_or_clone(event);
        async move { bus.store(&channel, Some(dedupe_id).filter(|id| !id.is_empty()), headers, payload) }.boxed()
    }

    fn subject(&self, _pipeline: &str, _kind: &str, _key: &str) -> Result<String, String> {
        Ok(String::new())
    }

    fn max_bytes(&self) -> usize {
        self.bus.shared.channel_bytes
    }
}

#[cfg(test)]
mod tests;
