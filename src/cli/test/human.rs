//! Results for people.

use std::time::Duration;

use serde_json::Value;

use super::super::print;
use super::Played;
use crate::spec::units;
use crate::testkit::scenario::{CounterExample, DeadEnd, Delivery, Failure, Mismatch};

/// Values longer than that are cut: what is around them says where to look.
const LONGEST: usize = 60;

pub fn played(played: &Played) -> String {
    let runs = match (played.report.runs, played.report.sampled) {
        (1, None) => String::new(),
        (runs, None) => format!(" ({})", print::count(runs as u64, "run")),
        (runs, Some(seed)) => {
            format!(" ({}; there are more orders, these were drawn with seed {seed})", print::count(runs as u64, "run"))
        }
    };
    let name = print::tame(&played.name);
    match &played.report.failure {
        None => format!("ok    {} › {name}{runs}", played.file),
        Some(failure) => {
            let told: String = lines(failure).iter().map(|line| format!("\n      {line}")).collect();
            let told = told.lines().map(str::trim_end).collect::<Vec<_>>().join("\n");
            format!("FAIL  {}:{} › {name}{runs}{told}\n", played.file, played.line)
        }
    }
}

pub fn summary(all: &[Played], took: Duration) -> String {
    let failed = all.iter().filter(|played| !played.passed()).count();
    let runs: usize = all.iter().map(|played| played.report.runs).sum();
    let scenarios = print::count(all.len() as u64, "scenario");
    let verdict = if failed == 0 { "all hold".to_owned() } else { format!("{failed} failed") };
    format!("{scenarios}, {verdict}: {} in {:.1}s", print::count(runs as u64, "run"), took.as_secs_f64())
}

/// Why a scenario fails, line by line.
pub fn lines(failure: &Failure) -> Vec<String> {
    match failure {
        Failure::Given { mismatches, dead } => {
            let mut lines = table(["DEMANDED", "EXPECTED", "IS"], mismatches);
            lines.extend(aside(dead));
            lines
        }
        Failure::Explored(example) => explored(example),
        Failure::Broken { why, order, crash } => {
            let mut lines = vec![why.clone(), String::new(), "in this order:".to_owned()];
            lines.extend(order.iter().map(|delivery| format!("  {}", delivered(delivery))));
            lines.extend(crash.iter().map(|crash| format!("  and the process died {crash}")));
            lines
        }
    }
}

fn explored(example: &CounterExample) -> Vec<String> {
    let mut lines = Vec::new();
    let same = example.given == example.order;
    lines.push(match (same, &example.crash) {
        (true, Some(crash)) => format!("it holds, but not when the process dies {crash} and another goes on"),
        (_, Some(crash)) => format!("it holds in the given order, but not in this one, when the process dies {crash}:"),
        (_, None) => "it holds in the given order, but not in this one:".to_owned(),
    });
    if !same {
        lines.push(String::new());
        let side = |list: &[Delivery], at: usize| list.get(at).map_or(String::new(), delivered);
        let longest = example.given.len().max(example.order.len());
        let rows: Vec<Vec<String>> =
            (0..longest).map(|at| vec![side(&example.given, at), side(&example.order, at)]).collect();
        lines.extend(print::table(&["GIVEN ORDER", "THIS ORDER"], &rows).lines().map(str::to_owned));
    }
    lines.push(String::new());
    let other = if same { "THIS RUN" } else { "THIS ORDER" };
    lines.extend(table(["AT THE END", "GIVEN ORDER", other], &example.differences));
    lines.push(String::new());
    lines.extend(table(["DEMANDED", "EXPECTED", "IS"], &example.mismatches));
    lines.extend(aside(&example.dead));
    lines
}

/// What was set aside often says why something else is not there.
fn aside(dead: &[DeadEnd]) -> Vec<String> {
    let one = |letter: &DeadEnd| {
        let what = letter.event.as_deref().unwrap_or("what is no event");
        let of = letter.key.as_ref().map_or(String::new(), |key| format!(" of {key}"));
        print::tame(&format!("set aside: {what}{of}: {}: {}", letter.reason, letter.message))
    };
    let lines: Vec<String> = dead.iter().map(one).collect();
    if lines.is_empty() { lines } else { [vec![String::new()], lines].concat() }
}

fn delivered(delivery: &Delivery) -> String {
    match delivery {
        Delivery::Wait(time) => format!("wait {}", units::show(*time)),
        Delivery::Message { name, again } => {
            format!("{}{}", print::tame(name), if *again { ", again" } else { "" })
        }
    }
}

fn table(header: [&str; 3], mismatches: &[Mismatch]) -> Vec<String> {
    let row = |mismatch: &Mismatch| {
        let about = format!("{} {}", mismatch.about, mismatch.path);
        vec![print::tame(about.trim_end()), shown(mismatch.expected.as_ref()), shown(mismatch.actual.as_ref())]
    };
    let rows: Vec<Vec<String>> = mismatches.iter().map(row).collect();
    print::table(&header, &rows).lines().map(str::to_owned).collect()
}

fn shown(value: Option<&Value>) -> String {
    let Some(value) = value else { return "-".to_owned() };
    let text = print::tame(&value.to_string());
    match text.char_indices().nth(LONGEST) {
        Some((at, _)) => format!("{}…", &text[..at]),
        None => text,
    }
}
