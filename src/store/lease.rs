//! Who runs a pipeline: at most one runner at a time by a lease, while the others stand by.
//!
//! It serves the order of events and nothing else. Whoever goes on without it is refused by the conditions of its
//! commits like anybody who is late, so a lease that two hold at once costs order within keys, never an event.

use std::time::Duration;

use super::WriterId;

/// What asking for the lease tells.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lease {
    /// Ours, from the moment the store decided, for as long as was asked for.
    Ours,
    /// Nobody else can have it while this process lives: there is nothing to keep.
    Alone,
    Theirs(Holder),
}

/// Another runner that holds the lease.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Holder {
    pub runner: WriterId,
    /// How much longer, unless it renews or gives it back.
    pub left: Duration,
}

/// The runner as logs and people know it: the first four bytes of its id.
impl std::fmt::Display for WriterId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0[..4].iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}
