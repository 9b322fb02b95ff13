//! A store that meets with accidents on its way: the replies that get lost, the calls that come late.

use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use futures_util::future::BoxFuture;

use super::fate::{Call, Calls, Fate, Way};
use crate::event::{ChannelName, Key, MarkId, Millis, Partition};
use crate::store::{
    Answer, Census, Commit, Committed, Cursor, DeadLetter, Found, Holder, KeysPage, Lease, Lookup, Opened, OutboxEntry,
    ParkedAt, ParkedEvent, Range, Store, StoreError, Timer, Which, WriterId,
};

/// What befalls a call. Its caller sees `Unavailable` every time, and cannot tell which it was.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// Never carried out.
    Refuse,
    /// Carried out, and the reply is lost.
    LoseReply,
    /// Carried out when [`FaultyStore::release_late`] says so, as a packet that lay in a buffer.
    Late,
}

/// What can befall a call. What people ask never meets a fault.
fn faults(call: Call) -> &'static [Fault] {
    match call {
        Call::Commit => &[Fault::Refuse, Fault::LoseReply, Fault::Late],
        Call::Advance => &[Fault::LoseReply, Fault::Late],
        Call::Open | Call::Start => &[Fault::LoseReply],
        Call::Lease => &[Fault::Refuse, Fault::LoseReply],
        _ => &[Fault::Refuse],
    }
}

/// One process's way to a store.
pub struct FaultyStore {
    inner: Arc<dyn Store>,
    fate: Arc<dyn Fate>,
    calls: Calls,
    late: Arc<Late>,
    /// An event whose script never returns, as far as this store gets to hear.
    stuck: Mutex<Option<MarkId>>,
    /// No lookup is answered.
    blind: AtomicBool,
    /// Everybody who asks for the lease is told that it is theirs.
    grants: AtomicBool,
}

/// Calls that lie in a buffer on the way to a server process.
#[derive(Default)]
struct Late {
    calls: Mutex<Vec<BoxFuture<'static, ()>>>,
    /// The process that was opened last.
    process: Mutex<String>,
}

impl Late {
    fn calls(&self) -> MutexGuard<'_, Vec<BoxFuture<'static, ()>>> {
        self.calls.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What was on its way to a process that is gone never arrives: its connections went with it.
    fn met_process(&self, incarnation: &str) {
        let mut process = self.process.lock().unwrap_or_else(PoisonError::into_inner);
        if *process != incarnation {
            incarnation.clone_into(&mut process);
            self.calls().clear();
        }
    }
}

impl FaultyStore {
    pub fn new(inner: Arc<dyn Store>, fate: Arc<dyn Fate>) -> Self {
        Self {
            inner,
            fate,
            calls: Calls::default(),
            late: Arc::default(),
            stuck: Mutex::default(),
            blind: AtomicBool::new(false),
            grants: AtomicBool::new(false),
        }
    }

    /// From now on this event kills whoever runs it: nobody is heard to say that it returned.
    pub fn kills(&self, event: MarkId) {
        *self.stuck.lock().unwrap_or_else(PoisonError::into_inner) = Some(event);
    }

    /// From now on the lease is everybody's, so that several runners work at once, as when a store forgot it.
    pub fn grants_every_lease(&self) {
        self.grants.store(true, Relaxed);
    }

    /// From now on every lookup is refused: what is delivered stays in hand.
    pub fn blind(&self) {
        self.blind.store(true, Relaxed);
    }

    /// Carries out the late calls, in the order they were made; how many there were.
    pub async fn release_late(&self) -> usize {
        let late = std::mem::take(&mut *self.late.calls());
        let count = late.len();
        for call in late {
            call.await;
        }
        count
    }

    fn fault(&self, call: Call, nth: u64) -> Option<Fault> {
        if call == Call::Lookup && self.blind.load(Relaxed) {
            return Some(Fault::Refuse);
        }
        let roll = self.fate.strikes(call, nth)?;
        let faults = faults(call);
        faults.get((roll % faults.len() as u64) as usize).copied()
    }

    /// `failed` is what the caller sees instead of an answer.
    async fn meet<T: Send + 'static>(
        &self,
        call: Call,
        carry_out: impl FnOnce(Arc<dyn Store>) -> BoxFuture<'static, T>,
        failed: impl FnOnce(StoreError) -> T,
    ) -> T {
        let nth = self.calls.next(call);
        self.fate.travel(call, nth, Way::There).await;
        let what = match self.fault(call, nth) {
            None => {
                let answer = carry_out(self.inner.clone()).await;
                self.fate.travel(call, nth, Way::Back).await;
                return answer;
            }
            Some(Fault::Refuse) => "refused",
            Some(Fault::LoseReply) => {
                let _ = carry_out(self.inner.clone()).await;
                "carried out, its reply lost"
            }
            Some(Fault::Late) => {
                let late = carry_out(self.inner.clone());
                self.late.calls().push(Box::pin(async move { drop(late.await) }));
                "late"
            }
        };
        self.fate.tell(&format!("{call:?} is {what}"));
        failed(StoreError::Unavailable(format!("a fault was planned ({call:?} is {what})")))
    }
}

impl Store for FaultyStore {
    fn open(&self, runner: WriterId) -> Answer<'_, Opened> {
        let late = Arc::clone(&self.late);
        let open = move |inner: Arc<dyn Store>| -> BoxFuture<'static, _> {
            Box::pin(async move {
                let opened = inner.open(runner).await?;
                late.met_process(&opened.incarnation);
                Ok(opened)
            })
        };
        Box::pin(self.meet(Call::Open, open, Err))
    }

    fn close(&self, runner: WriterId) -> Answer<'_, ()> {
        self.inner.close(runner)
    }

    fn probe(&self) -> Answer<'_, ()> {
        Box::pin(self.meet(Call::Probe, |inner| Box::pin(async move { inner.probe().await }), Err))
    }

    fn lookup(&self, lookups: Vec<(Partition, Lookup)>) -> Answer<'_, Vec<Found>> {
        Box::pin(self.meet(Call::Lookup, |inner| Box::pin(async move { inner.lookup(lookups).await }), Err))
    }

    fn commit(&self, commits: Vec<Commit>) -> BoxFuture<'_, Vec<Result<Committed, StoreError>>> {
        let len = commits.len();
        let call =
            |inner: Arc<dyn Store>| -> BoxFuture<'static, _> { Box::pin(async move { inner.commit(commits).await }) };
        Box::pin(self.meet(Call::Commit, call, move |failure| vec![Err(failure); len]))
    }

    fn start(&self, partition: Partition, event: MarkId, runner: WriterId) -> Answer<'_, u32> {
        let call = move |inner: Arc<dyn Store>| -> BoxFuture<'static, _> {
            Box::pin(async move { inner.start(partition, event, runner).await })
        };
        Box::pin(self.meet(Call::Start, call, Err))
    }

    fn returned(&self, events: Vec<(Partition, MarkId)>) -> Answer<'_, ()> {
        let stuck = *self.stuck.lock().unwrap_or_else(PoisonError::into_inner);
        if events.iter().any(|(_, event)| Some(*event) == stuck) {
            return Box::pin(std::future::pending());
        }
        Box::pin(self.meet(Call::Returned, |inner| Box::pin(async move { inner.returned(events).await }), Err))
    }

    fn position(&self, channel: &ChannelName) -> Answer<'_, Option<u64>> {
        let channel = channel.clone();
        Box::pin(self.meet(Call::Ask, |inner| Box::pin(async move { inner.position(&channel).await }), Err))
    }

    fn advance(&self, channel: &ChannelName, held: Option<u64>, position: u64) -> Answer<'_, ()> {
        let channel = channel.clone();
        let call = move |inner: Arc<dyn Store>| -> BoxFuture<'static, _> {
            Box::pin(async move { inner.advance(&channel, held, position).await })
        };
        Box::pin(self.meet(Call::Advance, call, Err))
    }

    fn outbox(&self, partition: Partition) -> Answer<'_, Vec<OutboxEntry>> {
        Box::pin(self.meet(Call::Ask, move |inner| Box::pin(async move { inner.outbox(partition).await }), Err))
    }

    fn outbox_lens(&self) -> Answer<'_, Vec<u64>> {
        Box::pin(self.meet(Call::Ask, |inner| Box::pin(async move { inner.outbox_lens().await }), Err))
    }

    fn timers(&self, until: Millis, limit: usize) -> Answer<'_, Vec<Timer>> {
        Box::pin(self.meet(Call::Ask, move |inner| Box::pin(async move { inner.timers(until, limit).await }), Err))
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

    fn lease(&self, runner: WriterId, lasts: Duration, now: Millis) -> Answer<'_, Lease> {
        if self.grants.load(Relaxed) {
            return Box::pin(std::future::ready(Ok(Lease::Ours)));
        }
        let call = move |inner: Arc<dyn Store>| -> BoxFuture<'static, _> {
            Box::pin(async move { inner.lease(runner, lasts, now).await })
        };
        Box::pin(self.meet(Call::Lease, call, Err))
    }

    fn release(&self, runner: WriterId) -> Answer<'_, ()> {
        self.inner.release(runner)
    }

    fn holder(&self, now: Millis) -> Answer<'_, Option<Holder>> {
        self.inner.holder(now)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::Position;
    use crate::store::memory::{Memory, MemoryStore};

    const WRITER: WriterId = WriterId([1; 16]);

    /// The first calls of a kind meet these, in turn.
    struct Planned(Call, &'static [Fault]);

    impl Fate for Planned {
        fn strikes(&self, call: Call, nth: u64) -> Option<u64> {
            let fault = self.1.get(usize::try_from(nth - 1).expect("few calls")).filter(|_| call == self.0)?;
            faults(call).iter().position(|one| one == fault).map(|at| at as u64)
        }

        fn travel(&self, _: Call, _: u64, _: Way) -> BoxFuture<'static, ()> {
            Box::pin(std::future::ready(()))
        }

        fn tell(&self, _: &str) {}

        fn told(&self, _: Call, _: &Position) {}
    }

    fn faulty(faults: &'static [Fault]) -> FaultyStore {
        let inner = MemoryStore::new(Memory::new(1, Duration::from_secs(60)));
        FaultyStore::new(Arc::new(inner), Arc::new(Planned(Call::Commit, faults)))
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
        let store = faulty(&[Fault::Refuse, Fault::LoseReply]);
        assert!(is_unavailable(&store, 0).await);
        assert!(is_unavailable(&store, 0).await);
        assert!(store.commit(commit(1)).await[0].is_ok());
    }

    #[tokio::test]
    async fn a_late_call_is_carried_out_when_released() {
        let store = faulty(&[Fault::Late]);
        assert!(is_unavailable(&store, 0).await);
        assert_eq!(store.release_late().await, 1);
        assert!(store.commit(commit(1)).await[0].is_ok());
    }
}
