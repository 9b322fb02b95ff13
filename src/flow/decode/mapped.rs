//! Somebody else's messages, by the mapping of their channel.

use jiff::Timestamp;
use serde_json::Value;

use super::cloudevents::version_number;
use super::{MAX_NAME, usable};
use crate::event::{Event, RawEvent};
use crate::spec::program::{MappedText, MappedVersion, Mapping, MappingPath, Piece};
use crate::store::record::Failure;

pub fn event(raw: &RawEvent, payload: Value, mapping: &Mapping) -> Result<Event, Failure> {
    let data = member(&payload, &mapping.data).ok_or_else(|| {
        let path = MappingPath::Payload(mapping.data.clone());
        Failure::permanent("no_data", format!("`data` is to come from `{path}`, which is not there"))
    })?;
    let message = Message { raw, payload: &payload, data, mapping };
    let id = match &mapping.id {
        Some(id) => message.text("id", "no_id", id)?,
        None => place(raw),
    };
    let kind = message.text("type", "no_type", &mapping.kind)?;
    let source = match &mapping.source {
        Some(source) => message.text("source", "no_source", source)?,
        None => raw.position.channel.to_string(),
    };
    let version = message.version()?;
    let time = message.time()?;
    Ok(Event { id, kind, version, source, time, data: data.clone(), headers: raw.headers.clone() })
}

/// An id for what has none: its place in the stream. The time tells it from an event that stood there before the
/// stream was made anew.
fn place(raw: &RawEvent) -> String {
    format!("{}/{}", raw.position, raw.stored_at.0)
}

struct Message<'a> {
    raw: &'a RawEvent,
    payload: &'a Value,
    data: &'a Value,
    mapping: &'a Mapping,
}

/// What a path leads to.
enum Found<'a> {
    Value(&'a Value),
    Header(&'a str),
}

impl<'a> Message<'a> {
    fn find(&self, path: &MappingPath) -> Option<Found<'a>> {
        match path {
            MappingPath::Payload(members) => member(self.payload, members).map(Found::Value),
            MappingPath::Data(members) => member(self.data, members).map(Found::Value),
            MappingPath::Header(name) => self.raw.headers.get(name).map(Found::Header),
        }
    }

    /// Never repeats what the message holds: that may be personal or secret.
    fn text(&self, field: &str, reason: &str, text: &MappedText) -> Result<String, Failure> {
        let malformed = |why: String| Failure::permanent(reason, format!("`{field}` {why}"));
        let made = match text {
            MappedText::Value(text) => text.clone(),
            MappedText::Path(path) => self.part(path).map_err(malformed)?,
            MappedText::Template(pieces) => {
                let mut made = String::new();
                for piece in pieces {
                    match piece {
                        Piece::Literal(text) => made += text,
                        Piece::Path(path) => made += &self.part(path).map_err(malformed)?,
                    }
                }
                made
            }
        };
        if usable(&made) {
            Ok(made)
        } else {
            Err(malformed(format!("is longer than {MAX_NAME} bytes, or has control characters in it")))
        }
    }

    /// A string that is not empty, or an integer as it is written.
    fn part(&self, path: &MappingPath) -> Result<String, String> {
        let text = match self.find(path) {
            None => return Err(format!("is to come from `{path}`, which is not there")),
            Some(Found::Header(text)) => Some(text.to_owned()),
            Some(Found::Value(Value::String(text))) => Some(text.clone()),
            Some(Found::Value(Value::Number(number))) => Some(number.to_string()).filter(|text| is_integer(text)),
            Some(Found::Value(_)) => None,
        };
        let text = text.filter(|text| !text.is_empty());
        text.ok_or_else(|| {
            format!("is to come from `{path}`, which is neither a text with something in it nor an integer")
        })
    }

    fn version(&self) -> Result<u32, Failure> {
        let read = match &self.mapping.version {
            MappedVersion::Value(version) => return Ok(*version),
            MappedVersion::Read(text) => self.text("version", "no_version", text)?,
        };
        let message = "`version` must become a whole number from 0 to 4294967295, like `2` or `v2`";
        version_number(&read).ok_or_else(|| Failure::permanent("no_version", message))
    }

    /// Optional, as in every envelope: `None` where there is nothing, or `null`.
    fn time(&self) -> Result<Option<String>, Failure> {
        let Some(text) = &self.mapping.time else { return Ok(None) };
        if let MappedText::Path(path) = text
            && matches!(self.find(path), None | Some(Found::Value(Value::Null)))
        {
            return Ok(None);
        }
        let written = self.text("time", "bad_time", text)?;
        let time = match written.parse::<i64>() {
            Ok(number) => unix_time(number),
            Err(_) => written.parse::<Timestamp>().ok().map(|_| written),
        };
        let message = "`time` must become an RFC 3339 time with its offset, or Unix seconds or milliseconds";
        time.map(Some).ok_or_else(|| Failure::permanent("bad_time", message))
    }
}

/// Seconds until the year 5138; what is more is milliseconds, and so after March 1973.
fn unix_time(number: i64) -> Option<String> {
    const SECONDS_BELOW: u64 = 100_000_000_000;
    let seconds = number.unsigned_abs() < SECONDS_BELOW;
    let time = if seconds { Timestamp::from_second(number) } else { Timestamp::from_millisecond(number) };
    time.ok().map(|time| time.to_string())
}

fn is_integer(text: &str) -> bool {
    let digits = text.strip_prefix('-').unwrap_or(text);
    !digits.is_empty() && digits.bytes().all(|b| b.is_ascii_digit())
}

fn member<'v>(value: &'v Value, members: &[String]) -> Option<&'v Value> {
    members.iter().try_fold(value, |value, name| match value {
        Value::Object(object) => object.get(name),
        // Digits only: `usize` also reads a sign.
        Value::Array(items) if name.bytes().all(|b| b.is_ascii_digit()) => items.get(name.parse::<usize>().ok()?),
        _ => None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::{Headers, Millis, Position};
    use crate::flow::decode::decode;
    use crate::spec::program::{Envelope, Limits};
    use proptest::prelude::*;
    use serde_json::json;
    use std::sync::Arc;

    fn path(text: &str) -> MappedText {
        MappedText::Path(MappingPath::parse(text).expect("a path"))
    }

    fn template(pieces: &[&str]) -> MappedText {
        let piece = |text: &&str| match MappingPath::parse(text) {
            Ok(path) => Piece::Path(path),
            Err(_) => Piece::Literal((*text).to_owned()),
        };
        MappedText::Template(pieces.iter().map(piece).collect())
    }

    /// As GitHub's webhooks are mapped.
    fn mapping() -> Mapping {
        Mapping {
            id: Some(path("headers.X-GitHub-Delivery")),
            kind: template(&["PullRequest!", "data.action"]),
            version: MappedVersion::Value(1),
            source: Some(path(".repository.full_name")),
            time: Some(path(".at")),
            data: Vec::new(),
        }
    }

    fn decoded(mapping: Mapping, payload: &Value) -> Result<Event, Failure> {
        let raw = RawEvent {
            position: Position { channel: "hooks".into(), seq: 7 },
            stored_at: Millis(1_700_000_000_000),
            headers: Headers(vec![("x-github-delivery".to_owned(), "d-1".to_owned())]),
            payload: payload.to_string().into(),
        };
        decode(&raw, &Envelope::Map(Arc::new(mapping)), &Limits::default())
    }

    fn payload() -> Value {
        json!({ "action": "opened", "repository": { "full_name": "a/b" }, "at": "2025-03-01T10:00:00Z", "n": [3, "x"] })
    }

    #[test]
    fn every_field_comes_from_where_the_mapping_says() {
        let event = decoded(mapping(), &payload()).expect("an event");
        assert_eq!((event.id.as_str(), event.kind.as_str(), event.version), ("d-1", "PullRequest!opened", 1));
        assert_eq!((event.source.as_str(), event.time.as_deref()), ("a/b", Some("2025-03-01T10:00:00Z")));
        assert_eq!(event.data, payload());
    }

    #[test]
    fn what_is_not_mapped_is_told_by_the_channel_and_the_place_in_its_stream() {
        let mapping = Mapping { id: None, source: None, time: None, ..mapping() };
        let event = decoded(mapping, &payload()).expect("an event");
        assert_eq!((event.id.as_str(), event.source.as_str()), ("hooks@7/1700000000000", "hooks"));
        assert_eq!(event.time, None);
    }

    #[test]
    fn members_of_objects_and_lists_and_of_the_data_are_found() {
        let nested = json!({ "a.b": { "list": [10, { "x": -5 }] }, "headers": { "h": "v" }, "v": "v3" });
        let mapping = Mapping {
            id: Some(path("data.list.1.x")),
            kind: path(".headers.h"),
            version: MappedVersion::Read(path(".v")),
            source: Some(template(&["s-", ".\"a.b\".list.0"])),
            time: None,
            data: vec!["a.b".to_owned()],
        };
        let event = decoded(mapping, &nested).expect("an event");
        assert_eq!((event.id.as_str(), event.kind.as_str(), event.version), ("-5", "v", 3));
        assert_eq!((event.source.as_str(), event.data), ("s-10", json!({ "list": [10, { "x": -5 }] })));
    }

    #[test]
    fn what_is_absent_or_of_another_kind_is_malformed_with_its_reason() {
        let with = |edit: fn(&mut Value)| {
            let mut payload = payload();
            edit(&mut payload);
            decoded(mapping(), &payload).map_err(|failure| (failure.reason, failure.message))
        };
        let reason = |edit| with(edit).expect_err("refused").0;
        assert_eq!(reason(|p| drop(p.as_object_mut().expect("an object").remove("action"))), "no_type");
        for edit in [
            (|p: &mut Value| p["action"] = json!(null)) as fn(&mut Value),
            |p| p["action"] = json!(""),
            |p| p["action"] = json!(true),
            |p| p["action"] = json!(1.5),
            |p| p["action"] = json!(["opened"]),
            |p| p["action"] = json!("x".repeat(1024)),
            |p| p["action"] = json!("a\nb"),
            |p| *p = json!("opened"),
        ] {
            assert_eq!(reason(edit), "no_type");
        }
        assert_eq!(reason(|p| p["repository"] = json!([])), "no_source");
        assert_eq!(reason(|p| p["at"] = json!("yesterday")), "bad_time");
        assert_eq!(reason(|p| p["at"] = json!(i64::MAX)), "bad_time");
        assert_eq!(reason(|p| p["at"] = json!({})), "bad_time");
        let (_, told) = with(|p| p["action"] = json!({ "secret": "hunter2" })).expect_err("refused");
        assert_eq!(
            told,
            "`type` is to come from `data.action`, which is neither a text with something in it nor an integer"
        );
    }

    #[test]
    fn an_id_that_is_mapped_and_absent_is_malformed() {
        let mapped = |text: &str| decoded(Mapping { id: Some(path(text)), ..mapping() }, &payload());
        assert_eq!(mapped("headers.X-Other").expect_err("refused").reason, "no_id");
        assert_eq!(mapped(".n.2").expect_err("refused").reason, "no_id");
        assert_eq!(mapped(".n.+1").expect_err("refused").reason, "no_id");
        assert_eq!(mapped(".n.1").map(|event| event.id).as_deref(), Ok("x"));
    }

    #[test]
    fn data_and_version_that_are_not_there_are_malformed() {
        let no_data = Mapping { data: vec!["order".to_owned()], ..mapping() };
        assert_eq!(decoded(no_data, &payload()).expect_err("refused").reason, "no_data");
        for at in [".action", ".none", ".n"] {
            let version = MappedVersion::Read(path(at));
            assert_eq!(
                decoded(Mapping { version, ..mapping() }, &payload()).expect_err("refused").reason,
                "no_version"
            );
        }
    }

    #[test]
    fn time_is_rfc_3339_or_unix_time() {
        let time = |value: Value| {
            let mut payload = payload();
            payload["at"] = value;
            decoded(mapping(), &payload).expect("an event").time
        };
        assert_eq!(time(json!("2025-03-01T10:00:00.5+01:00")).as_deref(), Some("2025-03-01T10:00:00.5+01:00"));
        assert_eq!(time(json!(1_740_823_200)).as_deref(), Some("2025-03-01T10:00:00Z"));
        assert_eq!(time(json!(1_740_823_200_123_i64)).as_deref(), Some("2025-03-01T10:00:00.123Z"));
        assert_eq!(time(json!("1740823200")).as_deref(), Some("2025-03-01T10:00:00Z"));
        assert_eq!(time(json!(null)), None);
    }

    fn anything() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            Just(json!(null)),
            any::<bool>().prop_map(Value::from),
            any::<i64>().prop_map(Value::from),
            any::<f64>().prop_map(Value::from),
            ".{0,8}".prop_map(Value::from),
        ];
        leaf.prop_recursive(3, 16, 4, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
                prop::collection::btree_map("action|at|n|repository|full_name", inner, 0..4)
                    .prop_map(|members| Value::Object(members.into_iter().collect())),
            ]
        })
    }

    proptest! {
        /// Whatever a message holds, it becomes a usable event or says why not, and always the same.
        #[test]
        fn any_message_becomes_an_event_or_says_why_not(payload in anything()) {
            let first = decoded(mapping(), &payload);
            if let Ok(event) = &first {
                prop_assert!(usable(&event.id) && usable(&event.kind) && usable(&event.source));
            }
            prop_assert_eq!(first, decoded(mapping(), &payload));
        }
    }
}
