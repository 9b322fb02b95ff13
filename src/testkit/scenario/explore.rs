//! Playing a scenario again and again, on several threads, until one run fails or all are played.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::sync::{Mutex, PoisonError};

use super::check::{Mismatch, check, compare};
use super::end::End;
use super::orders::{Freedom, nearer, orders};
use super::stage::{Stage, Step};
use super::world::{Crash, Played, WRITES, play};
use super::{CounterExample, Delivery, Failure, Report};
use crate::script::pool::STACK_BYTES;
use crate::spec::scenario::Scenario;
use crate::testkit::fate::Call;

/// Runs that may go into making a counter-example smaller.
const SHRINKING: usize = 500;

/// Told how many runs of how many are played.
pub type Progress<'p> = dyn Fn(usize, usize) + Sync + 'p;

pub struct Settings<'p> {
    /// Of samples, and of all that is random in a run; without it, that of the scenario.
    pub seed: Option<u64>,
    /// How many runs are played side by side.
    pub threads: usize,
    pub progress: &'p Progress<'p>,
}

/// What is played.
#[derive(Clone, Debug)]
struct Plan {
    steps: Vec<Step>,
    crash: Option<Crash>,
}

/// How a run failed.
enum Fault {
    Broken(String),
    Mismatch(Vec<Mismatch>, End),
}

struct Playing<'s> {
    stage: &'s Stage<'s>,
    scenario: &'s Scenario,
    seed: u64,
}

pub fn explore(stage: &Stage<'_>, scenario: &Scenario, settings: &Settings<'_>) -> Result<Report, String> {
    // Scripts run on these threads, and have the stack they may need.
    let thread = std::thread::Builder::new().stack_size(STACK_BYTES);
    let playing = Playing { stage, scenario, seed: settings.seed.unwrap_or(1) };
    std::thread::scope(|scope| {
        let begun = thread.spawn_scoped(scope, || playing.explore(settings));
        let begun = begun.map_err(|error| format!("the system gives no threads: {error}"))?;
        begun.join().map_err(|_| "a run panicked; please report this as a bug".to_owned())?
    })
}

impl Playing<'_> {
    fn explore(&self, settings: &Settings<'_>) -> Result<Report, String> {
        let base = Plan { steps: self.stage.given.clone(), crash: None };
        let played = match self.play(&base) {
            Ok(played) => played,
            Err(why) => return Ok(self.report(1, None, Some(self.broken(why, &base)))),
        };
        let mismatches = self.check(&played.end);
        if !mismatches.is_empty() {
            return Ok(self.report(1, None, Some(Failure::Given { mismatches, dead: played.end.dead })));
        }
        let explore = &self.scenario.explore;
        let repeats = |at: usize| self.stage.arrivals.get(at).is_some_and(|arrival| arrival.is_event);
        let freedom = Freedom { orders: explore.orders, duplicates: explore.duplicates, repeats: &repeats };
        let tried = orders(&self.stage.given, &freedom, settings.seed);
        let crashes = if explore.crashes { crashes(&played) } else { Vec::new() };
        let crashes = crashes.into_iter().map(|crash| Plan { crash: Some(crash), ..base.clone() });
        let others = tried.orders.into_iter().map(|steps| Plan { steps, crash: None });
        let plans: Vec<Plan> = others.chain(crashes).collect();
        let Some((at, fault)) = self.first_failure(&plans, settings) else {
            return Ok(self.report(1 + plans.len(), tried.sampled, None));
        };
        let (shrinking, plan, fault) = self.shrink(plans[at].clone(), fault);
        let failure = match fault {
            Fault::Broken(why) => self.broken(why, &plan),
            Fault::Mismatch(mismatches, end) => Failure::Explored(Box::new(CounterExample {
                given: self.deliveries(&self.stage.given),
                order: self.deliveries(&plan.steps),
                crash: plan.crash.map(|crash| self.words(crash)),
                mismatches,
                differences: compare(&played.end, &end, self.several()),
                dead: end.dead,
            })),
        };
        // More may have been played beside it, which depends on luck.
        Ok(self.report(2 + at + shrinking, tried.sampled, Some(failure)))
    }

    fn report(&self, runs: usize, sampled: Option<u64>, failure: Option<Failure>) -> Report {
        Report { runs, sampled, failure }
    }

    fn broken(&self, why: String, plan: &Plan) -> Failure {
        Failure::Broken { why, order: self.deliveries(&plan.steps), crash: plan.crash.map(|crash| self.words(crash)) }
    }

    fn play(&self, plan: &Plan) -> Result<Played, String> {
        let played = catch_unwind(AssertUnwindSafe(|| play(self.stage, &plan.steps, plan.crash, self.seed)));
        played.unwrap_or_else(|_| Err("it panicked, which is a bug; please report it".to_owned()))
    }

    fn check(&self, end: &End) -> Vec<Mismatch> {
        check(&self.scenario.then, end, self.several())
    }

    fn several(&self) -> bool {
        self.stage.pipelines.len() > 1
    }

    fn words(&self, crash: Crash) -> String {
        let (after, nth, what) = match crash {
            Crash::Publish { nth, after } => (after, nth, "publish".to_owned()),
            Crash::Store { pipeline, call, nth, after } => {
                let what = match call {
                    Call::Open => "opening of the store",
                    Call::Commit => "commit",
                    Call::Start => "start mark",
                    Call::Returned => "cleared start mark",
                    _ => "stored position",
                };
                let pipeline = self.stage.pipelines.get(pipeline).filter(|_| self.several());
                let of = pipeline.map_or(String::new(), |pipeline| format!(" of {}", pipeline.name));
                (after, nth, format!("{what}{of}"))
            }
        };
        format!("{} {what} number {nth}", if after { "right after" } else { "right before" })
    }

    fn fault(&self, plan: &Plan) -> Option<Fault> {
        match self.play(plan) {
            Err(why) => Some(Fault::Broken(why)),
            Ok(played) => {
                let mismatches = self.check(&played.end);
                (!mismatches.is_empty()).then_some(Fault::Mismatch(mismatches, played.end))
            }
        }
    }

    /// The first plan in order that fails, found on however many threads there are.
    fn first_failure(&self, plans: &[Plan], settings: &Settings<'_>) -> Option<(usize, Fault)> {
        let (next, done) = (AtomicUsize::new(0), AtomicUsize::new(0));
        let first: Mutex<Option<(usize, Fault)>> = Mutex::new(None);
        let work = || loop {
            let at = next.fetch_add(1, Relaxed);
            let before = |limit: &Option<(usize, Fault)>| limit.as_ref().is_none_or(|(first, _)| at < *first);
            if at >= plans.len() || !before(&first.lock().unwrap_or_else(PoisonError::into_inner)) {
                return;
            }
            if let Some(fault) = self.fault(&plans[at]) {
                let mut first = first.lock().unwrap_or_else(PoisonError::into_inner);
                if before(&first) {
                    *first = Some((at, fault));
                }
            }
            (settings.progress)(done.fetch_add(1, Relaxed) + 1, plans.len());
        };
        std::thread::scope(|scope| {
            for _ in 1..settings.threads.clamp(1, plans.len().max(1)) {
                // Without it, this thread works alone.
                let _ = std::thread::Builder::new().stack_size(STACK_BYTES).spawn_scoped(scope, work);
            }
            work();
        });
        first.into_inner().unwrap_or_else(PoisonError::into_inner)
    }

    /// As near to the given order as it still fails; how many runs that took.
    fn shrink(&self, mut plan: Plan, mut fault: Fault) -> (usize, Plan, Fault) {
        let mut runs = 0;
        'smaller: loop {
            for steps in nearer(&self.stage.given, &plan.steps) {
                if runs == SHRINKING {
                    break 'smaller;
                }
                runs += 1;
                let candidate = Plan { steps, crash: plan.crash };
                if let Some(still) = self.fault(&candidate) {
                    (plan, fault) = (candidate, still);
                    continue 'smaller;
                }
            }
            break;
        }
        (runs, plan, fault)
    }

    fn deliveries(&self, steps: &[Step]) -> Vec<Delivery> {
        let given = |step: &Step| self.stage.given.iter().filter(|other| *other == step).count();
        let name = |(at, step): (usize, &Step)| match step {
            Step::Wait(time) => Delivery::Wait(*time),
            Step::Deliver(index) => Delivery::Message {
                name: self.stage.arrivals[*index].name.clone(),
                again: steps[..at].iter().filter(|other| *other == step).count() >= given(step),
            },
        };
        steps.iter().enumerate().map(name).collect()
    }
}

/// Every moment at which the process of a run could have died and left something else behind.
fn crashes(played: &Played) -> Vec<Crash> {
    let mut crashes = Vec::new();
    for (pipeline, calls) in played.calls.iter().enumerate() {
        for (call, calls) in WRITES.into_iter().zip(calls) {
            for nth in 1..=*calls {
                crashes.extend([false, true].map(|after| Crash::Store { pipeline, call, nth, after }));
            }
        }
    }
    for nth in 1..=played.publishes {
        crashes.extend([false, true].map(|after| Crash::Publish { nth, after }));
    }
    crashes
}

#[cfg(test)]
mod tests;
