//! Batches: one lookup, one decision, one commit round trip, whatever waits.
//!
//! A worker owns some partitions; no other task of this process writes to them. It keeps what it holds until the
//! outcome is committed: when the store does not answer it waits, probes and runs the batch again. Nobody knows
//! whether an unanswered commit happened, and nobody needs to: the conditions tell when it is run again.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use tokio::sync::{mpsc, oneshot, watch};
use tokio::time::Instant;

use super::batch::{Batch, Deciding};
use super::confirmed::Confirmed;
use super::context::Context;
use super::decide::{Decision, Outcome};
use super::job::Job;
use super::outbox::Message;
use super::recent::Recent;
use super::tenure::Tenure;
use super::timers::Timers;
use crate::event::{MarkId, Millis, Partition};
use crate::mutant::{self, Mutant};
use crate::store::record::{Class, Failure};
use crate::store::{Commit, Committed, Found, Nonce, StoreError, Verdict, WriterId};

/// Most events and payload bytes in a batch.
pub const BATCH_EVENTS: usize = 256;
const BATCH_BYTES: usize = 4 << 20;
/// A commit to one partition takes no further key once it holds this many bytes.
const COMMIT_BYTES: usize = 8 << 20;
/// How long confirmed entries may stand in the outbox when nothing else is committed.
const CLEAR_AFTER: Duration = Duration::from_millis(500);
const PROBE_FIRST: Duration = Duration::from_millis(50);
const PROBE_MAX: Duration = Duration::from_secs(1);
/// Runners that may start an event and never see it return before it is set aside.
const STARTS: u32 = 3;

/// Why a worker stopped before its input ended.
#[derive(Debug, thiserror::Error)]
pub enum Fatal {
    /// The store may have lost its tail: recover before anything else is handled.
    #[error("{0}")]
    Recover(StoreError),
    /// Another runner may be active: what is in hand is its to handle.
    #[error("the lease is over")]
    Deposed,
    #[error("{0}")]
    Broken(String),
}

pub struct Worker {
    pub(super) context: Arc<Context>,
    outbox: mpsc::Sender<Message>,
    confirmed: Arc<Confirmed>,
    timers: Arc<Timers>,
    /// Whether the store answers; sources stop pulling while it does not.
    store_up: Arc<watch::Sender<bool>>,
    tenure: Tenure,
    partitions: Vec<Partition>,
    writer: WriterId,
    /// Acknowledged commits of this writer.
    pub(super) numbers: HashMap<Partition, u64>,
    recent: Recent,
}

impl Worker {
    pub fn new(
        context: Arc<Context>,
        partitions: Vec<Partition>,
        outbox: mpsc::Sender<Message>,
        confirmed: Arc<Confirmed>,
        timers: Arc<Timers>,
        store_up: Arc<watch::Sender<bool>>,
        tenure: Tenure,
    ) -> Self {
        let writer = WriterId(context.entropy.fresh());
        let recent = Recent::new(partitions.len(), context.pipeline.partitions);
        let numbers = HashMap::new();
        Self { context, outbox, confirmed, timers, store_up, tenure, partitions, writer, numbers, recent }
    }

    /// Works until the input is closed and empty.
    pub async fn run(mut self, mut jobs: mpsc::Receiver<Job>) -> Result<(), Fatal> {
        let mut cleared = Instant::now();
        loop {
            // Also under traffic: a quiet partition must not owe for hours what was confirmed long ago.
            if cleared.elapsed() >= CLEAR_AFTER {
                self.clear().await?;
                cleared = Instant::now();
            }
            let first = tokio::select! {
                biased;
                job = jobs.recv() => match job {
                    Some(job) => job,
                    None => return Ok(()),
                },
                () = tokio::time::sleep(CLEAR_AFTER) => continue,
            };
            let mut weight = first.weight();
            let mut batch = VecDeque::from([first]);
            while batch.len() < BATCH_EVENTS && weight < BATCH_BYTES {
                let Ok(job) = jobs.try_recv() else { break };
                weight += job.weight();
                batch.push_back(job);
            }
            self.process(batch).await?;
        }
    }

    /// Brings every job of a batch to its outcome, in order.
    async fn process(&mut self, mut jobs: VecDeque<Job>) -> Result<(), Fatal> {
        if jobs.iter().any(Job::suspect) {
            self.sift(&mut jobs).await?;
        }
        while let Some(first) = jobs.pop_front() {
            if first.suspect() {
                let mut alone = Batch::new(vec![first]);
                alone.alone();
                self.settle(alone).await?;
                continue;
            }
            let mut together = vec![first];
            while jobs.front().is_some_and(|job| !job.suspect()) {
                together.extend(jobs.pop_front());
            }
            self.settle(Batch::new(together)).await?;
        }
        Ok(())
    }

    /// Suspects that are already remembered never ran unfinished: they need no start mark.
    async fn sift(&mut self, jobs: &mut VecDeque<Job>) -> Result<(), Fatal> {
        let mut batch = Batch::new(std::mem::take(jobs).into());
        let found = self.lookup(&batch, 0).await?;
        batch.clear_remembered_suspects(&found);
        *jobs = batch.into_jobs().into();
        Ok(())
    }

    async fn settle(&mut self, mut batch: Batch) -> Result<(), Fatal> {
        let (mut round, mut refusals) = (0_u32, 0_u32);
        while !batch.is_empty() {
            match self.attempt(batch, round).await? {
                Attempt::Settled(stale) => {
                    self.answered();
                    batch = stale;
                }
                Attempt::Unavailable(whole, error) => {
                    self.recent.forget_all();
                    // A store that answers probes but refuses this very commit must not be hammered.
                    tokio::time::sleep(PROBE_FIRST.saturating_mul(refusals).min(PROBE_MAX)).await;
                    refusals = refusals.saturating_mul(2).max(1);
                    self.wait_for_store(error).await?;
                    self.resynchronize(&whole).await?;
                    batch = whole;
                }
            }
            round = round.saturating_add(1);
        }
        Ok(())
    }

    /// One round: look up, decide, commit. What was stale comes back to be run again.
    async fn attempt(&mut self, mut batch: Batch, round: u32) -> Result<Attempt, Fatal> {
        batch.recall(round, &mut self.recent);
        let lookups = batch.lookups(round);
        let found = if lookups.is_empty() { Ok(Vec::new()) } else { self.context.store.lookup(lookups).await };
        let found = match found {
            Ok(found) => found,
            Err(error) => return Ok(Attempt::Unavailable(batch, error)),
        };
        for (partition, found) in batch.asked().into_iter().zip(&found) {
            self.recent.parked(partition, found.parked_bytes);
        }
        if !self.tenure.holds(&*self.context.clock) {
            return Err(Fatal::Deposed);
        }
        let started = match self.start_mark(&batch, &found, round).await {
            Ok(started) => started,
            Err(error) => return Ok(Attempt::Unavailable(batch, error)),
        };
        let forced = started.as_ref().and_then(Started::verdict);
        let deciding = Deciding { context: Arc::clone(&self.context), batch, found, round, forced };
        let decided = self.context.scripts.run(move || deciding.run()).await;
        let (batch, decisions) = decided.map_err(|lost| Fatal::Broken(lost.to_string()))?;
        if let Some(started) = started {
            // The script returned: it did not kill us. Said before the commit, so that a crash between the two
            // does not count against the event.
            if let Err(error) = self.context.store.returned(vec![(started.partition, started.mark)]).await {
                return Ok(Attempt::Unavailable(batch, error));
            }
        }
        let mut batch = batch;
        if mutant::on(Mutant::AckBeforeCommit) {
            batch.ack_all();
        }
        self.commit(batch, decisions).await
    }

    /// Before a suspect runs, alone: a durable note that this runner starts it.
    async fn start_mark(&self, batch: &Batch, found: &[Found], round: u32) -> Result<Option<Started>, StoreError> {
        let about_to_run = {
            let envelope = |channel: &str| self.context.envelope(channel);
            batch.about_to_run_alone(&self.context.env(&envelope), found, round)
        };
        let Some((partition, mark)) = about_to_run else { return Ok(None) };
        let starts = self.context.store.start(partition, mark, self.context.runner).await?;
        Ok(Some(Started { partition, mark, starts }))
    }

    async fn commit(&mut self, mut batch: Batch, mut decisions: Vec<Decision>) -> Result<Attempt, Fatal> {
        let mut commits: Vec<Commit> = Vec::new();
        // Which key groups of the batch each commit holds, in the order of its groups.
        let mut members: Vec<Vec<usize>> = Vec::new();
        let mut weights: Vec<usize> = Vec::new();
        let mut verdicts: Vec<Option<Verdict>> = vec![Some(Verdict::Committed); decisions.len()];
        let mut records: Vec<Option<(Nonce, Bytes)>> = vec![None; decisions.len()];
        for (index, decision) in decisions.iter_mut().enumerate() {
            let Some(group) = decision.group.take() else { continue };
            records[index] = group.touch.as_ref().map(|touch| (touch.new, touch.record.clone()));
            verdicts[index] = None;
            let partition = batch.partition(index);
            let at = commits.iter().position(|commit| commit.partition == partition).unwrap_or_else(|| {
                commits.push(self.commit_to(partition));
                members.push(Vec::new());
                weights.push(0);
                commits.len() - 1
            });
            if weights[at] > COMMIT_BYTES {
                // Decided again in the next round, on what is committed then.
                verdicts[index] = Some(Verdict::Stale);
                continue;
            }
            weights[at] += decision.bytes;
            commits[at].groups.push(group);
            members[at].push(index);
        }
        #[cfg(test)]
        let marks_after = self.break_apart(&mut commits).await?;
        let cleared: Vec<(Partition, Vec<u64>)> =
            commits.iter().map(|commit| (commit.partition, commit.cleared.clone())).collect();
        let answers = if commits.is_empty() { Vec::new() } else { self.context.store.commit(commits).await };
        let mut trouble = None;
        for ((answer, (partition, cleared)), members) in answers.into_iter().zip(cleared).zip(members) {
            match answer {
                Ok(committed) => {
                    *self.numbers.entry(partition).or_default() += 1;
                    self.confirmed.forget(partition, &cleared);
                    self.recent.parked(partition, committed.parked_bytes);
                    for (member, verdict) in members.iter().zip(&committed.verdicts) {
                        verdicts[*member] = Some(*verdict);
                    }
                    self.hand_over(&mut batch, &mut decisions, partition, &committed, &members).await?;
                }
                // A lost tail outweighs an answer that did not come.
                Err(error) if !matches!(trouble, Some(StoreError::TailLost(_))) => trouble = Some(error),
                Err(_) => {}
            }
        }
        #[cfg(test)]
        self.commit_marks(marks_after).await?;
        let now = self.context.clock.now();
        let (mut events, mut duplicates) = (0, 0);
        for (index, (decision, record)) in decisions.iter().zip(records).enumerate() {
            match (batch.key(index), verdicts[index], record) {
                (Some(key), Some(Verdict::Committed), Some((nonce, record))) => {
                    self.recent.keep(key.clone(), nonce, record);
                }
                (Some(key), Some(Verdict::Stale), _) => self.recent.forget(key),
                _ => {}
            }
            if verdicts[index] == Some(Verdict::Committed) {
                events += decision.outcomes.len();
                duplicates += decision.outcomes.iter().filter(|outcome| **outcome == Outcome::Duplicate).count();
                self.settled(&mut batch, index, decision, now).await?;
            }
        }
        self.recent.settled(events, duplicates);
        let rest = batch.left(|index| decisions.get(index).filter(|_| verdicts[index] == Some(Verdict::Committed)));
        Ok(match trouble {
            Some(error) => Attempt::Unavailable(rest, error),
            None => Attempt::Settled(rest),
        })
    }

    /// Gives the emissions of one partition's commit to the outbox, with the deliveries that wait for them.
    async fn hand_over(
        &mut self,
        batch: &mut Batch,
        decisions: &mut [Decision],
        partition: Partition,
        committed: &Committed,
        members: &[usize],
    ) -> Result<(), Fatal> {
        let (mut entries, mut owners) = (Vec::new(), Vec::new());
        for (member, verdict) in members.iter().zip(&committed.verdicts) {
            if *verdict != Verdict::Committed {
                continue;
            }
            let decision = &mut decisions[*member];
            // What one event emits stands together.
            let mut waiting: Option<(usize, usize)> = None;
            for emission in std::mem::take(&mut decision.emissions) {
                let owner = emission.owner.and_then(|item| match waiting {
                    Some((waits, owner)) if waits == item => Some(owner),
                    _ => {
                        owners.push(batch.settle(*member, item, decision.outcomes[item])?);
                        waiting = Some((item, owners.len() - 1));
                        Some(owners.len() - 1)
                    }
                });
                entries.push((emission.entry, owner));
            }
        }
        if entries.is_empty() {
            return Ok(());
        }
        self.tell_outbox(Message::Committed { partition, before: committed.outbox_before, entries, owners }).await
    }

    /// Acks what emitted nothing, and sets the key's timer.
    async fn settled(
        &mut self,
        batch: &mut Batch,
        index: usize,
        decision: &Decision,
        now: Millis,
    ) -> Result<(), Fatal> {
        let partition = batch.partition(index);
        let key = batch.key(index).cloned();
        for (item, outcome) in decision.outcomes.iter().enumerate() {
            let Some(settled) = batch.settle(index, item, *outcome) else { continue };
            match &key {
                Some(key) if *outcome == Outcome::Duplicate => {
                    let order_key = key.as_str().to_owned();
                    self.tell_outbox(Message::Owed { partition, order_key, settled }).await?;
                }
                _ => settled.ack(),
            }
        }
        for outcome in &decision.unparked {
            self.context.tally.unpark(*outcome);
        }
        decision.story.iter().for_each(|told| self.context.tell(told));
        // A line that moves on keeps its key at work, here, until it is empty or its head waits.
        if let (Some(key), None) = (&key, &decision.again) {
            if batch.attention(index) {
                self.timers.done(partition, key);
            }
            self.timers.set(partition, key, decision.timer, now);
        }
        Ok(())
    }

    async fn tell_outbox(&self, message: Message) -> Result<(), Fatal> {
        self.outbox.send(message).await.map_err(|_| Fatal::Broken("the outbox stopped".to_owned()))
    }

    pub(super) fn commit_to(&self, partition: Partition) -> Commit {
        Commit {
            partition,
            writer: self.writer,
            expected_number: self.numbers.get(&partition).copied().unwrap_or(0),
            now: self.context.clock.now(),
            groups: Vec::new(),
            cleared: self.confirmed.of(partition),
            returned: Vec::new(),
        }
    }

    /// Clears what is confirmed in this worker's partitions.
    pub async fn clear(&mut self) -> Result<(), Fatal> {
        let owed = self.confirmed.partitions();
        let commits: Vec<Commit> =
            self.partitions.iter().filter(|p| owed.contains(p)).map(|p| self.commit_to(*p)).collect();
        if commits.is_empty() {
            return Ok(());
        }
        let cleared: Vec<(Partition, Vec<u64>)> = commits.iter().map(|c| (c.partition, c.cleared.clone())).collect();
        for (answer, (partition, cleared)) in self.context.store.commit(commits).await.into_iter().zip(cleared) {
            match answer {
                Ok(_) => {
                    self.answered();
                    *self.numbers.entry(partition).or_default() += 1;
                    self.confirmed.forget(partition, &cleared);
                }
                // The list stays, and clearing twice is clearing once.
                Err(error) => {
                    self.wait_for_store(error).await?;
                    self.writer = WriterId(self.context.entropy.fresh());
                    self.numbers.clear();
                    return Ok(());
                }
            }
        }
        Ok(())
    }

    async fn lookup(&mut self, batch: &Batch, round: u32) -> Result<Vec<Found>, Fatal> {
        loop {
            match self.context.store.lookup(batch.lookups(round)).await {
                Ok(found) => return Ok(found),
                Err(error) => self.wait_for_store(error).await?,
            }
        }
    }

    /// Waits until the store answers again. What is held stays held; nothing counts as an attempt.
    async fn wait_for_store(&mut self, error: StoreError) -> Result<(), Fatal> {
        let mut error = error;
        let mut pause = PROBE_FIRST;
        loop {
            match &error {
                StoreError::TailLost(_) => return Err(Fatal::Recover(error)),
                StoreError::Unavailable(why) | StoreError::Refused(why) => {
                    if self.store_up.send_if_modified(|up| std::mem::replace(up, false)) {
                        tracing::error!(pipeline = %self.context.pipeline.name, %why, "the store does not take commits; holding what is in hand until it does");
                    }
                }
            }
            tokio::time::sleep(pause).await;
            pause = (pause * 2).min(PROBE_MAX);
            match self.context.store.probe().await {
                Ok(()) => break,
                Err(again) => error = again,
            }
        }
        Ok(())
    }

    /// The store took a batch: pulling may go on.
    fn answered(&self) {
        if self.store_up.send_if_modified(|up| !std::mem::replace(up, true)) {
            tracing::info!(pipeline = %self.context.pipeline.name, "the store takes commits again");
        }
    }

    /// After an unanswered commit: write under a new name, and learn what the lost answers would have told.
    async fn resynchronize(&mut self, batch: &Batch) -> Result<(), Fatal> {
        self.writer = WriterId(self.context.entropy.fresh());
        self.numbers.clear();
        for partition in batch.partitions() {
            let (done, told) = oneshot::channel();
            self.tell_outbox(Message::Reload { partition, done }).await?;
            told.await.map_err(|_| Fatal::Broken("the outbox stopped".to_owned()))?;
        }
        Ok(())
    }
}

/// A suspect at work.
struct Started {
    partition: Partition,
    mark: MarkId,
    /// Runners that started it, this one included, and never saw it return.
    starts: u32,
}

impl Started {
    /// Three starts without a return mean that it kills whoever runs it: it must not run.
    fn verdict(&self) -> Option<(MarkId, Failure)> {
        (self.starts > STARTS).then(|| (self.mark, crash_suspect(self.starts - 1)))
    }
}

enum Attempt {
    /// What must be run again.
    Settled(Batch),
    /// What has no outcome yet, and why.
    Unavailable(Batch, StoreError),
}

fn crash_suspect(starts: u32) -> Failure {
    let message = format!("handling it was started by {starts} runners and none of them came back");
    Failure { class: Class::CrashSuspect, ..Failure::permanent("crash_suspect", message) }
}
