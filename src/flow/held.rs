//! A delivery in our hands, from fetch to ack.

use super::budget::Permit;
use super::decide::Outcome;
use super::tally::Ticket;
use crate::bus::{Receipt, Responder};

/// What is held for one event. Dropped before it is settled, the event is handed back and counted as returned.
#[derive(Debug)]
pub struct Held {
    ticket: Ticket,
    settled: Settled,
}

/// The part that stays until the ack.
#[derive(Debug)]
pub struct Settled {
    /// `None` for an event that was read again by recovery: there is nothing to ack.
    responder: Option<Responder>,
    /// `None` likewise: recovery waits for outcomes, and must not wait for a destination that is down.
    _permit: Option<Permit>,
}

impl Held {
    pub fn new(ticket: Ticket, responder: Option<Responder>, permit: Permit) -> Self {
        Self { ticket, settled: Settled { responder, _permit: Some(permit) } }
    }

    /// The outcome is committed: count it. What is returned is acked once the emissions are confirmed.
    pub fn settle(mut self, subscription: Option<&str>, outcome: Outcome) -> Settled {
        self.ticket.settle(subscription, outcome);
        if self.settled.responder.is_none() {
            self.settled._permit = None;
        }
        self.settled
    }

    /// No subscription handles it: the one ack without a commit.
    pub fn ignore(self) {
        self.settle(None, Outcome::Ignored).ack();
    }
}

impl Settled {
    pub fn ack(self) {
        if let Some(responder) = self.responder {
            responder.ack(Receipt::new());
        }
    }
}
