//! The stream of a channel: found, or made when the configuration says so.

use serde_json::{Value, json};

use super::StreamChannel;
use super::api::{self, ApiError};
use super::link::Link;
use super::subject;
use crate::bus::BusError;

/// What matters of a stream.
#[derive(Clone, Debug)]
pub struct Stream {
    pub retention: Retention,
    /// Largest message in bytes with headers, when the stream has a limit of its own.
    pub max_message: Option<usize>,
    pub first: u64,
    pub last: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Retention {
    Limits,
    Interest,
    WorkQueue,
}

impl Retention {
    pub fn deletes_on_ack(self) -> bool {
        self != Self::Limits
    }
}

/// Finds the stream, or makes it, and checks that it takes the channel's subjects.
pub async fn ensure(link: &Link, channel: &StreamChannel) -> Result<Stream, BusError> {
    let name = &channel.stream;
    if subject::token(name) != *name {
        return Err(BusError::Refused(format!(
            "`{name}` is no name for a stream: it must have no spaces, dots or slashes"
        )));
    }
    let answer = match api::ask(link, &format!("STREAM.INFO.{name}"), &json!({})).await {
        Err(ApiError::Answered { code: api::STREAM_NOT_FOUND, .. }) if channel.create => create(link, channel).await?,
        Err(ApiError::Answered { code: api::STREAM_NOT_FOUND, .. }) => {
            return Err(BusError::Unavailable(format!(
                "there is no stream `{name}`; make it with `nats stream add {name} --subjects={}`, or write \
                 `create: true` at the channel",
                quoted(&subject::patterns(&channel.subjects))
            )));
        }
        answer => answer.map_err(|e| e.during(&format!("looking for stream `{name}`")))?,
    };
    check_subjects(channel, &answer)?;
    Ok(read(&answer))
}

/// First and last sequence as of now.
pub async fn state(link: &Link, name: &str) -> Result<Stream, BusError> {
    let stream = find(link, name).await?;
    stream.ok_or_else(|| BusError::Unavailable(format!("stream `{name}` is gone")))
}

/// `None`: there is no such stream.
pub async fn find(link: &Link, name: &str) -> Result<Option<Stream>, BusError> {
    match api::ask(link, &format!("STREAM.INFO.{name}"), &json!({})).await {
        Ok(answer) => Ok(Some(read(&answer))),
        Err(ApiError::Answered { code: api::STREAM_NOT_FOUND, .. }) => Ok(None),
        Err(other) => Err(other.during(&format!("asking about stream `{name}`"))),
    }
}

fn read(answer: &Value) -> Stream {
    let number = |pointer: &str| answer.pointer(pointer).and_then(Value::as_u64);
    Stream {
        retention: match answer.pointer("/config/retention").and_then(Value::as_str) {
            Some("interest") => Retention::Interest,
            Some("workqueue") => Retention::WorkQueue,
            _ => Retention::Limits,
        },
        // -1 is no limit, and no u64.
        max_message: number("/config/max_msg_size").and_then(|n| usize::try_from(n).ok()).filter(|n| *n > 0),
        first: number("/state/first_seq").unwrap_or(0),
        last: number("/state/last_seq").unwrap_or(0),
    }
}

/// On disk, kept without limits: what to forget and when is the operator's to say. The duplicate window is the
/// server's default of two minutes.
async fn create(link: &Link, channel: &StreamChannel) -> Result<Value, BusError> {
    let name = &channel.stream;
    let config = json!({
        "name": name,
        "subjects": subject::patterns(&channel.subjects),
        "retention": "limits",
        "storage": "file",
        "discard": "old",
        "num_replicas": 1,
        "max_consumers": -1,
        "max_msgs": -1,
        "max_bytes": -1,
        "max_age": 0,
        "max_msg_size": -1,
        "duplicate_window": 120_000_000_000_u64,
    });
    match api::ask(link, &format!("STREAM.CREATE.{name}"), &config).await {
        Ok(answer) => {
            tracing::info!("made the stream `{name}`; it keeps events without limits");
            Ok(answer)
        }
        // Somebody was faster: look at theirs.
        Err(ApiError::Answered { code: api::STREAM_NAME_IN_USE, .. }) => {
            api::ask(link, &format!("STREAM.INFO.{name}"), &json!({}))
                .await
                .map_err(|e| e.during(&format!("looking for stream `{name}`")))
        }
        Err(error) => Err(error.during(&format!("making stream `{name}`"))),
    }
}

/// A stream that mirrors others or gathers from them holds subjects that it does not list.
fn check_subjects(channel: &StreamChannel, answer: &Value) -> Result<(), BusError> {
    let is_set = |pointer: &str| answer.pointer(pointer).is_some_and(|v| !v.is_null() && *v != json!([]));
    if is_set("/config/mirror") || is_set("/config/sources") {
        return Ok(());
    }
    let listed: Vec<String> = answer
        .pointer("/config/subjects")
        .and_then(Value::as_array)
        .map(|all| all.iter().filter_map(Value::as_str).map(str::to_owned).collect())
        .unwrap_or_default();
    let missing: Vec<String> = subject::patterns(&channel.subjects)
        .into_iter()
        .filter(|wanted| !listed.iter().any(|subject| subject::covers(subject, wanted)))
        .collect();
    if missing.is_empty() {
        return Ok(());
    }
    let name = &channel.stream;
    Err(BusError::Refused(format!(
        "stream `{name}` does not take the subject `{}` (it takes `{}`); correct the channel, or add the subject with \
         `nats stream edit {name} --subjects={}`",
        missing.join("`, `"),
        listed.join("`, `"),
        quoted(&listed.iter().chain(&missing).cloned().collect::<Vec<_>>()),
    )))
}

/// A list as one shell argument.
fn quoted(subjects: &[String]) -> String {
    format!("'{}'", subjects.join(","))
}
