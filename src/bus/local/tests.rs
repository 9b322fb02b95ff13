use std::time::Duration;

use bytes::Bytes;
use futures_util::future::{BoxFuture, FutureExt as _};
use tempfile::TempDir;

use super::*;
use crate::bus::{Demand, Sink, Source};
use crate::clock::SystemClock;
use crate::database::{Access, params};
use crate::event::{Headers, Outgoing};
use crate::testkit::conformance::bus as suite;

const ALL: Demand = Demand { events: 100, bytes: 1 << 20 };

struct Local {
    bus: LocalBus,
    directory: TempDir,
}

impl Local {
    fn new() -> Self {
        let directory = tempfile::tempdir().expect("a directory");
        Self { bus: bus(&directory, Access::Run), directory }
    }

    /// As after a crash: nothing of the process is left but what is in the file.
    async fn restarted(self) -> Self {
        let Self { bus: old, directory } = self;
        // Lazy writes that a crash would lose are kept here; the floor may be written or not.
        drop(old);
        let opened = async {
            loop {
                if let Ok(database) = Database::open(directory.path(), Access::Run, &SystemClock) {
                    return database;
                }
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        let database = tokio::time::timeout(Duration::from_secs(10), opened).await.expect("the old one ended");
        Self { bus: LocalBus::new(database, Arc::new(SystemClock), ["p".into()]), directory }
    }
}

fn bus(directory: &TempDir, access: Access) -> LocalBus {
    let database = Database::open(directory.path(), access, &SystemClock).expect("it opens");
    LocalBus::new(database, Arc::new(SystemClock), ["p".into()])
}

fn stream(subjects: &[&str]) -> LocalStream {
    let subjects = subjects.iter().map(|subject| (*subject).to_owned()).collect();
    LocalStream { stream: "S".into(), subjects, max_bytes: 1 << 20, max_age: Duration::from_secs(3600) }
}

impl suite::Broker for Local {
    fn source(&self, spec: ConsumerSpec) -> Box<dyn Source> {
        // The suite makes sources without waiting; here that takes a write.
        let (bus, stream) = (self.bus.clone(), stream(&["s"]));
        let opened = async move { bus.source(&stream, spec).await };
        let wait = || tokio::runtime::Handle::current().block_on(opened).expect("a source");
        Box::new(tokio::task::block_in_place(wait))
    }

    fn sink(&self, _: ChannelName) -> Box<dyn Sink> {
        Box::new(self.bus.sink(&stream(&["s"])).expect("a sink"))
    }

    fn delete(&self, _: ChannelName, seq: u64) -> BoxFuture<'_, ()> {
        let deleted = self.bus.database.write(move |connection| {
            connection.execute("DELETE FROM events WHERE id & 0xffffffffff = ?1", [seq.cast_signed()])
        });
        async move { assert_eq!(deleted.await.expect("deleted"), 1) }.boxed()
    }
}

macro_rules! conforms {
    ($($behaviour:ident)*) => {
        $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)] async fn $behaviour() { suite::$behaviour(&Local::new()).await; })*
    };
}

crate::bus_behaviours! { conforms }

fn event(subject: &str, payload: impl Into<Bytes>) -> Arc<Outgoing> {
    let (dedupe_id, headers) = (String::new(), Headers::default());
    Arc::new(Outgoing { dedupe_id, subject: subject.to_owned(), headers, payload: payload.into() })
}

async fn put(bus: &LocalBus, stream: &LocalStream, subject: &str, payload: &'static str) -> Result<(), PublishError> {
    bus.publisher(stream, ">").publish(event(subject, payload)).await
}

async fn next(source: &mut LocalSource) -> Vec<crate::bus::Delivery> {
    tokio::time::timeout(Duration::from_secs(10), source.next(ALL)).await.expect("in time").expect("deliveries")
}

#[tokio::test]
async fn after_a_crash_what_was_not_acked_comes_again_in_order_and_marked() {
    let local = Local::new();
    let all = stream(&["s"]);
    for payload in ["1", "2", "3", "4"] {
        put(&local.bus, &all, "s", payload).await.expect("stored");
    }
    let mut source = local.bus.source(&all, suite::spec("p")).await.expect("a source");
    let mut taken = next(&mut source).await;
    assert!(taken.iter().all(|delivery| !delivery.redelivered));
    for acked in [3, 0] {
        taken.remove(acked).responder.ack(suite::receipt());
    }
    assert_eq!(source.settle(Duration::from_secs(10)).await, 0);
    drop((taken, source));
    let local = local.restarted().await;
    let mut source = local.bus.source(&all, suite::spec("p")).await.expect("a source");
    let again = next(&mut source).await;
    // The fourth was acked, but what is kept is a floor: the store's marks tell that it is done.
    assert_eq!(suite::seqs(&again), [2, 3, 4]);
    assert!(again.iter().all(|delivery| delivery.redelivered));
    put(&local.bus, &all, "s", "5").await.expect("stored");
    assert_eq!(suite::seqs(&next(&mut source).await), [5]);
}

#[tokio::test]
async fn channels_share_a_stream_by_subject() {
    let local = Local::new();
    let (orders, rest) = (stream(&["orders.>"]), stream(&["*"]));
    let name = |channel: &str| ConsumerSpec { channel: channel.into(), ..suite::spec("p") };
    let mut first = local.bus.source(&orders, name("orders")).await.expect("a source");
    let mut second = local.bus.source(&rest, name("rest")).await.expect("a source");
    for subject in ["orders.a", "b", "orders.c.d", "e"] {
        put(&local.bus, &orders, subject, "x").await.expect("stored");
    }
    assert_eq!(suite::seqs(&suite::take(&mut first, 2, ALL).await), [1, 3]);
    let taken = suite::take(&mut second, 2, ALL).await;
    assert_eq!(suite::seqs(&taken), [2, 4]);
    suite::ack(&mut second, taken).await;
    assert_eq!(second.progress().await.expect("progress").ack_floor, 4, "it passes what is not its own");
    let (read, next) = second.read(1, 4, ALL).await.expect("a span");
    assert_eq!((read.iter().map(|event| event.position.seq).collect::<Vec<_>>(), next), (vec![2, 4], 5));
}

#[tokio::test]
async fn what_another_process_publishes_is_delivered() {
    let local = Local::new();
    let all = stream(&["s"]);
    let mut source = local.bus.source(&all, suite::spec("p")).await.expect("a source");
    let outside = bus(&local.directory, Access::Beside);
    let (_, taken) = tokio::join!(put(&outside, &all, "s", "1"), next(&mut source));
    assert_eq!(suite::seqs(&taken), [1]);
    let progress = outside.progress(&all, &suite::spec("p")).await.expect("a look").expect("it is there");
    assert_eq!((progress.ack_floor, progress.pending, progress.last), (0, 1, 1));
    assert_eq!(outside.progress(&all, &suite::spec("q")).await.expect("a look"), None);
}

#[tokio::test]
async fn a_full_stream_takes_nothing_until_its_slowest_consumer_acks() {
    let local = Local::new();
    let small = LocalStream { max_bytes: 250, ..stream(&["s"]) };
    let mut source = local.bus.source(&small, suite::spec("p")).await.expect("a source");
    let sink = local.bus.sink(&small).expect("a sink");
    let publish = |size: usize| sink.publish(event("s", vec![b'x'; size]));
    publish(100).await.expect("room");
    publish(100).await.expect("room");
    let Err(PublishError::Unconfirmed(why)) = publish(100).await else { panic!("it is full") };
    assert!(why.contains("is full, and pipeline `p` is not done"), "{why}");
    assert!(matches!(publish(300).await, Err(PublishError::Refused(_))));
    let taken = suite::take(&mut source, 2, ALL).await;
    suite::ack(&mut source, taken).await;
    publish(100).await.expect("room again");
    assert_eq!(suite::seqs(&next(&mut source).await), [3]);
    let progress = source.progress().await.expect("progress");
    assert_eq!((progress.first, progress.last), (2, 3), "only as much goes as must");
}

/// A renamed one, say: its consumer would stop the others once the stream is full.
#[tokio::test]
async fn what_a_pipeline_of_no_project_did_not_read_stays_while_there_is_room() {
    let local = Local::new();
    let small = LocalStream { max_bytes: 250, max_age: Duration::ZERO, ..stream(&["s"]) };
    let mut source = local.bus.source(&small, suite::spec("p")).await.expect("a source");
    let gone = local.bus.source(&small, suite::spec("renamed")).await.expect("a source");
    let sink = local.bus.sink(&small).expect("a sink");
    for sequence in 1..=4 {
        sink.publish(event("s", vec![b'x'; 100])).await.expect("room");
        let taken = suite::take(&mut source, 1, ALL).await;
        suite::ack(&mut source, taken).await;
        let progress = gone.progress().await.expect("progress");
        assert_eq!(progress.first, [1, 1, 2, 3][sequence - 1], "old ones are kept for it, and go when room is needed");
    }
}

/// A full disk, say. A floor that stayed down would keep the stream from letting anything go.
#[tokio::test]
async fn a_floor_that_could_not_be_written_is_written_later() {
    let local = Local::new();
    let all = stream(&["s"]);
    put(&local.bus, &all, "s", "1").await.expect("stored");
    let mut source = local.bus.source(&all, suite::spec("p")).await.expect("a source");
    let taken = next(&mut source).await;
    // While the writer waits for this one, the rest becomes one group, and fails together.
    let (go, wait) = std::sync::mpsc::channel::<()>();
    let (begins, begun) = tokio::sync::oneshot::channel();
    let blocks = local.bus.database.write(move |_| {
        let _ = (begins.send(()), wait.recv());
        Ok(())
    });
    begun.await.expect("it begins");
    taken.into_iter().for_each(|delivery| delivery.responder.ack(suite::receipt()));
    let fails = local.bus.database.write(|connection| connection.execute("INSERT INTO nowhere VALUES (1)", params![]));
    go.send(()).expect("the writer waits");
    assert!(blocks.await.is_ok() && fails.await.is_err());
    let written = async {
        loop {
            let looked = local.bus.progress(&all, &suite::spec("p")).await.expect("a look");
            if looked.is_some_and(|progress| progress.ack_floor == 1) {
                return;
            }
            // As the heartbeat does.
            source.progress().await.expect("progress");
        }
    };
    tokio::time::timeout(Duration::from_secs(10), written).await.expect("in time");
}

#[tokio::test]
async fn what_is_old_goes_once_all_are_done_with_it() {
    let local = Local::new();
    let brief = LocalStream { max_age: Duration::from_secs(60), ..stream(&["s"]) };
    let mut source = local.bus.source(&brief, suite::spec("p")).await.expect("a source");
    for payload in ["1", "2", "3"] {
        put(&local.bus, &brief, "s", payload).await.expect("stored");
    }
    let aged = local.bus.database.write(|connection| connection.execute("UPDATE events SET stored_at = 1", params![]));
    assert_eq!(aged.await.expect("aged"), 3);
    let mut taken = suite::take(&mut source, 3, ALL).await;
    let last = taken.pop();
    suite::ack(&mut source, taken).await;
    put(&local.bus, &brief, "s", "4").await.expect("stored");
    let progress = source.progress().await.expect("progress");
    assert_eq!((progress.first, progress.last), (3, 4), "one is old and not acked");
    drop(last);
}

/// Nor when it holds more by now than the old one did: its first events would be skipped, silently.
#[tokio::test]
async fn a_database_made_anew_is_not_taken_for_the_old_one() {
    for stored in [1, 9] {
        let local = Local::new();
        for _ in 0..stored {
            put(&local.bus, &stream(&["s"]), "s", "1").await.expect("stored");
        }
        let ahead = ConsumerSpec { start_after: Some(7), ..suite::spec("p") };
        let refused = local.bus.source(&stream(&["s"]), ahead).await.map(drop);
        let Err(BusError::Refused(why)) = refused else { panic!("refused") };
        assert!(why.contains("up to 7") && why.contains("local stream `S`, which it never read"), "{why}");
        let unread = ConsumerSpec { start_after: Some(0), ..suite::spec("p") };
        local.bus.source(&stream(&["s"]), unread).await.expect("nothing was read, nothing is skipped");
    }
}

/// What a pipeline emits is measured before it is committed; refused after that, it would stand in its key's way for ever.
#[tokio::test]
async fn what_a_sink_says_it_takes_it_takes_under_every_subject() {
    let local = Local::new();
    let sink = local.bus.publisher(&stream(&["s.>"]), "s.{key}");
    let full = event(&format!("s.{}", "k".repeat(500)), vec![b'x'; sink.max_bytes()]);
    sink.publish(full).await.expect("stored");
    let more = event("s.k", vec![b'x'; sink.max_bytes() + 1]);
    assert!(matches!(sink.publish(more).await, Err(PublishError::Refused(_))));
}
