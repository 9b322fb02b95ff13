//! What a worker is asked to do.

use tokio::sync::oneshot;

use super::decide::{Hurried, Item, Origin, Outcome};
use super::held::Held;
use super::route::{Routed, Subject};
use crate::event::{Key, Partition};

/// What a key's parked events are taken to weigh before they were read.
const ATTENTION_BYTES: usize = 64 << 10;

pub enum Job {
    Event {
        item: Box<Item>,
        held: Option<Held>,
        /// It may have killed the process: runs alone, behind a durable start mark.
        suspect: bool,
        /// Told the outcome when it is committed.
        report: Option<oneshot::Sender<Outcome>>,
    },
    /// The timer of a key fired, or a person asks for one of its parked events.
    Attention { partition: Partition, key: Key, suspect: bool, hurried: Option<Hurried> },
}

impl Job {
    pub fn partition(&self) -> Partition {
        match self {
            Self::Event { item, .. } => item.routed.partition,
            Self::Attention { partition, .. } => *partition,
        }
    }

    pub fn weight(&self) -> usize {
        match self {
            Self::Event { item, .. } => item.routed.raw.weight(),
            Self::Attention { .. } => ATTENTION_BYTES,
        }
    }

    pub fn suspect(&self) -> bool {
        match self {
            Self::Event { suspect, .. } | Self::Attention { suspect, .. } => *suspect,
        }
    }
}

/// A job for an event from a source.
pub fn source_job(routed: Routed, held: Held, suspect: bool) -> Job {
    // An event that has no key is set aside without running anything.
    let suspect = suspect && matches!(routed.subject, Subject::Keyed { .. });
    Job::Event { item: Box::new(Item { origin: Origin::Source, routed }), held: Some(held), suspect, report: None }
}
