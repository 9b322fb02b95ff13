//! What runs. A value of these types is valid: only [`compile`](super::compile) makes one.

use std::borrow::Cow;
use std::collections::{BTreeMap, HashMap};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use secrecy::SecretString;
use serde_json::Value;

pub use super::mapping::{Mapping, Path as MappingPath, Piece, Text as MappedText, Version as MappedVersion};
pub use super::order::{EventTime, First, OnDeadPrerequisite, OnFailure, OnTimeout, Reorder, Resequence, Sequence};
use super::units;
use crate::event::{ChannelName, Event};
use crate::schema::Schema;
use crate::script::Script;

/// One loaded project: immutable, shared, swapped as a whole.
#[derive(Debug)]
#[non_exhaustive]
pub struct Program {
    /// Hex digest over every input file; in logs and dead letters.
    pub revision: Arc<str>,
    pub root: PathBuf,
    pub store: StoreConfig,
    /// The directory of the embedded database: local channels, and the embedded store.
    pub data: PathBuf,
    /// Every channel a pipeline names, listed in `sluice.yaml` or not.
    pub channels: BTreeMap<ChannelName, Channel>,
    pub connections: BTreeMap<Arc<str>, NatsConnection>,
    pub pipelines: Vec<Arc<Pipeline>>,
    pub admin: Option<Admin>,
}

impl Program {
    pub fn pipeline_names(&self) -> impl Iterator<Item = Arc<str>> {
        self.pipelines.iter().map(|pipeline| Arc::clone(&pipeline.name))
    }

    /// Whether anything of it lives in the project's own database.
    pub fn uses_database(&self) -> bool {
        let is_local = |channel: &Channel| matches!(channel.kind, ChannelKind::Local(_));
        matches!(self.store, StoreConfig::Embedded) || self.channels.values().any(is_local)
    }
}

/// `secret` values are never printed: not by `Debug`, not in errors.
#[derive(Debug)]
pub enum StoreConfig {
    /// In the project's own database, [`Program::data`].
    Embedded,
    Memory,
    Redis {
        url: SecretString,
        durability: DurabilityChoice,
    },
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DurabilityChoice {
    /// As the server's settings say.
    Auto,
    /// Refuse to start unless a reply is durable.
    Strict,
    Relaxed,
}

#[derive(Debug)]
pub struct NatsConnection {
    pub url: SecretString,
    pub auth: NatsAuth,
    pub tls: NatsTls,
}

#[derive(Debug)]
pub enum NatsAuth {
    None,
    Token(SecretString),
    User {
        user: String,
        password: SecretString,
    },
    /// Path of a `.creds` file.
    Creds(PathBuf),
    /// An nkey seed.
    NKey(SecretString),
}

#[derive(Debug, Default)]
pub struct NatsTls {
    pub required: bool,
    /// PEM files.
    pub ca: Option<PathBuf>,
    pub cert: Option<PathBuf>,
    pub key: Option<PathBuf>,
}

#[derive(Debug)]
pub struct Channel {
    pub name: ChannelName,
    pub kind: ChannelKind,
    pub envelope: Envelope,
}

#[derive(Clone, Debug)]
pub enum ChannelKind {
    /// A stream in the project's own database, [`Program::data`].
    Local(LocalStream),
    Nats {
        connection: Arc<str>,
        stream: String,
        /// At least one. Publishing needs exactly one, without wildcards; `{pipeline}`, `{type}` and `{key}` are replaced.
        subjects: Vec<String>,
        /// Make the stream when it is not there.
        create: bool,
        /// After this long without a sign of life of its runner, an event is delivered again.
        ack_wait: Duration,
    },
}

impl ChannelKind {
    pub fn subjects(&self) -> &[String] {
        match self {
            Self::Local(stream) => &stream.subjects,
            Self::Nats { subjects, .. } => subjects,
        }
    }
}

/// Streams are shared by name; what two channels say of one stream's limits is the same.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LocalStream {
    pub stream: String,
    /// As for NATS.
    pub subjects: Vec<String>,
    /// Of payloads and headers.
    pub max_bytes: u64,
    pub max_age: Duration,
}

/// How bytes become an event.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub enum Envelope {
    /// Told apart per message; ours on the way out.
    #[default]
    Auto,
    Sluice,
    CloudEventsStructured,
    CloudEventsBinary,
    /// On the way in only.
    Map(Arc<Mapping>),
}

/// How an event becomes bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Written {
    Sluice,
    CloudEventsStructured,
    CloudEventsBinary,
}

impl Envelope {
    /// What is emitted to a channel is written so. Nothing is emitted to one that maps: the loader refuses it.
    pub fn written(&self) -> Written {
        match self {
            Self::Auto | Self::Sluice | Self::Map(_) => Written::Sluice,
            Self::CloudEventsStructured => Written::CloudEventsStructured,
            Self::CloudEventsBinary => Written::CloudEventsBinary,
        }
    }
}

#[derive(Debug)]
#[non_exhaustive]
pub struct Pipeline {
    pub name: Arc<str>,
    pub description: Option<String>,
    /// Path of its file, relative to the project.
    pub file: String,
    /// Fixed in the store with first use.
    pub partitions: u16,
    pub subscriptions: Vec<Arc<Subscription>>,
    pub emits: Vec<Arc<Emit>>,
    pub retain: Duration,
    pub identity: IdentityBy,
    pub retry: Retry,
    pub reorder: Reorder,
    pub sequence: Option<Sequence>,
    pub resequence: Option<Resequence>,
    pub on_failure: OnFailure,
    pub unknown_version: UnknownVersion,
    pub dead_letter: Option<ChannelName>,
    pub limits: Limits,
    pub lag_slo: Option<Duration>,
}

impl Pipeline {
    /// Every channel some subscription reads, once, in order of first mention.
    pub fn inputs(&self) -> Vec<ChannelName> {
        let mut inputs: Vec<ChannelName> = Vec::new();
        for channel in self.subscriptions.iter().flat_map(|s| &s.from) {
            if !inputs.contains(channel) {
                inputs.push(channel.clone());
            }
        }
        inputs
    }

    /// Whether events wait for one another, scripts that call `wait_for` left aside.
    pub fn waits(&self) -> bool {
        self.sequence.is_some() || self.subscriptions.iter().any(|subscription| !subscription.after.is_empty())
    }

    /// The subscription for an event type that came over a channel.
    pub fn subscription(&self, channel: &ChannelName, kind: &str) -> Option<&Arc<Subscription>> {
        self.subscriptions.iter().find(|s| s.event == kind && s.from.contains(channel))
    }

    /// Whether some subscription takes the type, from whichever channel.
    pub fn takes(&self, kind: &str) -> bool {
        self.subscriptions.iter().any(|subscription| subscription.event == kind)
    }

    pub fn emit(&self, kind: &str, version: Option<u32>) -> Option<&Arc<Emit>> {
        self.emits
            .iter()
            .filter(|e| e.event == kind && version.is_none_or(|v| v == e.version))
            .max_by_key(|e| e.version)
    }
}

/// Which fields make an event's identity.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum IdentityBy {
    SourceAndId,
    Id,
}

/// What becomes of an event in a version that its subscription does not accept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum UnknownVersion {
    DeadLetter,
    /// It waits, with all that comes after it for its key, for a program that accepts it; at most `retain`.
    Park,
}

#[derive(Debug)]
pub struct Subscription {
    pub event: String,
    pub from: Vec<ChannelName>,
    pub key: FieldPath,
    /// Accepted versions with their schemas, upcast scripts keyed by the version they start from.
    pub versions: BTreeMap<u32, Arc<Schema>>,
    pub upcasts: HashMap<u32, Upcast>,
    /// The version handlers see.
    pub newest: u32,
    /// Types that must have been handled for the key before.
    pub after: Vec<String>,
    pub filter: Option<Arc<Script>>,
    pub handler: Arc<Script>,
}

#[derive(Debug)]
pub struct Upcast {
    pub to: u32,
    pub script: Arc<Script>,
}

#[derive(Debug)]
pub struct Emit {
    pub event: String,
    pub version: u32,
    pub to: Vec<ChannelName>,
    pub schema: Arc<Schema>,
}

/// `data.order.id`: `data`, `id`, `source` or `headers` first, then members.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FieldPath(pub Vec<String>);

#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Retry {
    /// Runs of the handler in all, the first included.
    pub attempts: u32,
    pub first: Duration,
    pub factor: f64,
    pub max: Duration,
}

impl Retry {
    /// All waits of the schedule together, at their longest.
    pub fn longest(&self) -> Duration {
        let mut total = Duration::ZERO;
        let mut delay = self.first.as_secs_f64();
        for _ in 1..self.attempts {
            total += Duration::from_secs_f64(delay.min(self.max.as_secs_f64()));
            delay = (delay * self.factor).min(self.max.as_secs_f64());
        }
        total
    }

    /// What is wrong when an event can be forgotten while it is still being retried.
    pub fn outlasts(&self, retain: Duration) -> Option<String> {
        let schedule = self.longest();
        (schedule > retain).then(|| {
            format!(
                "an event is forgotten after {} while it may still be retried for {}",
                units::show(retain),
                units::show(schedule)
            )
        })
    }
}

/// Limits on what comes in and on one run of a script.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    pub payload_bytes: usize,
    pub depth: usize,
    pub operations: u64,
    pub call_depth: usize,
    pub string_bytes: usize,
    pub collection_items: usize,
    pub wall: Duration,
    pub state_bytes: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            payload_bytes: 1 << 20,
            depth: 64,
            operations: 1_000_000,
            call_depth: 32,
            string_bytes: 1 << 20,
            collection_items: 65_536,
            wall: Duration::from_secs(1),
            state_bytes: 1 << 20,
        }
    }
}

#[derive(Debug)]
pub struct Admin {
    pub listen: std::net::SocketAddr,
    pub token: Option<SecretString>,
}

impl FieldPath {
    /// What stands there.
    pub fn read<'e>(&self, event: &'e Event) -> Option<Cow<'e, Value>> {
        let text = |text: &str| Some(Cow::Owned(Value::String(text.to_owned())));
        let (root, members) = self.0.split_first()?;
        match (root.as_str(), members) {
            ("id", []) => text(&event.id),
            ("source", []) => text(&event.source),
            ("headers", [name]) => text(event.headers.get(name)?),
            ("data", members) => {
                members.iter().try_fold(&event.data, |value, member| value.as_object()?.get(member)).map(Cow::Borrowed)
            }
            _ => None,
        }
    }

    /// An integer; one that stands in a header is written in digits.
    pub fn integer(&self, event: &Event) -> Option<i64> {
        let value = self.read(event)?;
        let in_header = self.0.first().is_some_and(|root| root == "headers");
        value.as_i64().or_else(|| value.as_str().filter(|_| in_header)?.parse().ok())
    }
}

impl std::fmt::Display for FieldPath {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0.join("."))
    }
}
