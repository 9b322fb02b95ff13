//! What a waiter costs when many of its key wait: `cargo bench --bench waiting`.
//!
//! Each round has that many events which come `after` another one, then that one, and ends when all are handled: parked,
//! found again and released, each once. Printed is the time for each, without that of a run with none. It must not grow with
//! their number: when 10,000 cost half as much again each as 1,000 do, this ends with code 1.

#![allow(
    clippy::print_stdout,
    clippy::disallowed_methods,
    clippy::unwrap_used,
    dead_code,
    reason = "a benchmark prints, stops at surprises, and shares the tests' servers"
)]

#[path = "../tests/support/mod.rs"]
mod support;

use std::fmt::Write as _;
use std::fs;
use std::process::{Command, ExitCode, Stdio};
use std::time::{Duration, Instant};

use support::servers::RedisServer;

const ROUNDS: usize = 5;
const COUNTS: [u32; 3] = [1_000, 3_000, 10_000];
const MOST_GROWTH: f64 = 1.5;

fn main() -> ExitCode {
    let redis = RedisServer::start();
    let mut fine = true;
    for (store, project) in
        [("embedded", String::new()), ("redis", format!("store: {{ redis: {{ url: \"{}\" }} }}\n", redis.url()))]
    {
        let round = |count| {
            redis.flush();
            run(&project, count)
        };
        let none = (0..ROUNDS).map(|_| round(0)).min().unwrap();
        let mut medians = Vec::new();
        for count in COUNTS {
            let mut each: Vec<f64> =
                (0..ROUNDS).map(|_| round(count).saturating_sub(none).as_secs_f64() * 1e6 / f64::from(count)).collect();
            each.sort_by(f64::total_cmp);
            medians.push(each[ROUNDS / 2]);
            println!(
                "{store:<8} {count:>6} waiters on one key: median {:>6.1} µs each, fastest {:>6.1}, slowest {:>6.1}",
                each[ROUNDS / 2],
                each[0],
                each[ROUNDS - 1]
            );
        }
        let growth = medians[2] / medians[0];
        println!("{store:<8} 10,000 against 1,000: {growth:.2} × each");
        fine &= growth <= MOST_GROWTH;
    }
    if fine { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// From the start of the process that handles them to its end.
fn run(project: &str, count: u32) -> Duration {
    let directory = tempfile::tempdir().unwrap();
    let pipeline = "\
pipeline: waiting
key: data.key
reorder: { max_parked_per_key: 100000, max_parked_bytes: 1GiB }
subscriptions:
  - { event: Ordered, from: in, versions: [1], script: state.n = 0 }
  - { event: Shipped, from: in, versions: [1], after: [Ordered], script: state.n += 1 }
";
    let event = |kind: &str, n: u32| {
        format!("{{\"id\":\"{n}\",\"type\":\"{kind}\",\"source\":\"s\",\"version\":1,\"data\":{{\"key\":\"k\"}}}}\n")
    };
    let mut events = String::new();
    for n in 1..=count {
        let _ = write!(events, "{}", event("Shipped", n));
    }
    events += &event("Ordered", 0);
    for (path, text) in [
        ("sluice.yaml", project),
        ("pipelines/waiting.yaml", pipeline),
        ("schemas/Ordered/1.json", "{}"),
        ("schemas/Shipped/1.json", "{}"),
        ("events.ndjson", &events),
    ] {
        let path = directory.path().join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }
    let sluice = |arguments: &[&str]| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_sluice"));
        command.args(arguments).current_dir(directory.path()).stderr(Stdio::inherit());
        let done = command.output().unwrap();
        assert!(done.status.success(), "{arguments:?}");
        done
    };
    sluice(&["publish", "in", "events.ndjson"]);
    let began = Instant::now();
    let done = sluice(&["run", "--until-idle", "--log", "error"]);
    let taken = began.elapsed();
    let said = String::from_utf8(done.stdout).unwrap();
    let wanted = format!("done 1 + skipped 0 + duplicate 0 + parked {count} + dead 0");
    assert!(said.contains(&wanted), "{said}");
    taken
}
