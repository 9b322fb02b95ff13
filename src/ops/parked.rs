//! Parked events: found, released and discarded by a person.
//!
//! Nothing here needs the pipelines to run, and nothing disturbs them when they do: what is written names the key's
//! nonce and the entry it was decided on, as every commit of a runner does.

use std::sync::Arc;

use super::ledger::{Keys, Ledger, Trouble, commit};
use crate::clock::{Clock, Entropy};
use crate::event::{Event, Key, MarkId, Partition};
use crate::flow::context::Context;
use crate::flow::decide::{self, Env, Hurried};
use crate::flow::decode::decode;
use crate::flow::emit::Destinations;
use crate::flow::supervisor::{self, Options};
use crate::store::record::{KeyRecord, ParkedBody, Unreadable, Wait};
use crate::store::{FoundKey, KeyLookup, Lookup, Mark, MarkStatus, ParkedAt, ParkedEvent, Which};

/// Keys whose lines are read in one call, and how many entries of each.
const KEYS_AT_ONCE: usize = 16;
const HEADS: usize = 16;
/// Entries of one line that are read in one call.
const ENTRIES: usize = 256;
/// A key that changes faster than this often while it is looked at is given up.
const TRIES: usize = 20;

/// A parked event.
#[derive(Clone, Debug)]
pub struct Waiting {
    pub partition: Partition,
    pub key: Key,
    pub id: MarkId,
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
    /// Events in the line. `None`: the key's record cannot be read.
    pub line: Option<u64>,
    /// The first of the line, when that is another one.
    pub head: Option<Waiting>,
}

/// What became of an event that was released.
#[derive(Clone, Debug)]
pub enum Released {
    /// Another stands before it.
    Behind,
    /// Handled, skipped or set aside, by us or by a runner that was faster.
    Ended(MarkStatus),
    /// It ran and waits again, or goes on waiting for its version.
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
        Waiting { partition, key, id: event.mark, read }
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
        let found = self.key(partition, &key, 1).await?;
        let head = found.parked.first().filter(|head| head.mark != id);
        Ok(Some(Standing {
            before,
            line: KeyRecord::decode(&found.record).ok().map(|record| record.book.parked),
            head: head.map(|head| self.waiting(partition, key.clone(), head)),
            waiting: self.waiting(partition, key, &event),
        }))
    }

    async fn key(&self, partition: Partition, key: &Key, parked: usize) -> Result<FoundKey, Trouble> {
        let lookup = Lookup { keys: vec![KeyLookup { key: key.clone(), parked }], ..Lookup::default() };
        let found = self.store.lookup(vec![(partition, lookup)]).await?;
        Ok(found.into_iter().flat_map(|found| found.keys).next().unwrap_or_default())
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
            let found = self.key(waiting.partition, &waiting.key, 1).await?;
            let Some(at) = self.store.parked(waiting.id).await? else { return Ok(Discarded::Gone) };
            let env = Env {
                pipeline: &self.pipeline,
                destinations: &destinations,
                revision: &self.program.revision,
                envelope: &envelope,
                now: clock.now(),
                entropy,
                watched: false,
            };
            let group = decide::discard(&env, &at.key, &found, &at.event, why)?.unwrap_or_default();
            if commit(&*self.store, at.partition, group, env.now, entropy).await? {
                return Ok(Discarded::Done);
            }
        }
        Ok(Discarded::Changing)
    }
}

/// Runs the head of a line now, and what may follow it; what became of it. `context` is the ledger's own.
pub async fn release(ledger: &Ledger, context: &Arc<Context>, standing: &Standing) -> Result<Released, Trouble> {
    let Waiting { partition, key, id, read } = &standing.waiting;
    let before = &read.as_ref().map_err(Clone::clone)?.body;
    if standing.before > 0 {
        return Ok(Released::Behind);
    }
    let hurried = Hurried { mark: *id, attempts: before.attempts };
    let options = Options { workers: 1, ..Options::default() };
    supervisor::hurry(Arc::clone(context), *partition, key.clone(), hurried, &options).await?;
    let Some(at) = ledger.store.parked(*id).await? else {
        return Ok(ledger.ended(*partition, *id).await?.map_or(Released::Gone, Released::Ended));
    };
    let now = ParkedBody::decode(&at.event.body)?;
    let looked_at = now.attempts > before.attempts || now.wait != before.wait;
    Ok(match now.wait {
        wait @ Wait::Version { .. } => Released::Waits(wait),
        wait if looked_at => Released::Waits(wait),
        _ => Released::Unsettled,
    })
}

/// A walk through lines of parked events, a page in memory.
pub struct Lines<'l> {
    ledger: &'l Ledger,
    keys: Option<Keys<'l>>,
    /// The line that is being read, and the last place that was.
    line: Option<(Partition, Key, Option<u64>)>,
}

impl Lines<'_> {
    /// Some more. `None`: those were all.
    pub async fn page(&mut self) -> Result<Option<Vec<Waiting>>, Trouble> {
        loop {
            if let Some((partition, key, after)) = self.line.take() {
                let page = self.ledger.store.line(partition, &key, after, ENTRIES).await?;
                let Some(last) = page.last() else { continue };
                self.line = Some((partition, key.clone(), Some(last.order)));
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
        let lookup =
            |key: &Key| Lookup { keys: vec![KeyLookup { key: key.clone(), parked: HEADS }], ..Lookup::default() };
        let lookups = keys.iter().map(|(partition, key)| (*partition, lookup(key))).collect();
        let found = self.ledger.store.lookup(lookups).await?.into_iter().flat_map(|found| found.keys);
        let mut page = Vec::new();
        let mut found = keys.into_iter().zip(found);
        for ((partition, key), FoundKey { record, parked, .. }) in found.by_ref() {
            page.extend(parked.iter().map(|event| self.ledger.waiting(partition, key.clone(), event)));
            let whole = KeyRecord::decode(&record).is_ok_and(|record| record.book.parked <= parked.len() as u64);
            if let (false, Some(last)) = (whole, parked.last()) {
                self.line = Some((partition, key, Some(last.order)));
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
