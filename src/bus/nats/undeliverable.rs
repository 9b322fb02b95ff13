//! An event that the client cannot receive: a header name outside of ASCII, or headers that are not UTF-8, make it
//! close the connection, and nothing behind such an event would ever be read. The server's API hands it out in
//! base64, headers and all; so it gets its outcome like any other.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use super::consumer::Consumer;
use super::read::Span;
use super::{api, subject};
use crate::bus::BusError;
use crate::event::{Headers, Millis, Position, RawEvent};

/// Reads the next event of the span alone. `why` is what reading it the usual way said.
pub(super) async fn read(consumer: &Consumer, span: &mut Span, why: String) -> Result<u64, BusError> {
    // It was lost over this very event, perhaps.
    let _ = tokio::time::timeout(super::PATIENCE, consumer.link.connected()).await;
    let mut next: Option<RawEvent> = None;
    for pattern in subject::patterns(&consumer.channel.subjects) {
        let event = next_of(consumer, &pattern, span.from).await.map_err(|_| BusError::Unavailable(why.clone()))?;
        if let Some(event) = event
            && next.as_ref().is_none_or(|lowest| event.position.seq < lowest.position.seq)
        {
            next = Some(event);
        }
    }
    let Some(event) = next.filter(|event| event.position.seq <= span.to) else { return Ok(span.end()) };
    let seq = event.position.seq;
    if event.headers.0.iter().any(|(name, value)| !sendable(name) || value.contains('\u{fffd}')) {
        tracing::warn!(
            stream = consumer.channel.stream,
            seq,
            "the headers of this event break the connection whenever the server delivers it; it is read apart and handled, \
             but comes again after every ack wait until it is deleted from the stream (`nats stream rmm`)"
        );
    }
    span.push(event);
    Ok(seq + 1)
}

fn sendable(name: &str) -> bool {
    name.bytes().all(|byte| byte.is_ascii_graphic() && byte != b':')
}

async fn next_of(consumer: &Consumer, pattern: &str, from: u64) -> Result<Option<RawEvent>, BusError> {
    let stream = &consumer.channel.stream;
    let request = json!({ "seq": from, "next_by_subj": pattern });
    let answer = match api::ask(&consumer.link, &format!("STREAM.MSG.GET.{stream}"), &request).await {
        Ok(answer) => answer,
        Err(api::ApiError::Answered { code: NO_MESSAGE, .. }) => return Ok(None),
        Err(error) => return Err(error.during(&format!("getting event {from} of stream `{stream}`"))),
    };
    let odd = || BusError::Unavailable(format!("the server's answer about event {from} of stream `{stream}` is odd"));
    let message = answer.get("message").ok_or_else(odd)?;
    let bytes = |name: &str| match message.get(name).and_then(Value::as_str) {
        Some(text) => STANDARD.decode(text).map_err(|_| odd()),
        None => Ok(Vec::new()),
    };
    let time = message.get("time").and_then(Value::as_str).and_then(|time| time.parse::<jiff::Timestamp>().ok());
    Ok(Some(RawEvent {
        position: Position {
            channel: consumer.spec.channel.clone(),
            seq: message.get("seq").and_then(Value::as_u64).ok_or_else(odd)?,
        },
        stored_at: Millis(time.ok_or_else(odd)?.as_millisecond()),
        headers: headers(&bytes("hdrs")?),
        payload: bytes("data")?.into(),
    }))
}

/// The server's code for a sequence at or after which there is nothing.
const NO_MESSAGE: u64 = 10037;

/// Whatever can be read of a header block; names and values as they are, bytes outside of UTF-8 replaced.
fn headers(block: &[u8]) -> Headers {
    let text = String::from_utf8_lossy(block);
    let lines = text.split("\r\n").skip(1).filter_map(|line| line.split_once(':'));
    let mut headers: Vec<(String, String)> =
        lines.map(|(name, value)| (name.to_owned(), value.trim().to_owned())).collect();
    headers.sort_by(|a, b| a.0.cmp(&b.0));
    Headers(headers)
}
