//! How a process dies: at one call to its store, before or after it is carried out.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use futures_util::future::BoxFuture;
use tokio_util::sync::CancellationToken;

use crate::event::Position;
use crate::testkit::fate::{Call, Fate, Way};

/// Calls of a process that none but a circle makes.
const MOST_CALLS: u64 = 200_000;

/// Nothing goes wrong but that the process dies, if it does.
pub struct Doom {
    death: Option<(Call, u64, Way)>,
    /// How often each was called.
    calls: Mutex<HashMap<Call, u64>>,
    died: CancellationToken,
}

impl Doom {
    /// Dies at the nth call of a kind, counted from 1, on its way there or back.
    pub fn new(death: Option<(Call, u64, Way)>) -> Arc<Self> {
        Arc::new(Self { death, calls: Mutex::default(), died: CancellationToken::new() })
    }

    pub fn has_died(&self) -> bool {
        self.died.is_cancelled()
    }

    pub fn calls(&self, call: Call) -> u64 {
        self.counts().get(&call).copied().unwrap_or(0)
    }

    fn counts(&self) -> MutexGuard<'_, HashMap<Call, u64>> {
        self.calls.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Fate for Doom {
    fn strikes(&self, _: Call, _: u64) -> Option<u64> {
        None
    }

    fn travel(&self, call: Call, nth: u64, way: Way) -> BoxFuture<'static, ()> {
        let mut counts = self.counts();
        counts.insert(call, nth);
        if self.death == Some((call, nth, way)) {
            self.died.cancel();
            return Box::pin(std::future::pending());
        }
        // Who asks for ever is not answered for ever: the run then does not come to rest, and says so.
        if counts.values().sum::<u64>() > MOST_CALLS {
            return Box::pin(std::future::pending());
        }
        Box::pin(std::future::ready(()))
    }

    fn tell(&self, _: &str) {}

    fn told(&self, _: Call, _: &Position) {}
}
