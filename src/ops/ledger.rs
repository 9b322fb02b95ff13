//! One pipeline's store as a person meets it, beside whoever runs the pipeline or when nobody does.

use std::collections::VecDeque;
use std::sync::Arc;

use crate::clock::{Clock, Entropy};
use crate::event::{Key, Millis, Partition};
use crate::flow::decide::Env;
use crate::flow::emit::Destinations;
use crate::flow::supervisor::CannotRun;
use crate::script::pool::Lost;
use crate::spec::program::{Envelope, Pipeline, Program};
use crate::store::record::Unreadable;
use crate::store::{Commit, Cursor, FoundKey, Group, KeyLookup, Lookup, Range, Store, StoreError, Verdict, Which};

/// A key that changes faster than this often while it is looked at is given up.
pub(super) const TRIES: usize = 20;

/// What stands in the way.
#[derive(Clone, Debug, thiserror::Error)]
pub enum Trouble {
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error(transparent)]
    Unreadable(#[from] Unreadable),
    #[error(transparent)]
    Lost(#[from] Lost),
    #[error(transparent)]
    CannotRun(#[from] CannotRun),
}

pub struct Ledger {
    pub program: Arc<Program>,
    pub pipeline: Arc<Pipeline>,
    pub store: Arc<dyn Store>,
}

impl Ledger {
    pub(super) fn envelope(&self, channel: &str) -> Envelope {
        self.program.channels.get(channel).map(|channel| channel.envelope.clone()).unwrap_or_default()
    }

    /// A key's record, and parts of its line.
    pub(super) async fn key(&self, partition: Partition, key: &Key, line: Vec<Range>) -> Result<FoundKey, Trouble> {
        let lookup = Lookup { keys: vec![KeyLookup { key: key.clone(), line }], ..Lookup::default() };
        let found = self.store.lookup(vec![(partition, lookup)]).await?;
        Ok(found.into_iter().flat_map(|found| found.keys).next().unwrap_or_default())
    }

    /// What surrounds a person's decision: it emits nothing.
    pub(super) fn env<'a>(
        &'a self,
        destinations: &'a Destinations,
        envelope: &'a (dyn Fn(&str) -> Envelope + Sync),
        clock: &dyn Clock,
        entropy: &'a dyn Entropy,
    ) -> Env<'a> {
        let (pipeline, revision, now) = (&*self.pipeline, &*self.program.revision, clock.now());
        Env { pipeline, destinations, revision, envelope, now, entropy, watched: false }
    }

    pub(super) fn keys(&self, which: Which) -> Keys<'_> {
        Keys { ledger: self, which, page: VecDeque::new(), more: true, next: None }
    }
}

/// Commits one group under a name of its own. `false`: it was refused, for what it was decided on has changed.
pub(super) async fn commit(
    store: &dyn Store,
    partition: Partition,
    group: Group,
    now: Millis,
    entropy: &dyn Entropy,
) -> Result<bool, Trouble> {
    let mut verdicts = Vec::new();
    for answer in store.commit(vec![Commit::alone(partition, group, now, entropy)]).await {
        verdicts.extend(answer?.verdicts);
    }
    Ok(verdicts == [Verdict::Committed])
}

/// A walk through the keys of a store, a page in memory.
pub(super) struct Keys<'l> {
    ledger: &'l Ledger,
    which: Which,
    page: VecDeque<(Partition, Key)>,
    more: bool,
    next: Option<Cursor>,
}

impl Keys<'_> {
    /// The next ones that fit, at most so many. None: those were all.
    pub(super) async fn take(
        &mut self,
        most: usize,
        fits: impl Fn(&Key) -> bool,
    ) -> Result<Vec<(Partition, Key)>, Trouble> {
        let mut taken = Vec::new();
        while taken.len() < most {
            match self.page.pop_front() {
                Some((partition, key)) => taken.extend(fits(&key).then_some((partition, key))),
                None if !self.more => break,
                None => {
                    let page = self.ledger.store.keys(self.which, self.next.take()).await?;
                    self.page = page.keys.into();
                    self.more = page.next.is_some();
                    self.next = page.next;
                }
            }
        }
        Ok(taken)
    }

    pub(super) fn put_back(&mut self, keys: impl DoubleEndedIterator<Item = (Partition, Key)>) {
        keys.rev().for_each(|key| self.page.push_front(key));
    }
}
