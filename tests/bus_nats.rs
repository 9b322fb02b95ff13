//! The NATS bus on real servers: the conformance suite, and what only a server of its own can show.

use std::time::Duration;

use async_nats::jetstream::{self, consumer, stream};
use async_nats::{Subject, Subscriber};
use futures_util::future::{BoxFuture, FutureExt as _};
use sluicegate::bus::nats::{Connection, StreamChannel, Tuning};
use sluicegate::bus::{BusError, ConsumerSpec, Demand, Outgoing, PublishError, Sink, Source};
use sluicegate::event::{ChannelName, Headers};
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

conforms! {
    deliveries_come_in_stream_order
    a_dropped_delivery_is_handed_out_again
    acks_raise_the_floor_and_outlive_the_source
    a_read_span_is_what_was_published
    a_publish_is_stored_once_per_dedupe_id
    a_new_consumer_starts_behind_its_position
    a_cancelled_next_loses_nothing
    a_batch_stays_within_the_demand
    pipelines_do_not_share_what_they_consume
    what_another_request_took_is_told_before_what_comes_after_it
    what_another_request_took_is_told_when_nothing_comes_after_it
    what_comes_again_is_no_gap
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
    eventually(Duration::from_secs(30), "a confirmed publish", async || sink.publish(event(id, id)).await.is_ok())
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

/// Waits until the source says that something may be lost, which must come before any delivery.
async fn until_told(source: &mut dyn Source) {
    let told = async {
        loop {
            match source.next(MANY).await {
                Err(BusError::Unavailable(_)) => {}
                Err(BusError::Lapsed(_)) => return,
                other => panic!("{other:?} came first"),
            }
        }
    };
    timeout(Duration::from_secs(30), told).await.expect("a word on what may be lost");
}

#[tokio::test]
async fn what_a_broken_connection_took_with_it_is_told_before_anything_new() {
    // Asked at once, and only when the connection is back and something new was delivered over it.
    for late in [false, true] {
        let nats = Nats::start().await;
        let proxy = Proxy::start(nats.server.port).await;
        let connection = connect(&format!("nats://127.0.0.1:{}", proxy.port())).await;
        let mut source = connection.source(channel(&["s"]), suite::spec("p"), Tuning::default());
        let sink = nats.connection.sink(channel(&["s"])).unwrap();
        publish(&sink, 1, 1).await;
        // Leaves a request for many open; settling would take it back.
        let taken = take_stubbornly(&mut source, 1).await;
        taken.into_iter().for_each(|d| d.responder.ack(suite::receipt()));
        eventually(SOON, "an ack", async || source.progress().await.unwrap().ack_floor == 1).await;

        proxy.hold_replies();
        publish(&sink, 2, 2).await;
        let its = nats.connection.source(channel(&["s"]), suite::spec("p"), Tuning::default());
        eventually(SOON, "a delivery into the void", async || its.progress().await.unwrap().delivered == 3).await;
        let connections = proxy.connections();
        proxy.cut();
        proxy.let_go();
        if late {
            eventually(SOON, "both links", async || proxy.connections() == connections + 2).await;
            source.progress().await.unwrap();
        }
        publish(&sink, 4, 1).await;
        if late {
            // The request of the old connection may be served over the new one, or be forgotten: both happen.
            let _ = timeout(Duration::from_millis(500), async { while its.progress().await.unwrap().delivered < 4 {} })
                .await;
        }

        until_told(&mut source).await;
        let progress = source.progress().await.unwrap();
        assert!(progress.ack_floor == 1 && progress.delivered >= 3, "{progress:?}");
        let (again, _) = source.read(2, progress.delivered, MANY).await.unwrap();
        let again: Vec<u64> = again.iter().map(|event| event.position.seq).collect();
        assert_eq!(again, (2..=progress.delivered).collect::<Vec<_>>());
        // Asked at once, the server may not have noticed the cut and have sent this one after the others.
        if late || progress.delivered == 3 {
            assert_eq!(seqs(&take(&mut source, 1, MANY).await), [4]);
        }
    }
}

#[tokio::test]
async fn an_event_whose_headers_break_the_connection_is_read_apart() {
    let nats = Nats::start().await;
    let sink = nats.connection.sink(channel(&["s"])).unwrap();
    publish(&sink, 1, 1).await;
    nats.server.publish_raw("s", b"NATS/1.0\r\nContent Type: x", "two");
    nats.server.publish_raw("s", b"NATS/1.0\r\na: \xff", "three");
    publish(&sink, 4, 1).await;
    let source = nats.connection.source(channel(&["s"]), suite::spec("p"), Tuning::default());
    let (mut next, mut events) = (1, Vec::new());
    let all = async {
        while next <= 4 {
            if let Ok((read, then)) = source.read(next, 4, MANY).await {
                events.extend(read);
                next = then;
            }
        }
    };
    timeout(SOON, all).await.expect("all four");
    assert_eq!(events.iter().map(|event| event.position.seq).collect::<Vec<_>>(), [1, 2, 3, 4]);
    assert_eq!((events[1].headers.get("Content Type"), &events[1].payload[..]), (Some("x"), &b"two"[..]));
    assert_eq!((events[2].headers.get("a"), &events[2].payload[..]), (Some("\u{fffd}"), &b"three"[..]));
}

#[tokio::test]
async fn an_event_that_cannot_be_received_is_delivered_all_the_same_held_and_acked() {
    for retention in [stream::RetentionPolicy::Limits, stream::RetentionPolicy::WorkQueue] {
        let nats = Nats::start().await;
        let stream = nats.stream(stream::Config { subjects: vec!["s".into()], retention, ..Default::default() }).await;
        let sink = nats.connection.sink(there(&["s"])).unwrap();
        publish(&sink, 1, 1).await;
        nats.server.publish_raw("s", b"NATS/1.0\r\nContent Type: x", "two");
        publish(&sink, 3, 1).await;
        let mut source = nats.source_with(there(&["s"]), quick());
        let mut held = Vec::new();
        let all = async {
            while !(1..=3).all(|seq| seqs(&held).contains(&seq)) {
                match source.next(MANY).await {
                    Ok(deliveries) => held.extend(deliveries),
                    // As the flow does: whatever was delivered is read again.
                    Err(_) => {
                        let last = source.progress().await.map_or(0, |progress| progress.delivered);
                        let _ = source.read(1, last, MANY).await;
                    }
                }
            }
        };
        timeout(SOON, all).await.expect("all three");
        let two = held.iter().find(|delivery| delivery.raw.position.seq == 2).unwrap();
        assert_eq!((two.redelivered, &two.raw.payload[..]), (true, &b"two"[..]));
        // Longer than the ack wait: were it not kept alive, it would be delivered, and break the connection.
        let quiet = timeout(quick().ack_wait * 3 / 2, source.next(MANY)).await;
        assert!(quiet.is_err(), "{quiet:?}");
        ack(&mut *source, held).await;
        eventually(SOON, "three acks", async || source.progress().await.is_ok_and(|p| p.ack_floor == 3)).await;
        let left = stream.get_info().await.unwrap().state.messages;
        assert_eq!(left, if retention == stream::RetentionPolicy::WorkQueue { 0 } else { 3 });
    }
}

#[tokio::test]
async fn an_event_that_looks_like_a_status_is_delivered() {
    let nats = Nats::start().await;
    publish(&nats.connection.sink(channel(&["s"])).unwrap(), 1, 1).await;
    nats.server.publish_raw("s", b"NATS/1.0 503 nobody\r\na: b", "two");
    let mut source = nats.source_with(channel(&["s"]), quick());
    let taken = take(&mut *source, 2, MANY).await;
    assert_eq!((taken[1].raw.headers.get("a"), &taken[1].raw.payload[..]), (Some("b"), &b"two"[..]));
    let read = read_all(&*source, 1, 2, MANY).await;
    assert_eq!(read, taken.iter().map(|delivery| delivery.raw.clone()).collect::<Vec<_>>());
}

#[tokio::test]
async fn source_and_sink_go_on_by_themselves_when_the_broker_was_killed() {
    let mut nats = Nats::start().await;
    let (sink, mut source) =
        (nats.connection.sink(channel(&["s"])).unwrap(), nats.source_with(channel(&["s"]), quick()));
    publish(&sink, 1, 3).await;
    let taken = take(&mut *source, 3, MANY).await;
    ack(&mut *source, taken).await;

    nats.server.kill9();
    let died = timeout(SOON, source.next(MANY)).await.expect("an answer");
    assert!(matches!(died, Err(BusError::Unavailable(_))));
    assert!(matches!(sink.publish(event("id-4", "4")).await, Err(PublishError::Unconfirmed(_))));
    nats.server.restart();

    publish_stubbornly(&sink, "id-4").await;
    let taken = take_stubbornly(&mut *source, 1).await;
    assert_eq!(taken.last().unwrap().raw.position.seq, 4);
    ack(&mut *source, taken).await;
    assert_eq!(source.progress().await.unwrap().ack_floor, 4);
}

#[tokio::test]
async fn nothing_is_lost_when_the_broker_is_killed_under_load() {
    let mut nats = Nats::start().await;
    let sink = nats.connection.sink(channel(&["s"])).unwrap();
    let mut source = nats.source_with(channel(&["s"]), quick());
    let publishing = tokio::spawn(async move {
        for number in 0..600 {
            publish_stubbornly(&sink, &format!("e{number}")).await;
        }
    });
    let mut payloads = std::collections::BTreeSet::new();
    for kill_at in [150, 300, 600] {
        while payloads.len() < kill_at {
            for delivery in take_stubbornly(&mut *source, 1).await {
                payloads.insert(delivery.raw.payload.clone());
                delivery.responder.ack(suite::receipt());
            }
        }
        if kill_at < 600 {
            nats.server.kill9();
            nats.server.restart();
        }
    }
    publishing.await.unwrap();
    ack_until(&mut *source, 600).await;
    assert_eq!(source.progress().await.unwrap().last, 600, "each was stored once");
}

#[tokio::test]
async fn acks_given_while_the_broker_is_down_are_confirmed_when_it_is_back() {
    let mut nats = Nats::start().await;
    let (sink, mut source) =
        (nats.connection.sink(channel(&["s"])).unwrap(), nats.source_with(channel(&["s"]), quick()));
    publish(&sink, 1, 3).await;
    let taken = take(&mut *source, 3, MANY).await;
    nats.server.kill9();
    taken.into_iter().for_each(|d| d.responder.ack(suite::receipt()));
    assert_eq!(source.settle(Duration::from_millis(100)).await, 3);
    nats.server.restart();
    ack_until(&mut *source, 3).await;
    assert_eq!(source.settle(SOON).await, 0);
}

/// Goes on pulling and acking until the floor is there. A killed server may have forgotten that it delivered, or
/// that it confirmed an ack: then it takes no notice of acks until it delivered again.
async fn ack_until(source: &mut dyn Source, floor: u64) {
    let start = std::time::Instant::now();
    while !source.progress().await.is_ok_and(|p| p.ack_floor == floor) {
        assert!(start.elapsed() < Duration::from_secs(30), "the floor does not rise");
        if let Ok(Ok(batch)) = timeout(Duration::from_millis(100), source.next(MANY)).await {
            batch.into_iter().for_each(|d| d.responder.ack(suite::receipt()));
        }
    }
}

#[tokio::test]
async fn a_broker_that_comes_up_late_is_waited_for() {
    let mut nats = Nats::start().await;
    nats.server.kill9();
    let connection = connect(&nats.server.url()).await;
    let mut source = connection.source(channel(&["s"]), suite::spec("p"), quick());
    let error = source.progress().await.unwrap_err();
    assert!(matches!(&error, BusError::Unavailable(why) if why.contains("`nats`")), "{error}");
    nats.server.restart();
    let sink = connection.sink(channel(&["s"])).unwrap();
    publish_stubbornly(&sink, "id-1").await;
    assert_eq!(seqs(&take_stubbornly(&mut source, 1).await), [1]);
}

#[tokio::test]
async fn a_frozen_broker_is_an_error_that_passes() {
    let nats = Nats::start().await;
    let (sink, mut source) =
        (nats.connection.sink(channel(&["s"])).unwrap(), nats.source_with(channel(&["s"]), quick()));
    publish(&sink, 1, 1).await;
    let taken = take(&mut *source, 1, MANY).await;
    ack(&mut *source, taken).await;
    nats.server.sigstop();
    let frozen = timeout(Duration::from_secs(15), source.next(MANY)).await.expect("an answer");
    assert!(matches!(frozen, Err(BusError::Unavailable(_))));
    nats.server.sigcont();
    publish_stubbornly(&sink, "id-2").await;
    until_told(&mut *source).await;
    assert_eq!(seqs(&take_stubbornly(&mut *source, 1).await), [2]);
}

#[tokio::test]
async fn a_held_delivery_is_not_handed_out_again_after_the_ack_wait() {
    let nats = Nats::start().await;
    let tuning = Tuning { ack_wait: Duration::from_millis(600), ..quick() };
    let mut source = nats.source_with(channel(&["s"]), tuning);
    publish(&nats.connection.sink(channel(&["s"])).unwrap(), 1, 2).await;
    let held = take(&mut *source, 2, MANY).await;
    // Four ack waits.
    let more = timeout(Duration::from_millis(2400), source.next(MANY)).await;
    assert!(more.is_err(), "{more:?}");
    ack(&mut *source, held).await;
    assert_eq!(source.progress().await.unwrap().ack_floor, 2);
}

#[tokio::test]
async fn a_missing_stream_is_waited_for_with_a_word_on_how_to_make_it() {
    let nats = Nats::start().await;
    let mut source = nats.source_with(there(&["a.>", "b"]), quick());
    let sink = nats.connection.sink(there(&["b"])).unwrap();
    let error = timeout(SOON, source.next(MANY)).await.expect("an answer").unwrap_err();
    assert!(
        matches!(&error, BusError::Unavailable(why) if why.contains("nats stream add S --subjects='a.>,b'")),
        "{error}"
    );
    assert!(matches!(sink.publish(event("1", "1")).await, Err(PublishError::Unconfirmed(_))));
    nats.stream(stream::Config { subjects: vec!["a.>".into(), "b".into()], ..Default::default() }).await;
    publish_stubbornly(&sink, "1").await;
    assert_eq!(seqs(&take(&mut *source, 1, MANY).await), [1]);
}

#[tokio::test]
async fn a_stream_without_the_subject_is_refused() {
    let nats = Nats::start().await;
    nats.stream(stream::Config { subjects: vec!["orders.*".into()], ..Default::default() }).await;
    for subject in ["orders.>", "other"] {
        let error = nats.source_with(there(&[subject]), quick()).progress().await.unwrap_err();
        assert!(
            matches!(&error, BusError::Refused(why) if why.contains(subject) && why.contains("orders.*")),
            "{error}"
        );
    }
}

#[tokio::test]
async fn a_consumer_made_by_someone_else_is_refused() {
    let nats = Nats::start().await;
    let stream = nats.stream(stream::Config { subjects: vec!["s".into()], ..Default::default() }).await;
    let name = format!("sluice-p-{CHANNEL}");
    let foreign = consumer::Config { durable_name: Some(name.clone()), ..Default::default() };
    let none = consumer::Config { ack_policy: consumer::AckPolicy::None, ..foreign.clone() };
    let push = consumer::Config { deliver_subject: Some("push".into()), ..foreign.clone() };
    let other = consumer::Config { metadata: [("sluice.pipeline".into(), "other".into())].into(), ..foreign };
    for (config, why) in [(none, "ack policy"), (push, "push consumer"), (other, "another pipeline")] {
        stream.create_consumer(config).await.unwrap();
        let error = nats.source_with(there(&["s"]), quick()).progress().await.unwrap_err();
        assert!(
            matches!(&error, BusError::Refused(text) if text.contains(why) && text.contains("nats consumer rm S")),
            "{error}"
        );
        stream.delete_consumer(&name).await.unwrap();
    }
}

#[tokio::test]
async fn a_consumer_that_drifted_is_set_right_and_keeps_its_place() {
    let nats = Nats::start().await;
    let stream = nats.stream(stream::Config { subjects: vec!["a".into(), "b".into()], ..Default::default() }).await;
    let name = format!("sluice-p-{CHANNEL}");
    let drifted = consumer::Config {
        durable_name: Some(name.clone()),
        ack_wait: Duration::from_secs(7),
        max_deliver: 3,
        filter_subject: "a".into(),
        description: Some("kept".into()),
        ..Default::default()
    };
    stream.create_consumer(drifted).await.unwrap();
    let mut source = nats.source_with(there(&["a", "b"]), quick());
    publish(&nats.connection.sink(there(&["b"])).unwrap(), 1, 1).await;
    assert_eq!(seqs(&take(&mut *source, 1, MANY).await), [1]);
    let config = stream.consumer_info(&name).await.unwrap().config;
    assert_eq!((config.ack_wait, config.max_deliver, config.max_ack_pending), (Duration::from_secs(2), -1, 4096));
    assert_eq!((config.filter_subjects, config.description.as_deref()), (vec!["a".into(), "b".into()], Some("kept")));
    assert_eq!(config.metadata.get("sluice.pipeline").map(String::as_str), Some("p"));
}

#[tokio::test]
async fn a_deleted_consumer_is_made_again_behind_the_position() {
    let nats = Nats::start().await;
    let sink = nats.connection.sink(channel(&["s"])).unwrap();
    publish(&sink, 1, 5).await;
    let spec = ConsumerSpec { start_after: Some(3), ..suite::spec("p") };
    let mut source = nats.connection.source(channel(&["s"]), spec, quick());
    let taken = take(&mut source, 2, MANY).await;
    ack(&mut source, taken).await;
    let stream = nats.js.get_stream("S").await.unwrap();
    stream.delete_consumer(&format!("sluice-p-{CHANNEL}")).await.unwrap();
    assert_eq!(seqs(&take_stubbornly(&mut source, 2).await), [4, 5]);
}

#[tokio::test]
async fn a_stream_that_ends_before_the_position_is_refused() {
    let nats = Nats::start().await;
    publish(&nats.connection.sink(channel(&["s"])).unwrap(), 1, 2).await;
    let spec = ConsumerSpec { start_after: Some(9), ..suite::spec("p") };
    let error = nats.connection.source(channel(&["s"]), spec, quick()).progress().await.unwrap_err();
    assert!(matches!(&error, BusError::Refused(why) if why.contains("up to 9") && why.contains("at 2")), "{error}");
}

#[tokio::test]
async fn only_the_subjects_of_the_channel_are_delivered_and_read() {
    for retention in [stream::RetentionPolicy::Limits, stream::RetentionPolicy::Interest] {
        let nats = Nats::start().await;
        nats.stream(stream::Config { subjects: vec!["x.>".into()], retention, ..Default::default() }).await;
        let mut source = nats.source_with(there(&["x.a", "x.b.*"]), quick());
        source.progress().await.unwrap();
        for subject in ["x.a", "x.c", "x.b.1", "x.b", "x.a", "x.b.2"] {
            nats.js.publish(subject, "1".into()).await.unwrap().await.unwrap();
        }
        let taken = take(&mut *source, 4, MANY).await;
        assert_eq!(seqs(&taken), [1, 3, 5, 6]);
        let read = read_all(&*source, 1, 6, MANY).await;
        assert_eq!(read, taken.iter().map(|d| d.raw.clone()).collect::<Vec<_>>());
        assert_quiet(&mut *source).await;
    }
}

#[tokio::test]
async fn a_work_queue_is_read_without_taking_from_it() {
    let nats = Nats::start().await;
    let config = stream::Config {
        subjects: vec!["s".into()],
        retention: stream::RetentionPolicy::WorkQueue,
        ..Default::default()
    };
    nats.stream(config).await;
    publish(&nats.connection.sink(there(&["s"])).unwrap(), 1, 30).await;
    let spec = ConsumerSpec { start_after: Some(7), ..suite::spec("p") };
    let mut source = nats.connection.source(there(&["s"]), spec, quick());
    assert!(source.progress().await.unwrap().deletes_on_ack);
    let mut taken = take(&mut source, 30, MANY).await;
    let acked = taken.remove(4);
    ack(&mut source, [acked]).await;
    let read = read_all(&source, 1, 30, Demand { events: 8, ..MANY }).await;
    assert_eq!(read, taken.iter().map(|d| d.raw.clone()).collect::<Vec<_>>());
    ack(&mut source, taken).await;
    assert_eq!(read_all(&source, 1, 30, MANY).await, []);
}

#[tokio::test]
async fn thousands_of_events_are_read_again_quickly_enough_to_recover() {
    let nats = Nats::start().await;
    let source = nats.source_with(channel(&["s"]), quick());
    source.progress().await.unwrap();
    let mut confirms = Vec::new();
    for _ in 0..5000 {
        confirms.push(nats.js.publish("s", "x".repeat(200).into()).await.unwrap().into_future());
    }
    for confirm in confirms {
        confirm.await.unwrap();
    }
    let read =
        timeout(SOON, read_all(&*source, 1, 5000, Demand { events: 512, bytes: 1 << 20 })).await.expect("in time");
    assert_eq!(read.iter().map(|e| e.position.seq).collect::<Vec<_>>(), (1..=5000).collect::<Vec<_>>());
    eventually(SOON, "only our consumer is left", async || {
        let mut stream = nats.js.get_stream("S").await.unwrap();
        stream.info().await.unwrap().state.consumer_count == 1
    })
    .await;
}

#[tokio::test]
async fn an_event_that_the_destination_never_takes_is_refused() {
    let nats = Nats::start().await;
    nats.stream(stream::Config { subjects: vec!["s".into()], max_message_size: 1000, ..Default::default() }).await;
    let sink = nats.connection.sink(there(&["s"])).unwrap();
    for size in [2_000, 2_000_000] {
        let error = sink.publish(event("1", &"x".repeat(size))).await.unwrap_err();
        assert!(matches!(error, PublishError::Refused(_)), "{error}");
    }
    let bad = Headers(vec![("a".into(), "b\nc".into())]);
    let error = sink.publish(Outgoing { headers: bad, ..event("1", "1") }).await.unwrap_err();
    assert!(matches!(error, PublishError::Refused(_)), "{error}");
    assert!(sink.max_bytes() < 1000);
    assert!(matches!(nats.connection.sink(there(&["a.*"])), Err(BusError::Refused(_))));
}

#[tokio::test]
async fn a_filled_subject_arrives_in_the_stream() {
    let nats = Nats::start().await;
    let place = channel(&["dead.{pipeline}.{key}"]);
    let sink = nats.connection.sink(place.clone()).unwrap();
    let subject = sink.subject("p", "T", "a b.c").unwrap();
    sink.publish(Outgoing { subject, ..event("1", "1") }).await.unwrap();
    let message = nats.js.get_stream("S").await.unwrap().get_raw_message(1).await.unwrap();
    assert_eq!(message.subject.as_str(), "dead.p.a%20b%2Ec");
    assert_eq!(seqs(&take(&mut *nats.source_with(place, quick()), 1, MANY).await), [1]);
    let error = sink.publish(event("2", "2")).await.unwrap_err();
    assert!(matches!(error, PublishError::Refused(_)), "{error}");
}

#[tokio::test]
async fn wrong_credentials_are_refused_and_right_ones_accepted() {
    let server = NatsServer::with_config("authorization { user: me, password: \"p@ss\" }");
    let at = server.url().replace("nats://", "");
    let wrong = NatsAuth::User { user: "me".into(), password: "nonsense".into() };
    let connection = Connection::open("nats", &settings(&server.url(), wrong)).await.unwrap();
    let source = connection.source(channel(&["s"]), suite::spec("p"), quick());
    let error = source.progress().await.unwrap_err();
    assert!(matches!(&error, BusError::Refused(why) if why.contains("credentials") && !why.contains("nonsense")));
    let right = NatsAuth::User { user: "me".into(), password: "p@ss".into() };
    for settings in [settings(&server.url(), right), settings(&format!("nats://me:p%40ss@{at}"), NatsAuth::None)] {
        let connection = Connection::open("nats", &settings).await.unwrap();
        publish(&connection.sink(channel(&["s"])).unwrap(), 1, 1).await;
    }
}
