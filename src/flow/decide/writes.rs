//! What a decision writes, and under which conditions.

use std::time::Duration;

use super::super::dead;
use super::super::emit::dead_letter_entry;
use super::versions::next_look;
use super::{Decision, Draft, Emission, Entry, Outcome, Turn};
use crate::mutant::{self, Mutant};
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
        self.seen.insert(turn.mark, turn.content);
        self.group.writes.push(Write::Mark { id: turn.mark, status, content: turn.content });
        match turn.entry {
            Entry::Arrival => {}
            Entry::Release { .. } => {
                self.record.book.parked = self.record.book.parked.saturating_sub(1);
                self.group.writes.push(Write::Unpark { mark: turn.mark });
            }
            Entry::Replay { record, .. } if status == MarkStatus::Done => self.close(turn, record, How::Replayed, None),
            // A replay that died again re-opens its record.
            Entry::Replay { .. } => {}
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
            Wait::Version { version, .. } => format!("until a program accepts version {version}"),
            Wait::Behind => "behind an earlier event of its key".to_owned(),
        });
        self.condition(turn);
        self.seen.insert(turn.mark, turn.content);
        let book = &mut self.record.book;
        let (order, since) = match turn.entry {
            Entry::Release { order, since, .. } => (order, since),
            Entry::Arrival | Entry::Replay { .. } => {
                book.parked += 1;
                book.next_order += 1;
                (book.next_order, self.env.now)
            }
        };
        let look = match &wait {
            Wait::Retry { due, .. } => Some(*due),
            Wait::Version { .. } => Some(next_look(self.env, since)),
            Wait::Behind => None,
        };
        if let Some(look) = look {
            // The earliest of the line decides when to look again; its head is checked then.
            book.blocked_until = Some(book.blocked_until.map_or(look, |until| until.min(look)));
        }
        if matches!((&wait, turn.entry), (Wait::Version { .. }, Entry::Release { waits_for_version: true, .. })) {
            // Its entry says so already: only when to look again is written, however large the event.
            self.postponed = true;
            return Outcome::Parked;
        }
        if let Entry::Replay { record, .. } = turn.entry {
            self.close(turn, record, How::Parked, None);
        }
        if mutant::on(Mutant::ParkInMemory) {
            let id = turn.mark;
            self.group.writes.push(Write::Mark { id, status: MarkStatus::Done, content: turn.content });
            return Outcome::Parked;
        }
        let body = ParkedBody { raw: turn.raw.clone(), wait, attempts, since }.encode();
        self.bytes += body.len();
        self.group.writes.push(Write::Park(ParkedEvent { mark: turn.mark, content: turn.content, order, body }));
        Outcome::Parked
    }

    /// Sets the event aside with its reason, in the ledger and on the dead-letter channel.
    pub(super) fn bury(&mut self, turn: &Turn<'_>, failure: Failure, attempts: u32) -> Outcome {
        self.tell(turn, Outcome::Dead, || format!("{}: {}", failure.reason, failure.message));
        let first_dead_at = match turn.entry {
            Entry::Replay { record, .. } => record.first_dead_at,
            Entry::Arrival | Entry::Release { .. } => self.env.now,
        };
        let record =
            dead::record(self.env, self.work.key, turn.raw, turn.subject.event(), failure, attempts, first_dead_at);
        self.settle(turn, MarkStatus::Dead);
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

    pub(super) fn emit(&mut self, owner: Option<usize>, entry: OutboxBody) {
        let body = entry.encode();
        self.bytes += body.len();
        self.group.writes.push(Write::Emit(body));
        self.decision.emissions.push(Emission { owner, entry });
    }

    pub(super) fn finish(mut self) -> Decision {
        let book = &mut self.record.book;
        if book.parked == 0 {
            book.blocked_until = None;
        }
        // A line whose head is not waiting for a time wants attention at once.
        let timer = (book.parked > 0).then(|| book.blocked_until.unwrap_or(self.env.now));
        self.decision.timer = timer;
        if self.group.writes.is_empty() && !self.postponed {
            return self.decision;
        }
        if let (Some(key), None) = (self.work.key, &self.unreadable) {
            let parks = self.group.writes.iter().any(|write| matches!(write, Write::Park(_)));
            let new = match self.work.found.nonce {
                Some(old) if parks && mutant::on(Mutant::ParkWithoutTouch) => old,
                old if mutant::on(Mutant::CounterVersions) => counted(old),
                _ => Nonce(self.env.entropy.fresh()),
            };
            let expected = self.work.found.nonce;
            self.group.touch = Some(Touch { key: key.clone(), expected, new, record: self.record.encode(), timer });
        }
        self.decision.bytes = self.bytes + self.group.touch.as_ref().map_or(0, |touch| touch.record.len());
        self.decision.group = Some(self.group);
        self.decision
    }
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
