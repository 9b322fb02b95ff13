//! The world of one run: a broker and a store that outlive the runners, and a script that says what happens to them.

mod check;
mod killer;
mod late;
mod lease;
mod life;
mod person;
mod recent;
mod run;
mod waiting;
mod watch;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Notify;
use tokio::task::JoinHandle;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::luck::{Luck, Mishap, Mishaps};
use super::plan::{PARTITIONS, Plan};
use super::script::Script;
use super::trace::Trace;
use crate::bus::Channels;
use crate::bus::memory::MemoryBus;
use crate::clock::{Clock, Entropy};
use crate::event::Millis;
use crate::flow::context::{Context, Phase, Scripts};
use crate::flow::emit::{Destination, Destinations};
use crate::flow::outbox::PublishCounts;
use crate::flow::story::{Told, Watcher};
use crate::flow::supervisor::{self, Options};
use crate::flow::tally::Tally;
use crate::spec::program::{Pipeline, Written};
use crate::store::memory::{Memory, MemoryStore, Snapshot};
use crate::store::{Store, WriterId};
use crate::testkit::fate::Fate;
use crate::testkit::faulty_bus::{FaultyBroker, FaultyBus};
use crate::testkit::faulty_store::FaultyStore;
use life::Life;
use watch::Watch;

pub use killer::killer;
pub use late::late;
pub use waiting::{killer_that_waited, wait_for_version};

/// What became of a run.
pub struct Played {
    pub result: Result<(), String>,
    pub met: Vec<Mishap>,
    /// How many ways of calls the first runner went.
    pub travelled: u64,
    pub trace: Vec<String>,
}

/// Plays a script. The same script gives the same run.
pub fn play(script: &Script, traced: bool) -> Played {
    if std::env::var_os("SLUICE_SIM_LOG").is_some() {
        let _ = tracing_subscriber::fmt().with_max_level(tracing::Level::DEBUG).with_test_writer().try_init();
    }
    in_virtual_time(async {
        let mishaps = Mishaps::new(script.mishaps.clone());
        let mut world = World::new(script.plan.clone(), Luck(script.seed), mishaps, traced);
        let result = world.play(script).await;
        let met = world.watch.mishaps.met().iter().copied().collect();
        Played { result, met, travelled: world.travelled, trace: world.watch.trace.lines() }
    })
}

/// Time passes when all have nothing to do but to wait for it.
fn in_virtual_time<T>(play: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build();
    runtime.expect("a runtime of one thread needs nothing").block_on(play)
}

/// Virtual wall time: follows the paused clock of the test's runtime.
struct VirtualClock(Instant);

impl Clock for VirtualClock {
    fn now(&self) -> Millis {
        Millis(1_700_000_000_000).plus(self.0.elapsed())
    }
}

struct World {
    plan: Plan,
    luck: Luck,
    clock: Arc<VirtualClock>,
    bus: MemoryBus,
    broker: FaultyBroker,
    memory: Arc<Memory>,
    saved: Option<Snapshot>,
    pipeline: Arc<Pipeline>,
    tallies: Vec<Arc<Tally>>,
    watch: Arc<Watch>,
    runners: Vec<Runner>,
    /// Stores of processes that are gone: what they sent late may still arrive.
    ghosts: Vec<Arc<FaultyStore>>,
    /// Rung when a process dies.
    bell: Arc<Notify>,
    /// What the destination held when the broker forgot which ids were published.
    forgot: Vec<u64>,
    born: u64,
    travelled: u64,
}

struct Runner {
    task: JoinHandle<Result<(), supervisor::CannotRun>>,
    stop: CancellationToken,
    store: Arc<FaultyStore>,
    life: Arc<Life>,
}

impl World {
    fn new(plan: Plan, luck: Luck, mishaps: Mishaps, traced: bool) -> Self {
        let clock = Arc::new(VirtualClock(Instant::now()));
        let bus = MemoryBus::new(Arc::clone(&clock) as Arc<dyn Clock>);
        let memory = Memory::new(PARTITIONS, plan.retain());
        Self {
            luck,
            clock,
            broker: FaultyBroker::new(bus.clone()),
            bus,
            watch: Arc::new(Watch::new(mishaps, Trace::new(traced), &memory)),
            memory,
            saved: None,
            pipeline: plan.workload.pipeline(&plan, false),
            tallies: Vec::new(),
            runners: Vec::new(),
            ghosts: Vec::new(),
            bell: Arc::default(),
            forgot: Vec::new(),
            born: 0,
            travelled: 0,
            plan,
        }
    }

    /// Another process.
    fn life(&mut self, luck: Luck) -> Life {
        self.born += 1;
        Life::new(format!("r{}", self.born), luck, &self.plan, &self.watch, &self.bell)
    }

    fn start(&mut self, luck: Luck) -> Runner {
        let life = Arc::new(self.life(luck));
        let store = self.store(&life);
        let channels = FaultyBus::new(self.broker.clone(), Arc::clone(&life) as Arc<dyn Fate>);
        let context = self.context(&store, &channels, luck);
        let options = Options {
            workers: 2,
            in_flight: crate::bus::Demand { events: 16, bytes: 1 << 20 },
            // More than twice what the slowest store takes to answer.
            lease: Duration::from_secs(8),
            ..Options::default()
        };
        let stop = CancellationToken::new();
        let task = tokio::spawn(supervisor::run(context, Arc::new(channels), options, stop.clone()));
        Runner { task, stop, store, life }
    }

    fn store(&self, life: &Arc<Life>) -> Arc<FaultyStore> {
        let inner = Arc::new(MemoryStore::new(Arc::clone(&self.memory)));
        let store = Arc::new(FaultyStore::new(inner, Arc::clone(life) as Arc<dyn Fate>));
        if !self.plan.lease {
            store.grants_every_lease();
        }
        store
    }

    /// Of another process with this store.
    fn context(&mut self, store: &Arc<FaultyStore>, channels: &FaultyBus, luck: Luck) -> Arc<Context> {
        let sink = channels.sink(&"out".into()).expect("the memory bus opens any channel");
        let destinations = BTreeMap::from([("out".into(), Destination { sink, envelope: Written::Sluice })]);
        let tally = Tally::new(&self.pipeline);
        self.tallies.push(Arc::clone(&tally));
        let entropy = Arc::new(luck.of(1).entropy());
        Arc::new(Context {
            pipeline: Arc::clone(&self.pipeline),
            revision: "test".into(),
            envelopes: BTreeMap::new(),
            destinations: Destinations(destinations),
            store: Arc::clone(store) as Arc<dyn Store>,
            clock: Arc::clone(&self.clock) as Arc<dyn Clock>,
            runner: WriterId(entropy.fresh()),
            entropy,
            scripts: Scripts::Inline,
            tally,
            published: PublishCounts::default(),
            phase: tokio::sync::watch::channel(Phase::Recovering).0,
            watcher: self.watcher(),
        })
    }

    fn watcher(&self) -> Option<Watcher> {
        let (watch, name) = (Arc::clone(&self.watch), format!("r{}", self.born));
        let tell = move |told: &Told| {
            let event = told.event.as_ref().map_or(&told.place, |head| &head.id);
            let out = if told.released { ", out of the park" } else { "" };
            let why = if told.what.is_empty() { String::new() } else { format!(": {}", told.what) };
            watch.trace.say(|| format!("{name} commits {event} as {}{out}{why}", told.outcome.name()));
        };
        self.watch.trace.wanted().then(|| Arc::new(tell) as Watcher)
    }

    async fn crash(&mut self, runner: Runner) {
        runner.task.abort();
        let _ = runner.task.await;
        self.watch.trace.say(|| format!("{} is dead", runner.life.name));
        self.ghosts.push(runner.store);
        self.bus.redeliver_all();
    }

    async fn replace(&mut self, place: usize, luck: Luck) {
        let next = self.start(luck);
        let dead = std::mem::replace(&mut self.runners[place], next);
        self.crash(dead).await;
    }
}
