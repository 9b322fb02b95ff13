//! What a handler emitted → outbox entries, encoded and checked before the commit.
//!
//! Ids, times and bytes derive from the causing event alone, so that a re-run emits the very same entries.

use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;
use serde::Serialize;
use serde_json::Value;

use crate::bus::Sink;
use crate::event::{ChannelName, Event, Headers, Key, MarkId, Outgoing, RawEvent, derived_id};
use crate::script::Emitted;
use crate::spec::program::{Emit, Pipeline, Written};
use crate::store::record::{DeadRecord, Failure, OutboxBody};

/// Every channel a pipeline may publish to.
#[derive(Default)]
pub struct Destinations(pub BTreeMap<ChannelName, Destination>);

pub struct Destination {
    pub sink: Arc<dyn Sink>,
    pub envelope: Written,
}

/// Outbox entries of one handled event, in order of emission.
#[derive(Debug, Default)]
pub struct Emissions(pub Vec<OutboxBody>);

impl Emissions {
    pub fn build(
        pipeline: &Pipeline,
        destinations: &Destinations,
        raw: &RawEvent,
        mark: MarkId,
        cause: &Event,
        key: &Key,
        emitted: Vec<Emitted>,
    ) -> Result<Self, Failure> {
        let mut entries = Vec::with_capacity(emitted.len());
        for (index, emission) in emitted.into_iter().enumerate() {
            let declared = pipeline.emit(&emission.kind, emission.version).ok_or_else(|| undeclared(&emission))?;
            let violations = declared.schema.validate(&emission.data);
            if let Some(first) = violations.first() {
                let place = if first.path.is_empty() { "the data" } else { first.path.as_str() };
                let message = format!(
                    "`emit(\"{}\", …)`: the data does not match version {}: {place}: {}",
                    emission.kind, declared.version, first.message
                );
                return Err(Failure { violations, ..Failure::script("emit_schema", message, &emission.at) });
            }
            let id = derived_id(&[&pipeline.name, "emit", &mark.hex()], index as u64).to_string();
            let message = Message { pipeline, raw, cause, declared, id: &id, data: emission.data };
            let about = emission.key.as_ref().unwrap_or(key);
            for channel in &declared.to {
                let destination = destinations.0.get(channel).ok_or_else(|| {
                    Failure::script(
                        "emit_channel",
                        format!("channel `{channel}` is not open for publishing"),
                        &emission.at,
                    )
                })?;
                let (mut headers, payload) = message.encode(destination.envelope);
                headers.0.extend(emission.headers.0.iter().cloned());
                let subject = destination
                    .sink
                    .subject(&pipeline.name, &declared.event, about.as_str())
                    .map_err(|why| Failure::script("emit_subject", why, &emission.at))?;
                let bytes = payload.len() + headers.0.iter().map(|(n, v)| n.len() + v.len() + 4).sum::<usize>();
                if bytes > destination.sink.max_bytes() {
                    let limit = destination.sink.max_bytes();
                    let message = format!("the event has {bytes} bytes, channel `{channel}` takes {limit}");
                    return Err(Failure::script("emit_too_large", message, &emission.at));
                }
                entries.push(OutboxBody {
                    to: channel.clone(),
                    order_key: about.as_str().to_owned(),
                    event: Arc::new(Outgoing { dedupe_id: format!("{id}@{channel}"), subject, headers, payload }),
                });
            }
        }
        Ok(Self(entries))
    }
}

fn undeclared(emission: &Emitted) -> Failure {
    let version = emission.version.map_or(String::new(), |version| format!(" version {version}"));
    let message = format!("`{}`{version} is not declared under `emits`", emission.kind);
    Failure::script("undeclared_emit", message, &emission.at)
}

/// One emitted event before its envelope.
struct Message<'a> {
    pipeline: &'a Pipeline,
    raw: &'a RawEvent,
    cause: &'a Event,
    declared: &'a Emit,
    id: &'a str,
    data: Value,
}

impl Message<'_> {
    fn encode(&self, envelope: Written) -> (Headers, Bytes) {
        let mut headers = Headers::default();
        if let Some(trace) = self.cause.headers.get("traceparent") {
            headers.push("traceparent", trace);
        }
        headers.push("sluice-cause-id", header_safe(&self.cause.id));
        headers.push("sluice-cause-source", header_safe(&self.cause.source));
        let source = format!("sluicegate/{}", self.pipeline.name);
        // Event time is when the broker stored the cause: a re-run must emit the same bytes.
        let time = self.raw.stored_at.rfc3339();
        let (kind, version) = (self.declared.event.as_str(), self.declared.version);
        let payload = match envelope {
            Written::Sluice => serde_json::to_vec(&Enveloped {
                data: &self.data,
                id: self.id,
                source: &source,
                time: &time,
                kind,
                version,
            }),
            Written::CloudEventsStructured => {
                headers.push("content-type", "application/cloudevents+json");
                serde_json::to_vec(&CloudEvent {
                    data: &self.data,
                    datacontenttype: "application/json",
                    dataversion: &version.to_string(),
                    id: self.id,
                    source: &source,
                    specversion: "1.0",
                    time: &time,
                    kind,
                })
            }
            Written::CloudEventsBinary => {
                headers.push("content-type", "application/json");
                headers.push("ce-specversion", "1.0");
                headers.push("ce-id", self.id);
                headers.push("ce-type", kind);
                headers.push("ce-source", source);
                headers.push("ce-time", time);
                headers.push("ce-dataversion", version.to_string());
                serde_json::to_vec(&self.data)
            }
        };
        (headers, payload.expect("JSON values serialize").into())
    }
}

/// Our own envelope, its members sorted: an event is the same bytes whenever it is made again.
#[derive(Serialize)]
struct Enveloped<'a> {
    data: &'a Value,
    id: &'a str,
    source: &'a str,
    time: &'a str,
    #[serde(rename = "type")]
    kind: &'a str,
    version: u32,
}

/// A structured CloudEvent, likewise.
#[derive(Serialize)]
struct CloudEvent<'a> {
    data: &'a Value,
    datacontenttype: &'a str,
    dataversion: &'a str,
    id: &'a str,
    source: &'a str,
    specversion: &'a str,
    time: &'a str,
    #[serde(rename = "type")]
    kind: &'a str,
}

/// Text that fits a header line: anything outside printable ASCII, and `%`, is percent-encoded.
fn header_safe(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for byte in text.bytes() {
        if (b' '..=b'~').contains(&byte) && byte != b'%' {
            out.push(char::from(byte));
        } else {
            out.push_str(&format!("%{byte:02X}"));
        }
    }
    out
}

/// A dead letter on its way to the pipeline's dead-letter channel: the raw event with its reason in headers.
pub fn dead_letter_entry(
    pipeline: &Pipeline,
    destinations: &Destinations,
    id: &str,
    record: &DeadRecord,
    payload: &Bytes,
) -> Option<OutboxBody> {
    let channel = pipeline.dead_letter.as_ref()?;
    let destination = destinations.0.get(channel)?;
    let kind = record.event.as_ref().map_or("unknown", |event| event.kind.as_str());
    let order_key = record.key.clone().unwrap_or_else(|| id.to_owned());
    let subject = destination.sink.subject(&pipeline.name, kind, &order_key).ok()?;
    let mut headers = Headers::default();
    for (name, value) in [
        ("sluice-dead-letter", id),
        ("sluice-pipeline", &pipeline.name),
        ("sluice-class", record.failure.class.name()),
        ("sluice-reason", &record.failure.reason),
        ("sluice-message", &header_safe(&record.failure.message)),
        ("sluice-position", &record.position.to_string()),
        ("sluice-dead-at", &record.dead_at.rfc3339()),
    ] {
        headers.push(name, value);
    }
    // The broker's own headers would steer this publish (dedupe, expectations), so they stay behind.
    headers
        .0
        .extend(record.headers.0.iter().filter(|(name, _)| !name.to_ascii_lowercase().starts_with("nats-")).cloned());
    let bytes = payload.len() + headers.0.iter().map(|(n, v)| n.len() + v.len() + 4).sum::<usize>();
    let payload = if bytes <= destination.sink.max_bytes() {
        payload.clone()
    } else {
        headers.push("sluice-payload", "omitted: larger than this channel takes; see `sluice dlq show`");
        Bytes::new()
    };
    let dedupe_id = format!("{id}/{}@{channel}", record.dead_at.0);
    let event = Arc::new(Outgoing { dedupe_id, subject, headers, payload });
    Some(OutboxBody { to: channel.clone(), order_key, event })
}
