//! A NATS and a Redis server, each a process of our own, killed when dropped.

use std::fs;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::ops::{Deref, DerefMut};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use super::binaries;
use super::process::{Answer, Server};

/// `nats-server` with JetStream on. `kill9`, `stop`, `sigstop`, `sigcont` and `restart` are [`Server`]'s.
pub struct NatsServer(Server);

impl NatsServer {
    pub fn start() -> Self {
        Self::with_config("")
    }

    /// With a configuration in the server's own language, on top of name, port and JetStream directory.
    pub fn with_config(config: &str) -> Self {
        let name = format!("sluice-test-{}", uuid::Uuid::new_v4());
        let config = config.to_owned();
        let its_name = name.clone();
        let launch = move |port: u16, dir: &Path| {
            let file = dir.join("nats.conf");
            fs::write(&file, &config).expect("a configuration file");
            let mut command = Command::new(binaries::nats_server());
            command.args(["--addr", "127.0.0.1", "--port", &port.to_string(), "--name", &its_name, "--jetstream"]);
            command.arg("--store_dir").arg(dir.join("jetstream")).arg("--config").arg(file);
            command
        };
        Self(Server::start(launch, move |port, _| nats_answers(port, &name)))
    }

    /// Publishes as no client of ours would: bytes straight to the server, a header block without its two line ends.
    pub fn publish_raw(&self, subject: &str, headers: &[u8], payload: &str) {
        use std::io::{Read as _, Write as _};
        let mut stream = std::net::TcpStream::connect(("127.0.0.1", self.port)).unwrap();
        let block = [headers, b"\r\n\r\n"].concat();
        let (head, total) = (block.len(), block.len() + payload.len());
        let connect = "CONNECT {\"verbose\":false,\"headers\":true}\r\n";
        stream.write_all(format!("{connect}HPUB {subject} {head} {total}\r\n").as_bytes()).unwrap();
        stream.write_all(&[&block, payload.as_bytes(), b"\r\nPING\r\n"].concat()).unwrap();
        let mut said = String::new();
        while !said.contains("PONG") {
            let mut bytes = [0; 1024];
            let read = stream.read(&mut bytes).unwrap();
            assert!(read > 0, "the server hung up: {said}");
            said += &String::from_utf8_lossy(&bytes[..read]);
        }
    }

    /// `nats://127.0.0.1:PORT`
    pub fn url(&self) -> String {
        format!("nats://127.0.0.1:{}", self.port)
    }
}

/// A NATS server greets with a line of JSON that holds its name.
fn nats_answers(port: u16, name: &str) -> Answer {
    let Some(stream) = connect(port) else { return Answer::NotYet };
    let mut greeting = String::new();
    match BufReader::new(stream).read_line(&mut greeting) {
        Ok(n) if n > 0 && greeting.contains(&format!("\"server_name\":\"{name}\"")) => Answer::Ours,
        Ok(n) if n > 0 => Answer::Foreign,
        _ => Answer::NotYet,
    }
}

/// `redis-server` (or `valkey-server`) with an append-only file fsynced every second.
pub struct RedisServer(Server);

impl RedisServer {
    pub fn start() -> Self {
        Self::with_args(&[])
    }

    /// With more arguments; the last of the same name wins (`["--appendfsync", "always"]`).
    pub fn with_args(arguments: &[&str]) -> Self {
        let arguments: Vec<String> = arguments.iter().map(|a| (*a).to_owned()).collect();
        let launch = move |port: u16, dir: &Path| {
            let mut command = Command::new(binaries::redis_server());
            command.args(["--bind", "127.0.0.1", "--port", &port.to_string(), "--save", "", "--appendonly", "yes"]);
            command.args(["--appendfsync", "everysec", "--maxmemory-policy", "noeviction", "--dir"]).arg(dir);
            command.args(&arguments);
            command
        };
        Self(Server::start(launch, redis_answers))
    }

    /// `redis://127.0.0.1:PORT`
    pub fn url(&self) -> String {
        format!("redis://127.0.0.1:{}", self.port)
    }

    /// Forgets everything.
    pub fn flush(&self) {
        assert_eq!(self.ask("FLUSHALL"), "+OK");
    }

    /// Fields of a hash.
    pub fn field_count(&self, key: &str) -> u64 {
        self.ask(&format!("HLEN {key}")).trim_start_matches(':').parse().expect("a number")
    }

    /// The first line of the answer to an inline command.
    pub fn ask(&self, command: &str) -> String {
        let mut stream = connect(self.port).expect("it answers");
        stream.write_all(format!("{command}\r\n").as_bytes()).expect("it listens");
        let mut line = String::new();
        BufReader::new(stream).read_line(&mut line).expect("it answers");
        line.trim_end().to_owned()
    }

    /// Length in bytes of the append-only file being written: everything replied to so far is in it. (While an
    /// fsync is under way the server keeps what it replied to in a buffer; that is waited for.)
    pub fn aof_size(&self) -> u64 {
        let start = Instant::now();
        while !info(self.port).is_some_and(|text| text.lines().any(|line| line == "aof_buffer_length:0")) {
            assert!(start.elapsed() < Duration::from_secs(10), "the append-only file is not written");
            std::thread::sleep(Duration::from_millis(5));
        }
        fs::metadata(self.aof()).expect("an append-only file").len()
    }

    /// Cuts the append-only file back to `to` bytes, as a power failure does to what was not yet on the disk.
    pub fn truncate_aof(&self, to: u64) {
        assert!(!self.is_running(), "kill it first: it would go on writing at the old end");
        let file = fs::File::options().write(true).open(self.aof()).expect("an append-only file");
        assert!(to <= file.metadata().expect("its length").len(), "a cut makes it shorter");
        file.set_len(to).expect("a shorter file");
    }

    /// The manifest names the parts of the file; commands go to the last incremental one (`type i`).
    fn aof(&self) -> PathBuf {
        let dir = self.dir.path().join("appendonlydir");
        let manifest = fs::read_to_string(dir.join("appendonly.aof.manifest")).expect("a manifest");
        let incremental = manifest.lines().rfind(|line| line.ends_with("type i")).expect("an incremental part");
        dir.join(incremental.split(' ').nth(1).expect("its name"))
    }
}

fn redis_answers(port: u16, pid: u32) -> Answer {
    let Some(text) = info(port) else { return Answer::NotYet };
    let has = |wanted: &str| text.lines().any(|line| line == wanted);
    match (has(&format!("process_id:{pid}")), has("loading:0")) {
        (false, _) => Answer::Foreign,
        (true, false) => Answer::NotYet,
        (true, true) => Answer::Ours,
    }
}

/// What `INFO` says up to the sections about the process and its persistence.
fn info(port: u16) -> Option<String> {
    let mut stream = connect(port)?;
    stream.write_all(b"INFO\r\n").ok()?;
    let mut reply = Vec::new();
    let mut part = [0; 4096];
    loop {
        let len = stream.read(&mut part).ok().filter(|len| *len > 0)?;
        reply.extend_from_slice(&part[..len]);
        let text = String::from_utf8_lossy(&reply);
        if text.contains("\r\n# Stats") {
            return Some(text.into_owned());
        }
    }
}

fn connect(port: u16) -> Option<TcpStream> {
    let patience = Duration::from_millis(500);
    let stream = TcpStream::connect_timeout(&SocketAddr::from(([127, 0, 0, 1], port)), patience).ok()?;
    stream.set_read_timeout(Some(patience)).ok()?;
    Some(stream)
}

impl Deref for NatsServer {
    type Target = Server;
    fn deref(&self) -> &Server {
        &self.0
    }
}

impl DerefMut for NatsServer {
    fn deref_mut(&mut self) -> &mut Server {
        &mut self.0
    }
}

impl Deref for RedisServer {
    type Target = Server;
    fn deref(&self) -> &Server {
        &self.0
    }
}

impl DerefMut for RedisServer {
    fn deref_mut(&mut self) -> &mut Server {
        &mut self.0
    }
}
