//! What a person asks of a parked event: to run now, or to go.

use super::{Draft, Entry, Env, KeyWork, Runnable, Turn};
use crate::event::{Key, MarkId};
use crate::flow::dead;
use crate::flow::decode::decode;
use crate::store::record::{Failure, How, KeyRecord, ParkedBody, Unreadable, Wait};
use crate::store::{FoundKey, Group, MarkStatus, ParkedEvent, Write};

/// A parked event that is due, whatever its time says, when it is the head of its line: unless it ran since it was
/// looked at, so that asking twice tries it once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Hurried {
    pub mark: MarkId,
    pub attempts: u32,
}

impl Hurried {
    pub(super) fn is(&self, mark: MarkId, body: &ParkedBody) -> bool {
        (self.mark, self.attempts) == (mark, body.attempts)
    }
}

/// Takes a parked event out of its line and puts it into the ledger, closed with that reason; it is remembered as dead.
/// `found` holds the head of the line and was read before `parked`: so the commit is refused if either changed. When
/// the head goes, its line is due at once.
pub fn discard(
    env: &Env<'_>,
    key: &Key,
    found: &FoundKey,
    parked: &ParkedEvent,
    why: &str,
) -> Result<Option<Group>, Unreadable> {
    let record = KeyRecord::decode(&found.record)?;
    let body = ParkedBody::decode(&parked.body)?;
    let work = KeyWork { key: Some(key), found, attention: false, hurried: None, items: Vec::new(), forced: None };
    let mut draft = Draft::new(env, &work, Some(record));
    if found.parked.first().is_some_and(|head| head.mark == parked.mark) {
        draft.record.book.blocked_until = None;
    }
    let event = decode(&body.raw, &(env.envelope)(&body.raw.position.channel), &env.pipeline.limits).ok();
    let waited = match &body.wait {
        Wait::Retry { why, .. } => format!("for its next attempt: {why}"),
        Wait::Version { event, version } => format!("for a program that accepts version {version} of `{event}`"),
        Wait::Behind => "behind an earlier event of its key".to_owned(),
    };
    let failure = Failure::permanent("discarded", format!("a person discarded it while it waited {waited}"));
    let turn = Turn {
        mark: parked.mark,
        content: parked.content,
        raw: &body.raw,
        subject: Runnable::SetAside(event.as_ref(), failure.clone()),
        entry: Entry::Release { order: parked.order, since: body.since, waits_for_version: false },
        attempts: body.attempts,
        owner: None,
    };
    draft.settle(&turn, MarkStatus::Dead);
    let record = dead::record(env, Some(key), &body.raw, event.as_ref(), failure, body.attempts, env.now);
    draft.group.writes.push(Write::Dead { id: parked.mark, body: record.encode(&body.raw.payload) });
    draft.close(&turn, &record, How::Discarded, Some(why));
    Ok(draft.finish().group)
}
