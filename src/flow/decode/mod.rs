//! Bytes → event. Accepts our envelope and CloudEvents 1.0, structured and binary, told apart per message unless the
//! channel pins one; or whatever the channel maps.

mod cloudevents;
mod json;
mod mapped;
mod ours;

use serde_json::Value;

use crate::event::{Event, RawEvent};
use crate::spec::program::{Envelope, Limits};
use crate::store::record::Failure;
use json::parse;

/// Reads the envelope. A failure here is permanent: the same bytes fail for ever.
pub fn decode(raw: &RawEvent, envelope: &Envelope, limits: &Limits) -> Result<Event, Failure> {
    if raw.payload.len() > limits.payload_bytes {
        let message = format!("the payload has {} bytes, the limit is {}", raw.payload.len(), limits.payload_bytes);
        return Err(Failure::permanent("too_large", message));
    }
    match envelope {
        Envelope::Map(mapping) => mapped::event(raw, parse(&raw.payload, limits)?, mapping),
        Envelope::CloudEventsBinary => cloudevents::binary(raw, limits),
        Envelope::Auto if raw.headers.get("ce-specversion").is_some() => cloudevents::binary(raw, limits),
        Envelope::Auto | Envelope::Sluice | Envelope::CloudEventsStructured => {
            let Value::Object(members) = parse(&raw.payload, limits)? else {
                return Err(Failure::permanent("not_an_event", "the payload is JSON, but not an object"));
            };
            let structured = match envelope {
                Envelope::Auto => members.contains_key("specversion"),
                other => *other == Envelope::CloudEventsStructured,
            };
            if structured { cloudevents::structured(members, raw) } else { ours::event(members, raw) }
        }
    }
}

/// Longest id, type and source in bytes: they go into headers and dedupe ids.
const MAX_NAME: usize = 1024;

fn usable(text: &str) -> bool {
    !text.is_empty() && text.len() <= MAX_NAME && !text.contains(char::is_control)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::{Headers, Millis, Position};
    use serde_json::json;

    fn raw(headers: &[(&str, &str)], payload: impl Into<bytes::Bytes>) -> RawEvent {
        RawEvent {
            position: Position { channel: "c".into(), seq: 1 },
            stored_at: Millis(0),
            headers: Headers(headers.iter().map(|(n, v)| ((*n).to_owned(), (*v).to_owned())).collect()),
            payload: payload.into(),
        }
    }

    fn auto(headers: &[(&str, &str)], payload: impl Into<bytes::Bytes>) -> Result<Event, String> {
        decode(&raw(headers, payload), &Envelope::Auto, &Limits::default()).map_err(|failure| failure.reason)
    }

    const BINARY: [(&str, &str); 5] = [
        ("ce-specversion", "1.0"),
        ("CE-ID", "e%201"),
        ("ce-type", "OrderCreated"),
        ("ce-source", "shop"),
        ("ce-dataversion", "2"),
    ];

    #[test]
    fn our_envelope_is_read() {
        let event =
            auto(&[("h", "1")], r#"{"id":"e1","type":"T","version":2,"source":"s","time":"now","data":{"a":1}}"#);
        let event = event.expect("an event");
        assert_eq!((event.id.as_str(), event.kind.as_str(), event.version, event.source.as_str()), ("e1", "T", 2, "s"));
        assert_eq!(
            (event.time.as_deref(), event.data, event.headers.get("H")),
            (Some("now"), json!({"a": 1}), Some("1"))
        );
    }

    #[test]
    fn cloudevents_are_read_structured_and_binary() {
        let structured = r#"{"specversion":"1.0","id":"e 1","type":"OrderCreated","source":"shop","dataversion":"2","data":{"a":1}}"#;
        let (structured, binary) =
            (auto(&[], structured).expect("one"), auto(&BINARY, r#"{"a":1}"#).expect("the other"));
        for event in [structured, binary] {
            assert_eq!((event.id.as_str(), event.kind.as_str(), event.version), ("e 1", "OrderCreated", 2));
            assert_eq!(event.data, json!({"a": 1}));
        }
    }

    #[test]
    fn what_cannot_be_read_says_why() {
        let deep = format!("{}{}", "[".repeat(65), "]".repeat(65));
        for (payload, reason) in [
            (&b"{"[..], "not_json"),
            (b"\xff{}", "not_utf8"),
            (b"[1]", "not_an_event"),
            (br#"{"type":"T","version":1,"source":"s"}"#, "no_id"),
            (br#"{"id":"","type":"T","version":1,"source":"s"}"#, "no_id"),
            (br#"{"id":7,"type":"T","version":1,"source":"s"}"#, "no_id"),
            (br#"{"id":"e","version":1,"source":"s"}"#, "no_type"),
            (br#"{"id":"e","type":"T","version":1}"#, "no_source"),
            (br#"{"id":"e","type":"T","source":"s"}"#, "no_version"),
            (br#"{"id":"e","type":"T","version":-1,"source":"s"}"#, "no_version"),
            (br#"{"specversion":"0.3","id":"e","type":"T","source":"s"}"#, "specversion"),
            (deep.as_bytes(), "too_deep"),
        ] {
            assert_eq!(
                auto(&[], payload.to_vec()).expect_err("refused"),
                reason,
                "{}",
                String::from_utf8_lossy(payload)
            );
        }
        assert_eq!(auto(&[], vec![b' '; (1 << 20) + 1]).expect_err("refused"), "too_large");
    }

    #[test]
    fn brackets_in_strings_are_no_depth() {
        let text = format!(r#"{{"id":"e","type":"T","version":1,"source":"s","data":"{}\"["}}"#, "[".repeat(200));
        assert!(auto(&[], text).is_ok());
    }

    #[test]
    fn numbers_beyond_what_a_machine_word_holds_pass_unchanged() {
        let data = r#"{"big":123456789012345678901234567890,"exact":0.1234567890123456789}"#;
        let event =
            auto(&[], format!(r#"{{"id":"e","type":"T","version":1,"source":"s","data":{data}}}"#)).expect("an event");
        assert_eq!(event.data.to_string(), data);
    }
}
