//! CloudEvents 1.0, structured and binary.

use serde_json::{Map, Value};

use super::json::parse;
use super::usable;
use crate::event::{Event, RawEvent};
use crate::spec::program::Limits;
use crate::store::record::Failure;

pub fn binary(raw: &RawEvent, limits: &Limits) -> Result<Event, Failure> {
    let content_type = raw.headers.get("content-type").or_else(|| raw.headers.get("ce-datacontenttype"));
    if content_type.is_some_and(|t| !is_json(t)) {
        return Err(Failure::permanent("not_json", "the CloudEvent's content type is not JSON"));
    }
    let data = if raw.payload.is_empty() { Value::Null } else { parse(&raw.payload, limits)? };
    event(Attributes::Headers(raw), raw, Some(data))
}

pub fn structured(members: Map<String, Value>, raw: &RawEvent) -> Result<Event, Failure> {
    event(Attributes::Members(members), raw, None)
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

fn is_json(content_type: &str) -> bool {
    let essence = content_type.split(';').next().unwrap_or("").trim().to_ascii_lowercase();
    essence.ends_with("/json") || essence.ends_with("+json")
}

fn event(mut attributes: Attributes<'_>, raw: &RawEvent, data: Option<Value>) -> Result<Event, Failure> {
    match attributes.get("specversion").as_deref() {
        Some("1.0") => {}
        Some(_) => return Err(Failure::permanent("specversion", "the CloudEvents `specversion` must be 1.0")),
        None => return Err(Failure::permanent("specversion", "the CloudEvent has no `specversion`")),
    }
    let id = attributes.required("id", "no_id")?;
    let kind = attributes.required("type", "no_type")?;
    let source = attributes.required("source", "no_source")?;
    let (kind, version) = version_of(kind, attributes.get("dataversion"), attributes.get("dataschema"))?;
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
fn version_of(kind: String, dataversion: Option<String>, dataschema: Option<String>) -> Result<(String, u32), Failure> {
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

pub fn version_number(text: &str) -> Option<u32> {
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

    #[test]
    fn a_cloudevents_version_comes_from_its_attribute_its_schema_or_its_type() {
        let version = |kind: &str, version: Option<&str>, schema: Option<&str>| {
            version_of(kind.to_owned(), version.map(str::to_owned), schema.map(str::to_owned)).ok()
        };
        let of = |kind: &str, n| Some((kind.to_owned(), n));
        assert_eq!(version("T.v3", Some("2"), Some("https://x/9")), of("T.v3", 2));
        assert_eq!(version("T", None, Some("https://x/T/v4.json?q=1#f")), of("T", 4));
        assert_eq!(version("T.v3", None, Some("https://x/T")), of("T", 3));
        assert_eq!(version("T", Some("two"), Some("https://x/9")), None);
        assert_eq!(version("T", None, None), None);
    }
}
