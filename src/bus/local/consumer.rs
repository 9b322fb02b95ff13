//! Where one pipeline stands in one channel: what it holds, what it handed back, and the floor below which all is acked.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::stream::StreamRow;
use crate::bus::{Answer, BusError, ConsumerSpec, Delivery, Progress, Responder, subject};
use crate::database::{self, Connection, Database, OptionalExtension as _, params};
use crate::event::RawEvent;
use crate::spec::program::LocalStream;

/// Sequences that may be handed out before the next note of it. After a crash as many count as handed out before.
const RESERVE: u64 = 1024;

pub struct Consumer {
    id: i64,
    pub stream: i64,
    stream_name: String,
    /// Subjects of the channel.
    pub patterns: Vec<String>,
    /// Handed out by an earlier process, perhaps.
    handed_out: u64,
    state: Mutex<State>,
}

struct State {
    /// Everything up to here was handed out, or is not of this channel.
    delivered: u64,
    reserved: u64,
    /// Handed out and not acked, by sequence, with the number of the delivery that may hand it back.
    held: BTreeMap<u64, u64>,
    /// Handed out once, to be handed out again.
    returned: BTreeSet<u64>,
    deliveries: u64,
    /// The floor as the database knows it.
    written: u64,
    /// The floor is about to be written.
    scheduled: bool,
    /// Acks since the floor was last known to be written.
    unwritten: usize,
}

impl State {
    fn floor(&self) -> u64 {
        let held = self.held.keys().next();
        held.into_iter().chain(self.returned.first()).min().map_or(self.delivered, |seq| seq - 1)
    }
}

/// What to fetch next.
pub enum Plan {
    /// These again.
    Again(Vec<u64>),
    /// What comes behind this sequence.
    Behind(u64),
}

struct Row {
    id: i64,
    floor: u64,
    reserved: u64,
}

impl Row {
    fn find(connection: &Connection, stream: i64, spec: &ConsumerSpec) -> database::Result<Option<Self>> {
        connection
            .prepare_cached(
                "SELECT id, floor, reserved FROM consumers WHERE stream = ?1 AND pipeline = ?2 AND channel = ?3",
            )?
            .query_row(params![stream, &*spec.pipeline, &*spec.channel], |row| {
                let number = |column| row.get(column).map(i64::cast_unsigned);
                Ok(Self { id: row.get(0)?, floor: number(1)?, reserved: number(2)? })
            })
            .optional()
    }

    fn make(connection: &Connection, stream: i64, spec: &ConsumerSpec) -> database::Result<Self> {
        connection.execute(
            "INSERT INTO consumers (pipeline, channel, stream, floor, reserved) VALUES (?1, ?2, ?3, 0, 0)",
            params![&*spec.pipeline, &*spec.channel, stream],
        )?;
        Ok(Self { id: connection.last_insert_rowid(), floor: 0, reserved: 0 })
    }
}

impl Consumer {
    pub async fn open(database: &Database, stream: &LocalStream, spec: &ConsumerSpec) -> Result<Self, BusError> {
        let (name, asked) = (stream.stream.clone(), spec.clone());
        let opened = database.write(move |connection| {
            let stream = StreamRow::find_or_make(connection, &name)?;
            let row = match Row::find(connection, stream.id, &asked)? {
                Some(row) => row,
                None if asked.start_after.is_some_and(|after| after > 0) => return Ok(None),
                None => Row::make(connection, stream.id, &asked)?,
            };
            Ok(Some((stream.id, row)))
        });
        let (id, row) = opened.await?.ok_or_else(|| stream_was_replaced(&stream.stream, spec))?;
        let state = State {
            delivered: row.floor,
            reserved: row.reserved,
            held: BTreeMap::new(),
            returned: BTreeSet::new(),
            deliveries: 0,
            written: row.floor,
            scheduled: false,
            unwritten: 0,
        };
        Ok(Self {
            id: row.id,
            stream: id,
            stream_name: stream.stream.clone(),
            patterns: subject::patterns(&stream.subjects),
            handed_out: row.reserved,
            state: Mutex::new(state),
        })
    }

    pub fn stream_name(&self) -> &str {
        &self.stream_name
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub fn plan(&self, most: usize) -> Plan {
        let state = self.state();
        if state.returned.is_empty() {
            Plan::Behind(state.delivered)
        } else {
            Plan::Again(state.returned.iter().copied().take(most).collect())
        }
    }

    /// Notes, durably, that events up to this one are about to be handed out.
    pub async fn reserve(&self, database: &Database, up_to: u64) -> Result<(), BusError> {
        if up_to <= self.state().reserved {
            return Ok(());
        }
        let (id, reserved) = (self.id, up_to + RESERVE);
        let written = database.write(move |connection| {
            connection
                .prepare_cached("UPDATE consumers SET reserved = max(reserved, ?2) WHERE id = ?1")?
                .execute([id, reserved.cast_signed()])
        });
        written.await?;
        let mut state = self.state();
        state.reserved = state.reserved.max(reserved);
        Ok(())
    }

    /// Hands out new events, if nobody else did meanwhile.
    pub fn hand_out(
        self: &Arc<Self>,
        database: &Database,
        behind: u64,
        seen: u64,
        events: Vec<RawEvent>,
    ) -> Vec<Delivery> {
        let mut state = self.state();
        if state.delivered != behind {
            return Vec::new();
        }
        state.delivered = seen;
        let deliveries: Vec<Delivery> = events
            .into_iter()
            .map(|raw| {
                let redelivered = raw.position.seq <= self.handed_out;
                self.delivery(&mut state, database, raw, redelivered)
            })
            .collect();
        drop(state);
        // It passes events of other channels.
        self.note_floor(database);
        deliveries
    }

    /// Hands out again what is still waiting for that; what was deleted from the stream is done with.
    pub fn hand_out_again(
        self: &Arc<Self>,
        database: &Database,
        asked: &[u64],
        events: Vec<RawEvent>,
    ) -> Vec<Delivery> {
        let mut state = self.state();
        let mut deliveries = Vec::new();
        for raw in events {
            if state.returned.remove(&raw.position.seq) {
                deliveries.push(self.delivery(&mut state, database, raw, true));
            }
        }
        state.returned.retain(|seq| asked.binary_search(seq).is_err());
        deliveries
    }

    fn delivery(
        self: &Arc<Self>,
        state: &mut State,
        database: &Database,
        raw: RawEvent,
        redelivered: bool,
    ) -> Delivery {
        let (seq, delivery) = (raw.position.seq, state.deliveries);
        state.deliveries += 1;
        state.held.insert(seq, delivery);
        let (consumer, database) = (Arc::clone(self), database.clone());
        let responder = Responder::new(move |answer| consumer.answer(&database, seq, delivery, answer));
        Delivery { raw, redelivered, responder }
    }

    fn answer(self: &Arc<Self>, database: &Database, seq: u64, delivery: u64, answer: Answer) {
        let mut state = self.state();
        match answer {
            Answer::Ack => {
                state.held.remove(&seq);
                state.returned.remove(&seq);
                state.unwritten += 1;
                drop(state);
                self.note_floor(database);
            }
            Answer::Return if state.held.get(&seq) == Some(&delivery) => {
                state.held.remove(&seq);
                state.returned.insert(seq);
                drop(state);
                database.tell();
            }
            Answer::Return => {}
        }
    }

    /// What a crash loses of it is handed out again, and found to be done. What cannot be written (a full disk) is tried
    /// again with the next ack, or when the runner next asks where it stands: a floor that stayed down would keep the
    /// stream from letting anything go, and hand out again what marks are no longer kept for.
    fn note_floor(self: &Arc<Self>, database: &Database) {
        let mut state = self.state();
        if state.floor() <= state.written || std::mem::replace(&mut state.scheduled, true) {
            return;
        }
        // Where the queue is full we are told at once, below.
        drop(state);
        let floor = Arc::new(AtomicU64::new(0));
        let (consumer, to_write) = (Arc::clone(self), Arc::clone(&floor));
        let write = move |connection: &Connection| {
            // As it stands by then.
            let floor = consumer.state().floor();
            to_write.store(floor, Ordering::Relaxed);
            consumer.write_floor(connection, floor)
        };
        let consumer = Arc::clone(self);
        database.write_lazily(write, move |written| {
            let mut state = consumer.state();
            state.scheduled = false;
            if written.is_ok() {
                state.written = state.written.max(floor.load(Ordering::Relaxed));
            }
        });
    }

    fn write_floor(&self, connection: &Connection, floor: u64) -> database::Result<()> {
        connection
            .prepare_cached("UPDATE consumers SET floor = max(floor, ?2) WHERE id = ?1")?
            .execute([self.id, floor.cast_signed()])
            .map(drop)
    }

    /// Writes the floor.
    pub async fn settle(self: &Arc<Self>, database: &Database) -> Result<(), BusError> {
        let (floor, acks) = {
            let state = self.state();
            (state.floor(), state.unwritten)
        };
        let consumer = Arc::clone(self);
        database.write(move |connection| consumer.write_floor(connection, floor)).await?;
        let mut state = self.state();
        state.written = state.written.max(floor);
        // Another source of this consumer may have settled meanwhile.
        state.unwritten = state.unwritten.saturating_sub(acks);
        Ok(())
    }

    pub fn unwritten(&self) -> usize {
        self.state().unwritten
    }

    pub async fn progress(self: &Arc<Self>, database: &Database) -> Result<Progress, BusError> {
        self.note_floor(database);
        let (stream, first) = stands(database, &self.stream_name).await?;
        let state = self.state();
        Ok(progress(&stream, first, state.floor(), state.delivered))
    }
}

/// From outside of the process that runs: what it holds counts as not handed out.
pub async fn look(
    database: &Database,
    stream: &LocalStream,
    spec: &ConsumerSpec,
) -> Result<Option<Progress>, BusError> {
    let (name, spec) = (stream.stream.clone(), spec.clone());
    let looked = database.read(move |connection| {
        let Some(stream) = StreamRow::find(connection, &name)? else { return Ok(None) };
        let first = stream.first(connection)?;
        Ok(Row::find(connection, stream.id, &spec)?.map(|row| (stream, first, row.floor)))
    });
    Ok(looked.await?.map(|(stream, first, floor)| progress(&stream, first, floor, floor)))
}

/// A stream and the first sequence in it.
async fn stands(database: &Database, name: &str) -> Result<(StreamRow, u64), BusError> {
    let (asked, name) = (name.to_owned(), name.to_owned());
    let found = database.read(move |connection| {
        let Some(stream) = StreamRow::find(connection, &asked)? else { return Ok(None) };
        Ok(Some((stream, stream.first(connection)?)))
    });
    found.await?.ok_or_else(|| BusError::Unavailable(format!("the local stream `{name}` is gone")))
}

/// Where several channels share a stream, what is pending may be of the others.
fn progress(stream: &StreamRow, first: u64, floor: u64, delivered: u64) -> Progress {
    Progress {
        ack_floor: floor,
        delivered,
        pending: stream.last.saturating_sub(delivered.max(first - 1)),
        first,
        last: stream.last,
        deletes_on_ack: false,
    }
}

/// A consumer is made before a position is stored, and never taken away. Where there is a position and no consumer, the
/// position is one of another stream: starting behind it would skip, silently, what this one counts up to there.
fn stream_was_replaced(stream: &str, spec: &ConsumerSpec) -> BusError {
    let (after, pipeline, channel) = (spec.start_after.unwrap_or(0), &spec.pipeline, &spec.channel);
    BusError::Refused(format!(
        "the store says that pipeline `{pipeline}` has handled this channel up to {after}, but not of this local stream \
         `{stream}`, which it never read: the database was deleted or restored, or `{channel}` was another stream \
         before; put the database back, or give the channel another name, by which the stream is read from its beginning"
    ))
}
