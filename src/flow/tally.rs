//! The balance: every delivery is counted once when it arrives and once when it ends.
//!
//! `received = done + skipped + duplicate + parked + dead + ignored + returned + in_flight`, at any moment nothing
//! is between a ticket's two counts. In-flight is counted on its own, so that the equation can fail.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering::Relaxed};

use super::decide::Outcome;
use crate::spec::program::Pipeline;

impl Outcome {
    pub const ALL: [Self; 7] =
        [Self::Done, Self::Skipped, Self::Duplicate, Self::Parked, Self::Dead, Self::Ignored, Self::Returned];

    pub fn name(self) -> &'static str {
        match self {
            Self::Done => "done",
            Self::Skipped => "skipped",
            Self::Duplicate => "duplicate",
            Self::Parked => "parked",
            Self::Dead => "dead",
            Self::Ignored => "ignored",
            Self::Returned => "returned",
        }
    }

    fn index(self) -> usize {
        self as usize
    }
}

/// Counts of one pipeline since the process started.
#[derive(Debug)]
pub struct Tally {
    pub pipeline: Arc<str>,
    received: AtomicU64,
    in_flight: AtomicI64,
    /// One row a subscription, named by its event type, and a last one (`-`) for events without any.
    rows: Vec<(String, [AtomicU64; 7])>,
    unparked: [AtomicU64; 7],
}

impl Tally {
    pub fn new(pipeline: &Pipeline) -> Arc<Self> {
        let events: std::collections::BTreeSet<&String> = pipeline.subscriptions.iter().map(|s| &s.event).collect();
        let mut names: Vec<String> = events.into_iter().cloned().collect();
        names.push("-".to_owned());
        Arc::new(Self {
            pipeline: Arc::clone(&pipeline.name),
            received: AtomicU64::new(0),
            in_flight: AtomicI64::new(0),
            rows: names.into_iter().map(|name| (name, Default::default())).collect(),
            unparked: Default::default(),
        })
    }

    /// Counts a delivery in. The ticket counts it out again: by its outcome, or as returned when it is dropped.
    pub fn receive(self: &Arc<Self>) -> Ticket {
        self.received.fetch_add(1, Relaxed);
        self.in_flight.fetch_add(1, Relaxed);
        Ticket { tally: Some(Arc::clone(self)) }
    }

    pub fn unpark(&self, to: Outcome) {
        self.unparked[to.index()].fetch_add(1, Relaxed);
    }

    pub fn snapshot(&self) -> Balance {
        let mut outcomes = [0; 7];
        for (_, row) in &self.rows {
            for (sum, count) in outcomes.iter_mut().zip(row) {
                *sum += count.load(Relaxed);
            }
        }
        Balance { received: self.received.load(Relaxed), in_flight: self.in_flight.load(Relaxed), outcomes }
    }

    /// (subscription, outcome, count) for metrics.
    pub fn events(&self) -> impl Iterator<Item = (&str, Outcome, u64)> {
        self.rows.iter().flat_map(|(name, row)| {
            Outcome::ALL.into_iter().map(move |outcome| (name.as_str(), outcome, row[outcome.index()].load(Relaxed)))
        })
    }

    pub fn unparked(&self) -> impl Iterator<Item = (Outcome, u64)> {
        Outcome::ALL.into_iter().map(|outcome| (outcome, self.unparked[outcome.index()].load(Relaxed)))
    }
}

/// One delivery between arrival and outcome.
#[derive(Debug)]
pub struct Ticket {
    tally: Option<Arc<Tally>>,
}

impl Ticket {
    pub fn settle(mut self, subscription: Option<&str>, outcome: Outcome) {
        self.count(subscription, outcome);
    }

    fn count(&mut self, subscription: Option<&str>, outcome: Outcome) {
        let Some(tally) = self.tally.take() else { return };
        let row = subscription.and_then(|name| tally.rows.iter().find(|(row, _)| row == name)).or(tally.rows.last());
        if let Some((_, row)) = row {
            row[outcome.index()].fetch_add(1, Relaxed);
        }
        tally.in_flight.fetch_sub(1, Relaxed);
    }
}

impl Drop for Ticket {
    fn drop(&mut self) {
        self.count(None, Outcome::Returned);
    }
}

/// The balance at one moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Balance {
    pub received: u64,
    pub in_flight: i64,
    outcomes: [u64; 7],
}

impl Balance {
    pub fn of(&self, outcome: Outcome) -> u64 {
        self.outcomes[outcome.index()]
    }

    /// Whether every delivery is accounted for.
    pub fn holds(&self) -> bool {
        i128::from(self.received)
            == self.outcomes.iter().map(|n| i128::from(*n)).sum::<i128>() + i128::from(self.in_flight)
    }
}

impl fmt::Display for Balance {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "received {} =", self.received)?;
        for outcome in Outcome::ALL {
            write!(f, " {} {} +", outcome.name(), self.of(outcome))?;
        }
        write!(f, " in_flight {}", self.in_flight)
    }
}
