//! Our own envelope: `{ id, type, source, version, time, data }`.

use serde_json::{Map, Value};

use super::{MAX_NAME, usable};
use crate::event::{Event, RawEvent};
use crate::store::record::Failure;

pub fn event(mut members: Map<String, Value>, raw: &RawEvent) -> Result<Event, Failure> {
    let id = text(&mut members, "id", "no_id")?;
    let kind = text(&mut members, "type", "no_type")?;
    let source = text(&mut members, "source", "no_source")?;
    let version = match members.get("version") {
        Some(value) => value.as_u64().and_then(|v| u32::try_from(v).ok()),
        None => None,
    };
    let version = version
        .ok_or_else(|| Failure::permanent("no_version", "`version` must be a whole number from 0 to 4294967295"))?;
    let time = match members.remove("time") {
        Some(Value::String(time)) => Some(time),
        _ => None,
    };
    let data = members.remove("data").unwrap_or(Value::Null);
    Ok(Event { id, kind, version, source, time, data, headers: raw.headers.clone() })
}

fn text(members: &mut Map<String, Value>, name: &str, reason: &str) -> Result<String, Failure> {
    match members.remove(name) {
        Some(Value::String(text)) if usable(&text) => Ok(text),
        Some(_) => {
            Err(Failure::permanent(reason, format!("`{name}` must be a non-empty string of at most {MAX_NAME} bytes")))
        }
        None => Err(Failure::permanent(reason, format!("the event has no `{name}`"))),
    }
}
