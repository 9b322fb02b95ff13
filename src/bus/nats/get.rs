//! One event at a time, through the server's API. It comes in base64, headers and all: no event breaks that, and it
//! tells which ones the client cannot receive.

use std::borrow::Cow;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use super::api::{self, ApiError};
use super::consumer::Consumer;
use crate::bus::BusError;
use crate::event::{Headers, Millis, Position, RawEvent};

pub(super) struct Got {
    pub(super) raw: RawEvent,
    /// Whether the client takes it as a delivery.
    pub(super) receivable: bool,
}

/// The first event of a subject at or after a sequence. Only `Unavailable` can go wrong.
pub(super) async fn next_of(consumer: &Consumer, subject: &str, from: u64) -> Result<Option<Got>, BusError> {
    ask(consumer, from, &json!({ "seq": from, "next_by_subj": subject })).await
}

/// The event with this sequence, if it is still there. Only `Unavailable` can go wrong.
pub(super) async fn exactly(consumer: &Consumer, seq: u64) -> Result<Option<Got>, BusError> {
    ask(consumer, seq, &json!({ "seq": seq })).await
}

async fn ask(consumer: &Consumer, from: u64, question: &Value) -> Result<Option<Got>, BusError> {
    let stream = &consumer.channel.stream;
    let unavailable = |why: &str| BusError::Unavailable(format!("reading stream `{stream}` at {from}: {why}"));
    let answer = match api::ask(&consumer.link, &format!("STREAM.MSG.GET.{stream}"), question).await {
        Ok(answer) => answer,
        Err(ApiError::Answered { code: api::NO_MESSAGE, .. }) => return Ok(None),
        // A stream that is gone may come back.
        Err(ApiError::Unavailable(why) | ApiError::Answered { description: why, .. }) => return Err(unavailable(&why)),
    };
    let got = answer.get("message").and_then(|message| got(consumer, message));
    got.map(Some).ok_or_else(|| unavailable("the server's answer is not as documented"))
}

fn got(consumer: &Consumer, message: &Value) -> Option<Got> {
    let bytes = |name: &str| match message.get(name).and_then(Value::as_str) {
        Some(text) => STANDARD.decode(text).ok(),
        None => Some(Vec::new()),
    };
    let stored_at: jiff::Timestamp = message.get("time")?.as_str()?.parse().ok()?;
    let (headers, receivable) = headers(&bytes("hdrs")?);
    let raw = RawEvent {
        position: Position { channel: consumer.spec.channel.clone(), seq: message.get("seq")?.as_u64()? },
        stored_at: Millis(stored_at.as_millisecond()),
        headers,
        payload: bytes("data")?.into(),
    };
    Some(Got { raw, receivable })
}

/// A header block as the client reads it, so that two readings of one event are equal, whichever way it came; and
/// whether the client reads it at all. Where it does not: whatever can be read, bytes outside of UTF-8 replaced.
fn headers(block: &[u8]) -> (Headers, bool) {
    let text = String::from_utf8_lossy(block);
    let mut receivable = matches!(text, Cow::Borrowed(_));
    let mut headers = Vec::new();
    let mut lines = text.lines().peekable();
    // Anything behind the version is the status of an answer that is not an event.
    receivable &= lines.next().is_none_or(|version| version.trim_end() == "NATS/1.0");
    while let Some(line) = lines.next() {
        let Some((name, value)) = line.split_once(':') else {
            receivable &= line.is_empty();
            continue;
        };
        let mut value = value.trim_start().to_owned();
        while let Some(more) = lines.next_if(|line| line.starts_with(char::is_whitespace)) {
            value.push_str(more);
        }
        value.truncate(value.trim_end().len());
        receivable &= name.bytes().all(|byte| byte.is_ascii_graphic()) && !value.contains('\r');
        headers.push((name.to_owned(), value));
    }
    headers.sort_by(|a, b| a.0.cmp(&b.0));
    (Headers(headers), receivable)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn headers_are_read_as_the_client_reads_them() {
        let (read, receivable) = headers(b"NATS/1.0\r\nb: 1 \r\na:2\r\n 3\r\nb: 0\r\n\r\n");
        let expected = [("a", "2 3"), ("b", "1"), ("b", "0")].map(|(name, value)| (name.to_owned(), value.to_owned()));
        assert_eq!((read.0.as_slice(), receivable), (&expected[..], true));
        assert_eq!(headers(b""), (Headers::default(), true));
    }

    #[test]
    fn what_the_client_cannot_receive_is_told_and_read_as_far_as_it_goes() {
        for (block, value) in [
            (&b"NATS/1.0\r\na: x\r\nContent Type: y\r\n\r\n"[..], "x"),
            (b"NATS/1.0\r\na: \xff\r\n\r\n", "\u{fffd}"),
            (b"NATS/1.0\r\na: x\r\nno colon\r\n\r\n", "x"),
            (b"NATS/1.0\r\na: x\ry\r\n\r\n", "x\ry"),
            (b"NATS/1.0 503 x\r\na: x\r\n\r\n", "x"),
            (b"HTTP/1.1\r\na: x\r\n\r\n", "x"),
        ] {
            let (read, receivable) = headers(block);
            assert_eq!((read.get("a"), receivable), (Some(value), false), "{}", block.escape_ascii());
        }
    }
}
