//! A project whose events are the steps of a key, which must be taken one after the other; what feeds it, and what must
//! be true of it at the end.

use std::collections::BTreeMap;
use std::fs;

use async_nats::jetstream;
use bytes::Bytes;
use serde_json::json;
use sluicegate::clock::{Entropy as _, SeededEntropy};
use sluicegate::store::Store as _;
use sluicegate::store::record::DeadRecord;
use sluicegate::store::redis::RedisStore;
use tempfile::TempDir;

use super::super::fold::{HANDLER, PATIENCE, Runner, show_logs, state};
use super::super::streams;
use crate::support::servers::{NatsServer, RedisServer};
use crate::support::wait::eventually;

/// The longest way of a key.
pub const MOST: u64 = 6;

/// Types there are: `Step1` to `Step6`.
pub fn step(n: u64) -> String {
    format!("Step{n}")
}

/// Subject and payload.
pub type Message = (&'static str, Bytes);

pub fn message(subject: &'static str, kind: &str, key: &str, n: u64) -> Message {
    let event = json!({
        "id": format!("{key}-{kind}-{n}"), "type": kind, "version": 1, "source": "steps", "data": { "key": key, "n": n },
    });
    (subject, event.to_string().into())
}

/// A pipeline's file: its own settings, and the steps it takes with what is said of each beside.
pub fn pipeline(name: &str, settings: &str, steps: impl IntoIterator<Item = (u64, String)>) -> (String, String) {
    let mut text = format!("pipeline: {name}\nkey: data.key\n{settings}\nsubscriptions:\n");
    for (n, more) in steps {
        text += &format!("  - {{ event: {}, from: [a, b], versions: [1], handler: fold.rhai{more} }}\n", step(n));
    }
    text += &format!("emits: [{{ event: Folded, version: 1, to: {name} }}]\n");
    (name.to_owned(), text)
}

/// Each step comes after the one before it.
pub fn chained(name: &str, settings: &str) -> (String, String) {
    let after = |n: u64| if n > 1 { format!(", after: [{}]", step(n - 1)) } else { String::new() };
    pipeline(name, settings, (1..=MOST).map(|n| (n, after(n))))
}

pub struct Steps {
    pub nats: NatsServer,
    pub redis: RedisServer,
    /// After this long without a sign of life of its runner, an event is delivered again.
    pub ack_wait: &'static str,
    dir: TempDir,
    luck: SeededEntropy,
    runs: usize,
}

impl Drop for Steps {
    fn drop(&mut self) {
        show_logs(self.dir.path(), self.runs);
    }
}

impl Steps {
    pub fn new(seed: u64) -> Self {
        println!("seed {seed}");
        let (nats, redis) = (NatsServer::start(), RedisServer::start());
        Self { nats, redis, ack_wait: "1s", dir: tempfile::tempdir().unwrap(), luck: SeededEntropy::new(seed), runs: 0 }
    }

    /// Writes the project; the stream `IN` behind the channels `a` and `b`, and one for what each pipeline emits.
    pub async fn write(&self, redis_url: &str, handler: &str, pipelines: &[(String, String)]) {
        let jetstream = self.jetstream().await;
        streams::make(&jetstream, "IN", "in.*").await;
        let mut sluice = format!(
            "connections: {{ nats: {{ nats: {{ url: \"{}\" }} }} }}\nstore: {{ redis: {{ url: \"{redis_url}\" }} }}\n\
             admin: {{ listen: \"127.0.0.1:0\" }}\nchannels:\n",
            self.nats.url()
        );
        let ack_wait = self.ack_wait;
        for channel in ["a", "b"] {
            sluice +=
                &format!("  {channel}: {{ nats: {{ stream: IN, subject: in.{channel}, ack_wait: {ack_wait} }} }}\n");
        }
        let schema = r#"{"type":"object","required":["key","n"],"properties":{"n":{"type":"integer"}}}"#;
        let mut files: BTreeMap<String, String> =
            (1..=MOST).map(|n| (format!("schemas/{}/1.json", step(n)), schema.to_owned())).collect();
        for (name, text) in pipelines {
            streams::make(&jetstream, name, &format!("out.{name}")).await;
            sluice += &format!("  {name}: {{ nats: {{ stream: {name}, subject: out.{name} }} }}\n");
            files.insert(format!("pipelines/{name}.yaml"), text.clone());
        }
        files.insert("schemas/Folded/1.json".to_owned(), r#"{"type":"object"}"#.to_owned());
        files.insert("pipelines/fold.rhai".to_owned(), handler.to_owned());
        files.insert("sluice.yaml".to_owned(), sluice);
        for (path, text) in files {
            let path = self.dir.path().join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        }
    }

    pub async fn write_folding(&self, pipelines: &[(String, String)]) {
        self.write(&self.redis.url(), HANDLER, pipelines).await;
    }

    pub fn start(&mut self) -> Runner {
        self.runs += 1;
        Runner::start(self.dir.path(), self.runs)
    }

    pub fn roll(&self, sides: u64) -> u64 {
        u64::from_be_bytes(self.luck.fresh()[..8].try_into().unwrap()) % sides
    }

    pub async fn jetstream(&self) -> jetstream::Context {
        streams::connect(&self.nats).await
    }

    pub fn store(&self, pipeline: &str) -> RedisStore {
        streams::store(&self.redis, pipeline)
    }

    /// These steps of these keys, and of a fifth of them a second copy, over both subjects, fully shuffled.
    pub fn shuffled(&self, steps: &[(String, u64)]) -> Vec<Message> {
        let mut messages = Vec::new();
        for (key, n) in steps {
            for _ in 0..1 + u64::from(self.roll(5) == 0) {
                let subject = if self.roll(2) == 0 { "in.a" } else { "in.b" };
                messages.push(message(subject, &step(*n), key, *n));
            }
        }
        for at in (1..messages.len()).rev() {
            messages.swap(at, self.roll(at as u64 + 1) as usize);
        }
        messages
    }

    /// In this order; each is confirmed.
    pub async fn publish(&self, messages: &[Message]) {
        let jetstream = self.jetstream().await;
        for part in messages.chunks(500) {
            let mut confirms = Vec::new();
            for (subject, payload) in part {
                confirms.push(jetstream.publish(*subject, payload.clone()).await.unwrap());
            }
            for confirm in confirms {
                confirm.await.unwrap();
            }
        }
    }

    pub async fn until_emitted(&self, pipeline: &str, count: u64) {
        let jetstream = self.jetstream().await;
        eventually(PATIENCE, "emissions", async || streams::count(&jetstream, pipeline).await >= count).await;
    }

    /// Waits until everything that was fed has its outcome, so many are parked, and all that is emitted has left.
    pub async fn until_settled(&self, pipeline: &str, parked: u64) {
        let stream = self.jetstream().await.get_stream("IN").await.unwrap();
        for channel in ["a", "b"] {
            let consumer = format!("sluice-{pipeline}-{channel}");
            eventually(PATIENCE, "all acks", async || {
                let info = stream.consumer_info(&consumer).await;
                info.is_ok_and(|info| info.num_ack_pending == 0 && info.num_pending == 0)
            })
            .await;
        }
        let store = self.store(pipeline);
        eventually(PATIENCE, &format!("an empty outbox and {parked} parked"), async || {
            store.census().await.is_ok_and(|census| (census.outbox, census.parked) == (0, parked))
        })
        .await;
    }

    /// The state of each key is the fold of these numbers in this order, and each was emitted once, in this order.
    pub async fn check(&self, pipeline: &str, keys: &BTreeMap<String, Vec<u64>>) {
        let store = self.store(pipeline);
        let mut emitted: BTreeMap<String, Vec<(u64, u64)>> = BTreeMap::new();
        for event in streams::read(&self.jetstream().await, pipeline).await {
            let number = |name: &str| event["data"][name].as_u64().unwrap();
            let key = event["data"]["key"].as_str().unwrap().to_owned();
            emitted.entry(key).or_default().push((number("n"), number("hash")));
        }
        for (key, numbers) in keys {
            let mut hash = 7;
            let mut wanted = Vec::new();
            for n in numbers {
                hash = (hash * 31 + n) % 1_000_003;
                wanted.push((*n, hash));
            }
            let state = state(&store, key).await;
            assert_eq!(state["count"].as_u64().unwrap_or_default(), numbers.len() as u64, "{key}: {state}");
            assert_eq!(state["hash"].as_u64().unwrap_or(7), hash, "{key}: {state}");
            assert_eq!(emitted.remove(key).unwrap_or_default(), wanted, "emissions of {key}");
        }
        assert!(emitted.is_empty(), "emitted by nobody: {emitted:?}");
    }

    /// Key, number and reason of what was set aside, in order of keys.
    pub async fn dead(&self, pipeline: &str) -> Vec<(String, u64, String)> {
        let letters = self.store(pipeline).dead_letters(false).await.unwrap();
        let mut dead: Vec<_> = letters
            .into_iter()
            .map(|(_, letter)| {
                let (record, raw) = DeadRecord::decode(&letter.body).unwrap();
                let event: serde_json::Value = serde_json::from_slice(&raw).unwrap();
                let n = event["data"]["n"].as_u64().unwrap();
                (record.key.unwrap_or_default(), n, record.failure.reason)
            })
            .collect();
        dead.sort();
        dead
    }
}
