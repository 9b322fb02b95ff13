//! What is read: marks, records, lines of parked events, dead letters.

use super::{Bytes, Connection, DeadLetter, Found, Lookup, MarkId, Row, database, params};
use crate::database::OptionalExtension as _;
use crate::event::{ChannelName, ContentDigest, Key};
use crate::store::{FoundKey, KeyLookup, Mark, MarkStatus, Nonce, ParkedEvent, Place, Range};

/// Bytes of a part of a line in one answer; one event goes over it.
const PARKED_BYTES: usize = 4 << 20;

pub fn look(connection: &Connection, slot: i64, lookup: &Lookup) -> database::Result<Found> {
    let generations = if lookup.marks.is_empty() { Vec::new() } else { generations(connection, slot)? };
    Ok(Found {
        marks: lookup.marks.iter().map(|id| mark(connection, slot, &generations, id)).collect::<Result<_, _>>()?,
        keys: lookup.keys.iter().map(|asked| key(connection, slot, asked)).collect::<Result<_, _>>()?,
        dead: lookup.dead.iter().map(|id| dead(connection, slot, id)).collect::<Result<_, _>>()?,
        parked_bytes: connection
            .prepare_cached("SELECT parked_bytes FROM slots WHERE slot = ?1")?
            .query_row([slot], |row| unsigned(row, 0))?,
    })
}

/// Those that are remembered, the newest first.
fn generations(connection: &Connection, slot: i64) -> database::Result<Vec<i64>> {
    let mut live = connection.prepare_cached(
        "SELECT generation FROM generations WHERE slot = ?1 AND condemned = 0 ORDER BY generation DESC",
    )?;
    live.query_map([slot], |row| row.get(0))?.collect()
}

/// Parked first: an event that died, was replayed and waits again is waiting.
pub fn mark(connection: &Connection, slot: i64, generations: &[i64], id: &MarkId) -> database::Result<Option<Mark>> {
    let parked = connection
        .prepare_cached("SELECT content FROM parked WHERE slot = ?1 AND mark = ?2")?
        .query_row(params![slot, id.0], |row| row.get(0))
        .optional()?;
    if let Some(content) = parked {
        return Ok(Some(Mark::Parked { content: ContentDigest(content) }));
    }
    let mut find =
        connection.prepare_cached("SELECT dead, content FROM marks WHERE slot = ?1 AND generation = ?2 AND id = ?3")?;
    for generation in generations {
        let found = find.query_row(params![slot, generation, id.0], |row| Ok((row.get(0)?, row.get(1)?))).optional()?;
        if let Some((dead, content)) = found {
            let status = if dead { MarkStatus::Dead } else { MarkStatus::Done };
            return Ok(Some(Mark::Finished { status, content: ContentDigest(content) }));
        }
    }
    Ok(None)
}

fn key(connection: &Connection, slot: i64, asked: &KeyLookup) -> database::Result<FoundKey> {
    let record = connection
        .prepare_cached("SELECT nonce, record FROM records WHERE slot = ?1 AND key = ?2")?
        .query_row(params![slot, asked.key.as_str()], |row| Ok((Nonce(row.get(0)?), bytes(row, 1)?)))
        .optional()?;
    let (nonce, record) = record.unzip();
    let parked = asked.line.iter().map(|part| line(connection, slot, &asked.key, *part));
    Ok(FoundKey { nonce, record: record.unwrap_or_default(), parked: parked.collect::<Result<_, _>>()? })
}

/// A part of a key's line.
pub fn line(connection: &Connection, slot: i64, key: &Key, part: Range) -> database::Result<Vec<ParkedEvent>> {
    let mut line = Vec::new();
    if part.limit == 0 {
        return Ok(line);
    }
    // Two walks along two indexes, merged as they go: no more rows are read than are taken.
    let mut parked = connection.prepare_cached(
        "SELECT mark, content, place, also, body, place AS at FROM parked \
         WHERE slot = ?1 AND key = ?2 AND place BETWEEN ?3 AND ?4 UNION ALL \
         SELECT mark, content, place, also, body, also AS at FROM parked \
         WHERE slot = ?1 AND key = ?2 AND also BETWEEN ?3 AND ?4 ORDER BY at, mark",
    )?;
    let mut rows = parked.query(params![slot, key.as_str(), part.from.0, part.to.0])?;
    let mut weight = 0;
    while let Some(row) = rows.next()? {
        let event = event(MarkId(row.get(0)?), row, 1)?;
        weight += event.body.len();
        if !line.is_empty() && weight > PARKED_BYTES {
            break;
        }
        line.push(event);
        if line.len() == part.limit {
            break;
        }
    }
    Ok(line)
}

/// Of `content, place, also, body`, from the first of these columns on.
pub fn event(mark: MarkId, row: &Row<'_>, first: usize) -> database::Result<ParkedEvent> {
    let (content, place) = (ContentDigest(row.get(first)?), Place(row.get(first + 1)?));
    let also = row.get::<_, Option<_>>(first + 2)?.map(Place);
    Ok(ParkedEvent { mark, content, place, also, body: bytes(row, first + 3)? })
}

pub fn dead(connection: &Connection, slot: i64, id: &MarkId) -> database::Result<Option<DeadLetter>> {
    connection
        .prepare_cached("SELECT id, open, generation, body FROM dead WHERE slot = ?1 AND id = ?2")?
        .query_row(params![slot, id.0], letter)
        .optional()
}

/// Of `id, open, generation, body`.
pub fn letter(row: &Row<'_>) -> database::Result<DeadLetter> {
    Ok(DeadLetter { id: MarkId(row.get(0)?), open: row.get(1)?, generation: unsigned(row, 2)?, body: bytes(row, 3)? })
}

pub fn position(connection: &Connection, slot: i64, channel: &ChannelName) -> database::Result<Option<u64>> {
    connection
        .prepare_cached("SELECT position FROM positions WHERE slot = ?1 AND channel = ?2")?
        .query_row(params![slot, &**channel], |row| unsigned(row, 0))
        .optional()
}

pub fn bytes(row: &Row<'_>, column: usize) -> database::Result<Bytes> {
    row.get(column).map(|bytes: Vec<u8>| bytes.into())
}

/// Kept as the bits that they are; they are compared here, not in SQL.
pub fn unsigned(row: &Row<'_>, column: usize) -> database::Result<u64> {
    row.get(column).map(i64::cast_unsigned)
}
