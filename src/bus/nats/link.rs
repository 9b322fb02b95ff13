//! One connection to a NATS server: how it authenticates, that it reconnects for ever, and what is said about it.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use async_nats::{Client, ClientError, ConnectOptions, Event, ServerAddr, ServerError};
use secrecy::ExposeSecret as _;
use tokio::sync::watch;

use crate::bus::BusError;
use crate::spec::program::{NatsAuth, NatsConnection, NatsTls};

/// How long callers wait for a connection that is down before they are told.
const CONNECT_PATIENCE: Duration = Duration::from_secs(2);

#[derive(Clone)]
pub struct Link {
    /// Gone when we let go of the connection ourselves: its end is then no news. Dropped before the client is.
    _alive: Arc<()>,
    pub client: Client,
    name: Arc<str>,
    state: watch::Receiver<State>,
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
        let (servers, in_url) = servers(name, settings.url.expose_secret())?;
        let mut options = ConnectOptions::new()
            .name(format!("sluice {name}{role}"))
            .retry_on_initial_connect()
            .connection_timeout(Duration::from_secs(5))
            // A server that hangs without closing is noticed after three of these.
            .ping_interval(Duration::from_secs(10))
            .request_timeout(Some(super::PATIENCE))
            .reconnect_delay_callback(|attempts| {
                Duration::from_millis(50).saturating_mul(u32::try_from(attempts).unwrap_or(20).min(20))
            });
        options = authenticate(name, options, &settings.auth, in_url).await?;
        options = secure(name, options, &settings.tls)?;

        let name: Arc<str> = name.into();
        let (sender, state) = watch::channel(State::default());
        let told = name.clone();
        let alive = Arc::new(());
        let wanted = Arc::downgrade(&alive);
        options = options.event_callback(move |event| {
            if wanted.strong_count() > 0 {
                note(&told, &sender, &event);
            }
            std::future::ready(())
        });
        let client = options
            .connect(servers)
            .await
            .map_err(|e| BusError::Refused(format!("connection `{name}` cannot be set up: {e}")))?;
        Ok(Self { _alive: alive, client, name, state })
    }

    /// Waits a little for a connection; the number of the one that is up.
    pub async fn ready(&self) -> Result<u64, BusError> {
        let mut state = self.state.clone();
        match tokio::time::timeout(CONNECT_PATIENCE, state.wait_for(|s| s.connected)).await {
            Ok(Ok(_)) => Ok(self.generation()),
            _ if self.is_connected() => Ok(self.generation()),
            _ => Err(self.down()),
        }
    }

    /// Waits for a connection as long as it takes.
    pub async fn connected(&self) {
        let mut state = self.state.clone();
        loop {
            let waited = tokio::time::timeout(CONNECT_PATIENCE, state.wait_for(|s| s.connected)).await;
            match waited.map(|state| state.is_ok()) {
                Ok(true) => return,
                Err(_) if self.is_connected() => return,
                Err(_) => {}
                Ok(false) => break,
            }
        }
        // The client has ended, and so will we with the runtime.
        std::future::pending().await
    }

    /// By the client's own word: its events, which feed our state, can be dropped when very many come at once.
    pub fn is_connected(&self) -> bool {
        self.client.connection_state() == async_nats::connection::State::Connected
    }

    /// Counts connections made: what was sent over an earlier one may be lost. By the client's own count, which is
    /// raised before anything can come over the new connection; its events come any time later.
    pub fn generation(&self) -> u64 {
        self.client.statistics().connects.load(Ordering::Relaxed)
    }

    /// Resolves when the connection of this number is not up any more.
    pub async fn lost(&self, generation: u64) {
        let mut state = self.state.clone();
        if state.wait_for(|s| !s.connected || self.generation() != generation).await.is_err() {
            std::future::pending().await
        }
    }

    /// Resolves when a later connection than this is up. (Where the client keeps quiet about it: never.)
    pub async fn replaced(&self, generation: u64) {
        let mut state = self.state.clone();
        if state.wait_for(|_| self.generation() != generation).await.is_err() {
            std::future::pending().await
        }
    }

    pub fn down(&self) -> BusError {
        let name = &self.name;
        match &self.state.borrow().trouble {
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

/// One log line a transition; the client reports each attempt.
fn note(name: &str, state: &watch::Sender<State>, event: &Event) {
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
                "IO error" => "it cannot be reached, or TLS with it fails",
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

/// What a URL says before the `@`.
struct UserInfo {
    user: String,
    password: Option<String>,
}

/// Several servers are separated by commas. Credentials are taken out of the addresses, which the client logs.
fn servers(name: &str, urls: &str) -> Result<(Vec<ServerAddr>, Option<UserInfo>), BusError> {
    // The text may hold a password, so it is not quoted.
    let refused =
        || BusError::Refused(format!("the URL of connection `{name}` is not one; it looks like `nats://host:4222`"));
    let mut found = None;
    let mut servers = Vec::new();
    for text in urls.split(',').map(str::trim).filter(|text| !text.is_empty()) {
        let mut url = text.parse::<ServerAddr>().map_err(|_| refused())?.into_inner();
        if !url.username().is_empty() {
            found = Some(UserInfo { user: unescape(url.username()), password: url.password().map(unescape) });
            url.set_username("").and_then(|()| url.set_password(None)).map_err(|()| refused())?;
        }
        servers.push(ServerAddr::from_url(url).map_err(|_| refused())?);
    }
    if servers.is_empty() { Err(refused()) } else { Ok((servers, found)) }
}

/// Undoes percent-encoding; a broken escape stays as it is.
fn unescape(text: &str) -> String {
    let mut out = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((&byte, after)) = rest.split_first() {
        let code =
            after.get(..2).and_then(|d| std::str::from_utf8(d).ok()).and_then(|d| u8::from_str_radix(d, 16).ok());
        match code {
            Some(code) if byte == b'%' => {
                out.push(code);
                rest = &after[2..];
            }
            _ => {
                out.push(byte);
                rest = after;
            }
        }
    }
    String::from_utf8_lossy(&out).into_owned()
}

async fn authenticate(
    name: &str,
    options: ConnectOptions,
    auth: &NatsAuth,
    in_url: Option<UserInfo>,
) -> Result<ConnectOptions, BusError> {
    Ok(match auth {
        NatsAuth::None => match in_url {
            Some(UserInfo { user, password: Some(password) }) => options.user_and_password(user, password),
            Some(UserInfo { user: token, password: None }) => options.token(token),
            None => options,
        },
        NatsAuth::Token(token) => options.token(token.expose_secret().to_owned()),
        NatsAuth::User { user, password } => {
            options.user_and_password(user.clone(), password.expose_secret().to_owned())
        }
        NatsAuth::NKey(seed) => options.nkey(seed.expose_secret().trim().to_owned()),
        NatsAuth::Creds(path) => options.credentials_file(path).await.map_err(|e| {
            BusError::Refused(format!("the credentials file `{}` of connection `{name}`: {e}", path.display()))
        })?,
    })
}

fn secure(name: &str, mut options: ConnectOptions, tls: &NatsTls) -> Result<ConnectOptions, BusError> {
    // The client reads these files at every attempt, and then says no more than that it failed.
    for path in [&tls.ca, &tls.cert, &tls.key].into_iter().flatten() {
        readable(path).map_err(|e| {
            BusError::Refused(format!("`{}` in `tls` of connection `{name}` cannot be read: {e}", path.display()))
        })?;
    }
    if let Some(ca) = &tls.ca {
        options = options.add_root_certificates(ca.clone());
    }
    options = match (&tls.cert, &tls.key) {
        (Some(cert), Some(key)) => options.add_client_certificate(cert.clone(), key.clone()),
        (None, None) => options,
        _ => {
            return Err(BusError::Refused(format!(
                "`tls` of connection `{name}` needs both `cert` and `key`, or none"
            )));
        }
    };
    Ok(options.require_tls(tls.required))
}

fn readable(path: &Path) -> std::io::Result<()> {
    std::fs::File::open(path).map(drop)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn credentials_leave_the_address() {
        let (servers, user) = servers("c", "nats://me:p%40ss@one:4222, two").expect("servers");
        assert_eq!(servers.iter().map(ServerAddr::as_url_str).collect::<Vec<_>>(), ["nats://one:4222", "nats://two"]);
        let user = user.expect("user");
        assert_eq!((user.user.as_str(), user.password.as_deref()), ("me", Some("p@ss")));
    }

    #[test]
    fn a_bad_url_is_refused_without_being_quoted() {
        for bad in ["", "http://u:secret@h", "nats://u:secret@:x"] {
            let error = servers("c", bad).map(drop).expect_err("refused").to_string();
            assert!(error.contains("`c`") && !error.contains("secret"), "{error}");
        }
    }
}
