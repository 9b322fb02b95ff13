//! What flows: raw events as delivered, decoded events, and the values that identify them.
//!
//! A leaf module: it knows nothing of brokers, stores or configuration. Every digest here is part of the
//! store's format; the vectors in the tests below pin them.

use std::borrow::Cow;
use std::fmt;
use std::sync::Arc;

use bytes::Bytes;
use serde_json::Value;
use sha2::{Digest as _, Sha256};

/// A named place events come from or go to (AsyncAPI's word). Cheap to clone.
pub type ChannelName = Arc<str>;

/// Milliseconds since the Unix epoch.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, serde::Serialize, serde::Deserialize)]
#[serde(transparent)]
pub struct Millis(pub i64);

impl Millis {
    pub fn plus(self, duration: std::time::Duration) -> Self {
        Self(self.0.saturating_add(i64::try_from(duration.as_millis()).unwrap_or(i64::MAX)))
    }

    /// Time from `earlier` to `self`; zero when `earlier` is later.
    pub fn since(self, earlier: Self) -> std::time::Duration {
        std::time::Duration::from_millis(u64::try_from(self.0.saturating_sub(earlier.0)).unwrap_or(0))
    }

    /// RFC 3339 in UTC, as logs and dead letters show it.
    pub fn rfc3339(self) -> String {
        jiff::Timestamp::from_millisecond(self.0).map_or_else(|_| format!("{} ms", self.0), |t| t.to_string())
    }
}

/// Headers of a message: order kept, names compared without case.
#[derive(Clone, Debug, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(transparent)]
pub struct Headers(pub Vec<(String, String)>);

impl Headers {
    pub fn get(&self, name: &str) -> Option<&str> {
        self.0.iter().find(|(n, _)| n.eq_ignore_ascii_case(name)).map(|(_, v)| v.as_str())
    }

    pub fn push(&mut self, name: impl Into<String>, value: impl Into<String>) {
        self.0.push((name.into(), value.into()));
    }
}

/// Where an event stands in the source stream of a channel. Arrival order is stream sequence.
#[derive(Clone, Debug, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
pub struct Position {
    pub channel: ChannelName,
    /// Stream sequence, from 1.
    pub seq: u64,
}

impl fmt::Display for Position {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}@{}", self.channel, self.seq)
    }
}

/// An event exactly as the broker handed it over; what is parked and dead-lettered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RawEvent {
    pub position: Position,
    /// When the broker stored it.
    pub stored_at: Millis,
    pub headers: Headers,
    pub payload: Bytes,
}

impl RawEvent {
    /// Bytes this event occupies while it waits; what byte-bounded buffers count.
    pub fn weight(&self) -> usize {
        let headers: usize = self.headers.0.iter().map(|(n, v)| n.len() + v.len()).sum();
        self.payload.len() + headers + 64
    }
}

/// An event on its way out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Outgoing {
    /// For the broker's dedupe (`Nats-Msg-Id`): stable over re-publishing, distinct per destination. Empty: none.
    pub dedupe_id: String,
    /// Subject resolved from the channel's template, or empty for the channel's only subject.
    pub subject: String,
    pub headers: Headers,
    pub payload: Bytes,
}

/// A decoded event: a fact that happened. `version` and `data` are as received until an upcaster ran.
#[derive(Clone, Debug, PartialEq)]
pub struct Event {
    pub id: String,
    pub kind: String,
    pub version: u32,
    pub source: String,
    /// Event time as written by its producer (RFC 3339), if any.
    pub time: Option<String>,
    pub data: Value,
    pub headers: Headers,
}

/// What an event is about: the unit of order and of state. Canonical text: strings as they are, integers in
/// decimal.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Key(Arc<str>);

impl Key {
    /// Longest key in bytes; a longer one is `no_key`.
    pub const MAX_BYTES: usize = 1024;

    pub fn new(text: &str) -> Option<Self> {
        (!text.is_empty() && text.len() <= Self::MAX_BYTES).then(|| Self(text.into()))
    }

    /// The canonical key of a JSON value; `None` for anything but a non-empty string or an integer.
    pub fn from_json(value: &Value) -> Option<Self> {
        match value {
            Value::String(text) => Self::new(text),
            Value::Number(number) => {
                let text = number.as_str();
                let digits = text.strip_prefix('-').unwrap_or(text);
                if !digits.is_empty() && digits.bytes().all(|b| b.is_ascii_digit()) {
                    Self::new(if digits == "0" { "0" } else { text })
                } else {
                    None
                }
            }
            _ => None,
        }
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The partition of this key: the first eight bytes of SHA-256 over `key\0` and the canonical bytes, big
    /// endian, modulo `partitions`.
    pub fn partition(&self, partitions: u16) -> Partition {
        Partition::of(&digest(&[b"key", self.0.as_bytes()]), partitions)
    }
}

impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A fixed slice of a pipeline's keys: unit of batching, of the outbox and of atomic commit.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Partition(pub u16);

impl Partition {
    fn of(digest: &[u8; 32], partitions: u16) -> Self {
        let mut head = [0; 8];
        head.copy_from_slice(&digest[..8]);
        Self(u16::try_from(u64::from_be_bytes(head) % u64::from(partitions.max(1))).unwrap_or(0))
    }
}

/// The digest under which an event is remembered: of (source, id, key), or of its position in the stream when
/// it has no usable id, key or JSON.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct MarkId(pub [u8; 16]);

impl MarkId {
    pub fn of_event(source: &str, id: &str, key: &Key) -> Self {
        Self::truncate(&digest(&[b"event", source.as_bytes(), id.as_bytes(), key.as_str().as_bytes()]))
    }

    pub fn of_position(position: &Position) -> Self {
        Self::truncate(&Self::position_digest(position))
    }

    /// Of an emission that its destination refused; `dedupe_id` is its own and stays when it is made again.
    pub fn of_emission(dedupe_id: &str) -> Self {
        Self::truncate(&digest(&[b"emission", dedupe_id.as_bytes()]))
    }

    /// The partition of an event that has no key.
    pub fn partition_of_position(position: &Position, partitions: u16) -> Partition {
        Partition::of(&Self::position_digest(position), partitions)
    }

    fn position_digest(position: &Position) -> [u8; 32] {
        digest(&[b"position", position.channel.as_bytes(), &position.seq.to_be_bytes()])
    }

    fn truncate(full: &[u8; 32]) -> Self {
        let mut head = [0; 16];
        head.copy_from_slice(&full[..16]);
        Self(head)
    }

    pub fn hex(&self) -> String {
        hex(&self.0)
    }

    pub fn from_hex(text: &str) -> Option<Self> {
        if text.len() != 32 || !text.bytes().all(|b| b.is_ascii_hexdigit()) {
            return None;
        }
        let mut out = [0; 16];
        for (i, byte) in out.iter_mut().enumerate() {
            *byte = u8::from_str_radix(&text[i * 2..i * 2 + 2], 16).ok()?;
        }
        Some(Self(out))
    }
}

/// As hexadecimal digits.
impl serde::Serialize for MarkId {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.hex())
    }
}

impl<'de> serde::Deserialize<'de> for MarkId {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = <String as serde::Deserialize>::deserialize(deserializer)?;
        Self::from_hex(&text).ok_or_else(|| serde::de::Error::custom("an id has 32 hexadecimal digits"))
    }
}

impl fmt::Debug for MarkId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.hex())
    }
}

/// Eight bytes over (type, version, data): tells a duplicate from another event under the same identity.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct ContentDigest(pub [u8; 8]);

impl ContentDigest {
    /// Members of objects are taken in sorted order and numbers in a canonical form, so that the same fact
    /// written by another serializer has the same digest.
    pub fn of(kind: &str, version: u32, data: &Value) -> Self {
        let mut hasher = Sha256::new();
        hasher.update(b"content\0");
        hasher.update((kind.len() as u64).to_be_bytes());
        hasher.update(kind.as_bytes());
        hasher.update(version.to_be_bytes());
        hash_json(&mut hasher, data);
        Self::truncate(&hasher.finalize().into())
    }

    /// For an event that could not be decoded: over its bytes.
    pub fn of_bytes(payload: &[u8]) -> Self {
        Self::truncate(&digest(&[b"bytes", payload]))
    }

    fn truncate(full: &[u8; 32]) -> Self {
        let mut head = [0; 8];
        head.copy_from_slice(&full[..8]);
        Self(head)
    }
}

/// SHA-256 over length-prefixed parts, so that no two lists of parts collide by concatenation.
fn digest(parts: &[&[u8]]) -> [u8; 32] {
    let mut hasher = Sha256::new();
    for part in parts {
        hasher.update((part.len() as u64).to_be_bytes());
        hasher.update(part);
    }
    hasher.finalize().into()
}

/// An id made from what caused it, so that a re-run makes the same one. The parts name one event wholly: its mark, or
/// its (source, id, key) — source and id alone do not, for ids may be unique per key only.
pub fn derived_id(parts: &[&str], index: u64) -> uuid::Uuid {
    let index = index.to_be_bytes();
    let parts: Vec<&[u8]> = parts.iter().map(|part| part.as_bytes()).chain([&index[..]]).collect();
    let full = digest(&parts);
    let mut head = [0; 16];
    head.copy_from_slice(&full[..16]);
    uuid::Builder::from_custom_bytes(head).into_uuid()
}

pub fn hex(bytes: &[u8]) -> String {
    let digit = |nibble: u8| char::from(b"0123456789abcdef"[usize::from(nibble)]);
    bytes.iter().flat_map(|byte| [digit(byte >> 4), digit(byte & 15)]).collect()
}

/// Recursion is bounded: depth is limited where events are decoded.
fn hash_json(hasher: &mut Sha256, value: &Value) {
    match value {
        Value::Null => hasher.update(b"n"),
        Value::Bool(true) => hasher.update(b"t"),
        Value::Bool(false) => hasher.update(b"f"),
        Value::Number(number) => {
            let text = canonical_number(number.as_str());
            hasher.update(b"#");
            hasher.update((text.len() as u64).to_be_bytes());
            hasher.update(text.as_bytes());
        }
        Value::String(text) => {
            hasher.update(b"s");
            hasher.update((text.len() as u64).to_be_bytes());
            hasher.update(text.as_bytes());
        }
        Value::Array(items) => {
            hasher.update(b"[");
            hasher.update((items.len() as u64).to_be_bytes());
            items.iter().for_each(|item| hash_json(hasher, item));
        }
        // serde_json's map is a BTreeMap here (no `preserve_order`), so this order is sorted.
        Value::Object(members) => {
            hasher.update(b"{");
            hasher.update((members.len() as u64).to_be_bytes());
            for (name, member) in members {
                hasher.update((name.len() as u64).to_be_bytes());
                hasher.update(name.as_bytes());
                hash_json(hasher, member);
            }
        }
    }
}

/// `1.0`, `10e-1` and `1` are one number: sign, digits without zeros at either end, and a power of ten.
pub(crate) fn canonical_number(text: &str) -> String {
    let (negative, magnitude) = text.strip_prefix('-').map_or((false, text), |rest| (true, rest));
    let (mantissa, exponent) = match magnitude.split_once(['e', 'E']) {
        Some((m, e)) => (m, e.parse::<i64>().ok()),
        None => (magnitude, Some(0)),
    };
    // Beyond any use, and told apart by how it is written, sign included.
    let Some(exponent) = exponent else { return text.to_owned() };
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    let digits = if fraction.is_empty() { Cow::Borrowed(whole) } else { Cow::Owned(format!("{whole}{fraction}")) };
    let significant = digits.trim_start_matches('0').trim_end_matches('0');
    if significant.is_empty() {
        return "0".to_owned();
    }
    let trailing = digits.len() - digits.trim_end_matches('0').len();
    // An `i64` and two lengths: an `i128` holds any sum of them.
    let power = i128::from(exponent) + (trailing as i128) - (fraction.len() as i128);
    let mut canonical = String::with_capacity(significant.len() + 6);
    if negative {
        canonical.push('-');
    }
    canonical.push_str(significant);
    canonical.push('e');
    match u8::try_from(power) {
        Ok(power @ 0..10) => canonical.push(char::from(b'0' + power)),
        _ => canonical.push_str(&power.to_string()),
    }
    canonical
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn number(text: &str) -> Value {
        serde_json::from_str(text).expect("a number")
    }

    #[test]
    fn keys_are_strings_or_integers() {
        assert_eq!(Key::from_json(&json!("o-1")).expect("key").as_str(), "o-1");
        assert_eq!(Key::from_json(&json!(-42)).expect("key").as_str(), "-42");
        assert_eq!(Key::from_json(&number("18446744073709551616")).expect("key").as_str(), "18446744073709551616");
        for bad in
            [json!(null), json!(""), json!(1.5), json!([1]), json!({}), json!(true), number("1e3"), number("1.0")]
        {
            assert_eq!(Key::from_json(&bad), None, "{bad}");
        }
        assert!(Key::new(&"k".repeat(1025)).is_none());
    }

    #[test]
    fn vectors_of_the_store_format() {
        let key = Key::new("o1").expect("key");
        assert_eq!(key.partition(16), Partition(4));
        assert_eq!(MarkId::of_event("shop", "e1", &key).hex(), "e30aaa4fc5c92be3800cd945e18298fd");
        let position = Position { channel: "orders".into(), seq: 7 };
        assert_eq!(MarkId::of_position(&position).hex(), "eaaef25864ae307c34112f94ae35c210");
        assert_eq!(
            hex(&ContentDigest::of("OrderCreated", 1, &json!({"b": [1, null], "a": "x"})).0),
            "339c29363aa24be5"
        );
    }

    #[test]
    fn the_same_fact_from_another_serializer_has_the_same_digest() {
        let of = |text: &str| ContentDigest::of("T", 1, &number(text));
        assert_eq!(of(r#"{"a":1,"b":10.50}"#), of(r#"{ "b": 105e-1, "a": 1.0 }"#));
        assert_ne!(of(r#"{"a":1}"#), of(r#"{"a":-1}"#));
        assert_ne!(of("100"), of("1000"));
        assert_ne!(of(r#"{"a":"1"}"#), of(r#"{"a":1}"#));
        assert_eq!(of("-0.0"), of("0"));
    }

    #[test]
    fn numbers_of_any_exponent_are_told_apart() {
        assert_eq!(canonical_number("1.5e-9223372036854775808"), "15e-9223372036854775809");
        assert_eq!(canonical_number("10e9223372036854775807"), "1e9223372036854775808");
        let beyond = "1e99999999999999999999";
        assert_ne!(canonical_number(beyond), canonical_number(&format!("-{beyond}")));
        assert_ne!(canonical_number("1.5e-9223372036854775808"), canonical_number("15e-9223372036854775808"));
    }

    #[test]
    fn mark_ids_round_trip_through_hex() {
        let mark = MarkId([0xab; 16]);
        assert_eq!(MarkId::from_hex(&mark.hex()), Some(mark));
        assert_eq!(MarkId::from_hex("zz"), None);
        assert_eq!(MarkId::from_hex(&"é".repeat(16)), None);
        let written = serde_json::to_value(mark).expect("it serializes");
        assert_eq!(written, json!(mark.hex()));
        assert_eq!(serde_json::from_value::<MarkId>(written).expect("it is read"), mark);
        assert!(serde_json::from_value::<MarkId>(json!("zz")).is_err());
    }
}
