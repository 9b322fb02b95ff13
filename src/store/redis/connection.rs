//! One multiplexed connection at a time, replaced as a whole.
//!
//! ```text
//!  call ──▶ wire() ──▶ alive? ──yes──▶ pipeline ──▶ replies
//!              │no                        │ I/O error, timeout
//!              ▼                          ▼
//!        connect, same process?       bury(generation): nobody uses it again
//! ```
//! Nothing is sent a second time on a new connection: whether a call was carried out is for its caller to find out.
//! The one exception is a script the server did not know (`NOSCRIPT`): that call was not carried out, by its own
//! word, and goes out again on the same connection.

use std::sync::PoisonError;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use redis::aio::MultiplexedConnection;
use redis::io::tcp::TcpSettings;
use redis::{AsyncConnectionConfig, Client, ErrorKind, IntoConnectionInfo as _, Pipeline, RedisError, Value};
use secrecy::{ExposeSecret as _, SecretString};
use tokio::sync::Mutex;

use super::info::Info;
use super::script::Scripts;
use crate::store::StoreError;

const CONNECT_WITHIN: Duration = Duration::from_secs(5);
/// Long: a server that rewrites its log or frees a large key pauses, and a timeout costs a recovery.
const ANSWER_WITHIN: Duration = Duration::from_secs(10);
/// `SCRIPT FLUSH` may strike between loading and calling; more often than this is no accident.
const LOADS: usize = 5;

pub struct Link {
    client: Client,
    /// Host and port, for messages.
    address: String,
    pub scripts: Scripts,
    current: Mutex<Current>,
    /// Connection attempts that failed, to tell callers that waited for one from those that came after it.
    failures: AtomicU64,
    /// The run id of the server process that `open` saw.
    incarnation: std::sync::Mutex<Option<String>>,
    answer_within: Duration,
}

#[derive(Default)]
struct Current {
    wire: Option<Wire>,
    generation: u64,
    failure: Option<StoreError>,
}

impl Current {
    fn replace(&mut self, connection: MultiplexedConnection) -> Wire {
        self.generation += 1;
        self.failure = None;
        let wire = Wire { generation: self.generation, connection };
        self.wire = Some(wire.clone());
        wire
    }
}

#[derive(Clone)]
struct Wire {
    generation: u64,
    connection: MultiplexedConnection,
}

impl Link {
    pub fn new(url: &SecretString, scripts: Scripts) -> Result<Self, StoreError> {
        // redis-rs would quote the url, and with it the password.
        let wrong = |_| {
            StoreError::Refused(
                "the store's `url` is no redis url: write `redis://user:password@host:port/db`, or `rediss://` for TLS"
                    .to_owned(),
            )
        };
        let info = url.expose_secret().into_connection_info().map_err(wrong)?;
        let info = info.set_tcp_settings(TcpSettings::default().set_nodelay(true));
        let address = info.addr().to_string();
        Ok(Self {
            client: Client::open(info).map_err(wrong)?,
            address,
            scripts,
            current: Mutex::default(),
            failures: AtomicU64::new(0),
            incarnation: std::sync::Mutex::default(),
            answer_within: ANSWER_WITHIN,
        })
    }

    /// How long to wait for an answer before the connection is given up.
    pub fn answer_within(mut self, limit: Duration) -> Self {
        self.answer_within = limit;
        self
    }

    /// The process that `open` saw; `None` before.
    pub fn incarnation(&self) -> Option<String> {
        self.incarnation.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// A new connection, to whatever server process is there: from now on that is the one to stay with.
    pub async fn open(&self) -> Result<Info, StoreError> {
        let mut current = self.current.lock().await;
        let (connection, info) = self.connect(None).await?;
        *self.incarnation.lock().unwrap_or_else(PoisonError::into_inner) = Some(info.run_id().to_owned());
        current.replace(connection);
        Ok(info)
    }

    /// Sends all in one write and waits for all replies, in order. A reply that is an error stays a
    /// [`Value::ServerError`] for [`Link::value`].
    pub async fn ask(&self, pipeline: &Pipeline) -> Result<Vec<Value>, StoreError> {
        if pipeline.is_empty() {
            return Ok(Vec::new());
        }
        let mut wire = self.wire().await?;
        let mut replies = self.send(&mut wire, pipeline).await?;
        for _ in 0..LOADS {
            let unknown: Vec<usize> = (0..replies.len()).filter(|i| not_loaded(&replies[*i])).collect();
            if unknown.is_empty() {
                break;
            }
            let mut again = self.scripts.load();
            let loads = again.len();
            let commands: Vec<&redis::Cmd> = pipeline.cmd_iter().collect();
            unknown.iter().for_each(|i| {
                again.add_command(commands[*i].clone());
            });
            let answers = self.send(&mut wire, &again).await?;
            for (i, answer) in unknown.into_iter().zip(answers.into_iter().skip(loads)) {
                replies[i] = answer;
            }
        }
        if replies.iter().any(is_elsewhere) {
            self.bury(wire.generation).await;
        }
        Ok(replies)
    }

    /// [`Link::ask`], where any error reply fails the whole.
    pub async fn ask_all(&self, pipeline: &Pipeline) -> Result<Vec<Value>, StoreError> {
        self.ask(pipeline).await?.into_iter().map(|value| self.value(value)).collect()
    }

    /// A reply, or what its error means.
    pub fn value(&self, value: Value) -> Result<Value, StoreError> {
        match value {
            Value::ServerError(error) => Err(self.refusal(error.code(), error.details().unwrap_or_default())),
            value => Ok(value),
        }
    }

    async fn send(&self, wire: &mut Wire, pipeline: &Pipeline) -> Result<Vec<Value>, StoreError> {
        match wire.connection.send_packed_commands(pipeline, 0, pipeline.len()).await {
            Ok(replies) if replies.len() == pipeline.len() => Ok(replies),
            Ok(_) => {
                self.bury(wire.generation).await;
                Err(super::reply::unexpected("a pipeline"))
            }
            Err(error) => {
                self.bury(wire.generation).await;
                Err(self.trouble(&error))
            }
        }
    }

    async fn wire(&self) -> Result<Wire, StoreError> {
        let failures = self.failures.load(Ordering::Acquire);
        let mut current = self.current.lock().await;
        if let Some(wire) = &current.wire {
            return Ok(wire.clone());
        }
        // Whoever waited while another attempt failed shares its failure: they do not queue up for one timeout each.
        if self.failures.load(Ordering::Acquire) != failures
            && let Some(failure) = &current.failure
        {
            return Err(failure.clone());
        }
        match self.connect(self.incarnation()).await {
            Ok((connection, _)) => Ok(current.replace(connection)),
            Err(failure) => {
                current.failure = Some(failure.clone());
                self.failures.fetch_add(1, Ordering::AcqRel);
                Err(failure)
            }
        }
    }

    /// Connects, loads the scripts, and sees whether it is the process that was opened, if one was.
    async fn connect(&self, opened: Option<String>) -> Result<(MultiplexedConnection, Info), StoreError> {
        let config = AsyncConnectionConfig::new()
            .set_connection_timeout(Some(CONNECT_WITHIN))
            .set_response_timeout(Some(self.answer_within));
        let connection = self.client.get_multiplexed_async_connection_with_config(&config).await;
        let mut connection = connection.map_err(|error| self.trouble(&error))?;
        let mut pipeline = self.scripts.load();
        pipeline.cmd("INFO");
        let replies = connection.send_packed_commands(&pipeline, 0, pipeline.len()).await;
        let mut replies = replies.map_err(|error| self.trouble(&error))?;
        // First: a server of another kind refuses the scripts in words that do not help.
        let info = Info::parse(self.value(replies.pop().unwrap_or_default())?)?;
        if opened.is_some_and(|opened| opened != info.run_id()) {
            return Err(self.tail_lost());
        }
        info.usable(&self.address)?;
        replies.into_iter().try_for_each(|loaded| self.value(loaded).map(drop))?;
        Ok((connection, info))
    }

    async fn bury(&self, generation: u64) {
        let mut current = self.current.lock().await;
        if current.wire.as_ref().is_some_and(|wire| wire.generation == generation) {
            current.wire = None;
        }
    }

    /// The connection failed, or was never made. Nobody knows what the server did.
    fn trouble(&self, error: &RedisError) -> StoreError {
        let address = &self.address;
        match error.kind() {
            ErrorKind::AuthenticationFailed => self.refusal("WRONGPASS", error.detail().unwrap_or_default()),
            ErrorKind::InvalidClientConfig => {
                StoreError::Refused(format!("the connection to redis at {address} cannot be set up: {error}"))
            }
            ErrorKind::Server(_) => self.refusal(error.code().unwrap_or_default(), error.detail().unwrap_or_default()),
            _ if error.is_timeout() => StoreError::Unavailable(format!("redis at {address} does not answer in time")),
            // By its words, for the client hides what it failed of.
            _ if error.is_io_error() && error.to_string().contains("certificate") => StoreError::Unavailable(format!(
                "TLS with redis at {address} fails ({error}): its certificate must name this host, and be issued by an \
                     authority that this system trusts, or one in the file that `SSL_CERT_FILE` names"
            )),
            _ => StoreError::Unavailable(format!("redis at {address} cannot be reached: {error}")),
        }
    }

    /// The server answered with an error.
    fn refusal(&self, code: &str, detail: &str) -> StoreError {
        let address = &self.address;
        match code {
            "OOM" => StoreError::Unavailable(format!(
                "redis at {address} is out of memory: raise `maxmemory`, or free some; nothing was written"
            )),
            "LOADING" | "BUSY" | "MASTERDOWN" | "CLUSTERDOWN" | "TRYAGAIN" | "READONLY" | "MISCONF" | "NOREPLICAS"
            | "NOSCRIPT" | "UNKILLABLE" => {
                StoreError::Unavailable(format!("redis at {address} takes no writes now: {code} {detail}"))
            }
            "NOAUTH" => StoreError::Refused(format!(
                "redis at {address} asks for a password: put it into the store's `url` (`redis://user:password@host`)"
            )),
            "WRONGPASS" => StoreError::Refused(format!(
                "redis at {address} refused user or password of the store's `url` ({detail}): correct them"
            )),
            "NOPERM" => StoreError::Refused(format!(
                "the redis user at {address} lacks a permission: allow the keys `{{sluice:*` and these commands: {},{} \
                 ({detail})",
                super::script::COMMANDS,
                super::script::LISTING_COMMANDS
            )),
            "WRONGTYPE" => StoreError::Refused(format!(
                "a `{{sluice:…}}` key in redis at {address} holds something sluice did not write ({detail}): find out \
                 who did, and remove it"
            )),
            _ => StoreError::Refused(format!("redis at {address} refused a call: {code} {detail}")),
        }
    }

    /// Another server process answers than the one that was opened.
    pub fn tail_lost(&self) -> StoreError {
        StoreError::TailLost(format!("redis at {} was restarted or replaced", self.address))
    }

    pub fn address(&self) -> &str {
        &self.address
    }
}

fn not_loaded(value: &Value) -> bool {
    matches!(value, Value::ServerError(error) if error.code() == "NOSCRIPT")
}

/// A primary that became a replica stays one: only a new connection may find the new primary.
fn is_elsewhere(value: &Value) -> bool {
    matches!(value, Value::ServerError(error) if matches!(error.code(), "READONLY" | "MASTERDOWN"))
}
