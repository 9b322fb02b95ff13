//! A run that failed, made as short as a person can read: events, steps and mishaps are left out as long as it still
//! fails (Zeller's delta debugging, `ddmin`).

use std::collections::BTreeSet;

use super::luck::{Chosen, Mishap};
use super::rig::{Played, play};
use super::script::{Script, Step};

/// Runs that shortening may take.
const PATIENCE: usize = 1_500;

/// A script that fails, and why.
pub struct Failure {
    pub script: Script,
    pub why: String,
    /// Runs left.
    patience: usize,
}

impl Failure {
    /// Shortens a script that failed; `None` when it does not fail again.
    pub fn shrunk(script: &Script) -> Option<Self> {
        let mut failure = Self { script: script.clone(), why: String::new(), patience: PATIENCE };
        // From here on nothing goes wrong but what went wrong.
        let Played { met, .. } = play(script, false);
        if !failure.still(|script| script.mishaps = Some(met.iter().map(|met| (*met, met.nth)).collect())) {
            return None;
        }
        loop {
            let before = failure.size();
            failure.without_events();
            failure.without_steps();
            failure.without_mishaps();
            failure.with_earlier_mishaps();
            if failure.size() == before || failure.patience == 0 {
                return Some(failure);
            }
        }
    }

    fn size(&self) -> (usize, usize) {
        (self.script.steps.len(), self.script.mishaps.as_ref().map_or(0, Chosen::len))
    }

    /// Whether it still fails when it is changed; then the change stays.
    fn still(&mut self, change: impl FnOnce(&mut Script)) -> bool {
        if self.patience == 0 {
            return false;
        }
        self.patience -= 1;
        let mut script = self.script.clone();
        change(&mut script);
        let Err(why) = play(&script, false).result else { return false };
        (self.script, self.why) = (script, why);
        true
    }

    fn without_events(&mut self) {
        self.minimize(self.events().into_iter().collect(), |script, kept| {
            script.steps.retain(|step| fed(step).is_none_or(|index| kept.contains(&index)));
        });
    }

    fn without_steps(&mut self) {
        let steps = self.script.steps.clone();
        self.minimize((0..steps.len()).collect(), |script, kept| {
            script.steps = kept.iter().map(|index| steps[*index]).collect();
        });
    }

    fn without_mishaps(&mut self) {
        let mishaps: Vec<(Mishap, u64)> = self.chosen().into_iter().collect();
        self.minimize(mishaps, |script, kept| script.mishaps = Some(kept.iter().copied().collect()));
    }

    /// A mishap befalls the nth call of its process. Events that only make up the number go when it befalls an earlier one.
    fn with_earlier_mishaps(&mut self) {
        for index in self.events() {
            for at in 0..self.chosen().len() {
                let earlier = moved(&self.chosen(), at);
                let left_out = |script: &mut Script| {
                    script.steps.retain(|step| fed(step) != Some(index));
                    script.mishaps = Some(earlier);
                };
                if self.still(left_out) {
                    break;
                }
            }
        }
    }

    fn events(&self) -> BTreeSet<usize> {
        self.script.steps.iter().filter_map(fed).collect()
    }

    fn chosen(&self) -> Chosen {
        self.script.mishaps.clone().unwrap_or_default()
    }

    /// Leaves out halves, then quarters, down to single ones.
    fn minimize<T: Clone>(&mut self, mut all: Vec<T>, keep: impl Fn(&mut Script, &[T])) {
        let mut part = all.len();
        while part > 0 && self.patience > 0 {
            let mut at = 0;
            while at < all.len() {
                let mut kept = all.clone();
                kept.drain(at..(at + part).min(all.len()));
                if self.still(|script| keep(script, &kept)) {
                    all = kept;
                } else {
                    at += part;
                }
            }
            part /= 2;
        }
    }

    /// The trace, from what is published first to what is wrong in the end.
    pub fn trace(&self) -> Vec<String> {
        let mut lines = play(&self.script, true).trace;
        lines.push(self.why.clone());
        lines
    }
}

/// The mishap at this place and those of the same kind of call after it, each one call earlier.
fn moved(chosen: &Chosen, at: usize) -> Chosen {
    let Some(first) = chosen.keys().nth(at) else { return chosen.clone() };
    let same = |mishap: &Mishap| (mishap.process, mishap.call) == (first.process, first.call);
    chosen
        .iter()
        .map(|(mishap, luck)| match same(mishap) && mishap.nth >= first.nth {
            true => (Mishap { nth: mishap.nth.saturating_sub(1), ..*mishap }, *luck),
            false => (*mishap, *luck),
        })
        .collect()
}

fn fed(step: &Step) -> Option<usize> {
    if let Step::Feed(index) = step { Some(*index) } else { None }
}

/// What a person is told of a seed that fails.
pub fn report(name: &str, script: &Script, why: &str) -> String {
    let again = format!("SLUICE_SIM_SEED={} cargo test --lib {name}", script.seed);
    let Some(failure) = Failure::shrunk(script) else {
        return format!("seed {} of {name}: {why}\nit did not fail again; run it with {again}", script.seed);
    };
    let (steps, mishaps) = failure.size();
    let lines = failure.trace().join("\n  ");
    format!(
        "seed {} of {name}: {why}\nshortened from {} steps to {steps}, with {mishaps} mishaps:\n  {lines}\nthe whole run: {again}",
        script.seed,
        script.steps.len()
    )
}
