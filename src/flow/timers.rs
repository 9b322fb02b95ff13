//! Keys that need attention at a time: retries that come due, lines that move on.
//!
//! The store holds the truth; here is what is due soon. A sweep looks there again every few seconds, so that
//! timers of a runner that died, or of one that is far away, fire too.

use std::collections::{BTreeMap, HashSet};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::Notify;

use crate::event::{Key, Millis, Partition};
use crate::store::Timer;

/// How far ahead timers are kept in memory.
pub const HORIZON: Duration = Duration::from_secs(60);
/// How often the store is asked for timers.
pub const SWEEP: Duration = Duration::from_secs(5);
/// Most timers a sweep takes per partition; the rest come with a later one.
pub const SWEEP_LIMIT: usize = 1_000;

#[derive(Default)]
pub struct Timers {
    state: Mutex<State>,
    changed: Notify,
}

#[derive(Default)]
struct State {
    by_due: BTreeMap<(Millis, Partition, Key), ()>,
    due_of: BTreeMap<(Partition, Key), Millis>,
    /// Handed to a worker and not reported back: not to be handed out twice.
    at_work: HashSet<(Partition, Key)>,
}

impl Timers {
    fn state(&self) -> std::sync::MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A commit set or cleared the timer of a key.
    pub fn set(&self, partition: Partition, key: &Key, due: Option<Millis>, now: Millis) {
        let mut state = self.state();
        let id = (partition, key.clone());
        if let Some(old) = state.due_of.remove(&id) {
            state.by_due.remove(&(old, partition, key.clone()));
        }
        if let Some(due) = due.filter(|due| *due <= now.plus(HORIZON)) {
            state.due_of.insert(id, due);
            state.by_due.insert((due, partition, key.clone()), ());
        }
        drop(state);
        self.changed.notify_one();
    }

    /// Timers that a sweep found in the store. A key that is at work reports its own next timer. Of two times the
    /// earlier counts: somebody else may have made a key due sooner, and a look too many changes nothing.
    pub fn found(&self, timers: Vec<Timer>) {
        let mut state = self.state();
        for Timer { partition, key, due } in timers {
            let id = (partition, key.clone());
            let known = state.due_of.get(&id).copied();
            if state.at_work.contains(&id) || known.is_some_and(|known| known <= due) {
                continue;
            }
            if let Some(later) = known {
                state.by_due.remove(&(later, partition, key.clone()));
            }
            state.due_of.insert(id, due);
            state.by_due.insert((due, partition, key), ());
        }
        drop(state);
        self.changed.notify_one();
    }

    /// What a sweep found, to be looked at now, whenever it is due.
    pub fn hasten(&self, mut timers: Vec<Timer>, now: Millis) {
        timers.iter_mut().for_each(|timer| timer.due = timer.due.min(now));
        self.found(timers);
    }

    /// The worker is through with a key that was handed out.
    pub fn done(&self, partition: Partition, key: &Key) {
        self.state().at_work.remove(&(partition, key.clone()));
    }

    /// Takes what is due, at most `limit`; or tells when the next one is.
    pub fn take_due(&self, now: Millis, limit: usize) -> Result<Vec<(Partition, Key)>, Option<Millis>> {
        let mut state = self.state();
        let mut due = Vec::new();
        while due.len() < limit
            && let Some(((when, partition, key), ())) = state.by_due.first_key_value()
            && *when <= now
        {
            let (when, partition, key) = (*when, *partition, key.clone());
            state.by_due.remove(&(when, partition, key.clone()));
            state.due_of.remove(&(partition, key.clone()));
            state.at_work.insert((partition, key.clone()));
            due.push((partition, key));
        }
        if due.is_empty() { Err(state.by_due.first_key_value().map(|((when, ..), ())| *when)) } else { Ok(due) }
    }

    /// Resolves when a timer was set or found since the last call.
    pub async fn changed(&self) {
        self.changed.notified().await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(text: &str) -> Key {
        Key::new(text).expect("a key")
    }

    #[test]
    fn timers_come_due_in_order_and_once() {
        let timers = Timers::default();
        let p = Partition(0);
        timers.set(p, &key("b"), Some(Millis(20)), Millis(0));
        timers.set(p, &key("a"), Some(Millis(10)), Millis(0));
        assert_eq!(timers.take_due(Millis(5), 9), Err(Some(Millis(10))));
        assert_eq!(timers.take_due(Millis(25), 9), Ok(vec![(p, key("a")), (p, key("b"))]));
        assert_eq!(timers.take_due(Millis(25), 9), Err(None));
    }

    #[test]
    fn a_key_at_work_is_not_handed_out_again_by_a_sweep() {
        let timers = Timers::default();
        let found = || vec![Timer { partition: Partition(1), key: key("a"), due: Millis(1) }];
        timers.found(found());
        assert_eq!(timers.take_due(Millis(1), 1), Ok(vec![(Partition(1), key("a"))]));
        timers.found(found());
        assert_eq!(timers.take_due(Millis(1), 1), Err(None));
        timers.done(Partition(1), &key("a"));
        timers.found(found());
        assert_eq!(timers.take_due(Millis(1), 1), Ok(vec![(Partition(1), key("a"))]));
    }

    #[test]
    fn a_key_that_somebody_else_made_due_sooner_is_due_then() {
        let timers = Timers::default();
        let found = |due| vec![Timer { partition: Partition(0), key: key("a"), due: Millis(due) }];
        timers.set(Partition(0), &key("a"), Some(Millis(50)), Millis(0));
        timers.found(found(60));
        timers.found(found(20));
        assert_eq!(timers.take_due(Millis(20), 1), Ok(vec![(Partition(0), key("a"))]));
        timers.done(Partition(0), &key("a"));
        assert_eq!(timers.take_due(Millis(99), 1), Err(None));
    }

    #[test]
    fn a_hastened_key_is_due_at_once_unless_it_is_at_work() {
        let timers = Timers::default();
        let found = |due| vec![Timer { partition: Partition(0), key: key("a"), due: Millis(due) }];
        timers.set(Partition(0), &key("a"), Some(Millis(50)), Millis(0));
        timers.hasten(found(50), Millis(10));
        assert_eq!(timers.take_due(Millis(10), 1), Ok(vec![(Partition(0), key("a"))]));
        timers.hasten(found(50), Millis(10));
        assert_eq!(timers.take_due(Millis(99), 1), Err(None));
    }

    #[test]
    fn setting_a_timer_replaces_or_clears_the_old_one() {
        let timers = Timers::default();
        timers.set(Partition(0), &key("a"), Some(Millis(10)), Millis(0));
        timers.set(Partition(0), &key("a"), Some(Millis(30)), Millis(0));
        assert_eq!(timers.take_due(Millis(20), 1), Err(Some(Millis(30))));
        timers.set(Partition(0), &key("a"), None, Millis(0));
        assert_eq!(timers.take_due(Millis(99), 1), Err(None));
    }
}
