//! Where chance comes from. A run has one seed, and every purpose a luck of its own made from it: leaving a step or
//! a mishap out does not reshuffle the rest, so that what is left still fails.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::clock::SeededEntropy;
use crate::testkit::fate::Call;

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Luck(pub u64);

impl Luck {
    /// For a purpose.
    pub fn of(self, purpose: u64) -> Self {
        Self(SeededEntropy::new(self.0 ^ purpose.wrapping_mul(0xd6e8_feb8_6659_fd93)).next())
    }

    pub fn below(self, sides: u64) -> u64 {
        self.0 % sides.max(1)
    }

    pub fn entropy(self) -> SeededEntropy {
        SeededEntropy::new(self.0)
    }
}

/// One call of one process that goes wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Mishap {
    /// The luck of the process.
    pub process: Luck,
    pub call: Call,
    pub nth: u64,
}

/// Mishaps that are chosen; each with the number its call had when luck brought it, for what goes wrong hangs on that.
pub type Chosen = BTreeMap<Mishap, u64>;

/// All mishaps of a run.
#[derive(Default)]
pub struct Mishaps {
    /// Beside these none happens; `None`: all that luck brings.
    only: Option<Chosen>,
    over: AtomicBool,
    met: Mutex<BTreeSet<Mishap>>,
}

impl Mishaps {
    pub fn new(only: Option<Chosen>) -> Self {
        Self { only, ..Self::default() }
    }

    /// Whether it happens, so often in a thousand; with a number to choose how.
    pub fn strike(&self, mishap: Mishap, in_a_thousand: u64) -> Option<u64> {
        let nth = match &self.only {
            Some(only) => *only.get(&mishap)?,
            None => mishap.nth,
        };
        let luck = mishap.process.of(mishap.call as u64 + 1).of(nth);
        if luck.below(1_000) >= in_a_thousand || self.over.load(Relaxed) {
            return None;
        }
        self.met().insert(mishap);
        Some(luck.0 / 1_000)
    }

    /// None from now on.
    pub fn end(&self) {
        self.over.store(true, Relaxed);
    }

    /// Those that happened.
    pub fn met(&self) -> MutexGuard<'_, BTreeSet<Mishap>> {
        self.met.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
