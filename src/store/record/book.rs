//! What order needs to know of a key between events: who waits, for what, and until when.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use super::Wait;
use crate::event::{MarkId, Millis};

#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Book {
    /// Parked events of the key.
    #[serde(skip_serializing_if = "is_zero")]
    pub parked: u64,
    /// Those of them that stand one behind the other: what waits at their head blocks the key.
    #[serde(skip_serializing_if = "is_zero")]
    pub line: u64,
    /// Number of the last one that was parked on arrival.
    #[serde(skip_serializing_if = "is_zero")]
    pub arrivals: u64,
    /// The head of the line waits until then.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub blocked_until: Option<Millis>,
    /// The dead letter that a person must replay or discard before anything more is handled.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub blocked_by: Option<MarkId>,
    /// When the key wants attention, as its timer says.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub timer: Option<Millis>,
    /// Types of which an event was handled.
    #[serde(skip_serializing_if = "BTreeSet::is_empty")]
    pub handled: BTreeSet<String>,
    /// Types that were waited for and set aside, and not handled since: with the id of the letter that a person may replay.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub dead: BTreeMap<String, MarkId>,
    /// Those that wait for an event of a type.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub waiting: BTreeMap<String, Waiters>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub numbers: Option<Numbers>,
    /// Events that are held for others that happened before them.
    #[serde(skip_serializing_if = "is_zero")]
    pub held: u64,
    /// The hold of none of them ends before.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub held_until: Option<Millis>,
    /// The latest event time that was let go.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub released: Option<i64>,
}

/// Those that wait for one type.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Waiters {
    pub count: u64,
    /// The deadline of none of them is before.
    pub deadline: Millis,
}

/// Where a key stands in its sequence.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Numbers {
    /// The lowest number there is.
    pub first: i64,
    /// The number whose turn it is.
    pub next: i64,
    /// Events that wait for their turn.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub waiting: u64,
    /// The lowest number that waits, as far as known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub head: Option<i64>,
    /// Since when it is `next` that is missing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub missing: Option<(i64, Millis)>,
    /// Numbers from `next` on whose events were set aside: from, to.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub used: Vec<(i64, i64)>,
    /// The latest numbers that were given up: from, to.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub given_up: Vec<(i64, i64)>,
}

impl Book {
    /// Something must go before whatever else there is of the key.
    pub fn is_blocked(&self) -> bool {
        self.line > 0 || self.blocked_by.is_some()
    }

    /// An event goes to where it waits.
    pub fn enter(&mut self, wait: &Wait) {
        match wait {
            Wait::Retry { .. } | Wait::Version { .. } | Wait::NoHandler { .. } | Wait::Behind => self.line += 1,
            Wait::Number { number } => {
                let numbers = self.numbers.get_or_insert_with(|| Numbers::from(*number));
                numbers.head = match numbers.head {
                    Some(head) => Some(head.min(*number)),
                    None => (numbers.waiting == 0).then_some(*number),
                };
                numbers.waiting += 1;
            }
            Wait::Hold { due, .. } => {
                self.held_until = Some(self.held_until.filter(|_| self.held > 0).map_or(*due, |at| at.min(*due)));
                self.held += 1;
            }
            Wait::After { event, deadline, .. } => {
                let waiters = self.waiting.entry(event.clone()).or_insert(Waiters { count: 0, deadline: *deadline });
                waiters.count += 1;
                waiters.deadline = waiters.deadline.min(*deadline);
            }
        }
    }

    /// An event leaves where it waited.
    pub fn leave(&mut self, wait: &Wait) {
        match wait {
            Wait::Retry { .. } | Wait::Version { .. } | Wait::NoHandler { .. } | Wait::Behind => {
                self.line = self.line.saturating_sub(1);
            }
            Wait::Number { .. } => {
                if let Some(numbers) = &mut self.numbers {
                    (numbers.waiting, numbers.head) = (numbers.waiting.saturating_sub(1), None);
                }
            }
            Wait::Hold { .. } => {
                self.held = self.held.saturating_sub(1);
                self.held_until = self.held_until.filter(|_| self.held > 0);
            }
            Wait::After { event, .. } => {
                if let Some(waiters) = self.waiting.get_mut(event) {
                    waiters.count = waiters.count.saturating_sub(1);
                    if waiters.count == 0 {
                        self.waiting.remove(event);
                    }
                }
            }
        }
    }

    /// An event of this type was handled.
    pub fn handle(&mut self, kind: &str) {
        self.dead.remove(kind);
        if !self.handled.contains(kind) {
            self.handled.insert(kind.to_owned());
        }
    }

    /// A dead letter is closed: it blocks nothing any more, and who waited for its replay has a deadline again.
    pub fn closed(&mut self, letter: MarkId) {
        self.blocked_by = self.blocked_by.filter(|by| *by != letter);
        self.dead.retain(|_, of| *of != letter);
    }
}

/// How many runs of numbers that were given up are remembered.
const GIVEN_UP: usize = 32;
/// How many runs of numbers that were set aside before their turn.
const USED: usize = 256;

impl Numbers {
    pub fn from(first: i64) -> Self {
        Self { first, next: first, waiting: 0, head: None, missing: None, used: Vec::new(), given_up: Vec::new() }
    }

    /// Its event had its turn, or was set aside before it.
    pub fn take(&mut self, number: i64) {
        if number < self.next {
            return;
        }
        if number > self.next {
            if self.is_used(number) {
                return;
            }
            let at = self.used.partition_point(|(from, _)| *from < number);
            self.used.insert(at, (number, number));
            // With its neighbours, where it touches them.
            for next in [at + 1, at] {
                if next > 0
                    && let Some((from, to)) = self.used.get(next).copied()
                    && self.used[next - 1].1.checked_add(1) == Some(from)
                {
                    self.used[next - 1].1 = to;
                    self.used.remove(next);
                }
            }
            // The farthest are forgotten: whoever waits for one waits until the gap's time is over.
            self.used.truncate(USED);
            return;
        }
        self.reach(number.saturating_add(1));
    }

    /// Its event is to have its turn after all.
    pub fn free(&mut self, number: i64) {
        let Some(at) = self.used.iter().position(|(from, to)| (*from..=*to).contains(&number)) else { return };
        let (from, to) = self.used.remove(at);
        let parts = [(from, number.saturating_sub(1)), (number.saturating_add(1), to)];
        for (from, to) in parts.into_iter().rev().filter(|(from, to)| from <= to) {
            self.used.insert(at, (from, to));
        }
    }

    pub fn is_used(&self, number: i64) -> bool {
        self.used.iter().any(|(from, to)| (*from..=*to).contains(&number))
    }

    /// `number` is the next, and what lies between is given up.
    pub fn give_up_before(&mut self, number: i64) {
        if number > self.next {
            self.given_up.push((self.next, number - 1));
            let surplus = self.given_up.len().saturating_sub(GIVEN_UP);
            self.given_up.drain(..surplus);
            self.reach(number);
        }
    }

    fn reach(&mut self, number: i64) {
        self.next = number;
        let mut passed = 0;
        for (from, to) in &self.used {
            if *from > self.next {
                break;
            }
            self.next = self.next.max(to.saturating_add(1));
            passed += 1;
        }
        self.used.drain(..passed);
    }

    /// Whether a number below `next` was never used, as far as is remembered.
    pub fn was_given_up(&self, number: i64) -> bool {
        number < self.first || self.given_up.iter().any(|(from, to)| (*from..=*to).contains(&number))
    }
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes a reference")]
fn is_zero(n: &u64) -> bool {
    *n == 0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_untouched_book_takes_two_bytes() {
        assert_eq!(serde_json::to_string(&Book::default()).expect("it serializes"), "{}");
    }

    #[test]
    fn numbers_that_were_used_before_their_turn_are_passed_over() {
        let mut numbers = Numbers::from(1);
        for early in [3, 6, 4, 4, 7] {
            numbers.take(early);
        }
        assert_eq!(numbers.used, [(3, 4), (6, 7)]);
        numbers.take(5);
        assert_eq!(numbers.used, [(3, 7)], "what touches is one");
        numbers.free(5);
        numbers.free(6);
        assert_eq!(numbers.used, [(3, 4), (7, 7)]);
        numbers.take(6);
        numbers.take(1);
        numbers.take(2);
        assert_eq!((numbers.next, numbers.used.as_slice()), (5, &[(6, 7)][..]));
        numbers.give_up_before(6);
        assert_eq!((numbers.next, numbers.used.len()), (8, 0));
        assert_eq!([5, 6, 0].map(|n| numbers.was_given_up(n)), [true, false, true]);
    }

    #[test]
    fn what_was_given_up_is_remembered_up_to_a_bound() {
        let mut numbers = Numbers::from(1);
        for _ in 0..100 {
            numbers.take(numbers.next);
            numbers.give_up_before(numbers.next + 1);
        }
        assert_eq!(numbers.given_up.len(), GIVEN_UP);
        assert!(numbers.was_given_up(numbers.next - 1));
    }

    #[test]
    fn of_numbers_set_aside_before_their_turn_the_nearest_are_remembered() {
        let mut numbers = Numbers::from(1);
        for early in (1..1_000).rev() {
            numbers.take(early * 2 + 1);
        }
        assert_eq!((numbers.used.len(), numbers.used[0]), (USED, (3, 3)));
        assert!(!numbers.is_used(1_999));
    }

    #[test]
    fn the_highest_number_is_no_overflow() {
        let mut numbers = Numbers::from(i64::MAX);
        numbers.take(i64::MAX);
        assert_eq!(numbers.next, i64::MAX);
    }
}
