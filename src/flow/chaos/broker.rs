//! A bus on which publishes go wrong.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;

use crate::bus::memory::MemoryBus;
use crate::bus::{BusError, Channels, ConsumerSpec, Outgoing, PublishError, Sink, Source};
use crate::clock::SeededEntropy;
use crate::event::ChannelName;

/// A bus whose publishes can go wrong.
pub struct Broker {
    pub bus: MemoryBus,
    pub faults: bool,
    /// Some emissions are refused for good.
    pub refuses: bool,
    pub luck: Arc<SeededEntropy>,
    /// Publishes go wrong only while this is above zero.
    pub trouble_left: Arc<AtomicU64>,
}

struct ShakySink {
    inner: Arc<dyn Sink>,
    faults: bool,
    refuses: bool,
    luck: Arc<SeededEntropy>,
    trouble_left: Arc<AtomicU64>,
}

impl Channels for Broker {
    fn source(&self, spec: ConsumerSpec) -> BoxFuture<'_, Result<Box<dyn Source>, BusError>> {
        let source: Box<dyn Source> = Box::new(self.bus.source(spec));
        std::future::ready(Ok(source)).boxed()
    }

    fn sink(&self, channel: &ChannelName) -> Result<Arc<dyn Sink>, BusError> {
        Ok(Arc::new(ShakySink {
            inner: Arc::new(self.bus.sink(channel.clone())),
            faults: self.faults,
            refuses: self.refuses,
            luck: Arc::clone(&self.luck),
            trouble_left: Arc::clone(&self.trouble_left),
        }))
    }
}

impl Sink for ShakySink {
    fn publish(&self, event: Outgoing) -> BoxFuture<'static, Result<(), PublishError>> {
        let trouble = self.faults && self.trouble_left.load(Relaxed) > 0;
        let (roll, pause) = (self.luck.next() % 10, self.luck.next() % 40);
        let inner = Arc::clone(&self.inner);
        let refused = self.refuses && is_refused(&event.payload);
        async move {
            tokio::time::sleep(Duration::from_millis(pause)).await;
            if refused {
                return Err(PublishError::Refused("it has a number that is not liked here".to_owned()));
            }
            match roll {
                0 | 1 if trouble => Err(PublishError::Unconfirmed("no answer, not stored".to_owned())),
                2 if trouble => {
                    inner.publish(event).await?;
                    Err(PublishError::Unconfirmed("no answer, but stored".to_owned()))
                }
                _ => inner.publish(event).await,
            }
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

/// Of every five numbers one is.
pub fn is_refused(payload: &[u8]) -> bool {
    let event: serde_json::Value = serde_json::from_slice(payload).unwrap_or_default();
    event["data"]["n"].as_u64().is_some_and(|n| n % 5 == 0)
}
