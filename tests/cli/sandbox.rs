//! A project in a directory of its own, and `sluice` at work in it.

use std::fs;
use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use tempfile::TempDir;

use crate::support::memory;
use crate::support::servers::{NatsServer, RedisServer};

const SOON: Duration = Duration::from_secs(20);

pub struct Sandbox {
    dir: TempDir,
    environment: Vec<(String, String)>,
}

/// What a command left behind.
pub struct Done {
    pub code: i32,
    pub stdout: String,
    pub stderr: String,
}

impl Done {
    pub fn of(output: Output) -> Self {
        Self {
            code: output.status.code().expect("it ended by itself"),
            stdout: String::from_utf8(output.stdout).unwrap(),
            stderr: String::from_utf8(output.stderr).unwrap(),
        }
    }

    #[track_caller]
    pub fn expect(self, code: i32) -> Self {
        assert_eq!(self.code, code, "stdout: {}\nstderr: {}", self.stdout, self.stderr);
        self
    }

    pub fn json(&self) -> Value {
        serde_json::from_str(&self.stdout).unwrap_or_else(|e| panic!("{e}: {}", self.stdout))
    }
}

impl Sandbox {
    pub fn path(&self) -> &Path {
        self.dir.path()
    }

    pub fn empty() -> Self {
        Self { dir: tempfile::tempdir().unwrap(), environment: Vec::new() }
    }

    /// The sample project on these servers, as the README says, its admin address any free port.
    pub fn sample(nats: &NatsServer, redis: &RedisServer) -> Self {
        let sandbox = Self::sample_alone().on(nats, redis);
        let root = Path::new(env!("CARGO_MANIFEST_DIR"));
        let readme = fs::read_to_string(root.join("README.md")).unwrap();
        let on_servers = readme.split_once("```yaml servers=sluice.yaml\n").unwrap().1.split("```").next().unwrap();
        let on_any_port = on_servers.replace("127.0.0.1:7474", "127.0.0.1:0");
        assert_ne!(on_servers, on_any_port);
        sandbox.file("sluice.yaml", &on_any_port)
    }

    /// The sample project as it stands, without a server.
    pub fn sample_alone() -> Self {
        let sandbox = Self::empty();
        let root = Path::new(env!("CARGO_MANIFEST_DIR"));
        for part in ["pipelines", "schemas"] {
            copy(&root.join(part), &sandbox.dir.path().join(part));
        }
        let project = fs::read_to_string(root.join("sluice.yaml")).unwrap();
        sandbox.file("sluice.yaml", &project)
    }

    /// Projects that ask the environment find these servers.
    pub fn on(mut self, nats: &NatsServer, redis: &RedisServer) -> Self {
        self.environment = vec![("NATS_URL".to_owned(), nats.url()), ("REDIS_URL".to_owned(), redis.url())];
        self
    }

    /// Its commands find this in their environment, too.
    pub fn with(mut self, name: &str, value: &str) -> Self {
        self.environment.push((name.to_owned(), value.to_owned()));
        self
    }

    /// One pipeline on what there is without a server: a local channel and the embedded store.
    pub fn small(admin: &str) -> Self {
        Self::empty()
            .file("sluice.yaml", &format!("admin: {admin}\n"))
            .file(
                "pipelines/p.yaml",
                "pipeline: p\nkey: data.id\nsubscriptions:\n  - { event: OrderCreated, from: orders, versions: [1], handler: h.rhai }\n",
            )
            .file("pipelines/h.rhai", "state.seen = true;\n")
            .file(
                "schemas/OrderCreated/1.json",
                r#"{ "type": "object", "required": ["id"], "properties": { "id": { "type": "string" } } }"#,
            )
    }

    pub fn file(self, path: &str, text: &str) -> Self {
        self.write(path, text);
        self
    }

    pub fn write(&self, path: &str, text: &str) {
        let path = self.dir.path().join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }

    /// The same project with something else in one of its files.
    pub fn edited(self, path: &str, from: &str, to: &str) -> Self {
        let text = fs::read_to_string(self.dir.path().join(path)).unwrap();
        assert!(text.contains(from), "{from}: {text}");
        self.file(path, &text.replace(from, to))
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_sluice"));
        command.args(arguments).current_dir(self.dir.path());
        command
            .env_remove("NATS_URL")
            .env_remove("REDIS_URL")
            .env_remove("NOTIFY_SOCKET")
            .envs(self.environment.iter().cloned());
        command
    }

    /// A shell script in it, for which `sluice` and `cargo run --` are this build.
    pub fn shell(&self, script: &str) -> Command {
        let build = Path::new(env!("CARGO_BIN_EXE_sluice")).parent().unwrap().to_owned();
        let path = std::env::var_os("PATH").unwrap_or_default();
        let path = std::env::join_paths([build].into_iter().chain(std::env::split_paths(&path))).unwrap();
        let mut command = Command::new("sh");
        command.arg("-c").arg(format!("cargo() {{ shift 2; sluice \"$@\"; }}\n{script}")).current_dir(self.dir.path());
        command
            .env_remove("NATS_URL")
            .env_remove("REDIS_URL")
            .env_remove("NOTIFY_SOCKET")
            .envs(self.environment.iter().cloned())
            .env("PATH", path);
        command
    }

    /// Runs a command to its end. A project that `run` refuses, lint refuses as well; but for what the environment lacks.
    pub fn sluice(&self, arguments: &[&str]) -> Done {
        let end = |arguments: &[&str]| Done::of(self.command(arguments).stdin(Stdio::null()).output().unwrap());
        let done = end(arguments);
        if arguments.first() == Some(&"run") && done.stderr.contains("error: the project has ") {
            let lint = end(&["lint"]);
            assert!(lint.code == 1 || lint.stdout.contains("info[SG021]"), "lint: {}\n{}", lint.stdout, done.stderr);
        }
        done
    }

    pub fn sluice_fed(&self, arguments: &[&str], input: &str) -> Done {
        let mut command = self.command(arguments);
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        child.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
        Done::of(child.wait_with_output().unwrap())
    }

    /// `sluice run` at work, with the directory it needs.
    pub fn run_kept(self) -> (Self, Running) {
        let running = self.run(&[]);
        (self, running)
    }

    /// `sluice run`, at work.
    pub fn run(&self, arguments: &[&str]) -> Running {
        let arguments = [&["run", "--log-format", "json"], arguments].concat();
        let log = self.dir.path().join("run.log");
        let mut command = self.command(&arguments);
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(fs::File::create(&log).unwrap());
        Running { child: Some(command.spawn().unwrap()), log }
    }

    /// A command that goes on, at work; what it prints is its log.
    pub fn at_work(&self, arguments: &[&str]) -> Running {
        let log = self.dir.path().join("run.log");
        let mut command = self.command(arguments);
        command.stdin(Stdio::null()).stdout(fs::File::create(&log).unwrap());
        Running { child: Some(command.spawn().unwrap()), log }
    }
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let target = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            copy(&entry.path(), &target);
        } else {
            fs::copy(entry.path(), target).unwrap();
        }
    }
}

/// Killed when dropped.
pub struct Running {
    child: Option<Child>,
    log: std::path::PathBuf,
}

impl Running {
    pub fn log(&self) -> String {
        fs::read_to_string(&self.log).unwrap()
    }

    /// Asks until `holds`.
    #[track_caller]
    pub fn until(&self, what: &str, holds: impl FnMut(&Self) -> bool) {
        self.until_within(SOON, what, holds);
    }

    #[track_caller]
    pub fn until_within(&self, patience: Duration, what: &str, mut holds: impl FnMut(&Self) -> bool) {
        let start = Instant::now();
        while !holds(self) {
            assert!(start.elapsed() < patience, "not soon: {what}\n{}", self.log());
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    #[track_caller]
    pub fn until_logged(&self, words: &str) {
        self.until(words, |run| run.log().contains(words));
    }

    fn address(&self) -> String {
        let mut found = None;
        self.until("an admin address", |run| {
            let lines = run.log();
            let events = lines.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
            found = events.filter_map(|event| Some(event.get("address")?.as_str()?.to_owned())).next();
            found.is_some()
        });
        found.unwrap()
    }

    /// Status and body.
    pub fn get(&self, path: &str, headers: &[(&str, &str)]) -> (u16, String) {
        let address = self.address();
        let mut request = format!("GET {path} HTTP/1.1\r\nConnection: close\r\n");
        if !headers.iter().any(|(name, _)| *name == "Host") {
            request += &format!("Host: {address}\r\n");
        }
        headers.iter().for_each(|(name, value)| request += &format!("{name}: {value}\r\n"));
        let mut stream = TcpStream::connect(address).unwrap();
        stream.write_all((request + "\r\n").as_bytes()).unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        let (head, body) = answer.split_once("\r\n\r\n").unwrap();
        (head.split(' ').nth(1).unwrap().parse().unwrap(), body.to_owned())
    }

    #[track_caller]
    pub fn until_ready(&self) {
        self.until("every pipeline is ready", |run| run.get("/readyz", &[]).0 == 200);
    }

    /// The value of a metric's line that starts so.
    pub fn metric(&self, start: &str) -> Option<f64> {
        let (_, text) = self.get("/metrics", &[]);
        text.lines().find_map(|line| line.strip_prefix(start)?.trim().rsplit(' ').next()?.parse().ok())
    }

    #[track_caller]
    pub fn until_metric(&self, start: &str, value: f64) {
        self.until(&format!("{start} = {value}"), |run| run.metric(start) == Some(value));
    }

    /// The most it ever had in memory.
    pub fn peak_memory_mib(&self) -> u64 {
        memory::peak_mib(self.child.as_ref().unwrap().id())
    }

    pub fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(self.child.as_ref().unwrap()), signal).unwrap();
    }

    /// Waits for its end.
    #[track_caller]
    pub fn ended(mut self) -> Done {
        let mut code = None;
        let mut child = self.child.take().unwrap();
        self.until("it ends", |_| {
            code = child.try_wait().unwrap();
            code.is_some()
        });
        let mut done = Done::of(child.wait_with_output().unwrap());
        done.stderr = self.log();
        done
    }

    #[track_caller]
    pub fn terminated(self) -> Done {
        self.signal(Signal::TERM);
        self.ended()
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        if let Some(mut child) = self.child.take() {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}
