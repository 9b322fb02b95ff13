//! Bytes → event. Accepts our envelope and CloudEvents 1.0, structured and binary, told apart per message
//! unless the channel pins one.

use serde_json::{Map, Value};

use crate::event::{Event, RawEvent};
use crate::spec::program::{Envelope, Limits};
use crate::store::record::Failure;

/// Reads the envelope. A failure here is permanent: the same bytes fail for ever.
pub fn decode(raw: &RawEvent, envelope: Envelope, limits: &Limits) -> Result<Event, Failure> {
    if raw.payload.len() > limits.payload_bytes {
        let message = format!("the payload has {} bytes, the limit is {}", raw.payload.len(), limits.payload_bytes);
        return Err(Failure::permanent("too_large", message));
    }
    match envelope {
        Envelope::CloudEventsBinary => binary(raw, limits),
        Envelope::Auto if raw.headers.get("ce-specversion").is_some() => binary(raw, limits),
        Envelope::Auto | Envelope::Sluice | Envelope::CloudEventsStructured => {
            let Value::Object(members) = parse(&raw.payload, limits)? else {
                return Err(Failure::permanent("not_an_event", "the payload is JSON, but not an object"));
            };
            let structured = match envelope {
                Envelope::Auto => members.contains_key("specversion"),
                Envelope::CloudEventsStructured => true,
                Envelope::Sluice | Envelope::CloudEventsBinary => false,
            };
            if structured { cloudevents(Attributes::Members(members), raw, None) } else { ours(members, raw) }
        }
    }
}

fn parse(bytes: &[u8], limits: &Limits) -> Result<Value, Failure> {
    // Depth is checked on the bytes: a parser that recurses must not see what is too deep for it.
    if depth_exceeds(bytes, limits.depth) {
        return Err(Failure::permanent("too_deep", format!("the payload nests deeper than {}", limits.depth)));
    }
    if let Err(error) = std::str::from_utf8(bytes) {
        return Err(Failure::permanent(
            "not_utf8",
            format!("the payload is not UTF-8 at byte {}", error.valid_up_to()),
        ));
    }
    if names_reserved_member(bytes) {
        let message = "the payload has a member whose name begins with `$serde_json::private::`, which is reserved";
        return Err(Failure::permanent("reserved_name", message));
    }
    // serde_json's message names line and column, never the content.
    serde_json::from_slice(bytes)
        .map_err(|error| Failure::permanent("not_json", format!("the payload is not JSON: {error}")))
}

/// Whether brackets nest deeper than `limit`, strings skipped. Malformed input may answer either way; it is
/// refused by the parser then.
fn depth_exceeds(bytes: &[u8], limit: usize) -> bool {
    let (mut depth, mut in_string, mut escaped) = (0_usize, false, false);
    for byte in bytes {
        match byte {
            _ if escaped => escaped = false,
            b'\\' if in_string => escaped = true,
            b'"' => in_string = !in_string,
            _ if in_string => {}
            b'{' | b'[' => {
                depth += 1;
                if depth > limit {
                    return true;
                }
            }
            b'}' | b']' => depth = depth.saturating_sub(1),
            _ => {}
        }
    }
    false
}

/// Whether a member is named as `serde_json` spells numbers and raw JSON to itself: such an object would be read as
/// a number, as the JSON in a string (whose depth nobody checked), or as what is never read again once written.
fn names_reserved_member(bytes: &[u8]) -> bool {
    const RESERVED: &str = "$serde_json::private::";
    let contains = |part: &str| bytes.windows(part.len()).any(|window| window == part.as_bytes());
    // Nearly every payload ends here; a name may be spelled with escapes.
    if !contains(RESERVED) && !contains("\\u") {
        return false;
    }
    let mut rest = bytes;
    while let Some(start) = rest.iter().position(|byte| *byte == b'"') {
        let text = &rest[start..];
        let mut escaped = false;
        let end = text.iter().skip(1).position(|byte| {
            let closes = *byte == b'"' && !escaped;
            escaped = *byte == b'\\' && !escaped;
            closes
        });
        // An open string is no JSON: for the parser to refuse.
        let Some(end) = end.map(|end| end + 2) else { return false };
        rest = &text[end..];
        let is_name = rest.iter().find(|byte| !byte.is_ascii_whitespace()) == Some(&b':');
        if is_name && serde_json::from_slice::<String>(&text[..end]).is_ok_and(|name| name.starts_with(RESERVED)) {
            return true;
        }
    }
    false
}

fn ours(mut members: Map<String, Value>, raw: &RawEvent) -> Result<Event, Failure> {
    let id = text(&members, "id", "no_id")?;
    let kind = text(&members, "type", "no_type")?;
    let source = text(&members, "source", "no_source")?;
    let version = match members.get("version") {
        Some(value) => value.as_u64().and_then(|v| u32::try_from(v).ok()),
        None => None,
    };
    let version = version
        .ok_or_else(|| Failure::permanent("no_version", "`version` must be a whole number from 0 to 4294967295"))?;
    let time = members.get("time").and_then(Value::as_str).map(str::to_owned);
    let data = members.remove("data").unwrap_or(Value::Null);
    Ok(Event { id, kind, version, source, time, data, headers: raw.headers.clone() })
}

fn text(members: &Map<String, Value>, name: &str, reason: &str) -> Result<String, Failure> {
    match members.get(name) {
        Some(Value::String(text)) if usable(text) => Ok(text.clone()),
        Some(_) => {
            Err(Failure::permanent(reason, format!("`{name}` must be a non-empty string of at most {MAX_NAME} bytes")))
        }
        None => Err(Failure::permanent(reason, format!("the event has no `{name}`"))),
    }
}

/// Longest id, type and source in bytes: they go into headers and dedupe ids.
const MAX_NAME: usize = 1024;

fn usable(text: &str) -> bool {
    !text.is_empty() && text.len() <= MAX_NAME && !text.contains(char::is_control)
}

/// Where CloudEvents attributes stand: members of the object (structured) or `ce-` headers (binary).
enum Attributes<'a> {
    Members(Map<String, Value>),
    Headers(&'a RawEvent),
}

impl Attributes<'_> {
    fn get(&self, name: &str) -> Option<String> {
        match self {
            Self::Members(members) => match members.get(name)? {
                Value::String(text) => Some(text.clone()),
                Value::Number(number) => Some(number.to_string()),
                _ => None,
            },
            Self::Headers(raw) => raw.headers.get(&format!("ce-{name}")).map(percent_decoded),
        }
    }

    fn required(&self, name: &str, reason: &str) -> Result<String, Failure> {
        match self.get(name) {
            Some(text) if usable(&text) => Ok(text),
            Some(_) => Err(Failure::permanent(
                reason,
                format!("the CloudEvents attribute `{name}` is empty, too long or not text"),
            )),
            None => Err(Failure::permanent(reason, format!("the CloudEvent has no `{name}`"))),
        }
    }
}

fn binary(raw: &RawEvent, limits: &Limits) -> Result<Event, Failure> {
    let content_type = raw.headers.get("content-type").or_else(|| raw.headers.get("ce-datacontenttype"));
    if content_type.is_some_and(|t| !is_json(t)) {
        return Err(Failure::permanent("not_json", "the CloudEvent's content type is not JSON"));
    }
    let data = if raw.payload.is_empty() { Value::Null } else { parse(&raw.payload, limits)? };
    cloudevents(Attributes::Headers(raw), raw, Some(data))
}

fn is_json(content_type: &str) -> bool {
    let essence = content_type.split(';').next().unwrap_or("").trim().to_ascii_lowercase();
    essence.ends_with("/json") || essence.ends_with("+json")
}

fn cloudevents(mut attributes: Attributes<'_>, raw: &RawEvent, data: Option<Value>) -> Result<Event, Failure> {
    match attributes.get("specversion").as_deref() {
        Some("1.0") => {}
        Some(_) => return Err(Failure::permanent("specversion", "the CloudEvents `specversion` must be 1.0")),
        None => return Err(Failure::permanent("specversion", "the CloudEvent has no `specversion`")),
    }
    let id = attributes.required("id", "no_id")?;
    let kind = attributes.required("type", "no_type")?;
    let source = attributes.required("source", "no_source")?;
    let (kind, version) = cloudevents_version(kind, attributes.get("dataversion"), attributes.get("dataschema"))?;
    let time = attributes.get("time");
    let data = match (data, &mut attributes) {
        (Some(data), _) => data,
        (None, Attributes::Members(members)) if members.contains_key("data_base64") => {
            return Err(Failure::permanent("not_json", "the CloudEvent's data is binary (`data_base64`), not JSON"));
        }
        (None, Attributes::Members(members)) => members.remove("data").unwrap_or(Value::Null),
        (None, Attributes::Headers(_)) => Value::Null,
    };
    Ok(Event { id, kind, version, source, time, data, headers: raw.headers.clone() })
}

/// The version: from `dataversion`, else the last path part of `dataschema`, else a `.vN` suffix of the type,
/// which is taken off.
fn cloudevents_version(
    kind: String,
    dataversion: Option<String>,
    dataschema: Option<String>,
) -> Result<(String, u32), Failure> {
    if let Some(text) = dataversion {
        return match version_number(&text) {
            Some(version) => Ok((kind, version)),
            None => {
                Err(Failure::permanent("no_version", "the CloudEvents attribute `dataversion` is not a whole number"))
            }
        };
    }
    let from_schema = dataschema.as_deref().and_then(|uri| {
        let path = uri.split(['?', '#']).next().unwrap_or(uri).trim_end_matches('/');
        let last = path.rsplit('/').next()?;
        version_number(last.strip_suffix(".json").unwrap_or(last))
    });
    if let Some(version) = from_schema {
        return Ok((kind, version));
    }
    if let Some((stem, suffix)) = kind.rsplit_once(".v")
        && let Some(version) = version_number(suffix)
        && !stem.is_empty()
    {
        return Ok((stem.to_owned(), version));
    }
    let message = "the CloudEvent has no version: neither `dataversion`, nor a `dataschema` that ends in one, nor a type ending in `.vN`";
    Err(Failure::permanent("no_version", message))
}

fn version_number(text: &str) -> Option<u32> {
    let digits = text.strip_prefix(['v', 'V']).unwrap_or(text);
    (!digits.is_empty() && digits.bytes().all(|b| b.is_ascii_digit())).then(|| digits.parse().ok()).flatten()
}

/// CloudEvents' HTTP binding percent-encodes header values; other text is left as it is.
fn percent_decoded(text: &str) -> String {
    if !text.contains('%') {
        return text.to_owned();
    }
    let bytes = text.as_bytes();
    let mut out = Vec::with_capacity(bytes.len());
    let mut i = 0;
    while i < bytes.len() {
        let decoded = (bytes[i] == b'%')
            .then(|| bytes.get(i + 1..i + 3))
            .flatten()
            .filter(|pair| pair.iter().all(u8::is_ascii_hexdigit))
            .and_then(|pair| std::str::from_utf8(pair).ok())
            .and_then(|pair| u8::from_str_radix(pair, 16).ok());
        match decoded {
            Some(byte) => {
                out.push(byte);
                i += 3;
            }
            None => {
                out.push(bytes[i]);
                i += 1;
            }
        }
    }
    String::from_utf8(out).unwrap_or_else(|_| text.to_owned())
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
        decode(&raw(headers, payload), Envelope::Auto, &Limits::default()).map_err(|failure| failure.reason)
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
    fn a_cloudevents_version_comes_from_its_attribute_its_schema_or_its_type() {
        let version = |kind: &str, version: Option<&str>, schema: Option<&str>| {
            cloudevents_version(kind.to_owned(), version.map(str::to_owned), schema.map(str::to_owned)).ok()
        };
        let of = |kind: &str, n| Some((kind.to_owned(), n));
        assert_eq!(version("T.v3", Some("2"), Some("https://x/9")), of("T.v3", 2));
        assert_eq!(version("T", None, Some("https://x/T/v4.json?q=1#f")), of("T", 4));
        assert_eq!(version("T.v3", None, Some("https://x/T")), of("T", 3));
        assert_eq!(version("T", Some("two"), Some("https://x/9")), None);
        assert_eq!(version("T", None, None), None);
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

    #[test]
    fn a_member_that_would_be_read_as_something_else_is_refused() {
        let limits = Limits::default();
        for name in
            ["$serde_json::private::Number", "\\u0024serde_json::private::RawValue", "$serde_json::private::x\\\""]
        {
            for payload in
                [format!(r#"{{"data":{{"{name}":"1"}}}}"#), format!(r#"{{"data":{{"a":"\\","{name}" : "1"}}}}"#)]
            {
                assert_eq!(parse(payload.as_bytes(), &limits).expect_err(&payload).reason, "reserved_name");
            }
            let value = format!(r#"{{"data":["{name}", "\u0041:", {{"a\"":"{name}"}}]}}"#);
            assert!(parse(value.as_bytes(), &limits).is_ok(), "{value}");
        }
    }
}
