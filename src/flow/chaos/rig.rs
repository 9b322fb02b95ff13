//! One run: events with duplicates over a few keys, a pipeline that folds them, and trouble.

mod check;
mod late;
mod person;
mod waiting;

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;

use super::broker::Broker;
use crate::bus::Channels;
use crate::bus::memory::MemoryBus;
use crate::clock::{Clock, Entropy, SeededEntropy};
use crate::event::{Headers, Key, MarkId, Millis};
use crate::flow::context::{Context, Phase, Scripts};
use crate::flow::emit::{Destination, Destinations};
use crate::flow::outbox::PublishCounts;
use crate::flow::supervisor::{self, Options};
use crate::flow::tally::Tally;
use crate::schema::Schema;
use crate::script::{Engine, Kind, Source as ScriptSource};
use crate::spec::program::{
    Emit, FieldPath, IdentityBy, Limits, OnFailure, Pipeline, Reorder, Retry, Subscription, UnknownVersion, Upcast,
    Written,
};
use crate::store::memory::{Memory, MemoryStore};
use crate::store::record::DeadRecord;
use crate::store::{Store, WriterId};
use crate::testkit::faulty_store::{Fault, FaultyStore, Op};

pub use waiting::{killer_that_waited, wait_for_version};

pub const PARTITIONS: u16 = 4;
pub const RETAIN: Duration = Duration::from_secs(24 * 3600);

const FAULTS: &[(Op, Fault)] = &[
    (Op::Commit, Fault::Refuse),
    (Op::Commit, Fault::LoseReply),
    (Op::Commit, Fault::Late),
    (Op::Lookup, Fault::Refuse),
    (Op::Probe, Fault::Refuse),
    (Op::Open, Fault::LoseReply),
    (Op::Start, Fault::LoseReply),
    (Op::Returned, Fault::Refuse),
    (Op::Advance, Fault::LoseReply),
];

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Trouble {
    /// The process dies and another takes over.
    Crash,
    /// The store restarts without its last writes.
    TailLost,
    /// Replies are lost, calls refused, writes carried out late.
    StoreFaults,
    /// Publishes are stored but not confirmed, or refused for a while.
    PublishFaults,
    /// The destination refuses some emissions for good.
    Refusals,
}

#[derive(Clone, Debug)]
pub struct Plan {
    pub keys: u64,
    pub events: u64,
    pub runners: usize,
    pub trouble: Vec<Trouble>,
    /// Whether some events ask for a retry first.
    pub retries: bool,
    /// Whether some events are in a version that only the program of later accepts.
    pub upgrade: bool,
    /// Whether a person releases and discards what is parked meanwhile.
    pub person: bool,
}

impl Default for Plan {
    fn default() -> Self {
        Self { keys: 5, events: 60, runners: 1, trouble: Vec::new(), retries: true, upgrade: false, person: false }
    }
}

/// Folds in a way that is neither commutative nor idempotent, and says what it did.
const HANDLER: &str = r#"
    if event.data.flaky && ctx.attempt < 3 { retry("not yet", "1s"); }
    state.hash = ((state.hash ?? 7) * 31 + event.data.n) % 1000003;
    state.count = (state.count ?? 0) + 1;
    state.sum = (state.sum ?? 0) + event.data.n;
    emit("Folded", #{ n: event.data.n, count: state.count, hash: state.hash });
"#;

pub fn pipeline() -> Arc<Pipeline> {
    Arc::new(accepting(&[1]))
}

/// The pipeline in a program that accepts these versions, and lets the others wait.
pub fn accepting(versions: &[u32]) -> Pipeline {
    let engine = Engine::new(Limits::default(), Path::new("."));
    let source = ScriptSource { file: "fold.rhai", text: HANDLER, line_offset: 0 };
    let handler = engine.compile(Kind::Handler, &source).unwrap_or_else(|errors| panic!("{errors:?}"));
    let source = ScriptSource { file: "up.rhai", text: "data = event.data;", line_offset: 0 };
    let upcast = Arc::new(engine.compile(Kind::Upcaster, &source).unwrap_or_else(|errors| panic!("{errors:?}")));
    let anything = || Arc::new(Schema::compile(&json!(true)).expect("a schema"));
    let subscription = Subscription {
        event: "Counted".to_owned(),
        from: vec!["in".into()],
        key: FieldPath(vec!["data".to_owned(), "key".to_owned()]),
        versions: versions.iter().map(|version| (*version, anything())).collect(),
        upcasts: versions
            .windows(2)
            .map(|step| (step[0], Upcast { to: step[1], script: Arc::clone(&upcast) }))
            .collect(),
        newest: versions.iter().copied().max().expect("at least one version"),
        after: Vec::new(),
        filter: None,
        handler: Arc::new(handler),
    };
    let emit = Emit { event: "Folded".to_owned(), version: 1, to: vec!["out".into()], schema: anything() };
    Pipeline {
        name: "fold".into(),
        description: None,
        file: "pipelines/fold.yaml".to_owned(),
        partitions: PARTITIONS,
        subscriptions: vec![Arc::new(subscription)],
        emits: vec![Arc::new(emit)],
        retain: RETAIN,
        identity: IdentityBy::SourceAndId,
        retry: Retry { attempts: 5, first: Duration::from_secs(1), factor: 2.0, max: Duration::from_secs(10) },
        reorder: Reorder::default(),
        sequence: None,
        resequence: None,
        on_failure: OnFailure::Continue,
        unknown_version: UnknownVersion::Park,
        dead_letter: None,
        limits: Limits::default(),
        lag_slo: None,
    }
}

/// Virtual wall time: follows the paused clock of the test's runtime.
pub struct VirtualClock(tokio::time::Instant);

impl Clock for VirtualClock {
    fn now(&self) -> Millis {
        Millis(1_700_000_000_000).plus(self.0.elapsed())
    }
}

/// Runs a plan with a seed; what is broken, if anything.
pub fn run(plan: &Plan, seed: u64) -> Result<(), String> {
    if std::env::var_os("SLUICE_SIM_LOG").is_some() {
        let _ = tracing_subscriber::fmt().with_max_level(tracing::Level::DEBUG).with_test_writer().try_init();
    }
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build();
    let runtime = runtime.map_err(|error| error.to_string())?;
    runtime.block_on(World::new(plan.clone(), seed).run())
}

/// An event that kills whoever runs it, three times over, between events that do not; what became of them all.
/// Death is played by a start mark whose return never arrives.
pub fn killer() -> Result<String, String> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build();
    runtime.map_err(|error| error.to_string())?.block_on(World::new(Plan { keys: 1, ..Plan::default() }, 1).kill())
}

/// A runner that starts while another one, faster, is at work.
pub fn late() -> Result<(), String> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build();
    runtime.map_err(|error| error.to_string())?.block_on(World::new(Plan::default(), 1).late())
}

struct World {
    plan: Plan,
    luck: Arc<SeededEntropy>,
    clock: Arc<VirtualClock>,
    bus: MemoryBus,
    broker: Arc<Broker>,
    memory: Arc<Memory>,
    pipeline: Arc<Pipeline>,
    tallies: Vec<Arc<Tally>>,
}

struct Runner {
    task: tokio::task::JoinHandle<Result<(), supervisor::CannotRun>>,
    stop: CancellationToken,
    store: Arc<FaultyStore>,
}

impl World {
    fn new(plan: Plan, seed: u64) -> Self {
        let luck = Arc::new(SeededEntropy::new(seed));
        let clock = Arc::new(VirtualClock(tokio::time::Instant::now()));
        let bus = MemoryBus::new(Arc::clone(&clock) as Arc<dyn Clock>);
        let broker = Broker {
            bus: bus.clone(),
            faults: plan.trouble.contains(&Trouble::PublishFaults),
            refuses: plan.trouble.contains(&Trouble::Refusals),
            luck: Arc::clone(&luck),
            trouble_left: Arc::new(AtomicU64::new(1)),
        };
        Self {
            luck,
            clock,
            bus,
            broker: Arc::new(broker),
            memory: Memory::new(PARTITIONS, RETAIN),
            pipeline: pipeline(),
            tallies: Vec::new(),
            plan,
        }
    }

    fn roll(&self, sides: u64) -> u64 {
        self.luck.next() % sides
    }

    fn start(&mut self) -> Runner {
        let store = self.slow_store();
        if self.plan.trouble.contains(&Trouble::StoreFaults) {
            // A process that crashes again and again while a start mark waits for its answer does look killed by that
            // event; three such accidents in a row are the plan's fault, not the gate's.
            let crashes = self.plan.trouble.contains(&Trouble::Crash);
            let faults = FAULTS.iter().filter(|(op, _)| !crashes || !matches!(op, Op::Start | Op::Returned));
            store.randomly(self.luck.next(), 0.1, &faults.copied().collect::<Vec<_>>());
        }
        let context = self.context(&store);
        let options =
            Options { workers: 2, in_flight: crate::bus::Demand { events: 16, bytes: 1 << 20 }, ..Options::default() };
        let stop = CancellationToken::new();
        let task = tokio::spawn(supervisor::run(
            context,
            Arc::clone(&self.broker) as Arc<dyn Channels>,
            options,
            stop.clone(),
        ));
        Runner { task, stop, store }
    }

    fn slow_store(&self) -> Arc<FaultyStore> {
        let store = Arc::new(FaultyStore::new(Arc::new(MemoryStore::new(Arc::clone(&self.memory)))));
        // Long enough that a heartbeat falls between a call and its answer now and then.
        store.slow(self.luck.next(), Duration::from_millis(if self.roll(4) == 0 { 1_500 } else { 20 }));
        store
    }

    /// Of another process with this store.
    fn context(&mut self, store: &Arc<FaultyStore>) -> Arc<Context> {
        let sink = self.broker.sink(&"out".into()).expect("the memory bus opens any channel");
        let destinations = BTreeMap::from([("out".into(), Destination { sink, envelope: Written::Sluice })]);
        let tally = Tally::new(&self.pipeline);
        self.tallies.push(Arc::clone(&tally));
        Arc::new(Context {
            pipeline: Arc::clone(&self.pipeline),
            revision: "test".into(),
            envelopes: BTreeMap::new(),
            destinations: Destinations(destinations),
            store: Arc::clone(store) as Arc<dyn Store>,
            clock: Arc::clone(&self.clock) as Arc<dyn Clock>,
            entropy: Arc::clone(&self.luck) as Arc<dyn Entropy>,
            scripts: Scripts::Inline,
            runner: WriterId(self.luck.fresh()),
            tally,
            published: PublishCounts::default(),
            phase: tokio::sync::watch::channel(Phase::Recovering).0,
            watcher: None,
        })
    }

    async fn crash(&self, runner: Runner) {
        runner.task.abort();
        let _ = runner.task.await;
        self.bus.redeliver_all();
    }

    async fn run(mut self) -> Result<(), String> {
        let expected = self.expected_feed();
        let mut feed = expected.feed.clone().into_iter();
        let input = self.bus.sink("in".into());
        let mut runners: Vec<Runner> = (0..self.plan.runners).map(|_| self.start()).collect();
        self.known().await?;
        // Stores of runners that crashed: what they sent late may still arrive.
        let mut ghosts: Vec<Arc<FaultyStore>> = Vec::new();
        let mut snapshots = Vec::new();
        let mut upgrade = self.plan.upgrade;
        loop {
            let burst = 1 + self.roll(8);
            let mut fed = false;
            for payload in feed.by_ref().take(usize::try_from(burst).expect("a small number")) {
                input.put(Headers::default(), payload).map_err(|error| error.to_string())?;
                fed = true;
            }
            if !fed {
                break;
            }
            tokio::time::sleep(Duration::from_millis(self.roll(700))).await;
            for store in runners.iter().map(|runner| &runner.store).chain(&ghosts) {
                if self.roll(2) == 0 {
                    store.release().await;
                }
            }
            if self.plan.trouble.contains(&Trouble::TailLost) {
                if let Some(snapshot) = snapshots.pop().filter(|_| self.roll(3) == 0) {
                    self.memory.restart_from(snapshot);
                }
                snapshots = vec![self.memory.snapshot()];
                tokio::time::sleep(Duration::from_millis(self.roll(300))).await;
            }
            if self.plan.trouble.contains(&Trouble::Crash) && self.roll(3) == 0 {
                let victim = usize::try_from(self.roll(runners.len() as u64)).expect("a small number");
                let victim = runners.swap_remove(victim);
                ghosts.push(Arc::clone(&victim.store));
                self.crash(victim).await;
                let runner = self.start();
                runners.push(runner);
            }
            if self.plan.person && self.roll(2) == 0 {
                ghosts.push(self.meddle().await?);
            }
            if upgrade && self.roll(6) == 0 {
                upgrade = false;
                self.upgrade(&mut runners, &mut ghosts).await;
            }
        }
        if upgrade {
            self.upgrade(&mut runners, &mut ghosts).await;
        }
        for store in runners.iter().map(|runner| &runner.store).chain(&ghosts) {
            store.calm();
            store.release().await;
        }
        self.broker.trouble_left.store(0, Relaxed);
        self.quiet(&runners).await?;
        for runner in runners {
            runner.stop.cancel();
            match runner.task.await {
                Ok(Ok(())) => {}
                Ok(Err(refused)) => return Err(refused.to_string()),
                Err(error) => return Err(error.to_string()),
            }
        }
        self.check(&expected).await
    }

    /// Every runner dies, and another comes with a program that accepts one version more.
    async fn upgrade(&mut self, runners: &mut Vec<Runner>, ghosts: &mut Vec<Arc<FaultyStore>>) {
        self.pipeline = Arc::new(accepting(&[1, 2]));
        for old in std::mem::take(runners) {
            ghosts.push(Arc::clone(&old.store));
            self.crash(old).await;
            let runner = self.start();
            runners.push(runner);
        }
    }

    async fn kill(mut self) -> Result<String, String> {
        let input = self.bus.sink("in".into());
        // Delivered to a runner that dies before it handles anything: suspects, all three of them.
        let first = self.start();
        self.known().await?;
        first.store.randomly(1, 1.0, &[(Op::Lookup, Fault::Refuse)]);
        for (n, key) in [(1, "a"), (2, "killer"), (3, "b")] {
            let data = json!({ "key": key, "n": n, "flaky": false });
            let event =
                json!({ "id": format!("e{n}"), "type": "Counted", "version": 1, "source": "test", "data": data });
            input.put(Headers::default(), event.to_string()).map_err(|error| error.to_string())?;
        }
        tokio::time::sleep(Duration::from_secs(5)).await;
        self.crash(first).await;
        for _ in 0..3 {
            let runner = self.start();
            let key = Key::new("killer").ok_or("an empty key")?;
            runner.store.kills(MarkId::of_event("test", "e2", &key));
            tokio::time::sleep(Duration::from_secs(5)).await;
            self.crash(runner).await;
        }
        let last = self.start();
        self.quiet(&[]).await?;
        last.stop.cancel();
        let store = MemoryStore::new(Arc::clone(&self.memory));
        let dead = store.dead_letters(true).await.map_err(|error| error.to_string())?;
        let [(_, letter)] = dead.as_slice() else { return Err(format!("{} dead letters", dead.len())) };
        let (record, _) = DeadRecord::decode(&letter.body).map_err(|error| error.to_string())?;
        let mut handled: Vec<u64> = self
            .bus
            .events("out")
            .iter()
            .filter_map(|raw| serde_json::from_slice::<Value>(&raw.payload).ok()?["data"]["n"].as_u64())
            .collect();
        handled.sort_unstable();
        Ok(format!("{} {} handled {handled:?}", record.failure.reason, record.key.unwrap_or_default()))
    }

    /// Waits until the store knows a position: one that lost even that is refused, by design.
    async fn known(&self) -> Result<(), String> {
        let store = MemoryStore::new(Arc::clone(&self.memory));
        for _ in 0..1_000 {
            if store.position(&"in".into()).await.map_err(|error| error.to_string())?.is_some() {
                return Ok(());
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        Err("the store never learns a position".to_owned())
    }

    /// Waits, in virtual time, until nothing is left to do.
    async fn quiet(&self, runners: &[Runner]) -> Result<(), String> {
        let store = MemoryStore::new(Arc::clone(&self.memory));
        let last = self.bus.events("in").len() as u64;
        for _ in 0..3_000 {
            tokio::time::sleep(Duration::from_millis(200)).await;
            if runners.iter().any(|runner| runner.task.is_finished()) {
                return Err("a runner gave up".to_owned());
            }
            let position = store.position(&"in".into()).await.map_err(|error| error.to_string())?;
            let census = store.census().await.map_err(|error| error.to_string())?;
            if position == Some(last) && census.parked == 0 && census.outbox == 0 {
                return Ok(());
            }
        }
        let census = store.census().await;
        Err(format!(
            "it does not come to rest: position {:?} of {last}, {census:?}",
            store.position(&"in".into()).await
        ))
    }
}
