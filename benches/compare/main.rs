//! The whole job, side by side: `cargo bench --bench compare`; `-- --help` says more, docs/performance.md all of it.
//!
//! ```text
//! options ─▶ workload × rounds × sides ─▶ run:  servers, stream filled, side started, watched, checked
//!                                         latency, soak: the same, fed while it runs
//!                                         growth: the same, on a store that has seen much
//!                                    ─▶ report: medians, ratios, figures to be reached
//! ```
//! A side is a process that gets its job in its environment; all that is told of it is seen from outside.

#![allow(
    clippy::print_stdout,
    clippy::print_stderr,
    clippy::disallowed_methods,
    reason = "a benchmark prints, asks for the time, and starts what it needs"
)]

mod adapter;
mod fill;
mod growth;
mod latency;
mod measure;
mod options;
mod project;
mod random;
mod report;
mod run;
mod servers;
mod sides;
mod soak;
#[path = "../../tests/support/mod.rs"]
#[allow(dead_code, clippy::unwrap_used, reason = "it is the tests', and they need more of it")]
mod support;
mod workload;

use std::process::ExitCode;
use std::time::Duration;

use clap::Parser as _;
use serde_json::json;

use adapter::Side;
use options::Options;
use report::{Part, Report};
use run::Run;
use servers::Servers;
use workload::Workload;

/// Of what a side can handle, in percent.
const LOADS: [u32; 3] = [10, 50, 90];

fn main() -> ExitCode {
    let mut arguments = std::env::args().skip(1);
    if arguments.next().as_deref() == Some(adapter::BUILT_IN) {
        return sides::run(&arguments.next().unwrap_or_default());
    }
    let options = Options::parse();
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build();
    let runtime = match runtime {
        Ok(runtime) => runtime,
        Err(error) => return failed(&format!("the system gives no threads: {error}")),
    };
    // Sides are in groups of their own, which a terminal's ^C does not reach: they end with what is dropped here.
    let ended = runtime.block_on(async {
        tokio::select! {
            ended = compare(&options) => ended,
            _ = tokio::signal::ctrl_c() => Err("interrupted".to_owned()),
        }
    });
    ended.unwrap_or_else(|why| failed(&why))
}

fn failed(why: &str) -> ExitCode {
    eprintln!("error: {why}");
    ExitCode::FAILURE
}

async fn compare(options: &Options) -> Result<ExitCode, String> {
    if options.list {
        for workload in &workload::ALL {
            println!("{:<14} {}", workload.name, workload.about);
        }
        return Ok(ExitCode::SUCCESS);
    }
    let sides = options.sides()?;
    let mut report = Report { machine: machine().await?, ..Report::default() };
    let mut code = ExitCode::SUCCESS;
    if let Some(lasting) = options.soak() {
        let side = sides.first().expect("there is one");
        eprintln!("soak: {}", side.name());
        let soak = soak::soak(side, lasting).await.map_err(|why| format!("soak, {}: {why}", side.name()))?;
        if !soak.fits() {
            code = ExitCode::FAILURE;
        }
        report.soak = Some(soak);
    } else if options.growth {
        let grown = growth::measure(options.quick, options.rounds()).await?;
        growth::print(&grown);
        report.growth = grown;
    } else {
        for workload in options.workloads() {
            let part = measure(options, workload, &sides).await?;
            part.print();
            report.parts.push(part);
        }
    }
    report.print();
    if let Some(file) = &options.json {
        let text = format!("{:#}\n", report.json());
        std::fs::write(file, text).map_err(|error| format!("`{}` cannot be written: {error}", file.display()))?;
    }
    Ok(code)
}

async fn measure(options: &Options, workload: &'static Workload, sides: &[Side]) -> Result<Part, String> {
    let sides: Vec<&Side> = sides.iter().filter(|side| side.takes(workload)).collect();
    let mut part = Part::new(workload, sides.iter().map(|side| side.name()));
    for round in 1..=options.rounds() {
        for (side, of) in sides.iter().zip(&mut part.sides) {
            let rate = of.runs.last().map_or(side.guess() * workload.share, |run| run.per_second);
            let run = long_enough(side, workload, rate, options.run_time()).await;
            let run = run.map_err(|why| format!("{}, {}: {why}", workload.name, side.name()))?;
            eprintln!("{} round {round}: {} {:.0} events/s", workload.name, side.name(), run.per_second);
            of.runs.push(run);
        }
    }
    if options.latency && workload.can_be_timed() {
        for load in LOADS {
            for (side, of) in sides.iter().zip(&mut part.sides) {
                let capacity = of.capacity().expect("it ran at least once");
                let latency = latency::latency(side, workload, capacity, load, options.latency_time()).await;
                let latency =
                    latency.map_err(|why| format!("{}, {} at {load} %: {why}", workload.name, side.name()))?;
                eprintln!("{} at {load} %: {} p99 {:.2} ms", workload.name, side.name(), latency.p99);
                of.latency.push(latency);
            }
        }
    }
    Ok(part)
}

/// A run with as many events as take about so long. `rate` is what the side did before, or a guess: one that was far too
/// low makes a run that tells nothing, which is repeated.
async fn long_enough(
    side: &Side,
    workload: &'static Workload,
    mut rate: f64,
    lasting: Duration,
) -> Result<Run, String> {
    loop {
        let messages = workload.whole((rate * lasting.as_secs_f64()).max(100.0) as u64);
        let run = run::run(side, workload, messages).await?;
        if run.seconds > lasting.as_secs_f64() / 2.0 || run.per_second < rate * 1.5 {
            return Ok(run);
        }
        rate = run.per_second;
    }
}

/// What the figures depend on most.
async fn machine() -> Result<serde_json::Value, String> {
    let cores = std::thread::available_parallelism().map_or(0, usize::from);
    let load = std::fs::read_to_string("/proc/loadavg").unwrap_or_default();
    let load: Vec<&str> = load.split(' ').take(3).collect();
    let (nats, redis) = Servers::start(false).await?.versions()?;
    let version = env!("CARGO_PKG_VERSION");
    Ok(json!({ "cores": cores, "load_before": load.join(" "), "sluice": version, "nats": nats, "redis": redis }))
}
