//! Events that arrive in any order, and a pipeline that says in which they are handled: by what they build on, by their
//! numbers, or by their times. They fold as those of [`super::fold`] do.

use std::collections::BTreeSet;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use serde_json::json;

use super::fold::{accepting, folded};
use super::{End, Fed, KeyEnd, Workload};
use crate::event::{Key, MarkId};
use crate::flow::chaos::plan::{PARTITIONS, Plan};
use crate::flow::chaos::script::Dice;
use crate::spec::program::{EventTime, FieldPath, First, OnTimeout, Pipeline, Resequence, Sequence, Subscription};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ordered {
    /// `B` after `A`, `C` after both. Some keys have no `A` for long, or none ever.
    After,
    /// Numbers from 1.
    Sequence,
    /// Of every third key a number is never published; some numbers belong to a type that nobody takes.
    Gaps,
    /// The same, where gaps are given up in the end.
    GivenUp,
    /// As `After`, where each `B` finds its key blocked, and as much parked as may be, for it.
    Full,
    /// Held for some seconds, and let go by their times.
    Resequence,
}

/// No subscription takes the last.
const KINDS: [&str; 4] = ["A", "B", "C", "Other"];
const TAKEN: usize = 3;
/// Longer than a run takes to feed everything.
const TIMEOUT: Duration = Duration::from_secs(240);

fn path(parts: &[&str]) -> FieldPath {
    FieldPath(parts.iter().map(ToString::to_string).collect())
}

impl Ordered {
    fn compile(self) -> Pipeline {
        let mut pipeline = accepting(&[1]);
        let counted = Arc::clone(&pipeline.subscriptions[0]);
        let subscription = |kind: usize| Subscription {
            event: KINDS[kind].to_owned(),
            from: counted.from.clone(),
            key: counted.key.clone(),
            versions: counted.versions.clone(),
            upcasts: Default::default(),
            newest: counted.newest,
            after: if matches!(self, Self::After | Self::Full) {
                KINDS[..kind].iter().map(ToString::to_string).collect()
            } else {
                Vec::new()
            },
            filter: None,
            handler: Arc::clone(&counted.handler),
        };
        pipeline.subscriptions = (0..TAKEN).map(|kind| Arc::new(subscription(kind))).collect();
        pipeline.reorder.timeout = TIMEOUT;
        match self {
            Self::After => {}
            Self::Full => pipeline.reorder.max_parked_per_key = 2,
            Self::Sequence | Self::Gaps | Self::GivenUp => {
                if self == Self::GivenUp {
                    pipeline.reorder.on_timeout = OnTimeout::Advance;
                }
                let (by, key) = (path(&["data", "rank"]), path(&["data", "key"]));
                pipeline.sequence = Some(Sequence { by, key, first: First::At(1) });
            }
            Self::Resequence => {
                let by = EventTime::Path(path(&["data", "rank"]));
                pipeline.resequence = Some(Resequence { by, hold: Duration::from_secs(3) });
            }
        }
        pipeline
    }

    fn one(self, n: u64, key: u64, rank: u64, kind: usize, flaky: bool) -> Fed {
        let key = Key::new(&format!("k{key}")).expect("keys are not empty");
        let event = json!({
            "id": format!("e{n}"), "type": KINDS[kind], "version": 1, "source": "test",
            "data": { "key": key.as_str(), "n": n, "rank": rank, "flaky": flaky },
        });
        let mark = MarkId::of_event("test", &format!("e{n}"), &key);
        Fed { n, mark, partition: key.partition(PARTITIONS), key, payload: event.to_string(), rank, kind }
    }

    fn has_gaps(self) -> bool {
        matches!(self, Self::Gaps | Self::GivenUp)
    }

    /// What never comes.
    fn is_missing(self, key: u64, rank: u64) -> bool {
        let some = key.is_multiple_of(3);
        some && (self.has_gaps() && rank == 3 || self == Self::After && rank == 1)
    }

    /// Whether these were handled in an order that the pipeline allows.
    fn in_turn(self, plan: &Plan, of_key: &[&Fed], handled: &[&Fed]) -> bool {
        let (ranks, numbers) = (handled.iter().map(|fed| fed.rank), handled.iter().map(|fed| fed.n));
        match self {
            Self::After | Self::Full if plan.ordered() => numbers.eq(in_causal_order(of_key).iter().map(|fed| fed.n)),
            Self::After | Self::Full => (0..handled.len()).all(|at| is_ready(handled[at], &handled[..at])),
            Self::Sequence | Self::Gaps | Self::GivenUp => ranks.is_sorted(),
            Self::Resequence => ranks.is_sorted(),
        }
    }

    /// Why an event of a key may be set aside.
    fn may_die(self, fed: &Fed, of_key: &[&Fed], handled: &[&Fed]) -> Option<&'static str> {
        match self {
            Self::After => (!is_ready(fed, handled)).then_some("timeout"),
            Self::GivenUp => None,
            Self::Sequence | Self::Gaps => {
                (1..fed.rank).any(|rank| of_key.iter().all(|other| other.rank != rank)).then_some("gap")
            }
            Self::Full => None,
            Self::Resequence => handled.iter().any(|other| other.rank > fed.rank).then_some("late"),
        }
    }

    fn check_key(self, end: &End<'_>, of_key: &[&Fed], there: &KeyEnd) -> Result<(), String> {
        let find = |n: u64| of_key.iter().find(|fed| fed.n == n).copied();
        let order: Vec<u64> = there.emitted.iter().filter_map(|data| data["n"].as_u64()).collect();
        let handled: Vec<&Fed> = order.iter().filter_map(|n| find(*n)).collect();
        if !self.in_turn(end.plan, of_key, &handled) {
            let told: Vec<_> = handled.iter().map(|fed| (fed.n, KINDS[fed.kind], fed.rank)).collect();
            return Err(format!("handled out of turn: {told:?}"));
        }
        let mut gone = BTreeSet::new();
        for (letter, fed) in end.dead.iter().filter_map(|letter| Some((letter, find(letter.data["n"].as_u64()?)?))) {
            let reason = letter.record.failure.reason.as_str();
            if self.may_die(fed, of_key, &handled) != Some(reason) {
                return Err(format!("e{} is set aside: {reason}: {}", fed.n, letter.record.failure.message));
            }
            gone.insert(fed.n);
        }
        for fed in of_key.iter().filter(|fed| fed.kind < TAKEN) {
            if order.contains(&fed.n) == gone.contains(&fed.n) {
                return Err(format!("e{} ended in both ways or none; handled {order:?}, set aside {gone:?}", fed.n));
            }
        }
        folded(&order, |_| false, there)
    }
}

/// Whether what it builds on was handled.
fn is_ready(fed: &Fed, handled: &[&Fed]) -> bool {
    (0..fed.kind).all(|kind| handled.iter().any(|other| other.kind == kind))
}

/// What one runner makes of arrivals: who waited goes before whoever comes later.
fn in_causal_order<'a>(arrivals: &[&'a Fed]) -> Vec<&'a Fed> {
    let (mut handled, mut waiting): (Vec<&Fed>, Vec<&Fed>) = (Vec::new(), Vec::new());
    for fed in arrivals {
        waiting.push(fed);
        while let Some(at) = waiting.iter().position(|fed| is_ready(fed, &handled)) {
            handled.push(waiting.remove(at));
        }
    }
    handled
}

impl Workload for Ordered {
    fn pipeline(&self, _: &Plan, _: bool) -> Arc<Pipeline> {
        static COMPILED: [OnceLock<Arc<Pipeline>>; 6] = [const { OnceLock::new() }; 6];
        Arc::clone(COMPILED[*self as usize].get_or_init(|| Arc::new(self.compile())))
    }

    fn feed(&self, plan: &Plan, dice: &Dice) -> Vec<Fed> {
        if *self == Self::Full {
            // One that waits, one that blocks, and the one that the first waits for.
            let each = |n: u64| (n, (n - 1) % plan.keys, (n - 1) / plan.keys + 1);
            let kinds = [(0, false), (2, false), (0, true), (1, false)];
            let one = |(n, key, rank): (u64, u64, u64)| {
                let (kind, flaky) = *kinds.get(usize::try_from(rank).ok()? - 1)?;
                Some(self.one(n, key, rank, kind, flaky))
            };
            return (1..=plan.events).map(each).filter_map(one).collect();
        }
        let mut next = vec![0; usize::try_from(plan.keys).expect("few keys")];
        let mut events = Vec::new();
        for n in 1..=plan.events {
            let key = dice.roll(plan.keys);
            let last = &mut next[usize::try_from(key).expect("few keys")];
            *last += 1;
            // Each key has one of each kind first.
            let kinds = if self.has_gaps() { KINDS.len() } else { TAKEN } as u64;
            let kind = if *last <= 3 { (*last - 1) as usize } else { dice.roll(kinds) as usize };
            let flaky = plan.retries && dice.roll(8) == 0;
            let missing = self.is_missing(key, *last);
            events.extend((!missing).then(|| self.one(n, key, *last, kind, flaky)));
        }
        // However far apart, or by a few places only.
        let far = if dice.roll(2) == 0 { events.len() as u64 } else { 4 };
        let mut places: Vec<(u64, Fed)> =
            events.into_iter().zip(0..).map(|(fed, at)| (at + dice.roll(far), fed)).collect();
        places.sort_by_key(|(place, _)| *place);
        places.into_iter().map(|(_, fed)| fed).collect()
    }

    fn refuses(&self, _: &[u8]) -> bool {
        false
    }

    fn check(&self, end: &End<'_>) -> Result<(), String> {
        let nothing = KeyEnd::default();
        for key in end.fed.iter().map(|fed| &fed.key).collect::<BTreeSet<_>>() {
            let of_key: Vec<&Fed> = end.fed.iter().copied().filter(|fed| fed.key == *key).collect();
            let there = end.keys.get(key).unwrap_or(&nothing);
            self.check_key(end, &of_key, there).map_err(|why| format!("key {key}: {why}"))?;
        }
        Ok(())
    }
}
