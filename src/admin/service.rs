//! Tells the service manager where the process stands: the protocol of `sd_notify(3)`, for units with `Type=notify`.
//!
//! | message | when |
//! |---|---|
//! | `READY=1` | once, when every pipeline takes events or stands by: what `/readyz` answers 200 to |
//! | `STATUS=…` | whenever a pipeline's phase changes |
//! | `STOPPING=1` | when told to stop |
//! | `WATCHDOG=1` | twice in `WatchdogSec`, as long as tasks and scripts get their turn |
//!
//! Datagrams to the socket that `NOTIFY_SOCKET` names. By hand: the crate for it takes abstract names (`@…`, which
//! containers use) for files, and would block.

use std::convert::Infallible;
use std::ffi::OsString;
use std::io;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::net::{SocketAddr, UnixDatagram};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use futures_util::future::select_all;
use tokio_util::sync::CancellationToken;

use super::{all_ready, standing};
use crate::flow::context::{Context, Phase, Scripts};

/// Most bytes of a status line. The whole datagram may have 4,096.
const STATUS_BYTES: usize = 1_024;

/// Who started us, and wants to hear how it goes.
pub struct ServiceManager {
    address: SocketAddr,
    /// How long it waits for a sign of life.
    watchdog: Option<Duration>,
    /// Whether it was logged that it does not listen.
    deaf: AtomicBool,
}

impl ServiceManager {
    /// `None`: nobody wants to hear. `environment` answers for `NOTIFY_SOCKET`, `WATCHDOG_USEC` and `WATCHDOG_PID`.
    pub fn new(environment: &dyn Fn(&str) -> Option<OsString>) -> io::Result<Option<Self>> {
        let Some(name) = environment("NOTIFY_SOCKET").filter(|name| !name.is_empty()) else { return Ok(None) };
        let number = |name| environment(name).and_then(|value| value.to_str()?.parse::<u64>().ok());
        let for_us = environment("WATCHDOG_PID").is_none() || number("WATCHDOG_PID") == Some(std::process::id().into());
        let watchdog = number("WATCHDOG_USEC").filter(|micros| *micros > 0 && for_us).map(Duration::from_micros);
        Ok(Some(Self { address: address(name.as_bytes())?, watchdog, deaf: AtomicBool::new(false) }))
    }

    /// Tells where the pipelines stand until it is dropped.
    pub async fn follow(&self, pipelines: &[Arc<Context>], stop: &CancellationToken) -> Infallible {
        let scripts = pipelines.first().map(|context| context.scripts.clone());
        let (never, _) = tokio::join!(self.tell(pipelines, stop), self.keep_alive(scripts));
        never
    }

    async fn tell(&self, pipelines: &[Arc<Context>], stop: &CancellationToken) -> Infallible {
        let mut phases: Vec<_> = pipelines.iter().map(|context| context.phase.subscribe()).collect();
        let (mut ready, mut stopping, mut told) = (false, false, String::new());
        loop {
            let standing = standing(pipelines);
            let status = status(&standing);
            let becomes_ready = !ready && all_ready(&standing);
            let stops = !stopping && stop.is_cancelled();
            if becomes_ready || stops || status != told {
                let first = if stops { "STOPPING=1\n" } else { "" };
                let second = if becomes_ready && !stops { "READY=1\n" } else { "" };
                self.say(&format!("{first}{second}STATUS={status}\n")).await;
                ready |= becomes_ready;
                stopping |= stops;
                told = status;
            }
            let change = async {
                if phases.is_empty() {
                    return std::future::pending().await;
                }
                // The senders live in `pipelines`: none ends before us.
                let _ = select_all(phases.iter_mut().map(|phase| Box::pin(phase.changed()))).await;
            };
            tokio::select! {
                () = stop.cancelled(), if !stopping => {}
                () = change => {}
            }
        }
    }

    /// A sign of life says more than that this task runs: a task of its own got its turn, and so did a job for the
    /// threads of the scripts. A store or broker that is down is no reason to be restarted.
    #[expect(clippy::disallowed_methods, reason = "whether spawned tasks run is the question; it is waited for")]
    async fn keep_alive(&self, scripts: Option<Scripts>) -> Infallible {
        let Some(patience) = self.watchdog else { return std::future::pending().await };
        loop {
            let scripts = scripts.clone();
            let turn = async move {
                match scripts {
                    Some(scripts) => scripts.run(|| ()).await.is_ok(),
                    None => true,
                }
            };
            if tokio::spawn(turn).await.unwrap_or(false) {
                self.say("WATCHDOG=1\n").await;
            }
            tokio::time::sleep(patience / 2).await;
        }
    }

    async fn say(&self, message: &str) {
        match self.send(message.as_bytes()).await {
            Ok(()) => self.deaf.store(false, Ordering::Relaxed),
            Err(error) if !self.deaf.swap(true, Ordering::Relaxed) => {
                tracing::warn!(%error, "the service manager cannot be told how it goes");
            }
            Err(_) => {}
        }
    }

    /// Through a socket of its own: the manager may have made its own anew.
    async fn send(&self, message: &[u8]) -> io::Result<()> {
        let socket = UnixDatagram::unbound()?;
        socket.connect_addr(&self.address)?;
        socket.set_nonblocking(true)?;
        // At once where there is room, which is nearly always: a stop does not wait for what is told of it.
        match socket.send(message) {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                tokio::net::UnixDatagram::from_std(socket)?.send(message).await.map(drop)
            }
            sent => sent.map(drop),
        }
    }
}

/// A path, or `@` and a name that is in no file system.
fn address(name: &[u8]) -> io::Result<SocketAddr> {
    match name {
        #[cfg(target_os = "linux")]
        [b'@', name @ ..] => <SocketAddr as std::os::linux::net::SocketAddrExt>::from_abstract_name(name),
        [b'/', ..] => SocketAddr::from_pathname(std::ffi::OsStr::from_bytes(name)),
        _ => Err(io::Error::new(io::ErrorKind::Unsupported, "`NOTIFY_SOCKET` is neither a path nor an abstract name")),
    }
}

fn status(standing: &[(&str, Phase)]) -> String {
    let (taking, others): (Vec<_>, Vec<_>) = standing.iter().partition(|(_, phase)| phase.active());
    let others: String = others.iter().map(|(name, phase)| format!("; {name}: {phase}")).collect();
    one_line(&format!("{} of {} pipelines take events{others}", taking.len(), standing.len()))
}

/// A line break would begin another message.
fn one_line(text: &str) -> String {
    let within = text.char_indices().take_while(|(at, c)| at + c.len_utf8() <= STATUS_BYTES);
    within.map(|(_, c)| if c.is_control() { ' ' } else { c }).collect()
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use super::*;
    use crate::script::pool::Pool;

    fn manager(variables: &[(&str, &str)]) -> io::Result<Option<ServiceManager>> {
        ServiceManager::new(&|name| variables.iter().find(|(set, _)| *set == name).map(|(_, value)| value.into()))
    }

    fn watchdog(variables: &[(&str, &str)]) -> Option<Duration> {
        let variables = [&[("NOTIFY_SOCKET", "/run/notify")], variables].concat();
        manager(&variables).expect("an address").expect("a manager").watchdog
    }

    #[test]
    fn without_a_socket_nobody_is_told() {
        assert!(manager(&[]).expect("nothing wrong").is_none());
        assert!(manager(&[("NOTIFY_SOCKET", "")]).expect("nothing wrong").is_none());
        assert!(manager(&[("NOTIFY_SOCKET", "vsock:2:1234")]).is_err());
    }

    #[test]
    fn a_watchdog_is_ours_when_it_names_nobody_else() {
        let us = std::process::id().to_string();
        assert_eq!(watchdog(&[]), None);
        assert_eq!(watchdog(&[("WATCHDOG_USEC", "3000000")]), Some(Duration::from_secs(3)));
        assert_eq!(watchdog(&[("WATCHDOG_USEC", "5"), ("WATCHDOG_PID", &us)]), Some(Duration::from_micros(5)));
        for other in ["1", "", "x"] {
            assert_eq!(watchdog(&[("WATCHDOG_USEC", "5"), ("WATCHDOG_PID", other)]), None, "{other}");
        }
        for unusable in ["0", "soon", "-5"] {
            assert_eq!(watchdog(&[("WATCHDOG_USEC", unusable)]), None, "{unusable}");
        }
    }

    #[test]
    fn what_a_server_said_cannot_begin_another_message() {
        assert_eq!(one_line("down:\nREADY=1"), "down: READY=1");
        let long = one_line(&"ü".repeat(STATUS_BYTES));
        assert_eq!(long.len(), STATUS_BYTES);
        assert_eq!(one_line(&format!("x{}", "ü".repeat(STATUS_BYTES))).len(), STATUS_BYTES - 1);
    }

    #[tokio::test]
    async fn there_is_no_sign_of_life_while_scripts_get_no_turn() {
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().join("notify");
        let heard = tokio::net::UnixDatagram::bind(&path).expect("a socket");
        let manager = ServiceManager {
            address: SocketAddr::from_pathname(&path).expect("an address"),
            watchdog: Some(Duration::from_millis(2)),
            deaf: AtomicBool::new(false),
        };
        let pool = Arc::new(Pool::new(1).expect("a thread"));
        let (release, released) = mpsc::channel::<()>();
        let busy = pool.run(move || {
            let _ = released.recv();
            UnixDatagram::unbound().and_then(|socket| socket.send_to(b"busy until now", path)).expect("sent");
        });
        let told = async {
            // The watchdog has had every chance to speak too early.
            for _ in 0..1_000 {
                tokio::task::yield_now().await;
            }
            release.send(()).expect("the job waits");
            let mut told = Vec::new();
            for _ in 0..3 {
                let mut buffer = [0; 64];
                let message = tokio::time::timeout(Duration::from_secs(20), heard.recv(&mut buffer)).await;
                let length = message.expect("in time").expect("a message");
                told.push(String::from_utf8_lossy(&buffer[..length]).into_owned());
            }
            told
        };
        let told = tokio::select! {
            biased;
            (_, never) = async { tokio::join!(busy, manager.keep_alive(Some(Scripts::Pool(Arc::clone(&pool))))) } => match never {},
            told = told => told,
        };
        assert_eq!(told, ["busy until now", "WATCHDOG=1\n", "WATCHDOG=1\n"]);
    }
}
