//! What the server says of itself, and what that means for the guarantee.

use std::collections::HashMap;

use redis::Value;

use super::reply;
use crate::event::Millis;
use crate::spec::program::DurabilityChoice;
use crate::store::{Durability, StoreError};

const OLDEST_MAJOR: u32 = 7;
/// Of the runner's clock and the server's; both only date things, but a person who reads them should know.
const CLOCKS_APART_MS: i64 = 5_000;

/// The answer of `INFO`.
pub struct Info(HashMap<String, String>);

impl Info {
    pub fn parse(value: Value) -> Result<Self, StoreError> {
        let value = match value {
            Value::VerbatimString { text, .. } => text,
            value => reply::text(value, "INFO")?,
        };
        let pair = |line: &str| line.split_once(':').map(|(name, value)| (name.to_owned(), value.trim().to_owned()));
        Ok(Self(value.lines().filter_map(pair).collect()))
    }

    fn get(&self, name: &str) -> &str {
        self.0.get(name).map_or("", String::as_str)
    }

    /// Differs after every start of the server process.
    pub fn run_id(&self) -> &str {
        self.get("run_id")
    }

    /// Whether this server can be a store at all; asked at every connection, since a failover changes the answer.
    pub fn usable(&self, address: &str) -> Result<(), StoreError> {
        let version = self.get("redis_version");
        let major = version.split('.').next().and_then(|major| major.parse::<u32>().ok());
        if major.is_none_or(|major| major < OLDEST_MAJOR) {
            return Err(StoreError::Refused(format!(
                "redis at {address} is version {version}: sluice needs {OLDEST_MAJOR}.0 or later, or any Valkey"
            )));
        }
        if self.run_id().is_empty() {
            return Err(StoreError::Refused(format!(
                "redis at {address} hides its `run_id` in `INFO server`: without it a restart that loses writes would \
                 go unseen"
            )));
        }
        if self.get("cluster_enabled") == "1" {
            return Err(StoreError::Refused(format!(
                "redis at {address} is a cluster, and this version of sluice talks to one node only: use a server \
                 without `cluster-enabled`"
            )));
        }
        if self.get("role") == "slave" {
            return Err(StoreError::Unavailable(format!(
                "redis at {address} is a replica: the store's `url` must lead to the primary"
            )));
        }
        let limit = self.get("maxmemory");
        let policy = self.get("maxmemory_policy");
        if !matches!(limit, "" | "0") && policy != "noeviction" {
            return Err(StoreError::Refused(format!(
                "redis at {address} would evict what sluice remembers when it is full (`maxmemory-policy {policy}`): \
                 run `redis-cli CONFIG SET maxmemory-policy noeviction`, and set it in the server's configuration"
            )));
        }
        Ok(())
    }
}

/// The settings `CONFIG GET` told; `None` when the server does not let us read them.
pub struct Settings(Option<HashMap<String, String>>);

impl Settings {
    pub const NAMES: [&'static str; 3] = ["appendonly", "appendfsync", "no-appendfsync-on-rewrite"];

    pub fn parse(value: Value) -> Self {
        let Value::Array(items) = value else { return Self(None) };
        let mut texts = items.into_iter().map(|item| reply::text(item, "CONFIG GET").unwrap_or_default());
        let mut settings = HashMap::new();
        while let (Some(name), Some(value)) = (texts.next(), texts.next()) {
            settings.insert(name, value);
        }
        Self((!settings.is_empty()).then_some(settings))
    }

    /// What a reply of this server is worth, with one sentence a weakness.
    pub fn durability(&self, choice: DurabilityChoice, address: &str) -> Result<(Durability, Vec<String>), StoreError> {
        if choice == DurabilityChoice::Relaxed {
            return Ok((Durability::Relaxed, Vec::new()));
        }
        let Some(weakness) = self.weakness(address) else { return Ok((Durability::Strict, Vec::new())) };
        if choice == DurabilityChoice::Strict {
            return Err(StoreError::Refused(format!(
                "{weakness}; `durability: strict` needs `appendonly yes`, `appendfsync always` and \
                 `no-appendfsync-on-rewrite no`: change the server's settings, or say `durability: auto`"
            )));
        }
        Ok((Durability::Relaxed, vec![weakness]))
    }

    fn weakness(&self, address: &str) -> Option<String> {
        let Some(settings) = &self.0 else {
            return Some(format!(
                "redis at {address} does not let its settings be read (`CONFIG GET`): it is taken to lose the last \
                 moments before a crash"
            ));
        };
        let is = |name: &str, value: &str| settings.get(name).is_some_and(|held| held == value);
        if !is("appendonly", "yes") {
            return Some(format!(
                "redis at {address} keeps no append-only file (`appendonly no`): a crash loses everything since its \
                 last snapshot, or all of it"
            ));
        }
        if is("appendfsync", "everysec") {
            return Some(format!(
                "redis at {address} writes to disk once a second (`appendfsync everysec`): a power failure or failover \
                 loses the last second or two"
            ));
        }
        if !is("appendfsync", "always") {
            return Some(format!(
                "redis at {address} leaves writing to disk to the system (`appendfsync no`): a power failure or \
                 failover loses up to half a minute"
            ));
        }
        if is("no-appendfsync-on-rewrite", "yes") {
            return Some(format!(
                "redis at {address} does not write to disk while it rewrites its log (`no-appendfsync-on-rewrite \
                 yes`): a power failure meanwhile loses what it replied"
            ));
        }
        None
    }
}

/// `TIME`, against the runner's clock just before and after asking.
pub fn clock_warning(time: Value, before: Millis, after: Millis) -> Option<String> {
    let Value::Array(parts) = time else { return None };
    let part = |i: usize| {
        parts.get(i).and_then(|p| reply::text(p.clone(), "TIME").ok()).and_then(|t: String| t.parse::<i64>().ok())
    };
    let server = part(0)?.checked_mul(1000)?.checked_add(part(1)? / 1000)?;
    let ours = before.0 + (after.0 - before.0) / 2;
    let apart = server - ours;
    (apart.abs() > CLOCKS_APART_MS).then(|| {
        let (seconds, which) = (apart.abs() as f64 / 1000.0, if apart > 0 { "ahead of" } else { "behind" });
        format!(
            "the clock of the redis server is {seconds:.1} s {which} this machine's: set one of them, or times and \
             retention will be off by as much"
        )
    })
}
