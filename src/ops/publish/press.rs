//! Lines → events that the pipelines of the project will take.

use std::sync::Arc;

use bytes::Bytes;
use serde_json::{Map, Value, json};

use crate::bus::Sink;
use crate::clock::{Clock, Entropy};
use crate::event::{Event, Headers, Outgoing, Position, RawEvent};
use crate::flow::decode::decode;
use crate::flow::route::{Route, Subject, route};
use crate::schema::Schema;
use crate::spec::program::{Channel, Envelope, Limits, Pipeline, Program, Written};

const CLOUDEVENTS: &str = "application/cloudevents+json";

/// Makes lines into events of one channel.
pub struct Press<'p> {
    pub program: &'p Program,
    pub channel: &'p Channel,
    /// Fills in where an event does not say who it is from.
    pub source: String,
    /// Added to every event.
    pub headers: Headers,
    /// Publish as it is, whatever it is: what has no key that can be told, one after the other.
    pub raw: bool,
    /// Let the broker drop an event that it took before.
    pub dedupe: bool,
    pub clock: &'p dyn Clock,
    pub entropy: &'p dyn Entropy,
}

/// An event that may be published.
#[derive(Debug, PartialEq, Eq)]
pub struct Ready {
    /// Events of one order key are published one after the other. Empty: of no key that is known.
    pub order_key: String,
    pub outgoing: Outgoing,
}

impl Press<'_> {
    /// All that is wrong with a line, or the event in it.
    pub fn press(&self, line: &[u8], sink: &dyn Sink) -> Result<Ready, Vec<String>> {
        let one = |problem: String| vec![problem];
        if self.raw {
            let payload = Bytes::copy_from_slice(line);
            let raw = self.received(self.headers.clone(), payload.clone());
            // Only for the subject: what cannot be told of it is `unknown` there.
            let event = decode(&raw, &self.channel.envelope, &self.limits()).ok();
            let kind = event.as_ref().map_or("unknown", |event| &event.kind);
            let subject = sink.subject("", kind, "unknown").map_err(one)?;
            let order_key = self.key(&raw);
            let outgoing = Outgoing { dedupe_id: String::new(), subject, headers: self.headers.clone(), payload };
            return Ok(Ready { order_key, outgoing });
        }
        let raw = self.envelop(line).map_err(one)?;
        let limits = self.limits();
        let event = decode(&raw, &self.channel.envelope, &limits).map_err(|failure| one(failure.message))?;
        let order_key = self.check(&raw, &event)?;
        let subject = sink.subject("", &event.kind, &order_key).map_err(one)?;
        let dedupe_id = if self.dedupe { format!("{}/{}", event.source, event.id) } else { String::new() };
        let outgoing = Outgoing { dedupe_id, subject, headers: raw.headers, payload: raw.payload };
        Ok(Ready { order_key, outgoing })
    }

    /// The line as the channel's envelope wants it, with what was left out filled in.
    fn envelop(&self, line: &[u8]) -> Result<RawEvent, String> {
        if let Envelope::Map(_) = self.channel.envelope {
            // What is absent from somebody else's message is not ours to fill in.
            return Ok(self.received(self.headers.clone(), Bytes::copy_from_slice(line)));
        }
        let parsed = serde_json::from_slice(line).map_err(|error| format!("not JSON: {error}"))?;
        let Value::Object(mut members) = parsed else { return Err("JSON, but not an object".to_owned()) };
        let structured = members.contains_key("specversion");
        // A complete event goes out as it was written, to the byte.
        let payload = match self.fill(&mut members) {
            false => Bytes::copy_from_slice(line),
            true => Bytes::from(Value::Object(members).to_string()),
        };
        let as_written = if structured { Envelope::CloudEventsStructured } else { Envelope::Sluice };
        let mut headers = self.headers.clone();
        if structured {
            headers.push("content-type", CLOUDEVENTS);
        }
        let raw = self.received(headers, payload);
        if self.channel.envelope == as_written || self.channel.envelope == Envelope::Auto {
            return Ok(raw);
        }
        let event = decode(&raw, &as_written, &self.limits()).map_err(|failure| failure.message)?;
        let (mut headers, payload) = encode(&event, self.channel.envelope.written());
        headers.0.extend(self.headers.0.iter().cloned());
        Ok(self.received(headers, payload))
    }

    /// Whether anything was absent.
    fn fill(&self, members: &mut Map<String, Value>) -> bool {
        let mut filled = false;
        let mut absent = |name: &str, value: &dyn Fn() -> String| {
            if members.get(name).is_none_or(Value::is_null) {
                members.insert(name.to_owned(), Value::String(value()));
                filled = true;
            }
        };
        let now = self.clock.now();
        absent("id", &|| {
            let mut random = [0; 10];
            random.copy_from_slice(&self.entropy.fresh()[..10]);
            let millis = u64::try_from(now.0).unwrap_or(0);
            uuid::Builder::from_unix_timestamp_millis(millis, &random).into_uuid().to_string()
        });
        absent("source", &|| self.source.clone());
        absent("time", &|| now.rfc3339());
        filled
    }

    fn received(&self, headers: Headers, payload: Bytes) -> RawEvent {
        let position = Position { channel: self.channel.name.clone(), seq: 0 };
        RawEvent { position, stored_at: self.clock.now(), headers, payload }
    }

    /// The strictest of the pipelines that will read it.
    fn limits(&self) -> Limits {
        let mut limits = Limits::default();
        let each: Vec<&Limits> = self.readers().map(|pipeline| &pipeline.limits).collect();
        if !each.is_empty() {
            limits.payload_bytes = each.iter().map(|l| l.payload_bytes).min().unwrap_or(limits.payload_bytes);
            limits.depth = each.iter().map(|l| l.depth).min().unwrap_or(limits.depth);
        }
        limits
    }

    fn readers(&self) -> impl Iterator<Item = &Arc<Pipeline>> {
        self.program.pipelines.iter().filter(|pipeline| pipeline.inputs().contains(&self.channel.name))
    }

    /// Of the first pipeline that finds one. Empty: there is none.
    fn key(&self, raw: &RawEvent) -> String {
        let key = self.readers().find_map(|pipeline| match route(raw.clone(), pipeline, &self.channel.envelope) {
            Route::Handle(routed) => match routed.subject {
                Subject::Keyed { key, .. } => Some(key.as_str().to_owned()),
                Subject::Keyless { .. } => None,
            },
            Route::Ignore => None,
        });
        key.unwrap_or_default()
    }

    /// What the pipelines that read it would set it aside for; its key.
    fn check(&self, raw: &RawEvent, event: &Event) -> Result<String, Vec<String>> {
        let schema = self.schema(&event.kind, event.version).map_err(|why| vec![why])?;
        let mut problems: Vec<String> = schema
            .validate(&event.data)
            .into_iter()
            .map(|violation| {
                let place = if violation.path.is_empty() { "the data" } else { violation.path.as_str() };
                format!("`{}` version {}: {place}: {}", event.kind, event.version, violation.message)
            })
            .collect();
        let mut order_key = String::new();
        for pipeline in self.readers() {
            match route(raw.clone(), pipeline, &self.channel.envelope) {
                Route::Ignore => {}
                Route::Handle(routed) => match routed.subject {
                    Subject::Keyed { key, .. } if order_key.is_empty() => order_key = key.as_str().to_owned(),
                    Subject::Keyed { .. } => {}
                    Subject::Keyless { failure, .. } => {
                        problems.push(format!("pipeline `{}`: {}", pipeline.name, failure.message));
                    }
                },
            }
        }
        if problems.is_empty() { Ok(order_key) } else { Err(problems) }
    }

    /// The schema of a type and version, wherever the project uses it.
    fn schema(&self, kind: &str, version: u32) -> Result<&Arc<Schema>, String> {
        let pipelines = || self.program.pipelines.iter();
        let handled = pipelines().flat_map(|p| &p.subscriptions).flat_map(|subscription| {
            subscription.versions.iter().map(|(version, schema)| (subscription.event.as_str(), *version, schema))
        });
        let emitted = pipelines().flat_map(|p| &p.emits).map(|emit| (emit.event.as_str(), emit.version, &emit.schema));
        let known: Vec<(&str, u32, &Arc<Schema>)> = handled.chain(emitted).collect();
        if let Some((_, _, schema)) = known.iter().find(|(k, v, _)| *k == kind && *v == version) {
            return Ok(schema);
        }
        let mut versions: Vec<String> =
            known.iter().filter(|(k, ..)| *k == kind).map(|(_, version, _)| version.to_string()).collect();
        versions.sort();
        versions.dedup();
        if !versions.is_empty() {
            return Err(format!("no pipeline knows version {version} of `{kind}` (known: {})", versions.join(", ")));
        }
        let meant = crate::diagnostic::did_you_mean(kind, known.iter().map(|(kind, ..)| *kind));
        let meant = meant.map_or(String::new(), |meant| format!("; did you mean `{meant}`?"));
        Err(format!("no pipeline knows events of type `{kind}`{meant}"))
    }
}

/// An event in an envelope, without headers of its own.
pub fn encode(event: &Event, envelope: Written) -> (Headers, Bytes) {
    let Event { id, kind, version, source, time, data, .. } = event;
    let time = time.clone().unwrap_or_default();
    let mut headers = Headers::default();
    let body = match envelope {
        Written::Sluice => {
            json!({ "id": id, "type": kind, "version": version, "source": source, "time": time, "data": data })
        }
        Written::CloudEventsStructured => {
            headers.push("content-type", CLOUDEVENTS);
            json!({
                "specversion": "1.0", "id": id, "type": kind, "source": source, "time": time,
                "dataversion": version.to_string(), "datacontenttype": "application/json", "data": data,
            })
        }
        Written::CloudEventsBinary => {
            for (name, value) in [
                ("content-type", "application/json"),
                ("ce-specversion", "1.0"),
                ("ce-id", id),
                ("ce-type", kind),
                ("ce-source", source),
                ("ce-time", &time),
                ("ce-dataversion", &version.to_string()),
            ] {
                headers.push(name, value);
            }
            data.clone()
        }
    };
    (headers, Bytes::from(body.to_string()))
}
