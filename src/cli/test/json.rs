//! Results for programs.

use serde_json::{Value, json};

use super::Played;
use crate::spec::units;
use crate::testkit::scenario::{DeadEnd, Delivery, Failure, Mismatch};

/// `{ "scenarios": [ … ], "passed": …, "failed": …, "runs": … }`
pub fn all(all: &[Played]) -> Value {
    let failed = all.iter().filter(|played| !played.passed()).count();
    json!({
        "scenarios": all.iter().map(one).collect::<Vec<_>>(),
        "passed": all.len() - failed,
        "failed": failed,
        "runs": all.iter().map(|played| played.report.runs).sum::<usize>(),
    })
}

fn one(played: &Played) -> Value {
    json!({
        "file": played.file,
        "line": played.line,
        "name": played.name,
        "passed": played.passed(),
        "runs": played.report.runs,
        "sampled_with_seed": played.report.sampled,
        "seconds": played.took.as_secs_f64(),
        "failure": played.report.failure.as_ref().map(failure),
    })
}

fn failure(failure: &Failure) -> Value {
    match failure {
        Failure::Given { mismatches, dead } => {
            json!({ "in": "given order", "mismatches": list(mismatches), "dead_letters": letters(dead) })
        }
        Failure::Explored(example) => json!({
            "in": "another run",
            "given_order": order(&example.given),
            "order": order(&example.order),
            "crash": example.crash,
            "mismatches": list(&example.mismatches),
            "against_given_order": list(&example.differences),
            "dead_letters": letters(&example.dead),
        }),
        Failure::Broken { why, order: delivered, crash } => {
            json!({ "in": "the flow itself", "why": why, "order": order(delivered), "crash": crash })
        }
    }
}

fn list(mismatches: &[Mismatch]) -> Vec<Value> {
    let one = |m: &Mismatch| json!({ "about": m.about, "path": m.path, "expected": m.expected, "actual": m.actual });
    mismatches.iter().map(one).collect()
}

fn letters(dead: &[DeadEnd]) -> Vec<Value> {
    let one = |letter: &DeadEnd| {
        json!({
            "pipeline": &*letter.pipeline, "event": letter.event, "key": letter.key,
            "class": letter.class, "reason": letter.reason, "message": letter.message,
        })
    };
    dead.iter().map(one).collect()
}

fn order(deliveries: &[Delivery]) -> Vec<Value> {
    let one = |delivery: &Delivery| match delivery {
        Delivery::Wait(time) => json!({ "wait": units::show(*time) }),
        Delivery::Message { name, again } => json!({ "message": name, "again": again }),
    };
    deliveries.iter().map(one).collect()
}
