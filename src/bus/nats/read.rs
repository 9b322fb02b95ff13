//! Reading a span of the stream again, for recovery.
//!
//! A stream with limits is read through a consumer of its own that needs no acks and disappears by itself. A
//! stream that deletes on ack allows no second consumer; there events are got one by one, which is enough for
//! the few that can be unacked. So are they where one of them is known to break the connection, up to that one.

use futures_util::StreamExt as _;
use serde_json::{Value, json};
use tokio::time::{Instant, timeout, timeout_at};

use super::consumer::Consumer;
use super::get::{self, Got};
use super::{PATIENCE, api, message, subject};
use crate::bus::{BusError, Demand};
use crate::event::RawEvent;

/// Events got one by one after the connection broke: the next of them may have broken it, and where one is, more are
/// close by.
const AFTER_A_CUT: usize = 64;

pub async fn read(consumer: &Consumer, from: u64, to: u64, demand: Demand) -> Result<(Vec<RawEvent>, u64), BusError> {
    let from = from.max(1);
    if from > to {
        return Ok((Vec::new(), from));
    }
    let mut span = Span { from, to, demand, events: Vec::new(), bytes: 0 };
    let up_to = match consumer.bound().await?.retention.deletes_on_ack() {
        true => Some(to),
        false => consumer.undeliverable.first_in(from, to),
    };
    let next = match up_to {
        Some(up_to) => one_by_one(consumer, &mut span, up_to).await,
        None => match through_a_consumer(consumer, &mut span).await {
            Err(BusError::Unavailable(why)) => after_a_cut(consumer, &mut span, why).await,
            next => next,
        },
    };
    match next {
        Err(BusError::Unavailable(_)) if !span.events.is_empty() => {
            let next = span.after_last();
            Ok((span.events, next))
        }
        next => next.map(|next| (span.events, next)),
    }
}

async fn after_a_cut(consumer: &Consumer, span: &mut Span, why: String) -> Result<u64, BusError> {
    let _ = timeout(PATIENCE, consumer.link.connected()).await;
    span.demand.events = span.demand.events.min(span.events.len() + AFTER_A_CUT);
    one_by_one(consumer, span, span.to).await.map_err(|_| BusError::Unavailable(why))
}

struct Span {
    from: u64,
    to: u64,
    demand: Demand,
    events: Vec<RawEvent>,
    bytes: usize,
}

impl Span {
    fn is_full(&self) -> bool {
        !self.events.is_empty() && (self.events.len() >= self.demand.events || self.bytes >= self.demand.bytes)
    }

    fn push(&mut self, event: RawEvent) {
        self.bytes += event.weight();
        self.events.push(event);
    }

    /// Where to go on when the rest of the span was not looked at.
    fn after_last(&self) -> u64 {
        self.events.last().map_or(self.from, |event| event.position.seq + 1)
    }

    fn end(&self) -> u64 {
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
    let _ = consumer.link.client().publish(format!("$JS.API.CONSUMER.DELETE.{stream}.{name}"), "".into()).await;
    next
}

async fn pull(consumer: &Consumer, reader: &str, pending: u64, span: &mut Span) -> Result<u64, BusError> {
    let (client, stream) = (consumer.link.client(), &consumer.channel.stream);
    let unavailable = |why: String| BusError::Unavailable(format!("reading stream `{stream}`: {why}"));
    let inbox = client.new_inbox();
    let mut messages = client.subscribe(inbox.clone()).await.map_err(|e| unavailable(e.to_string()))?;
    let mut limited = true;
    let mut expected = 1;
    loop {
        // Not more than the span can hold: an event behind it may break the connection.
        let most = pending.min(span.end() - span.from);
        let batch = span.demand.events.max(1).min(usize::try_from(most).unwrap_or(usize::MAX));
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
                _ => return Err(unavailable("the server did not answer in time".to_owned())),
            };
            let info = message.reply.as_deref().and_then(message::info);
            if let (None, Some(status)) = (&info, message.status) {
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
            let Some(info) = info else { continue };
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
async fn one_by_one(consumer: &Consumer, span: &mut Span, up_to: u64) -> Result<u64, BusError> {
    let from = span.after_last();
    let subjects = subject::patterns(&consumer.channel.subjects);
    let mut heads = Vec::with_capacity(subjects.len());
    for subject in subjects {
        let head = get::next_of(consumer, &subject, from).await?;
        heads.push((subject, head));
    }
    while !span.is_full() {
        let seq = |head: &Option<Got>| head.as_ref().map(|got| got.raw.position.seq).filter(|seq| *seq <= up_to);
        let lowest = heads.iter_mut().filter(|(_, head)| seq(head).is_some()).min_by_key(|(_, head)| seq(head));
        let Some((subject, head)) = lowest else { return Ok(up_to.saturating_add(1)) };
        let Some(Got { raw, receivable }) = head.take() else { return Ok(up_to.saturating_add(1)) };
        let seq = raw.position.seq;
        span.push(raw);
        if !receivable && consumer.undeliverable.note(seq) {
            tracing::warn!(
                stream = consumer.channel.stream,
                seq,
                "the headers of this event break the connection when the server delivers it; it is read apart, and handled \
                 and acked like any other"
            );
        }
        *head = get::next_of(consumer, subject, seq + 1).await?;
    }
    Ok(span.after_last())
}
