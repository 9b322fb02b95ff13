//! Where events come from and go to: the `Source` and `Sink` traits and their implementations.
//!
//! One conformance suite (`testkit::conformance::bus`) runs against every implementation. What all of them
//! promise:
//! * a source hands out deliveries in stream order, redeliveries whenever the broker likes;
//! * a [`Delivery`] is answered exactly once: acked with a [`Receipt`], or handed back when it is dropped;
//! * while a delivery is held its source keeps it alive at the broker, so that holding is not losing;
//! * a publish is complete only when the broker confirmed that it stored the event.

mod continuity;
pub mod local;
pub mod memory;
pub mod nats;
pub mod subject;
pub mod open;

use std::sync::Arc;
use std::time::Duration;

use futures_util::future::BoxFuture;

use crate::event::{ChannelName, Outgoing, RawEvent};

/// Proof that an event may be acked: its outcome is committed, and what it emitted is confirmed. Only the flow's
/// held deliveries make one (`flow::held`); `ignored` is the one named exception.
#[derive(Debug)]
pub struct Receipt(());

impl Receipt {
    /// Called by `flow` alone, which hands one out for a committed outcome or an ignored event.
    pub(crate) fn new() -> Self {
        Self(())
    }
}

/// What became of a delivery, as told to its source.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Answer {
    Ack,
    /// Hand it back: the broker may deliver it again at once, here or elsewhere.
    Return,
}

/// The way back to the broker for one delivery. Dropping it hands the event back.
pub struct Responder {
    answer: Option<Box<dyn FnOnce(Answer) + Send + Sync>>,
}

impl Responder {
    /// `answer` is called exactly once. It must not block; a source queues the answer and confirms it apart.
    pub fn new(answer: impl FnOnce(Answer) + Send + Sync + 'static) -> Self {
        Self { answer: Some(Box::new(answer)) }
    }

    pub fn ack(mut self, _: Receipt) {
        if let Some(answer) = self.answer.take() {
            answer(Answer::Ack);
        }
    }
}

impl Drop for Responder {
    fn drop(&mut self) {
        if let Some(answer) = self.answer.take() {
            answer(Answer::Return);
        }
    }
}

impl std::fmt::Debug for Responder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Responder")
    }
}

/// One event handed out by a source.
#[derive(Debug)]
pub struct Delivery {
    pub raw: RawEvent,
    /// The broker says that it handed this event out before. A hint: prefetching counts, attempts do not.
    pub redelivered: bool,
    pub responder: Responder,
}

/// How much a caller can take. Sources stop at whichever is reached first, and may go over `bytes` by one event.
#[derive(Clone, Copy, Debug)]
pub struct Demand {
    pub events: usize,
    pub bytes: usize,
}

/// What a source costs that does not keep what was acked, in a sentence.
pub const DELETES_ON_ACK: &str = "this stream deletes events when they are acked and the store is not strict: what Redis loses in a \
     power failure or failover is lost; set `appendfsync always`, or let the stream keep its events";

/// Where the broker says a consumer stands.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Progress {
    /// Everything up to this stream sequence was acked (0: nothing). A hint; the store's position is the truth.
    pub ack_floor: u64,
    /// The last stream sequence handed out (0: none).
    pub delivered: u64,
    /// Events the broker holds that it did not hand out yet.
    pub pending: u64,
    /// First and last sequence in the stream (`last` 0: empty stream that never held an event).
    pub first: u64,
    pub last: u64,
    /// The stream deletes an event when it is acked (work queue, interest): it cannot be read again.
    pub deletes_on_ack: bool,
}

/// What a source needs to know of the pipeline that consumes from it.
#[derive(Clone, Debug)]
pub struct ConsumerSpec {
    pub pipeline: Arc<str>,
    pub channel: ChannelName,
    /// The position the store knows: a consumer that does not exist yet is created to start behind it, or refused where
    /// that shows that it is a position of another stream.
    pub start_after: Option<u64>,
}

/// Trouble at the broker.
#[derive(Clone, Debug, thiserror::Error)]
pub enum BusError {
    /// Passes: unreachable, timed out, no leader, a stream that is not there (yet). Wait and try again.
    #[error("{0}")]
    Unavailable(String),
    /// Does not pass without a person: wrong credentials, a consumer configured by someone else, a stream
    /// without the subject. Says what to do.
    #[error("{0}")]
    Refused(String),
    /// What the broker sent may be lost on its way, or went to another runner's request, and comes only after the ack
    /// wait, behind what is delivered now: where the order matters, read again all that was delivered (`progress`, `read`) before going on.
    #[error("{0}")]
    Lapsed(String),
}

/// A consumer's side of a channel. One object a (pipeline, channel).
pub trait Source: Send + Sync {
    /// Waits for deliveries: at least one, at most `demand`. Cancel safe: a delivery is either returned or
    /// handed back. `Lapsed` comes once for each interruption, before anything that could have overtaken what was
    /// lost; `progress` asked after it knows of all that was lost. Deliveries that went elsewhere are noticed from the
    /// first `progress` on: by the next that comes here, or when none comes, by `progress` asked twice since, a second or
    /// more apart.
    fn next(&mut self, demand: Demand) -> BoxFuture<'_, Result<Vec<Delivery>, BusError>>;

    /// Asks the broker where this consumer stands.
    fn progress(&self) -> BoxFuture<'_, Result<Progress, BusError>>;

    /// Reads events of this channel again by stream sequence, in order, from `from` on and at most to `to`
    /// (inclusive), without acks and without touching the consumer: up to `demand`, fewer when the stream has
    /// no more in that range. The second value is the next sequence to go on from (`to + 1` at the end).
    fn read(&self, from: u64, to: u64, demand: Demand) -> BoxFuture<'_, Result<(Vec<RawEvent>, u64), BusError>>;

    /// The end of pulling: hands back what was fetched and not returned by `next`, and waits until every answer given
    /// so far is confirmed by the broker, or `within` has passed; the number of answers that stayed unconfirmed.
    fn settle(&mut self, within: Duration) -> BoxFuture<'_, usize>;
}

/// Why a publish was not confirmed.
#[derive(Clone, Debug, thiserror::Error)]
pub enum PublishError {
    /// Passes; nobody knows whether the broker stored the event. Publish again with the same dedupe id.
    #[error("{0}")]
    Unconfirmed(String),
    /// The destination will never take this event (too large, wrong subject).
    #[error("{0}")]
    Refused(String),
}

/// A producer's side of a channel.
pub trait Sink: Send + Sync {
    /// Resolves when the broker confirmed that the event is stored. Many may be in flight; the order of those in
    /// flight together is not kept, so callers wait for a confirm where order matters.
    fn publish(&self, event: Arc<Outgoing>) -> BoxFuture<'static, Result<(), PublishError>>;

    /// Subject for an event of this type and key, from the channel's template.
    fn subject(&self, pipeline: &str, kind: &str, key: &str) -> Result<String, String>;

    /// Largest payload with headers in bytes that the destination takes, as far as known.
    fn max_bytes(&self) -> usize;
}

/// Opens the ends of channels by name; what a running pipeline sees of all brokers together.
pub trait Channels: Send + Sync {
    /// Connects this pipeline's consumer, creating it when it is not there.
    fn source(&self, spec: ConsumerSpec) -> BoxFuture<'_, Result<Box<dyn Source>, BusError>>;

    /// The publishing end. Does no I/O: the first publish connects.
    fn sink(&self, channel: &ChannelName) -> Result<Arc<dyn Sink>, BusError>;
}
