//! The channels of one run: in memory, keeping account of what is published.

use std::collections::HashSet;
use std::sync::atomic::{AtomicI64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;
use tokio_util::sync::CancellationToken;

use crate::bus::memory::{MemoryBus, MemorySink};
use crate::bus::{BusError, Channels, ConsumerSpec, PublishError, Sink, Source};
use crate::clock::Clock;
use crate::event::{ChannelName, Millis, Outgoing};

/// More is published by nothing but a circle.
const MOST: usize = 10_000;

/// Stands still but when it is told to go on.
pub struct StageClock(AtomicI64);

impl StageClock {
    pub fn new(now: Millis) -> Self {
        Self(AtomicI64::new(now.0))
    }

    pub fn forward(&self, time: Duration) {
        self.0.store(self.now().plus(time).0, Relaxed);
    }
}

impl Clock for StageClock {
    fn now(&self) -> Millis {
        Millis(self.0.load(Relaxed))
    }
}

/// When a publish kills the process: the nth, from 1, before or after it is carried out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Death {
    pub nth: u64,
    pub after: bool,
}

pub struct Wires {
    pub bus: MemoryBus,
    account: Mutex<Account>,
    died: CancellationToken,
}

#[derive(Default)]
struct Account {
    calls: u64,
    death: Option<Death>,
    ids: HashSet<String>,
    published: Vec<(ChannelName, Arc<Outgoing>)>,
}

impl Wires {
    pub fn new(bus: MemoryBus, death: Option<Death>) -> Arc<Self> {
        let account = Mutex::new(Account { death, ..Account::default() });
        Arc::new(Self { bus, account, died: CancellationToken::new() })
    }

    fn account(&self) -> MutexGuard<'_, Account> {
        self.account.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub fn calls(&self) -> u64 {
        self.account().calls
    }

    pub fn died(&self) -> &CancellationToken {
        &self.died
    }

    /// What is published keeps going round.
    pub fn runs_away(&self) -> bool {
        self.account().published.len() >= MOST
    }

    pub fn has_published(&self, dedupe_id: &str) -> bool {
        self.account().ids.contains(dedupe_id)
    }

    /// What left, each once, in order.
    pub fn published(&self) -> Vec<(ChannelName, Arc<Outgoing>)> {
        self.account().published.clone()
    }

    /// Whether the process dies at this call: before it, or after it.
    fn call(&self) -> Option<bool> {
        let mut account = self.account();
        account.calls += 1;
        let calls = account.calls;
        account.death.take_if(|death| death.nth == calls).map(|death| death.after)
    }

    fn note(&self, channel: &ChannelName, event: Arc<Outgoing>) {
        let mut account = self.account();
        if account.ids.insert(event.dedupe_id.clone()) {
            account.published.push((Arc::clone(channel), event));
        }
    }

    async fn die<T>(&self) -> T {
        self.died.cancel();
        std::future::pending().await
    }
}

/// What a process has of them.
pub struct Ends(pub Arc<Wires>);

impl Channels for Ends {
    fn source(&self, spec: ConsumerSpec) -> BoxFuture<'_, Result<Box<dyn Source>, BusError>> {
        let source: Box<dyn Source> = Box::new(self.0.bus.source(spec));
        std::future::ready(Ok(source)).boxed()
    }

    fn sink(&self, channel: &ChannelName) -> Result<Arc<dyn Sink>, BusError> {
        let inner = self.0.bus.sink(Arc::clone(channel));
        Ok(Arc::new(NotedSink { wires: Arc::clone(&self.0), channel: Arc::clone(channel), inner }))
    }
}

struct NotedSink {
    wires: Arc<Wires>,
    channel: ChannelName,
    inner: MemorySink,
}

impl Sink for NotedSink {
    fn publish(&self, event: Arc<Outgoing>) -> BoxFuture<'static, Result<(), PublishError>> {
        let (wires, channel, inner) = (Arc::clone(&self.wires), Arc::clone(&self.channel), self.inner.clone());
        async move {
            if wires.runs_away() {
                // Whoever watches the run sees it.
                return std::future::pending().await;
            }
            let death = wires.call();
            if death == Some(false) {
                return wires.die().await;
            }
            let published = inner.publish(event.clone()).await;
            if published.is_ok() {
                wires.note(&channel, event);
            }
            if death == Some(true) {
                return wires.die().await;
            }
            published
        }
        .boxed()
    }

    fn subject(&self, pipeline: &str, kind: &str, key: &str) -> Result<String, String> {
        self.inner.subject(pipeline, kind, key)
    }

    fn max_bytes(&self) -> usize {
        self.inner.max_bytes()
    }
}
