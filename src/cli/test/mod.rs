//! `sluice test`: the scenarios of a project.

mod human;
mod json;
mod junit;

use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use clap::{Args, ValueEnum};

use super::failure::{Exit, Failure};
use super::{ProjectArgs, print, project};
use crate::diagnostic::Sources;
use crate::spec;
use crate::testkit::scenario::{self, Report, Settings};

/// How often `--watch` looks. It looks at contents, not at times or events of the file system, and so works everywhere.
const LOOK: Duration = Duration::from_millis(250);

/// Play the scenarios of a project: events that come, and what must have become of them
///
/// A scenario is in a file `*.test.yaml` beside the pipelines. It runs through the very flow that `sluice run` runs, on channels and a
/// store in memory; nothing is connected to, and waiting takes no time. With `explore` it is played in other orders of delivery, with
/// duplicates, and with a crash at every step, and what it demands must hold each time: the first run in which it does not is shown, made
/// as small as it can be.
#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  sluice test
  sluice test pipelines/fulfilment.test.yaml         only that file
  sluice test --filter shipped --watch               again with every change, those whose file or name says so
  sluice test --format junit > scenarios.xml         for CI

A scenario, in pipelines/fulfilment.test.yaml:

  pipelines: [fulfilment.yaml]
  scenarios:
    - name: shipped before paid
      given:
        - { event: OrderShipped, data: { order_id: o1, carrier: DHL } }
        - { event: OrderPaid, data: { order_id: o1 } }
      explore: { orders: all, duplicates: 1, crashes: true }
      then: { state: { o1: { status: done } }, dead_letters: [] }")]
pub struct TestArgs {
    #[command(flatten)]
    project: ProjectArgs,
    /// Files of scenarios; without any, all of the project
    #[arg(value_name = "FILE")]
    files: Vec<PathBuf>,
    /// Only scenarios whose file or name has this in it
    #[arg(long, value_name = "TEXT")]
    filter: Option<String>,
    /// Lines for people, one JSON object, or JUnit's XML
    #[arg(long, value_enum, default_value_t = TestFormat::Human)]
    format: TestFormat,
    /// Play again whenever a file of the project changes, until Ctrl-C
    #[arg(long)]
    watch: bool,
    /// Draw other samples of orders, and other delays of retries, than the scenarios say; the same number draws the same
    #[arg(long, value_name = "N")]
    seed: Option<u64>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum TestFormat {
    Human,
    Json,
    Junit,
}

/// One scenario that was played.
struct Played {
    file: String,
    line: usize,
    name: String,
    took: Duration,
    report: Report,
}

impl Played {
    fn passed(&self) -> bool {
        self.report.failure.is_none()
    }
}

pub fn test(arguments: &TestArgs) -> Result<Exit, Failure> {
    if !arguments.watch {
        return once(arguments);
    }
    let mut seen: Option<Sources> = None;
    loop {
        let now = sources(arguments)?;
        if seen.as_ref().is_none_or(|seen| seen.0 != now.0) {
            seen = Some(now);
            // What fails now may be mended with the next change.
            if let Err(failure) = once(arguments) {
                failure.report();
            }
            print::note("watching the project's files; Ctrl-C ends it");
        }
        std::thread::sleep(LOOK);
    }
}

fn sources(arguments: &TestArgs) -> Result<Sources, Failure> {
    let root = &arguments.project.project;
    project::directory(root)?;
    Ok(spec::load_with_scenarios(root, wanted(root, &arguments.files)?.as_deref()).sources)
}

/// Files as the shell names them → as the project does. `None`: all.
fn wanted(root: &Path, files: &[PathBuf]) -> Result<Option<Vec<PathBuf>>, Failure> {
    if files.is_empty() {
        return Ok(None);
    }
    let cannot = |path: &Path, error: &dyn std::fmt::Display| {
        Failure::cannot_run(format!("`{}` cannot be opened: {error}", path.display()))
    };
    let root = root.canonicalize().map_err(|error| cannot(root, &error))?;
    let within = |file: &PathBuf| {
        let real = file.canonicalize().map_err(|error| cannot(file, &error))?;
        real.strip_prefix(&root).map(Path::to_path_buf).map_err(|_| {
            Failure::cannot_run(format!("`{}` is outside of the project", file.display()))
                .help("`--project` names the directory of the project, where `sluice.yaml` is")
        })
    };
    files.iter().map(within).collect::<Result<_, _>>().map(Some)
}

fn once(arguments: &TestArgs) -> Result<Exit, Failure> {
    let root = &arguments.project.project;
    let only = wanted(root, &arguments.files)?;
    let (program, files) = project::load_scenarios(root, only.as_deref())?;
    let mut all = Vec::new();
    let is_asked = |file: &str, name: &str| {
        arguments.filter.as_ref().is_none_or(|text| file.contains(text.as_str()) || name.contains(text.as_str()))
    };
    let asked = files.iter().flat_map(|file| file.scenarios.iter().map(move |scenario| (file, scenario)));
    let asked: Vec<_> = asked.filter(|(file, scenario)| is_asked(&file.name, &scenario.name)).collect();
    if asked.is_empty() {
        return Err(nothing_to_play(arguments));
    }
    let began = Instant::now();
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    for (file, scenario) in asked {
        let progress = Mutex::new(print::Progress::new());
        let tell = |done: usize, of: usize| {
            let mut progress = progress.lock().unwrap_or_else(PoisonError::into_inner);
            progress.show(|| format!("{}: run {done} of {of}", print::tame(&scenario.name)));
        };
        let settings = Settings { seed: arguments.seed, threads, progress: &tell };
        let started = Instant::now();
        let report = scenario::test(&program, file, scenario, &settings).map_err(Failure::cannot_run)?;
        progress.into_inner().unwrap_or_else(PoisonError::into_inner).clear();
        let (file, name, line) = (file.name.clone(), scenario.name.clone(), scenario.line);
        let played = Played { file, line, name, took: started.elapsed(), report };
        if arguments.format == TestFormat::Human {
            print::line(&human::played(&played))?;
        }
        all.push(played);
    }
    match arguments.format {
        TestFormat::Human => print::line(&human::summary(&all, began.elapsed()))?,
        TestFormat::Json => print::json(&json::all(&all))?,
        TestFormat::Junit => print::line(&junit::all(&all))?,
    }
    Ok(if all.iter().all(Played::passed) { Exit::Fine } else { Exit::Findings })
}

/// Nothing that is played fails, which must not look like success.
fn nothing_to_play(arguments: &TestArgs) -> Failure {
    match &arguments.filter {
        Some(text) => Failure::cannot_run(format!("no scenario's file or name has `{}` in it", print::tame(text)))
            .help("`sluice test` without `--filter` plays all"),
        None => Failure::cannot_run("the project has no scenarios").help(
            "write some beside a pipeline, like `pipelines/fulfilment.test.yaml`; `sluice test --help` shows one",
        ),
    }
}
