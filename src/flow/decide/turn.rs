//! One run of one event: where it comes from, and what there is to run.

use std::sync::Arc;

use super::lanes::Waiting;
use crate::event::{ContentDigest, Event, MarkId, Millis, RawEvent};
use crate::spec::program::Subscription;
use crate::store::record::{DeadRecord, Failure, Wait};

/// One run of one event: what it is remembered as, and what committing it takes.
pub(super) struct Turn<'a> {
    pub(super) mark: MarkId,
    pub(super) content: ContentDigest,
    pub(super) raw: &'a RawEvent,
    pub(super) subject: Runnable<'a>,
    pub(super) entry: Entry<'a>,
    /// Runs before this one.
    pub(super) attempts: u32,
    pub(super) owner: Option<usize>,
}

impl Turn<'_> {
    /// When it was first parked.
    pub(super) fn since(&self, now: Millis) -> Millis {
        match self.entry {
            Entry::Release { waiting, .. } => waiting.body.since,
            Entry::Arrival | Entry::Replay { .. } => now,
        }
    }
}

pub(super) enum Runnable<'a> {
    Run(&'a Event, &'a Arc<Subscription>),
    /// No subscription takes it; its number counts.
    Count(&'a Event),
    /// It must not run, and why.
    SetAside(Option<&'a Event>, Failure),
}

impl<'a> Runnable<'a> {
    pub(super) fn event(&self) -> Option<&'a Event> {
        match self {
            Self::Run(event, _) | Self::Count(event) => Some(event),
            Self::SetAside(event, _) => *event,
        }
    }

    pub(super) fn runs(&self) -> bool {
        !matches!(self, Self::SetAside(..))
    }
}

#[derive(Clone, Copy)]
pub(super) enum Entry<'a> {
    Arrival,
    Release { waiting: &'a Waiting, way: Way },
    Replay { generation: u64, record: &'a DeadRecord },
}

/// Why a parked event comes out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Way {
    Turn,
    /// It waited long enough.
    Expired,
    /// A person will not wait.
    Hurried,
}

impl<'a> Entry<'a> {
    /// What it waited for until now.
    pub(super) fn wait(&self) -> Option<&'a Wait> {
        match self {
            Self::Release { waiting, .. } => Some(&waiting.body.wait),
            Self::Arrival | Self::Replay { .. } => None,
        }
    }

    pub(super) fn way(&self) -> Way {
        match self {
            Self::Release { way, .. } => *way,
            Self::Arrival | Self::Replay { .. } => Way::Turn,
        }
    }
}
