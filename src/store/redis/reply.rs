//! What the server answered, as values of the store's contract.

use bytes::Bytes;
use redis::Value;

use super::layout;
use crate::event::{Key, MarkId};
use crate::store::{DeadLetter, Found, FoundKey, Mark, Nonce, ParkedEvent, StoreError};

/// An answer of another shape than our own scripts and commands give.
pub fn unexpected(what: &str) -> StoreError {
    StoreError::Refused(format!(
        "the redis store answered something unexpected for {what}: if nothing else writes to its `{{sluice:…}}` \
         keys, please report this as a bug"
    ))
}

pub fn list(value: Value, what: &str) -> Result<Vec<Value>, StoreError> {
    match value {
        Value::Array(items) => Ok(items),
        _ => Err(unexpected(what)),
    }
}

/// A string, or `None` for nil.
pub fn bytes(value: Value, what: &str) -> Result<Option<Bytes>, StoreError> {
    match value {
        Value::BulkString(bytes) => Ok(Some(bytes.into())),
        Value::SimpleString(text) => Ok(Some(text.into_bytes().into())),
        Value::Nil => Ok(None),
        _ => Err(unexpected(what)),
    }
}

pub fn text(value: Value, what: &str) -> Result<String, StoreError> {
    let bytes = bytes(value, what)?.ok_or_else(|| unexpected(what))?;
    String::from_utf8(bytes.into()).map_err(|_| unexpected(what))
}

pub fn number(value: &Value, what: &str) -> Result<u64, StoreError> {
    match value {
        Value::Int(n) => u64::try_from(*n).map_err(|_| unexpected(what)),
        _ => Err(unexpected(what)),
    }
}

pub fn decimal(bytes: &[u8], what: &str) -> Result<u64, StoreError> {
    std::str::from_utf8(bytes).ok().and_then(|text| text.parse().ok()).ok_or_else(|| unexpected(what))
}

pub fn mark_id(bytes: &[u8], what: &str) -> Result<MarkId, StoreError> {
    bytes.try_into().map(MarkId).map_err(|_| unexpected(what))
}

pub fn key(bytes: &[u8], what: &str) -> Result<Key, StoreError> {
    std::str::from_utf8(bytes).ok().and_then(Key::new).ok_or_else(|| unexpected(what))
}

/// The answer of `lookup.lua`; `dead` are the ids asked for.
pub fn found(value: Value, dead: &[MarkId]) -> Result<Found, StoreError> {
    let what = "a lookup";
    let [marks, keys, letters, parked_bytes] =
        <[Value; 4]>::try_from(list(value, what)?).map_err(|_| unexpected(what))?;
    let letters = list(letters, what)?;
    if letters.len() != dead.len() {
        return Err(unexpected(what));
    }
    Ok(Found {
        marks: list(marks, what)?.into_iter().map(mark).collect::<Result<_, _>>()?,
        keys: list(keys, what)?.into_iter().map(found_key).collect::<Result<_, _>>()?,
        dead: dead.iter().zip(letters).map(|(id, letter)| dead_letter_if(*id, letter)).collect::<Result<_, _>>()?,
        parked_bytes: decimal(text(parked_bytes, what)?.as_bytes(), what)?,
    })
}

fn mark(value: Value) -> Result<Option<Mark>, StoreError> {
    let Some(bytes) = bytes(value, "a mark")? else { return Ok(None) };
    layout::decode_mark(&bytes).map(Some).ok_or_else(|| unexpected("a mark"))
}

fn found_key(value: Value) -> Result<FoundKey, StoreError> {
    let what = "a key";
    let [record, parked] = <[Value; 2]>::try_from(list(value, what)?).map_err(|_| unexpected(what))?;
    let parked = list(parked, what)?.into_iter().map(line).collect::<Result<_, _>>()?;
    let Some(record) = bytes(record, what)? else { return Ok(FoundKey { nonce: None, record: Bytes::new(), parked }) };
    let nonce = record.get(..16).and_then(|head| head.try_into().ok()).ok_or_else(|| unexpected(what))?;
    Ok(FoundKey { nonce: Some(Nonce(nonce)), record: record.slice(16..), parked })
}

/// Of marks and entries in turn.
fn line(value: Value) -> Result<Vec<ParkedEvent>, StoreError> {
    let mut parked = Vec::new();
    let mut line = list(value, "a line")?.into_iter();
    while let (Some(mark), Some(entry)) = (line.next(), line.next()) {
        parked.push(parked_event(mark, entry)?);
    }
    Ok(parked)
}

fn parked_event(mark: Value, entry: Value) -> Result<ParkedEvent, StoreError> {
    let what = "a parked event";
    let (Some(mark), Some(entry)) = (bytes(mark, what)?, bytes(entry, what)?) else { return Err(unexpected(what)) };
    let decoded = layout::decode_parked(mark_id(&mark, what)?, &entry);
    decoded.map(|(_, event)| event).ok_or_else(|| unexpected(what))
}

fn dead_letter_if(id: MarkId, value: Value) -> Result<Option<DeadLetter>, StoreError> {
    if value == Value::Nil {
        return Ok(None);
    }
    let what = "a dead letter";
    let [state, body] = <[Value; 2]>::try_from(list(value, what)?).map_err(|_| unexpected(what))?;
    let state = text(state, what)?;
    let (generation, open) = match state.split_once(':') {
        Some((generation, "o")) => (generation, true),
        Some((generation, "c")) => (generation, false),
        _ => return Err(unexpected(what)),
    };
    let generation = generation.parse().map_err(|_| unexpected(what))?;
    Ok(Some(DeadLetter { id, open, generation, body: bytes(body, what)?.unwrap_or_default() }))
}
