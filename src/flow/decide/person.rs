//! What a person asks: a parked event to run now, or to go; a dead letter to be let go.

use super::{Draft, Entry, Env, KeyWork, Runnable, Turn, Way, lanes::Waiting};
use crate::event::{Key, MarkId};
use crate::flow::dead;
use crate::flow::decode::decode;
use crate::store::record::{DeadRecord, Failure, How, KeyRecord, ParkedBody, Resolution, Unreadable};
use crate::store::{Condition, FoundKey, Group, MarkStatus, ParkedEvent, Place, Write};

/// A parked event that is due, whatever it waits for, when nothing stands before it: unless it ran since it was looked
/// at, so that asking twice tries it once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Hurried {
    pub mark: MarkId,
    pub attempts: u32,
    pub place: Place,
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
    let work = KeyWork::of(Some(key), found);
    let mut draft = Draft::new(env, &work, Some(record));
    if found.parked.iter().flatten().next().is_some_and(|head| head.mark == parked.mark) {
        draft.record.book.blocked_until = None;
    }
    let event = decode(&body.raw, &(env.envelope)(&body.raw.position.channel), &env.pipeline.limits).ok();
    let waited = body.wait.what_for();
    let failure = Failure::permanent("discarded", format!("a person discarded it while it waited {waited}"));
    let waiting = Waiting { parked: parked.clone(), body };
    let body = &waiting.body;
    let turn = Turn {
        mark: parked.mark,
        content: parked.content,
        raw: &body.raw,
        subject: Runnable::SetAside(event.as_ref(), failure.clone()),
        entry: Entry::Release { waiting: &waiting, way: Way::Turn },
        attempts: body.attempts,
        owner: None,
    };
    draft.settle(&turn, MarkStatus::Dead);
    draft.miss(&turn, &failure);
    let record = dead::record(env, Some(key), &body.raw, event.as_ref(), failure, body.attempts, env.now);
    draft.group.writes.push(Write::Dead { id: parked.mark, body: record.encode(&body.raw.payload) });
    draft.close(&turn, &record, How::Discarded, Some(why));
    Ok(draft.finish().group)
}

/// Closes a dead letter for good: what it blocked may go on, and nobody waits for its replay any more. `key` is the key
/// it blocks, and what was found of it.
pub fn discard_letter(
    env: &Env<'_>,
    key: Option<(&Key, &FoundKey)>,
    (id, generation): (MarkId, u64),
    (letter, payload): (&DeadRecord, &[u8]),
    why: &str,
) -> Result<Group, Unreadable> {
    let mut letter = letter.clone();
    letter.resolution = Some(Resolution { how: How::Discarded, why: Some(why.to_owned()), at: env.now });
    let untouched = FoundKey::default();
    let work = KeyWork::of(key.map(|(key, _)| key), key.map_or(&untouched, |(_, found)| found));
    let mut draft = Draft::new(env, &work, Some(KeyRecord::decode(&work.found.record)?));
    draft.record.book.closed(id);
    draft.group.conditions.push(Condition::DeadOpen { id, generation });
    draft.group.writes.push(Write::CloseDead { id, body: letter.encode(payload) });
    Ok(draft.finish().group.unwrap_or_default())
}
