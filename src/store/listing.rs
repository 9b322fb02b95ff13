//! Listing what a store holds, page by page, so that no listing takes more memory than a page.

use super::ParkedEvent;
use crate::event::{Key, Partition};

/// About as many keys as a page holds.
pub(super) const PAGE: usize = 256;

/// Which keys are listed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Which {
    /// All that were ever touched.
    All,
    /// Those with parked events.
    WithParked,
}

/// Where a listing goes on. What it says is the business of the store that gave it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Cursor {
    pub(super) partition: Partition,
    pub(super) after: String,
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct KeysPage {
    pub keys: Vec<(Partition, Key)>,
    /// `None`: this was the last page.
    pub next: Option<Cursor>,
}

impl KeysPage {
    /// Of a store that keeps its keys in order: whether more follow a full page is seen with the next.
    pub(super) fn in_order(keys: Vec<(Partition, Key)>) -> Self {
        let last = keys.last().filter(|_| keys.len() >= PAGE);
        let next = last.map(|(partition, key)| Cursor { partition: *partition, after: key.as_str().to_owned() });
        Self { keys, next }
    }
}

/// A parked event and where it stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ParkedAt {
    pub partition: Partition,
    pub key: Key,
    /// Places of its key's line that are taken before its first one; an event may have taken two.
    pub before: u64,
    pub event: ParkedEvent,
}
