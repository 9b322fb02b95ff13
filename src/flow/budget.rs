//! How much a source may have in flight: room is found before the fetch, and given back when the delivery is
//! answered. Bounded by events and by bytes.

use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::Notify;

use crate::bus::Demand;

/// A byte bound below this would let one large event stop the flow.
const SMALLEST_FETCH: usize = 64 * 1024;

#[derive(Debug)]
pub struct Budget {
    limit: Demand,
    used: Mutex<Used>,
    freed: Notify,
}

#[derive(Debug, Default, Clone, Copy)]
struct Used {
    events: usize,
    bytes: usize,
}

impl Budget {
    pub fn new(limit: Demand) -> Arc<Self> {
        Arc::new(Self { limit, used: Mutex::default(), freed: Notify::new() })
    }

    fn used(&self) -> Used {
        *self.used.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits until something may be fetched, and tells how much.
    pub async fn room(&self) -> Demand {
        self.wait_for(|used, limit| {
            let events = limit.events.saturating_sub(used.events);
            let bytes = limit.bytes.saturating_sub(used.bytes);
            (events > 0 && bytes >= SMALLEST_FETCH.min(limit.bytes)).then_some(Demand { events, bytes })
        })
        .await
    }

    /// Waits until nothing is in flight.
    pub async fn drained(&self) {
        self.wait_for(|used, _| (used.events == 0).then_some(())).await;
    }

    async fn wait_for<T>(&self, ready: impl Fn(Used, Demand) -> Option<T>) -> T {
        loop {
            let freed = self.freed.notified();
            tokio::pin!(freed);
            // Registered before looking, so that nothing freed in between is missed.
            freed.as_mut().enable();
            if let Some(value) = ready(self.used(), self.limit) {
                return value;
            }
            freed.await;
        }
    }

    /// Takes room for one event that was fetched. A fetch may go over by its last event.
    pub fn take(self: &Arc<Self>, bytes: usize) -> Permit {
        let mut used = self.used.lock().unwrap_or_else(PoisonError::into_inner);
        used.events += 1;
        used.bytes += bytes;
        Permit { budget: Arc::clone(self), bytes }
    }
}

/// Room taken by one event; given back on drop.
#[derive(Debug)]
pub struct Permit {
    budget: Arc<Budget>,
    bytes: usize,
}

impl Drop for Permit {
    fn drop(&mut self) {
        {
            let mut used = self.budget.used.lock().unwrap_or_else(PoisonError::into_inner);
            used.events -= 1;
            used.bytes -= self.bytes;
        }
        self.budget.freed.notify_waiters();
    }
}
