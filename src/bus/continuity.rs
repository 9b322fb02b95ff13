//! Whether somebody else took deliveries of a consumer that is ours alone: another runner that was frozen or cut off,
//! whose request is still open at the broker.
//!
//! The broker numbers a consumer's deliveries, the repeated ones as well. What comes to us must have the next number
//! each time; a gap is what somebody else got. Where nothing comes after the gap, the broker's own count shows it:
//! what was delivered before the last time it was asked has either come by now or went elsewhere.

use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::mutant::{self, Mutant};

/// Of one source. It begins, and begins again after each [`Continuity::told`], with the next word of the broker.
#[derive(Default)]
pub struct Continuity {
    numbers: Mutex<Numbers>,
}

#[derive(Default)]
struct Numbers {
    /// Deliveries up to this one are read again by the caller, whoever got them. `None`: the broker was not asked yet.
    covered: Option<u64>,
    /// The last one that came to us.
    came: u64,
    /// How many there were when the broker was asked last, and the time before.
    asked: [u64; 2],
    broken: bool,
}

impl Continuity {
    /// A delivery came to us.
    pub fn came(&self, number: u64) {
        let mut numbers = self.numbers();
        if let Some(covered) = numbers.covered {
            // A number that goes back means that the broker counts anew, and nobody knows what came in between.
            numbers.broken |= number <= numbers.came || number > numbers.came.max(covered) + 1;
        }
        numbers.came = number;
    }

    /// The broker says how many deliveries there were.
    pub fn delivered(&self, number: u64) {
        let mut numbers = self.numbers();
        if numbers.covered.is_none() {
            *numbers = Numbers { covered: Some(number), came: numbers.came.min(number), ..Numbers::default() };
        } else {
            numbers.asked = [number, numbers.asked[0]];
        }
    }

    /// To be asked when all that arrived has been counted by [`Continuity::came`].
    pub fn is_broken(&self) -> bool {
        let numbers = self.numbers();
        let reached = numbers.covered.map(|covered| covered.max(numbers.came));
        let missing = numbers.broken || reached.is_some_and(|reached| numbers.asked[1] > reached);
        missing && !mutant::on(Mutant::NoGapCheck)
    }

    /// The caller was told that something may be missing: it asks the broker how far, and reads up to there.
    pub fn told(&self) {
        let mut numbers = self.numbers();
        *numbers = Numbers { came: numbers.came, ..Numbers::default() };
    }

    fn numbers(&self) -> MutexGuard<'_, Numbers> {
        self.numbers.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn after(delivered: u64) -> Continuity {
        let continuity = Continuity::default();
        continuity.delivered(delivered);
        continuity
    }

    fn breaks(continuity: &Continuity, came: impl IntoIterator<Item = u64>) -> bool {
        came.into_iter().for_each(|number| continuity.came(number));
        continuity.is_broken()
    }

    #[test]
    fn what_comes_one_by_one_is_whole() {
        assert!(!breaks(&Continuity::default(), [7, 9]), "nobody knows where it began");
        assert!(!breaks(&after(0), [1, 2, 3]));
        assert!(!breaks(&after(6), [7, 8]));
        assert!(!breaks(&after(6), [4, 6, 7]), "what was on its way when the broker was asked");
    }

    #[test]
    fn a_number_that_is_missing_or_goes_back_breaks_it_until_told() {
        for came in [vec![8], vec![7, 9], vec![7, 7], vec![7, 8, 3], vec![5, 8]] {
            let continuity = after(6);
            assert!(breaks(&continuity, came.clone()), "{came:?}");
            continuity.told();
            continuity.delivered(20);
            assert!(!breaks(&continuity, [21]), "{came:?}");
            assert!(breaks(&continuity, [23]), "{came:?}");
        }
    }

    #[test]
    fn what_was_delivered_long_ago_and_did_not_come_breaks_it() {
        let continuity = after(6);
        continuity.delivered(8);
        assert!(!continuity.is_broken(), "it may be on its way");
        continuity.came(7);
        continuity.delivered(8);
        assert!(continuity.is_broken());
        continuity.came(8);
        assert!(!continuity.is_broken(), "it came");
        continuity.delivered(8);
        assert!(!continuity.is_broken());
    }

    #[test]
    fn a_broker_that_counts_anew_breaks_it_once() {
        let continuity = after(6);
        assert!(breaks(&continuity, [7, 1]));
        continuity.told();
        continuity.delivered(1);
        assert!(!breaks(&continuity, [2, 3]));
        continuity.told();
        continuity.delivered(1);
        assert!(!breaks(&continuity, [2]), "nothing came of the new count yet");
    }
}
