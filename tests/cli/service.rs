//! `sluice run` as a service of systemd: the tests are the service manager, and own its socket.

use std::os::unix::net::UnixDatagram;
use std::time::{Duration, Instant};

use rustix::process::Signal;

use super::sandbox::Sandbox;
use crate::support::servers::{NatsServer, RedisServer};

const SOON: Duration = Duration::from_secs(20);

/// What was told so far, one assignment a line.
struct Manager {
    socket: UnixDatagram,
    told: Vec<String>,
}

impl Manager {
    fn on(socket: UnixDatagram) -> Self {
        socket.set_read_timeout(Some(SOON)).unwrap();
        Self { socket, told: Vec::new() }
    }

    /// Listens in the sandbox's directory, and its `sluice` knows.
    fn of(sandbox: Sandbox) -> (Self, Sandbox) {
        let path = sandbox.path().join("notify");
        let socket = UnixDatagram::bind(&path).unwrap();
        (Self::on(socket), sandbox.with("NOTIFY_SOCKET", path.to_str().unwrap()))
    }

    #[track_caller]
    fn until_told(&mut self, start: &str) {
        let since = Instant::now();
        while !self.told.iter().any(|line| line.starts_with(start)) {
            assert!(since.elapsed() < SOON, "not told: {start}; but {:#?}", self.told);
            self.hear(start);
        }
    }

    #[track_caller]
    fn hear(&mut self, awaited: &str) {
        let mut buffer = [0; 4096];
        let length = self.socket.recv(&mut buffer).unwrap_or_else(|e| panic!("{e}: {awaited}; but {:#?}", self.told));
        let message = String::from_utf8(buffer[..length].to_vec()).unwrap();
        self.told.extend(message.lines().map(str::to_owned));
    }

    fn count(&self, line: &str) -> usize {
        self.told.iter().filter(|told| *told == line).count()
    }
}

#[test]
fn readiness_is_told_when_every_pipeline_takes_events_and_not_before() {
    let (mut nats, redis) = (NatsServer::start(), RedisServer::start());
    nats.kill9();
    let (mut manager, sandbox) = Manager::of(Sandbox::sample(&nats, &redis));
    let running = sandbox.run(&[]);
    manager.until_told("STATUS=0 of 1 pipelines take events; fulfilment: connecting: source `orders`");
    assert_eq!(running.get("/readyz", &[]).0, 503);
    assert_eq!(manager.count("READY=1"), 0, "{:#?}", manager.told);

    nats.restart();
    manager.until_told("READY=1");
    assert_eq!(running.get("/readyz", &[]).0, 200);
    assert!(manager.told.last().unwrap().starts_with("STATUS=1 of 1 pipelines take events"), "{:#?}", manager.told);

    running.signal(Signal::TERM);
    manager.until_told("STOPPING=1");
    running.ended().expect(0);
    assert_eq!((manager.count("READY=1"), manager.count("STOPPING=1")), (1, 1), "{:#?}", manager.told);
}

#[test]
fn a_stop_before_anything_is_ready_is_told_too() {
    let (mut nats, redis) = (NatsServer::start(), RedisServer::start());
    nats.kill9();
    let (mut manager, sandbox) = Manager::of(Sandbox::sample(&nats, &redis));
    let running = sandbox.run(&[]);
    manager.until_told("STATUS=0 of 1 pipelines take events; fulfilment: connecting: source");
    running.terminated().expect(0);
    manager.until_told("STOPPING=1");
    assert_eq!(manager.count("READY=1"), 0, "{:#?}", manager.told);
}

/// The sockets that service managers give to containers are in no file system.
#[cfg(target_os = "linux")]
#[test]
fn a_socket_with_an_abstract_name_is_told() {
    use std::os::linux::net::SocketAddrExt as _;
    let name = format!("sluice-test-{}", std::process::id());
    let address = std::os::unix::net::SocketAddr::from_abstract_name(&name).unwrap();
    let mut manager = Manager::on(UnixDatagram::bind_addr(&address).unwrap());
    let sandbox = Sandbox::small("{ listen: '127.0.0.1:0' }").with("NOTIFY_SOCKET", &format!("@{name}"));
    let running = sandbox.run(&[]);
    manager.until_told("READY=1");
    running.terminated().expect(0);
    manager.until_told("STOPPING=1");
}

#[test]
fn signs_of_life_go_on_while_the_watchdog_waits_for_them() {
    let (mut manager, sandbox) = Manager::of(Sandbox::small("{ listen: '127.0.0.1:0' }"));
    let sandbox = sandbox.with("WATCHDOG_USEC", "20000");
    let running = sandbox.run(&[]);
    while manager.count("WATCHDOG=1") < 5 {
        manager.hear("signs of life");
    }
    running.terminated().expect(0);
}

#[test]
fn no_sign_of_life_is_given_to_whom_none_is_owed() {
    let (mut manager, sandbox) = Manager::of(Sandbox::small("{ listen: '127.0.0.1:0' }"));
    let sandbox = sandbox.with("WATCHDOG_USEC", "1000").with("WATCHDOG_PID", "1");
    let running = sandbox.run(&[]);
    manager.until_told("READY=1");
    running.terminated().expect(0);
    manager.until_told("STOPPING=1");
    assert_eq!(manager.count("WATCHDOG=1"), 0, "{:#?}", manager.told);
}

#[test]
fn a_service_manager_that_does_not_listen_keeps_nothing_from_running() {
    for nobody in ["/nonexistent/notify", "vsock:2:1"] {
        let sandbox = Sandbox::small("{ listen: '127.0.0.1:0' }").with("NOTIFY_SOCKET", nobody);
        let running = sandbox.run(&[]);
        running.until_ready();
        running.until_logged("the service manager cannot be told how it goes");
        let done = running.terminated().expect(0);
        assert_eq!(done.stderr.matches("cannot be told").count(), 1, "{}", done.stderr);
    }
}
