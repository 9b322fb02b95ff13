//! A stream's rows: stored, found, and let go.

use std::sync::Arc;

use crate::bus::{Demand, subject};
use crate::database::{self, Connection, OptionalExtension as _, params};
use crate::event::{ChannelName, Headers, Millis, Outgoing, Position, RawEvent};
use crate::spec::program::LocalStream;

/// Bits of a row's id that are the sequence.
const SEQUENCE: u32 = 40;
/// Rows looked at in one call at most, whether they match or not.
const SCAN: usize = 4096;
/// Old events that go with one publish at most.
const TRIM: usize = 16;

#[derive(Clone, Copy, Debug)]
pub struct StreamRow {
    pub id: i64,
    pub last: u64,
    bytes: u64,
}

impl StreamRow {
    pub fn find(connection: &Connection, name: &str) -> database::Result<Option<Self>> {
        connection
            .prepare_cached("SELECT id, last, bytes FROM streams WHERE name = ?1")?
            .query_row([name], |row| {
                let number = |column| row.get(column).map(i64::cast_unsigned);
                Ok(Self { id: row.get(0)?, last: number(1)?, bytes: number(2)? })
            })
            .optional()
    }

    pub fn find_or_make(connection: &Connection, name: &str) -> database::Result<Self> {
        if let Some(found) = Self::find(connection, name)? {
            return Ok(found);
        }
        connection.execute("INSERT INTO streams (name, last, bytes) VALUES (?1, 0, 0)", [name])?;
        Ok(Self { id: connection.last_insert_rowid(), last: 0, bytes: 0 })
    }

    /// The first sequence that is there; behind the last when there is none.
    pub fn first(&self, connection: &Connection) -> database::Result<u64> {
        let first = connection
            .prepare_cached("SELECT id FROM events WHERE id BETWEEN ?1 AND ?2 ORDER BY id LIMIT 1")?
            .query_row([row_id(self.id, 1), row_id(self.id, u64::MAX)], |row| row.get(0))
            .optional()?;
        Ok(first.map_or(self.last + 1, sequence))
    }
}

fn row_id(stream: i64, sequence: u64) -> i64 {
    let most = (1 << SEQUENCE) - 1;
    (stream << SEQUENCE) | i64::try_from(sequence).map_or(most, |sequence| sequence.min(most))
}

fn sequence(row_id: i64) -> u64 {
    (row_id & ((1 << SEQUENCE) - 1)).cast_unsigned()
}

pub enum Storing {
    Done {
        /// Of this pipeline, which is not of the project, something unread had to go.
        unread_by: Option<String>,
    },
    /// It holds an event of this dedupe id already.
    Before,
    /// It holds all it may, and this pipeline is not done with the oldest.
    Full { behind: String },
}

/// What an event takes of `max_bytes`.
pub fn weight(event: &Outgoing) -> u64 {
    let headers: usize = event.headers.0.iter().map(|(name, value)| name.len() + value.len()).sum();
    (event.payload.len() + headers + event.subject.len()) as u64
}

/// `readers` are the pipelines of the project.
pub fn store(
    connection: &Connection,
    limits: &LocalStream,
    readers: &[Arc<str>],
    event: &Outgoing,
    now: Millis,
) -> database::Result<Storing> {
    let mut stream = StreamRow::find_or_make(connection, &limits.stream)?;
    let dedupe = Some(event.dedupe_id.as_str()).filter(|id| !id.is_empty());
    if let Some(id) = dedupe {
        let mut before = connection.prepare_cached("SELECT 1 FROM events WHERE id >> 40 = ?1 AND dedupe = ?2")?;
        if before.exists(params![stream.id, id])? {
            return Ok(Storing::Before);
        }
    }
    let weight = weight(event);
    let unread_by = match make_room(connection, &mut stream, limits, readers, weight, now)? {
        Room::Made { unread_by } => unread_by,
        Room::Full { behind } => return Ok(Storing::Full { behind }),
    };
    stream.last += 1;
    stream.bytes += weight;
    let headers = if event.headers.0.is_empty() { Vec::new() } else { encode(&event.headers) };
    connection.prepare_cached("INSERT INTO events VALUES (?1, ?2, ?3, ?4, ?5, ?6)")?.execute(params![
        row_id(stream.id, stream.last),
        now.0,
        event.subject,
        dedupe,
        headers,
        &*event.payload
    ])?;
    connection.prepare_cached("UPDATE streams SET last = ?2, bytes = ?3 WHERE id = ?1")?.execute(params![
        stream.id,
        stream.last.cast_signed(),
        stream.bytes.cast_signed()
    ])?;
    Ok(Storing::Done { unread_by })
}

enum Room {
    Made { unread_by: Option<String> },
    Full { behind: String },
}

/// Lets the oldest events go that all consumers are done with, while the stream is too large or they are too old. A
/// pipeline that was renamed or taken out of the project left its consumer behind: what it did not read stays as long as
/// there is room, and never stops the others.
fn make_room(
    connection: &Connection,
    stream: &mut StreamRow,
    limits: &LocalStream,
    readers: &[Arc<str>],
    weight: u64,
    now: Millis,
) -> database::Result<Room> {
    let consumers: Vec<(String, u64)> = connection
        .prepare_cached("SELECT pipeline, floor FROM consumers WHERE stream = ?1 ORDER BY floor")?
        .query_map([stream.id], |row| Ok((row.get(0)?, row.get::<_, i64>(1)?.cast_unsigned())))?
        .collect::<Result<_, _>>()?;
    let is_here = |(pipeline, _): &&(String, u64)| readers.iter().any(|reader| **reader == **pipeline);
    let (slowest, behind) = (consumers.first(), consumers.iter().find(is_here));
    let floor = |consumer: Option<&(String, u64)>| consumer.map_or(u64::MAX, |(_, floor)| *floor);
    let mut unread_by = None;
    let mut trimmed = 0;
    loop {
        let full = stream.bytes + weight > limits.max_bytes;
        if !full && trimmed == TRIM {
            return Ok(Room::Made { unread_by });
        }
        let oldest = connection
            .prepare_cached("SELECT id, stored_at FROM events WHERE id BETWEEN ?1 AND ?2 ORDER BY id LIMIT 1")?
            .query_row([row_id(stream.id, 1), row_id(stream.id, u64::MAX)], |row| {
                Ok((row.get::<_, i64>(0)?, Millis(row.get(1)?)))
            })
            .optional()?;
        let Some((oldest, stored_at)) = oldest else { return Ok(Room::Made { unread_by }) };
        if !full && now.since(stored_at) <= limits.max_age {
            return Ok(Room::Made { unread_by });
        }
        let read = sequence(oldest) <= floor(slowest);
        match behind {
            Some((behind, floor)) if full && sequence(oldest) > *floor => {
                return Ok(Room::Full { behind: behind.clone() });
            }
            _ if !full && !read => return Ok(Room::Made { unread_by }),
            _ => {}
        }
        if !read {
            unread_by = slowest.map(|(pipeline, _)| pipeline.clone());
        }
        stream.bytes = stream.bytes.saturating_sub(delete(connection, oldest)?);
        trimmed += 1;
    }
}

/// The weight that went.
fn delete(connection: &Connection, row_id: i64) -> database::Result<u64> {
    let gone = connection
        .prepare_cached("DELETE FROM events WHERE id = ?1 RETURNING subject, headers, payload")?
        .query_row([row_id], |row| {
            let (subject, headers, payload) = (row.get(0)?, row.get::<_, Vec<u8>>(1)?, row.get::<_, Vec<u8>>(2)?);
            let (dedupe_id, headers) = (String::new(), decode(&headers));
            Ok(weight(&Outgoing { dedupe_id, subject, headers, payload: payload.into() }))
        })
        .optional()?;
    Ok(gone.unwrap_or(0))
}

/// One event, if it is there.
pub fn get(
    connection: &Connection,
    stream: i64,
    channel: &ChannelName,
    seq: u64,
) -> database::Result<Option<RawEvent>> {
    let all = [">".to_owned()];
    let one = Demand { events: 1, bytes: usize::MAX };
    Ok(scan(connection, stream, channel, &all, (seq, seq), one)?.events.pop())
}

/// Events of one channel, in order, from a sequence on and up to another.
pub struct Found {
    pub events: Vec<RawEvent>,
    /// Everything up to here was looked at.
    pub seen: u64,
}

/// As [`Source::next`](crate::bus::Source::next) and `read` want it: at most `demand`, one event over its bytes.
pub fn scan(
    connection: &Connection,
    stream: i64,
    channel: &ChannelName,
    patterns: &[String],
    (from, to): (u64, u64),
    demand: Demand,
) -> database::Result<Found> {
    let mut found = Found { events: Vec::new(), seen: from.saturating_sub(1) };
    let mut bytes = 0;
    let mut rows = connection.prepare_cached(
        "SELECT id, stored_at, subject, headers, payload FROM events WHERE id BETWEEN ?1 AND ?2 ORDER BY id LIMIT ?3",
    )?;
    let mut rows = rows.query(params![row_id(stream, from.max(1)), row_id(stream, to), SCAN.cast_signed()])?;
    let mut looked = 0;
    while let Some(row) = rows.next()? {
        let seq = sequence(row.get(0)?);
        let ours = subject_matches(patterns, row.get_ref(2)?.as_str()?);
        if ours && !found.events.is_empty() && (found.events.len() >= demand.events || bytes >= demand.bytes) {
            return Ok(found);
        }
        looked += 1;
        found.seen = seq;
        if ours {
            let headers: Vec<u8> = row.get(3)?;
            let event = RawEvent {
                position: Position { channel: channel.clone(), seq },
                stored_at: Millis(row.get(1)?),
                headers: decode(&headers),
                payload: row.get::<_, Vec<u8>>(4)?.into(),
            };
            bytes += event.weight();
            found.events.push(event);
        }
    }
    if looked < SCAN {
        found.seen = found.seen.max(to);
    }
    Ok(found)
}

fn subject_matches(patterns: &[String], subject: &str) -> bool {
    patterns.iter().any(|pattern| subject::covers(pattern, subject))
}

fn encode(headers: &Headers) -> Vec<u8> {
    serde_json::to_vec(headers).expect("texts become JSON")
}

fn decode(headers: &[u8]) -> Headers {
    if headers.is_empty() { Headers::default() } else { serde_json::from_slice(headers).unwrap_or_default() }
}
