//! Dead letters: found, tried, replayed and discarded by a person.
//!
//! Nothing here needs the pipelines to run, and nothing disturbs them when they do: every write names the record and
//! the generation it was decided on, and a record that changed meanwhile refuses it.

use std::fmt;
use std::sync::Arc;

use bytes::Bytes;
use serde_json::Value;

use super::ledger::{Ledger, TRIES, Trouble, commit};
use crate::clock::{Clock, Entropy};
use crate::event::{Headers, Key, MarkId, Outgoing, Partition};
use crate::flow::context::Context;
use crate::flow::decide::{self, Item, KeyWork, Origin, Outcome, Remembered, decide};
use crate::flow::emit::Destinations;
use crate::flow::route::{Route, Routed, Subject, route};
use crate::flow::supervisor::{self, Options};
use crate::store::record::{DeadRecord, Failure, How, KeyRecord, OutboxBody, ParkedBody, Resolution, Unreadable, Wait};
use crate::store::{Condition, FoundKey, Group, KeyLookup, Lookup, Store, Write};

/// A dead letter as the store holds it.
#[derive(Clone, Debug)]
pub struct Letter {
    pub id: MarkId,
    pub open: bool,
    pub generation: u64,
    pub partition: Partition,
    pub record: DeadRecord,
    pub payload: Bytes,
}

impl Ledger {
    /// In order of arrival: by channel, then position.
    pub async fn letters(&self, open_only: bool) -> Result<Vec<Letter>, Trouble> {
        let found = self.store.dead_letters(open_only).await?;
        let mut letters =
            found.into_iter().map(|(partition, letter)| read(partition, &letter)).collect::<Result<Vec<_>, _>>()?;
        letters.sort_by(|a, b| {
            let place =
                |letter: &Letter| (letter.record.position.channel.clone(), letter.record.position.seq, letter.id);
            place(a).cmp(&place(b))
        });
        Ok(letters)
    }

    /// As it stands now.
    pub async fn letter(&self, id: MarkId) -> Result<Option<Letter>, Trouble> {
        let found = self.store.dead_letter(id).await?;
        Ok(found.map(|(partition, letter)| read(partition, &letter)).transpose()?)
    }

    /// Closes a letter for good, in one commit with what that means for its key. `false`: it is not what it was when it
    /// was looked at, and stays as it is.
    pub async fn discard(
        &self,
        letter: &Letter,
        why: &str,
        clock: &dyn Clock,
        entropy: &dyn Entropy,
    ) -> Result<bool, Trouble> {
        let key = letter.record.key.as_deref().and_then(Key::new).filter(|_| letter.record.emission.is_none());
        let (destinations, envelope) = (Destinations::default(), |channel: &str| self.envelope(channel));
        for _ in 0..TRIES {
            let found = match &key {
                Some(key) => self.key(letter.partition, key, Vec::new()).await?,
                None => FoundKey::default(),
            };
            // A key that was never touched has nothing to say, and one that cannot be read stays as it is.
            let known = found.nonce.is_some() && KeyRecord::decode(&found.record).is_ok();
            let key = key.as_ref().filter(|_| known).map(|key| (key, &found));
            let env = self.env(&destinations, &envelope, clock, entropy);
            let (id, payload) = ((letter.id, letter.generation), (&letter.record, &letter.payload[..]));
            let group = decide::discard_letter(&env, key, id, payload, why)?;
            if commit(&*self.store, letter.partition, group, env.now, entropy).await? {
                return Ok(true);
            }
            let now = self.store.dead_letter(letter.id).await?;
            if !now.is_some_and(|(_, now)| now.open && now.generation == letter.generation) {
                return Ok(false);
            }
        }
        Ok(false)
    }
}

/// Closes a letter and does what goes with it, in one commit. `false`: it is not what it was when it was looked at.
async fn close(
    store: &dyn Store,
    letter: &Letter,
    resolution: Resolution,
    writes: Vec<Write>,
    entropy: &dyn Entropy,
) -> Result<bool, Trouble> {
    let now = resolution.at;
    let mut record = letter.record.clone();
    record.resolution = Some(resolution);
    let mut group = Group {
        touch: None,
        conditions: vec![Condition::DeadOpen { id: letter.id, generation: letter.generation }],
        writes: vec![Write::CloseDead { id: letter.id, body: record.encode(&letter.payload) }],
    };
    group.writes.extend(writes);
    commit(store, letter.partition, group, now, entropy).await
}

/// Puts a refused emission into the outbox again, at its end.
async fn owe_again(context: &Context, letter: &Letter) -> Result<bool, Trouble> {
    let Some(body) = letter.record.outbox(letter.payload.clone()) else { return Ok(false) };
    let resolution = Resolution { how: How::Replayed, why: None, at: context.clock.now() };
    close(&*context.store, letter, resolution, vec![Write::Emit(body.encode())], &*context.entropy).await
}

fn read(partition: Partition, letter: &crate::store::DeadLetter) -> Result<Letter, Unreadable> {
    let (record, payload) = DeadRecord::decode(&letter.body)?;
    Ok(Letter { id: letter.id, open: letter.open, generation: letter.generation, partition, record, payload })
}

/// Why an event cannot be sent through the gate again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum NotReplayable {
    Closed,
    /// No subscription takes this type from this channel any more.
    NoSubscription,
    /// It is an emission that its destination refused: there is nothing to run.
    Emission,
    /// It has another key than when it died, or has one only now: its record cannot be closed from another
    /// partition, and another copy of it may have died, or been handled, under the mark it has now.
    OtherKey,
}

impl fmt::Display for NotReplayable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Closed => "it is closed already",
            Self::NoSubscription => "no subscription takes its type from its channel any more",
            Self::Emission => "it is an emission that its destination refused, and no handler runs; `sluice dlq replay` sends it again",
            Self::OtherKey => {
                "the pipeline reads another key or identity from it than when it died; publish the corrected event anew and discard this one"
            }
        })
    }
}

fn routed(context: &Context, letter: &Letter) -> Result<Box<Routed>, NotReplayable> {
    if letter.record.emission.is_some() {
        return Err(NotReplayable::Emission);
    }
    let raw = letter.record.raw(letter.payload.clone());
    let envelope = context.envelope(&raw.position.channel);
    match route(raw, &context.pipeline, &envelope) {
        Route::Ignore => Err(NotReplayable::NoSubscription),
        // Its number counts already, and nothing would run.
        Route::Handle(routed) if matches!(routed.subject, Subject::Keyed { subscription: None, .. }) => {
            Err(NotReplayable::NoSubscription)
        }
        Route::Handle(routed) if is_still(&routed, letter) => Ok(routed),
        Route::Handle(_) => Err(NotReplayable::OtherKey),
    }
}

/// Whether the event is remembered as when it died. (One that died of an id conflict has its key, but is remembered
/// by its position, as its mark is another event's.)
fn is_still(routed: &Routed, letter: &Letter) -> bool {
    let key = match &routed.subject {
        Subject::Keyed { key, .. } => Some(key.as_str()),
        Subject::Keyless { .. } => None,
    };
    let by_position = letter.id == MarkId::of_position(&letter.record.position);
    routed.partition == letter.partition
        && letter.record.key.as_deref() == key
        && (routed.mark == letter.id || by_position)
}

/// What became of one letter that was to be replayed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Replayed {
    Outcome(Outcome),
    /// A refused emission stands in the outbox again; it was published, unless it was refused again.
    Owed,
    Not(NotReplayable),
    /// Somebody else changed it meanwhile, or there was no time left.
    Unsettled,
}

/// Sends letters through the gate again, each in the name of its record and generation; what became of each, in
/// order. Doing it twice at once handles every event once.
pub async fn replay(context: &Arc<Context>, letters: &[Letter], options: &Options) -> Result<Vec<Replayed>, Trouble> {
    let mut replayed = Vec::with_capacity(letters.len());
    let mut items = Vec::new();
    for letter in letters {
        replayed.push(match routed(context, letter) {
            _ if !letter.open => Replayed::Not(NotReplayable::Closed),
            Err(NotReplayable::Emission) if owe_again(context, letter).await? => Replayed::Owed,
            // Somebody was faster.
            Err(NotReplayable::Emission) => Replayed::Not(NotReplayable::Closed),
            Err(why) => Replayed::Not(why),
            Ok(routed) => {
                let record = Box::new(letter.record.clone());
                let origin = Origin::Replay { id: letter.id, generation: letter.generation, record };
                items.push(Item { origin, routed: *routed });
                Replayed::Unsettled
            }
        });
    }
    let mut outcomes = supervisor::run_items(Arc::clone(context), items, options).await?.into_iter();
    for slot in replayed.iter_mut().filter(|slot| **slot == Replayed::Unsettled) {
        if let Some(outcome) = outcomes.next().flatten() {
            *slot = Replayed::Outcome(outcome);
        }
    }
    Ok(replayed)
}

/// What today's handlers would make of a letter.
#[derive(Clone, Debug)]
pub struct Trial {
    pub outcome: Outcome,
    /// Why, when it would die again.
    pub failure: Option<Failure>,
    /// Why and until when, when it would be parked.
    pub wait: Option<Wait>,
    pub before: Option<Value>,
    pub after: Option<Value>,
    pub emissions: Vec<Emitted>,
}

/// An event that would be emitted.
#[derive(Clone, Debug)]
pub struct Emitted {
    pub to: String,
    pub subject: String,
    pub headers: Headers,
    pub payload: Bytes,
}

impl From<OutboxBody> for Emitted {
    fn from(body: OutboxBody) -> Self {
        let Outgoing { subject, headers, payload, .. } = Arc::unwrap_or_clone(body.event);
        Self { to: body.to.to_string(), subject, headers, payload }
    }
}

/// Runs a letter on its key's state as it is now. Writes nothing.
pub async fn try_out(context: &Arc<Context>, letter: &Letter) -> Result<Result<Trial, NotReplayable>, Trouble> {
    let routed = match routed(context, letter) {
        Ok(routed) => routed,
        Err(why) => return Ok(Err(why)),
    };
    let found = match &routed.subject {
        Subject::Keyless { .. } => FoundKey::default(),
        Subject::Keyed { key, .. } => {
            let keys = vec![KeyLookup { key: key.clone(), line: Vec::new() }];
            let lookup = Lookup { keys, ..Lookup::default() };
            let found = context.store.lookup(vec![(routed.partition, lookup)]).await?;
            found.into_iter().flat_map(|found| found.keys).next().unwrap_or_default()
        }
    };
    let record = Box::new(letter.record.clone());
    let origin = Origin::Replay { id: letter.id, generation: letter.generation, record };
    let (shared, item) = (Arc::clone(context), Item { origin, routed: *routed });
    // On a script thread, which has the stack that scripts may need.
    Ok(Ok(context.scripts.run(move || trial(&shared, &item, &found)).await??))
}

fn trial(context: &Context, item: &Item, found: &FoundKey) -> Result<Trial, Unreadable> {
    let envelope = |channel: &str| context.envelope(channel);
    let env = context.env(&envelope);
    let key = match &item.routed.subject {
        Subject::Keyed { key, .. } => Some(key),
        Subject::Keyless { .. } => None,
    };
    let work = KeyWork { items: vec![(item, Remembered::default())], ..KeyWork::of(key, found) };
    let decision = decide(&env, &work);
    let before = KeyRecord::decode(&found.record)?.state;
    let group = decision.group.unwrap_or_default();
    let after = match &group.touch {
        Some(touch) => KeyRecord::decode(&touch.record)?.state,
        None => before.clone(),
    };
    let (mut failure, mut wait) = (None, None);
    for write in &group.writes {
        match write {
            Write::Dead { body, .. } => failure = Some(DeadRecord::decode(body)?.0.failure),
            Write::Park(parked) => wait = Some(ParkedBody::decode(&parked.body)?.wait),
            _ => {}
        }
    }
    let emissions = decision.emissions.into_iter().map(|emission| emission.entry.into()).collect();
    // One item in, one outcome out; an event without an outcome would have been handed back.
    let outcome = decision.outcomes.first().copied().unwrap_or(Outcome::Returned);
    Ok(Trial { outcome, failure, wait, before, after, emissions })
}
