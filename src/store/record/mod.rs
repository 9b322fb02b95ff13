//! The bytes that the flow keeps in a store, and what they mean. The store itself treats them as opaque.
//!
//! Every value is a frame: a big-endian `u32` length, that many bytes of JSON header, and the payload after it.

use std::sync::Arc;

use bytes::Bytes;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::event::{ChannelName, Headers, Millis, Outgoing, Position, RawEvent};
use crate::schema::Violation;
use crate::script::Place;

mod book;
mod parked;

pub use book::{Book, Numbers, Waiters};
pub use parked::{ParkedBody, Wait};

/// A value in the store that this version cannot read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a {what} in the store cannot be read ({why}); was it written by another version of sluice?")]
pub struct Unreadable {
    what: &'static str,
    why: String,
}

fn frame(header: &impl Serialize, payload: &[u8]) -> Bytes {
    // Headers are rarely longer.
    let mut out = Vec::with_capacity(512 + payload.len());
    out.extend_from_slice(&[0; 4]);
    serde_json::to_writer(&mut out, header).expect("headers are plain structs, which serialize");
    let length = u32::try_from(out.len() - 4).expect("headers are far below 4 GiB");
    out[..4].copy_from_slice(&length.to_be_bytes());
    out.extend_from_slice(payload);
    out.into()
}

fn unframe<H: DeserializeOwned>(what: &'static str, bytes: &Bytes) -> Result<(H, Bytes), Unreadable> {
    let unreadable = |why: String| Unreadable { what, why };
    let length = bytes.get(..4).ok_or_else(|| unreadable("too short".to_owned()))?;
    let length = u32::from_be_bytes([length[0], length[1], length[2], length[3]]) as usize;
    let header =
        bytes.get(4..).and_then(|rest| rest.get(..length)).ok_or_else(|| unreadable("too short".to_owned()))?;
    let header = serde_json::from_slice(header).map_err(|error| unreadable(error.to_string()))?;
    Ok((header, bytes.slice(4 + length..)))
}

/// A key's record: its bookkeeping of order, and its state.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct KeyRecord {
    pub book: Book,
    pub state: Option<Value>,
}

impl KeyRecord {
    pub fn encode(&self) -> Bytes {
        let state = self.state.as_ref().map(|state| serde_json::to_vec(state).expect("JSON values serialize"));
        frame(&self.book, state.as_deref().unwrap_or_default())
    }

    /// Empty bytes are the record of a key that was never touched.
    pub fn decode(bytes: &Bytes) -> Result<Self, Unreadable> {
        if bytes.is_empty() {
            return Ok(Self::default());
        }
        let (book, state) = unframe("key record", bytes)?;
        let state = if state.is_empty() {
            None
        } else {
            let parsed = serde_json::from_slice(&state);
            Some(parsed.map_err(|error| Unreadable { what: "state", why: error.to_string() })?)
        };
        Ok(Self { book, state })
    }
}

/// An emitted event on its way out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OutboxBody {
    pub to: ChannelName,
    /// Emissions of one key to one destination leave in order.
    pub order_key: String,
    /// Shared with whoever publishes it, as often as it takes.
    pub event: Arc<Outgoing>,
}

#[derive(Serialize)]
struct OutboxHeader<'a> {
    to: &'a str,
    order_key: &'a str,
    dedupe_id: &'a str,
    subject: &'a str,
    headers: &'a Headers,
}

/// The same, read.
#[derive(Deserialize)]
struct OutboxHead {
    to: ChannelName,
    order_key: String,
    dedupe_id: String,
    subject: String,
    headers: Headers,
}

impl OutboxBody {
    pub fn encode(&self) -> Bytes {
        let header = OutboxHeader {
            to: &self.to,
            order_key: &self.order_key,
            dedupe_id: &self.event.dedupe_id,
            subject: &self.event.subject,
            headers: &self.event.headers,
        };
        frame(&header, &self.event.payload)
    }

    pub fn decode(bytes: &Bytes) -> Result<Self, Unreadable> {
        let (OutboxHead { to, order_key, dedupe_id, subject, headers }, payload) = unframe("outbox entry", bytes)?;
        Ok(Self { to, order_key, event: Arc::new(Outgoing { dedupe_id, subject, headers, payload }) })
    }
}

/// How an event failed. The classes are those of the failure table in the architecture doc.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Class {
    Permanent,
    Script,
    Transient,
    Limit,
    CrashSuspect,
}

impl Class {
    pub fn name(self) -> &'static str {
        match self {
            Self::Permanent => "permanent",
            Self::Script => "script",
            Self::Transient => "transient",
            Self::Limit => "limit",
            Self::CrashSuspect => "crash_suspect",
        }
    }
}

/// Why an event is set aside. Never holds values of the event: those may be personal or secret.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Failure {
    pub class: Class,
    /// A stable word: `schema`, `no_key`, `unknown_version`…
    pub reason: String,
    pub message: String,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub violations: Vec<Violation>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub at: Option<Place>,
}

impl Failure {
    pub fn permanent(reason: &str, message: impl Into<String>) -> Self {
        Self {
            class: Class::Permanent,
            reason: reason.to_owned(),
            message: message.into(),
            violations: Vec::new(),
            at: None,
        }
    }

    /// A script did what it must not, there.
    pub fn script(reason: &str, message: impl Into<String>, at: &Place) -> Self {
        Self { class: Class::Script, at: Some(at.clone()), ..Self::permanent(reason, message) }
    }
}

/// A dead letter's record, without the raw payload, which follows it in the frame.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeadRecord {
    pub pipeline: String,
    /// Revision of the program that gave up on it.
    pub revision: String,
    pub position: Position,
    pub stored_at: Millis,
    pub headers: Headers,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub event: Option<EventHead>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub key: Option<String>,
    pub failure: Failure,
    /// Equal for dead letters of one cause: what `--group` groups by.
    pub fingerprint: String,
    /// Runs of the handler since the event arrived or was last replayed.
    pub attempts: u32,
    pub first_dead_at: Millis,
    pub dead_at: Millis,
    /// How it was closed; absent while open.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub resolution: Option<Resolution>,
    /// It came from no source: it is an emission of ours that its destination refused. Then `position` is the number it
    /// had in the outbox, and headers and payload are as they were to leave.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub emission: Option<Emission>,
}

/// How a refused emission is to be sent.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Emission {
    pub to: ChannelName,
    pub order_key: String,
    pub dedupe_id: String,
    pub subject: String,
}

/// An event's envelope as far as it could be read.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct EventHead {
    pub id: String,
    #[serde(rename = "type")]
    pub kind: String,
    pub version: u32,
    pub source: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub time: Option<String>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub struct Resolution {
    pub how: How,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub why: Option<String>,
    pub at: Millis,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum How {
    /// A replay handled it.
    Replayed,
    /// A replay parked it for another attempt.
    Parked,
    Discarded,
}

impl DeadRecord {
    pub fn encode(&self, payload: &[u8]) -> Bytes {
        frame(self, payload)
    }

    /// The record and the raw payload.
    pub fn decode(bytes: &Bytes) -> Result<(Self, Bytes), Unreadable> {
        unframe("dead letter", bytes)
    }

    /// A refused emission as it stood in the outbox.
    pub fn outbox(&self, payload: Bytes) -> Option<OutboxBody> {
        let Emission { to, order_key, dedupe_id, subject } = self.emission.clone()?;
        let event = Outgoing { dedupe_id, subject, headers: self.headers.clone(), payload };
        Some(OutboxBody { to, order_key, event: Arc::new(event) })
    }

    /// The event as it was received.
    pub fn raw(&self, payload: Bytes) -> RawEvent {
        RawEvent { position: self.position.clone(), stored_at: self.stored_at, headers: self.headers.clone(), payload }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn key_records_round_trip_with_and_without_state() {
        for state in [None, Some(json!({"total": 3, "long": "ü\u{0}"}))] {
            let book = Book { parked: 2, line: 2, arrivals: 9, blocked_until: Some(Millis(5)), ..Book::default() };
            let record = KeyRecord { book, state };
            assert_eq!(KeyRecord::decode(&record.encode()), Ok(record));
        }
        assert_eq!(KeyRecord::decode(&Bytes::new()), Ok(KeyRecord::default()));
    }

    #[test]
    fn exact_numbers_survive_in_state() {
        let state: Value = serde_json::from_str(r#"{"n":123456789012345678901234567890.123456789}"#).expect("json");
        let record = KeyRecord { book: Book::default(), state: Some(state.clone()) };
        assert_eq!(KeyRecord::decode(&record.encode()).expect("readable").state, Some(state));
    }

    #[test]
    fn state_of_the_deepest_depth_allowed_is_readable() {
        let mut state = json!(1);
        for _ in 0..100 {
            state = json!({ "a": state });
        }
        let record = KeyRecord { book: Book::default(), state: Some(state) };
        assert_eq!(KeyRecord::decode(&record.encode()), Ok(record));
    }

    #[test]
    fn foreign_bytes_are_an_error() {
        for bytes in [&b"\0"[..], b"\0\0\0\xff{}", b"garbage here"] {
            assert!(KeyRecord::decode(&Bytes::copy_from_slice(bytes)).is_err());
        }
    }
}
