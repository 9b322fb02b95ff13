//! The durable consumer of a (pipeline, channel): ours to make and to keep as configured.

use std::collections::BTreeSet;

use serde_json::{Map, Value, json};
use tokio::sync::Mutex;

use super::api::{self, ApiError};
use super::link::Link;
use super::stream::{self, Retention, Stream};
use super::undeliverable::Undeliverable;
use super::{StreamChannel, Tuning, subject};
use crate::bus::continuity::Continuity;
use crate::bus::{BusError, ConsumerSpec, Progress};

pub struct Consumer {
    pub link: Link,
    pub channel: StreamChannel,
    pub spec: ConsumerSpec,
    pub name: String,
    pub undeliverable: Undeliverable,
    pub continuity: Continuity,
    tuning: Tuning,
    /// Looked at once a connection, and again after anything that makes one doubt it.
    bound: Mutex<Option<Bound>>,
}

/// The consumer stood as configured when this connection was made.
#[derive(Clone, Copy, Debug)]
pub struct Bound {
    pub generation: u64,
    pub retention: Retention,
}

impl Consumer {
    pub fn new(link: Link, channel: StreamChannel, spec: ConsumerSpec, tuning: Tuning) -> Self {
        let name = format!("sluice-{}-{}", subject::token(&spec.pipeline), subject::token(&spec.channel));
        let (undeliverable, continuity) = (Undeliverable::default(), Continuity::default());
        Self { link, channel, spec, name, undeliverable, continuity, tuning, bound: Mutex::new(None) }
    }

    /// Makes sure that stream and consumer are there and as configured.
    pub async fn bound(&self) -> Result<Bound, BusError> {
        let generation = self.link.ready().await?;
        let mut bound = self.bound.lock().await;
        if let Some(bound) = *bound
            && bound.generation == generation
        {
            return Ok(bound);
        }
        let stream = stream::ensure(&self.link, &self.channel).await?;
        self.ensure(&stream).await?;
        Ok(*bound.insert(Bound { generation, retention: stream.retention }))
    }

    /// Look again: it may have been deleted.
    pub async fn doubt(&self) {
        *self.bound.lock().await = None;
    }

    pub async fn progress(&self) -> Result<Progress, BusError> {
        let bound = self.bound().await?;
        let stream = stream::state(&self.link, &self.channel.stream).await?;
        let Some(info) = self.info_if_there().await? else {
            self.doubt().await;
            return Err(BusError::Unavailable(format!("consumer `{}` was deleted; it is made again", self.name)));
        };
        let progress = progress(&info, &stream, bound.retention);
        self.undeliverable.acked_up_to(progress.ack_floor);
        self.continuity.delivered(info.pointer("/delivered/consumer_seq").and_then(Value::as_u64).unwrap_or(0));
        Ok(progress)
    }

    /// Where it stands, without making it or changing anything about it. `None`: it is not there.
    pub async fn look(&self) -> Result<Option<Progress>, BusError> {
        self.link.ready().await?;
        let Some(stream) = stream::find(&self.link, &self.channel.stream).await? else {
            let name = &self.channel.stream;
            let missing = || BusError::Unavailable(format!("there is no stream `{name}`"));
            return if self.channel.create { Ok(None) } else { Err(missing()) };
        };
        let info = self.info_if_there().await?;
        Ok(info.map(|info| progress(&info, &stream, stream.retention)))
    }

    async fn info_if_there(&self) -> Result<Option<Value>, BusError> {
        match self.info().await {
            Err(ApiError::Answered { code: api::CONSUMER_NOT_FOUND, .. }) => Ok(None),
            info => info.map(Some).map_err(|e| e.during(&format!("asking about consumer `{}`", self.name))),
        }
    }

    async fn info(&self) -> Result<Value, ApiError> {
        api::ask(&self.link, &format!("CONSUMER.INFO.{}.{}", self.channel.stream, self.name), &json!({})).await
    }

    async fn ensure(&self, stream: &Stream) -> Result<(), BusError> {
        let info = match self.info().await {
            Err(ApiError::Answered { code: api::CONSUMER_NOT_FOUND, .. }) => match self.create(stream).await? {
                Some(info) => info,
                // Somebody was faster: look at theirs.
                None => self.info().await.map_err(|e| e.during(&format!("looking for consumer `{}`", self.name)))?,
            },
            info => info.map_err(|e| e.during(&format!("looking for consumer `{}`", self.name)))?,
        };
        let empty = Map::new();
        let found = info.get("config").and_then(Value::as_object).unwrap_or(&empty);
        self.refuse_foreign(found)?;
        self.keep_as_configured(found).await
    }

    /// `None`: it is there by now.
    async fn create(&self, stream: &Stream) -> Result<Option<Value>, BusError> {
        let mut config = Map::from_iter(self.kept());
        config.insert("metadata".into(), Value::Object(self.owner()));
        config.insert("durable_name".into(), json!(self.name));
        config.insert("name".into(), json!(self.name));
        config.insert("ack_policy".into(), json!("explicit"));
        config.insert("replay_policy".into(), json!("instant"));
        match self.spec.start_after {
            // What the pipeline is done with is gone from a work queue, and JetStream allows no other start there.
            Some(after) if after > 0 && stream.retention != Retention::WorkQueue => {
                if after > stream.last {
                    return Err(self.stream_was_replaced(after, stream.last));
                }
                config.insert("deliver_policy".into(), json!("by_start_sequence"));
                config.insert("opt_start_seq".into(), json!(after + 1));
            }
            _ => {
                config.insert("deliver_policy".into(), json!("all"));
            }
        }
        match self.write("create", config).await {
            Ok(info) => {
                tracing::info!("made the consumer `{}` on stream `{}`", self.name, self.channel.stream);
                Ok(Some(info))
            }
            Err(ApiError::Answered { code: api::CONSUMER_EXISTS, .. }) => Ok(None),
            Err(error) => Err(error.during(&format!("making consumer `{}`", self.name))),
        }
    }

    /// Starting behind the end would skip, silently, what a stream that began anew counts up to there.
    fn stream_was_replaced(&self, after: u64, last: u64) -> BusError {
        let (stream, pipeline) = (&self.channel.stream, &self.spec.pipeline);
        BusError::Refused(format!(
            "the store says that pipeline `{pipeline}` has handled stream `{stream}` up to {after}, but the stream ends \
             at {last}: it was deleted and made anew, or restored; use another pipeline name or store for it"
        ))
    }

    /// Fields that a consumer can be updated in, as we keep them.
    fn kept(&self) -> [(String, Value); 11] {
        let nanos = u64::try_from(self.tuning.ack_wait.as_nanos()).unwrap_or(u64::MAX);
        [
            ("ack_wait", json!(nanos)),
            // Limited deliveries would leave events invisible in the stream; the schedule of retries is ours.
            ("max_deliver", json!(-1)),
            ("max_ack_pending", json!(self.tuning.max_ack_pending)),
            ("filter_subjects", json!(subject::patterns(&self.channel.subjects))),
            // It would take the place of `ack_wait`.
            ("backoff", json!([])),
            ("headers_only", json!(false)),
            ("inactive_threshold", json!(0)),
            ("max_batch", json!(0)),
            ("max_bytes", json!(0)),
            ("max_expires", json!(0)),
            ("mem_storage", json!(false)),
        ]
        .map(|(name, value)| (name.to_owned(), value))
    }

    fn refuse_foreign(&self, found: &Map<String, Value>) -> Result<(), BusError> {
        let text = |name: &str| found.get(name).and_then(Value::as_str);
        let why = if text("deliver_subject").is_some() {
            "it is a push consumer".to_owned()
        } else if text("ack_policy") != Some("explicit") {
            format!("its ack policy is `{}`, not `explicit`", text("ack_policy").unwrap_or("none"))
        } else if text("replay_policy").is_some_and(|p| p != "instant") {
            "it replays at the original pace".to_owned()
        } else if self.is_owned_by_another(found) {
            "it belongs to another pipeline or channel, whose names join to the same consumer name".to_owned()
        } else {
            return Ok(());
        };
        let (name, stream) = (&self.name, &self.channel.stream);
        Err(BusError::Refused(format!(
            "consumer `{name}` of stream `{stream}` is not ours: {why}; remove it with `nats consumer rm {stream} {name}`, \
             or rename the pipeline"
        )))
    }

    fn is_owned_by_another(&self, found: &Map<String, Value>) -> bool {
        let differs = |name: &str, ours: &str| {
            let theirs = found.get("metadata").and_then(|m| m.get(name)).and_then(Value::as_str);
            theirs.is_some_and(|theirs| theirs != ours)
        };
        differs(PIPELINE, &self.spec.pipeline) || differs(CHANNEL, &self.spec.channel)
    }

    /// What differs is set right and reported. Everything else of the configuration stays.
    async fn keep_as_configured(&self, found: &Map<String, Value>) -> Result<(), BusError> {
        let mut config = found.clone();
        let mut differences = Vec::new();
        for (name, wanted) in self.kept() {
            let was = found.get(&name).unwrap_or(&Value::Null);
            let same = match name.as_str() {
                "filter_subjects" => filters(found) == filters(&Map::from_iter([(name.clone(), wanted.clone())])),
                _ => *was == wanted || is_unset(was) && is_unset(&wanted),
            };
            if same {
                continue;
            }
            let was = if name == "filter_subjects" { json!(filters(found)) } else { was.clone() };
            differences.push(format!("`{name}` from {was} to {wanted}"));
            config.insert(name, wanted);
        }
        if owner(found).is_none() {
            let mut metadata = found.get("metadata").and_then(Value::as_object).cloned().unwrap_or_default();
            metadata.extend(self.owner());
            config.insert("metadata".into(), Value::Object(metadata));
            differences.push("`metadata` to name the pipeline".to_owned());
        }
        if differences.is_empty() {
            return Ok(());
        }
        // One subject may stand in a field of its own; filled both ways the server refuses it.
        config.remove("filter_subject");
        config.insert("filter_subjects".into(), json!(subject::patterns(&self.channel.subjects)));
        let (name, what) = (&self.name, differences.join(", "));
        self.write("update", config)
            .await
            .map_err(|e| e.during(&format!("consumer `{name}` is not as configured, and changing {what} failed")))?;
        tracing::warn!("consumer `{name}` was not as configured: changed {what}");
        Ok(())
    }

    fn owner(&self) -> Map<String, Value> {
        Map::from_iter([
            (PIPELINE.to_owned(), json!(*self.spec.pipeline)),
            (CHANNEL.to_owned(), json!(*self.spec.channel)),
        ])
    }

    async fn write(&self, action: &str, config: Map<String, Value>) -> Result<Value, ApiError> {
        let stream = &self.channel.stream;
        let request = json!({ "stream_name": stream, "config": config, "action": action });
        api::ask(&self.link, &format!("CONSUMER.CREATE.{stream}.{}", self.name), &request).await
    }
}

fn progress(info: &Value, stream: &Stream, retention: Retention) -> Progress {
    let number = |pointer: &str| info.pointer(pointer).and_then(Value::as_u64).unwrap_or(0);
    // Where a consumer was made to start, its floor is; servers before 2.11 say 0 until the first ack.
    let start = number("/config/opt_start_seq").saturating_sub(1);
    Progress {
        ack_floor: number("/ack_floor/stream_seq").max(start),
        delivered: number("/delivered/stream_seq").max(start),
        pending: number("/num_pending"),
        first: stream.first,
        last: stream.last,
        deletes_on_ack: retention.deletes_on_ack(),
    }
}

const PIPELINE: &str = "sluice.pipeline";
const CHANNEL: &str = "sluice.channel";

fn owner(config: &Map<String, Value>) -> Option<&str> {
    config.get("metadata")?.get(PIPELINE)?.as_str()
}

fn filters(config: &Map<String, Value>) -> BTreeSet<&str> {
    let one = config.get("filter_subject").and_then(Value::as_str).filter(|s| !s.is_empty());
    let many = config.get("filter_subjects").and_then(Value::as_array).into_iter().flatten().filter_map(Value::as_str);
    one.into_iter().chain(many).collect()
}

/// How the server writes, or leaves out, a field that is not set.
fn is_unset(value: &Value) -> bool {
    matches!(value, Value::Null | Value::Bool(false)) || value.as_u64() == Some(0) || *value == json!([])
}
