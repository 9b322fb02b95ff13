//! What one run may use, beside what Rhai counts itself: wall time and memory.
//!
//! Rhai's limits do not bound either (measured): a native such as `replace` costs one operation whatever its
//! length, and values captured by closures escape the size checks. So the time is looked at every few
//! operations, and for a run that is no longer short also the memory of the process.

use std::sync::{Condvar, Mutex, PoisonError};
use std::time::{Duration, Instant};

use crate::spec::program::Limits;

/// A run that lets the process grow by more than this is stopped. It is the growth of the whole process, which
/// other threads add to: a backstop far above what an honest handler needs, not an exact account.
const MEMORY_GROWTH_KIB: usize = 128 * 1024;

/// A run that sees the process grow by more than this goes on alone among its like: so that the growth is its own,
/// and no honest run is stopped for what another one does.
const NOTICEABLE_GROWTH_KIB: usize = MEMORY_GROWTH_KIB / 2;

/// Operations between two looks at the clock. One native on values at their size limit takes up to some
/// milliseconds, so a deadline is overrun by a few of these at most.
const OPERATIONS_PER_CHECK: u64 = 8;

const TIME_BETWEEN_MEMORY_CHECKS: Duration = Duration::from_millis(1);

#[derive(Debug)]
pub(super) enum Overrun {
    Time,
    Memory,
    /// What was emitted is too much or too deep; says so.
    Output(String),
}

impl Overrun {
    pub(super) fn describe(&self, limits: &Limits) -> String {
        match self {
            Self::Time => format!("longer than {} ms", limits.wall.as_millis()),
            Self::Memory => "more memory than one run may use".to_owned(),
            Self::Output(message) => message.clone(),
        }
    }
}

#[derive(Debug)]
pub(super) struct Budget {
    started: Instant,
    wall: Duration,
    next_memory_check: Duration,
    /// Resident when first looked at.
    baseline_kib: Option<usize>,
    turn: Option<Turn>,
}

impl Budget {
    pub(super) fn start(wall: Duration) -> Self {
        Self {
            // Not an observable of the script, only a bound: the one place that asks the system for time.
            started: Instant::now(),
            wall,
            next_memory_check: TIME_BETWEEN_MEMORY_CHECKS,
            baseline_kib: None,
            turn: None,
        }
    }

    /// Whether this operation is one that looks at the budget.
    pub(super) fn due(operations: u64) -> bool {
        operations.is_multiple_of(OPERATIONS_PER_CHECK)
    }

    pub(super) fn check(&mut self) -> Option<Overrun> {
        let elapsed = self.started.elapsed();
        if elapsed > self.wall {
            return Some(Overrun::Time);
        }
        if elapsed < self.next_memory_check {
            return None;
        }
        self.next_memory_check = elapsed + TIME_BETWEEN_MEMORY_CHECKS;
        let resident = resident_kib()?;
        let baseline = *self.baseline_kib.get_or_insert(resident);
        let grown = resident.saturating_sub(baseline);
        if grown > NOTICEABLE_GROWTH_KIB && self.turn.is_none() {
            let (turn, waited) = Turn::wait();
            self.turn = Some(turn);
            if !waited.is_zero() {
                self.started += waited;
                self.baseline_kib = resident_kib();
                return None;
            }
        }
        (grown > MEMORY_GROWTH_KIB).then_some(Overrun::Memory)
    }
}

/// The turn of a run that may take much memory; there is one in the process. It ends with its run, and a run ends
/// within its time, so nobody waits for ever.
#[derive(Debug)]
struct Turn;

static TAKEN: Mutex<bool> = Mutex::new(false);
static FREED: Condvar = Condvar::new();

impl Turn {
    /// Waits for the turn, and tells how long that took: zero when it was free.
    fn wait() -> (Self, Duration) {
        let mut taken = TAKEN.lock().unwrap_or_else(PoisonError::into_inner);
        if !*taken {
            *taken = true;
            return (Self, Duration::ZERO);
        }
        let begun = Instant::now();
        while *taken {
            taken = FREED.wait(taken).unwrap_or_else(PoisonError::into_inner);
        }
        *taken = true;
        (Self, begun.elapsed().max(Duration::from_nanos(1)))
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        *TAKEN.lock().unwrap_or_else(PoisonError::into_inner) = false;
        FREED.notify_one();
    }
}

/// Resident memory of this process; `None` where the system does not tell.
fn resident_kib() -> Option<usize> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    line.split_whitespace().next()?.parse().ok()
}
