//! What a side is told to do, and the events and states that it works on.

use std::env;
use std::time::Duration;

use async_nats::jetstream::consumer::{AckPolicy, PullConsumer, pull};
use redis::IntoConnectionInfo as _;
use redis::aio::MultiplexedConnection;
use redis::io::tcp::TcpSettings;
use serde::{Deserialize, Serialize};

use super::Trouble;

/// How long a processed event is remembered.
pub const RETAIN: Duration = Duration::from_secs(7 * 24 * 60 * 60);

/// A side's whole job, as its environment tells it.
pub struct Job {
    /// `BENCH_NATS`: `nats://host:port`
    pub nats: String,
    /// `BENCH_REDIS`: `redis://host:port/0`
    pub redis: String,
    /// `BENCH_STREAM`: the input, which is there and may hold events.
    pub stream: String,
    /// `BENCH_CONSUMER`: the durable consumer to make.
    pub consumer: String,
    /// `BENCH_OUT`: the subject to publish to, which a stream takes.
    pub out: String,
    /// `BENCH_JOB`: `order` keeps state per key, `pass` none.
    pub keeps_state: bool,
    /// `BENCH_DURABILITY`: with `strict`, the server must write to disk before it answers.
    pub strict: bool,
    /// `BENCH_CONCURRENCY`: events in flight, for `usual`.
    pub concurrency: usize,
}

impl Job {
    pub fn from_environment() -> Result<Self, Trouble> {
        let said = |name: &str| env::var(name).map_err(|_| format!("set `{name}`"));
        let either = |name: &str, no: &str, yes: &str| match said(name)? {
            word if word == yes => Ok(true),
            word if word == no => Ok(false),
            word => Err(format!("`{name}` is `{no}` or `{yes}`, not `{word}`")),
        };
        Ok(Self {
            nats: said("BENCH_NATS")?,
            redis: said("BENCH_REDIS")?,
            stream: said("BENCH_STREAM")?,
            consumer: said("BENCH_CONSUMER")?,
            out: said("BENCH_OUT")?,
            keeps_state: either("BENCH_JOB", "pass", "order")?,
            strict: either("BENCH_DURABILITY", "relaxed", "strict")?,
            concurrency: said("BENCH_CONCURRENCY").unwrap_or_else(|_| "1".into()).parse()?,
        })
    }

    /// The durable consumer; the events that are under way at a time are `max_ack_pending`.
    pub async fn consumer(&self, client: &async_nats::Client, max_ack_pending: i64) -> Result<PullConsumer, Trouble> {
        let stream = async_nats::jetstream::new(client.clone()).get_stream(&self.stream).await?;
        let config = pull::Config {
            durable_name: Some(self.consumer.clone()),
            ack_policy: AckPolicy::Explicit,
            ack_wait: Duration::from_secs(30),
            max_ack_pending,
            ..Default::default()
        };
        Ok(stream.create_consumer(config).await?)
    }

    /// A connection without delay. Strict durability is the server's, as for `sluice`: it answers after the `fsync`.
    pub async fn store(&self) -> Result<MultiplexedConnection, Trouble> {
        let info = self.redis.as_str().into_connection_info()?;
        let info = info.set_tcp_settings(TcpSettings::default().set_nodelay(true));
        let config = redis::AsyncConnectionConfig::new().set_response_timeout(Some(Duration::from_secs(10)));
        let client = redis::Client::open(info)?;
        let mut connection = client.get_multiplexed_async_connection_with_config(&config).await?;
        if self.strict {
            let setting: Vec<String> =
                redis::cmd("CONFIG").arg("GET").arg("appendfsync").query_async(&mut connection).await?;
            if setting.last().is_none_or(|setting| setting != "always") {
                return Err("strict durability needs a redis with `appendfsync always`".into());
            }
        }
        Ok(connection)
    }
}

/// What a hand-written consumer takes from an event; the rest is skipped unread.
#[derive(Deserialize)]
pub struct Event {
    pub id: Box<str>,
    pub source: Box<str>,
    pub time: Box<str>,
    pub data: Data,
}

#[derive(Deserialize)]
pub struct Data {
    pub order_id: Box<str>,
    pub seq: i64,
    pub amount_cents: i64,
    pub currency: Box<str>,
    pub customer_id: Box<str>,
}

/// An order's state: one JSON document per key.
#[derive(Default, Deserialize, Serialize)]
pub struct State {
    pub count: u64,
    pub total_cents: i64,
    pub last_seq: i64,
    pub status: String,
    pub currency: String,
    pub customer_id: String,
}

impl State {
    pub fn apply(&mut self, data: &Data) {
        self.count += 1;
        self.total_cents += data.amount_cents;
        self.last_seq = data.seq;
        "open".clone_into(&mut self.status);
        (*data.currency).clone_into(&mut self.currency);
        (*data.customer_id).clone_into(&mut self.customer_id);
    }
}

/// What is emitted, once for each event.
#[derive(Serialize)]
pub struct Emission<'a> {
    pub id: &'a str,
    #[serde(rename = "type")]
    pub kind: &'a str,
    pub version: u32,
    pub source: &'a str,
    pub time: &'a str,
    pub data: Total<'a>,
}

#[derive(Serialize)]
pub struct Total<'a> {
    pub order_id: &'a str,
    pub count: u64,
    pub total_cents: i64,
}

impl<'a> Emission<'a> {
    /// Of an order with this state after this event; where none is kept, of the event alone.
    pub fn of(id: &'a str, event: &'a Event, state: Option<&State>) -> Self {
        let (count, total_cents) = state.map_or((1, event.data.amount_cents), |state| (state.count, state.total_cents));
        let data = Total { order_id: &event.data.order_id, count, total_cents };
        Self { id, kind: "OrderTotal", version: 1, source: "bench", time: &event.time, data }
    }

    pub fn bytes(&self) -> Result<Vec<u8>, serde_json::Error> {
        let mut bytes = Vec::with_capacity(256);
        serde_json::to_writer(&mut bytes, self)?;
        Ok(bytes)
    }
}
