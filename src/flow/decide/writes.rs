//! What a decision writes, and under which conditions.

use std::time::Duration;

use super::super::dead;
use super::super::emit::dead_letter_entry;
use super::order::{happened, note_gap, numbers_of};
use super::versions::next_look;
use super::{Decision, Draft, Emission, Entry, Outcome, Runnable, Turn, lanes};
use crate::mutant::{self, Mutant};
use crate::spec::program::OnFailure;
use crate::store::record::{DeadRecord, Failure, How, OutboxBody, ParkedBody, Resolution, Wait};
use crate::store::{Condition, MarkStatus, Nonce, ParkedEvent, Touch, Write};

impl Draft<'_> {
    /// What must still hold for this turn when it commits.
    fn condition(&mut self, turn: &Turn<'_>) {
        self.group.conditions.push(match turn.entry {
            Entry::Arrival => Condition::Unmarked(turn.mark),
            Entry::Release { .. } => Condition::Parked(turn.mark),
            Entry::Replay { generation, .. } => Condition::DeadOpen { id: turn.mark, generation },
        });
    }

    /// The event is finished: remember it, and close where it came from.
    pub(super) fn settle(&mut self, turn: &Turn<'_>, status: MarkStatus) {
        self.condition(turn);
        self.seen.push((turn.mark, turn.content));
        self.group.writes.push(Write::Mark { id: turn.mark, status, content: turn.content });
        if status == MarkStatus::Done {
            self.take_number(turn);
            if let Runnable::Run(event, _) = &turn.subject {
                self.record.book.handle(&event.kind);
            }
        }
        match turn.entry {
            Entry::Arrival => {}
            Entry::Release { waiting, .. } => {
                self.record.book.leave(&waiting.body.wait);
                self.record.book.parked = self.record.book.parked.saturating_sub(1);
                self.group.writes.push(Write::Unpark { mark: turn.mark });
            }
            Entry::Replay { record, .. } if status == MarkStatus::Done => {
                self.record.book.closed(turn.mark);
                self.close(turn, record, How::Replayed, None);
            }
            // A replay that died again re-opens its record.
            Entry::Replay { .. } => {}
        }
    }

    /// Its number, if it has one, is not waited for any more.
    fn take_number(&mut self, turn: &Turn<'_>) {
        let Some(sequence) = &self.env.pipeline.sequence else { return };
        if let Some(number) = self.number_of(turn.subject.event()) {
            numbers_of(&mut self.record.book, sequence, number).take(number);
        }
    }

    pub(super) fn close(&mut self, turn: &Turn<'_>, record: &DeadRecord, how: How, why: Option<&str>) {
        let mut record = record.clone();
        record.resolution = Some(Resolution { how, why: why.map(str::to_owned), at: self.env.now });
        let body = record.encode(&turn.raw.payload);
        self.group.writes.push(Write::CloseDead { id: turn.mark, body });
    }

    /// Parks the event durably; the mark is the parking entry.
    pub(super) fn park(&mut self, turn: &Turn<'_>, wait: Wait, attempts: u32) -> Outcome {
        let now = self.env.now;
        self.tell(turn, Outcome::Parked, || match &wait {
            Wait::Retry { why, due } => format!("{why}; again in {}", in_words(due.since(now))),
            wait => format!("waits {}", wait.what_for()),
        });
        let look = match &wait {
            Wait::Retry { due, .. } | Wait::NoHandler { due, .. } => Some(*due),
            Wait::Version { .. } => Some(next_look(self.env, turn.since(now))),
            _ => None,
        };
        if let Some(look) = look {
            // The earliest of the line decides when to look again; its head is checked then.
            let book = &mut self.record.book;
            let known = book.blocked_until.filter(|_| book.line > 0);
            book.blocked_until = Some(known.map_or(look, |until| until.min(look)));
            self.stopped = true;
        }
        self.condition(turn);
        self.seen.push((turn.mark, turn.content));
        if let (Wait::Version { .. }, Some(Wait::Version { .. })) = (&wait, turn.entry.wait()) {
            // Its entry says so already: only when to look again is written, however large the event.
            return Outcome::Parked;
        }
        if matches!(wait, Wait::After { .. }) {
            self.take_number(turn);
        }
        let arrival = match turn.entry {
            Entry::Release { waiting, .. } => {
                self.record.book.leave(&waiting.body.wait);
                lanes::arrival(waiting.parked.place)
            }
            Entry::Arrival | Entry::Replay { .. } => {
                self.record.book.parked += 1;
                self.record.book.arrivals += 1;
                self.record.book.arrivals
            }
        };
        self.record.book.enter(&wait);
        self.pages.enter(&wait);
        if let Entry::Replay { record, .. } = turn.entry {
            self.record.book.closed(turn.mark);
            self.close(turn, record, How::Parked, None);
        }
        if mutant::on(Mutant::ParkInMemory) {
            let id = turn.mark;
            self.group.writes.push(Write::Mark { id, status: MarkStatus::Done, content: turn.content });
            return Outcome::Parked;
        }
        let time = happened(turn.subject.event(), turn.raw);
        let (place, also) = lanes::places(&wait, time, arrival, look.is_some());
        let body = ParkedBody { raw: turn.raw.clone(), wait, attempts, since: turn.since(now) }.encode();
        self.bytes += body.len();
        self.parked_bytes += body.len() as u64;
        self.group.writes.push(Write::Park(ParkedEvent { mark: turn.mark, content: turn.content, place, also, body }));
        Outcome::Parked
    }

    /// Sets the event aside with its reason, in the ledger and on the dead-letter channel.
    pub(super) fn bury(&mut self, turn: &Turn<'_>, failure: Failure, attempts: u32) -> Outcome {
        self.tell(turn, Outcome::Dead, || format!("{}: {}", failure.reason, failure.message));
        let first_dead_at = match turn.entry {
            Entry::Replay { record, .. } => record.first_dead_at,
            Entry::Arrival | Entry::Release { .. } => self.env.now,
        };
        self.settle(turn, MarkStatus::Dead);
        self.miss(turn, &failure);
        let record =
            dead::record(self.env, self.work.key, turn.raw, turn.subject.event(), failure, attempts, first_dead_at);
        let body = record.encode(&turn.raw.payload);
        self.bytes += body.len();
        self.group.writes.push(Write::Dead { id: turn.mark, body });
        let id = turn.mark.hex();
        if let Some(entry) =
            dead_letter_entry(self.env.pipeline, self.env.destinations, &id, &record, &turn.raw.payload)
        {
            self.emit(turn.owner, entry);
        }
        Outcome::Dead
    }

    /// What an event that was set aside means for those that wait for it, or come after it.
    pub(super) fn miss(&mut self, turn: &Turn<'_>, failure: &Failure) {
        if takes_what_is_anothers(failure) {
            return;
        }
        self.take_number(turn);
        // A person saw to it.
        if failure.reason == "discarded" {
            return;
        }
        let book = &mut self.record.book;
        let subscriptions = &self.env.pipeline.subscriptions;
        if let Some(event) = turn.subject.event()
            && !book.handled.contains(&event.kind)
            && (book.waiting.contains_key(&event.kind) || subscriptions.iter().any(|s| s.after.contains(&event.kind)))
        {
            book.dead.insert(event.kind.clone(), turn.mark);
        }
        // These never had a turn that their successors could wait for.
        let had_turn = !matches!(&*failure.reason, "late" | "buffer_full");
        if had_turn && self.env.pipeline.on_failure == OnFailure::BlockKey && self.work.key.is_some() {
            book.blocked_by.get_or_insert(turn.mark);
            self.stopped = true;
        }
    }

    pub(super) fn emit(&mut self, owner: Option<usize>, entry: OutboxBody) {
        let body = entry.encode();
        self.bytes += body.len();
        self.group.writes.push(Write::Emit(body));
        self.decision.emissions.push(Emission { owner, entry });
    }

    pub(super) fn finish(mut self) -> Decision {
        let before = self.record.book.timer;
        note_gap(&mut self.record.book, self.env.now);
        let timer = self.timer();
        // Without a write the key is touched only to set its timer, which a look at it may have found too early.
        let looked = self.work.attention && self.decision.again.is_none() && timer != before;
        if self.group.writes.is_empty() && (!looked || self.unreadable.is_some()) {
            self.decision.timer = before;
            return self.decision;
        }
        self.record.book.timer = timer;
        self.decision.timer = timer;
        let stored = timer.filter(|_| !(mutant::on(Mutant::TimerInMemory) && self.record.book.line == 0));
        if let (Some(key), None) = (self.work.key, &self.unreadable) {
            let parks = self.group.writes.iter().any(|write| matches!(write, Write::Park(_)));
            let new = match self.work.found.nonce {
                Some(old) if parks && mutant::on(Mutant::ParkWithoutTouch) => old,
                old if mutant::on(Mutant::CounterVersions) => counted(old),
                _ => Nonce(self.env.entropy.fresh()),
            };
            let expected = self.work.found.nonce;
            self.group.touch =
                Some(Touch { key: key.clone(), expected, new, record: self.record.encode(), timer: stored });
        }
        self.decision.bytes = self.bytes + self.group.touch.as_ref().map_or(0, |touch| touch.record.len());
        self.decision.group = Some(self.group);
        self.decision
    }
}

/// Another's identity or number: that it was set aside says nothing of the other.
fn takes_what_is_anothers(failure: &Failure) -> bool {
    matches!(&*failure.reason, "id_conflict" | "sequence_conflict")
}

/// Only for the mutant that counts versions.
fn counted(old: Option<Nonce>) -> Nonce {
    let number = old.map_or(0, |nonce| u128::from_be_bytes(nonce.0));
    Nonce((number + 1).to_be_bytes())
}

/// `2s`, `4s 300ms`, `1h`: to a tenth of a second, and to a second from a minute on.
fn in_words(duration: Duration) -> String {
    let exact = if duration < Duration::from_secs(60) { 100 } else { 1000 };
    let millis = i64::try_from(duration.as_millis()).unwrap_or(i64::MAX);
    format!("{:#}", jiff::SignedDuration::from_millis(millis.saturating_add(exact / 2) / exact * exact))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_told_as_people_write_them() {
        let told = |millis| in_words(Duration::from_millis(millis));
        assert_eq!([0, 1_999, 4_321, 60_400, 3_600_000].map(told), ["0s", "2s", "4s 300ms", "1m", "1h"]);
    }
}
