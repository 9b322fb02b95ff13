//! A server process of our own: a port and a directory that outlive it, so that it can be killed and started
//! again in place.

use std::fs::File;
use std::net::TcpListener;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU16, Ordering};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;

/// How long a server may take to answer or to stop.
const PATIENCE: Duration = Duration::from_secs(20);

pub struct Server {
    pub port: u16,
    pub dir: TempDir,
    child: Option<Child>,
    launch: Box<Launch>,
    ours: Box<Ours>,
}

/// The command for a port and a data directory.
type Launch = dyn Fn(u16, &Path) -> Command + Send + Sync;
/// Asks a port whether the process with this id answers there.
type Ours = dyn Fn(u16, u32) -> Answer + Send + Sync;

/// What answers at the port.
pub enum Answer {
    NotYet,
    Ours,
    Foreign,
}

impl Server {
    /// On a free port, in a fresh directory; waits until it answers.
    pub fn start(
        launch: impl Fn(u16, &Path) -> Command + Send + Sync + 'static,
        ours: impl Fn(u16, u32) -> Answer + Send + Sync + 'static,
    ) -> Self {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let mut server = Self { port: 0, dir, child: None, launch: Box::new(launch), ours: Box::new(ours) };
        // Somebody may take the port between our look at it and the server's bind: then try another.
        for _ in 0..10 {
            server.port = free_port();
            if server.spawn() {
                return server;
            }
        }
        panic!("the server does not start: {}", server.log_tail());
    }

    /// Starts it again on the same port and directory.
    pub fn restart(&mut self) {
        assert!(self.child.is_none(), "stop or kill it first");
        assert!(self.spawn(), "the server does not start again: {}", self.log_tail());
    }

    fn spawn(&mut self) -> bool {
        let log = File::options().create(true).append(true).open(self.log()).expect("a log file");
        let mut command = (self.launch)(self.port, self.dir.path());
        command.stdin(Stdio::null()).stdout(log.try_clone().expect("a second handle")).stderr(log);
        let mut child = command.spawn().unwrap_or_else(|e| panic!("{command:?} does not start: {e}"));
        let deadline = Instant::now() + PATIENCE;
        loop {
            match (self.ours)(self.port, child.id()) {
                Answer::Ours => break,
                Answer::NotYet if child.try_wait().expect("our child").is_none() && Instant::now() < deadline => {
                    std::thread::sleep(Duration::from_millis(5));
                }
                Answer::NotYet | Answer::Foreign => {
                    let _ = child.kill();
                    let _ = child.wait();
                    return false;
                }
            }
        }
        self.child = Some(child);
        true
    }

    /// SIGKILL, and waits until it is gone.
    pub fn kill9(&mut self) {
        let mut child = self.child.take().expect("it runs");
        child.kill().expect("our child");
        child.wait().expect("our child");
    }

    /// SIGTERM, and waits until it is gone.
    pub fn stop(&mut self) {
        self.signal(Signal::TERM);
        let mut child = self.child.take().expect("it runs");
        let deadline = Instant::now() + PATIENCE;
        while child.try_wait().expect("our child").is_none() {
            if Instant::now() > deadline {
                let _ = child.kill();
                panic!("the server does not stop: {}", self.log_tail());
            }
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    /// Freezes it: connections stay open, nothing answers.
    pub fn sigstop(&self) {
        self.signal(Signal::STOP);
    }

    pub fn sigcont(&self) {
        self.signal(Signal::CONT);
    }

    pub fn is_running(&self) -> bool {
        self.child.is_some()
    }

    fn signal(&self, signal: Signal) {
        let child = self.child.as_ref().expect("it runs");
        kill_process(Pid::from_child(child), signal).expect("our child takes signals");
    }

    fn log(&self) -> std::path::PathBuf {
        self.dir.path().join("server.log")
    }

    fn log_tail(&self) -> String {
        let log = std::fs::read_to_string(self.log()).unwrap_or_default();
        let lines: Vec<&str> = log.lines().rev().take(20).collect();
        lines.into_iter().rev().collect::<Vec<_>>().join("\n")
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        if let Some(mut child) = self.child.take() {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

/// Below the range systems give to outgoing connections: there, a client that reconnects while the server is
/// down could take the port, or even connect to itself.
fn free_port() -> u16 {
    static NEXT: AtomicU16 = AtomicU16::new(0);
    for _ in 0..1000 {
        let step = NEXT.fetch_add(1, Ordering::Relaxed);
        let seed = (std::process::id() as u16).wrapping_mul(31).wrapping_add(step.wrapping_mul(7));
        let port = 14_000 + seed % 18_000;
        if TcpListener::bind(("127.0.0.1", port)).is_ok() {
            return port;
        }
    }
    panic!("no port is free");
}
