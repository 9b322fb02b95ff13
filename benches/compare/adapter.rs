//! The sides: `sluice`, those that are built in, and any program that a file describes.

use std::collections::BTreeMap;
use std::fs::File;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process_group};
use serde::Deserialize;
use serde_json::Value;

use crate::measure::Group;
use crate::project;
use crate::servers::{CONSUMER, IN_STREAM, OUT, Servers};
use crate::workload::{Ground, Job, Workload};

/// The sub-command that is a built-in side.
pub const BUILT_IN: &str = "side";
/// How long a side may take to stop.
const PATIENCE: Duration = Duration::from_secs(60);

pub enum Side {
    Sluice,
    /// `ceiling`, or the usual consumer with so many events in flight.
    Ceiling,
    Usual(u32),
    Adapter(Adapter),
}

/// What `--adapter FILE.json` says; docs/performance.md tells of every field.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Adapter {
    pub name: String,
    command: Vec<String>,
    #[serde(default)]
    env: BTreeMap<String, String>,
    #[serde(default)]
    setup: Vec<String>,
    /// Its consumer, where it cannot be called as it is told.
    consumer: Option<String>,
    /// Without acks of its own it is done when all is emitted.
    #[serde(default)]
    done: Done,
    /// Names of workloads; all that run on servers unless said otherwise.
    workloads: Option<Vec<String>>,
    /// Events a second, about; its first round is made so long that it suits.
    #[serde(default = "guess")]
    rate: f64,
    #[serde(skip)]
    directory: PathBuf,
}

#[derive(Clone, Copy, Default, PartialEq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Done {
    #[default]
    Acked,
    Emitted,
}

fn guess() -> f64 {
    5_000.0
}

impl Adapter {
    /// Commands run in the directory of the file.
    pub fn read(file: &Path) -> Result<Self, String> {
        let shown = file.display();
        let text = std::fs::read_to_string(file).map_err(|error| format!("`{shown}` cannot be read: {error}"))?;
        let mut adapter: Self = serde_json::from_str(&text).map_err(|error| format!("`{shown}`: {error}"))?;
        if adapter.command.is_empty() {
            return Err(format!("`{shown}`: `command` is empty; give a program and its arguments"));
        }
        let file = file.canonicalize().map_err(|error| format!("`{shown}`: {error}"))?;
        adapter.directory = file.parent().expect("a file is in a directory").to_owned();
        Ok(adapter)
    }
}

impl Side {
    pub fn built_in() -> Vec<Self> {
        vec![Self::Sluice, Self::Ceiling, Self::Usual(1), Self::Usual(256)]
    }

    pub fn name(&self) -> String {
        match self {
            Self::Sluice => "sluice".to_owned(),
            Self::Ceiling => "ceiling".to_owned(),
            Self::Usual(in_flight) => format!("usual-{in_flight}"),
            Self::Adapter(adapter) => adapter.name.clone(),
        }
    }

    /// Events a second of the order job, about, before anything is measured.
    pub fn guess(&self) -> f64 {
        match self {
            Self::Sluice => 15_000.0,
            Self::Ceiling => 25_000.0,
            Self::Usual(1) => 1_000.0,
            Self::Usual(_) => 6_000.0,
            Self::Adapter(adapter) => adapter.rate,
        }
    }

    pub fn takes(&self, workload: &Workload) -> bool {
        match self {
            Self::Sluice => true,
            _ if workload.ground == Ground::Local => false,
            Self::Adapter(Adapter { workloads: Some(workloads), .. }) => workloads.iter().any(|w| w == workload.name),
            Self::Ceiling | Self::Usual(_) | Self::Adapter(_) => true,
        }
    }

    pub fn consumer(&self) -> &str {
        match self {
            Self::Adapter(Adapter { consumer: Some(consumer), .. }) => consumer,
            _ => CONSUMER,
        }
    }

    pub fn done(&self) -> Done {
        match self {
            Self::Adapter(adapter) => adapter.done,
            _ => Done::Acked,
        }
    }

    /// Starts it on these servers; `dir` is its own, and empty.
    pub fn start(&self, workload: &Workload, servers: &Servers, dir: &Path) -> Result<Running, String> {
        let command = match self {
            Self::Sluice => {
                project::write(workload, dir);
                sluice(dir, &["run", "--log", "warn"], Some(servers))
            }
            Self::Ceiling => built_in("ceiling"),
            Self::Usual(_) => built_in("usual"),
            Self::Adapter(adapter) => {
                if !adapter.setup.is_empty() {
                    let mut setup = self.told(adapter.run(&adapter.setup), workload, servers);
                    let done = setup.stdin(Stdio::null()).stdout(Stdio::null()).status();
                    let done =
                        done.map_err(|error| format!("the setup of `{}` does not start: {error}", adapter.name))?;
                    if !done.success() {
                        return Err(format!("the setup of `{}` failed: {done}", adapter.name));
                    }
                }
                adapter.run(&adapter.command)
            }
        };
        Running::start(self.name(), self.told(command, workload, servers), dir)
    }

    /// The whole job, in its environment.
    fn told(&self, mut command: Command, workload: &Workload, servers: &Servers) -> Command {
        let job = if workload.job == Job::Pass { "pass" } else { "order" };
        command
            .env("BENCH_NATS", servers.nats.url())
            .env("BENCH_REDIS", servers.redis_url())
            .env("BENCH_STREAM", IN_STREAM)
            .env("BENCH_CONSUMER", self.consumer())
            .env("BENCH_OUT", OUT)
            .env("BENCH_JOB", job)
            .env("BENCH_DURABILITY", if workload.strict { "strict" } else { "relaxed" });
        if let Self::Usual(in_flight) = self {
            command.env("BENCH_CONCURRENCY", in_flight.to_string());
        }
        command
    }

    /// That nothing is left behind or set aside, for what can be asked.
    pub fn check(&self, servers: Option<&Servers>, dir: &Path) -> Result<(), String> {
        if !matches!(self, Self::Sluice) {
            return Ok(());
        }
        let output = sluice(dir, &["status", "--format", "json"], servers).output();
        let output = output.map_err(|error| format!("`sluice status` does not start: {error}"))?;
        let status: Value = serde_json::from_slice(&output.stdout)
            .map_err(|error| format!("`sluice status`: {error}: {}", String::from_utf8_lossy(&output.stderr)))?;
        let store = &status["pipelines"][0]["store"];
        match (store["dead_letters"].as_u64(), store["parked"].as_u64()) {
            (Some(0), Some(0)) => Ok(()),
            _ => Err(format!("`sluice` set events aside or left them parked: {store}")),
        }
    }
}

fn built_in(name: &str) -> Command {
    let mut command = Command::new(std::env::current_exe().expect("this program is a file"));
    command.args([BUILT_IN, name]);
    command
}

/// The binary of this build.
pub fn sluice(dir: &Path, arguments: &[&str], servers: Option<&Servers>) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_sluice"));
    command.args(arguments).arg("--project").arg(dir).env_remove("NOTIFY_SOCKET");
    if let Some(servers) = servers {
        command.env("NATS_URL", servers.nats.url()).env("REDIS_URL", servers.redis_url());
    }
    command
}

impl Adapter {
    fn run(&self, words: &[String]) -> Command {
        let mut command = Command::new(&words[0]);
        command.args(&words[1..]).envs(&self.env).current_dir(&self.directory);
        command
    }
}

/// A side at work, in a process group of its own; killed when dropped.
pub struct Running {
    name: String,
    child: Child,
    log: PathBuf,
    ended: bool,
}

impl Running {
    pub fn start(name: String, mut command: Command, dir: &Path) -> Result<Self, String> {
        let log = dir.join("side.log");
        let file = File::create(&log).map_err(|error| format!("`{}` cannot be written: {error}", log.display()))?;
        let out = file.try_clone().map_err(|error| format!("`{}`: {error}", log.display()))?;
        command.stdin(Stdio::null()).stdout(out).stderr(file).process_group(0);
        let child = command.spawn().map_err(|error| format!("`{name}` does not start: {error}"))?;
        Ok(Self { name, child, log, ended: false })
    }

    pub fn group(&self) -> Group {
        Group(self.child.id())
    }

    /// What it printed, at the end.
    pub fn log(&self) -> String {
        let text = std::fs::read_to_string(&self.log).unwrap_or_default();
        let lines: Vec<&str> = text.lines().rev().take(20).collect();
        lines.into_iter().rev().collect::<Vec<_>>().join("\n")
    }

    /// How it ended, if it did.
    pub fn ended(&mut self) -> Option<ExitStatus> {
        let status = self.child.try_wait().ok().flatten();
        self.ended |= status.is_some();
        status
    }

    /// That it has not ended by itself.
    pub fn at_work(&mut self) -> Result<(), String> {
        match self.ended() {
            Some(status) => Err(format!("`{}` ended too early: {status}\n{}", self.name, self.log())),
            None => Ok(()),
        }
    }

    /// SIGTERM, and waits until it is gone.
    pub async fn stop(mut self) -> Result<(), String> {
        self.signal(Signal::TERM);
        let start = Instant::now();
        while self.ended().is_none() {
            if start.elapsed() > PATIENCE {
                return Err(format!("`{}` does not stop when told\n{}", self.name, self.log()));
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        Ok(())
    }

    fn signal(&self, signal: Signal) {
        let _ = kill_process_group(Pid::from_child(&self.child), signal);
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // Others of its group may be left when it has ended itself.
        self.signal(Signal::KILL);
        if !self.ended {
            let _ = self.child.wait();
        }
    }
}
