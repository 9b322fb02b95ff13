//! From the start of the process to the first outcome on the terminal: `cargo bench --bench start`.
//!
//! Each round runs the README's first command in a fresh copy of the sample project, with and without a store that is
//! there already. The bar is 200 ms for the median; above it this ends with code 1.

#![allow(
    clippy::print_stdout,
    clippy::disallowed_methods,
    clippy::unwrap_used,
    reason = "a benchmark prints, and stops at surprises"
)]

use std::fs;
use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::{Command, ExitCode, Stdio};
use std::time::{Duration, Instant};

const ROUNDS: usize = 15;
const BAR: Duration = Duration::from_millis(200);

fn main() -> ExitCode {
    let (mut fresh, mut again) = (Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        let project = tempfile::tempdir().unwrap();
        copy(Path::new(env!("CARGO_MANIFEST_DIR")), project.path());
        fresh.push(first_outcome(project.path()));
        again.push(first_outcome(project.path()));
    }
    let mut slow = false;
    for (what, mut times) in [("a store that is made", fresh), ("a store that is there", again)] {
        times.sort_unstable();
        let median = times[ROUNDS / 2];
        slow |= median > BAR;
        println!(
            "first outcome, {what:<22} median {:>6.1?}  fastest {:>6.1?}  slowest {:>6.1?}",
            median,
            times[0],
            times[ROUNDS - 1]
        );
    }
    if slow { ExitCode::FAILURE } else { ExitCode::SUCCESS }
}

fn first_outcome(project: &Path) -> Duration {
    let began = Instant::now();
    let mut child = Command::new(env!("CARGO_BIN_EXE_sluice"))
        .args(["run", "--show", "--feed", "orders=pipelines/sample-events.ndjson"])
        .current_dir(project)
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut line = String::new();
    BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
    let taken = began.elapsed();
    assert!(line.contains("OrderCreated") || line.starts_with("ignored"), "{line}");
    child.kill().unwrap();
    child.wait().unwrap();
    taken
}

fn copy(from: &Path, to: &Path) {
    for name in ["sluice.yaml", "pipelines", "schemas"] {
        copy_all(&from.join(name), &to.join(name));
    }
}

fn copy_all(from: &Path, to: &Path) {
    if !from.is_dir() {
        fs::copy(from, to).unwrap();
        return;
    }
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        copy_all(&entry.path(), &to.join(entry.file_name()));
    }
}
