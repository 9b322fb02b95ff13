//! The NATS bus on real servers: the conformance suite, and what only a server of its own can show.

mod streams;
mod trouble;

use std::time::Duration;

use async_nats::jetstream::{self, consumer, stream};
use async_nats::{Subject, Subscriber};
use futures_util::future::{BoxFuture, FutureExt as _};
use sluicegate::bus::nats::{Connection, StreamChannel, Tuning};
use sluicegate::bus::{BusError, ConsumerSpec, Demand, PublishError, Sink, Source};
use sluicegate::event::{ChannelName, Headers, Outgoing};
use sluicegate::spec::program::{NatsAuth, NatsConnection, NatsTls};
use sluicegate::testkit::conformance::bus::{self as suite, CHANNEL, ack, assert_quiet, publish, read_all, seqs, take};
use tokio::time::timeout;

use crate::support::proxy::Proxy;
use crate::support::servers::NatsServer;
use crate::support::wait::eventually;

const SOON: Duration = Duration::from_secs(10);
const MANY: Demand = Demand { events: 1000, bytes: 1 << 20 };

struct Nats {
    server: NatsServer,
    connection: Connection,
    js: jetstream::Context,
    /// Where requests are answered that somebody else leaves open.
    left_open: Subject,
    _unread: Subscriber,
}

impl Nats {
    async fn start() -> Self {
        let server = NatsServer::start();
        let connection = connect(&server.url()).await;
        let client = async_nats::connect(server.url()).await.unwrap();
        let left_open = Subject::from(client.new_inbox());
        let unread = client.subscribe(left_open.clone()).await.unwrap();
        Self { server, connection, js: jetstream::new(client), left_open, _unread: unread }
    }

    fn source_with(&self, channel: StreamChannel, tuning: Tuning) -> Box<dyn Source> {
        Box::new(self.connection.source(channel, suite::spec("p"), tuning))
    }

    async fn stream(&self, config: stream::Config) -> stream::Stream {
        self.js.create_stream(stream::Config { name: "S".into(), ..config }).await.unwrap()
    }
}

async fn connect(url: &str) -> Connection {
    Connection::open("nats", &settings(url, NatsAuth::None)).await.unwrap()
}

fn settings(url: &str, auth: NatsAuth) -> NatsConnection {
    NatsConnection { url: url.into(), auth, tls: NatsTls::default() }
}

fn channel(subjects: &[&str]) -> StreamChannel {
    StreamChannel { stream: "S".into(), subjects: subjects.iter().map(|s| (*s).to_owned()).collect(), create: true }
}

fn there(subjects: &[&str]) -> StreamChannel {
    StreamChannel { create: false, ..channel(subjects) }
}

/// A server that is asked for signs of life often, so that tests need not wait long.
fn quick() -> Tuning {
    Tuning { ack_wait: Duration::from_secs(2), heartbeat: Duration::from_millis(500), ..Tuning::default() }
}

impl suite::Broker for Nats {
    fn source(&self, spec: ConsumerSpec) -> Box<dyn Source> {
        Box::new(self.connection.source(channel(&["s"]), spec, Tuning::default()))
    }

    fn sink(&self, _: ChannelName) -> Box<dyn Sink> {
        Box::new(self.connection.sink(channel(&["s"])).unwrap())
    }

    fn delete(&self, _: ChannelName, seq: u64) -> BoxFuture<'_, ()> {
        async move {
            self.js.get_stream("S").await.unwrap().delete_message(seq).await.unwrap();
        }
        .boxed()
    }
}

impl suite::OfSeveral for Nats {
    fn leave_open<'a>(&'a self, spec: &'a ConsumerSpec, count: usize) -> BoxFuture<'a, ()> {
        async move {
            // Made by whoever asks about it first.
            self.connection.source(channel(&["s"]), spec.clone(), Tuning::default()).progress().await.unwrap();
            let name = format!("sluice-{}-{}", spec.pipeline, spec.channel);
            let its = self.js.get_stream("S").await.unwrap();
            let open = async || its.consumer_info(&name).await.unwrap().num_waiting;
            let before = open().await;
            let request = serde_json::json!({ "batch": count, "expires": 30_000_000_000_u64 }).to_string();
            let subject = format!("$JS.API.CONSUMER.MSG.NEXT.S.{name}");
            let sent = self.js.client().publish_with_reply(subject, self.left_open.clone(), request.into()).await;
            sent.unwrap();
            eventually(SOON, "one more open request", async || open().await > before).await;
        }
        .boxed()
    }
}

macro_rules! conforms {
    ($($behaviour:ident)*) => {
        $(#[tokio::test] async fn $behaviour() { suite::$behaviour(&Nats::start().await).await; })*
    };
}

sluicegate::bus_behaviours! {
    conforms,
    a_new_consumer_starts_behind_its_position,
    what_another_request_took_is_told_before_what_comes_after_it,
    what_another_request_took_is_told_when_nothing_comes_after_it,
}

fn event(id: &str, payload: &str) -> Outgoing {
    Outgoing {
        dedupe_id: id.into(),
        subject: String::new(),
        headers: Headers::default(),
        payload: payload.to_owned().into(),
    }
}

/// Publishes until the broker confirms, as an outbox does.
async fn publish_stubbornly(sink: &dyn Sink, id: &str) {
    eventually(Duration::from_secs(30), "a confirmed publish", async || {
        sink.publish(event(id, id).into()).await.is_ok()
    })
    .await;
}

/// Pulls as a worker does: errors that pass are waited out.
async fn take_stubbornly(source: &mut dyn Source, count: usize) -> Vec<sluicegate::bus::Delivery> {
    let mut taken = Vec::new();
    let all = async {
        while taken.len() < count {
            match source.next(MANY).await {
                Ok(batch) => taken.extend(batch),
                Err(BusError::Unavailable(_) | BusError::Lapsed(_)) => {}
                Err(refused) => panic!("{refused}"),
            }
        }
    };
    timeout(Duration::from_secs(30), all).await.expect("deliveries");
    taken
}
