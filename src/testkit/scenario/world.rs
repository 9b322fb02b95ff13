//! One run: the flow itself, on memory and on a time that passes when it is told to.

use std::sync::Arc;
use std::time::Duration;

use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use super::doom::Doom;
use super::end::End;
use super::stage::{Stage, Step};
use super::wires::{Death, Ends, StageClock, Wires};
use crate::bus::Channels;
use crate::bus::memory::MemoryBus;
use crate::bus::{ConsumerSpec, Source as _};
use crate::clock::{Clock, Entropy as _, SeededEntropy};
use crate::event::{Millis, Partition};
use crate::flow::context::{Context, Scripts};
use crate::flow::supervisor::{self, CannotRun, Options};
use crate::ops::gate::Ground;
use crate::spec::scenario::{A_DELIVERY, BEGINNING};
use crate::store::memory::{Memory, MemoryStore};
use crate::store::record::OutboxBody;
use crate::store::{Store, WriterId};
use crate::testkit::fate::{Call, Way};
use crate::testkit::faulty_store::FaultyStore;

/// Moments of virtual time that a run may take to come to rest, most of them after a crash: the first are short.
const MOMENTS: u32 = 1_000;
const SHORT: u32 = 5;
const LONG: Duration = Duration::from_millis(100);

/// Calls that change what outlives the process: to die at any other is to die at the one before.
pub const WRITES: [Call; 5] = [Call::Open, Call::Commit, Call::Start, Call::Returned, Call::Advance];

/// A moment at which the process dies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Crash {
    /// The nth call of its kind, from 1, to the store of a pipeline.
    Store { pipeline: usize, call: Call, nth: u64, after: bool },
    /// The nth publish.
    Publish { nth: u64, after: bool },
}

/// What a run leaves.
pub struct Played {
    pub end: End,
    /// How often each pipeline's store was called, by kind, and how often was published: where it could have died.
    pub calls: Vec<[u64; WRITES.len()]>,
    pub publishes: u64,
}

/// Plays it on a runtime of its own. An error is one of the run as a whole.
pub fn play(stage: &Stage<'_>, steps: &[Step], crash: Option<Crash>, seed: u64) -> Result<Played, String> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build();
    let runtime = runtime.map_err(|error| format!("the system gives no runtime: {error}"))?;
    runtime.block_on(async {
        let mut world = World::new(stage, crash, seed);
        world.start()?;
        world.settle().await?;
        for step in steps {
            match step {
                Step::Deliver(index) => world.deliver(*index).await?,
                Step::Wait(time) => world.wait(*time).await?,
            }
        }
        world.played().await
    })
}

struct World<'s> {
    stage: &'s Stage<'s>,
    clock: Arc<StageClock>,
    wires: Arc<Wires>,
    memories: Vec<Arc<Memory>>,
    entropy: Arc<SeededEntropy>,
    process: Process,
    crash: Option<Crash>,
}

#[derive(Default)]
struct Process {
    contexts: Vec<Arc<Context>>,
    dooms: Vec<Arc<Doom>>,
    tasks: JoinSet<Result<(), CannotRun>>,
}

impl<'s> World<'s> {
    fn new(stage: &'s Stage<'s>, crash: Option<Crash>, seed: u64) -> Self {
        let clock = Arc::new(StageClock::new(BEGINNING));
        let bus = MemoryBus::new(Arc::clone(&clock) as Arc<dyn Clock>);
        let death = match crash {
            Some(Crash::Publish { nth, after }) => Some(Death { nth, after }),
            _ => None,
        };
        Self {
            stage,
            clock,
            wires: Wires::new(bus, death),
            memories: stage.pipelines.iter().map(|p| Memory::new(p.partitions, p.retain)).collect(),
            entropy: Arc::new(SeededEntropy::new(seed)),
            process: Process::default(),
            crash,
        }
    }

    /// A process begins.
    fn start(&mut self) -> Result<(), String> {
        let channels: Arc<dyn Channels> = Arc::new(Ends(Arc::clone(&self.wires)));
        let ground = Ground {
            channels: Arc::clone(&channels),
            scripts: Scripts::Inline,
            clock: Arc::clone(&self.clock) as Arc<dyn Clock>,
            entropy: Arc::clone(&self.entropy) as _,
            runner: WriterId(self.entropy.fresh()),
            watcher: None,
        };
        let options = Options { workers: 1, ..Options::default() };
        for (at, (pipeline, memory)) in self.stage.pipelines.iter().zip(&self.memories).enumerate() {
            let death = match self.crash {
                Some(Crash::Store { pipeline, call, nth, after }) if pipeline == at => {
                    Some((call, nth, if after { Way::Back } else { Way::There }))
                }
                _ => None,
            };
            let doom = Doom::new(death);
            let memory = Arc::new(MemoryStore::new(Arc::clone(memory)));
            let store = Arc::new(FaultyStore::new(memory, Arc::clone(&doom) as _));
            let context = ground.context(self.stage.program, pipeline, store as Arc<dyn Store>);
            let context = Arc::new(context.map_err(|error| error.to_string())?);
            let run =
                supervisor::run(Arc::clone(&context), Arc::clone(&channels), options.clone(), CancellationToken::new());
            self.process.tasks.spawn(run);
            self.process.contexts.push(context);
            self.process.dooms.push(doom);
        }
        Ok(())
    }

    async fn deliver(&mut self, index: usize) -> Result<(), String> {
        let arrival = &self.stage.arrivals[index];
        self.clock.forward(A_DELIVERY);
        let sink = self.wires.bus.sink(Arc::clone(&arrival.channel));
        sink.put(arrival.headers.clone(), arrival.payload.clone()).map_err(|error| error.to_string())?;
        self.settle().await
    }

    /// Lets time pass, from one moment at which something is due to the next.
    async fn wait(&mut self, time: Duration) -> Result<(), String> {
        let end = self.clock.now().plus(time);
        loop {
            let now = self.clock.now();
            let due = self.next_due(end).await?.map_or(end, |due| due.max(Millis(now.0 + 1)).min(end));
            let step = due.since(now);
            self.clock.forward(step);
            tokio::time::advance(step).await;
            self.settle().await?;
            if self.clock.now() >= end {
                return Ok(());
            }
        }
    }

    async fn next_due(&self, until: Millis) -> Result<Option<Millis>, String> {
        let mut next = None;
        for memory in &self.memories {
            let timers = MemoryStore::new(Arc::clone(memory)).timers(until, 1).await;
            let due = timers.map_err(|error| error.to_string())?.first().map(|timer| timer.due);
            next = match (next, due) {
                (Some(a), Some(b)) => Some(std::cmp::min::<Millis>(a, b)),
                (a, b) => a.or(b),
            };
        }
        Ok(next)
    }

    /// Until nothing is in flight: each event has its outcome, and what was emitted is published.
    async fn settle(&mut self) -> Result<(), String> {
        for moment in 0..MOMENTS {
            // Paused time passes when nothing else can go on: then all is done that can be done now.
            tokio::time::sleep(if moment < SHORT { Duration::from_millis(1) } else { LONG }).await;
            let died = self.wires.died().is_cancelled() || self.process.dooms.iter().any(|doom| doom.has_died());
            if died && self.crash.take().is_some() {
                // Its leases run out, and the clock does not stand still for that.
                for (context, memory) in self.process.contexts.iter().zip(&self.memories) {
                    let released = MemoryStore::new(Arc::clone(memory)).release(context.runner).await;
                    released.map_err(|error| error.to_string())?;
                }
                self.process = Process::default();
                self.wires.bus.redeliver_all();
                self.start()?;
                continue;
            }
            if let Some(ended) = self.process.tasks.try_join_next() {
                return Err(match ended {
                    Ok(Ok(())) => "a pipeline stopped by itself; please report this as a bug".to_owned(),
                    Ok(Err(cannot)) => cannot.to_string(),
                    Err(error) => format!("a pipeline failed ({error}); please report this as a bug"),
                });
            }
            if self.wires.runs_away() {
                return Err(
                    "thousands of events are published, and no end: does a pipeline cause what it reads?".to_owned()
                );
            }
            if self.is_at_rest().await? {
                return Ok(());
            }
        }
        Err("it does not come to rest".to_owned())
    }

    async fn is_at_rest(&self) -> Result<bool, String> {
        let now = self.clock.now();
        for (context, memory) in self.process.contexts.iter().zip(&self.memories) {
            if !context.phase.borrow().ready() || context.tally.snapshot().in_flight != 0 {
                return Ok(false);
            }
            for channel in context.pipeline.inputs() {
                let pipeline = Arc::clone(&context.pipeline.name);
                let source = self.wires.bus.source(ConsumerSpec { pipeline, channel, start_after: None });
                let progress = source.progress().await.map_err(|error| error.to_string())?;
                if progress.pending > 0 || progress.ack_floor < progress.delivered {
                    return Ok(false);
                }
            }
            let store = MemoryStore::new(Arc::clone(memory));
            let due = store.timers(now, 1).await.map_err(|error| error.to_string())?;
            if !due.is_empty() || self.owes(&store).await? {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// Whether anything stands in the outbox that is not published. (What is, leaves it a little later.)
    async fn owes(&self, store: &MemoryStore) -> Result<bool, String> {
        let lens = store.outbox_lens().await.map_err(|error| error.to_string())?;
        for (partition, _) in (0..).zip(lens).filter(|(_, len)| *len > 0) {
            for entry in store.outbox(Partition(partition)).await.map_err(|error| error.to_string())? {
                let body = OutboxBody::decode(&entry.body).map_err(|error| error.to_string())?;
                if !self.wires.has_published(&body.event.dedupe_id) {
                    return Ok(true);
                }
            }
        }
        Ok(false)
    }

    async fn played(self) -> Result<Played, String> {
        let calls = |doom: &Arc<Doom>| WRITES.map(|call| doom.calls(call));
        Ok(Played {
            end: End::read(self.stage, &self.memories, &self.wires).await?,
            calls: self.process.dooms.iter().map(calls).collect(),
            publishes: self.wires.calls(),
        })
    }
}
