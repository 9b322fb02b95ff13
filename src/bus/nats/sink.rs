//! Publishing with confirmation.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use async_nats::{HeaderValue, Request, RequestErrorKind};
use futures_util::future::{BoxFuture, FutureExt as _};
use serde::Deserialize;
use serde_json::Value;
use tokio::time::timeout;

use super::api::{self, ApiError};
use super::link::Link;
use super::{PATIENCE, StreamChannel, message, stream, subject};
use crate::bus::{BusError, PublishError, Sink};
use crate::event::Outgoing;

/// Kept free for the headers added here and for the framing of the others.
const HEADER_ROOM: usize = 1024;

#[derive(Clone)]
pub struct NatsSink(Arc<Inner>);

struct Inner {
    link: Link,
    channel: StreamChannel,
    /// The channel's only subject, with placeholders.
    template: String,
    /// The stream's own limit; learnt when it is looked at, `usize::MAX` until then.
    stream_limit: AtomicUsize,
    /// As a header: a subject that belongs to another stream must not swallow the event.
    expected_stream: Option<HeaderValue>,
    /// Looked at once before the first publish, and made if that is wanted.
    stream_seen: AtomicBool,
    /// One at a time looks at it.
    looking: tokio::sync::Mutex<()>,
}

/// What JetStream answers to a publish: one of the two.
#[derive(Deserialize)]
struct PubAck {
    error: Option<Value>,
    /// Of a duplicate, too: the stream has it.
    seq: Option<u64>,
}

impl NatsSink {
    pub(super) fn new(link: Link, channel: StreamChannel) -> Result<Self, BusError> {
        match channel.subjects.as_slice() {
            [one] => {
                let template = one.clone();
                Self::with_template(link, channel, &template)
            }
            several => Err(unpublishable(&several.join("`, `"))),
        }
    }

    /// `template` is one of the channel's subjects, or what one of them covers.
    pub(super) fn with_template(link: Link, channel: StreamChannel, template: &str) -> Result<Self, BusError> {
        if template.split('.').any(|t| t == "*" || t == ">") {
            return Err(unpublishable(template));
        }
        let template = template.to_owned();
        Ok(Self(Arc::new(Inner {
            link,
            template,
            stream_limit: AtomicUsize::new(usize::MAX),
            expected_stream: channel.stream.parse().ok(),
            channel,
            stream_seen: AtomicBool::new(false),
            looking: tokio::sync::Mutex::default(),
        })))
    }
}

fn unpublishable(subjects: &str) -> BusError {
    BusError::Refused(format!(
        "a channel that is published to needs one subject without wildcards, not `{subjects}`; set its `subject`"
    ))
}

impl Inner {
    async fn publish(&self, event: &Outgoing) -> Result<(), PublishError> {
        let unconfirmed = |e: BusError| PublishError::Unconfirmed(e.to_string());
        self.link.ready().await.map_err(unconfirmed)?;
        if !self.stream_seen.load(Ordering::Acquire) {
            // Rare, and large: in a box, it is not part of what every publish is made of.
            Box::pin(self.look_at_stream()).await.map_err(unconfirmed)?;
        }

        let mut headers = message::outgoing(&event.headers).map_err(PublishError::Refused)?;
        if !event.dedupe_id.is_empty() {
            let id = event.dedupe_id.parse::<HeaderValue>();
            let id = id.map_err(|_| PublishError::Refused("the event's dedupe id holds a line break".to_owned()))?;
            headers.insert(async_nats::header::NATS_MESSAGE_ID, id);
        }
        if let Some(name) = &self.expected_stream {
            headers.insert(async_nats::header::NATS_EXPECTED_STREAM, name.clone());
        }
        let subject = match &event.subject {
            given if !given.is_empty() => given,
            _ if self.template.contains('{') => {
                return Err(PublishError::Refused(format!("subject `{}` was not filled in", self.template)));
            }
            _ => &self.template,
        };
        // Our own patience is the limit; the client's would be a second timer for each event.
        let request = Request::new().headers(headers).payload(event.payload.clone()).timeout(None);
        let (client, sent_over) = (self.link.client(), self.link.generation());
        let answered = tokio::select! {
            answered = timeout(PATIENCE, client.send_request(subject.clone(), request)) => answered,
            () = self.link.replaced(sent_over) => {
                return Err(PublishError::Unconfirmed("the connection to NATS was lost".to_owned()));
            }
        };
        let answer = match answered {
            Err(_) => return Err(PublishError::Unconfirmed("NATS did not confirm the event in time".to_owned())),
            Ok(answer) => answer,
        };
        let answer = match answer {
            Ok(message) => message,
            Err(error) => return Err(self.not_sent(subject, &error)),
        };
        match serde_json::from_slice::<PubAck>(&answer.payload) {
            Err(_) => Err(PublishError::Unconfirmed(format!(
                "what answers at subject `{subject}` is not JetStream; something else listens there"
            ))),
            Ok(PubAck { error: Some(error), .. }) => Err(self.turned_down(subject, api::failed(&error))),
            Ok(PubAck { seq: Some(_), .. }) => Ok(()),
            Ok(_) => Err(PublishError::Unconfirmed("NATS' confirmation says nothing".to_owned())),
        }
    }

    fn not_sent(&self, subject: &str, error: &async_nats::RequestError) -> PublishError {
        match error.kind() {
            RequestErrorKind::MaxPayloadExceeded => PublishError::Refused(format!(
                "the event is larger than the {} bytes that NATS takes (`max_payload`)",
                self.link.client().max_payload()
            )),
            RequestErrorKind::InvalidSubject => PublishError::Refused(format!("`{subject}` is not a subject of NATS")),
            RequestErrorKind::NoResponders => {
                // The stream may have been deleted: look again, and make it if that is wanted.
                self.stream_seen.store(false, Ordering::Release);
                let stream = &self.channel.stream;
                PublishError::Unconfirmed(format!("no stream takes `{subject}`; is `{stream}` there?"))
            }
            _ => PublishError::Unconfirmed(format!("NATS did not confirm the event: {error}")),
        }
    }

    fn turned_down(&self, subject: &str, error: ApiError) -> PublishError {
        let stream = &self.channel.stream;
        match error {
            ApiError::Answered { code: api::MESSAGE_TOO_LARGE, .. } => {
                PublishError::Refused(format!("the event is larger than stream `{stream}` takes (`max_msg_size`)"))
            }
            ApiError::Answered { code: api::STREAM_DOES_NOT_MATCH, .. } => PublishError::Unconfirmed(format!(
                "subject `{subject}` belongs to another stream than `{stream}`; correct the channel"
            )),
            // A full stream, or a rule of it that a person may relax: the event itself is not at fault.
            ApiError::Answered { description, .. } => {
                PublishError::Unconfirmed(format!("stream `{stream}` does not take the event: {description}"))
            }
            ApiError::Unavailable(why) => PublishError::Unconfirmed(why),
        }
    }

    async fn look_at_stream(&self) -> Result<(), BusError> {
        let _one = self.looking.lock().await;
        if !self.stream_seen.load(Ordering::Acquire) {
            let stream = stream::ensure(&self.link, &self.channel).await?;
            self.stream_limit.store(stream.max_message.unwrap_or(usize::MAX), Ordering::Relaxed);
            self.stream_seen.store(true, Ordering::Release);
        }
        Ok(())
    }
}

impl Sink for NatsSink {
    fn publish(&self, event: Arc<Outgoing>) -> BoxFuture<'static, Result<(), PublishError>> {
        let inner = self.0.clone();
        async move { inner.publish(&event).await }.boxed()
    }

    fn subject(&self, pipeline: &str, kind: &str, key: &str) -> Result<String, String> {
        subject::fill(&self.0.template, pipeline, kind, key)
    }

    fn max_bytes(&self) -> usize {
        let limit = self.0.link.client().max_payload().min(self.0.stream_limit.load(Ordering::Relaxed));
        limit.saturating_sub(HEADER_ROOM)
    }
}
