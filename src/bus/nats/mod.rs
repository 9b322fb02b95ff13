//! NATS JetStream.
//!
//! ```text
//!            ┌─ pulls, publishes ── link ─┐
//! Connection ┤                            ├── server
//!            └─ acks, in-progress ─ link ─┘
//! ```
//! Acks have a connection of their own: past about 1,024 unconfirmed double acks on a connection, its consumers
//! starve (measured).
//!
//! JetStream's API is spoken in JSON here rather than through the client's typed wrappers: a consumer that is
//! updated keeps the fields this version does not know.

mod acks;
mod api;
mod consumer;
mod get;
mod link;
mod message;
mod read;
mod settings;
mod sink;
mod source;
mod stream;
mod undeliverable;

use std::time::Duration;

use crate::bus::{BusError, ConsumerSpec, Progress, subject};
use crate::spec::program::{ChannelKind, NatsConnection};

pub use sink::NatsSink;
pub use source::NatsSource;

/// A NATS server or cluster. Cheap to clone; the clones share two connections.
#[derive(Clone)]
pub struct Connection {
    link: link::Link,
    acks: link::Link,
}

impl Connection {
    /// `name` is what `sluice.yaml` calls the connection. Does not wait for the server: it may be down, then
    /// everything on this connection is `Unavailable` until it comes up. Refused: settings that can never work.
    pub async fn open(name: &str, settings: &NatsConnection) -> Result<Self, BusError> {
        Ok(Self {
            link: link::Link::open(name, "", settings).await?,
            acks: link::Link::open(name, " acks", settings).await?,
        })
    }

    /// Nothing is asked of the server yet: stream and consumer are looked at with the first call.
    pub fn source(&self, channel: StreamChannel, spec: ConsumerSpec, tuning: Tuning) -> NatsSource {
        NatsSource::new(self.link.clone(), self.acks.clone(), channel, spec, tuning)
    }

    /// Where a consumer stands, without making or changing it. `None`: it is not there yet.
    pub async fn progress(&self, channel: StreamChannel, spec: ConsumerSpec) -> Result<Option<Progress>, BusError> {
        consumer::Consumer::new(self.link.clone(), channel, spec, Tuning::default()).look().await
    }

    /// Publishes to a channel by a template of one's own, where the channel has wildcards or several subjects.
    pub fn publisher(&self, channel: StreamChannel, template: &str) -> Result<NatsSink, BusError> {
        NatsSink::with_template(self.link.clone(), channel, template)
    }

    /// Refused: a channel that cannot be published to, because it has several subjects or wildcards.
    pub fn sink(&self, channel: StreamChannel) -> Result<NatsSink, BusError> {
        NatsSink::new(self.link.clone(), channel)
    }
}

/// Where a channel lives on a connection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StreamChannel {
    pub stream: String,
    /// As configured, with `{pipeline}`, `{type}` and `{key}` unfilled.
    pub subjects: Vec<String>,
    /// Make the stream when it is not there.
    pub create: bool,
}

impl StreamChannel {
    /// `None` for a channel that is not on NATS.
    pub fn of(kind: &ChannelKind) -> Option<Self> {
        match kind {
            ChannelKind::Nats { stream, subjects, create, .. } => {
                Some(Self { stream: stream.clone(), subjects: subjects.clone(), create: *create })
            }
            ChannelKind::Local(_) => None,
        }
    }
}

/// What a consumer is tuned by.
#[derive(Clone, Copy, Debug)]
pub struct Tuning {
    /// After this long without ack or sign of life the server delivers an event again. Held events are kept alive
    /// every third of it.
    pub ack_wait: Duration,
    /// Deliveries the server lets wait for their acks. It bounds the rate: at most this many per time held.
    pub max_ack_pending: usize,
    /// How often an idle server says that a pull is alive; after two that stay away the pull is made anew.
    pub heartbeat: Duration,
}

impl Default for Tuning {
    fn default() -> Self {
        Self { ack_wait: Duration::from_secs(30), max_ack_pending: 4096, heartbeat: Duration::from_secs(2) }
    }
}

/// How long a question to the server may take.
const PATIENCE: Duration = Duration::from_secs(5);
