//! Starts, recovers and stops one pipeline. With its crew the only place that spawns.
//!
//! A *generation* is one life between two openings of the store: open, recover, pull, drain. When the store may
//! have lost its tail the generation ends, everything in hand is handed back, and the next one recovers exactly as
//! after a crash: there is one recovery, not two. Each begins with becoming the active runner ([`office`]).

#![expect(
    clippy::disallowed_methods,
    reason = "the one spawner: it waits for every task and ends with the first that fails"
)]

mod crew;
mod office;
mod start;

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::oneshot;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use self::crew::{Crew, drain, hire, joined};
use self::start::Start;
use super::budget::Budget;
use super::clockwork::Begin;
use super::context::{Context, Phase, PhaseKeeper};
use super::decide::{Hurried, Item, Outcome};
use super::intake::{Backoff, IN_FLIGHT, Intake};
use super::job::Job;
use super::tenure::Tenure;
use super::worker::Fatal;
use crate::bus::Channels;
use crate::event::{Key, Partition};
use crate::mutant::{self, Mutant};
use crate::store::{Durability, Opened, StoreError};

/// What to do when the store knows no position although the consumer has acked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default, clap::ValueEnum)]
pub enum UnknownPosition {
    /// Refuse to start: it may be the wrong, an emptied or an old store.
    #[default]
    Refuse,
    /// Take the broker's ack floor as the position: what was acked before stays handled, by another store's word.
    Continue,
    /// Read the whole stream again from its beginning.
    Replay,
}

#[derive(Clone, Debug)]
pub struct Options {
    pub workers: usize,
    pub unknown_position: UnknownPosition,
    /// How long a shutdown may take to drain.
    pub grace: Duration,
    /// Most events and bytes a source has in flight.
    pub in_flight: crate::bus::Demand,
    /// How long a runner stays the active one without a word.
    pub lease: Duration,
}

/// Long enough for a store, or a machine, that pauses for three seconds: it is renewed three times as often. Short,
/// because a runner that died keeps the next one waiting for as long. (Losing it costs a recovery and nothing else.)
const LEASE: Duration = Duration::from_secs(5);

impl Default for Options {
    fn default() -> Self {
        let workers = std::thread::available_parallelism().map_or(2, usize::from);
        Self {
            workers,
            unknown_position: UnknownPosition::Refuse,
            grace: Duration::from_secs(25),
            in_flight: IN_FLIGHT,
            lease: LEASE,
        }
    }
}

/// A pipeline that cannot run until a person does something.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("pipeline `{pipeline}`: {why}")]
pub struct CannotRun {
    pub pipeline: String,
    pub why: String,
}

/// Runs a pipeline until `stop`, through as many generations as it takes.
pub async fn run(
    context: Arc<Context>,
    channels: Arc<dyn Channels>,
    options: Options,
    stop: CancellationToken,
) -> Result<(), CannotRun> {
    let mut backoff = Backoff::default();
    while !stop.is_cancelled() {
        let generation =
            Generation { context: Arc::clone(&context), channels: &*channels, options: &options, stop: &stop };
        match generation.live().await {
            Ok(()) => break,
            Err(Ended::CannotRun(why)) => {
                context.phase.send_replace(Phase::Stopped);
                return Err(CannotRun { pipeline: context.pipeline.name.to_string(), why });
            }
            Err(Ended::Deposed(why)) => {
                tracing::warn!(pipeline = %context.pipeline.name, %why, "no longer the active runner; what is in hand is handed back");
                context.phase.send_replace(Phase::Connecting(why));
            }
            Err(Ended::Again(why)) => {
                tracing::warn!(pipeline = %context.pipeline.name, %why, "starting over from the stored position");
                context.phase.send_replace(Phase::Connecting(why));
                backoff.wait(&stop).await;
            }
        }
    }
    context.phase.send_replace(Phase::Stopped);
    Ok(())
}

/// Sends events through the gate once, without any source: what a person replays. One outcome an item, `None`
/// where the event was changed by somebody else meanwhile or time ran out.
pub async fn run_items(
    context: Arc<Context>,
    items: Vec<Item>,
    options: &Options,
) -> Result<Vec<Option<Outcome>>, CannotRun> {
    let crew = hire(&context, options, Begin::Beside, &Tenure::endless());
    let mut told = Vec::new();
    for item in items {
        let (report, outcome) = oneshot::channel();
        let job = Job::Event { item: Box::new(item), held: None, suspect: false, report: Some(report) };
        let sent = crew.workers.send(job).await;
        told.push(sent.is_ok().then_some(outcome));
    }
    let drained = drain(&context, options, crew, &mut []).await;
    let mut outcomes = Vec::new();
    for outcome in told {
        outcomes.push(match outcome {
            Some(mut outcome) => outcome.try_recv().ok(),
            None => None,
        });
    }
    drained.map_err(|ended| ended.of(&context)).map(|()| outcomes)
}

/// Runs a key's line from its head, once, without any source: what a person releases. What became of it is in the
/// store.
pub async fn hurry(
    context: Arc<Context>,
    partition: Partition,
    key: Key,
    hurried: Hurried,
    options: &Options,
) -> Result<(), CannotRun> {
    let crew = hire(&context, options, Begin::Beside, &Tenure::endless());
    let sent = crew.workers.send(Job::Attention { partition, key, suspect: false, hurried: Some(hurried) }).await;
    let drained = drain(&context, options, crew, &mut []).await;
    // Why the crew stopped before it was asked, says its own end, if anything does.
    drained.and(sent.map_err(Ended::from)).map_err(|ended| ended.of(&context))
}

enum Ended {
    Again(String),
    /// Another runner is the active one, or may be.
    Deposed(String),
    CannotRun(String),
}

impl Ended {
    /// The end of what is not run again.
    fn of(self, context: &Context) -> CannotRun {
        let (Self::Again(why) | Self::Deposed(why) | Self::CannotRun(why)) = self;
        CannotRun { pipeline: context.pipeline.name.to_string(), why }
    }
}

impl From<Fatal> for Ended {
    fn from(fatal: Fatal) -> Self {
        match fatal {
            Fatal::Deposed => Self::Deposed(fatal.to_string()),
            Fatal::Recover(_) | Fatal::Broken(_) => Self::Again(fatal.to_string()),
        }
    }
}

struct Generation<'a> {
    context: Arc<Context>,
    channels: &'a dyn Channels,
    options: &'a Options,
    stop: &'a CancellationToken,
}

impl Generation<'_> {
    async fn live(self) -> Result<(), Ended> {
        let Some(tenure) = self.stand_by().await? else { return Ok(()) };
        let ended = tokio::select! {
            biased;
            deposed = self.keep(&tenure) => Err(deposed),
            ended = self.serve(&tenure) => ended,
        };
        self.resign(&tenure).await;
        ended
    }

    /// As the active runner.
    async fn serve(&self, tenure: &Tenure) -> Result<(), Ended> {
        let Some(opened) = self.open().await? else { return Ok(()) };
        let mut starts = Vec::new();
        for channel in self.context.pipeline.inputs() {
            // No goodbye when it ends here: what a dead runner left behind is still to be recovered with care.
            let Some(start) = self.start(channel, &opened).await? else { return Ok(()) };
            starts.push(start);
        }
        let crew = hire(&self.context, self.options, Begin::Generation { unclean: opened.unclean }, tenure);
        self.work(crew, starts, opened.unclean).await
    }

    /// Opens the store, waiting for it as long as it takes. `None`: told to stop meanwhile.
    async fn open(&self) -> Result<Option<Opened>, Ended> {
        let mut backoff = Backoff::default();
        loop {
            match self.context.store.open(self.context.runner).await {
                Ok(opened) => {
                    let pipeline = &self.context.pipeline.name;
                    let durability = match opened.durability {
                        Durability::Strict => "strict",
                        Durability::Relaxed => "relaxed",
                        Durability::None => "none",
                    };
                    let runner = self.context.runner;
                    tracing::info!(%pipeline, durability, fresh = opened.fresh, %runner, "store open");
                    for warning in &opened.warnings {
                        tracing::warn!(%pipeline, "{warning}");
                    }
                    return Ok(Some(opened));
                }
                Err(StoreError::Refused(why)) => return Err(Ended::CannotRun(why)),
                Err(error) => {
                    if !self.wait("store", &error.to_string(), &mut backoff).await {
                        return Ok(None);
                    }
                }
            }
        }
    }

    /// Says what is missing, once an outage, and waits; `false` when told to stop.
    async fn wait(&self, what: &str, why: &str, backoff: &mut Backoff) -> bool {
        let phase = Phase::Connecting(format!("{what}: {why}"));
        if self.context.phase.send_replace(phase.clone()) != phase {
            tracing::warn!(pipeline = %self.context.pipeline.name, %why, "waiting for the {what}");
        }
        backoff.wait(self.stop).await
    }

    async fn work(&self, mut crew: Crew, starts: Vec<Start>, unclean: bool) -> Result<(), Ended> {
        self.context.phase.send_replace(Phase::Recovering);
        let phase = PhaseKeeper { context: Arc::clone(&self.context), store_up: crew.store_up_seen.clone() };
        let mut intakes = JoinSet::new();
        for start in starts {
            let intake = Intake {
                context: Arc::clone(&self.context),
                channel: start.channel,
                source: start.source,
                workers: crew.workers.clone(),
                budget: Budget::new(self.options.in_flight),
                unclean,
                store_up: crew.store_up_seen.clone(),
                position: start.position,
                recovered: 0,
            };
            let span = start.span.filter(|_| !mutant::on(Mutant::NoRecovery));
            intakes.spawn(take_in(intake, span, self.stop.clone(), phase.clone()));
        }
        let mut watched = JoinSet::new();
        watched.spawn(phase.clone().follow());
        let mut stopped: Vec<Intake> = Vec::new();
        while !intakes.is_empty() {
            tokio::select! {
                biased;
                Some(intake) = intakes.join_next() => stopped.push(joined(intake)??),
                Some(worker) = crew.tasks.join_next() => {
                    joined(worker)??;
                    return Err(Ended::Again("a worker stopped early".to_owned()));
                }
                Some(outbox) = crew.publisher.join_next() => {
                    joined(outbox)??;
                    return Err(Ended::Again("the outbox stopped early".to_owned()));
                }
                Some(clock) = crew.clockwork.join_next() => {
                    joined(clock)??;
                    return Err(Ended::Again("the timers stopped early".to_owned()));
                }
            }
        }
        watched.abort_all();
        self.context.phase.send_replace(Phase::Stopping);
        drain(&self.context, self.options, crew, &mut stopped).await?;
        self.close().await;
        Ok(())
    }

    async fn close(&self) {
        let close = self.context.store.close(self.context.runner);
        match tokio::time::timeout(Duration::from_secs(5), close).await {
            Ok(Ok(())) => {}
            Ok(Err(_)) | Err(_) => tracing::warn!("could not say goodbye to the store; the next start will be careful"),
        }
    }
}

async fn take_in(
    mut intake: Intake,
    span: Option<(u64, u64)>,
    stop: CancellationToken,
    phase: PhaseKeeper,
) -> Result<Intake, Fatal> {
    if let Some((from, to)) = span {
        intake.recover(from, to, &stop).await?;
    }
    phase.recovered();
    intake.pull(&stop).await?;
    Ok(intake)
}
