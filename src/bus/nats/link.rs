//! One connection to a NATS server: that it reconnects for ever, and what is said about it.

use std::ops::Deref;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_nats::{Client, ClientError, Event, ServerError};
use tokio::sync::watch;

use super::settings::Settings;
use crate::bus::BusError;
use crate::spec::program::NatsConnection;

/// How long callers wait for a connection that is down before they are told.
const CONNECT_PATIENCE: Duration = Duration::from_secs(2);

/// What the client calls an `IO error`; it keeps to itself which of them it is.
const CANNOT_REACH: &str = "it cannot be reached, or TLS with it fails";
const CANNOT_REACH_OVER_TLS: &str = "it cannot be reached, or TLS with it fails: its certificate must name this host, and \
                                     be issued by `tls.ca` of the connection or by an authority that this system trusts";

#[derive(Clone)]
pub struct Link {
    /// Gone when we let go of the connection ourselves: its end is then no news. Dropped before the client is.
    alive: Arc<()>,
    shared: Arc<Shared>,
}

struct Shared {
    name: String,
    settings: Settings,
    live: Mutex<Arc<Live>>,
    /// One at a time replaces a client that ended.
    replacing: tokio::sync::Mutex<()>,
}

struct Live {
    client: Client,
    /// Closed when the client has ended.
    state: watch::Receiver<State>,
    /// Connections made by the clients before this one.
    before: u64,
}

#[derive(Clone, Debug, Default)]
struct State {
    connected: bool,
    /// Why there is no connection, once something was tried.
    trouble: Option<Trouble>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Trouble {
    Credentials,
    Other(String),
}

impl Link {
    pub async fn open(name: &str, role: &str, settings: &NatsConnection) -> Result<Self, BusError> {
        let settings = Settings::read(name, role, settings).await?;
        let alive = Arc::new(());
        let live = Mutex::new(Arc::new(connect(name, &settings, &alive, 0).await?));
        let shared = Shared { name: name.to_owned(), settings, live, replacing: tokio::sync::Mutex::default() };
        Ok(Self { alive, shared: Arc::new(shared) })
    }

    /// The client of now: not to be kept, for it may be replaced.
    pub fn client(&self) -> ClientOfNow {
        ClientOfNow(self.live())
    }

    /// Waits a little for a connection; the number of the one that is up.
    pub async fn ready(&self) -> Result<u64, BusError> {
        let live = self.live();
        if live.is_up() {
            return Ok(live.generation());
        }
        // Rare, and large: as in a publish.
        match Box::pin(tokio::time::timeout(CONNECT_PATIENCE, self.up())).await {
            Ok(()) => Ok(self.generation()),
            Err(_) if self.is_connected() => Ok(self.generation()),
            Err(_) => Err(self.down()),
        }
    }

    /// Waits for a connection as long as it takes.
    pub async fn connected(&self) {
        loop {
            match tokio::time::timeout(CONNECT_PATIENCE, self.up()).await {
                Err(_) if !self.is_connected() => {}
                _ => return,
            }
        }
    }

    async fn up(&self) {
        loop {
            let live = self.live();
            // An end leaves the last state as it was.
            if live.state.clone().wait_for(|s| s.connected).await.is_ok() && !live.has_ended() {
                return;
            }
            self.replace(&live).await;
        }
    }

    /// The client ends for good when something in it panics, as it does over a line break within a header's value.
    async fn replace(&self, ended: &Live) {
        let _one = self.shared.replacing.lock().await;
        if !self.live().has_ended() {
            return;
        }
        let name = &self.shared.name;
        tracing::warn!(connection = name, "the NATS client ended; starting it anew");
        match connect(name, &self.shared.settings, &self.alive, ended.generation() + 1).await {
            Ok(live) => *self.shared.live.lock().unwrap_or_else(PoisonError::into_inner) = Arc::new(live),
            Err(error) => {
                tracing::error!(connection = name, %error, "the NATS client cannot be started anew; trying again");
                tokio::time::sleep(CONNECT_PATIENCE).await;
            }
        }
    }

    /// By the client's own word: its events, which feed our state, can be dropped when very many come at once.
    pub fn is_connected(&self) -> bool {
        let live = self.live();
        !live.has_ended() && live.client.connection_state() == async_nats::connection::State::Connected
    }

    /// Counts connections made: what was sent over an earlier one may be lost. By the client's own count, which is
    /// raised before anything can come over the new connection; its events come any time later.
    pub fn generation(&self) -> u64 {
        self.live().generation()
    }

    /// Resolves when the connection of this number is not up any more.
    pub async fn lost(&self, generation: u64) {
        // An error is the end of the client, and of the connection with it.
        let _ = self.live().state.clone().wait_for(|s| !s.connected || self.generation() != generation).await;
    }

    /// Resolves when a later connection than this is up, or its client has ended. (Where the client keeps quiet about
    /// it: never.)
    pub async fn replaced(&self, generation: u64) {
        let _ = self.live().state.clone().wait_for(|_| self.generation() != generation).await;
    }

    fn live(&self) -> Arc<Live> {
        self.shared.live.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub fn down(&self) -> BusError {
        let name = &self.shared.name;
        match &self.live().state.borrow().trouble {
            Some(Trouble::Credentials) => BusError::Refused(format!(
                "NATS does not accept the credentials of connection `{name}`; correct them in `sluice.yaml`"
            )),
            Some(Trouble::Other(why)) => {
                BusError::Unavailable(format!("no connection to NATS for `{name}` ({why}); trying again"))
            }
            None => BusError::Unavailable(format!("no connection to NATS for `{name}` yet")),
        }
    }
}

/// Costs a count, where a clone of the client costs a dozen.
pub struct ClientOfNow(Arc<Live>);

impl Deref for ClientOfNow {
    type Target = Client;

    fn deref(&self) -> &Client {
        &self.0.client
    }
}

impl Live {
    fn is_up(&self) -> bool {
        self.state.borrow().connected && !self.has_ended()
    }

    fn generation(&self) -> u64 {
        self.before + self.client.statistics().connects.load(Ordering::Relaxed)
    }

    fn has_ended(&self) -> bool {
        self.state.has_changed().is_err()
    }
}

async fn connect(name: &str, settings: &Settings, alive: &Arc<()>, before: u64) -> Result<Live, BusError> {
    let (sender, state) = watch::channel(State::default());
    let (told, wanted, tls) = (name.to_owned(), Arc::downgrade(alive), settings.tls);
    let options = settings.options.clone().event_callback(move |event| {
        if wanted.strong_count() > 0 {
            note(&told, &sender, &event, tls);
        }
        std::future::ready(())
    });
    let client = options
        .connect(settings.servers.clone())
        .await
        .map_err(|e| BusError::Refused(format!("connection `{name}` cannot be set up: {e}")))?;
    Ok(Live { client, state, before })
}

/// One log line a transition; the client reports each attempt.
fn note(name: &str, state: &watch::Sender<State>, event: &Event, tls: bool) {
    match event {
        Event::Connected => {
            tracing::info!(connection = name, "connected to NATS");
            state.send_replace(State { connected: true, trouble: None });
        }
        Event::Disconnected | Event::Closed => {
            if state.borrow().connected {
                tracing::warn!(connection = name, "lost the connection to NATS; trying again");
            }
            state.send_modify(|s| s.connected = false);
        }
        Event::ServerError(ServerError::AuthorizationViolation) => trouble(name, state, Trouble::Credentials),
        Event::ClientError(ClientError::Other(why)) => {
            let credentials = why == "authorization violation" || why == "failed signing nonce";
            let why = match why.as_str() {
                "IO error" if tls => CANNOT_REACH_OVER_TLS,
                "IO error" => CANNOT_REACH,
                "DNS error" => "its host name is not known",
                "TLS error" => "the TLS settings cannot be used",
                other => other,
            };
            trouble(name, state, if credentials { Trouble::Credentials } else { Trouble::Other(why.to_owned()) });
        }
        Event::ServerError(error) => tracing::warn!(connection = name, "NATS says: {error}"),
        Event::SlowConsumer(_) => {
            tracing::warn!(connection = name, "events came faster than they were taken; NATS delivers them again");
        }
        Event::LameDuckMode => tracing::info!(connection = name, "this NATS server is about to shut down"),
        Event::ClientError(error) => tracing::warn!(connection = name, "NATS client: {error}"),
        Event::Draining => {}
    }
}

fn trouble(name: &str, state: &watch::Sender<State>, trouble: Trouble) {
    state.send_if_modified(|s| {
        if s.connected || s.trouble.as_ref() == Some(&trouble) {
            return false;
        }
        match &trouble {
            Trouble::Credentials => tracing::error!(connection = name, "NATS does not accept the credentials"),
            Trouble::Other(why) => tracing::warn!(connection = name, "no connection to NATS ({why}); trying again"),
        }
        s.trouble = Some(trouble.clone());
        true
    });
}
