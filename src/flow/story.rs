//! What is told of each outcome, to whoever watches (`sluice run --show`).

use std::sync::Arc;

use super::decide::Outcome;
use crate::event::RawEvent;
use crate::store::record::EventHead;

/// One outcome, once it is committed.
#[derive(Clone, Debug)]
pub struct Told {
    pub outcome: Outcome,
    /// It was parked before.
    pub released: bool,
    /// As received, where its envelope can be read.
    pub event: Option<EventHead>,
    /// The version that the handler saw, when it is another.
    pub upcast: Option<u32>,
    pub key: Option<String>,
    /// Where it stands in its channel.
    pub place: String,
    /// What there is to say beside it: a reason, a time, what was emitted. May hold what a handler made of the event's data.
    pub what: String,
}

impl Told {
    pub fn ignored(raw: &RawEvent) -> Self {
        Self {
            outcome: Outcome::Ignored,
            released: false,
            event: None,
            upcast: None,
            key: None,
            place: raw.position.to_string(),
            what: "no subscription takes its type".to_owned(),
        }
    }
}

/// Called where outcomes are counted; it must not block.
pub type Watcher = Arc<dyn Fn(&Told) + Send + Sync>;
