//! Reading a span of the stream again, for recovery.
//!
//! A stream with limits is read through a consumer of its own that needs no acks and disappears by itself. A
//! stream that deletes on ack allows no second consumer; there events are got one by one, which is enough for
//! the few that can be unacked.

use std::time::Duration;

use async_nats::jetstream::message::StreamMessage;
use async_nats::jetstream::stream::RawMessageErrorKind;
use futures_util::StreamExt as _;
use serde_json::{Value, json};
use tokio::time::{Instant, timeout, timeout_at};

use super::consumer::Consumer;
use super::{PATIENCE, api, message, subject, undeliverable};
use crate::bus::{BusError, Demand};
use crate::event::{Millis, Position, RawEvent};

pub async fn read(consumer: &Consumer, from: u64, to: u64, demand: Demand) -> Result<(Vec<RawEvent>, u64), BusError> {
    let from = from.max(1);
    if from > to {
        return Ok((Vec::new(), from));
    }
    let mut span = Span { from, to, demand, events: Vec::new(), bytes: 0 };
    let next = if consumer.bound().await?.retention.deletes_on_ack() {
        one_by_one(consumer, &mut span).await
    } else {
        through_a_consumer(consumer, &mut span).await
    };
    let next = match next {
        Err(BusError::Unavailable(why)) if span.events.is_empty() => {
            undeliverable::read(consumer, &mut span, why).await?
        }
        next => next?,
    };
    Ok((span.events, next))
}

pub(super) struct Span {
    pub(super) from: u64,
    pub(super) to: u64,
    demand: Demand,
    events: Vec<RawEvent>,
    bytes: usize,
}

impl Span {
    fn is_full(&self) -> bool {
        !self.events.is_empty() && (self.events.len() >= self.demand.events || self.bytes >= self.demand.bytes)
    }

    pub(super) fn push(&mut self, event: RawEvent) {
        self.bytes += event.weight();
        self.events.push(event);
    }

    /// Where to go on when the rest of the span was not looked at.
    fn after_last(&self) -> u64 {
        self.events.last().map_or(self.from, |event| event.position.seq + 1)
    }

    pub(super) fn end(&self) -> u64 {
        self.to.saturating_add(1)
    }
}

async fn through_a_consumer(consumer: &Consumer, span: &mut Span) -> Result<u64, BusError> {
    let stream = &consumer.channel.stream;
    let request = json!({
        "stream_name": stream,
        "config": {
            "deliver_policy": "by_start_sequence",
            "opt_start_seq": span.from,
            "ack_policy": "none",
            "replay_policy": "instant",
            "filter_subjects": subject::patterns(&consumer.channel.subjects),
            "inactive_threshold": 10_000_000_000_u64,
            "mem_storage": true,
            "num_replicas": 1,
        },
    });
    let reader = api::ask(&consumer.link, &format!("CONSUMER.CREATE.{stream}"), &request)
        .await
        .map_err(|e| e.during(&format!("reading stream `{stream}` from {}", span.from)))?;
    let name = reader.get("name").and_then(Value::as_str).unwrap_or_default();
    let pending = reader.get("num_pending").and_then(Value::as_u64).unwrap_or(0);
    let next = if pending == 0 { Ok(span.end()) } else { pull(consumer, name, pending, span).await };
    // Should this be lost, the server removes the reader after ten seconds without requests.
    let _ = consumer.link.client.publish(format!("$JS.API.CONSUMER.DELETE.{stream}.{name}"), "".into()).await;
    next
}

async fn pull(consumer: &Consumer, reader: &str, pending: u64, span: &mut Span) -> Result<u64, BusError> {
    let (client, stream) = (&consumer.link.client, &consumer.channel.stream);
    let unavailable = |why: String| BusError::Unavailable(format!("reading stream `{stream}`: {why}"));
    let inbox = client.new_inbox();
    let mut messages = client.subscribe(inbox.clone()).await.map_err(|e| unavailable(e.to_string()))?;
    let mut limited = true;
    let mut expected = 1;
    loop {
        let batch = span.demand.events.max(1).min(usize::try_from(pending).unwrap_or(usize::MAX));
        let mut request = json!({ "batch": if limited { batch } else { 1 }, "expires": 4_000_000_000_u64 });
        if limited {
            request["max_bytes"] = json!(span.demand.bytes.max(1));
        }
        let asked_over = consumer.link.generation();
        client
            .publish_with_reply(
                format!("$JS.API.CONSUMER.MSG.NEXT.{stream}.{reader}"),
                inbox.clone(),
                request.to_string().into(),
            )
            .await
            .map_err(|e| unavailable(e.to_string()))?;
        let deadline = Instant::now() + PATIENCE;
        loop {
            let received = tokio::select! {
                biased;
                received = timeout_at(deadline, messages.next()) => received,
                () = consumer.link.replaced(asked_over) => Ok(None),
            };
            let message = match received {
                Ok(Some(message)) => message,
                // What came is good; the caller goes on behind it.
                _ if !span.events.is_empty() => return Ok(span.after_last()),
                _ => return Err(unavailable("the server did not answer in time".to_owned())),
            };
            if let Some(status) = message.status {
                let words = message.description.as_deref().unwrap_or_default();
                if !span.events.is_empty() {
                    return Ok(span.after_last());
                }
                if status.as_u16() == 409 && words.contains("MaxBytes") && limited {
                    // The first event alone is larger than the demand: it goes over by one.
                    limited = false;
                    break;
                }
                return Err(unavailable(format!("the server ended the request ({status} {words})")));
            }
            let Some(info) = message.reply.as_deref().and_then(message::info) else { continue };
            // Without acks a message that was dropped on its way would be a hole; stop before it.
            if info.consumer_seq != expected {
                return if span.events.is_empty() {
                    Err(unavailable("an event was lost on its way".to_owned()))
                } else {
                    Ok(span.after_last())
                };
            }
            expected += 1;
            if info.stream_seq > span.to {
                return Ok(span.end());
            }
            span.push(message::raw(&consumer.spec.channel, &info, message));
            if info.pending == 0 || info.stream_seq == span.to {
                return Ok(span.end());
            }
            if span.is_full() {
                return Ok(span.after_last());
            }
        }
    }
}

/// The lowest next event over all subjects of the channel, again and again.
async fn one_by_one(consumer: &Consumer, span: &mut Span) -> Result<u64, BusError> {
    let subjects = subject::patterns(&consumer.channel.subjects);
    let mut heads = Vec::with_capacity(subjects.len());
    for subject in subjects {
        let head = next_of(consumer, &subject, span.from).await?;
        heads.push((subject, head));
    }
    while !span.is_full() {
        let Some((subject, head)) = heads
            .iter_mut()
            .filter(|(_, head)| head.as_ref().is_some_and(|m| m.sequence <= span.to))
            .min_by_key(|(_, head)| head.as_ref().map(|m| m.sequence))
        else {
            return Ok(span.end());
        };
        let Some(message) = head.take() else { return Ok(span.end()) };
        let after = message.sequence + 1;
        span.push(RawEvent {
            position: Position { channel: consumer.spec.channel.clone(), seq: message.sequence },
            stored_at: Millis(i64::try_from(message.time.unix_timestamp_nanos() / 1_000_000).unwrap_or(0)),
            headers: message::incoming(&message.headers),
            payload: message.payload,
        });
        *head = next_of(consumer, subject, after).await?;
    }
    Ok(span.after_last())
}

async fn next_of(consumer: &Consumer, subject: &str, from: u64) -> Result<Option<StreamMessage>, BusError> {
    let name = &consumer.channel.stream;
    let unavailable = |why: String| BusError::Unavailable(format!("reading stream `{name}` at {from}: {why}"));
    let stream = consumer.jetstream().get_stream_no_info(name).await.map_err(|e| unavailable(e.to_string()))?;
    let request = stream.raw_message_builder().sequence(from).next_by_subject(subject).send();
    match timeout(PATIENCE + Duration::from_secs(1), request).await {
        Err(_) => Err(unavailable("the server did not answer in time".to_owned())),
        Ok(Ok(message)) => Ok(Some(message)),
        Ok(Err(error)) if error.kind() == RawMessageErrorKind::NoMessageFound => Ok(None),
        Ok(Err(error)) => Err(unavailable(error.to_string())),
    }
}
