//! A parked event's bytes.

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use super::{Unreadable, frame, unframe};
use crate::event::{Headers, Millis, Position, RawEvent};

/// A parked event: its bytes as received, and why it waits.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ParkedBody {
    pub raw: RawEvent,
    pub wait: Wait,
    /// Runs of the handler so far.
    pub attempts: u32,
    /// When it was first parked.
    pub since: Millis,
}

/// Why an event is parked.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Wait {
    /// For its next attempt.
    Retry { why: String, due: Millis },
    /// Behind an earlier event of its key.
    Behind,
    /// For a program that accepts this version of this type.
    Version { event: String, version: u32 },
    /// For an event of this type of its key.
    After {
        event: String,
        /// When it has waited long enough.
        deadline: Millis,
        /// What its handler asked to wait for, beside what its subscription says.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        asked: Vec<String>,
    },
    /// For the numbers before its own.
    Number { number: i64 },
    /// For others that happened before it; at most until then.
    Hold { time: i64, due: Millis },
    /// For a subscription that takes its type, which is looked for again then. Its turn had come in what it `was`
    /// waiting for.
    NoHandler { due: Millis, was: Box<Wait> },
}

impl Wait {
    /// In words that follow `waits`.
    pub fn what_for(&self) -> String {
        match self {
            Self::Retry { why, .. } => format!("for its next attempt: {why}"),
            Self::Behind => "behind an earlier event of its key".to_owned(),
            Self::Version { event, version } => format!("for a program that accepts version {version} of `{event}`"),
            Self::After { event, .. } => format!("for `{event}` of its key"),
            Self::Number { number } => format!("for the numbers before {number}"),
            Self::Hold { .. } => "for what happened before it".to_owned(),
            Self::NoHandler { .. } => "for a subscription that takes its type".to_owned(),
        }
    }

    /// It had its turn, and goes on with it.
    pub fn had_turn(&self) -> bool {
        match self {
            Self::Retry { .. } | Self::Version { .. } => true,
            Self::NoHandler { was, .. } => was.had_turn(),
            Self::Behind | Self::After { .. } | Self::Number { .. } | Self::Hold { .. } => false,
        }
    }

    /// When it has waited long enough for a prerequisite.
    pub fn deadline(&self) -> Option<Millis> {
        match self {
            Self::After { deadline, .. } => Some(*deadline),
            Self::NoHandler { was, .. } => was.deadline(),
            _ => None,
        }
    }

    /// Types that its handler asked to wait for.
    pub fn asked(&self) -> &[String] {
        match self {
            Self::After { asked, .. } => asked,
            Self::NoHandler { was, .. } => was.asked(),
            _ => &[],
        }
    }
}

#[derive(Serialize, Deserialize)]
struct ParkedHeader {
    position: Position,
    stored_at: Millis,
    headers: Headers,
    wait: Wait,
    attempts: u32,
    since: Millis,
}

impl ParkedBody {
    pub fn encode(&self) -> Bytes {
        let header = ParkedHeader {
            position: self.raw.position.clone(),
            stored_at: self.raw.stored_at,
            headers: self.raw.headers.clone(),
            wait: self.wait.clone(),
            attempts: self.attempts,
            since: self.since,
        };
        frame(&header, &self.raw.payload)
    }

    pub fn decode(bytes: &Bytes) -> Result<Self, Unreadable> {
        let (header, payload): (ParkedHeader, _) = unframe("parked event", bytes)?;
        let raw = RawEvent { position: header.position, stored_at: header.stored_at, headers: header.headers, payload };
        Ok(Self { raw, wait: header.wait, attempts: header.attempts, since: header.since })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parked_events_keep_their_bytes() {
        let raw = RawEvent {
            position: Position { channel: "orders".into(), seq: 3 },
            stored_at: Millis(7),
            headers: Headers(vec![("a".into(), "b".into())]),
            payload: Bytes::from_static(b"\xff\x00not json"),
        };
        let body = ParkedBody {
            raw,
            wait: Wait::Retry { why: "later".into(), due: Millis(9) },
            attempts: 2,
            since: Millis(8),
        };
        assert_eq!(ParkedBody::decode(&body.encode()), Ok(body));
    }
}
