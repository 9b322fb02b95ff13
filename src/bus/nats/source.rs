//! Pulling: one request at a time is open at the server, for at most one demand.
//!
//! The next request goes out before `next` returns, so that the server sends while the batch is handled. What
//! arrives meanwhile waits here, held like any delivery; so at most two demands are in memory. Everything
//! received lives in `self` until it is returned: a dropped `next` loses nothing.
//!
//! A connection that breaks takes with it what was on its way, and the server may have served an open request over
//! the next one since: so whatever is here when a connection is found to be another than before waits until the
//! caller was told. The inbox stays the same over connections: the server, which can hold on to the old request or
//! to a dead connection, then sends to the new one too, and nothing it delivers from there on can be missed.
//!
//! The same waiting and telling goes for what another runner's request took away ([`Continuity`]).
//!
//! [`Continuity`]: crate::bus::continuity::Continuity

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use async_nats::{Message, Subject, Subscriber};
use futures_util::future::{BoxFuture, FutureExt as _};
use futures_util::stream::StreamExt as _;
use serde_json::json;
use tokio::task::unconstrained;
use tokio::time::{Instant, sleep, sleep_until, timeout_at};

use super::acks::Acks;
use super::consumer::{Bound, Consumer};
use super::get::{self, Got};
use super::link::Link;
use super::{StreamChannel, Tuning, message, read, undeliverable};
use crate::bus::{BusError, ConsumerSpec, Delivery, Demand, Progress, Source};
use crate::event::RawEvent;

/// How long an unfilled request stays open at the server.
const EXPIRES: Duration = Duration::from_secs(30);
/// After a request that the server turned down, so that asking again is no busy loop.
const TURNED_DOWN_PAUSE: Duration = Duration::from_millis(250);

pub struct NatsSource {
    consumer: Arc<Consumer>,
    acks: Acks,
    tuning: Tuning,
    inbox: Option<Inbox>,
    pull: Option<Pull>,
    pulls: u64,
    /// The next event is larger than the demand in bytes: it is asked for alone and without a limit.
    oversized: bool,
    turned_down: bool,
    /// Number of the connection since which nothing was lost, or the caller was told. `None`: nothing was asked yet.
    unbroken: Option<u64>,
    /// The server forgot a request; what it sent before may be lost too.
    fell_silent: bool,
    waiting: VecDeque<Delivery>,
}

/// Where requests are answered; it outlives connections.
struct Inbox {
    prefix: String,
    messages: Subscriber,
}

/// The request that is open at the server.
struct Pull {
    number: u64,
    generation: u64,
    asked: usize,
    left: usize,
    /// The last time that the server showed that it knows of this request.
    alive: Instant,
}

impl NatsSource {
    pub(super) fn new(link: Link, acks: Link, channel: StreamChannel, spec: ConsumerSpec, tuning: Tuning) -> Self {
        Self {
            consumer: Arc::new(Consumer::new(link, channel, spec, tuning)),
            acks: Acks::start(acks, tuning.ack_wait),
            tuning,
            inbox: None,
            pull: None,
            pulls: 0,
            oversized: false,
            turned_down: false,
            unbroken: None,
            fell_silent: false,
            waiting: VecDeque::new(),
        }
    }

    async fn next_batch(&mut self, demand: Demand) -> Result<Vec<Delivery>, BusError> {
        loop {
            self.receive_ready();
            // After receiving and before returning: what came over a new connection shows by its number.
            self.tell_lapse().await?;
            self.stand_in(demand).await;
            if self.waiting.is_empty() || self.wants_more(demand) && self.consumer.link.is_connected() {
                match self.ask(demand).await {
                    Ok(()) => {}
                    Err(error) if self.waiting.is_empty() => return Err(error),
                    // What is here can be handled while the server is away; the next call reports it.
                    Err(_) => {}
                }
            }
            if !self.waiting.is_empty() {
                return Ok(self.take(demand));
            }
            self.wait().await;
        }
    }

    async fn tell_lapse(&mut self) -> Result<(), BusError> {
        let Some(unbroken) = self.unbroken else { return Ok(()) };
        let broke = self.consumer.link.generation() != unbroken;
        let why = match broke {
            true => "the connection was lost, and with it what was on its way",
            false if self.fell_silent => "the server fell silent; what it sent may be lost",
            false if self.consumer.continuity.is_broken() => "another runner's request took deliveries away",
            false => return Ok(()),
        };
        // Only when the server can be asked for what it delivered.
        let Bound { generation, .. } = self.consumer.bound().await?;
        if broke || self.fell_silent {
            self.unbroken = Some(generation);
            self.fell_silent = false;
            self.pull = None;
            self.consumer.undeliverable.lapsed(|seq| self.acks.holds(&self.own_reply(seq)));
        }
        self.consumer.continuity.told();
        Err(BusError::Lapsed(why.to_owned()))
    }

    /// Delivers in the server's place what the client cannot receive.
    async fn stand_in(&mut self, demand: Demand) {
        while self.wants_more(demand)
            && let Some(seq) = self.consumer.undeliverable.due()
        {
            match get::exactly(&self.consumer, seq).await {
                Ok(Some(Got { raw, .. })) => {
                    let responder = self.acks.responder(self.own_reply(seq));
                    self.waiting.push_back(Delivery { raw, redelivered: true, responder });
                    self.consumer.undeliverable.delivered(seq);
                }
                Ok(None) => self.consumer.undeliverable.gone(seq),
                // The next call tries again.
                Err(error) => return tracing::debug!(consumer = self.consumer.name, %error, "not read apart yet"),
            }
        }
    }

    fn own_reply(&self, seq: u64) -> Subject {
        undeliverable::reply(&self.consumer.channel.stream, &self.consumer.name, seq)
    }

    async fn hand_back_unread(&mut self) {
        self.pull = None;
        if let Some(inbox) = &mut self.inbox {
            if inbox.messages.drain().await.is_err() {
                self.inbox = None;
            }
            while let Some(message) = match &mut self.inbox {
                Some(inbox) => inbox.messages.next().await,
                None => None,
            } {
                self.receive(message);
            }
            self.inbox = None;
        }
        self.waiting.clear();
    }

    /// No more is waiting than is about to be returned.
    fn wants_more(&self, demand: Demand) -> bool {
        let bytes: usize = self.waiting.iter().map(|d| d.raw.weight()).sum();
        self.waiting.len() <= demand.events && bytes <= demand.bytes
    }

    fn take(&mut self, demand: Demand) -> Vec<Delivery> {
        let mut batch = Vec::new();
        let mut bytes = 0;
        while batch.len() < demand.events.max(1) && (batch.is_empty() || bytes < demand.bytes) {
            let Some(delivery) = self.waiting.pop_front() else { break };
            bytes += delivery.raw.weight();
            batch.push(delivery);
        }
        batch
    }

    /// Makes sure that a request is open.
    async fn ask(&mut self, demand: Demand) -> Result<(), BusError> {
        if self.turned_down {
            self.consumer.doubt().await;
            sleep(TURNED_DOWN_PAUSE).await;
            self.turned_down = false;
        }
        let Bound { generation, .. } = self.consumer.bound().await?;
        if self.unbroken.is_some_and(|unbroken| unbroken != generation) {
            // The caller is told first.
            return Ok(());
        }
        if self.pull.as_ref().is_some_and(|pull| pull.generation == generation) {
            return Ok(());
        }
        let client = self.consumer.link.client();
        let inbox = match &mut self.inbox {
            Some(inbox) => inbox,
            none => {
                let prefix = client.new_inbox();
                let messages = client.subscribe(format!("{prefix}.*")).await;
                let messages = messages.map_err(|e| BusError::Unavailable(format!("subscribing failed: {e}")))?;
                none.insert(Inbox { prefix, messages })
            }
        };
        self.pulls += 1;
        let asked = if self.oversized { 1 } else { demand.events.clamp(1, self.tuning.max_ack_pending) };
        let mut request = json!({
            "batch": asked,
            "expires": nanos(EXPIRES),
            "idle_heartbeat": nanos(self.tuning.heartbeat),
        });
        if !self.oversized {
            request["max_bytes"] = json!(demand.bytes.max(1));
        }
        let subject = format!("$JS.API.CONSUMER.MSG.NEXT.{}.{}", self.consumer.channel.stream, self.consumer.name);
        let reply = format!("{}.{}", inbox.prefix, self.pulls);
        self.unbroken = Some(generation);
        client
            .publish_with_reply(subject, reply, request.to_string().into())
            .await
            .map_err(|e| BusError::Unavailable(format!("asking for events failed: {e}")))?;
        self.pull = Some(Pull { number: self.pulls, generation, asked, left: asked, alive: Instant::now() });
        Ok(())
    }

    /// Until something arrives or there is reason to ask again.
    async fn wait(&mut self) {
        let (Some(inbox), Some(pull)) = (&mut self.inbox, &self.pull) else { return };
        // A stalled pull is silent: a leader that changed forgets requests.
        let deadline = pull.alive + self.tuning.heartbeat * 2 + Duration::from_secs(1);
        let link = &self.consumer.link;
        tokio::select! {
            biased;
            message = inbox.messages.next() => match message {
                Some(message) => self.receive(message),
                None => self.lose_inbox(),
            },
            () = link.lost(pull.generation) => self.pull = None,
            () = sleep_until(deadline) => {
                tracing::debug!(consumer = self.consumer.name, "the server forgot our request; asking again");
                self.pull = None;
                self.fell_silent = true;
                self.consumer.doubt().await;
            }
        }
    }

    /// All that arrived: without tokio's own limit on a task's turn, which would leave some of it unseen and so missing.
    fn receive_ready(&mut self) {
        while let Some(next) = self.inbox.as_mut().and_then(|inbox| unconstrained(inbox.messages.next()).now_or_never())
        {
            match next {
                Some(message) => self.receive(message),
                None => self.lose_inbox(),
            }
        }
    }

    /// The client has ended, and its subscriptions with it: the next one needs its own.
    fn lose_inbox(&mut self) {
        (self.inbox, self.pull) = (None, None);
    }

    fn receive(&mut self, message: Message) {
        // By its reply subject: what an event says of itself, a publisher may have made to look like a status.
        let delivery = message.reply.clone().and_then(|reply| Some((message::info(&reply)?, reply)));
        let Some((info, reply)) = delivery else {
            if let Some(status) = message.status {
                self.receive_status(status.as_u16(), &message);
            }
            return;
        };
        if let Some(pull) = &mut self.pull {
            pull.alive = Instant::now();
            pull.left -= 1;
            if pull.left == 0 {
                self.pull = None;
            }
        }
        self.oversized = false;
        self.consumer.continuity.came(info.consumer_seq);
        let redelivered = info.delivered > 1;
        let raw = message::raw(&self.consumer.spec.channel, &info, message);
        self.waiting.push_back(Delivery { raw, redelivered, responder: self.acks.responder(reply) });
    }

    /// Statuses: 100 heartbeat; 404 and 408 the request ran out; 409 it was ended, with the reason in words; 503
    /// nobody takes requests.
    fn receive_status(&mut self, status: u16, message: &Message) {
        let prefix = self.inbox.as_ref().map_or("", |inbox| &inbox.prefix);
        let number = message.subject.strip_prefix(prefix).and_then(|s| s.strip_prefix('.')?.parse::<u64>().ok());
        // About an earlier request that we gave up.
        let Some(pull) = self.pull.as_mut().filter(|pull| number.is_none_or(|n| n == pull.number)) else { return };
        let words = message.description.as_deref().unwrap_or_default();
        match status {
            100 => pull.alive = Instant::now(),
            404 | 408 => self.pull = None,
            409 if words.contains("Batch Completed") => self.pull = None,
            409 if words.contains("MaxBytes") => {
                self.oversized = pull.left == pull.asked;
                self.pull = None;
            }
            _ => {
                tracing::debug!(consumer = self.consumer.name, status, "the server ended our request: {words}");
                self.turned_down = true;
                self.pull = None;
            }
        }
    }
}

/// What arrived and was not returned is handed back at once, not after the ack wait.
impl Drop for NatsSource {
    fn drop(&mut self) {
        self.receive_ready();
    }
}

fn nanos(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

impl Source for NatsSource {
    fn next(&mut self, demand: Demand) -> BoxFuture<'_, Result<Vec<Delivery>, BusError>> {
        self.next_batch(demand).boxed()
    }

    fn progress(&self) -> BoxFuture<'_, Result<Progress, BusError>> {
        self.consumer.progress().boxed()
    }

    fn read(&self, from: u64, to: u64, demand: Demand) -> BoxFuture<'_, Result<(Vec<RawEvent>, u64), BusError>> {
        read::read(&self.consumer, from, to, demand).boxed()
    }

    fn settle(&mut self, within: Duration) -> BoxFuture<'_, usize> {
        async move {
            let deadline = Instant::now() + within;
            // What was sent before the server heard that nobody listens any more still arrives, and is handed back:
            // otherwise it would wait for the ack wait, and the ack floor with it.
            let _ = timeout_at(deadline, self.hand_back_unread()).await;
            self.acks.settle(deadline.duration_since(Instant::now())).await
        }
        .boxed()
    }
}
