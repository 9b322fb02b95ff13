//! Scenarios: what `sluice test` plays, and how it explores.
//!
//! ```text
//! spec::scenario ─▶ stage ─▶ orders ─▶ world ─▶ end ─▶ check ─▶ Report
//!  what is written   once     which     a run    what   what
//!                    for all  orders             is     must be
//! ```
//!
//! A run is the flow itself, as `sluice run` runs it: the same supervisor, workers and commits, on channels and stores in
//! memory. Only time is not real: it passes when a scenario says so, and a run takes a fraction of a millisecond of it.

mod check;
mod doom;
mod end;
mod explore;
mod orders;
mod stage;
mod wires;
mod world;

use std::sync::Arc;

pub use check::Mismatch;
pub use end::DeadEnd;
pub use explore::{Progress, Settings};

use crate::spec::program::Program;
use crate::spec::scenario::{Scenario, ScenarioFile};
use stage::Stage;

/// What became of a scenario.
#[derive(Debug)]
pub struct Report {
    /// Runs that were played to find it out, or to make what was found smaller.
    pub runs: usize,
    /// There are more orders than were tried: these were drawn with this seed.
    pub sampled: Option<u64>,
    /// Why it fails.
    pub failure: Option<Failure>,
}

#[derive(Debug)]
pub enum Failure {
    /// The order that is given ends otherwise than it should.
    Given {
        mismatches: Vec<Mismatch>,
        /// What was set aside: often it says why.
        dead: Vec<DeadEnd>,
    },
    /// The order that is given ends as it should, and another one does not.
    Explored(Box<CounterExample>),
    /// The flow itself failed, in this order.
    Broken { why: String, order: Vec<Delivery>, crash: Option<String> },
}

/// An order of delivery that ends otherwise, as near to the given one as could be found.
#[derive(Debug)]
pub struct CounterExample {
    pub given: Vec<Delivery>,
    pub order: Vec<Delivery>,
    /// Where the process died, once, in words.
    pub crash: Option<String>,
    pub mismatches: Vec<Mismatch>,
    /// What is otherwise than when the given order ended, which counts as expected.
    pub differences: Vec<Mismatch>,
    pub dead: Vec<DeadEnd>,
}

/// A step for people.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Delivery {
    Message {
        name: String,
        /// It was delivered before, and is not given twice.
        again: bool,
    },
    Wait(std::time::Duration),
}

/// Plays a scenario, in every order it asks for.
pub fn test(
    program: &Arc<Program>,
    file: &ScenarioFile,
    scenario: &Scenario,
    settings: &Settings<'_>,
) -> Result<Report, String> {
    let stage = Stage::new(program, file, scenario);
    explore::explore(&stage, scenario, settings)
}
