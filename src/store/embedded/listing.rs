//! Keys and parked events, page by page.

use super::super::listing::PAGE;
use super::{Connection, Cursor, Key, KeysPage, MarkId, ParkedAt, Slots, Which, database, lookup, params};
use crate::database::OptionalExtension as _;

pub fn keys(connection: &Connection, slots: Slots, which: Which, from: &Cursor) -> database::Result<KeysPage> {
    let mut page = connection.prepare_cached(match which {
        Which::All => "SELECT slot, key FROM records WHERE (slot, key) > (?1, ?2) AND slot <= ?3 ORDER BY slot, key LIMIT ?4",
        Which::WithParked => {
            "SELECT DISTINCT slot, key FROM parked WHERE (slot, key) > (?1, ?2) AND slot <= ?3 ORDER BY slot, key LIMIT ?4"
        }
    })?;
    let first = slots.first + i64::from(from.partition.0);
    let mut rows = page.query(params![first, from.after, slots.last(), i64::try_from(PAGE).unwrap_or(i64::MAX)])?;
    let mut keys = Vec::new();
    while let Some(row) = rows.next()? {
        let (slot, key): (i64, String) = (row.get(0)?, row.get(1)?);
        keys.extend(Key::new(&key).map(|key| (slots.partition(slot), key)));
    }
    Ok(KeysPage::in_order(keys))
}

pub fn parked(connection: &Connection, slots: Slots, id: &MarkId) -> database::Result<Option<ParkedAt>> {
    let mut find = connection.prepare_cached(
        "SELECT key, content, place, also, body, \
         (SELECT count(*) FROM parked AS other WHERE other.slot = found.slot AND other.key = found.key \
          AND (other.place, other.mark) < (found.place, found.mark)) + \
         (SELECT count(*) FROM parked AS other WHERE other.slot = found.slot AND other.key = found.key \
          AND other.also IS NOT NULL AND (other.also, other.mark) < (found.place, found.mark)) \
         FROM parked AS found WHERE slot = ?1 AND mark = ?2",
    )?;
    for (partition, slot) in slots.each() {
        let found = find.query_row(params![slot, id.0], |row| {
            let (key, event): (String, _) = (row.get(0)?, lookup::event(*id, row, 1)?);
            Ok(Key::new(&key).map(|key| (key, event, lookup::unsigned(row, 5))))
        });
        if let Some((key, event, before)) = found.optional()?.flatten() {
            return Ok(Some(ParkedAt { partition, key, before: before?, event }));
        }
    }
    Ok(None)
}
