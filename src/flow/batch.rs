//! A batch: jobs by key, in arrival order, with what is held for each.

use std::collections::HashMap;
use std::sync::Arc;

use tokio::sync::oneshot;

use super::context::Context;
use super::decide::{self, Decision, Env, Hurried, Item, KeyWork, Origin, Outcome, Remembered, decide};
use super::held::{Held, Settled};
use super::job::Job;
use super::recent::Recent;
use super::route::Subject;
use crate::event::{Key, MarkId, Partition};
use crate::store::record::Failure;
use crate::store::{Found, FoundKey, KeyLookup, Lookup, Range};

#[derive(Default)]
pub struct Batch {
    keys: Vec<KeyJobs>,
    /// It holds one suspect and nothing else.
    alone: bool,
}

/// What is to be done for one key, or for one event without a key.
struct KeyJobs {
    partition: Partition,
    key: Option<Key>,
    attention: bool,
    suspect: bool,
    hurried: Option<Hurried>,
    /// Parts of its line to read when the key wants attention.
    line: Vec<Range>,
    /// Taken for what a lookup would find, which is then not made; with the bytes that are parked in its partition.
    recalled: Option<(FoundKey, u64)>,
    members: Vec<Member>,
}

struct Member {
    item: Box<Item>,
    /// `None` once settled.
    held: Option<Held>,
    suspect: bool,
    report: Option<oneshot::Sender<Outcome>>,
}

/// What the store found for one of them.
struct FoundGroup<'f> {
    /// `None` without a key.
    key: Option<&'f FoundKey>,
    /// One a member.
    remembered: Vec<Remembered>,
    /// In its partition.
    parked_bytes: u64,
}

#[derive(PartialEq, Eq, Hash)]
enum GroupBy {
    Key(Partition, Key),
    Keyless(MarkId),
}

impl KeyJobs {
    /// Whether its events come from a channel, and nothing speaks for any of them having run before.
    fn is_ordinary(&self) -> bool {
        let ordinary = |member: &Member| !member.suspect && matches!(member.item.origin, Origin::Source);
        !self.attention && !self.suspect && self.members.iter().all(ordinary)
    }

    fn read(&self) -> &[Range] {
        if self.attention { &self.line } else { &[] }
    }
}

impl Batch {
    pub fn new(jobs: Vec<Job>) -> Self {
        let mut batch = Self::default();
        let mut places: HashMap<GroupBy, usize> = HashMap::with_capacity(jobs.len());
        for job in jobs {
            let partition = job.partition();
            let (by, key) = match &job {
                Job::Event { item, .. } => match &item.routed.subject {
                    Subject::Keyed { key, .. } => (GroupBy::Key(partition, key.clone()), Some(key.clone())),
                    Subject::Keyless { .. } => (GroupBy::Keyless(item.routed.mark), None),
                },
                Job::Attention { key, .. } => (GroupBy::Key(partition, key.clone()), Some(key.clone())),
            };
            let place = *places.entry(by).or_insert_with(|| {
                batch.keys.push(KeyJobs {
                    partition,
                    key,
                    attention: false,
                    suspect: false,
                    hurried: None,
                    line: vec![decide::line()],
                    recalled: None,
                    members: Vec::new(),
                });
                batch.keys.len() - 1
            });
            let jobs = &mut batch.keys[place];
            match job {
                Job::Event { item, held, suspect, report } => jobs.members.push(Member { item, held, suspect, report }),
                Job::Attention { suspect, hurried, .. } => {
                    jobs.attention = true;
                    jobs.suspect |= suspect;
                    jobs.hurried = hurried.or(jobs.hurried);
                    jobs.line.extend(hurried.map(|hurried| decide::only(hurried.place)));
                }
            }
        }
        batch
    }

    pub fn is_empty(&self) -> bool {
        self.keys.is_empty()
    }

    pub fn partition(&self, index: usize) -> Partition {
        self.keys[index].partition
    }

    pub fn key(&self, index: usize) -> Option<&Key> {
        self.keys[index].key.as_ref()
    }

    pub fn attention(&self, index: usize) -> bool {
        self.keys[index].attention
    }

    /// Every partition once, in order of first mention.
    pub fn partitions(&self) -> Vec<Partition> {
        partitions(self.keys.iter())
    }

    /// Those of which something is to be looked up.
    pub fn asked(&self) -> Vec<Partition> {
        partitions(self.keys.iter().filter(|jobs| jobs.recalled.is_none()))
    }

    /// In the first round, what was committed last is not looked up again. What came back stale is.
    pub fn recall(&mut self, round: u32, recent: &mut Recent) {
        for jobs in &mut self.keys {
            let key = jobs.key.as_ref().filter(|_| round == 0 && !self.alone && jobs.is_ordinary());
            jobs.recalled = key.and_then(|key| recent.recall(jobs.partition, key));
        }
    }

    /// One lookup a partition. From the second round on, an event is also asked for under its position: it may
    /// be an id conflict that was set aside before.
    pub fn lookups(&self, round: u32) -> Vec<(Partition, Lookup)> {
        let mut lookups: Vec<(Partition, Lookup)> = self.asked().into_iter().map(|p| (p, Lookup::default())).collect();
        for jobs in self.keys.iter().filter(|jobs| jobs.recalled.is_none()) {
            let Some((_, lookup)) = lookups.iter_mut().find(|(partition, _)| *partition == jobs.partition) else {
                continue;
            };
            for member in &jobs.members {
                if let Origin::Replay { id, .. } = &member.item.origin {
                    lookup.dead.push(*id);
                }
                lookup.marks.push(member.item.routed.mark);
                if round > 0 {
                    lookup.marks.push(MarkId::of_position(&member.item.routed.raw.position));
                }
            }
            if let Some(key) = &jobs.key {
                lookup.keys.push(KeyLookup { key: key.clone(), line: jobs.read().to_vec() });
            }
        }
        lookups
    }

    /// What the store found, by key group.
    fn found<'f>(&'f self, found: &'f [Found], round: u32) -> Vec<FoundGroup<'f>> {
        let partitions = self.asked();
        // Next unread (mark, key, dead letter) of each partition's answer: the lookup asked in this very order.
        let mut next = vec![(0, 0, 0); partitions.len()];
        self.keys
            .iter()
            .map(|jobs| {
                if let Some((key, parked_bytes)) = &jobs.recalled {
                    let remembered = jobs.members.iter().map(|_| Remembered::default()).collect();
                    return FoundGroup { key: Some(key), remembered, parked_bytes: *parked_bytes };
                }
                let at =
                    partitions.iter().position(|p| *p == jobs.partition).expect("every group's partition is listed");
                let (marks, keys, dead) = &mut next[at];
                let mut take = || {
                    *marks += 1;
                    found[at].marks.get(*marks - 1).copied().flatten()
                };
                let remembered = jobs
                    .members
                    .iter()
                    .map(|member| {
                        let overtaken = match &member.item.origin {
                            Origin::Source => false,
                            Origin::Replay { generation, .. } => {
                                *dead += 1;
                                let letter = found[at].dead.get(*dead - 1).and_then(Option::as_ref);
                                !letter.is_some_and(|letter| letter.open && letter.generation == *generation)
                            }
                        };
                        Remembered { event: take(), position: if round > 0 { take() } else { None }, overtaken }
                    })
                    .collect();
                let key = jobs.key.as_ref().and_then(|_| {
                    *keys += 1;
                    found[at].keys.get(*keys - 1)
                });
                FoundGroup { key, remembered, parked_bytes: found[at].parked_bytes }
            })
            .collect()
    }

    /// Suspects that the store remembers are no suspects.
    pub fn clear_remembered_suspects(&mut self, found: &[Found]) {
        let remembered: Vec<Vec<Remembered>> = self.found(found, 0).into_iter().map(|group| group.remembered).collect();
        for (jobs, remembered) in self.keys.iter_mut().zip(remembered) {
            for (member, remembered) in jobs.members.iter_mut().zip(remembered) {
                member.suspect &= remembered.event.is_none();
            }
        }
    }

    /// A suspect runs alone: of what is parked only the next.
    pub fn alone(&mut self) {
        self.alone = true;
    }

    /// The event that a batch of one suspect would begin with, as far as is known.
    pub fn about_to_run_alone(&self, env: &Env<'_>, found: &[Found], round: u32) -> Option<(Partition, MarkId)> {
        let jobs = self.keys.first().filter(|_| self.alone)?;
        let untouched = FoundKey::default();
        let work = self.work(jobs, self.found(found, round).into_iter().next()?, &untouched);
        Some((jobs.partition, decide::first(env, &work)?))
    }

    fn work<'b>(&self, jobs: &'b KeyJobs, found: FoundGroup<'b>, untouched: &'b FoundKey) -> KeyWork<'b> {
        KeyWork {
            read: jobs.read(),
            parked_bytes: found.parked_bytes,
            attention: jobs.attention,
            alone: self.alone,
            hurried: jobs.hurried,
            items: jobs.members.iter().map(|member| &*member.item).zip(found.remembered).collect(),
            ..KeyWork::of(jobs.key.as_ref(), found.key.unwrap_or(untouched))
        }
    }

    /// Back to jobs, keys in order of first mention, each key's events in arrival order.
    pub fn into_jobs(self) -> Vec<Job> {
        let mut out = Vec::new();
        for jobs in self.keys {
            if let (true, Some(key)) = (jobs.attention, &jobs.key) {
                out.push(Job::Attention {
                    partition: jobs.partition,
                    key: key.clone(),
                    suspect: jobs.suspect,
                    hurried: jobs.hurried,
                });
            }
            for Member { item, held, suspect, report } in jobs.members {
                out.push(Job::Event { item, held, suspect, report });
            }
        }
        out
    }

    /// Counts an item's outcome, once; what is returned is acked when its emissions are confirmed.
    pub fn settle(&mut self, index: usize, item: usize, outcome: Outcome) -> Option<Settled> {
        let member = &mut self.keys[index].members[item];
        if let Some(report) = member.report.take() {
            // Whoever asked may have gone.
            let _ = report.send(outcome);
        }
        let subscription = match &member.item.routed.subject {
            Subject::Keyed { subscription, .. } => subscription.as_ref().map(|taken| taken.event.as_str()),
            Subject::Keyless { .. } => None,
        };
        member.held.take().map(|held| held.settle(subscription, outcome))
    }

    /// What is left for the next round. `through(index)` is the decision that was committed for a key group: it keeps
    /// only what had no outcome, and its attention while it asks for more of its line; `None` keeps the group whole.
    pub fn left<'d>(mut self, mut through: impl FnMut(usize) -> Option<&'d Decision>) -> Self {
        let mut index = 0;
        self.keys.retain_mut(|jobs| {
            index += 1;
            let Some(decision) = through(index - 1) else { return true };
            jobs.members.drain(..decision.outcomes.len());
            jobs.attention = decision.again.is_some();
            jobs.hurried = jobs.hurried.filter(|_| !decision.hurried);
            if let Some(line) = &decision.again {
                jobs.line.clone_from(line);
                jobs.line.extend(jobs.hurried.map(|hurried| decide::only(hurried.place)));
            }
            jobs.attention || !jobs.members.is_empty()
        });
        self
    }

    /// Mutant: acks everything in hand.
    pub fn ack_all(&mut self) {
        for member in self.keys.iter_mut().flat_map(|jobs| &mut jobs.members) {
            if let Some(held) = member.held.take() {
                held.settle(None, Outcome::Done).ack();
            }
        }
    }
}

fn partitions<'j>(keys: impl Iterator<Item = &'j KeyJobs>) -> Vec<Partition> {
    let mut partitions = Vec::new();
    for jobs in keys {
        if !partitions.contains(&jobs.partition) {
            partitions.push(jobs.partition);
        }
    }
    partitions
}

/// A batch on its way to a script thread.
pub struct Deciding {
    pub context: Arc<Context>,
    pub batch: Batch,
    pub found: Vec<Found>,
    pub round: u32,
    pub forced: Option<(MarkId, Failure)>,
}

impl Deciding {
    pub fn run(self) -> (Batch, Vec<Decision>) {
        let context = &self.context;
        let envelope = |channel: &str| context.envelope(channel);
        let env = context.env(&envelope);
        let untouched = FoundKey::default();
        let decisions = self
            .batch
            .found(&self.found, self.round)
            .into_iter()
            .zip(&self.batch.keys)
            .map(|(found, jobs)| {
                let work = self.batch.work(jobs, found, &untouched);
                decide(&env, &KeyWork { forced: self.forced.as_ref(), ..work })
            })
            .collect();
        (self.batch, decisions)
    }
}
