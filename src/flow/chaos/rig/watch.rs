//! Those who look on while a run goes: what was fed under which sequence, whether an ack was earned, what there is to tell.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use futures_util::FutureExt as _;

use crate::event::{MarkId, Partition, Position};
use crate::flow::chaos::luck::Mishaps;
use crate::flow::chaos::trace::Trace;
use crate::flow::chaos::workload::Fed;
use crate::store::memory::{Memory, MemoryStore};
use crate::store::{Lookup, Store as _};
use crate::testkit::fate::Call;

pub(super) struct Watch {
    pub(super) mishaps: Mishaps,
    pub(super) trace: Trace,
    memory: Arc<Memory>,
    /// The source channel, by sequence.
    fed: Mutex<Vec<Fed>>,
    /// What the store is known to have known.
    known: Mutex<BTreeSet<MarkId>>,
    broken: Mutex<Option<String>>,
}

impl Watch {
    pub(super) fn new(mishaps: Mishaps, trace: Trace, memory: &Arc<Memory>) -> Self {
        let (fed, known, broken) = (Mutex::default(), Mutex::default(), Mutex::default());
        Self { mishaps, trace, memory: Arc::clone(memory), fed, known, broken }
    }

    pub(super) fn feed(&self, fed: &Fed) {
        self.trace.say(|| format!("e{} of key {} is published", fed.n, fed.key));
        self.fed().push(fed.clone());
    }

    pub(super) fn fed(&self) -> MutexGuard<'_, Vec<Fed>> {
        self.fed.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn at(&self, place: &Position) -> Option<Fed> {
        usize::try_from(place.seq).ok().and_then(|seq| self.fed().get(seq.checked_sub(1)?).cloned())
    }

    /// Whether the store remembers an event, or did before it forgot: it is done, dead or parked.
    fn knows(&self, mark: MarkId, partition: Partition) -> bool {
        let lookup = Lookup { marks: vec![mark], ..Lookup::default() };
        let found = MemoryStore::new(Arc::clone(&self.memory)).lookup(vec![(partition, lookup)]).now_or_never();
        let now = found.and_then(Result::ok).is_some_and(|found| found[0].marks[0].is_some());
        now || self.known().contains(&mark)
    }

    fn known(&self) -> MutexGuard<'_, BTreeSet<MarkId>> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The store is about to forget.
    pub(super) fn remember(&self) {
        let fed = self.fed().clone();
        let known = fed.iter().filter(|fed| self.knows(fed.mark, fed.partition)).map(|fed| fed.mark);
        let known: Vec<MarkId> = known.collect();
        self.known().extend(known);
    }

    pub(super) fn told(&self, who: &str, what: Call, place: &Position) {
        let Some(fed) = self.at(place) else { return };
        let knows = self.knows(fed.mark, fed.partition);
        if what == Call::Ack {
            let why = || format!("e{} is acked by {who} without a commit", fed.n);
            if !knows {
                self.broken.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert_with(why);
            }
            return;
        }
        if knows {
            // The store may forget it, for its age, before it is acked as a duplicate.
            self.known().insert(fed.mark);
        }
        let how = if what == Call::Read { "reads again" } else { "is handed" };
        self.trace.say(|| format!("{who} {how} e{}", fed.n));
    }

    /// What was seen to go wrong while the run went.
    pub(super) fn verdict(&self) -> Result<(), String> {
        self.broken.lock().unwrap_or_else(PoisonError::into_inner).clone().map_or(Ok(()), Err)
    }
}
