//! A broker as real ones are to people: it delivers again what was acked, forgets acks and confirms, hands out in no
//! order what it hands out again, and breaks connections with deliveries on them.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;

use super::fate::{Call, Calls, Fate, Way};
use crate::bus::memory::{MemoryBus, MemorySource};
use crate::bus::{
    Answer, BusError, Channels, ConsumerSpec, Delivery, Demand, Progress, PublishError, Receipt, Responder, Sink,
    Source,
};
use crate::event::{ChannelName, Outgoing, RawEvent};

/// After this long without an ack an event is handed out again.
pub const ACK_WAIT: Duration = Duration::from_secs(3);

/// The server's side.
#[derive(Clone)]
pub struct FaultyBroker {
    pub bus: MemoryBus,
    /// Rises when the server restarts: connections of before are broken.
    life: Arc<AtomicU64>,
}

impl FaultyBroker {
    pub fn new(bus: MemoryBus) -> Self {
        Self { bus, life: Arc::default() }
    }

    /// The server restarts. Acks of the last `unacked` events of a channel were not on its disk, so they come again.
    pub fn restart(&self, pipeline: &str, channel: &str, unacked: u64) {
        self.life.fetch_add(1, Relaxed);
        let last = self.bus.delivered(pipeline, channel);
        for seq in (last + 1).saturating_sub(unacked).max(1)..=last {
            self.bus.bring_back(pipeline, channel, seq);
        }
    }
}

/// One process's connections to it.
pub struct FaultyBus {
    broker: FaultyBroker,
    line: Arc<Line>,
}

struct Line {
    fate: Arc<dyn Fate>,
    calls: Calls,
}

impl Line {
    async fn there(&self, call: Call) -> u64 {
        let nth = self.calls.next(call);
        self.fate.travel(call, nth, Way::There).await;
        nth
    }

    fn strikes(&self, call: Call) -> Option<u64> {
        self.fate.strikes(call, self.calls.next(call))
    }

    /// Asks, and may get no answer.
    async fn ask<T>(&self, call: Call, answer: impl Future<Output = Result<T, BusError>>) -> Result<T, BusError> {
        let nth = self.there(call).await;
        if self.fate.strikes(call, nth).is_some() {
            self.fate.tell(&format!("{call:?} is not answered"));
            return Err(BusError::Unavailable("no answer".to_owned()));
        }
        let answer = answer.await;
        self.fate.travel(call, nth, Way::Back).await;
        answer
    }
}

impl FaultyBus {
    pub fn new(broker: FaultyBroker, fate: Arc<dyn Fate>) -> Self {
        Self { broker, line: Arc::new(Line { fate, calls: Calls::default() }) }
    }
}

impl Channels for FaultyBus {
    fn source(&self, spec: ConsumerSpec) -> BoxFuture<'_, Result<Box<dyn Source>, BusError>> {
        let inner = self.broker.bus.source(spec.clone());
        let life = self.broker.life.load(Relaxed);
        let source = FaultySource { inner, spec, broker: self.broker.clone(), line: Arc::clone(&self.line), life };
        std::future::ready(Ok(Box::new(source) as Box<dyn Source>)).boxed()
    }

    fn sink(&self, channel: &ChannelName) -> Result<Arc<dyn Sink>, BusError> {
        let inner = Arc::new(self.broker.bus.sink(channel.clone()));
        Ok(Arc::new(FaultySink { inner, line: Arc::clone(&self.line) }))
    }
}

struct FaultySource {
    inner: MemorySource,
    spec: ConsumerSpec,
    broker: FaultyBroker,
    line: Arc<Line>,
    /// Of the server that it is connected to.
    life: u64,
}

impl FaultySource {
    /// Whether the connection broke, by itself or because the server restarted.
    fn broke(&mut self) -> bool {
        let life = self.broker.life.load(Relaxed);
        std::mem::replace(&mut self.life, life) != life
    }

    /// What is handed out again is so in no order, and what is new may look as if it had been.
    fn mix(&self, batch: Vec<Delivery>) -> Vec<Delivery> {
        let (again, mut mixed): (Vec<_>, Vec<_>) = batch.into_iter().partition(|delivery| delivery.redelivered);
        for delivery in again {
            let roll = self.line.strikes(Call::Deliver);
            let at = roll.map_or(mixed.len(), |roll| (roll % (mixed.len() as u64 + 1)) as usize);
            mixed.insert(at, delivery);
        }
        mixed.into_iter().map(|delivery| self.hand_over(delivery)).collect()
    }

    fn hand_over(&self, delivery: Delivery) -> Delivery {
        let Delivery { raw, redelivered, responder } = delivery;
        let looks_old = !redelivered && self.line.strikes(Call::Deliver).is_some();
        self.line.fate.told(Call::Deliver, &raw.position);
        let (line, bus, spec) = (Arc::clone(&self.line), self.broker.bus.clone(), self.spec.clone());
        let position = raw.position.clone();
        let answer = move |answer: Answer| {
            if answer == Answer::Return {
                return drop(responder);
            }
            line.fate.told(Call::Ack, &position);
            let Some(roll) = line.strikes(Call::Ack) else { return responder.ack(Receipt::new()) };
            match roll % 3 {
                0 => {
                    line.fate.tell(&format!("the ack of {position} is lost"));
                    later(move || drop(responder));
                }
                1 => {
                    line.fate.tell(&format!("the ack of {position} is taken, and it comes again"));
                    responder.ack(Receipt::new());
                    bus.bring_back(&spec.pipeline, &spec.channel, position.seq);
                }
                _ => {
                    line.fate.tell(&format!("{position} comes again before its ack"));
                    bus.bring_back(&spec.pipeline, &spec.channel, position.seq);
                    later(move || responder.ack(Receipt::new()));
                }
            }
        };
        Delivery { raw, redelivered: redelivered || looks_old, responder: Responder::new(answer) }
    }
}

/// Once the ack wait is over.
fn later(what: impl FnOnce() + Send + 'static) {
    tokio::spawn(async move {
        tokio::time::sleep(ACK_WAIT).await;
        what();
    });
}

impl Source for FaultySource {
    fn next(&mut self, demand: Demand) -> BoxFuture<'_, Result<Vec<Delivery>, BusError>> {
        async move {
            let nth = self.line.there(Call::Next).await;
            if self.broke() {
                return Err(BusError::Lapsed("the broker restarted".to_owned()));
            }
            let batch = self.inner.next(demand).await?;
            // Nothing is waited for from here on: whoever is cancelled now has lost nothing.
            let cut = self.line.fate.strikes(Call::Next, nth).is_some();
            if self.broke() || cut {
                self.line.fate.tell(&format!("a connection breaks with {} deliveries on it", batch.len()));
                later(move || drop(batch));
                return Err(BusError::Lapsed("the connection broke".to_owned()));
            }
            Ok(self.mix(batch))
        }
        .boxed()
    }

    fn progress(&self) -> BoxFuture<'_, Result<Progress, BusError>> {
        self.line.ask(Call::Progress, self.inner.progress()).boxed()
    }

    fn read(&self, from: u64, to: u64, demand: Demand) -> BoxFuture<'_, Result<(Vec<RawEvent>, u64), BusError>> {
        async move {
            let read = self.line.ask(Call::Read, self.inner.read(from, to, demand)).await?;
            read.0.iter().for_each(|raw| self.line.fate.told(Call::Read, &raw.position));
            Ok(read)
        }
        .boxed()
    }

    fn settle(&mut self, within: Duration) -> BoxFuture<'_, usize> {
        self.inner.settle(within)
    }
}

struct FaultySink {
    inner: Arc<dyn Sink>,
    line: Arc<Line>,
}

impl Sink for FaultySink {
    fn publish(&self, event: Arc<Outgoing>) -> BoxFuture<'static, Result<(), PublishError>> {
        let (inner, line) = (Arc::clone(&self.inner), Arc::clone(&self.line));
        async move {
            let nth = line.there(Call::Publish).await;
            if line.fate.refuses(&event.payload) {
                return Err(PublishError::Refused("it has a number that is not liked here".to_owned()));
            }
            let unconfirmed = |why: &str| {
                line.fate.tell(&format!("a publish has {why}"));
                Err(PublishError::Unconfirmed(why.to_owned()))
            };
            match line.fate.strikes(Call::Publish, nth).map(|roll| roll % 3) {
                Some(0 | 1) => unconfirmed("no answer, and is not stored"),
                Some(_) => {
                    inner.publish(event).await?;
                    unconfirmed("no answer, but is stored")
                }
                None => {
                    inner.publish(event).await?;
                    line.fate.travel(Call::Publish, nth, Way::Back).await;
                    Ok(())
                }
            }
        }
        .boxed()
    }

    fn subject(&self, pipeline: &str, kind: &str, key: &str) -> Result<String, String> {
        self.inner.subject(pipeline, kind, key)
    }

    fn max_bytes(&self) -> usize {
        self.inner.max_bytes()
    }
}
