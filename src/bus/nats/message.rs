//! JetStream messages as events, and headers both ways.

use async_nats::header::{HeaderMap, HeaderName, HeaderValue};

use crate::event::{ChannelName, Headers, Millis, Position, RawEvent};

/// What the reply subject of a delivery says.
#[derive(Debug, PartialEq, Eq)]
pub struct Info {
    /// How often this message was handed out, this time included.
    pub delivered: u64,
    pub stream_seq: u64,
    pub consumer_seq: u64,
    pub stored_at: Millis,
    /// Messages of the consumer after this one.
    pub pending: u64,
}

/// `$JS.ACK.[<domain>.<account>.]<stream>.<consumer>.<delivered>.<stream seq>.<consumer seq>.<nanoseconds>.<pending>[.<token>]`
/// (ADR-15 of NATS). `None`: not a delivery of JetStream.
pub fn info(reply: &str) -> Option<Info> {
    let tokens: Vec<&str> = reply.strip_prefix("$JS.ACK.")?.split('.').collect();
    let numbers = match tokens.len() {
        7 => &tokens[2..7],
        9.. => &tokens[4..9],
        _ => return None,
    };
    let number = |i: usize| numbers[i].parse::<u64>().ok();
    Some(Info {
        delivered: number(0)?,
        stream_seq: number(1)?,
        consumer_seq: number(2)?,
        stored_at: Millis(numbers[3].parse::<i64>().ok()? / 1_000_000),
        pending: number(4)?,
    })
}

pub fn raw(channel: &ChannelName, info: &Info, message: async_nats::Message) -> RawEvent {
    RawEvent {
        position: Position { channel: channel.clone(), seq: info.stream_seq },
        stored_at: info.stored_at,
        headers: message.headers.as_ref().map(incoming).unwrap_or_default(),
        payload: message.payload,
    }
}

/// The client keeps headers unordered; sorted, two readings of one event are equal.
pub fn incoming(map: &HeaderMap) -> Headers {
    let mut headers: Vec<(String, String)> = map
        .iter()
        .flat_map(|(name, values)| values.iter().map(move |v| (name.to_string(), v.as_str().to_owned())))
        .collect();
    headers.sort_by(|a, b| a.0.cmp(&b.0));
    Headers(headers)
}

/// Says which header cannot be sent. `Nats-…` headers are left out: they are orders to the server (expected
/// sequences, rollups), and those that came with an event were meant for its own stream.
pub fn outgoing(headers: &Headers) -> Result<HeaderMap, String> {
    let mut map = HeaderMap::new();
    for (name, value) in &headers.0 {
        if name.get(..5).is_some_and(|head| head.eq_ignore_ascii_case("Nats-")) {
            continue;
        }
        let unfit = || {
            let name = name.escape_debug();
            format!("header `{name}` cannot be sent over NATS: it has a line break, or a name with other than letters")
        };
        let name: HeaderName = name.parse().map_err(|_| unfit())?;
        let value: HeaderValue = value.parse().map_err(|_| unfit())?;
        map.append(name, value);
    }
    Ok(map)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_formats_of_the_reply_subject_are_read() {
        let expected =
            Info { delivered: 2, stream_seq: 7, consumer_seq: 9, stored_at: Millis(1_700_000_000_123), pending: 4 };
        assert_eq!(info("$JS.ACK.S.C.2.7.9.1700000000123456789.4").as_ref(), Some(&expected));
        assert_eq!(info("$JS.ACK.hub.acc.S.C.2.7.9.1700000000123456789.4").as_ref(), Some(&expected));
        assert_eq!(info("$JS.ACK.hub.acc.S.C.2.7.9.1700000000123456789.4.tok").as_ref(), Some(&expected));
        for other in ["_INBOX.a", "$JS.ACK.S.C.2", "$JS.ACK.S.C.x.7.9.1.4"] {
            assert_eq!(info(other), None, "{other}");
        }
    }

    #[test]
    fn a_header_that_nats_cannot_carry_is_an_error_not_a_panic() {
        let headers = Headers(vec![("a".into(), "b\r\nc".into())]);
        assert!(outgoing(&headers).is_err_and(|e| e.contains("`a`")));
        assert!(outgoing(&Headers(vec![("a b:".into(), "c".into())])).is_err());
        let order = Headers(vec![("nats-rollup".into(), "all".into())]);
        assert_eq!(outgoing(&order).map(|map| map.len()), Ok(0));
        let twice = Headers(vec![("a".into(), "1".into()), ("a".into(), "2".into())]);
        assert_eq!(incoming(&outgoing(&twice).expect("map")), twice);
    }
}
