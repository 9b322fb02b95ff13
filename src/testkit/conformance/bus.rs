//! What every bus must do. Each behaviour is run on a broker of its own.

use std::time::Duration;

use bytes::Bytes;
use futures_util::future::BoxFuture;
use tokio::time::timeout;

use crate::bus::{BusError, ConsumerSpec, Delivery, Demand, Receipt, Sink, Source};
use crate::event::{ChannelName, Headers, Outgoing, RawEvent};

/// Calls the macro of this name with the behaviours that every bus has, and those that this one has beside them.
#[macro_export]
macro_rules! bus_behaviours {
    ($conforms:ident $(, $beside:ident)* $(,)?) => {
        $conforms! {
            deliveries_come_in_stream_order
            a_dropped_delivery_is_handed_out_again
            acks_raise_the_floor_and_outlive_the_source
            a_read_span_is_what_was_published
            a_publish_is_stored_once_per_dedupe_id
            a_cancelled_next_loses_nothing
            a_batch_stays_within_the_demand
            pipelines_do_not_share_what_they_consume
            what_comes_again_is_no_gap
            $($beside)*
        }
    };
}

/// An implementation with one empty channel of any name.
pub trait Broker: Sync {
    fn source(&self, spec: ConsumerSpec) -> Box<dyn Source>;

    fn sink(&self, channel: ChannelName) -> Box<dyn Sink>;

    /// Takes an event out of the stream.
    fn delete(&self, channel: ChannelName, seq: u64) -> BoxFuture<'_, ()>;
}

/// One whose consumers several processes may pull from.
pub trait OfSeveral: Broker {
    /// Somebody else's request on this consumer takes the next `count` deliveries.
    fn leave_open<'a>(&'a self, spec: &'a ConsumerSpec, count: usize) -> BoxFuture<'a, ()>;
}

/// The channel that the suite uses.
pub const CHANNEL: &str = "events";
/// Anything is here within this time, or never.
const SOON: Duration = Duration::from_secs(10);
/// Long enough for what should not come to come.
const A_WHILE: Duration = Duration::from_millis(300);
const MANY: Demand = Demand { events: 1000, bytes: 1 << 20 };

pub fn spec(pipeline: &str) -> ConsumerSpec {
    ConsumerSpec { pipeline: pipeline.into(), channel: CHANNEL.into(), start_after: None }
}

/// Publishes `count` events whose payloads are their numbers from `first` on.
pub async fn publish(sink: &dyn Sink, first: u64, count: u64) {
    for number in first..first + count {
        let event = Outgoing {
            dedupe_id: format!("id-{number}"),
            subject: String::new(),
            headers: Headers(vec![("number".into(), number.to_string())]),
            payload: Bytes::from(number.to_string()),
        };
        timeout(SOON, sink.publish(event.into())).await.expect("in time").expect("stored");
    }
}

/// Takes deliveries until there are `count`.
pub async fn take(source: &mut dyn Source, count: usize, demand: Demand) -> Vec<Delivery> {
    let mut taken = Vec::new();
    while taken.len() < count {
        let left = Demand { events: demand.events.min(count - taken.len()), ..demand };
        let batch = timeout(SOON, source.next(left)).await;
        taken.extend(batch.unwrap_or_else(|_| panic!("{} of {count} came", taken.len())).expect("deliveries"));
    }
    taken
}

pub async fn ack(source: &mut dyn Source, deliveries: impl IntoIterator<Item = Delivery>) {
    deliveries.into_iter().for_each(|delivery| delivery.responder.ack(receipt()));
    assert_eq!(source.settle(SOON).await, 0, "answers are confirmed");
}

/// An ack needs a receipt, which only the flow makes; tests of a bus borrow one here.
pub fn receipt() -> Receipt {
    Receipt::new()
}

pub fn seqs(deliveries: &[Delivery]) -> Vec<u64> {
    deliveries.iter().map(|d| d.raw.position.seq).collect()
}

/// Reads a span to its end.
pub async fn read_all(source: &dyn Source, from: u64, to: u64, demand: Demand) -> Vec<RawEvent> {
    let (mut events, mut next) = (Vec::new(), from);
    while next <= to {
        let (more, after) = source.read(next, to, demand).await.expect("a span");
        assert!(after > next, "reading goes on");
        assert!(more.len() <= demand.events, "at most the demand");
        events.extend(more);
        next = after;
    }
    events
}

/// Nothing is delivered for a while.
pub async fn assert_quiet(source: &mut dyn Source) {
    if let Ok(batch) = timeout(A_WHILE, source.next(MANY)).await {
        panic!("nothing more was due, but {:?} came", batch.map(|b| seqs(&b)));
    }
}

pub async fn deliveries_come_in_stream_order(broker: &dyn Broker) {
    let mut source = broker.source(spec("p"));
    publish(&*broker.sink(CHANNEL.into()), 1, 100).await;
    let taken = take(&mut *source, 100, Demand { events: 7, ..MANY }).await;
    assert_eq!(seqs(&taken), (1..=100).collect::<Vec<_>>());
    for (number, delivery) in (1..).zip(&taken) {
        let (raw, text): (_, String) = (&delivery.raw, u64::to_string(&number));
        assert_eq!((&*raw.position.channel, raw.payload.as_ref()), (CHANNEL, text.as_bytes()));
        assert_eq!(raw.headers.get("number"), Some(text.as_str()));
        assert!(raw.stored_at.0 > 0 && !delivery.redelivered);
    }
}

pub async fn a_dropped_delivery_is_handed_out_again(broker: &dyn Broker) {
    let mut source = broker.source(spec("p"));
    publish(&*broker.sink(CHANNEL.into()), 1, 3).await;
    let mut taken = take(&mut *source, 3, MANY).await;
    let dropped = taken.remove(1);
    drop(dropped);
    let again = take(&mut *source, 1, MANY).await;
    assert_eq!((seqs(&again), again[0].redelivered), (vec![2], true));
    ack(&mut *source, taken.into_iter().chain(again)).await;
    assert_quiet(&mut *source).await;
}

pub async fn acks_raise_the_floor_and_outlive_the_source(broker: &dyn Broker) {
    let mut source = broker.source(spec("p"));
    let fresh = source.progress().await.expect("progress");
    assert_eq!((fresh.ack_floor, fresh.delivered, fresh.last), (0, 0, 0));
    let sink = broker.sink(CHANNEL.into());
    publish(&*sink, 1, 5).await;
    let mut taken = take(&mut *source, 5, MANY).await;
    let last = taken.split_off(3);
    ack(&mut *source, taken).await;
    let progress = source.progress().await.expect("progress");
    assert_eq!((progress.ack_floor, progress.delivered, progress.pending, progress.last), (3, 5, 0, 5));
    ack(&mut *source, last).await;
    drop(source);

    let mut source = broker.source(spec("p"));
    assert_eq!(source.progress().await.expect("progress").ack_floor, 5);
    publish(&*sink, 6, 1).await;
    assert_eq!(seqs(&take(&mut *source, 1, MANY).await), [6]);
}

pub async fn a_read_span_is_what_was_published(broker: &dyn Broker) {
    let mut source = broker.source(spec("p"));
    publish(&*broker.sink(CHANNEL.into()), 1, 20).await;
    broker.delete(CHANNEL.into(), 7).await;
    let taken = take(&mut *source, 19, MANY).await;
    let delivered: Vec<RawEvent> = taken.iter().map(|d| d.raw.clone()).collect();
    for demand in [MANY, Demand { events: 4, ..MANY }, Demand { bytes: 1, ..MANY }] {
        assert_eq!(read_all(&*source, 0, 20, demand).await, delivered);
        assert_eq!(read_all(&*source, 3, 5, demand).await, delivered[2..5]);
        assert_eq!(read_all(&*source, 7, 7, demand).await, []);
    }
    assert_eq!(source.read(18, 100, MANY).await.expect("a span").1, 101, "the range ends where it was said to");
    assert_eq!(source.read(30, 40, MANY).await.expect("a span"), (vec![], 41));
    let progress = source.progress().await.expect("progress");
    assert_eq!((progress.ack_floor, progress.delivered), (0, 20), "the consumer stands where it stood");
    ack(&mut *source, taken).await;
    assert_quiet(&mut *source).await;
}

pub async fn a_publish_is_stored_once_per_dedupe_id(broker: &dyn Broker) {
    let sink = broker.sink(CHANNEL.into());
    publish(&*sink, 1, 2).await;
    publish(&*sink, 1, 3).await;
    let mut source = broker.source(spec("p"));
    let payloads: Vec<Bytes> = take(&mut *source, 3, MANY).await.iter().map(|d| d.raw.payload.clone()).collect();
    assert_eq!(payloads, ["1", "2", "3"]);
    assert_eq!(source.progress().await.expect("progress").last, 3);
}

pub async fn a_new_consumer_starts_behind_its_position(broker: &dyn Broker) {
    publish(&*broker.sink(CHANNEL.into()), 1, 10).await;
    let mut source = broker.source(ConsumerSpec { start_after: Some(6), ..spec("p") });
    assert_eq!(source.progress().await.expect("progress").ack_floor, 6);
    assert_eq!(seqs(&take(&mut *source, 4, MANY).await), [7, 8, 9, 10]);
    let mut source = broker.source(ConsumerSpec { start_after: Some(0), ..spec("q") });
    assert_eq!(seqs(&take(&mut *source, 1, MANY).await), [1]);
}

pub async fn a_cancelled_next_loses_nothing(broker: &dyn Broker) {
    let mut source = broker.source(spec("p"));
    let sink = broker.sink(CHANNEL.into());
    let mut seen = Vec::new();
    for number in 1..=40 {
        // Dropped at every moment: before, while and after something arrives.
        let publishing = publish(&*sink, number, 1);
        tokio::select! {
            biased;
            batch = source.next(MANY) => seen.extend(batch.expect("deliveries")),
            () = publishing => {}
        }
        publish(&*sink, number, 1).await;
    }
    let left = 40 - seen.len();
    seen.extend(take(&mut *source, left, MANY).await);
    let mut all = seqs(&seen);
    all.sort_unstable();
    assert_eq!(all, (1..=40).collect::<Vec<_>>());
}

pub async fn a_batch_stays_within_the_demand(broker: &dyn Broker) {
    let mut source = broker.source(spec("p"));
    let sink = broker.sink(CHANNEL.into());
    for number in 0..6 {
        let event = Outgoing {
            dedupe_id: format!("big-{number}"),
            subject: String::new(),
            headers: Headers::default(),
            payload: vec![b'x'; 10_000].into(),
        };
        sink.publish(event.into()).await.expect("stored");
    }
    let batch = timeout(SOON, source.next(Demand { events: 100, bytes: 15_000 })).await.expect("in time");
    assert!(batch.expect("deliveries").len() <= 2, "at most one event over the bytes");
    let batch = timeout(SOON, source.next(Demand { events: 1, bytes: 1 << 20 })).await.expect("in time");
    assert_eq!(batch.expect("deliveries").len(), 1);
    // An event larger than the whole demand still comes.
    let mut source = broker.source(spec("q"));
    let taken = take(&mut *source, 6, Demand { events: 100, bytes: 100 }).await;
    assert_eq!(seqs(&taken), [1, 2, 3, 4, 5, 6]);
}

pub async fn pipelines_do_not_share_what_they_consume(broker: &dyn Broker) {
    let (mut one, mut two) = (broker.source(spec("p")), broker.source(spec("q")));
    publish(&*broker.sink(CHANNEL.into()), 1, 3).await;
    let taken = take(&mut *one, 3, MANY).await;
    ack(&mut *one, taken).await;
    assert_eq!(seqs(&take(&mut *two, 3, MANY).await), [1, 2, 3]);
}

/// The source says that something may be missing, before anything else.
async fn assert_told(source: &mut dyn Source) {
    match timeout(SOON, source.next(MANY)).await.expect("a word") {
        Err(BusError::Lapsed(_)) => {}
        other => panic!("{:?} came first", other.map(|batch| seqs(&batch))),
    }
}

pub async fn what_another_request_took_is_told_before_what_comes_after_it(broker: &dyn OfSeveral) {
    let mut source = broker.source(spec("p"));
    let sink = broker.sink(CHANNEL.into());
    source.progress().await.expect("progress");
    let mut held = Vec::new();
    // Before our own first request, and then beside it.
    for first in [1, 11] {
        broker.leave_open(&spec("p"), 2).await;
        publish(&*sink, first, 8).await;
        assert_told(&mut *source).await;
        let delivered = source.progress().await.expect("progress").delivered;
        let read = read_all(&*source, first, delivered, MANY).await;
        assert!(delivered > first + 1 && read.len() as u64 == delivered - first + 1, "{delivered} delivered");
        held.extend(take(&mut *source, 6, MANY).await);
        publish(&*sink, first + 8, 2).await;
        let next = take(&mut *source, 2, MANY).await;
        assert_eq!(seqs(&next), [first + 8, first + 9]);
        held.extend(next);
    }
}

pub async fn what_another_request_took_is_told_when_nothing_comes_after_it(broker: &dyn OfSeveral) {
    let mut source = broker.source(spec("p"));
    let sink = broker.sink(CHANNEL.into());
    source.progress().await.expect("progress");
    broker.leave_open(&spec("p"), 2).await;
    publish(&*sink, 1, 2).await;
    while source.progress().await.expect("progress").delivered < 2 {}
    source.progress().await.expect("progress");
    assert_told(&mut *source).await;
    assert_eq!(source.progress().await.expect("progress").delivered, 2);
    publish(&*sink, 3, 1).await;
    assert_eq!(seqs(&take(&mut *source, 1, MANY).await), [3]);
}

pub async fn what_comes_again_is_no_gap(broker: &dyn Broker) {
    let mut source = broker.source(spec("p"));
    let sink = broker.sink(CHANNEL.into());
    source.progress().await.expect("progress");
    for first in [1, 11, 21] {
        publish(&*sink, first, 10).await;
        let taken = take(&mut *source, 10, MANY).await;
        let (kept, handed_back): (Vec<_>, Vec<_>) = taken.into_iter().partition(|d| d.raw.position.seq % 2 == 0);
        drop(handed_back);
        let again = take(&mut *source, 5, MANY).await;
        assert!(again.iter().all(|delivery| delivery.redelivered));
        assert_eq!(source.progress().await.expect("progress").delivered, first + 9);
        ack(&mut *source, kept.into_iter().chain(again)).await;
    }
    source.progress().await.expect("progress");
    assert_quiet(&mut *source).await;
}
