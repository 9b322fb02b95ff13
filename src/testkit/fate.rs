//! What befalls the calls of one process on their way to a server.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use futures_util::future::BoxFuture;

use crate::event::Position;

/// What a process asks of its store and its broker.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Call {
    Open,
    Probe,
    Lookup,
    Commit,
    Start,
    Returned,
    Advance,
    Lease,
    /// Any other question to the store that changes nothing.
    Ask,
    Next,
    Deliver,
    Progress,
    Read,
    Ack,
    Publish,
}

impl Call {
    /// Whether it goes to the store.
    pub fn asks_store(self) -> bool {
        match self {
            Self::Open | Self::Probe | Self::Lookup | Self::Commit | Self::Advance | Self::Lease | Self::Ask => true,
            Self::Start | Self::Returned => true,
            Self::Next | Self::Deliver | Self::Progress | Self::Read | Self::Ack | Self::Publish => false,
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Way {
    There,
    Back,
}

/// Decides what goes wrong for one process.
pub trait Fate: Send + Sync {
    /// Whether the `nth` call of this kind, counted from 1, goes wrong; with a number to choose how by.
    fn strikes(&self, call: Call, nth: u64) -> Option<u64>;

    /// One way of a call. It takes as long as it likes, and never ends for the dead.
    fn travel(&self, call: Call, nth: u64, way: Way) -> BoxFuture<'static, ()>;

    /// What went wrong, for a trace.
    fn tell(&self, what: &str);

    /// An event is handed to the process, or acked by it.
    fn told(&self, what: Call, place: &Position);

    /// Whether a destination never takes this event.
    fn refuses(&self, _payload: &[u8]) -> bool {
        false
    }
}

/// Numbers the calls of a process by their kind.
#[derive(Default)]
pub(super) struct Calls(Mutex<HashMap<Call, u64>>);

impl Calls {
    pub(super) fn next(&self, call: Call) -> u64 {
        let mut calls = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let calls = calls.entry(call).or_default();
        *calls += 1;
        *calls
    }
}
