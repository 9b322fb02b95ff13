//! Without any server: local channels and the embedded store, killed in the middle of everything.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use serde_json::Value;
use sluicegate::bus::local::LocalBus;
use sluicegate::bus::{ConsumerSpec, Demand, Sink, Source};
use sluicegate::clock::{Entropy as _, SeededEntropy, SystemClock};
use sluicegate::database::{Access, Database};
use sluicegate::event::{Headers, Outgoing};
use sluicegate::spec::program::LocalStream;
use sluicegate::store::embedded::EmbeddedStore;
use sluicegate::store::{Durability, Store};
use tempfile::TempDir;

use super::fold::{
    History, PARTITIONS, PATIENCE, RETAIN, Runner, check_nothing_dead, counted, show_logs, write_project,
};
use crate::support::wait::eventually;

struct Alone {
    dir: TempDir,
    /// Beside the runner, as `sluice publish` and `sluice dlq` are.
    database: Database,
    bus: LocalBus,
    luck: SeededEntropy,
    sent: Vec<Bytes>,
    runs: usize,
}

impl Drop for Alone {
    fn drop(&mut self) {
        show_logs(self.dir.path(), self.runs);
    }
}

fn stream(name: &str) -> LocalStream {
    let (stream, subjects) = (name.to_owned(), vec![name.to_owned()]);
    LocalStream { stream, subjects, max_bytes: 1 << 30, max_age: RETAIN }
}

impl Alone {
    fn new(seed: u64) -> Self {
        println!("seed {seed}");
        let dir = tempfile::tempdir().unwrap();
        write_project(dir.path(), "admin: { listen: \"127.0.0.1:0\" }\n");
        let database = Database::open(&dir.path().join(".sluice"), Access::Beside, &SystemClock).unwrap();
        let bus = LocalBus::new(database.clone(), Arc::new(SystemClock), ["fold".into()]);
        Self { dir, database, bus, luck: SeededEntropy::new(seed), sent: Vec::new(), runs: 0 }
    }

    fn roll(&self, sides: u64) -> u64 {
        u64::from_be_bytes(self.luck.fresh()[..8].try_into().unwrap()) % sides
    }

    fn start(&mut self) -> Runner {
        self.runs += 1;
        Runner::start(self.dir.path(), self.runs)
    }

    /// `count` new events over `keys` keys; after 30 % of them one of those so far again.
    async fn feed(&mut self, count: u64, keys: u64) {
        let sink = self.bus.sink(&stream("in")).unwrap();
        let mut publishes = Vec::new();
        for _ in 0..count {
            let event = counted(self.sent.len() as u64 + 1, &format!("k{}", self.roll(keys)));
            self.sent.push(event.clone());
            publishes.push(event);
            if self.roll(10) < 3 {
                publishes.push(self.sent[self.roll(self.sent.len() as u64) as usize].clone());
            }
        }
        // Queued in this order, stored in this order.
        let publishes = publishes.into_iter().map(|payload| {
            let (dedupe_id, subject, headers) = (String::new(), String::new(), Headers::default());
            sink.publish(Outgoing { dedupe_id, subject, headers, payload }.into())
        });
        for published in futures_util::future::join_all(publishes).await {
            published.unwrap();
        }
    }

    async fn read(&self, name: &str) -> Vec<Value> {
        let spec = ConsumerSpec { pipeline: "test".into(), channel: name.into(), start_after: None };
        let source = self.bus.source(&stream(name), spec).await.unwrap();
        let last = source.progress().await.unwrap().last;
        let (mut events, mut next) = (Vec::new(), 1);
        while next <= last {
            let (more, after) = source.read(next, last, Demand { events: 1000, bytes: 16 << 20 }).await.unwrap();
            events.extend(more.iter().map(|event| serde_json::from_slice(&event.payload).unwrap()));
            next = after;
        }
        events
    }

    async fn last(&self, name: &str) -> u64 {
        let spec = ConsumerSpec { pipeline: "test".into(), channel: name.into(), start_after: None };
        self.bus.source(&stream(name), spec).await.unwrap().progress().await.unwrap().last
    }

    async fn until_emitted(&self, count: u64) {
        eventually(PATIENCE, "emissions", async || self.last("out").await >= count).await;
    }

    async fn store(&self) -> EmbeddedStore {
        let clock = Arc::new(SystemClock);
        let store = EmbeddedStore::new(self.database.clone(), "fold".into(), PARTITIONS, RETAIN, clock);
        store.look().await.unwrap().expect("it ran");
        store
    }

    async fn until_done(&self) {
        self.until_emitted(self.sent.len() as u64).await;
        let (last, store) = (self.last("in").await, self.store().await);
        eventually(PATIENCE, "the position at the end of the stream", async || {
            store.position(&"in".into()).await.is_ok_and(|position| position >= Some(last))
        })
        .await;
        eventually(PATIENCE, "an empty outbox and park", async || {
            store.census().await.is_ok_and(|census| census.outbox == 0 && census.parked == 0)
        })
        .await;
    }

    async fn check_exact(&self) {
        let history = History::of(&self.read("in").await, &self.read("out").await);
        let fed = history.events.values().map(Vec::len).sum::<usize>();
        assert_eq!(fed, self.sent.len(), "what was fed is in the stream");
        let store = self.store().await;
        history.check_exact(&store).await;
        check_nothing_dead(&store).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn twenty_kills_without_a_server_lose_and_double_nothing() {
    let mut alone = Alone::new(30);
    for _ in 0..20 {
        alone.feed(250, 500).await;
        let before = alone.last("out").await;
        let runner = alone.start();
        // Somewhere in the middle of its work: after at least one emission of its own, and then some.
        alone.until_emitted(before + 1 + alone.roll(120)).await;
        tokio::time::sleep(Duration::from_millis(alone.roll(20))).await;
        runner.kill9();
    }
    let runner = alone.start();
    // While it runs, too.
    alone.feed(250, 500).await;
    alone.until_done().await;
    let opened = alone.store().await.look().await.unwrap().expect("it runs");
    assert_eq!(opened.durability, Durability::Strict);
    let said = runner.stop();
    assert!(said.contains("received"), "the balance is printed: {said}");
    alone.check_exact().await;
    assert!(!alone.store().await.look().await.unwrap().expect("it ran").unclean, "a clean stop says goodbye");
}
