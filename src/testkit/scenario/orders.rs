//! Which orders of delivery are tried.
//!
//! Between two waits, deliveries may change places and may be repeated; a repetition comes behind its first. Orders are
//! tried from the nearest to the given one to the farthest, so that the first that fails is as near as any.

use std::collections::HashSet;

use super::stage::Step;
use crate::clock::SeededEntropy;
use crate::spec::scenario::Orders;

/// With more orders than that, a sample is tried.
pub const ALL_AT_MOST: usize = 2_000;

/// What is tried beside the given order.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Tried {
    pub orders: Vec<Vec<Step>>,
    /// There are more; these were drawn with this seed.
    pub sampled: Option<u64>,
}

/// What may be changed about the given order.
pub struct Freedom<'f> {
    pub orders: Orders,
    /// Most repetitions of one run.
    pub duplicates: usize,
    /// Whether a message that comes twice can be known again.
    pub repeats: &'f dyn Fn(usize) -> bool,
}

/// `seed` overrides that of the scenario.
pub fn orders(given: &[Step], freedom: &Freedom<'_>, seed: Option<u64>) -> Tried {
    let Freedom { orders, duplicates, repeats } = *freedom;
    let shuffled = orders != Orders::Given;
    let (most, own_seed) = match orders {
        Orders::Given | Orders::All => (ALL_AT_MOST, 1),
        Orders::Sample { size, seed } => (size, seed),
    };
    let seed = seed.unwrap_or(own_seed);
    let mut all = Walk { given, shuffled, most, repeats, found: HashSet::new(), order: Vec::new() };
    let complete = all.from(0, &mut Vec::new(), &mut Vec::new(), duplicates);
    let (found, sampled) = match complete {
        true => (all.found, None),
        false => (sample(given, freedom, most, seed), Some(seed)),
    };
    let mut orders: Vec<Vec<Step>> = found.into_iter().filter(|order| order != given).collect();
    orders.sort_by_cached_key(|order| (distance(given, order), order.iter().map(rank).collect::<Vec<_>>()));
    Tried { orders, sampled }
}

fn rank(step: &Step) -> usize {
    match step {
        Step::Deliver(at) => *at,
        Step::Wait(_) => usize::MAX,
    }
}

/// Repetitions first, then pairs that changed places.
pub fn distance(given: &[Step], order: &[Step]) -> (usize, usize) {
    let mut swapped = 0;
    for segment in order.split(|step| matches!(step, Step::Wait(_))) {
        for (at, step) in segment.iter().enumerate() {
            swapped += segment[at..].iter().filter(|later| rank(later) < rank(step)).count();
        }
    }
    (order.len().saturating_sub(given.len()), swapped)
}

/// Every order, once, until there are too many.
struct Walk<'g> {
    given: &'g [Step],
    shuffled: bool,
    most: usize,
    repeats: &'g dyn Fn(usize) -> bool,
    found: HashSet<Vec<Step>>,
    order: Vec<Step>,
}

impl Walk<'_> {
    /// From the wait or the beginning before `at` on; `left` and `used` are this segment's. `false`: too many.
    fn from(&mut self, at: usize, left: &mut Vec<Step>, used: &mut Vec<Step>, duplicates: usize) -> bool {
        if left.is_empty() && used.is_empty() {
            let segment = self.given[at..].iter().take_while(|step| matches!(step, Step::Deliver(_)));
            left.extend(segment.copied());
        }
        let end = at + left.len() + used.len();
        if left.is_empty() {
            let complete = match self.given.get(end) {
                None => {
                    self.found.insert(self.order.clone());
                    // The given one is among them, and does not count.
                    self.found.len() <= self.most + 1
                }
                Some(wait) => {
                    self.order.push(*wait);
                    let complete = self.from(end + 1, &mut Vec::new(), &mut Vec::new(), duplicates);
                    self.order.pop();
                    complete
                }
            };
            if !complete {
                return false;
            }
        }
        let choices = if self.shuffled { left.len() } else { left.len().min(1) };
        for choice in 0..choices {
            if left[..choice].contains(&left[choice]) {
                continue;
            }
            let step = left.remove(choice);
            used.push(step);
            self.order.push(step);
            let complete = self.from(at, left, used, duplicates);
            self.order.pop();
            used.pop();
            left.insert(choice, step);
            if !complete {
                return false;
            }
        }
        if duplicates > 0 {
            let again: HashSet<Step> = used.iter().copied().filter(|step| (self.repeats)(rank(step))).collect();
            let mut again: Vec<Step> = again.into_iter().collect();
            again.sort_by_key(rank);
            for step in again {
                self.order.push(step);
                let complete = self.from(at, left, used, duplicates - 1);
                self.order.pop();
                if !complete {
                    return false;
                }
            }
        }
        true
    }
}

fn sample(given: &[Step], freedom: &Freedom<'_>, size: usize, seed: u64) -> HashSet<Vec<Step>> {
    let luck = SeededEntropy::new(seed);
    let below = |sides: usize| usize::try_from(luck.next() % (sides.max(1) as u64)).unwrap_or(0);
    let mut found = HashSet::new();
    // Few orders are drawn twice where there are many more.
    for _ in 0..size.saturating_mul(4) {
        if found.len() == size {
            break;
        }
        let mut segments: Vec<Vec<Step>> = vec![Vec::new()];
        let mut waits = Vec::new();
        for step in given {
            match (step, segments.last_mut()) {
                (Step::Deliver(_), Some(segment)) => segment.push(*step),
                _ => {
                    waits.push(*step);
                    segments.push(Vec::new());
                }
            }
        }
        if freedom.orders != Orders::Given {
            for segment in &mut segments {
                for at in (1..segment.len()).rev() {
                    segment.swap(at, below(at + 1));
                }
            }
        }
        for _ in 0..below(freedom.duplicates + 1) {
            let which = below(segments.len());
            let segment = &mut segments[which];
            let first = below(segment.len());
            if let Some(step) = segment.get(first).copied().filter(|step| (freedom.repeats)(rank(step))) {
                let place = first + 1 + below(segment.len() - first);
                segment.insert(place, step);
            }
        }
        let mut order = Vec::new();
        let mut waits = waits.into_iter();
        for segment in segments {
            order.extend(segment);
            order.extend(waits.next());
        }
        if order != given {
            found.insert(order);
        }
    }
    found
}

/// Orders that are a step nearer to the given one: without one repetition, or with two neighbours in place again.
pub fn nearer(given: &[Step], order: &[Step]) -> Vec<Vec<Step>> {
    let mut nearer = Vec::new();
    let times = |steps: &[Step], step: &Step| steps.iter().filter(|other| *other == step).count();
    for (at, step) in order.iter().enumerate().rev() {
        if matches!(step, Step::Deliver(_)) && times(order, step) > times(given, step) {
            let mut without = order.to_vec();
            without.remove(at);
            nearer.push(without);
        }
    }
    for at in 1..order.len() {
        let (before, after) = (&order[at - 1], &order[at]);
        if matches!((before, after), (Step::Deliver(_), Step::Deliver(_))) && rank(after) < rank(before) {
            let mut swapped = order.to_vec();
            swapped.swap(at - 1, at);
            nearer.push(swapped);
        }
    }
    nearer
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    const WAIT: Step = Step::Wait(Duration::from_secs(1));

    /// Digits are deliveries, a bar is a wait.
    fn steps(text: &str) -> Vec<Step> {
        let step = |c: char| c.to_digit(10).map_or(WAIT, |digit| Step::Deliver(digit as usize));
        text.chars().map(step).collect()
    }

    fn text(steps: &[Step]) -> String {
        steps.iter().map(|step| if *step == WAIT { "|".to_owned() } else { rank(step).to_string() }).collect()
    }

    /// Everything can be known again, but for the last digit.
    fn freely(given: &[Step], orders: Orders, duplicates: usize, seed: Option<u64>) -> Tried {
        super::orders(given, &Freedom { orders, duplicates, repeats: &|at| at != 9 }, seed)
    }

    fn tried(given: &str, how: Orders, duplicates: usize) -> Vec<String> {
        freely(&steps(given), how, duplicates, None).orders.iter().map(|order| text(order)).collect()
    }

    #[test]
    fn every_permutation_is_tried_once_the_nearest_first() {
        assert_eq!(tried("012", Orders::All, 0), ["021", "102", "120", "201", "210"]);
        assert_eq!(tried("01234", Orders::All, 0).len(), 119);
        assert_eq!(tried("012", Orders::Given, 0), [""; 0]);
    }

    #[test]
    fn nothing_crosses_a_wait() {
        assert_eq!(tried("01|2", Orders::All, 0), ["10|2"]);
        assert_eq!(tried("01|23", Orders::All, 0).len(), 3);
        assert_eq!(tried("0|1|2", Orders::All, 0), [""; 0]);
        assert_eq!(tried("0|1", Orders::All, 1), ["00|1", "0|11"]);
        assert_eq!(tried("|0|", Orders::All, 1), ["|00|"]);
    }

    #[test]
    fn a_repetition_comes_at_every_place_behind_its_first() {
        assert_eq!(tried("01", Orders::Given, 1), ["001", "011", "010"]);
        // 2! orders, each with its three ways of repeating.
        assert_eq!(tried("01", Orders::All, 1).len(), 2 * (1 + 3) - 1);
        assert_eq!(tried("0123", Orders::All, 1).len(), 24 * (1 + 10) - 1);
        assert_eq!(tried("01", Orders::Given, 2).iter().filter(|order| order.len() == 4).count(), 7);
    }

    #[test]
    fn what_cannot_be_known_again_is_not_repeated() {
        assert_eq!(tried("09", Orders::Given, 1), ["009", "090"]);
        let drawn = freely(&steps("0129"), Orders::Sample { size: 50, seed: 1 }, 2, None);
        assert!(drawn.sampled.is_some() && drawn.orders.iter().any(|order| order.len() > 4));
        assert!(drawn.orders.iter().all(|order| text(order).matches('9').count() == 1));
    }

    #[test]
    fn copies_that_are_given_are_alike() {
        assert_eq!(tried("001", Orders::All, 0), ["010", "100"]);
    }

    #[test]
    fn of_too_many_a_sample_is_drawn_that_a_seed_repeats() {
        let given = steps("01234567");
        let first = freely(&given, Orders::All, 1, None);
        assert_eq!((first.orders.len(), first.sampled), (ALL_AT_MOST, Some(1)));
        assert_eq!(first, freely(&given, Orders::All, 1, Some(1)));
        let some = Orders::Sample { size: 50, seed: 7 };
        let drawn = freely(&given, some, 0, None);
        assert_eq!((drawn.orders.len(), drawn.sampled), (50, Some(7)));
        assert_ne!(drawn, freely(&given, some, 0, Some(8)));
        let complete = freely(&steps("012"), some, 0, None);
        assert_eq!((complete.orders.len(), complete.sampled), (5, None), "a sample of all is all");
        for order in drawn.orders.iter().chain(&first.orders) {
            assert!((0..8).all(|at| order.contains(&Step::Deliver(at))), "{}", text(order));
        }
    }

    #[test]
    fn a_step_nearer_undoes_one_thing() {
        let nearer = |order: &str| nearer(&steps("012"), &steps(order)).iter().map(|o| text(o)).collect::<Vec<_>>();
        assert_eq!(nearer("012"), [""; 0]);
        assert_eq!(nearer("021"), ["012"]);
        assert_eq!(nearer("0121"), ["012", "021", "0112"]);
    }
}
