//! A store that meets with accidents on its way: the replies that get lost, the calls that come late.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use futures_util::future::BoxFuture;
use tokio_util::sync::CancellationToken;

use crate::clock::{Entropy as _, SeededEntropy};
use crate::event::{ChannelName, Key, MarkId, Millis, Partition};
use crate::store::{
    Answer, Census, Commit, Committed, Cursor, DeadLetter, Found, KeysPage, Lookup, Opened, OutboxEntry, ParkedAt,
    ParkedEvent, Range, Store, StoreError, Timer, Which, WriterId,
};

/// What befalls a call. Its caller sees `Unavailable`, and cannot tell which it was; or nothing at all.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// Never carried out.
    Refuse,
    /// Carried out, and the reply is lost.
    LoseReply,
    /// Carried out when [`FaultyStore::release`] says so, as a packet that lay in a buffer.
    Late,
    /// The caller dies before it is carried out: it never hears of it, and [`FaultyStore::died`] tells.
    DieBefore,
    /// The caller dies once it is carried out.
    DieAfter,
}

/// The calls that can meet a fault. Listings never do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Op {
    Open,
    Probe,
    Lookup,
    Commit,
    Start,
    Returned,
    Advance,
}

pub struct FaultyStore {
    inner: Arc<dyn Store>,
    plan: Mutex<Plan>,
    late: Mutex<Vec<BoxFuture<'static, ()>>>,
    /// An event whose script never returns, as far as this store gets to hear.
    stuck: Mutex<Option<MarkId>>,
    /// The server process that was opened last.
    process: Mutex<String>,
    died: CancellationToken,
}

#[derive(Default)]
struct Plan {
    calls: HashMap<Op, u64>,
    exact: HashMap<(Op, u64), Fault>,
    chance: Option<Chance>,
    latency: Option<(SeededEntropy, Duration)>,
    met: u64,
    /// Calls of all kinds so far, and the last that is answered.
    all: u64,
    last: Option<u64>,
}

struct Chance {
    entropy: SeededEntropy,
    probability: f64,
    faults: Vec<(Op, Fault)>,
}

impl FaultyStore {
    pub fn new(inner: Arc<dyn Store>) -> Self {
        Self {
            inner,
            plan: Mutex::default(),
            late: Mutex::default(),
            stuck: Mutex::default(),
            process: Mutex::default(),
            died: CancellationToken::new(),
        }
    }

    /// From now on this event kills whoever runs it: nobody is heard to say that it returned.
    pub fn kills(&self, event: MarkId) {
        *self.stuck.lock().unwrap_or_else(PoisonError::into_inner) = Some(event);
    }

    /// What was on its way to a server process that is gone never arrives: its connections went with it.
    fn met_process(&self, incarnation: &str) {
        let mut process = self.process.lock().unwrap_or_else(PoisonError::into_inner);
        if *process != incarnation {
            incarnation.clone_into(&mut process);
            self.late.lock().unwrap_or_else(PoisonError::into_inner).clear();
        }
    }

    /// The `nth` call of this kind, counted from 1 over the store's life, meets this fault.
    pub fn on(&self, op: Op, nth: u64, fault: Fault) {
        self.plan().exact.insert((op, nth), fault);
    }

    /// The next call of this kind meets this fault.
    pub fn on_next(&self, op: Op, fault: Fault) {
        let nth = self.calls(op) + 1;
        self.on(op, nth, fault);
    }

    /// From now on each call meets one of the faults listed for its kind with this probability.
    pub fn randomly(&self, seed: u64, probability: f64, faults: &[(Op, Fault)]) {
        self.plan().chance = Some(Chance { entropy: SeededEntropy::new(seed), probability, faults: faults.to_vec() });
    }

    /// From now on each call takes up to twice this long: the way there, and the way back. Start marks take none,
    /// for they stand between a script and its being suspected.
    pub fn slow(&self, seed: u64, each_way: Duration) {
        self.plan().latency = Some((SeededEntropy::new(seed), each_way));
    }

    async fn travel(&self, op: Op) {
        if matches!(op, Op::Start | Op::Returned) {
            return;
        }
        let pause = self.plan().latency.as_ref().map(|(entropy, each_way)| each_way.mul_f64(entropy.fraction()));
        if let Some(pause) = pause {
            tokio::time::sleep(pause).await;
        }
    }

    /// No random faults from now on.
    pub fn calm(&self) {
        self.plan().chance = None;
    }

    /// Calls of this kind so far.
    pub fn calls(&self, op: Op) -> u64 {
        self.plan().calls.get(&op).copied().unwrap_or(0)
    }

    /// Faults met so far: a test that wants some can see that there were some.
    pub fn met(&self) -> u64 {
        self.plan().met
    }

    /// After so many calls none is answered: who asks for ever is not heard for ever.
    pub fn answers_at_most(&self, calls: u64) {
        self.plan().last = Some(calls);
    }

    /// Whether the caller met its death.
    pub fn died(&self) -> &CancellationToken {
        &self.died
    }

    /// Carries out the late calls, in the order they were made; how many there were.
    pub async fn release(&self) -> usize {
        let late = std::mem::take(&mut *self.late.lock().unwrap_or_else(PoisonError::into_inner));
        let count = late.len();
        for call in late {
            call.await;
        }
        count
    }

    fn plan(&self) -> MutexGuard<'_, Plan> {
        self.plan.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn next(&self, op: Op) -> Option<Fault> {
        let mut plan = self.plan();
        let calls = plan.calls.entry(op).or_default();
        *calls += 1;
        let nth = *calls;
        plan.all += 1;
        if plan.last.is_some_and(|last| plan.all > last) {
            return Some(Fault::DieBefore);
        }
        let exact = plan.exact.remove(&(op, nth));
        let fault = exact.or_else(|| plan.chance.as_ref()?.draw(op));
        plan.met += u64::from(fault.is_some());
        fault
    }

    /// `failed` is what the caller sees instead of an answer.
    async fn meet<T: Send + 'static>(
        &self,
        op: Op,
        call: impl FnOnce(Arc<dyn Store>) -> BoxFuture<'static, T>,
        failed: impl FnOnce(StoreError) -> T,
    ) -> T {
        self.travel(op).await;
        let fault = self.next(op);
        let what = match fault {
            None => {
                let answer = call(self.inner.clone()).await;
                self.travel(op).await;
                return answer;
            }
            Some(Fault::Refuse) => "refused",
            Some(Fault::LoseReply) => {
                let _ = call(self.inner.clone()).await;
                "reply lost"
            }
            Some(Fault::Late) => {
                let call = call(self.inner.clone());
                let late = Box::pin(async move { drop(call.await) });
                self.late.lock().unwrap_or_else(PoisonError::into_inner).push(late);
                "late"
            }
            Some(death @ (Fault::DieBefore | Fault::DieAfter)) => {
                if death == Fault::DieAfter {
                    drop(call(self.inner.clone()).await);
                }
                self.died.cancel();
                return std::future::pending().await;
            }
        };
        failed(StoreError::Unavailable(format!("a fault was planned ({op:?}: {what})")))
    }
}

impl Chance {
    fn draw(&self, op: Op) -> Option<Fault> {
        let faults: Vec<Fault> = self.faults.iter().filter(|(on, _)| *on == op).map(|(_, fault)| *fault).collect();
        if faults.is_empty() || self.entropy.fraction() >= self.probability {
            return None;
        }
        let pick = (self.entropy.fraction() * faults.len() as f64) as usize;
        faults.get(pick).copied()
    }
}

impl Store for FaultyStore {
    fn open(&self, runner: WriterId) -> Answer<'_, Opened> {
        Box::pin(async move {
            let open = move |inner: Arc<dyn Store>| -> BoxFuture<'static, _> {
                Box::pin(async move { inner.open(runner).await })
            };
            let opened = self.meet(Op::Open, open, Err).await;
            if let Ok(opened) = &opened {
                self.met_process(&opened.incarnation);
            }
            opened
        })
    }

    fn close(&self, runner: WriterId) -> Answer<'_, ()> {
        self.inner.close(runner)
    }

    fn probe(&self) -> Answer<'_, ()> {
        Box::pin(self.meet(Op::Probe, |inner| Box::pin(async move { inner.probe().await }), Err))
    }

    fn lookup(&self, lookups: Vec<(Partition, Lookup)>) -> Answer<'_, Vec<Found>> {
        Box::pin(self.meet(Op::Lookup, |inner| Box::pin(async move { inner.lookup(lookups).await }), Err))
    }

    fn commit(&self, commits: Vec<Commit>) -> BoxFuture<'_, Vec<Result<Committed, StoreError>>> {
        let len = commits.len();
        let call =
            |inner: Arc<dyn Store>| -> BoxFuture<'static, _> { Box::pin(async move { inner.commit(commits).await }) };
        Box::pin(self.meet(Op::Commit, call, move |failure| vec![Err(failure); len]))
    }

    fn start(&self, partition: Partition, event: MarkId, runner: WriterId) -> Answer<'_, u32> {
        let call = move |inner: Arc<dyn Store>| -> BoxFuture<'static, _> {
            Box::pin(async move { inner.start(partition, event, runner).await })
        };
        Box::pin(self.meet(Op::Start, call, Err))
    }

    fn returned(&self, events: Vec<(Partition, MarkId)>) -> Answer<'_, ()> {
        let stuck = *self.stuck.lock().unwrap_or_else(PoisonError::into_inner);
        if events.iter().any(|(_, event)| Some(*event) == stuck) {
            return Box::pin(std::future::pending());
        }
        Box::pin(self.meet(Op::Returned, |inner| Box::pin(async move { inner.returned(events).await }), Err))
    }

    fn position(&self, channel: &ChannelName) -> Answer<'_, Option<u64>> {
        self.inner.position(channel)
    }

    fn advance(&self, channel: &ChannelName, held: Option<u64>, position: u64) -> Answer<'_, ()> {
        let channel = channel.clone();
        let call = move |inner: Arc<dyn Store>| -> BoxFuture<'static, _> {
            Box::pin(async move { inner.advance(&channel, held, position).await })
        };
        Box::pin(self.meet(Op::Advance, call, Err))
    }

    fn outbox(&self, partition: Partition) -> Answer<'_, Vec<OutboxEntry>> {
        self.inner.outbox(partition)
    }

    fn outbox_lens(&self) -> Answer<'_, Vec<u64>> {
        self.inner.outbox_lens()
    }

    fn timers(&self, until: Millis, limit: usize) -> Answer<'_, Vec<Timer>> {
        self.inner.timers(until, limit)
    }

    fn dead_letters(&self, open_only: bool) -> Answer<'_, Vec<(Partition, DeadLetter)>> {
        self.inner.dead_letters(open_only)
    }

    fn dead_letter(&self, id: MarkId) -> Answer<'_, Option<(Partition, DeadLetter)>> {
        self.inner.dead_letter(id)
    }

    fn keys(&self, which: Which, from: Option<Cursor>) -> Answer<'_, KeysPage> {
        self.inner.keys(which, from)
    }

    fn line(&self, partition: Partition, key: &Key, part: Range) -> Answer<'_, Vec<ParkedEvent>> {
        self.inner.line(partition, key, part)
    }

    fn parked(&self, id: MarkId) -> Answer<'_, Option<ParkedAt>> {
        self.inner.parked(id)
    }

    fn census(&self) -> Answer<'_, Census> {
        self.inner.census()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::memory::{Memory, MemoryStore};

    const WRITER: WriterId = WriterId([1; 16]);

    fn faulty() -> FaultyStore {
        FaultyStore::new(Arc::new(MemoryStore::new(Memory::new(1, Duration::from_secs(60)))))
    }

    fn commit(expected_number: u64) -> Vec<Commit> {
        vec![Commit {
            partition: Partition(0),
            writer: WRITER,
            expected_number,
            now: Millis(0),
            groups: vec![],
            cleared: vec![],
            returned: vec![],
        }]
    }

    async fn is_unavailable(store: &FaultyStore, number: u64) -> bool {
        matches!(store.commit(commit(number)).await[..], [Err(StoreError::Unavailable(_))])
    }

    #[tokio::test]
    async fn a_refused_call_was_not_carried_out_and_one_without_reply_was() {
        let store = faulty();
        store.on(Op::Commit, 1, Fault::Refuse);
        store.on(Op::Commit, 2, Fault::LoseReply);
        assert!(is_unavailable(&store, 0).await);
        assert!(is_unavailable(&store, 0).await);
        assert!(store.commit(commit(1)).await[0].is_ok());
        assert_eq!((store.calls(Op::Commit), store.met()), (3, 2));
    }

    #[tokio::test]
    async fn who_dies_at_a_call_never_hears_of_it() {
        for (death, number) in [(Fault::DieBefore, 0), (Fault::DieAfter, 1)] {
            let store = faulty();
            store.on(Op::Commit, 1, death);
            tokio::select! {
                biased;
                _ = store.commit(commit(0)) => panic!("it was answered"),
                () = store.died().cancelled() => {}
            }
            assert!(store.commit(commit(number)).await[0].is_ok());
        }
    }

    #[tokio::test]
    async fn a_late_call_is_carried_out_when_released() {
        let store = faulty();
        store.on_next(Op::Commit, Fault::Late);
        assert!(is_unavailable(&store, 0).await);
        assert_eq!(store.release().await, 1);
        assert!(store.commit(commit(1)).await[0].is_ok());
    }

    #[tokio::test]
    async fn the_same_seed_brings_the_same_faults() {
        let run = async |seed| {
            let store = faulty();
            store.randomly(seed, 0.5, &[(Op::Probe, Fault::Refuse)]);
            let mut outcomes = Vec::new();
            for _ in 0..64 {
                outcomes.push(store.probe().await.is_ok());
            }
            outcomes
        };
        let first = run(7).await;
        assert_eq!(first, run(7).await);
        assert!(first.contains(&true) && first.contains(&false));
        assert_ne!(first, run(8).await);
    }
}
