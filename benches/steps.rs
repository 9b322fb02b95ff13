//! How long each step of the gate takes an event of 400 bytes: `cargo bench --bench steps`.
//!
//! `cargo bench --bench steps -- decide` measures one of them, `-- --save-baseline before` and `-- --baseline before`
//! compare two states of the code. At the end stand the medians of this run and their ratios to parsing the JSON, which
//! no gate can do without; absolute figures depend on the machine and on what else it does.

#![allow(clippy::print_stdout, clippy::disallowed_methods, reason = "a benchmark prints, and asks for the time")]

mod one_event;

use std::time::{Duration, Instant};

use criterion::{Criterion, Throughput};
use one_event::{Step, steps};

/// As the binary has it: much of what a step costs is its allocations.
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

fn main() {
    let mut criterion = Criterion::default().measurement_time(Duration::from_secs(3)).configure_from_args();
    let mut medians = Vec::new();
    for step in steps() {
        medians.extend(measured(&mut criterion, &step).map(|median| (step.name, median)));
    }
    criterion.final_summary();
    let parse = medians.iter().find(|(name, _)| *name == "parse").map(|(_, median)| *median);
    println!("{:13} {:>9} {:>8}", "step", "ns/event", "× parse");
    for (name, median) in medians {
        let ratio = parse.map_or(String::new(), |parse| format!("{:.2}", median / parse));
        println!("{name:13} {median:9.0} {ratio:>8}");
    }
}

/// Median of nanoseconds an event; `None` when the step was not asked for.
fn measured(criterion: &mut Criterion, step: &Step) -> Option<f64> {
    let mut samples = Vec::new();
    let mut group = criterion.benchmark_group("step");
    group.throughput(Throughput::Elements(step.events));
    group.bench_function(step.name, |bencher| {
        bencher.iter_custom(|passes| {
            let began = Instant::now();
            for n in 0..passes {
                (step.run)(n as usize);
            }
            let taken = began.elapsed();
            samples.push(taken.as_nanos() as f64 / (passes * step.events) as f64);
            taken
        });
    });
    group.finish();
    samples.sort_by(f64::total_cmp);
    samples.get(samples.len() / 2).copied()
}
