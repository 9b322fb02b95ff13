//! Source → workers: recovery first, then pulling, with a heartbeat that raises the stored position.
//!
//! The position of a channel is the stream sequence below which everything has a committed outcome. An event is
//! acked only after its commit, so the broker's ack floor is such a sequence, whoever acked; and every event above
//! the stored position that was ever delivered is read again at start. Between the two nothing can fall, not
//! even when the store loses its last second: it loses the position of that second with it.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{mpsc, watch};
use tokio::time::{Instant, MissedTickBehavior};
use tokio_util::sync::CancellationToken;

use super::budget::Budget;
use super::context::Context;
use super::held::Held;
use super::job::{Job, source_job};
use super::route::{Route, route};
use super::story::Told;
use super::worker::Fatal;
use crate::bus::{BusError, Delivery, Demand, Progress, Responder, Source};
use crate::event::{ChannelName, Partition, RawEvent};
use crate::store::StoreError;

/// Most events and bytes a source has in flight.
pub const IN_FLIGHT: Demand = Demand { events: 4_096, bytes: 32 << 20 };
const HEARTBEAT: Duration = Duration::from_secs(1);
const RETRY_FIRST: Duration = Duration::from_millis(100);
const RETRY_MAX: Duration = Duration::from_secs(5);

/// The inputs of all workers; a partition always goes to the same one.
#[derive(Clone)]
pub struct Workers(pub Vec<mpsc::Sender<Job>>);

impl Workers {
    pub fn index(partition: Partition, workers: usize) -> usize {
        usize::from(partition.0) % workers.max(1)
    }

    pub async fn send(&self, job: Job) -> Result<(), Fatal> {
        let worker = &self.0[Self::index(job.partition(), self.0.len())];
        worker.send(job).await.map_err(|_| Fatal::Broken("a worker stopped".to_owned()))
    }
}

pub struct Intake {
    pub context: Arc<Context>,
    pub channel: ChannelName,
    pub source: Box<dyn Source>,
    pub workers: Workers,
    pub budget: Arc<Budget>,
    /// A runner stopped without saying goodbye: what was in its hands may have killed it.
    pub unclean: bool,
    pub store_up: watch::Receiver<bool>,
    /// The position as stored.
    pub position: u64,
    /// Everything up to here that was delivered before has its outcome since a recovery of this generation.
    pub recovered: u64,
}

/// What a pull loop may do next.
enum Step {
    Stop,
    Beat,
    Fetch(Demand),
    Fetched(Result<Vec<Delivery>, BusError>),
}

impl Intake {
    /// Reads `from..=to` of the stream again, in order, and waits until all of it has an outcome.
    pub async fn recover(&mut self, from: u64, to: u64, stop: &CancellationToken) -> Result<(), Fatal> {
        let started = Instant::now();
        tracing::info!(channel = %self.channel, from, to, "reading again what was delivered before and may have no outcome");
        // Of its own: what else is in hand may wait for a destination, and recovery must not wait for that.
        let budget = Budget::new(IN_FLIGHT);
        let (mut next, mut read) = (from, 0_u64);
        let mut backoff = Backoff::default();
        while next <= to {
            let demand = tokio::select! {
                biased;
                () = stop.cancelled() => return Ok(()),
                demand = budget.room() => demand,
            };
            match self.source.read(next, to, demand).await {
                Ok((events, then)) => {
                    backoff.reset();
                    next = then;
                    read += events.len() as u64;
                    for raw in events {
                        self.dispatch(raw, None, false, &budget).await?;
                    }
                }
                Err(BusError::Refused(why)) => return Err(Fatal::Broken(why)),
                Err(BusError::Unavailable(why) | BusError::Lapsed(why)) => {
                    backoff.warn(&self.channel, &why);
                    if !backoff.wait(stop).await {
                        return Ok(());
                    }
                }
            }
        }
        tokio::select! {
            biased;
            () = stop.cancelled() => {}
            () = budget.drained() => {
                self.recovered = to;
                tracing::info!(channel = %self.channel, events = read, took = ?started.elapsed(), "recovered");
            }
        }
        Ok(())
    }

    /// Pulls until told to stop.
    pub async fn pull(&mut self, stop: &CancellationToken) -> Result<(), Fatal> {
        let mut heartbeat = tokio::time::interval(HEARTBEAT);
        heartbeat.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut backoff = Backoff::default();
        let mut room: Option<Demand> = None;
        loop {
            let mut store_up = self.store_up.clone();
            let step = match room.take() {
                None => tokio::select! {
                   biased;
                    () = stop.cancelled() => Step::Stop,
                    _ = heartbeat.tick() => Step::Beat,
                    demand = async {
                        // A sender that is gone means the pipeline is being torn down; `stop` or an abort follows.
                        if store_up.wait_for(|up| *up).await.is_err() {
                            std::future::pending::<()>().await;
                        }
                        self.budget.room().await
                    } => Step::Fetch(demand),
                },
                Some(demand) => tokio::select! {
                   biased;
                    () = stop.cancelled() => Step::Stop,
                    _ = heartbeat.tick() => Step::Beat,
                    fetched = self.source.next(demand) => Step::Fetched(fetched),
                },
            };
            match step {
                Step::Stop => return Ok(()),
                Step::Beat => self.beat().await?,
                Step::Fetch(demand) => room = Some(demand),
                Step::Fetched(Ok(deliveries)) => {
                    backoff.reset();
                    for Delivery { raw, redelivered, responder } in deliveries {
                        self.dispatch(raw, Some(responder), redelivered, &self.budget).await?;
                    }
                }
                Step::Fetched(Err(BusError::Refused(why))) => return Err(Fatal::Broken(why)),
                Step::Fetched(Err(BusError::Lapsed(why))) => self.catch_up(&why, stop).await?,
                Step::Fetched(Err(BusError::Unavailable(why))) => {
                    backoff.warn(&self.channel, &why);
                    if !backoff.wait(stop).await {
                        return Ok(());
                    }
                }
            }
        }
    }

    /// Before anything new: what was lost on its way comes again only after the ack wait, behind its successors.
    async fn catch_up(&mut self, why: &str, stop: &CancellationToken) -> Result<(), Fatal> {
        tracing::info!(channel = %self.channel, %why, "deliveries may be missing; reading again before going on");
        let mut backoff = Backoff::default();
        loop {
            let asked = tokio::select! {
                biased;
                () = stop.cancelled() => return Ok(()),
                asked = self.source.progress() => asked,
            };
            match asked {
                Ok(Progress { ack_floor, delivered, .. }) => {
                    // One event that stays unacked keeps the floor down: what is behind it is read again once, not
                    // with every connection that breaks. (A consumer that is behind that was made anew.)
                    let again = delivered < self.recovered;
                    let done = if again { ack_floor } else { ack_floor.max(self.recovered) };
                    return if delivered > done { self.recover(done + 1, delivered, stop).await } else { Ok(()) };
                }
                Err(BusError::Refused(why)) => return Err(Fatal::Broken(why)),
                Err(BusError::Unavailable(why) | BusError::Lapsed(why)) => {
                    backoff.warn(&self.channel, &why);
                    if !backoff.wait(stop).await {
                        return Ok(());
                    }
                }
            }
        }
    }

    /// Raises the stored position to the broker's ack floor.
    pub async fn beat(&mut self) -> Result<(), Fatal> {
        let Ok(progress) = self.source.progress().await else { return Ok(()) };
        self.raise(progress).await
    }

    async fn raise(&mut self, progress: Progress) -> Result<(), Fatal> {
        if progress.ack_floor <= self.position {
            return Ok(());
        }
        match self.context.store.advance(&self.channel, Some(self.position), progress.ack_floor).await {
            Ok(()) => self.position = progress.ack_floor,
            Err(error @ StoreError::TailLost(_)) => return Err(Fatal::Recover(error)),
            // The next heartbeat tries again; until then a recovery reads a little more.
            Err(error) => tracing::debug!(channel = %self.channel, %error, "the position was not stored"),
        }
        Ok(())
    }

    async fn dispatch(
        &self,
        raw: RawEvent,
        responder: Option<Responder>,
        redelivered: bool,
        budget: &Arc<Budget>,
    ) -> Result<(), Fatal> {
        let suspect = self.unclean && (redelivered || responder.is_none());
        let held = Held::new(self.context.tally.receive(), responder, budget.take(raw.weight()));
        let envelope = self.context.envelope(&self.channel);
        let told = self.context.watcher.as_ref().map(|_| Told::ignored(&raw));
        match route(raw, &self.context.pipeline, &envelope) {
            Route::Ignore => {
                held.ignore();
                told.iter().for_each(|told| self.context.tell(told));
                Ok(())
            }
            Route::Handle(routed) => self.workers.send(source_job(*routed, held, suspect)).await,
        }
    }
}

/// Waits between tries, and one warning per outage.
#[derive(Default)]
pub struct Backoff {
    pause: Option<Duration>,
}

impl Backoff {
    pub fn reset(&mut self) {
        self.pause = None;
    }

    fn pause(&mut self) -> Duration {
        let pause = self.pause.map_or(RETRY_FIRST, |pause| (pause * 2).min(RETRY_MAX));
        self.pause = Some(pause);
        pause
    }

    /// Waits for the next try; `false` when told to stop.
    pub async fn wait(&mut self, stop: &CancellationToken) -> bool {
        tokio::select! {
            biased;
            () = stop.cancelled() => false,
            () = tokio::time::sleep(self.pause()) => true,
        }
    }

    fn warn(&self, channel: &str, why: &str) {
        if self.pause.is_none() {
            tracing::warn!(%channel, %why, "the source does not deliver; trying again until it does");
        }
    }
}
