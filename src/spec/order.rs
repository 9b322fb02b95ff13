//! What a pipeline says about order, beyond arrival order per key.

use std::time::Duration;

use super::program::FieldPath;
use super::units;

/// What holds for events that wait for others.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Reorder {
    /// How long one waits for a prerequisite, and all of a key for a gap.
    pub timeout: Duration,
    pub on_timeout: OnTimeout,
    pub on_dead_prerequisite: OnDeadPrerequisite,
    pub max_parked_per_key: u64,
    /// Of all that is parked in one partition.
    pub max_parked_bytes: u64,
}

impl Default for Reorder {
    fn default() -> Self {
        Self {
            timeout: Duration::from_secs(600),
            on_timeout: OnTimeout::DeadLetter,
            on_dead_prerequisite: OnDeadPrerequisite::Hold,
            max_parked_per_key: 1_000,
            max_parked_bytes: 64 << 20,
        }
    }
}

impl Reorder {
    /// What is wrong when an event can be forgotten while it still waits for another.
    pub fn outlasts(&self, retain: Duration) -> Option<String> {
        (self.timeout > retain).then(|| {
            format!(
                "an event is forgotten after {} while it may still wait for another for {}",
                units::show(retain),
                units::show(self.timeout)
            )
        })
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OnTimeout {
    /// What waited is set aside.
    DeadLetter,
    /// What was waited for is given up, and what waited is handled.
    Advance,
}

/// What becomes of those that wait for an event that was set aside.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OnDeadPrerequisite {
    /// They wait for its replay, however long that takes.
    Hold,
    DeadLetter,
}

/// Events of a key carry numbers without gaps.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sequence {
    pub by: FieldPath,
    /// The pipeline's key: of events that no subscription takes, whose numbers count all the same.
    pub key: FieldPath,
    pub first: First,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum First {
    /// Whatever number comes first.
    Any,
    At(i64),
}

/// Events of a key are held for a while and leave in the order of their time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Resequence {
    pub by: EventTime,
    pub hold: Duration,
}

/// Where an event says when it happened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum EventTime {
    /// The envelope's `time`.
    Envelope,
    Path(FieldPath),
}

/// What becomes of a key when one of its events is set aside.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OnFailure {
    Continue,
    /// Its successors wait until a person replays or discards the dead letter.
    BlockKey,
}
