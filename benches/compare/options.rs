//! What can be said on the command line.

use std::path::PathBuf;
use std::time::Duration;

use clap::Parser;

use crate::adapter::{Adapter, Side};
use crate::workload::{self, Workload};

/// The whole job, side by side: NATS JetStream, validate, handle with state in Redis, emit, ack
///
/// Starts its own servers (see docs/performance.md for what is measured how), runs every side of a workload once, then
/// again, so that what befalls the machine befalls all of them, and tells medians with the smallest and the largest. A
/// run that loses or doubles an event ends everything with code 1. Progress goes to stderr, tables to stdout.
#[derive(Parser)]
#[command(
    name = "cargo bench --bench compare --",
    after_help = "\
Examples:
  cargo bench --bench compare -- --quick                 everything once and short: does it work?
  cargo bench --bench compare -- --json figures.json     everything, five rounds
  cargo bench --bench compare -- --workload order --side sluice --side ceiling --rounds 9
  cargo bench --bench compare -- --workload order --latency
  cargo bench --bench compare -- --workload order --adapter peer.json
  cargo bench --bench compare -- --soak 300              memory under overload; code 1 above 128 MiB
  cargo bench --bench compare -- --growth --rounds 3     from ten thousand to ten million remembered ids, and more"
)]
pub struct Options {
    /// Small and once: says that it works, not how fast it is
    #[arg(long)]
    pub quick: bool,
    /// Only this workload; may be repeated
    #[arg(long, value_name = "NAME", value_parser = workload)]
    workload: Vec<&'static Workload>,
    /// Only this side: `sluice`, `ceiling`, `usual-1`, `usual-256` or an adapter's name; may be repeated
    #[arg(long, value_name = "NAME")]
    side: Vec<String>,
    /// Another program beside them, as the file describes it; may be repeated
    #[arg(long, value_name = "FILE")]
    adapter: Vec<PathBuf>,
    /// How often every side runs
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    rounds: Option<u32>,
    /// Latency, too: at 10, 50 and 90 % of what each side was measured to handle
    #[arg(long)]
    pub latency: bool,
    /// Only sustained overload, for so many seconds
    #[arg(long, value_name = "SECONDS", num_args = 0..=1, default_missing_value = "300")]
    soak: Option<u64>,
    /// Only what an event costs `sluice` with more remembered ids, keys, pipelines and state
    #[arg(long, conflicts_with = "soak")]
    pub growth: bool,
    /// Everything that was measured, for programs
    #[arg(long, value_name = "FILE")]
    pub json: Option<PathBuf>,
    /// Names of the workloads and what they are
    #[arg(long)]
    pub list: bool,
    /// What `cargo bench` says to every benchmark
    #[arg(long, hide = true)]
    bench: bool,
}

fn workload(name: &str) -> Result<&'static Workload, String> {
    workload::find(name).ok_or_else(|| "there is none of this name; `--list` shows them".to_owned())
}

impl Options {
    pub fn workloads(&self) -> Vec<&'static Workload> {
        if self.workload.is_empty() { workload::ALL.iter().collect() } else { self.workload.clone() }
    }

    pub fn sides(&self) -> Result<Vec<Side>, String> {
        let mut sides = Side::built_in();
        for file in &self.adapter {
            sides.push(Side::Adapter(Adapter::read(file)?));
        }
        if let Some(unknown) = self.side.iter().find(|name| sides.iter().all(|side| side.name() != **name)) {
            let names: Vec<String> = sides.iter().map(Side::name).collect();
            return Err(format!("there is no side `{unknown}`; there are {}", names.join(", ")));
        }
        if !self.side.is_empty() {
            sides.retain(|side| self.side.contains(&side.name()));
        }
        Ok(sides)
    }

    pub fn rounds(&self) -> u32 {
        self.rounds.unwrap_or(if self.quick { 1 } else { 5 })
    }

    /// How long a run should take.
    pub fn run_time(&self) -> Duration {
        if self.quick { Duration::from_millis(500) } else { Duration::from_secs(3) }
    }

    /// How long events are sent to measure latency.
    pub fn latency_time(&self) -> Duration {
        Duration::from_secs(if self.quick { 2 } else { 15 })
    }

    pub fn soak(&self) -> Option<Duration> {
        self.soak.map(Duration::from_secs)
    }
}
