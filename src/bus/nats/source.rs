//! Pulling: one request at a time is open at the server, for at most one demand.
//!
//! The next request goes out before `next` returns, so that the server sends while the batch is handled. What
//! arrives meanwhile waits here, held like any delivery; so at most two demands are in memory. Everything
//! received lives in `self` until it is returned: a dropped `next` loses nothing.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use async_nats::{Message, Subscriber};
use futures_util::future::{BoxFuture, FutureExt as _};
use futures_util::stream::StreamExt as _;
use serde_json::json;
use tokio::time::{Instant, sleep, sleep_until, timeout_at};

use super::acks::Acks;
use super::consumer::{Bound, Consumer};
use super::link::Link;
use super::{StreamChannel, Tuning, message, read};
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
            waiting: VecDeque::new(),
        }
    }

    async fn next_batch(&mut self, demand: Demand) -> Result<Vec<Delivery>, BusError> {
        loop {
            self.receive_ready().await;
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
        if self.pull.as_ref().is_some_and(|pull| pull.generation == generation) {
            return Ok(());
        }
        let client = &self.consumer.link.client;
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
                // The client ended the subscription: only when it is closed for good.
                None => self.inbox = None,
            },
            () = link.lost(pull.generation) => self.pull = None,
            () = sleep_until(deadline) => {
                tracing::debug!(consumer = self.consumer.name, "the server forgot our request; asking again");
                self.pull = None;
                self.consumer.doubt().await;
            }
        }
    }

    async fn receive_ready(&mut self) {
        while let Some(Some(Some(message))) = self.inbox.as_mut().map(|i| i.messages.next().now_or_never()) {
            self.receive(message);
        }
    }

    fn receive(&mut self, message: Message) {
        if let Some(status) = message.status {
            self.receive_status(status.as_u16(), &message);
            return;
        }
        let Some(reply) = message.reply.clone() else { return };
        let Some(info) = message::info(&reply) else { return };
        if let Some(pull) = &mut self.pull {
            pull.alive = Instant::now();
            pull.left -= 1;
            if pull.left == 0 {
                self.pull = None;
            }
        }
        self.oversized = false;
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
