use std::sync::Arc;

use super::*;
use crate::clock::SystemClock;
use crate::testkit::conformance::bus as suite;

struct Memory(MemoryBus);

impl Memory {
    fn new() -> Self {
        Self(MemoryBus::new(Arc::new(SystemClock)))
    }
}

impl suite::Broker for Memory {
    fn source(&self, spec: ConsumerSpec) -> Box<dyn Source> {
        Box::new(self.0.source(spec))
    }

    fn sink(&self, channel: ChannelName) -> Box<dyn Sink> {
        Box::new(self.0.sink(channel))
    }

    fn delete(&self, channel: ChannelName, seq: u64) -> BoxFuture<'_, ()> {
        self.0.delete(&channel, seq);
        std::future::ready(()).boxed()
    }
}

impl suite::OfSeveral for Memory {
    fn leave_open<'a>(&'a self, spec: &'a ConsumerSpec, count: usize) -> BoxFuture<'a, ()> {
        self.0.leave_open(&spec.pipeline, &spec.channel, count);
        std::future::ready(()).boxed()
    }
}

macro_rules! conforms {
    ($($behaviour:ident)*) => {
        $(#[tokio::test] async fn $behaviour() { suite::$behaviour(&Memory::new()).await; })*
    };
}

crate::bus_behaviours! {
    conforms,
    a_new_consumer_starts_behind_its_position,
    what_another_request_took_is_told_before_what_comes_after_it,
    what_another_request_took_is_told_when_nothing_comes_after_it,
}

fn spec(pipeline: &str) -> ConsumerSpec {
    ConsumerSpec { pipeline: pipeline.into(), channel: "c".into(), start_after: None }
}

const ALL: Demand = Demand { events: 100, bytes: 1 << 20 };

#[tokio::test]
async fn a_crash_brings_back_what_was_held_and_voids_what_the_dead_hand_back() {
    let bus = MemoryBus::new(Arc::new(SystemClock));
    for payload in ["1", "2", "3"] {
        bus.sink("c".into()).put(Headers::default(), payload).expect("stored");
    }
    let mut source = bus.source(spec("p"));
    let before = source.next(ALL).await.expect("three");
    bus.redeliver_all();
    let again = source.next(ALL).await.expect("three again");
    assert_eq!(again.iter().map(|d| d.raw.position.seq).collect::<Vec<_>>(), [1, 2, 3]);
    assert!(again.iter().all(|d| d.redelivered));
    drop(before);
    assert_eq!(source.take(ALL).len(), 0, "the held ones stay with their new holder");
}

#[tokio::test]
async fn a_full_channel_takes_nothing_until_its_consumer_acks() {
    let bus = MemoryBus::with_channel_bytes(Arc::new(SystemClock), 200);
    let (mut source, sink) = (bus.source(spec("p")), bus.sink("c".into()));
    sink.put(Headers::default(), "x".repeat(100)).expect("room");
    assert!(matches!(sink.put(Headers::default(), "x".repeat(100)), Err(PublishError::Unconfirmed(_))));
    assert!(matches!(sink.put(Headers::default(), "x".repeat(200)), Err(PublishError::Refused(_))));
    for delivery in source.next(ALL).await.expect("one") {
        delivery.responder.ack(suite::receipt());
    }
    sink.put(Headers::default(), "x".repeat(100)).expect("room again");
    assert_eq!(bus.events("c").len(), 1);
}

#[tokio::test]
async fn a_work_queue_forgets_what_is_acked() {
    let bus = MemoryBus::new(Arc::new(SystemClock));
    bus.delete_on_ack(&"c".into());
    bus.sink("c".into()).put(Headers::default(), "1").expect("stored");
    let mut source = bus.source(spec("p"));
    source.next(ALL).await.expect("one").into_iter().for_each(|d| d.responder.ack(suite::receipt()));
    assert_eq!(source.read(1, 1, ALL).await.expect("read"), (vec![], 2));
    assert!(source.progress().await.expect("progress").deletes_on_ack);
}
