//! Deliveries that are acked when all they caused is confirmed.

use std::collections::HashMap;

use crate::flow::held::Settled;

#[derive(Default)]
pub(super) struct Waiters {
    last: u64,
    waiting: HashMap<u64, Waiter>,
}

struct Waiter {
    /// Entries that are not confirmed.
    remaining: usize,
    settled: Settled,
}

impl Waiters {
    /// Registers who waits. It holds one count of its own until [`Self::release`], so that it cannot be acked
    /// while its entries are still being added.
    pub(super) fn add(&mut self, settled: Settled) -> u64 {
        self.last += 1;
        self.waiting.insert(self.last, Waiter { remaining: 1, settled });
        self.last
    }

    /// It waits for one entry more.
    pub(super) fn one_more(&mut self, id: u64) {
        if let Some(waiter) = self.waiting.get_mut(&id) {
            waiter.remaining += 1;
        }
    }

    /// It waits for one entry less; for none any more, it is acked.
    pub(super) fn release(&mut self, id: u64) {
        let Some(waiter) = self.waiting.get_mut(&id) else { return };
        waiter.remaining -= 1;
        if waiter.remaining == 0
            && let Some(waiter) = self.waiting.remove(&id)
        {
            waiter.settled.ack();
        }
    }
}
