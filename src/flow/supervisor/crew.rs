//! Those who work between intake and ack: hired at the start of a generation, drained at its end.

#![expect(clippy::disallowed_methods, reason = "whoever is hired is waited for, in `drain`")]

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{mpsc, watch};
use tokio::task::{JoinError, JoinSet};

use super::super::clockwork::{Begin, keep_time};
use super::super::confirmed::Confirmed;
use super::super::context::Context;
use super::super::intake::{Intake, Workers};
use super::super::outbox::{Message, Outbox};
use super::super::tenure::Tenure;
use super::super::timers::Timers;
use super::super::worker::{BATCH_EVENTS, Fatal, Worker};
use super::{Ended, Options};
use crate::event::Partition;

pub(super) struct Crew {
    pub(super) workers: Workers,
    pub(super) tasks: JoinSet<Result<(), Fatal>>,
    pub(super) publisher: JoinSet<Result<(), Fatal>>,
    pub(super) clockwork: JoinSet<Result<(), Fatal>>,
    outbox: mpsc::Sender<Message>,
    confirmed: Arc<Confirmed>,
    timers: Arc<Timers>,
    store_up: Arc<watch::Sender<bool>>,
    pub(super) store_up_seen: watch::Receiver<bool>,
}

/// Outbox, workers and timers, at work but without input.
pub(super) fn hire(context: &Arc<Context>, options: &Options, begin: Begin, tenure: &Tenure) -> Crew {
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
            tenure.clone(),
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
pub(super) async fn drain(
    context: &Arc<Context>,
    options: &Options,
    crew: Crew,
    intakes: &mut [Intake],
) -> Result<(), Ended> {
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
    let mut last = Worker::new(Arc::clone(context), all, unheard, confirmed, timers, store_up, Tenure::endless());
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

pub(super) fn joined<T>(result: Result<T, JoinError>) -> Result<T, Ended> {
    result.map_err(|error| Ended::Again(format!("a task failed ({error}); this is a bug in sluice, please report it")))
}
