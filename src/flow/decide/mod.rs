//! The decision: (events of one key, snapshot of that key, program) → one atomic group of writes.
//!
//! Pure. Time, nonces and jitter come in; nothing goes out but the [`Decision`]. Everything a batch does to one
//! key is committed as a whole or not at all, so event *n+1* may build on what event *n* left behind.

mod lanes;
mod order;
mod pages;
mod person;
mod release;
mod turn;
mod versions;
mod writes;

use super::dead;
use super::emit::Destinations;
use super::handle::{Handled, Run};
use super::retry;
use super::route::{Routed, Subject};
use super::story::Told;
use crate::clock::Entropy;
use crate::event::{ContentDigest, Key, MarkId, Millis};
use crate::mutant::{self, Mutant};
use crate::spec::program::{Envelope, OnFailure, Pipeline};
use crate::store::record::{Class, DeadRecord, Failure, KeyRecord, OutboxBody, Wait};
use crate::store::{FoundKey, Group, Mark, MarkStatus, Range};
use pages::Pages;
use release::Next;
use turn::{Entry, Runnable, Turn, Way};

pub use lanes::{ahead_of, each, line, only};
pub use person::{Hurried, discard, discard_letter};
pub use versions::LOOK_AGAIN;

/// How one delivery ended. `Ignored` and `Returned` never reach a decision.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Outcome {
    Done,
    /// Filtered by `where`, or the handler said `skip`.
    Skipped,
    Duplicate,
    Parked,
    Dead,
    /// No subscription for its type; acked without a write.
    Ignored,
    /// Handed back at shutdown, or when the store lost its tail.
    Returned,
}

/// Where an event comes from, which decides what must still be true when it commits.
#[derive(Debug)]
pub enum Origin {
    /// A channel, by delivery or by recovery: it must not be remembered.
    Source,
    /// A dead letter: its record must be open at this generation.
    Replay { id: MarkId, generation: u64, record: Box<DeadRecord> },
}

/// An event to be decided on.
#[derive(Debug)]
pub struct Item {
    pub origin: Origin,
    pub routed: Routed,
}

/// What the store remembers of an item.
#[derive(Clone, Copy, Debug, Default)]
pub struct Remembered {
    pub event: Option<Mark>,
    /// Under its position: an id conflict that was dead-lettered before. Asked from the second round on.
    pub position: Option<Mark>,
    /// A replay whose record is no longer open at the generation it names: somebody was faster.
    pub overtaken: bool,
}

/// All that a batch holds for one key, in arrival order. Without a key there is exactly one item.
pub struct KeyWork<'a> {
    pub key: Option<&'a Key>,
    pub found: &'a FoundKey,
    /// The parts of its line that were read.
    pub read: &'a [Range],
    /// Bytes that are parked in its partition.
    pub parked_bytes: u64,
    /// Its timer fired, or the last decision asked for more: see whether parked events are due.
    pub attention: bool,
    /// Of what is due one event runs, and no more.
    pub alone: bool,
    /// Looked at beyond that: a person will not wait for its time.
    pub hurried: Option<Hurried>,
    pub items: Vec<(&'a Item, Remembered)>,
    /// An event that must not run, and why (it killed the process before).
    pub forced: Option<&'a (MarkId, Failure)>,
}

impl<'a> KeyWork<'a> {
    /// Nothing but the key as it was found.
    pub fn of(key: Option<&'a Key>, found: &'a FoundKey) -> Self {
        Self {
            key,
            found,
            read: &[],
            parked_bytes: 0,
            attention: false,
            alone: false,
            hurried: None,
            items: Vec::new(),
            forced: None,
        }
    }
}

/// What surrounds a decision.
pub struct Env<'a> {
    pub pipeline: &'a Pipeline,
    pub destinations: &'a Destinations,
    pub revision: &'a str,
    pub envelope: &'a (dyn Fn(&str) -> Envelope + Sync),
    pub now: Millis,
    pub entropy: &'a dyn Entropy,
    /// Somebody wants to be told each outcome.
    pub watched: bool,
}

/// An emission in the order of the group's [`Write::Emit`]s.
#[derive(Debug)]
pub struct Emission {
    /// Index of the item that must not be acked before this is confirmed; `None` for a released event.
    pub owner: Option<usize>,
    pub entry: OutboxBody,
}

#[derive(Debug, Default)]
pub struct Decision {
    /// `None`: nothing to write (duplicates only).
    pub group: Option<Group>,
    /// One per item, in order; the items without one wait for the next round.
    pub outcomes: Vec<Outcome>,
    /// The event that a person asked for had its run.
    pub hurried: bool,
    /// Parked events come first: what to read of the key's line for the next round, before any further item.
    pub again: Option<Vec<Range>>,
    /// Events that left the park, and how.
    pub unparked: Vec<Outcome>,
    /// What is to be told of it once it is committed; only when it is watched.
    pub story: Vec<Told>,
    pub emissions: Vec<Emission>,
    /// When this key next needs attention.
    pub timer: Option<Millis>,
    /// About what the group's writes weigh in a commit.
    pub bytes: usize,
}

/// Once a group holds this many bytes the rest of the key's items wait for the next round.
const GROUP_BYTES: usize = 4 << 20;

pub fn decide(env: &Env<'_>, work: &KeyWork<'_>) -> Decision {
    let draft = KeyRecord::decode(&work.found.record).and_then(|record| {
        let mut draft = Draft::new(env, work, Some(record));
        if work.attention {
            draft.release()?;
        }
        Ok(draft)
    });
    let mut draft = draft.unwrap_or_else(|unreadable| {
        tracing::error!(pipeline = %env.pipeline.name, %unreadable, "events of one key are set aside");
        let mut draft = Draft::new(env, work, None);
        draft.unreadable = Some(Failure::permanent("unreadable_record", unreadable.to_string()));
        draft
    });
    for (index, (item, remembered)) in work.items.iter().enumerate() {
        if draft.decision.again.is_some() || draft.bytes > GROUP_BYTES {
            break;
        }
        // Those whose turn it is go before whatever arrives later.
        let due = draft.due_lanes();
        if !due.is_empty() && !mutant::on(Mutant::ArrivalsFirst) {
            draft.decision.again = Some(due.iter().map(lanes::Lane::page).collect());
            break;
        }
        let outcome = draft.arrive(index, item, *remembered);
        draft.decision.outcomes.push(outcome);
    }
    draft.finish()
}

/// The event that [`decide`] would begin with, if that is known from what was read.
pub fn first(env: &Env<'_>, work: &KeyWork<'_>) -> Option<MarkId> {
    let record = KeyRecord::decode(&work.found.record).ok()?;
    let mut draft = Draft::new(env, work, Some(record));
    if work.attention {
        match draft.next().ok()? {
            Next::Run(waiting, _) => return Some(waiting.parked.mark),
            Next::Read(_) => return None,
            Next::Rest => {}
        }
    }
    let (item, remembered) = work.items.first()?;
    (remembered.event.is_none() && draft.due_lanes().is_empty()).then_some(item.routed.mark)
}

struct Draft<'a> {
    env: &'a Env<'a>,
    work: &'a KeyWork<'a>,
    record: KeyRecord,
    /// The key's record cannot be read: it stays as it is, and its events are set aside.
    unreadable: Option<Failure>,
    group: Group,
    pages: Pages<'a>,
    /// What happened until then is let go.
    let_go: Option<i64>,
    /// Something blocks the key from here on.
    stopped: bool,
    /// Bytes of what the group parks, sets aside and emits.
    bytes: usize,
    /// Those of them that are parked.
    parked_bytes: u64,
    /// Events of this batch that will be remembered when it commits.
    seen: Vec<(MarkId, ContentDigest)>,
    decision: Decision,
}

impl<'a> Draft<'a> {
    fn new(env: &'a Env<'a>, work: &'a KeyWork<'a>, record: Option<KeyRecord>) -> Self {
        let mut record = record.unwrap_or_default();
        if env.pipeline.on_failure == OnFailure::Continue {
            // Blocked under another program.
            record.book.blocked_by = None;
        }
        Self {
            env,
            work,
            record,
            unreadable: None,
            group: Group::default(),
            pages: Pages::new(work.read, &work.found.parked),
            let_go: None,
            stopped: false,
            bytes: 0,
            parked_bytes: 0,
            seen: Vec::new(),
            decision: Decision::default(),
        }
    }

    fn arrive(&mut self, index: usize, item: &Item, remembered: Remembered) -> Outcome {
        let routed = &item.routed;
        let mut turn = Turn {
            mark: routed.mark,
            content: routed.content,
            raw: &routed.raw,
            subject: self.subject(routed, routed.mark),
            entry: Entry::Arrival,
            attempts: 0,
            owner: Some(index),
        };
        if let Origin::Replay { id, generation, record } = &item.origin {
            if remembered.overtaken {
                return Outcome::Duplicate;
            }
            turn.mark = *id;
            turn.entry = Entry::Replay { generation: *generation, record };
            return self.take_turn(turn);
        }
        if remembered.position.is_some() {
            return Outcome::Duplicate;
        }
        let known = match remembered.event {
            Some(Mark::Finished { content, .. } | Mark::Parked { content }) => Some(content),
            None if mutant::on(Mutant::NoBatchDedupe) => None,
            None => self.seen_here(&routed.mark),
        };
        match known {
            Some(content) if content == routed.content => {
                self.tell(&turn, Outcome::Duplicate, || "it was seen before".to_owned());
                return Outcome::Duplicate;
            }
            Some(_) => return self.conflict(turn),
            None => {}
        }
        let retain = self.env.pipeline.retain;
        if self.env.now.since(routed.raw.stored_at) > retain && turn.subject.runs() {
            let message = format!(
                "the event is older than `idempotency.retain` ({}s), so whether it was handled is no longer known",
                retain.as_secs()
            );
            turn.subject = Runnable::SetAside(turn.subject.event(), Failure::permanent("beyond_retain", message));
        }
        self.take_turn(turn)
    }

    fn seen_here(&self, mark: &MarkId) -> Option<ContentDigest> {
        self.seen.iter().rev().find(|(seen, _)| seen == mark).map(|(_, content)| *content)
    }

    fn take_turn(&mut self, turn: Turn<'_>) -> Outcome {
        if turn.subject.runs()
            && let Some(outcome) = self.in_order(&turn)
        {
            return outcome;
        }
        self.turn(turn)
    }

    /// What there is to run, or why it must not.
    fn subject<'r>(&self, routed: &'r Routed, mark: MarkId) -> Runnable<'r> {
        if let (Subject::Keyed { event, .. }, Some(unreadable)) = (&routed.subject, &self.unreadable) {
            return Runnable::SetAside(Some(event), unreadable.clone());
        }
        match (&routed.subject, self.work.forced) {
            (Subject::Keyless { event, failure }, _) => Runnable::SetAside(event.as_deref(), failure.clone()),
            (Subject::Keyed { event, .. }, Some((forced, failure))) if *forced == mark => {
                Runnable::SetAside(Some(event), failure.clone())
            }
            (Subject::Keyed { event, subscription: Some(subscription), .. }, _) => Runnable::Run(event, subscription),
            (Subject::Keyed { event, subscription: None, .. }, _) => Runnable::Count(event),
        }
    }

    fn tell(&mut self, turn: &Turn<'_>, outcome: Outcome, what: impl FnOnce() -> String) {
        if !self.env.watched {
            return;
        }
        let upcast = match &turn.subject {
            Runnable::Run(event, subscription) => Some(subscription.newest).filter(|newest| *newest != event.version),
            Runnable::Count(_) | Runnable::SetAside(..) => None,
        };
        let told = Told {
            outcome,
            released: matches!(turn.entry, Entry::Release { .. }),
            event: turn.subject.event().map(dead::head),
            upcast,
            key: self.work.key.map(ToString::to_string),
            place: turn.raw.position.to_string(),
            what: what(),
        };
        self.decision.story.push(told);
    }

    /// The same identity with other content: a dead letter of its own, remembered by its position.
    fn conflict(&mut self, mut turn: Turn<'_>) -> Outcome {
        let message = "an event with the same id, source and key but another type, version or data was seen before";
        turn.subject = Runnable::SetAside(turn.subject.event(), Failure::permanent("id_conflict", message));
        turn.mark = MarkId::of_position(&turn.raw.position);
        if self.seen_here(&turn.mark).is_some() {
            return Outcome::Duplicate;
        }
        self.turn(turn)
    }

    fn turn(&mut self, turn: Turn<'_>) -> Outcome {
        if let Some(outcome) = self.wait_for_version(&turn) {
            return outcome;
        }
        let handled = match (&turn.subject, self.work.key) {
            (Runnable::SetAside(_, failure), _) => Handled::Failed(failure.clone()),
            (Runnable::Count(_), _) => Handled::Skipped(Some("no subscription takes it; its number counts".to_owned())),
            (Runnable::Run(event, subscription), Some(key)) => {
                let run = Run {
                    pipeline: self.env.pipeline,
                    destinations: self.env.destinations,
                    key,
                    mark: turn.mark,
                    state: self.record.state.as_ref(),
                    attempt: turn.attempts + 1,
                };
                run.handle(turn.raw, event, subscription)
            }
            (Runnable::Run(..), None) => Handled::Failed(Failure::permanent("no_key", "the event has no key")),
        };
        let attempts = turn.attempts + u32::from(matches!(turn.subject, Runnable::Run(..)));
        let policy = &self.env.pipeline.retry;
        match handled {
            Handled::Done { state, emissions } => {
                self.record.state = state;
                self.settle(&turn, MarkStatus::Done);
                self.tell(&turn, Outcome::Done, || {
                    let to: Vec<&str> = emissions.0.iter().map(|entry| &*entry.to).collect();
                    if to.is_empty() { String::new() } else { format!("emitted to {}", to.join(", ")) }
                });
                for entry in emissions.0 {
                    self.emit(turn.owner, entry);
                }
                Outcome::Done
            }
            Handled::Skipped(why) => {
                self.settle(&turn, MarkStatus::Done);
                self.tell(&turn, Outcome::Skipped, || why.unwrap_or_else(|| "`where` does not hold".to_owned()));
                Outcome::Skipped
            }
            Handled::WaitFor { kind, at } => self.asked_to_wait(&turn, kind, &at),
            Handled::Retry { why, delay } if attempts < policy.attempts => {
                let delay = delay.unwrap_or_else(|| retry::delay(policy, attempts, self.env.entropy.fraction()));
                self.park(&turn, Wait::Retry { why, due: self.env.now.plus(delay) }, attempts)
            }
            Handled::Retry { why, .. } => {
                let message = format!("gave up after {attempts} attempts: {why}");
                let failure = Failure { class: Class::Transient, ..Failure::permanent("attempts", message) };
                self.bury(&turn, failure, attempts)
            }
            Handled::Failed(failure) if failure.class == Class::Limit && attempts == 1 => {
                let delay = retry::delay(policy, attempts, self.env.entropy.fraction());
                self.park(&turn, Wait::Retry { why: failure.message, due: self.env.now.plus(delay) }, attempts)
            }
            Handled::Failed(failure) => self.bury(&turn, failure, attempts),
        }
    }
}
