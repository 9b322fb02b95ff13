//! The commit: everything is verified before anything is written, and nothing that is refused undoes the rest.

use std::time::Duration;

use super::counts::Counts;
use super::{Commit, Committed, Connection, Slots, StoreError, contract, database, lookup, params};
use crate::database::OptionalExtension as _;
use crate::event::{Key, MarkId, Millis};
use crate::mutant::{Check, lacks};
use crate::store::{Condition, Group, Mark, MarkStatus, ParkedEvent, Touch, Verdict, Write};

/// A writer is forgotten this long after its last commit to a partition.
const WRITER_LIVES: Duration = Duration::from_secs(24 * 3600);
/// Marks of a condemned generation that go with one commit.
const FORGET: i64 = 256;

/// The outer error undoes the whole transaction.
pub fn commit(
    connection: &Connection,
    slots: Slots,
    commit: Commit,
    retain: Duration,
) -> database::Result<Result<Committed, StoreError>> {
    let slot = match contract::check(&commit, slots.count).and_then(|()| slots.of_partition(commit.partition)) {
        Ok(slot) => slot,
        Err(error) => return Ok(Err(error)),
    };
    let writer = if lacks(Check::NumberOfItsOwn) { [0; 16] } else { commit.writer.0 };
    let known = connection
        .prepare_cached("SELECT number FROM writers WHERE slot = ?1 AND writer = ?2")?
        .query_row(params![slot, writer], |row| lookup::unsigned(row, 0))
        .optional()?
        .unwrap_or(0);
    if known != commit.expected_number && !lacks(Check::Number) {
        return Ok(Err(StoreError::TailLost(format!(
            "partition {} knows {known} commits of this runner, not as many as were acknowledged",
            commit.partition.0
        ))));
    }
    let generations = rotate(connection, slot, commit.now, retain)?;
    let mut partition = Partition { connection, slot, generations, counts: Counts::default() };
    // All are judged before the first is written.
    let verdicts: Vec<Verdict> =
        commit.groups.iter().map(|group| partition.judge(group)).collect::<database::Result<_>>()?;
    partition.count(writer, known + 1, commit.now)?;
    let before = Counts::read(connection, slot)?;
    partition.counts = before;
    if lacks(Check::OutboxSequence) {
        partition.counts.outbox_seq = before.outbox_len;
    }
    for number in &commit.cleared {
        partition.clear(*number)?;
    }
    for event in &commit.returned {
        returned(connection, slot, event)?;
    }
    for (group, verdict) in commit.groups.into_iter().zip(&verdicts) {
        if *verdict == Verdict::Committed {
            partition.write(group)?;
        }
    }
    if partition.counts != before {
        partition.counts.write(connection, slot)?;
    }
    let Counts { outbox_len, parked_bytes, .. } = partition.counts;
    Ok(Ok(Committed { verdicts, outbox_before: before.outbox_seq, outbox_len, parked_bytes }))
}

pub fn returned(connection: &Connection, slot: i64, event: &MarkId) -> database::Result<()> {
    connection
        .prepare_cached("DELETE FROM started WHERE slot = ?1 AND event = ?2")?
        .execute(params![slot, event.0])
        .map(drop)
}

/// The generations of marks that are remembered, the newest first. A generation takes marks for half of `retain` and is
/// kept until the last of them is as old as `retain`. Forwards only: a clock that goes back drops nothing and starts
/// nothing.
fn rotate(connection: &Connection, slot: i64, now: Millis, retain: Duration) -> database::Result<Vec<i64>> {
    let mut all = connection.prepare_cached(
        "SELECT generation, start, condemned FROM generations WHERE slot = ?1 ORDER BY generation DESC",
    )?;
    let all: Vec<(i64, Millis, bool)> =
        all.query_map([slot], |row| Ok((row.get(0)?, Millis(row.get(1)?), row.get(2)?)))?.collect::<Result<_, _>>()?;
    let mut live = Vec::new();
    for &(generation, start, condemned) in &all {
        if condemned {
            forget(connection, slot, generation)?;
        } else if now >= start.plus(if lacks(Check::LongEnough) { retain } else { retain + retain / 2 }) {
            connection
                .prepare_cached("UPDATE generations SET condemned = 1 WHERE slot = ?1 AND generation = ?2")?
                .execute([slot, generation])?;
        } else {
            live.push(generation);
        }
    }
    let newest = all.iter().find(|(generation, _, _)| Some(generation) == live.first());
    let takes = if lacks(Check::NewGeneration) { retain * 2 } else { retain / 2 };
    if newest.is_none_or(|(_, start, _)| now >= start.plus(takes)) {
        let next = all.first().map_or(1, |(generation, _, _)| generation + 1);
        connection
            .prepare_cached("INSERT INTO generations VALUES (?1, ?2, ?3, 0)")?
            .execute(params![slot, next, now.0])?;
        live.insert(0, next);
    }
    Ok(live)
}

/// Some of a condemned generation's marks, so that no commit takes long; at last the generation.
fn forget(connection: &Connection, slot: i64, generation: i64) -> database::Result<()> {
    let gone = connection
        .prepare_cached(
            "DELETE FROM marks WHERE slot = ?1 AND generation = ?2 AND id IN \
             (SELECT id FROM marks WHERE slot = ?1 AND generation = ?2 LIMIT ?3)",
        )?
        .execute([slot, generation, FORGET])?;
    if gone == 0 {
        connection
            .prepare_cached("DELETE FROM generations WHERE slot = ?1 AND generation = ?2")?
            .execute([slot, generation])?;
    }
    Ok(())
}

struct Partition<'c> {
    connection: &'c Connection,
    slot: i64,
    generations: Vec<i64>,
    counts: Counts,
}

impl Partition<'_> {
    fn count(&self, writer: [u8; 16], number: u64, now: Millis) -> database::Result<()> {
        if number == 1 {
            let forgotten = now.0.saturating_sub(i64::try_from(WRITER_LIVES.as_millis()).unwrap_or(i64::MAX));
            self.connection
                .prepare_cached("DELETE FROM writers WHERE slot = ?1 AND seen < ?2")?
                .execute([self.slot, forgotten])?;
        }
        self.connection
            .prepare_cached("INSERT OR REPLACE INTO writers VALUES (?1, ?2, ?3, ?4)")?
            .execute(params![self.slot, writer, number.cast_signed(), now.0])
            .map(drop)
    }

    fn judge(&self, group: &Group) -> database::Result<Verdict> {
        if let Some(touch) = &group.touch {
            let held = self
                .connection
                .prepare_cached("SELECT nonce FROM records WHERE slot = ?1 AND key = ?2")?
                .query_row(params![self.slot, touch.key.as_str()], |row| row.get(0))
                .optional()?;
            if held != touch.expected.map(|nonce| nonce.0) && !lacks(Check::Nonce) {
                return Ok(Verdict::Stale);
            }
        }
        for condition in &group.conditions {
            if !self.holds(condition)? && !lacks(Check::Verdict) {
                return Ok(Verdict::Stale);
            }
        }
        Ok(Verdict::Committed)
    }

    fn holds(&self, condition: &Condition) -> database::Result<bool> {
        match condition {
            Condition::Unmarked(id) => {
                let generations = match () {
                    () if lacks(Check::Mark) => &[],
                    () if lacks(Check::OlderMarks) => &self.generations[..1],
                    () => &self.generations[..],
                };
                let mark = lookup::mark(self.connection, self.slot, generations, id)?;
                let parked = matches!(mark, Some(Mark::Parked { .. })) && lacks(Check::ParkedMark);
                Ok(mark.is_none() || parked)
            }
            Condition::Parked(_) if lacks(Check::Parked) => Ok(true),
            Condition::DeadOpen { .. } if lacks(Check::DeadOpen) => Ok(true),
            Condition::Owed(_) if lacks(Check::Owed) => Ok(true),
            Condition::Parked(id) => self
                .connection
                .prepare_cached("SELECT 1 FROM parked WHERE slot = ?1 AND mark = ?2")?
                .exists(params![self.slot, id.0]),
            Condition::DeadOpen { id, generation } => {
                let letter = lookup::dead(self.connection, self.slot, id)?;
                Ok(letter.is_some_and(|letter| letter.open && letter.generation == *generation))
            }
            Condition::Owed(number) => self
                .connection
                .prepare_cached("SELECT 1 FROM outbox WHERE slot = ?1 AND number = ?2")?
                .exists(params![self.slot, number.cast_signed()]),
        }
    }

    fn write(&mut self, group: Group) -> database::Result<()> {
        let key = group.touch.as_ref().map(|touch| touch.key.clone());
        if let Some(touch) = &group.touch {
            self.touch(touch)?;
        }
        for write in group.writes {
            match write {
                Write::Mark { id, status, content } => {
                    let newest = self.generations.first();
                    self.connection
                        .prepare_cached("INSERT OR REPLACE INTO marks VALUES (?1, ?2, ?3, ?4, ?5)")?
                        .execute(params![self.slot, newest, id.0, status == MarkStatus::Dead, content.0])?;
                }
                Write::Park(parked) => self.park(key.as_ref(), &parked)?,
                Write::Unpark { mark } => self.unpark(&mark)?,
                Write::Emit(body) => {
                    self.counts.outbox_seq += 1;
                    self.counts.outbox_len += 1;
                    self.connection.prepare_cached("INSERT INTO outbox VALUES (?1, ?2, ?3)")?.execute(params![
                        self.slot,
                        self.counts.outbox_seq.cast_signed(),
                        &*body
                    ])?;
                }
                Write::Unowe(number) => self.clear(number)?,
                Write::Dead { id, body } => self.dead(&id, &body, true)?,
                Write::CloseDead { id, body } => self.dead(&id, &body, false)?,
            }
        }
        Ok(())
    }

    fn touch(&self, touch: &Touch) -> database::Result<()> {
        self.connection
            .prepare_cached(
                "INSERT INTO records VALUES (?1, ?2, ?3, ?4, ?5) ON CONFLICT (slot, key) DO UPDATE \
                 SET nonce = excluded.nonce, record = excluded.record, due = excluded.due",
            )?
            .execute(params![
                self.slot,
                touch.key.as_str(),
                touch.new.0,
                &*touch.record,
                touch.timer.map(|due| due.0).or(lacks(Check::ClearedTimer).then_some(0))
            ])
            .map(drop)
    }

    fn park(&mut self, key: Option<&Key>, parked: &ParkedEvent) -> database::Result<()> {
        self.unpark(&parked.mark)?;
        let also = parked.also.filter(|_| !lacks(Check::SecondPlace));
        self.counts.parked_bytes += parked.body.len() as u64;
        self.connection
            .prepare_cached("INSERT INTO parked VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)")?
            .execute(params![
                self.slot,
                parked.mark.0,
                key.map_or("", Key::as_str),
                parked.place.0,
                also.map(|place| place.0),
                parked.content.0,
                &*parked.body
            ])
            .map(drop)
    }

    fn unpark(&mut self, mark: &MarkId) -> database::Result<()> {
        let gone = self
            .connection
            .prepare_cached("DELETE FROM parked WHERE slot = ?1 AND mark = ?2 RETURNING length(body)")?
            .query_row(params![self.slot, mark.0], |row| lookup::unsigned(row, 0))
            .optional()?;
        if !lacks(Check::CountedDown) {
            self.counts.parked_bytes = self.counts.parked_bytes.saturating_sub(gone.unwrap_or(0));
        }
        Ok(())
    }

    fn clear(&mut self, number: u64) -> database::Result<()> {
        let gone = self
            .connection
            .prepare_cached("DELETE FROM outbox WHERE slot = ?1 AND number = ?2")?
            .execute(params![self.slot, number.cast_signed()])?;
        self.counts.outbox_len = self.counts.outbox_len.saturating_sub(gone as u64);
        Ok(())
    }

    /// Opens a record, or writes the next generation of the one that is there.
    fn dead(&self, id: &MarkId, body: &[u8], open: bool) -> database::Result<()> {
        let statement = if open || lacks(Check::Closing) {
            "INSERT INTO dead VALUES (?1, ?2, 1, 1, ?3) ON CONFLICT (slot, id) DO UPDATE \
             SET open = 1, generation = generation + 1, body = excluded.body"
        } else {
            "UPDATE dead SET open = 0, generation = generation + 1, body = ?3 WHERE slot = ?1 AND id = ?2"
        };
        self.connection.prepare_cached(statement)?.execute(params![self.slot, id.0, body]).map(drop)
    }
}
