//! Events that the client cannot receive: over a header name outside of ASCII, or headers that are not UTF-8, it
//! closes the connection at each delivery; over a carriage return in a value it panics, and `link` starts it anew.
//!
//! ```text
//! delivery ─▶ cut ─▶ Lapsed ─▶ read again ─▶ cut ─▶ read through the API ─▶ known from here on:
//!                                             reading again goes around it, and `next` delivers it in the
//!                                             server's place, so that it is acked like any redelivery
//! ```
//! The server takes an ack by the sequence in its subject, wherever that subject comes from (2.10 to 2.15; a subject
//! with the sequence of another delivery is fine), so what was never received can be acked.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use async_nats::Subject;

/// Those a source met, by sequence. Forgotten once the ack floor has passed them: as many as the unacked, at most.
#[derive(Default)]
pub struct Undeliverable {
    /// `true`: to be delivered in the server's place.
    known: Mutex<BTreeMap<u64, bool>>,
}

impl Undeliverable {
    /// Whether it was not known before.
    pub fn note(&self, seq: u64) -> bool {
        self.known().insert(seq, true).is_none()
    }

    pub fn first_in(&self, from: u64, to: u64) -> Option<u64> {
        self.known().range(from..=to).next().map(|(seq, _)| *seq)
    }

    pub fn due(&self) -> Option<u64> {
        self.known().iter().find(|(_, due)| **due).map(|(seq, _)| *seq)
    }

    pub fn delivered(&self, seq: u64) {
        if let Some(due) = self.known().get_mut(&seq) {
            *due = false;
        }
    }

    /// The server may have delivered them again: what nobody holds was not acked, as far as we know.
    pub fn lapsed(&self, is_held: impl Fn(u64) -> bool) {
        for (seq, due) in self.known().iter_mut() {
            *due |= !is_held(*seq);
        }
    }

    pub fn gone(&self, seq: u64) {
        self.known().remove(&seq);
    }

    pub fn acked_up_to(&self, floor: u64) {
        self.known().retain(|seq, _| *seq > floor);
    }

    fn known(&self) -> MutexGuard<'_, BTreeMap<u64, bool>> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The subject that acks an event of which no delivery was received. The server looks at its stream sequence only,
/// and ignores the sequence of the delivery where it is 0: for an event that is not unacked this does nothing, and
/// handing it back leaves it to its ack wait, which is right for what would cut the connection at once.
pub fn reply(stream: &str, consumer: &str, seq: u64) -> Subject {
    format!("$JS.ACK.{stream}.{consumer}.1.{seq}.0.0.0").into()
}
