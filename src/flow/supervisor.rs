//! Starts, recovers and stops one pipeline. The only place that spawns.
//!
//! A *generation* is one life between two openings of the store: open, recover, pull, drain. When the store may
//! have lost its tail the generation ends, everything in hand is handed back, and the next one recovers exactly as
//! after a crash: there is one recovery, not two.

#![expect(
    clippy::disallowed_methods,
    reason = "the one spawner: it waits for every task and ends with the first that fails"
)]

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use super::budget::Budget;
use super::clockwork::{Begin, keep_time};
use super::confirmed::Confirmed;
use super::context::{Context, Phase, PhaseKeeper};
use super::decide::{Item, Outcome};
use super::intake::{Backoff, IN_FLIGHT, Intake, Workers};
use super::job::Job;
use super::outbox::Outbox;
use super::timers::Timers;
use super::worker::{BATCH_EVENTS, Fatal, Worker};
use crate::bus::{BusError, Channels, ConsumerSpec, DELETES_ON_ACK, Progress, Source};
use crate::event::{ChannelName, Partition};
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
}

impl Default for Options {
    fn default() -> Self {
        let workers = std::thread::available_parallelism().map_or(2, usize::from);
        Self {
            workers,
            unknown_position: UnknownPosition::Refuse,
            grace: Duration::from_secs(25),
            in_flight: IN_FLIGHT,
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
            Err(Ended::Again(why)) => {
                tracing::warn!(pipeline = %context.pipeline.name, %why, "starting over from the stored position");
                context.phase.send_replace(Phase::Connecting(why));
                tokio::select! {
                    biased;
                    () = stop.cancelled() => {}
                    () = tokio::time::sleep(backoff.pause()) => {}
                }
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
    let crew = hire(&context, options, Begin::Beside);
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
    match drained {
        Ok(()) => Ok(outcomes),
        Err(Ended::Again(why) | Ended::CannotRun(why)) => {
            Err(CannotRun { pipeline: context.pipeline.name.to_string(), why })
        }
    }
}

enum Ended {
    Again(String),
    CannotRun(String),
}

impl From<Fatal> for Ended {
    fn from(fatal: Fatal) -> Self {
        Self::Again(fatal.to_string())
    }
}

struct Generation<'a> {
    context: Arc<Context>,
    channels: &'a dyn Channels,
    options: &'a Options,
    stop: &'a CancellationToken,
}

/// Where a source starts.
struct Start {
    channel: ChannelName,
    source: Box<dyn Source>,
    position: u64,
    /// Sequences to read again, when there are any.
    span: Option<(u64, u64)>,
}

impl Generation<'_> {
    async fn live(self) -> Result<(), Ended> {
        let Some(opened) = self.open().await? else { return Ok(()) };
        let mut starts = Vec::new();
        for channel in self.context.pipeline.inputs() {
            // No goodbye when it ends here: what a dead runner left behind is still to be recovered with care.
            let Some(start) = self.start(channel, &opened).await? else { return Ok(()) };
            starts.push(start);
        }
        let crew = hire(&self.context, self.options, Begin::Generation { unclean: opened.unclean });
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
                    tracing::info!(%pipeline, durability, fresh = opened.fresh, "store open");
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
        tokio::select! {
            biased;
            () = self.stop.cancelled() => false,
            () = tokio::time::sleep(backoff.pause()) => true,
        }
    }

    /// Connects a source and finds out from where on events may have no outcome.
    async fn start(&self, channel: ChannelName, opened: &Opened) -> Result<Option<Start>, Ended> {
        let mut backoff = Backoff::default();
        loop {
            match self.connect(&channel, opened).await {
                Ok(start) => return Ok(Some(start)),
                Err(Connect::End(ended)) => return Err(ended),
                Err(Connect::Wait(what, why)) => {
                    if !self.wait(&what, &why, &mut backoff).await {
                        return Ok(None);
                    }
                }
            }
        }
    }

    async fn connect(&self, channel: &ChannelName, opened: &Opened) -> Result<Start, Connect> {
        let store = &self.context.store;
        let stored = store.position(channel).await.map_err(Connect::store)?;
        let spec = ConsumerSpec {
            pipeline: Arc::clone(&self.context.pipeline.name),
            channel: channel.clone(),
            start_after: stored,
        };
        let bus = |error| Connect::bus(channel, error);
        let source = self.channels.source(spec).await.map_err(bus)?;
        let progress = source.progress().await.map_err(bus)?;
        // Asked again: another runner may have begun between the two answers, and acked since.
        let stored = match stored {
            Some(position) => Some(position),
            None => store.position(channel).await.map_err(Connect::store)?,
        };
        let position = match stored {
            Some(position) => position,
            None => self.first_position(channel, &progress)?,
        };
        if position > progress.last {
            return Err(Connect::cannot_run(format!(
                "the store stands at {position} in channel `{channel}`, but its stream ends at {}: the stream was made anew, or this is another \
                 stream's store; use another store, or run once with `--unknown-position replay` after deleting this pipeline's keys",
                progress.last
            )));
        }
        if stored.is_none() {
            store.advance(channel, None, position).await.map_err(Connect::store)?;
        }
        if opened.durability != Durability::Strict && progress.deletes_on_ack {
            tracing::warn!(
                pipeline = %self.context.pipeline.name, %channel, "{DELETES_ON_ACK}");
        }
        let from = position.min(progress.ack_floor) + 1;
        let span = (progress.delivered >= from).then_some((from, progress.delivered));
        if let Some((from, to)) = span
            && progress.first > from
            && !progress.deletes_on_ack
        {
            tracing::error!(
                %channel, from, until = progress.first.min(to + 1),
                "the stream no longer holds events that were delivered before and may have no outcome: its retention is shorter than the outage was"
            );
        }
        Ok(Start { channel: channel.clone(), source, position, span })
    }

    /// The position of a channel that the store has never heard of.
    fn first_position(&self, channel: &ChannelName, progress: &Progress) -> Result<u64, Connect> {
        match (progress.ack_floor, self.options.unknown_position) {
            (0, _) | (_, UnknownPosition::Replay) => Ok(0),
            (floor, UnknownPosition::Continue) => Ok(floor),
            (floor, UnknownPosition::Refuse) => Err(Connect::cannot_run(format!(
                "the store knows no position for channel `{channel}`, but its consumer has acked up to {floor}: this looks like an emptied, an old or \
                 another store; point `store` at the right one, or run once with `--unknown-position continue` (what was acked stays as it is) or \
                 `--unknown-position replay` (everything still in the stream is handled again)"
            ))),
        }
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

/// Outbox, workers and timers, at work but without input.
fn hire(context: &Arc<Context>, options: &Options, begin: Begin) -> Crew {
    let (outbox, messages) = mpsc::channel(1_024);
    let confirmed = Arc::new(Confirmed::default());
    let timers = Arc::new(Timers::default());
    let (store_up, store_up_seen) = watch::channel(true);
    let store_up = Arc::new(store_up);
    let count = options.workers.clamp(1, usize::from(context.pipeline.partitions));
    let mut tasks = JoinSet::new();
    let mut inputs = Vec::new();
    for index in 0..count {
        let (input, jobs) = mpsc::channel(BATCH_EVENTS * 4);
        inputs.push(input);
        let partitions = (0..context.pipeline.partitions)
            .map(Partition)
            .filter(|partition| Workers::index(*partition, count) == index)
            .collect();
        let worker = Worker::new(
            Arc::clone(context),
            partitions,
            outbox.clone(),
            Arc::clone(&confirmed),
            Arc::clone(&timers),
            Arc::clone(&store_up),
        );
        tasks.spawn(worker.run(jobs));
    }
    let mut publisher = JoinSet::new();
    publisher.spawn(Outbox::new(Arc::clone(context), messages, Arc::clone(&confirmed)).run());
    let workers = Workers(inputs);
    let mut clockwork = JoinSet::new();
    clockwork.spawn(keep_time(Arc::clone(context), Arc::clone(&timers), workers.clone(), begin));
    Crew { workers, tasks, publisher, clockwork, outbox, confirmed, timers, store_up, store_up_seen }
}

/// After the last pull: commit what is in hand, confirm what is owed, ack, clear, say goodbye.
async fn drain(context: &Arc<Context>, options: &Options, crew: Crew, intakes: &mut [Intake]) -> Result<(), Ended> {
    let Crew { workers, mut tasks, mut publisher, mut clockwork, outbox, confirmed, timers, store_up, .. } = crew;
    let deadline = tokio::time::Instant::now() + options.grace;
    let drained = tokio::time::timeout_at(deadline, async {
        clockwork.shutdown().await;
        for intake in intakes.iter_mut() {
            // Their clones of the workers' inputs would keep the workers waiting.
            intake.workers = Workers(Vec::new());
        }
        drop(workers);
        while let Some(worker) = tasks.join_next().await {
            joined(worker)??;
        }
        // The outbox ends when it owes nothing and the last sender is gone.
        drop(outbox);
        while let Some(outbox) = publisher.join_next().await {
            joined(outbox)??;
        }
        Ok::<_, Ended>(())
    })
    .await;
    match drained {
        Ok(result) => result?,
        Err(_) => tracing::warn!(
            pipeline = %context.pipeline.name,
            "could not finish everything in hand within {:?}; the rest is handed back and will be delivered again",
            options.grace
        ),
    }
    tasks.shutdown().await;
    publisher.shutdown().await;
    // Nobody listens to this one's messages: it only clears. What was confirmed must not be published again, also when
    // one destination kept the rest from finishing.
    let all = (0..context.pipeline.partitions).map(Partition).collect();
    let (unheard, _) = mpsc::channel(1);
    let mut last = Worker::new(Arc::clone(context), all, unheard, confirmed, timers, store_up);
    if let Ok(cleared) = tokio::time::timeout(Duration::from_secs(5), last.clear()).await {
        cleared?;
    }
    for intake in intakes.iter_mut() {
        let unconfirmed = intake.source.settle(Duration::from_secs(5)).await;
        if unconfirmed > 0 {
            tracing::warn!(channel = %intake.channel, unconfirmed, "the broker did not confirm all acks; these events will come again as duplicates");
        }
        intake.beat().await?;
    }
    Ok(())
}

enum Connect {
    /// For what, and what it said.
    Wait(String, String),
    End(Ended),
}

impl Connect {
    fn cannot_run(why: String) -> Self {
        Self::End(Ended::CannotRun(why))
    }

    fn store(error: StoreError) -> Self {
        match error {
            StoreError::Refused(why) => Self::cannot_run(why),
            // It restarted since it was opened: what `open` said no longer holds.
            error @ StoreError::TailLost(_) => Self::End(Ended::Again(error.to_string())),
            error @ StoreError::Unavailable(_) => Self::Wait("store".to_owned(), error.to_string()),
        }
    }

    fn bus(channel: &str, error: BusError) -> Self {
        match error {
            BusError::Refused(why) => Self::cannot_run(format!("channel `{channel}`: {why}")),
            BusError::Unavailable(why) | BusError::Lapsed(why) => Self::Wait(format!("source `{channel}`"), why),
        }
    }
}

struct Crew {
    workers: Workers,
    tasks: JoinSet<Result<(), Fatal>>,
    publisher: JoinSet<Result<(), Fatal>>,
    clockwork: JoinSet<Result<(), Fatal>>,
    outbox: mpsc::Sender<super::outbox::Message>,
    confirmed: Arc<Confirmed>,
    timers: Arc<Timers>,
    store_up: Arc<watch::Sender<bool>>,
    store_up_seen: watch::Receiver<bool>,
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

fn joined<T>(result: Result<T, tokio::task::JoinError>) -> Result<T, Ended> {
    result.map_err(|error| Ended::Again(format!("a task failed ({error}); this is a bug in sluice, please report it")))
}
