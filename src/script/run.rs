//! One run of a script: what the host functions and the sandbox know about it.
//!
//! The engine is shared and immutable, so what belongs to a run lives in a thread-local for as long as it lasts;
//! a script runs to its end on the thread it started on.

use std::cell::RefCell;
use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use rhai::ImmutableString;

use super::budget::{Budget, Overrun};
use super::convert::Allowance;
use super::host::LOG_BYTES;
use super::modules::Imported;
use super::{Emitted, Kind, Place};
use crate::spec::program::Limits;

/// Modules by (importing file, path as written).
pub(super) type Imports = HashMap<(String, String), Arc<Imported>>;

/// How a script ended itself.
#[derive(Debug)]
pub(super) enum Ending {
    Retry { why: String, delay: Option<Duration> },
    Reject { why: String },
    Skip { why: String },
    WaitFor { kind: String, at: Place },
}

#[derive(Debug)]
pub(super) struct Run {
    /// `None` while the top level of a module runs, at compile time.
    pub(super) kind: Option<Kind>,
    pub(super) subject: Subject,
    pub(super) line_offset: usize,
    pub(super) imports: Arc<Imports>,
    pub(super) allowance: Allowance,
    pub(super) emitted: Vec<Emitted>,
    pub(super) state_deleted: bool,
    pub(super) ending: Option<Ending>,
    pub(super) overrun: Option<Overrun>,
    pub(super) uuids: u64,
    /// Of log that may still be written.
    pub(super) log_bytes: usize,
    budget: Budget,
}

/// The event a run is about: what `uuid()` derives from and what log lines name.
#[derive(Clone, Debug, Default)]
pub(super) struct Subject {
    pub(super) pipeline: Arc<str>,
    pub(super) source: ImmutableString,
    pub(super) id: ImmutableString,
    /// Empty in an upcaster, which runs whatever the key.
    pub(super) key: ImmutableString,
    pub(super) file: Arc<str>,
}

/// What one run may emit and store in all, in multiples of what it may store.
const OUTPUT_FACTOR: usize = 8;

thread_local! {
    static CURRENT: RefCell<Option<Run>> = const { RefCell::new(None) };
}

impl Run {
    pub(super) fn new(kind: Option<Kind>, subject: Subject, imports: Arc<Imports>, limits: &Limits) -> Self {
        let bytes = limits.state_bytes.max(limits.payload_bytes).saturating_mul(OUTPUT_FACTOR);
        Self {
            kind,
            subject,
            line_offset: 0,
            imports,
            allowance: Allowance { depth: limits.depth, bytes },
            emitted: Vec::new(),
            state_deleted: false,
            ending: None,
            overrun: None,
            uuids: 0,
            log_bytes: LOG_BYTES,
            budget: Budget::start(limits.wall),
        }
    }

    /// Runs `script` as this run and hands the run back with what the script left in it.
    pub(super) fn around<T>(self, script: impl FnOnce() -> T) -> (T, Self) {
        /// Puts back what was there, also when `script` panics.
        struct Restore(Option<Run>);
        impl Drop for Restore {
            fn drop(&mut self) {
                CURRENT.set(self.0.take());
            }
        }
        let outer = Restore(CURRENT.replace(Some(self)));
        let result = script();
        let run = CURRENT.take().expect("it was put there above, and whatever replaces it puts it back");
        drop(outer);
        (result, run)
    }

    /// The run on this thread, if a script is running.
    pub(super) fn with<T>(look: impl FnOnce(&mut Self) -> T) -> Option<T> {
        CURRENT.with_borrow_mut(|current| current.as_mut().map(look))
    }

    /// Called for each operation: whether the script must stop.
    pub(super) fn must_stop(operations: u64) -> bool {
        if !Budget::due(operations) {
            return false;
        }
        Self::with(|run| {
            if run.overrun.is_none() {
                run.overrun = run.budget.check();
            }
            run.overrun.is_some() || run.ending.is_some()
        })
        .unwrap_or(false)
    }
}
