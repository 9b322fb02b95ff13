//! A project that folds events per key in a way that is neither commutative nor idempotent, on real servers; what
//! feeds it, and what must be true of it at the end.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use async_nats::jetstream;
use bytes::Bytes;
use serde_json::{Value, json};
use sluicegate::clock::{Entropy as _, SeededEntropy};
use sluicegate::event::Key;
use sluicegate::store::record::{DeadRecord, KeyRecord};
use sluicegate::store::redis::RedisStore;
use sluicegate::store::{KeyLookup, Lookup, Store};
use tempfile::TempDir;

use super::streams;
use crate::support::memory;
use crate::support::servers::{NatsServer, RedisServer};
use crate::support::wait::eventually;

pub const PARTITIONS: u16 = 16;
pub const RETAIN: Duration = Duration::from_secs(7 * 24 * 3600);
/// How long anything here may take on a machine that does other things too.
pub const PATIENCE: Duration = Duration::from_secs(120);

pub const HANDLER: &str = "
state.hash = ((state.hash ?? 7) * 31 + event.data.n) % 1000003;
state.count = (state.count ?? 0) + 1;
state.sum = (state.sum ?? 0) + event.data.n;
emit(\"Folded\", #{ key: event.key, n: event.data.n, count: state.count, hash: state.hash });
";

pub struct Fold {
    pub nats: NatsServer,
    pub redis: RedisServer,
    dir: TempDir,
    pub luck: SeededEntropy,
    sent: Vec<Bytes>,
    undeliverable: usize,
    runs: usize,
}

/// `sluice run`; killed when dropped.
pub struct Runner {
    child: Child,
    log: PathBuf,
    stdout: PathBuf,
}

impl Runner {
    /// The `run`th in this project.
    pub fn start(project: &Path, run: usize) -> Self {
        let log = project.join(format!("run-{run}.log"));
        let mut command = Command::new(env!("CARGO_BIN_EXE_sluice"));
        command.args(["run", "--log-format", "json"]).current_dir(project).stdin(Stdio::null());
        let stdout = log.with_extension("out");
        command.stdout(fs::File::create(&stdout).unwrap()).stderr(fs::File::create(&log).unwrap());
        let runner = Self { child: command.spawn().unwrap(), log, stdout };
        // From its first line on it listens to signals.
        let began = std::time::Instant::now();
        while runner.log().is_empty() {
            assert!(began.elapsed() < PATIENCE, "it says nothing");
            std::thread::yield_now();
        }
        runner
    }

    pub fn kill9(mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    pub fn signal(&self, signal: rustix::process::Signal) {
        let pid = rustix::process::Pid::from_child(&self.child);
        rustix::process::kill_process(pid, signal).unwrap();
    }

    pub fn log(&self) -> String {
        fs::read_to_string(&self.log).unwrap()
    }

    /// The most it ever had in memory.
    pub fn peak_memory_mib(&self) -> u64 {
        memory::peak_mib(self.child.id())
    }

    /// SIGTERM, and what it printed at its end.
    pub fn stop(mut self) -> String {
        self.signal(rustix::process::Signal::TERM);
        let status = self.child.wait().unwrap();
        let said = fs::read_to_string(&self.stdout).unwrap();
        assert!(status.success(), "it did not stop cleanly: {status}\n{}", self.log());
        said
    }
}

impl Drop for Runner {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Drop for Fold {
    fn drop(&mut self) {
        show_logs(self.dir.path(), self.runs);
    }
}

/// A failing test shows what its runners said.
pub fn show_logs(project: &Path, runs: usize) {
    if std::thread::panicking() {
        for run in 1..=runs {
            let log = fs::read_to_string(project.join(format!("run-{run}.log"))).unwrap_or_default();
            println!("--- run {run}\n{log}");
        }
    }
}

pub fn write_project(project: &Path, sluice: &str) {
    let pipeline = "pipeline: fold\nkey: data.key\nsubscriptions:\n  \
                    - { event: Counted, from: in, versions: [1], handler: fold.rhai }\n\
                    emits: [{ event: Folded, version: 1, to: out }]\n";
    for (path, text) in [
        ("sluice.yaml", sluice),
        ("pipelines/fold.yaml", pipeline),
        ("pipelines/fold.rhai", HANDLER),
        (
            "schemas/Counted/1.json",
            r#"{"type":"object","required":["key","n"],"properties":{"key":{"type":"string"},"n":{"type":"integer"}}}"#,
        ),
        ("schemas/Folded/1.json", r#"{"type":"object","required":["key","n","count","hash"]}"#),
    ] {
        let path = project.join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }
}

/// Event `n`, as it is fed.
pub fn counted(n: u64, key: &str) -> Bytes {
    let event = json!({
        "id": format!("e{n}"), "type": "Counted", "version": 1, "source": "chaos", "data": { "key": key, "n": n },
    });
    event.to_string().into()
}

/// What went in and what came out.
pub struct History {
    /// Numbers per key in the order of their first place in the stream.
    pub events: BTreeMap<String, Vec<u64>>,
    /// (n, count, hash) as emitted.
    pub emitted: BTreeMap<String, Vec<(u64, u64, u64)>>,
}

impl History {
    pub fn of(fed: &[Value], emitted: &[Value]) -> Self {
        let mut history = Self { events: BTreeMap::new(), emitted: BTreeMap::new() };
        for event in fed {
            let numbers = history.events.entry(event["data"]["key"].as_str().unwrap().to_owned()).or_default();
            let n = event["data"]["n"].as_u64().unwrap();
            if !numbers.contains(&n) {
                numbers.push(n);
            }
        }
        for event in emitted {
            let number = |name: &str| event["data"][name].as_u64().unwrap();
            let key = event["data"]["key"].as_str().unwrap().to_owned();
            history.emitted.entry(key).or_default().push((number("n"), number("count"), number("hash")));
        }
        history
    }

    /// Every key's state is the fold of its events in stream order; every emission is there once and in key order.
    pub async fn check_exact(&self, store: &dyn Store) {
        for (key, numbers) in &self.events {
            let mut hash = 7;
            let mut wanted = Vec::new();
            for (index, n) in numbers.iter().enumerate() {
                hash = (hash * 31 + n) % 1_000_003;
                wanted.push((*n, index as u64 + 1, hash));
            }
            let state = state(store, key).await;
            assert_eq!(state["hash"].as_u64(), Some(hash), "{key}: {state}, events {numbers:?}");
            assert_eq!(state["count"].as_u64(), Some(numbers.len() as u64), "{key}: {state}");
            let got: Vec<(u64, u64, u64)> = self.emitted.get(key).into_iter().flatten().copied().collect();
            assert_eq!(got, wanted, "emissions of {key}");
        }
    }
}

pub async fn state(store: &dyn Store, key: &str) -> Value {
    let key = Key::new(key).unwrap();
    let lookup = Lookup { keys: vec![KeyLookup { key: key.clone(), line: vec![] }], ..Lookup::default() };
    let found = store.lookup(vec![(key.partition(PARTITIONS), lookup)]).await.unwrap();
    KeyRecord::decode(&found[0].keys[0].record).unwrap().state.unwrap_or_default()
}

pub async fn check_nothing_dead(store: &dyn Store) {
    let dead = store.dead_letters(false).await.unwrap();
    let why: Vec<String> =
        dead.iter().map(|(_, letter)| DeadRecord::decode(&letter.body).unwrap().0.failure.message).collect();
    assert!(why.is_empty(), "dead letters: {why:?}");
}

impl Fold {
    pub fn new(seed: u64) -> Self {
        Self::on(NatsServer::start(), RedisServer::start(), seed)
    }

    pub fn on(nats: NatsServer, redis: RedisServer, seed: u64) -> Self {
        // A failing run is looked into with its seed, though real servers and processes never repeat exactly.
        println!("seed {seed}");
        let fold = Self {
            nats,
            redis,
            dir: tempfile::tempdir().unwrap(),
            luck: SeededEntropy::new(seed),
            sent: Vec::new(),
            undeliverable: 0,
            runs: 0,
        };
        fold.write_project(&fold.nats.url(), &fold.redis.url());
        fold
    }

    pub fn write_project(&self, nats_url: &str, redis_url: &str) {
        let sluice = format!(
            "connections: {{ nats: {{ nats: {{ url: \"{nats_url}\" }} }} }}\n\
             store: {{ redis: {{ url: \"{redis_url}\" }} }}\n\
             channels:\n  in:  {{ nats: {{ stream: IN, subject: in, create: true, ack_wait: 1s }} }}\n  \
             out: {{ nats: {{ stream: OUT, subject: out, create: true }} }}\n\
             admin: {{ listen: \"127.0.0.1:0\" }}\n"
        );
        write_project(self.dir.path(), &sluice);
    }

    pub fn roll(&self, sides: u64) -> u64 {
        u64::from_be_bytes(self.luck.fresh()[..8].try_into().unwrap()) % sides
    }

    pub fn start(&mut self) -> Runner {
        self.runs += 1;
        Runner::start(self.dir.path(), self.runs)
    }

    pub async fn jetstream(&self) -> jetstream::Context {
        streams::connect(&self.nats).await
    }

    pub async fn make_streams(&self) {
        let jetstream = self.jetstream().await;
        for (name, subject) in [("IN", "in"), ("OUT", "out")] {
            streams::make(&jetstream, name, subject).await;
        }
    }

    /// Publishes `count` new events over `keys` keys; with a chance of 30 % one of them, or an earlier one, again.
    pub async fn feed(&mut self, count: u64, keys: u64) {
        let jetstream = self.jetstream().await;
        let mut batch = Vec::new();
        let first = self.unique() + 1;
        for n in first..first + count {
            let key = format!("k{}", self.roll(keys));
            let payload = counted(n, &key);
            self.sent.push(payload.clone());
            batch.push(payload);
            if self.roll(10) < 3 {
                let back = self.roll(self.sent.len() as u64) as usize;
                let again = if self.roll(2) == 0 { self.sent.len() - 1 } else { back };
                batch.push(self.sent[again].clone());
            }
        }
        for payload in batch {
            // Not confirmed is not stored, or stored: one more duplicate then.
            eventually(PATIENCE, "a publish", async || match jetstream.publish("in", payload.clone()).await {
                Ok(confirm) => confirm.await.is_ok(),
                Err(_) => false,
            })
            .await;
        }
    }

    /// An event that NATS's client cannot receive, for its headers: one of the ways after the other.
    pub fn feed_undeliverable(&mut self) {
        let headers: [&[u8]; 4] = [
            b"NATS/1.0\r\nContent Type: x",
            b"NATS/1.0\r\na: \xff",
            b"NATS/1.0\r\nno colon",
            // This one makes the client panic.
            b"NATS/1.0\r\na: b\rc",
        ];
        let headers = headers[self.undeliverable % headers.len()];
        self.undeliverable += 1;
        let n = self.unique() + 1;
        let event = counted(n, "odd");
        self.nats.publish_raw("in", headers, std::str::from_utf8(&event).unwrap());
        self.sent.push(event);
    }

    /// How often the output stream holds something of this key.
    pub async fn emitted_of(&self, key: &str) -> usize {
        self.read("OUT").await.iter().filter(|event| event["data"]["key"] == key).count()
    }

    fn unique(&self) -> u64 {
        self.sent.len() as u64
    }

    pub async fn messages(&self, stream: &str) -> u64 {
        let jetstream = self.jetstream().await;
        streams::count(&jetstream, stream).await
    }

    /// Waits until the output stream holds `count` events.
    pub async fn until_emitted(&self, count: u64) {
        let jetstream = self.jetstream().await;
        eventually(PATIENCE, "emissions", async || streams::count(&jetstream, "OUT").await >= count).await;
    }

    pub async fn until_all_emitted(&self) {
        self.until_emitted(self.unique()).await;
    }

    /// Waits until everything was delivered and acked.
    pub async fn until_acked(&self) {
        self.until_consumer("all acks", |info| info.num_ack_pending == 0 && info.num_pending == 0).await;
    }

    pub async fn until_delivered(&self) {
        let last = self.messages("IN").await;
        self.until_consumer("all deliveries", |info| info.delivered.stream_sequence == last).await;
    }

    /// That runners have at the broker now.
    pub async fn open_requests(&self) -> usize {
        let stream = self.jetstream().await.get_stream("IN").await.unwrap();
        stream.consumer_info("sluice-fold-in").await.unwrap().num_waiting
    }

    async fn until_consumer(&self, what: &str, holds: impl Fn(&jetstream::consumer::Info) -> bool) {
        let stream = self.jetstream().await.get_stream("IN").await.unwrap();
        eventually(PATIENCE, what, async || {
            stream.consumer_info("sluice-fold-in").await.is_ok_and(|info| holds(&info))
        })
        .await;
    }

    async fn read(&self, stream: &str) -> Vec<Value> {
        streams::read(&self.jetstream().await, stream).await
    }

    pub fn store(&self) -> RedisStore {
        streams::store(&self.redis, "fold")
    }

    /// Waits until everything that was fed has its outcome and has left, and the position says so.
    pub async fn until_done(&self) {
        self.until_emitted(self.unique()).await;
        let last = self.messages("IN").await;
        let store = self.store();
        eventually(PATIENCE, "the position at the end of the stream", async || {
            store.position(&"in".into()).await.is_ok_and(|position| position >= Some(last))
        })
        .await;
        eventually(PATIENCE, "an empty outbox and park", async || {
            store.census().await.is_ok_and(|census| census.outbox == 0 && census.parked == 0)
        })
        .await;
    }

    /// Every key's state is the fold of its events in stream order; every emission is there once and in key order;
    /// nothing is dead.
    pub async fn check_exact(&self) {
        self.history().await.check_exact(&self.store()).await;
        self.check_nothing_dead().await;
    }

    async fn history(&self) -> History {
        let history = History::of(&self.read("IN").await, &self.read("OUT").await);
        let fed = history.events.values().map(Vec::len).sum::<usize>() as u64;
        assert_eq!(fed, self.unique(), "what was fed is in the stream");
        history
    }

    pub async fn check_nothing_dead(&self) {
        check_nothing_dead(&self.store()).await;
    }
}
