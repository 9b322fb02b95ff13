//! Parked events: found, released and discarded by a person.
//!
//! Nothing here needs the pipelines to run, and nothing disturbs them when they do: what is written names the key's
//! nonce and the entry it was decided on, as every commit of a runner does.

use std::sync::Arc;

use super::ledger::{Keys, Ledger, TRIES, Trouble, commit};
use crate::clock::{Clock, Entropy};
use crate::event::{Event, Key, MarkId, Partition};
use crate::flow::context::Context;
use crate::flow::decide::{self, Hurried};
use crate::flow::decode::decode;
use crate::flow::emit::Destinations;
use crate::flow::supervisor::{self, Options};
use crate::store::record::{KeyRecord, ParkedBody, Unreadable, Wait};
use crate::store::{FoundKey, KeyLookup, Lookup, Mark, MarkStatus, ParkedAt, ParkedEvent, Place, Range, Which};

/// Keys whose lines are read in one call, and how many entries of each.
const KEYS_AT_ONCE: usize = 16;
const HEADS: usize = 16;
/// Entries of one line that are read in one call.
const ENTRIES: usize = 256;

/// A parked event.
#[derive(Clone, Debug)]
pub struct Waiting {
    pub partition: Partition,
    pub key: Key,
    pub id: MarkId,
    pub place: Place,
    pub read: Result<Read, Unreadable>,
}

/// What stands in its entry.
#[derive(Clone, Debug)]
pub struct Read {
    pub body: ParkedBody,
    /// As far as its envelope can be read.
    pub event: Option<Event>,
}

/// A parked event in its key's line.
#[derive(Clone, Debug)]
pub struct Standing {
    pub waiting: Waiting,
    /// Events that stand before it.
    pub before: u64,
    /// Parked events of its key. `None`: the key's record cannot be read.
    pub line: Option<u64>,
    /// What must go first: the head of the line, or the lowest number.
    pub head: Option<Waiting>,
    /// The dead letter that blocks its key.
    pub blocked_by: Option<MarkId>,
}

/// What became of an event that was released.
#[derive(Clone, Debug)]
pub enum Released {
    /// Another must go first.
    Behind,
    /// A dead letter blocks its key.
    Blocked(MarkId),
    /// Handled, skipped or set aside, by us or by a runner that was faster.
    Ended(MarkStatus),
    /// It ran and waits again, or goes on waiting for its version or a handler.
    Waits(Wait),
    /// It was not run: time ran out, or the store changed too often.
    Unsettled,
    /// It is not parked, and nothing remembers it.
    Gone,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Discarded {
    Done,
    /// It is not parked any more.
    Gone,
    /// Its key changed again and again meanwhile.
    Changing,
}

impl Ledger {
    fn waiting(&self, partition: Partition, key: Key, event: &ParkedEvent) -> Waiting {
        let read = ParkedBody::decode(&event.body).map(|body| {
            let envelope = self.envelope(&body.raw.position.channel);
            let event = decode(&body.raw, &envelope, &self.pipeline.limits).ok();
            Read { body, event }
        });
        Waiting { partition, key, id: event.mark, place: event.place, read }
    }

    /// Every parked event, line by line.
    pub fn parked(&self) -> Lines<'_> {
        Lines { ledger: self, keys: Some(self.keys(Which::WithParked)), line: None }
    }

    /// The line of one key.
    pub fn parked_of(&self, key: Key) -> Lines<'_> {
        let partition = key.partition(self.pipeline.partitions);
        Lines { ledger: self, keys: None, line: Some((partition, key, None)) }
    }

    pub async fn standing(&self, id: MarkId) -> Result<Option<Standing>, Trouble> {
        let Some(ParkedAt { partition, key, before, event }) = self.store.parked(id).await? else { return Ok(None) };
        let waiting = self.waiting(partition, key.clone(), &event);
        let first =
            waiting.read.as_ref().map_or_else(|_| vec![decide::line()], |read| decide::ahead_of(&read.body.wait));
        let found = self.key(partition, &key, first).await?;
        let firsts = found.parked.iter().filter_map(|part| part.first());
        let head = firsts.take_while(|first| first.mark != id).next();
        let record = KeyRecord::decode(&found.record).ok();
        Ok(Some(Standing {
            before,
            line: record.as_ref().map(|record| record.book.parked),
            head: head.map(|head| self.waiting(partition, key.clone(), head)),
            blocked_by: record.and_then(|record| record.book.blocked_by),
            waiting,
        }))
    }

    /// What an event is remembered as that is not parked.
    async fn ended(&self, partition: Partition, id: MarkId) -> Result<Option<MarkStatus>, Trouble> {
        let found = self.store.lookup(vec![(partition, Lookup { marks: vec![id], ..Lookup::default() })]).await?;
        Ok(match found.into_iter().flat_map(|found| found.marks).next().flatten() {
            Some(Mark::Finished { status, .. }) => Some(status),
            Some(Mark::Parked { .. }) | None => None,
        })
    }

    /// Sets a parked event aside for good; its line moves on. In one commit.
    pub async fn discard_parked(
        &self,
        waiting: &Waiting,
        why: &str,
        clock: &dyn Clock,
        entropy: &dyn Entropy,
    ) -> Result<Discarded, Trouble> {
        let (destinations, envelope) = (Destinations::default(), |channel: &str| self.envelope(channel));
        for _ in 0..TRIES {
            // The key first: if its line changes after this, the commit is refused.
            let line = vec![Range { limit: 1, ..decide::line() }];
            let found = self.key(waiting.partition, &waiting.key, line).await?;
            let Some(at) = self.store.parked(waiting.id).await? else { return Ok(Discarded::Gone) };
            let env = self.env(&destinations, &envelope, clock, entropy);
            let group = decide::discard(&env, &at.key, &found, &at.event, why)?.unwrap_or_default();
            if commit(&*self.store, at.partition, group, env.now, entropy).await? {
                return Ok(Discarded::Done);
            }
        }
        Ok(Discarded::Changing)
    }
}

/// Runs a parked event now, if nothing must go first, and what may follow it; what became of it. `context` is the ledger's own.
pub async fn release(ledger: &Ledger, context: &Arc<Context>, standing: &Standing) -> Result<Released, Trouble> {
    let Waiting { partition, key, id, read, .. } = &standing.waiting;
    let before = &read.as_ref().map_err(Clone::clone)?.body;
    if let Some(letter) = standing.blocked_by {
        return Ok(Released::Blocked(letter));
    }
    if standing.head.is_some() {
        return Ok(Released::Behind);
    }
    let hurried = Hurried { mark: *id, attempts: before.attempts, place: standing.waiting.place };
    let options = Options { workers: 1, ..Options::default() };
    supervisor::hurry(Arc::clone(context), *partition, key.clone(), hurried, &options).await?;
    let Some(at) = ledger.store.parked(*id).await? else {
        return Ok(ledger.ended(*partition, *id).await?.map_or(Released::Gone, Released::Ended));
    };
    let now = ParkedBody::decode(&at.event.body)?;
    let looked_at = now.attempts > before.attempts || now.wait != before.wait;
    Ok(match now.wait {
        wait @ (Wait::Version { .. } | Wait::NoHandler { .. }) => Released::Waits(wait),
        wait if looked_at => Released::Waits(wait),
        _ => Released::Unsettled,
    })
}

/// A walk through lines of parked events, a page in memory.
pub struct Lines<'l> {
    ledger: &'l Ledger,
    keys: Option<Keys<'l>>,
    /// The line that is being read, and the last place that was.
    line: Option<(Partition, Key, Option<Place>)>,
}

impl Lines<'_> {
    /// Some more. `None`: those were all.
    pub async fn page(&mut self) -> Result<Option<Vec<Waiting>>, Trouble> {
        loop {
            if let Some((partition, key, after)) = self.line.take() {
                let page = self.ledger.store.line(partition, &key, decide::each(after, ENTRIES)).await?;
                let Some(last) = page.last() else { continue };
                self.line = Some((partition, key.clone(), Some(last.place)));
                return Ok(Some(page.iter().map(|e| self.ledger.waiting(partition, key.clone(), e)).collect()));
            }
            let Some(keys) = &mut self.keys else { return Ok(None) };
            let taken = keys.take(KEYS_AT_ONCE, |_| true).await?;
            if taken.is_empty() {
                return Ok(None);
            }
            let page = self.heads(taken).await?;
            if !page.is_empty() {
                return Ok(Some(page));
            }
        }
    }

    /// The lines of these keys, up to the first one that is longer than what is read at once.
    async fn heads(&mut self, keys: Vec<(Partition, Key)>) -> Result<Vec<Waiting>, Trouble> {
        let lookup = |key: &Key| Lookup {
            keys: vec![KeyLookup { key: key.clone(), line: vec![decide::each(None, HEADS)] }],
            ..Lookup::default()
        };
        let lookups = keys.iter().map(|(partition, key)| (*partition, lookup(key))).collect();
        let found = self.ledger.store.lookup(lookups).await?.into_iter().flat_map(|found| found.keys);
        let mut page = Vec::new();
        let mut found = keys.into_iter().zip(found);
        for ((partition, key), FoundKey { record, parked, .. }) in found.by_ref() {
            let parked = parked.concat();
            page.extend(parked.iter().map(|event| self.ledger.waiting(partition, key.clone(), event)));
            let whole = KeyRecord::decode(&record).is_ok_and(|record| record.book.parked <= parked.len() as u64);
            if let (false, Some(last)) = (whole, parked.last()) {
                self.line = Some((partition, key, Some(last.place)));
                break;
            }
        }
        let rest: Vec<_> = found.map(|(key, _)| key).collect();
        if let Some(keys) = &mut self.keys {
            keys.put_back(rest.into_iter());
        }
        Ok(page)
    }
}
