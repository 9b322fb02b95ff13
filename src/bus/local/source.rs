//! The consuming end.

use std::sync::Arc;
use std::time::Duration;

use futures_util::future::{BoxFuture, FutureExt as _};

use super::consumer::{Consumer, Plan};
use super::stream::{self, StreamRow};
use crate::bus::{BusError, Delivery, Demand, Progress, Source};
use crate::database::Database;
use crate::event::{ChannelName, RawEvent};

/// One pipeline's side of a channel. Sources of the same pipeline and channel share its consumer.
pub struct LocalSource {
    database: Database,
    consumer: Arc<Consumer>,
    channel: ChannelName,
}

impl LocalSource {
    pub(super) fn new(database: Database, consumer: Arc<Consumer>, channel: ChannelName) -> Self {
        Self { database, consumer, channel }
    }

    /// What is to be handed out again first, then what never was; both in stream order. Nothing is handed out before the
    /// last await, so that dropping this loses nothing.
    async fn fetch(&self, demand: Demand) -> Result<Fetched, BusError> {
        let most = demand.events.max(1);
        let (consumer, channel) = (&self.consumer, self.channel.clone());
        match consumer.plan(most) {
            Plan::Again(asked) => {
                let (id, seqs) = (consumer.stream, asked.clone());
                let found = self.database.read(move |connection| {
                    let mut events: Vec<RawEvent> = Vec::new();
                    let mut left = demand.bytes;
                    for seq in &seqs {
                        if let Some(event) = stream::get(connection, id, &channel, *seq)? {
                            let full = !events.is_empty() && left == 0;
                            if full {
                                return Ok((events, *seq));
                            }
                            left = left.saturating_sub(event.weight());
                            events.push(event);
                        }
                    }
                    Ok((events, u64::MAX))
                });
                let (events, end) = found.await?;
                let asked: Vec<u64> = asked.into_iter().filter(|seq| *seq < end).collect();
                Ok(Fetched { batch: consumer.hand_out_again(&self.database, &asked, events), moved: true })
            }
            Plan::Behind(delivered) => {
                let (id, patterns) = (consumer.stream, consumer.patterns.clone());
                let demand = Demand { events: most, ..demand };
                let name = consumer.stream_name().to_owned();
                let found = self.database.read(move |connection| {
                    let last = StreamRow::find(connection, &name)?.map_or(0, |stream| stream.last);
                    let span = (delivered + 1, last);
                    stream::scan(connection, id, &channel, &patterns, span, demand)
                });
                let found = found.await?;
                if let Some(last) = found.events.last() {
                    consumer.reserve(&self.database, last.position.seq).await?;
                }
                let moved = found.seen > delivered;
                let seen = found.seen.max(delivered);
                Ok(Fetched { batch: consumer.hand_out(&self.database, delivered, seen, found.events), moved })
            }
        }
    }
}

struct Fetched {
    batch: Vec<Delivery>,
    /// There may be more, although the batch is empty.
    moved: bool,
}

impl Source for LocalSource {
    fn next(&mut self, demand: Demand) -> BoxFuture<'_, Result<Vec<Delivery>, BusError>> {
        async move {
            loop {
                // Made before looking, so that nothing arrives unnoticed in between.
                let changed = self.database.changed().notified();
                let fetched = self.fetch(demand).await?;
                if !fetched.batch.is_empty() {
                    return Ok(fetched.batch);
                }
                if !fetched.moved {
                    changed.await;
                }
            }
        }
        .boxed()
    }

    fn progress(&self) -> BoxFuture<'_, Result<Progress, BusError>> {
        self.consumer.progress(&self.database).boxed()
    }

    fn read(&self, from: u64, to: u64, demand: Demand) -> BoxFuture<'_, Result<(Vec<RawEvent>, u64), BusError>> {
        let from = from.max(1);
        if from > to {
            return std::future::ready(Ok((Vec::new(), from))).boxed();
        }
        let (id, channel, patterns) = (self.consumer.stream, self.channel.clone(), self.consumer.patterns.clone());
        let demand = Demand { events: demand.events.max(1), ..demand };
        let found =
            self.database.read(move |connection| stream::scan(connection, id, &channel, &patterns, (from, to), demand));
        async move {
            let found = found.await?;
            Ok((found.events, found.seen.saturating_add(1)))
        }
        .boxed()
    }

    fn settle(&mut self, within: Duration) -> BoxFuture<'_, usize> {
        async move {
            match tokio::time::timeout(within, self.consumer.settle(&self.database)).await {
                Ok(Ok(())) => 0,
                Ok(Err(_)) | Err(_) => self.consumer.unwritten(),
            }
        }
        .boxed()
    }
}
