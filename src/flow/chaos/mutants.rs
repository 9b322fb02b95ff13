//! Each known way to break the algorithm is caught within a few hundred seeds.

#![expect(clippy::print_stdout, reason = "a test that says what it found")]

use super::rig::{Plan, Trouble, run, takeovers};
use crate::mutant::{self, Mutant};

/// Seeds a mutant may survive before it counts as missed.
const SEEDS: u64 = 500;

fn caught(mutant: Mutant, plans: &[Plan]) {
    for seed in 0..SEEDS {
        for plan in plans {
            if let Err(broken) = mutant::with(Some(mutant), || run(plan, seed)) {
                // Shown by `--nocapture`: that the right thing broke is for a person to see.
                println!("{mutant:?} is caught by seed {seed}: {broken}");
                return;
            }
        }
    }
    panic!("{mutant:?} survived {SEEDS} seeds");
}

fn fire() -> Vec<Plan> {
    use Trouble::{Crash, PublishFaults, StoreFaults, TailLost};
    vec![
        Plan { trouble: vec![Crash], ..Plan::default() },
        Plan { trouble: vec![Crash, StoreFaults, PublishFaults], ..Plan::default() },
        Plan { trouble: vec![TailLost, StoreFaults], ..Plan::default() },
        Plan { runners: 2, keys: 2, trouble: vec![Crash, StoreFaults], ..Plan::default() },
    ]
}

#[test]
fn marking_before_is_caught() {
    caught(Mutant::MarkBefore, &fire());
}

#[test]
fn marking_after_is_caught() {
    caught(Mutant::MarkAfter, &fire());
}

#[test]
fn acking_before_the_commit_is_caught() {
    caught(Mutant::AckBeforeCommit, &fire());
}

#[test]
fn committing_without_the_version_check_is_caught() {
    caught(Mutant::NoVersionCheck, &fire());
}

#[test]
fn counting_versions_is_caught() {
    // Chance finds this one only once in thousands of seeds, so its interleaving is played out.
    assert_eq!(super::aba::late_commit_on_a_rebuilt_key(), Ok(()));
    let broken = mutant::with(Some(Mutant::CounterVersions), super::aba::late_commit_on_a_rebuilt_key);
    assert!(broken.is_err(), "CounterVersions survived");
}

#[test]
fn handling_two_copies_in_one_batch_is_caught() {
    caught(Mutant::NoBatchDedupe, &fire());
}

#[test]
fn clearing_the_outbox_by_range_is_caught() {
    caught(Mutant::ClearByRange, &fire());
}

#[test]
fn parking_without_a_touch_is_caught() {
    caught(Mutant::ParkWithoutTouch, &fire());
}

#[test]
fn parking_in_memory_is_caught() {
    caught(Mutant::ParkInMemory, &fire());
}

#[test]
fn pulling_without_recovery_is_caught() {
    caught(Mutant::NoRecovery, &fire());
}

#[test]
fn going_on_where_another_request_took_deliveries_is_caught() {
    caught(Mutant::NoGapCheck, &takeovers());
}
