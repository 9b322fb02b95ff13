//! What an event costs `sluice` when there is more of something: remembered ids, keys, pipelines, state.
//!
//! Each row is one kind of more, its steps run in turn, so that what befalls the machine befalls all of them. A ratio is
//! told against the first step. Time is noisy where a machine is shared; seconds of processor time are less so.

use std::path::Path;

use serde::Serialize;

use crate::adapter::{Running, Side, sluice};
use crate::fill::{Past, fill};
use crate::project;
use crate::random::Random;
use crate::report::Spread;
use crate::run::{self, Run};
use crate::servers::Servers;
use crate::workload::{self, Event};

/// Keys of the steps that are not about their number.
const KEYS: u64 = 10_000;

/// The row that the design has a figure for.
pub const REMEMBERED: &str = "remembered ids";

/// One kind of more.
struct Row {
    name: &'static str,
    steps: Vec<Step>,
}

#[derive(Clone, Copy)]
struct Step {
    /// Of what the row is about.
    size: u64,
    past: Past,
    /// Keys that events come for.
    keys: u64,
    pipelines: u64,
    events: u64,
}

/// What was found of one step.
#[derive(Serialize)]
pub struct Grown {
    pub row: &'static str,
    pub size: u64,
    /// Events that all pipelines handled in a second.
    pub per_second: Vec<f64>,
    /// Microseconds of processor time an event and pipeline: `sluice`, then Redis.
    pub sluice: Vec<f64>,
    pub redis: Vec<f64>,
    /// Against the first step of the row, medians: of both times together.
    pub ratio: f64,
}

fn rows(quick: bool) -> Vec<Row> {
    let scale = if quick { 100 } else { 1 };
    let plain = Step { size: 0, past: Past::default(), keys: KEYS, pipelines: 1, events: 60_000 / scale };
    let step = |size, change: fn(&mut Step, u64)| {
        let mut step = Step { size, ..plain };
        change(&mut step, size);
        step
    };
    let remembered = |size| step(size, |step, size| step.past.remembered = size);
    let keys = |size| {
        step(size, |step, size| {
            step.keys = size;
            step.past = Past { keys: size, state: 128, remembered: 0 };
        })
    };
    let state = |size| {
        step(size, |step, size| {
            step.keys = 1_000;
            step.past = Past { keys: 1_000, state: (size as usize) << 10, remembered: 0 };
            step.events /= size.min(16);
        })
    };
    let pipelines = |size| {
        step(size, |step, size| {
            step.pipelines = size;
            // The start of all but the first is in it.
            step.events = 2 * step.events / size;
        })
    };
    vec![
        Row { name: REMEMBERED, steps: [10_000, 1_000_000, 10_000_000].map(|n| remembered(n / scale)).into() },
        Row { name: "keys", steps: [1_000, 100_000, 1_000_000].map(|n| keys(n / scale)).into() },
        Row { name: "pipelines", steps: [1, 8, 64].map(pipelines).into() },
        Row { name: "state, KiB", steps: [1, 16, 64].map(state).into() },
    ]
}

/// All rows, each step so many times.
pub async fn measure(quick: bool, rounds: u32) -> Result<Vec<Grown>, String> {
    let mut all = Vec::new();
    for row in rows(quick) {
        let mut found: Vec<Vec<Run>> = row.steps.iter().map(|_| Vec::new()).collect();
        for round in 1..=rounds {
            for (step, runs) in row.steps.iter().zip(&mut found) {
                let run = one(step).await.map_err(|why| format!("{} {}: {why}", row.name, step.size))?;
                eprintln!("{} {} round {round}: {:.0} events/s", row.name, step.size, run.per_second);
                runs.push(run);
            }
        }
        let mut first = None;
        for (step, runs) in row.steps.iter().zip(found) {
            let each = |of: fn(&Run) -> f64| runs.iter().map(of).collect::<Vec<f64>>();
            let cost = Spread::of(each(|run| run.cpu.side + run.cpu.redis)).map_or(0.0, |spread| spread.median);
            let ratio = cost / *first.get_or_insert(cost);
            let (per_second, sluice, redis) =
                (each(|run| run.per_second), each(|run| run.cpu.side), each(|run| run.cpu.redis));
            all.push(Grown { row: row.name, size: step.size, per_second, sluice, redis, ratio });
        }
    }
    Ok(all)
}

/// On fresh servers: the past, the events, and `sluice`.
async fn one(step: &Step) -> Result<Run, String> {
    let workload = workload::find("order").ok_or("the order job is a workload")?;
    let servers = Servers::start(false).await?;
    // What was filled would be rewritten meanwhile, which costs more than what is measured.
    let told = servers.redis.ask("CONFIG SET auto-aof-rewrite-percentage 0");
    if told != "+OK" {
        return Err(format!("redis does not let its log be: {told}"));
    }
    let names: Vec<String> = (0..step.pipelines).map(project::pipeline_name).collect();
    for name in &names {
        fill(&servers.redis_url(), name, step.past).await?;
    }
    servers.fill(events(step)).await?;
    let dir = tempfile::tempdir().map_err(|error| format!("there is no temporary directory: {error}"))?;
    project::write_several(workload, dir.path(), step.pipelines);
    let mut run = watch(&servers, dir.path(), step).await?;
    // One message is an event for each pipeline.
    let pipelines = step.pipelines as f64;
    run.per_second *= pipelines;
    run.cpu.side /= pipelines;
    run.cpu.redis /= pipelines;
    Ok(run)
}

async fn watch(servers: &Servers, dir: &Path, step: &Step) -> Result<Run, String> {
    let side = Side::Sluice;
    let mut running = Running::start(side.name(), sluice(dir, &["run", "--log", "warn"], Some(servers)), dir)?;
    let run = run::watch(&side, &mut running, servers, step.events, step.events * step.pipelines).await?;
    side.check(Some(servers), dir).map_err(|why| format!("{why}\n{}", running.log()))?;
    running.stop().await?;
    Ok(run)
}

/// Events of the order job, 400 bytes each, for so many keys.
fn events(step: &Step) -> impl Iterator<Item = Event> + use<> {
    let (mut random, keys) = (Random(step.size), step.keys);
    (0..step.events).map(move |id| {
        let (key, notes) = (random.below(keys), random.next());
        let payload = format!(
            r#"{{"id":"e-{id}","type":"OrderPlaced","version":1,"source":"bench","time":"2026-01-01T00:00:00Z","data":{{"order_id":"k{key}","seq":{},"amount_cents":{},"currency":"EUR","customer_id":"customer-{key:08}-of-the-benchmark","items":[{{"sku":"A-{}","quantity":1}}],"notes":"{notes:0128x}"}}}}"#,
            id + 1,
            100 + id % 9_900,
            id % 977,
        );
        Event { id, payload }
    })
}

/// The table.
pub fn print(grown: &[Grown]) {
    println!("\ngrowth — the order job of sluice; µs of processor time an event\n");
    println!(
        "{:<15} {:>10}  {:>10}  {:>8}  {:>8}  both against the first",
        "of", "size", "events/s", "sluice", "redis"
    );
    for one in grown {
        let median = |values: &[f64]| Spread::of(values.iter().copied()).map_or(0.0, |spread| spread.median);
        println!(
            "{:<15} {:>10}  {:>10.0}  {:>8.1}  {:>8.1}  {:.2} ×",
            one.row,
            one.size,
            median(&one.per_second),
            median(&one.sluice),
            median(&one.redis),
            one.ratio
        );
    }
}
