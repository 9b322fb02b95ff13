//! How many instructions each step of the gate takes an event, against the budget in `benches/budget.json`:
//! `cargo bench --profile dev --bench instructions`. Needs valgrind.
//!
//! Ends with code 1 when a step takes over 5 % more than its budget, or has none. `-- --write` records the budget anew: do
//! that when a step has to do more, when it needs less than before, or with another compiler.
//!
//! The budget is one of the `dev` profile, which every test builds anyway: what is parsed, cloned or allocated once too often
//! shows there as well, and a check that costs a release build would be left out. Built with another profile, as by a plain
//! `cargo bench`, this tells the counts and compares nothing.
//!
//! Counts repeat where times do not. Each step runs in a process of its own under callgrind, which counts inside of
//! [`counted`] alone: neither the start nor another step is in it.

#![allow(clippy::print_stdout, clippy::print_stderr, reason = "a benchmark prints")]

mod budget;
mod one_event;

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::process::{Command, ExitCode};

use budget::Counts;
use one_event::{BATCH, Step, steps};

/// As the binary has it: much of what a step costs is its allocations.
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

const BUDGET: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/benches/budget.json");
/// Events that each step is counted with.
const EVENTS: u64 = 16 * BATCH as u64;

/// Whether this was built with the profile of the budget.
const OF_THE_BUDGET: bool = cfg!(debug_assertions);

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).filter(|argument| argument != "--bench").collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let done = match arguments[..] {
        ["count", name] => return count(name),
        [] => check(),
        ["--write"] => record(),
        _ => Err("there is one option, `--write`".to_owned()),
    };
    match done {
        Ok(code) => code,
        Err(why) => {
            eprintln!("error: {why}");
            ExitCode::FAILURE
        }
    }
}

/// In the process that is counted: warm, so that nothing is made for the first time.
fn count(name: &str) -> ExitCode {
    let Some(step) = steps().into_iter().find(|step| step.name == name) else { return ExitCode::FAILURE };
    for n in 0..BATCH {
        (step.run)(n);
    }
    counted(&step);
    ExitCode::SUCCESS
}

#[inline(never)]
fn counted(step: &Step) {
    for n in 0..EVENTS / step.events {
        (step.run)(n as usize);
    }
}

fn check() -> Result<ExitCode, String> {
    let now = now()?;
    if !OF_THE_BUDGET {
        println!(
            "{now}the budget is one of another profile: `cargo bench --profile dev --bench instructions` compares"
        );
        return Ok(ExitCode::SUCCESS);
    }
    let text = fs::read_to_string(BUDGET).map_err(|error| format!("`{BUDGET}` cannot be read: {error}"))?;
    let budget: Counts = serde_json::from_str(&text).map_err(|error| format!("`{BUDGET}` is no budget: {error}"))?;
    let comparison = now.against(&budget);
    print!("{comparison}");
    if comparison.fails() {
        return Err(
            "not as the budget says: mend it, or record it with `-- --write` and say why in the commit".to_owned()
        );
    }
    Ok(ExitCode::SUCCESS)
}

fn record() -> Result<ExitCode, String> {
    if !OF_THE_BUDGET {
        return Err(
            "the budget is one of the `dev` profile: `cargo bench --profile dev --bench instructions -- --write`"
                .to_owned(),
        );
    }
    let now = now()?;
    let text = serde_json::to_string_pretty(&now).expect("counts are plain data, which serializes");
    fs::write(BUDGET, text + "\n").map_err(|error| format!("`{BUDGET}` cannot be written: {error}"))?;
    print!("{now}");
    Ok(ExitCode::SUCCESS)
}

fn now() -> Result<Counts, String> {
    let mut counts = BTreeMap::new();
    for step in steps() {
        counts.insert(step.name.to_owned(), instructions(step.name)?);
    }
    Ok(Counts { compiler: compiler()?, steps: counts })
}

/// Instructions an event.
fn instructions(step: &str) -> Result<u64, String> {
    let folder = tempfile::tempdir().map_err(|error| format!("no folder for what callgrind writes: {error}"))?;
    let out = folder.path().join("counts");
    let this = std::env::current_exe().map_err(|error| format!("this program does not know where it is: {error}"))?;
    let ran = Command::new("valgrind")
        .args(["--tool=callgrind", "--toggle-collect=instructions::counted"])
        .arg(format!("--callgrind-out-file={}", out.display()))
        .arg(this)
        .args(["count", step])
        .output()
        .map_err(|error| format!("`valgrind` does not start ({error}); install it, it counts the instructions"))?;
    if !ran.status.success() {
        return Err(format!("step `{step}` failed under valgrind:\n{}", String::from_utf8_lossy(&ran.stderr)));
    }
    total(&out)
        .filter(|total| *total > 0)
        .map(|total| total / EVENTS)
        .ok_or_else(|| format!("callgrind counted nothing in step `{step}`; is the program built without symbols?"))
}

/// The line `totals: <instructions>` of what callgrind wrote.
fn total(file: &Path) -> Option<u64> {
    let text = fs::read_to_string(file).ok()?;
    text.lines().find_map(|line| line.strip_prefix("totals: "))?.trim().parse().ok()
}

/// Release and host, which the counts depend on.
fn compiler() -> Result<String, String> {
    let told = Command::new(std::env::var_os("RUSTC").unwrap_or_else(|| "rustc".into()))
        .arg("-vV")
        .output()
        .map_err(|error| format!("`rustc` does not tell its version: {error}"))?;
    let told = String::from_utf8_lossy(&told.stdout);
    let field = |name| told.lines().find_map(|line| line.strip_prefix(name)).unwrap_or("unknown");
    Ok(format!("rustc {} for {}", field("release: "), field("host: ")))
}
