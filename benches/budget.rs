//! Instructions an event of each step, as they were recorded and as they are now.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use serde::{Deserialize, Serialize};

/// More or less than this beside the budget is told, in percent; more fails.
const TOLERANCE: f64 = 5.0;
/// With another compiler the same source has other counts: then it takes this much more to fail.
const TOLERANCE_OTHER_COMPILER: f64 = 20.0;

/// What was counted, and what was counted with.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Counts {
    /// As `rustc` names its release and its host.
    pub compiler: String,
    /// Instructions an event, by step.
    pub steps: BTreeMap<String, u64>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    Within,
    /// So much less that the budget no longer guards what was won.
    Under,
    Over,
    /// It is counted, and has no budget.
    NoBudget,
    /// It has a budget, and is not counted any more.
    NotCounted,
}

#[derive(Debug, PartialEq)]
pub struct Line {
    pub step: String,
    pub budget: Option<u64>,
    pub now: Option<u64>,
    pub verdict: Verdict,
}

/// How the counts of now stand to a budget; shown as a table.
#[derive(Debug, PartialEq)]
pub struct Comparison {
    pub lines: Vec<Line>,
    /// What the budget was recorded with, where that is another compiler than that of now.
    pub other_compiler: Option<String>,
}

impl Counts {
    pub fn against(&self, budget: &Self) -> Comparison {
        let other_compiler = (self.compiler != budget.compiler).then(|| budget.compiler.clone());
        let tolerance = if other_compiler.is_some() { TOLERANCE_OTHER_COMPILER } else { TOLERANCE };
        let names: BTreeSet<&String> = budget.steps.keys().chain(self.steps.keys()).collect();
        let line = |step: &String| {
            let (budget, now) = (budget.steps.get(step).copied(), self.steps.get(step).copied());
            let verdict = match (budget, now) {
                (Some(budget), Some(now)) => judge(budget, now, tolerance),
                (None, _) => Verdict::NoBudget,
                (Some(_), None) => Verdict::NotCounted,
            };
            Line { step: step.clone(), budget, now, verdict }
        };
        Comparison { lines: names.into_iter().map(line).collect(), other_compiler }
    }
}

fn judge(budget: u64, now: u64, tolerance: f64) -> Verdict {
    let change = change(budget, now);
    if change > tolerance {
        Verdict::Over
    } else if change < -tolerance {
        Verdict::Under
    } else {
        Verdict::Within
    }
}

/// In percent of the budget.
fn change(budget: u64, now: u64) -> f64 {
    (now as f64 - budget as f64) * 100.0 / budget.max(1) as f64
}

impl Comparison {
    pub fn fails(&self) -> bool {
        self.lines.iter().any(|line| !matches!(line.verdict, Verdict::Within | Verdict::Under))
    }
}

/// With ratios to parsing the JSON, which no gate can do without.
impl fmt::Display for Counts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let parse = self.steps.get("parse");
        writeln!(f, "{:13} {:>12} {:>8}", "step", "instructions", "× parse")?;
        for (step, now) in &self.steps {
            let ratio = parse.map_or(String::new(), |parse| format!("{:.2}", *now as f64 / *parse as f64));
            writeln!(f, "{step:13} {now:>12} {ratio:>8}")?;
        }
        Ok(())
    }
}

impl fmt::Display for Comparison {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let count = |count: Option<u64>| count.map_or("-".to_owned(), |count| count.to_string());
        writeln!(f, "{:13} {:>8} {:>8} {:>8}", "step", "budget", "now", "change")?;
        for Line { step, budget, now, verdict } in &self.lines {
            let change =
                budget.zip(*now).map_or(String::new(), |(budget, now)| format!("{:+.1} %", change(budget, now)));
            let said = match verdict {
                Verdict::Within => "",
                Verdict::Under => "  far below its budget: record it, to keep what was won",
                Verdict::Over => "  over its budget",
                Verdict::NoBudget => "  has no budget",
                Verdict::NotCounted => "  has a budget and is not counted",
            };
            writeln!(f, "{step:13} {:>8} {:>8} {change:>8}{said}", count(*budget), count(*now))?;
        }
        if let Some(compiler) = &self.other_compiler {
            let limit = TOLERANCE_OTHER_COMPILER;
            writeln!(
                f,
                "recorded with {compiler}, another than that of now: only more than {limit} % over fails; record it anew"
            )?;
        }
        Ok(())
    }
}
