//! What an event must wait for before it is handled: those that happened before it, the numbers before its own, and
//! its prerequisites.

use super::{Draft, Entry, Outcome, Runnable, Turn, Way};
use crate::event::{Event, Millis, RawEvent};
use crate::mutant::{self, Mutant};
use crate::script::Place;
use crate::spec::program::{EventTime, First, OnDeadPrerequisite, OnTimeout, Sequence};
use crate::store::record::{Book, Failure, Numbers, Wait};

impl Draft<'_> {
    /// Parks the event or sets it aside when it is not its turn. `None`: it is.
    pub(super) fn in_order(&mut self, turn: &Turn<'_>) -> Option<Outcome> {
        match turn.entry.wait() {
            Some(wait) if wait.had_turn() => return None,
            Some(Wait::After { .. } | Wait::NoHandler { .. }) => return self.prerequisites(turn),
            Some(Wait::Hold { time, .. }) => {
                let released = &mut self.record.book.released;
                *released = Some(released.map_or(*time, |last| last.max(*time)));
            }
            Some(_) | None => {}
        }
        if matches!(turn.entry, Entry::Arrival)
            && let Some(outcome) = self.hold(turn)
        {
            return Some(outcome);
        }
        if let Some(outcome) = self.numbered(turn) {
            return Some(outcome);
        }
        if matches!(turn.entry, Entry::Arrival) && self.is_blocked() {
            return Some(self.buffer(turn, Wait::Behind, self.is_waited_for(turn)));
        }
        self.prerequisites(turn)
    }

    /// Whether what arrives now stands behind something.
    pub(super) fn is_blocked(&self) -> bool {
        let book = &self.record.book;
        let by_waiters = mutant::on(Mutant::WaitersBlock) && !book.waiting.is_empty();
        book.is_blocked() || by_waiters
    }

    /// Whether others wait for an event of its type.
    fn is_waited_for(&self, turn: &Turn<'_>) -> bool {
        let book = &self.record.book;
        let waited_for = |kind: &str| book.waiting.contains_key(kind) && !book.handled.contains(kind);
        turn.subject.event().is_some_and(|event| waited_for(&event.kind))
    }

    /// Each event of a resequenced key is held, unless it comes too late for that.
    fn hold(&mut self, turn: &Turn<'_>) -> Option<Outcome> {
        let resequence = self.env.pipeline.resequence.as_ref()?;
        let Some(time) = time_of(turn, &resequence.by) else {
            let EventTime::Path(path) = &resequence.by else { return None };
            let message = format!("`{path}` is neither an integer nor a time, and the pipeline's order goes by it");
            return Some(self.bury(turn, Failure::permanent("no_time", message), turn.attempts));
        };
        if self.record.book.released.is_some_and(|last| time < last) {
            let message = "it happened before an event of its key that was let go already (`resequence.hold`)";
            return Some(self.bury(turn, Failure::permanent("late", message), turn.attempts));
        }
        let due = self.env.now.plus(resequence.hold);
        Some(self.buffer(turn, Wait::Hold { time, due }, self.is_waited_for(turn)))
    }

    fn numbered(&mut self, turn: &Turn<'_>) -> Option<Outcome> {
        let sequence = self.env.pipeline.sequence.as_ref()?;
        let Some(number) = self.number_of(turn.subject.event()) else {
            let message = format!("`{}` is not an integer, and the pipeline's order goes by it", sequence.by);
            return Some(self.bury(turn, Failure::permanent("no_sequence", message), turn.attempts));
        };
        let blocked = self.is_blocked();
        let numbers = numbers_of(&mut self.record.book, sequence, number);
        let next = numbers.next;
        if matches!(turn.entry, Entry::Release { way: Way::Expired, .. }) {
            let message = format!("number {next} did not come within `reorder.timeout`, and this is number {number}");
            return Some(self.bury(turn, Failure::permanent("gap", message), turn.attempts));
        }
        match turn.entry {
            Entry::Replay { .. } if number <= next => None,
            Entry::Replay { .. } => {
                numbers.free(number);
                Some(self.park(turn, Wait::Number { number }, turn.attempts))
            }
            Entry::Release { way: Way::Hurried, .. } => {
                numbers.give_up_before(number);
                None
            }
            Entry::Arrival | Entry::Release { .. } if number < next || numbers.is_used(number) => {
                Some(self.too_late(turn, number))
            }
            Entry::Arrival if number > next || blocked => {
                Some(self.buffer(turn, Wait::Number { number }, number == next))
            }
            Entry::Release { .. } if number > next => Some(self.park(turn, Wait::Number { number }, turn.attempts)),
            Entry::Arrival | Entry::Release { .. } => None,
        }
    }

    fn too_late(&mut self, turn: &Turn<'_>, number: i64) -> Outcome {
        let given_up = self.record.book.numbers.as_ref().is_some_and(|numbers| numbers.was_given_up(number));
        let failure = if given_up {
            Failure::permanent("late", format!("number {number} was given up before it came"))
        } else {
            Failure::permanent("sequence_conflict", format!("another event of its key had number {number}"))
        };
        self.bury(turn, failure, turn.attempts)
    }

    fn prerequisites(&mut self, turn: &Turn<'_>) -> Option<Outcome> {
        let Runnable::Run(_, subscription) = &turn.subject else { return None };
        let asked = turn.entry.wait().map_or(&[][..], Wait::asked);
        let book = &self.record.book;
        let missing = subscription.after.iter().chain(asked).find(|kind| !book.handled.contains(*kind))?.clone();
        let reorder = &self.env.pipeline.reorder;
        match turn.entry.way() {
            Way::Hurried => return None,
            Way::Expired if reorder.on_timeout == OnTimeout::Advance => return None,
            Way::Expired => return Some(self.timed_out(turn, &missing)),
            Way::Turn => {}
        }
        if reorder.on_dead_prerequisite == OnDeadPrerequisite::DeadLetter && book.dead.contains_key(&missing) {
            let message = format!("it waits for `{missing}` of its key, which was set aside");
            return Some(self.bury(turn, Failure::permanent("dead_prerequisite", message), turn.attempts));
        }
        let asked = asked.to_vec();
        Some(self.wait_for(turn, missing, asked))
    }

    /// Parks the event until one of this type was handled; the deadline of one that waited before stays.
    pub(super) fn wait_for(&mut self, turn: &Turn<'_>, event: String, asked: Vec<String>) -> Outcome {
        let now = self.env.now;
        let before = turn.entry.wait().and_then(Wait::deadline).filter(|deadline| *deadline > now);
        let deadline = before.unwrap_or_else(|| now.plus(self.env.pipeline.reorder.timeout));
        self.buffer(turn, Wait::After { event, deadline, asked }, false)
    }

    /// A handler called `wait_for`, which is no attempt.
    pub(super) fn asked_to_wait(&mut self, turn: &Turn<'_>, kind: String, at: &Place) -> Outcome {
        let in_vain = if !self.env.pipeline.takes(&kind) {
            Some("no subscription of this pipeline takes it")
        } else if self.record.book.handled.contains(&kind) {
            Some("one of its key was handled already")
        } else {
            None
        };
        if let Some(why) = in_vain {
            let failure = Failure::script("script_error", format!("`wait_for(\"{kind}\")`: {why}"), at);
            return self.bury(turn, failure, turn.attempts + 1);
        }
        if turn.entry.way() == Way::Expired {
            return self.timed_out(turn, &kind);
        }
        let mut asked = turn.entry.wait().map_or(Vec::new(), |wait| wait.asked().to_vec());
        if !asked.contains(&kind) {
            asked.push(kind.clone());
        }
        self.wait_for(turn, kind, asked)
    }

    pub(super) fn timed_out(&mut self, turn: &Turn<'_>, missing: &str) -> Outcome {
        let message = format!("no `{missing}` of its key was handled within `reorder.timeout`");
        self.bury(turn, Failure::permanent("timeout", message), turn.attempts)
    }

    /// Parks the event, if there is room. What others wait for always has some.
    fn buffer(&mut self, turn: &Turn<'_>, wait: Wait, filler: bool) -> Outcome {
        let reorder = &self.env.pipeline.reorder;
        let full = if self.record.book.parked >= reorder.max_parked_per_key {
            Some(format!("{} events of its key are parked (`reorder.max_parked_per_key`)", self.record.book.parked))
        } else if self.work.parked_bytes + self.parked_bytes >= reorder.max_parked_bytes {
            Some(format!("{} bytes are parked in its partition (`reorder.max_parked_bytes`)", self.work.parked_bytes))
        } else {
            None
        };
        match full {
            Some(message)
                if matches!(turn.entry, Entry::Arrival) && (!filler || mutant::on(Mutant::FullForFillers)) =>
            {
                self.bury(turn, Failure::permanent("buffer_full", message), turn.attempts)
            }
            _ => self.park(turn, wait, turn.attempts),
        }
    }

    /// The event's number, in a pipeline that has them.
    pub(super) fn number_of(&self, event: Option<&Event>) -> Option<i64> {
        let sequence = self.env.pipeline.sequence.as_ref()?;
        sequence.by.integer(event?)
    }
}

/// Where the key stands, which begins with this number if it may begin with any.
pub(super) fn numbers_of<'b>(book: &'b mut Book, sequence: &Sequence, number: i64) -> &'b mut Numbers {
    book.numbers.get_or_insert_with(|| {
        Numbers::from(match sequence.first {
            First::Any => number,
            First::At(first) => first,
        })
    })
}

/// When the event happened, as it says; when it was stored, if it need not say.
pub(super) fn happened(event: Option<&Event>, raw: &RawEvent) -> i64 {
    let said = event.and_then(|event| event.time.as_deref()).and_then(nanoseconds);
    said.unwrap_or_else(|| of_millis(raw.stored_at))
}

fn time_of(turn: &Turn<'_>, by: &EventTime) -> Option<i64> {
    let event = turn.subject.event();
    match by {
        EventTime::Envelope => Some(happened(event, turn.raw)),
        EventTime::Path(path) => {
            let event = event?;
            path.integer(event).or_else(|| nanoseconds(path.read(event)?.as_str()?))
        }
    }
}

fn nanoseconds(text: &str) -> Option<i64> {
    let time: jiff::Timestamp = text.parse().ok()?;
    i64::try_from(time.as_nanosecond()).ok()
}

fn of_millis(time: Millis) -> i64 {
    time.0.saturating_mul(1_000_000)
}

/// After all turns: since when the next number is missing.
pub(super) fn note_gap(book: &mut Book, now: Millis) {
    let blocked = book.is_blocked();
    let Some(numbers) = &mut book.numbers else { return };
    let gap = numbers.waiting > 0 && !blocked && numbers.head.is_none_or(|head| head > numbers.next);
    numbers.missing = match numbers.missing {
        Some((number, since)) if gap && number == numbers.next => Some((number, since)),
        _ => gap.then_some((numbers.next, now)),
    };
}
