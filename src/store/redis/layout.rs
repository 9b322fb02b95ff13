//! The names of a pipeline's keys, and the bytes of what stands in them.
//!
//! With `T` = `{sluice:<pipeline>:<partition>}`, the hash tag that keeps a partition on one node:
//!
//! | key | type | what |
//! |---|---|---|
//! | `{sluice:<pipeline>}:meta` | hash | format, partition count, key hash and its test vector |
//! | `{sluice:<pipeline>}:runners` | hash | runner → its last sign of life in ms; gone after a clean stop |
//! | `{sluice:<pipeline>}:lease` | string | the active runner; expires unless it renews |
//! | `T:m` | hash | `outbox_seq`, `pos:<channel>`, `generations`, `marks`, `condemned`, `parked_bytes` |
//! | `T:k:<key>` | string | nonce (16 bytes), then the record |
//! | `T:d:<generation>:<shard>` | hash | mark → status byte, then content (8 bytes) |
//! | `T:p` | hash | parked mark → entry: content (8), places after the first (1), place (25), perhaps a second place (25), key length (2), key, body |
//! | `T:q:<key>` | sorted set | the key's line: a place, then the parked mark (16), one member a place; all scores are 0 |
//! | `T:t` | sorted set | due in ms → key |
//! | `T:o` | hash | number → outbox body |
//! | `T:l`, `T:ls`, `T:lo` | hash, hash, set | dead letter → body; → `<generation>:<o\|c>`; the open ones |
//! | `T:s` | hash | event that runs alone → runners that started it (16 bytes each) |
//! | `T:w:<writer>` | string | commits of this writer; expires a day after its last |

use bytes::{BufMut as _, Bytes, BytesMut};

use crate::event::{ContentDigest, Key, MarkId, Partition};
use crate::store::{Mark, MarkStatus, ParkedEvent, Place};

/// Rises when the layout above changes in a way older programs misread.
pub const FORMAT: &str = "2";

/// The prefixes of one pipeline's keys.
#[derive(Debug)]
pub struct Layout {
    pub pipeline: String,
    partitions: Vec<String>,
}

impl Layout {
    pub fn new(pipeline: &str, partitions: u16) -> Self {
        let of_partition = |p| format!("{{sluice:{pipeline}:{p}}}");
        Self { pipeline: format!("{{sluice:{pipeline}}}"), partitions: (0..partitions).map(of_partition).collect() }
    }

    /// `None`: the pipeline has no such partition.
    pub fn partition(&self, partition: Partition) -> Option<&str> {
        self.partitions.get(usize::from(partition.0)).map(String::as_str)
    }

    /// What the names of all records match, and few others.
    pub fn records(&self) -> String {
        format!("{}:*}}:k:*", self.pipeline.trim_end_matches('}'))
    }

    /// Whose record has this name, if it is one's.
    pub fn record_of(&self, name: &[u8]) -> Option<(Partition, Key)> {
        let rest = std::str::from_utf8(name).ok()?.strip_prefix(self.pipeline.trim_end_matches('}'))?;
        let (partition, key) = rest.strip_prefix(':')?.split_once("}:k:")?;
        let partition = Partition(partition.parse().ok()?);
        self.partition(partition)?;
        Some((partition, Key::new(key)?))
    }

    pub fn partitions(&self) -> impl ExactSizeIterator<Item = (Partition, &str)> {
        let number = |p: usize| Partition(u16::try_from(p).expect("made from a u16 of partitions"));
        self.partitions.iter().enumerate().map(move |(p, prefix)| (number(p), prefix.as_str()))
    }
}

pub fn status_byte(status: MarkStatus) -> u8 {
    match status {
        MarkStatus::Done => b'd',
        MarkStatus::Dead => b'x',
    }
}

/// A mark as the lookup script answers it: a status byte (`p` for parked), then the content.
pub fn decode_mark(bytes: &[u8]) -> Option<Mark> {
    let (status, content) = bytes.split_first()?;
    let content = ContentDigest(content.try_into().ok()?);
    match status {
        b'd' => Some(Mark::Finished { status: MarkStatus::Done, content }),
        b'x' => Some(Mark::Finished { status: MarkStatus::Dead, content }),
        b'p' => Some(Mark::Parked { content }),
        _ => None,
    }
}

pub fn encode_parked(key: &Key, parked: &ParkedEvent) -> Bytes {
    let key = key.as_str().as_bytes();
    let mut entry = BytesMut::with_capacity(11 + 2 * Place::BYTES + key.len() + parked.body.len());
    entry.put_slice(&parked.content.0);
    entry.put_u8(u8::from(parked.also.is_some()));
    parked.places().for_each(|place| entry.put_slice(&place.0));
    entry.put_u16(u16::try_from(key.len()).expect("keys are at most 1024 bytes"));
    entry.put_slice(key);
    entry.put_slice(&parked.body);
    entry.freeze()
}

/// What [`encode_parked`] was given.
pub fn decode_parked(mark: MarkId, entry: &Bytes) -> Option<(Key, ParkedEvent)> {
    let (content, rest) = entry.split_first_chunk()?;
    let (places, rest) = rest.split_first()?;
    let (place, rest) = rest.split_first_chunk()?;
    let (also, rest) = match places {
        0 => (None, rest),
        1 => rest.split_first_chunk().map(|(also, rest)| (Some(Place(*also)), rest))?,
        _ => return None,
    };
    let (key_len, rest) = rest.split_first_chunk()?;
    let (key, body) = rest.split_at_checked(usize::from(u16::from_be_bytes(*key_len)))?;
    let key = Key::new(std::str::from_utf8(key).ok()?)?;
    let (content, place) = (ContentDigest(*content), Place(*place));
    Some((key, ParkedEvent { mark, content, place, also, body: entry.slice_ref(body) }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parked_entries_keep_any_bytes() {
        let key = Key::new("}:x\n\0é").expect("key");
        for also in [None, Some(Place::LAST)] {
            let parked = ParkedEvent {
                mark: MarkId([7; 16]),
                content: ContentDigest([0; 8]),
                place: Place([0xfe; Place::BYTES]),
                also,
                body: Bytes::from_static(b"\0\r\n\xff"),
            };
            let entry = encode_parked(&key, &parked);
            let body = entry.len() - parked.body.len();
            for short in 0..body {
                assert_eq!(decode_parked(parked.mark, &entry.slice(..short)), None, "{short} bytes");
            }
            assert_eq!(decode_parked(parked.mark, &entry), Some((key.clone(), parked)));
        }
        assert_eq!(decode_parked(MarkId([7; 16]), &Bytes::from(vec![0xff; 80])), None);
    }

    #[test]
    fn records_are_told_from_all_else_by_their_names() {
        let layout = Layout::new("p", 2);
        assert_eq!(layout.records(), "{sluice:p:*}:k:*");
        let key = Key::new("}:k:x").expect("key");
        assert_eq!(layout.record_of(b"{sluice:p:1}:k:}:k:x"), Some((Partition(1), key)));
        for other in
            ["{sluice:p:2}:k:x", "{sluice:p:1}:q:k:x", "{sluice:pp:1}:k:x", "{sluice:p:1}:k:", "{sluice:p:x}:k:x"]
        {
            assert_eq!(layout.record_of(other.as_bytes()), None, "{other}");
        }
    }

    #[test]
    fn partitions_share_a_hash_tag() {
        let layout = Layout::new("fulfilment", 2);
        assert_eq!(layout.partition(Partition(1)), Some("{sluice:fulfilment:1}"));
        assert_eq!(layout.partition(Partition(2)), None);
    }
}
