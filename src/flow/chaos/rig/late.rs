//! A runner that starts while another is at work: what the broker told it is old when the store answers.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::time::Duration;

use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;
use tokio_util::sync::CancellationToken;

use super::{World, in_virtual_time};
use crate::bus::memory::MemoryBus;
use crate::bus::{BusError, Channels, ConsumerSpec, Delivery, Demand, Progress, Sink, Source};
use crate::event::{ChannelName, Headers, RawEvent};
use crate::flow::chaos::luck::{Luck, Mishaps};
use crate::flow::chaos::plan::Plan;
use crate::flow::chaos::workload::fold::counted;
use crate::flow::decide::Outcome;
use crate::flow::supervisor::{self, Options};
use crate::store::memory::{Memory, MemoryStore};
use crate::store::{Store, WriterId};
use crate::testkit::fate::Fate;
use crate::testkit::faulty_bus::FaultyBus;

/// A runner that starts while another one, faster, is at work.
pub fn late() -> Result<(), String> {
    in_virtual_time(async { World::new(Plan::default(), Luck(1), Mishaps::default(), false).late().await })
}

/// Between the broker's first answer and the store's next, another runner handles two more events.
struct Late {
    channels: Arc<dyn Channels>,
    meanwhile: Arc<Meanwhile>,
}

struct Meanwhile {
    bus: MemoryBus,
    memory: Arc<Memory>,
    over: AtomicBool,
}

impl Meanwhile {
    async fn pass(&self) {
        if self.over.swap(true, Relaxed) {
            return;
        }
        for n in [2, 3] {
            put(&self.bus, n);
        }
        let other = MemoryStore::new(Arc::clone(&self.memory));
        other.open(WriterId([9; 16])).await.expect("it opens");
        other.advance(&"in".into(), None, 3).await.expect("it takes a position");
    }
}

fn put(bus: &MemoryBus, n: u64) {
    bus.sink("in".into()).put(Headers::default(), counted(n, "k", 1, false).payload).expect("room");
}

impl Channels for Late {
    fn source(&self, spec: ConsumerSpec) -> BoxFuture<'_, Result<Box<dyn Source>, BusError>> {
        async move {
            let inner = self.channels.source(spec).await?;
            Ok(Box::new(LateSource { inner, meanwhile: Arc::clone(&self.meanwhile) }) as Box<dyn Source>)
        }
        .boxed()
    }

    fn sink(&self, channel: &ChannelName) -> Result<Arc<dyn Sink>, BusError> {
        self.channels.sink(channel)
    }
}

struct LateSource {
    inner: Box<dyn Source>,
    meanwhile: Arc<Meanwhile>,
}

impl Source for LateSource {
    fn next(&mut self, demand: Demand) -> BoxFuture<'_, Result<Vec<Delivery>, BusError>> {
        self.inner.next(demand)
    }

    fn progress(&self) -> BoxFuture<'_, Result<Progress, BusError>> {
        async move {
            let told = self.inner.progress().await;
            self.meanwhile.pass().await;
            told
        }
        .boxed()
    }

    fn read(&self, from: u64, to: u64, demand: Demand) -> BoxFuture<'_, Result<(Vec<RawEvent>, u64), BusError>> {
        self.inner.read(from, to, demand)
    }

    fn settle(&mut self, within: Duration) -> BoxFuture<'_, usize> {
        self.inner.settle(within)
    }
}

impl World {
    async fn late(mut self) -> Result<(), String> {
        put(&self.bus, 1);
        let meanwhile =
            Meanwhile { bus: self.bus.clone(), memory: Arc::clone(&self.memory), over: AtomicBool::new(false) };
        let life = Arc::new(self.life(Luck(1)));
        let store = self.store(&life);
        let channels = FaultyBus::new(self.broker.clone(), life as Arc<dyn Fate>);
        let context = self.context(&store, &channels, Luck(1));
        let channels = Late { channels: Arc::new(channels), meanwhile: Arc::new(meanwhile) };
        let (tally, stop) = (Arc::clone(&context.tally), CancellationToken::new());
        let run = supervisor::run(context, Arc::new(channels), Options::default(), stop.clone());
        let handled = async {
            while tally.snapshot().of(Outcome::Done) < 3 {
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
            stop.cancel();
            std::future::pending::<()>().await;
        };
        let ended = tokio::select! {
            ended = tokio::time::timeout(Duration::from_secs(60), run) => ended,
            () = handled => unreachable!("it waits"),
        };
        ended.map_err(|_| "it hangs".to_owned())?.map_err(|error| error.to_string())
    }
}
