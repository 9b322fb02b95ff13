//! The publishing end.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use futures_util::future::{BoxFuture, FutureExt as _};

use super::LocalBus;
use super::stream::{self, Storing};
use crate::bus::{PublishError, Sink, subject};
use crate::event::Outgoing;
use crate::spec::program::LocalStream;

/// Largest event in bytes, whatever the stream takes in all.
const MAX_EVENT: u64 = 64 << 20;

/// Publishes to one stream.
#[derive(Clone)]
pub struct LocalSink {
    bus: LocalBus,
    stream: LocalStream,
    template: String,
}

impl LocalSink {
    pub(super) fn new(bus: LocalBus, stream: LocalStream, template: String) -> Self {
        Self { bus, stream, template }
    }
}

impl Sink for LocalSink {
    fn publish(&self, mut event: Arc<Outgoing>) -> BoxFuture<'static, Result<(), PublishError>> {
        let most = self.stream.max_bytes.min(MAX_EVENT);
        let (bus, stream, now) = (self.bus.clone(), self.stream.clone(), self.bus.clock.now());
        if event.subject.is_empty() {
            Arc::make_mut(&mut event).subject.clone_from(&self.template);
        }
        // Without the subject: whoever asked what we take did not count it.
        if stream::weight(&event) - event.subject.len() as u64 > most {
            let why = format!("the event is larger than the local stream `{}` takes ({most} bytes)", stream.stream);
            return std::future::ready(Err(PublishError::Refused(why))).boxed();
        }
        let (name, readers) = (stream.stream.clone(), Arc::clone(&bus.pipelines));
        let stored = bus.database.write(move |connection| stream::store(connection, &stream, &readers, &event, now));
        async move {
            match stored.await? {
                Storing::Full { behind } => Err(PublishError::Unconfirmed(format!(
                    "the local stream `{name}` is full, and pipeline `{behind}` is not done with its oldest event: let it \
                     catch up, or raise `max_bytes`"
                ))),
                Storing::Done { unread_by } => {
                    bus.database.tell();
                    if let Some(pipeline) = unread_by.filter(|_| !bus.told.swap(true, Ordering::Relaxed)) {
                        tracing::warn!(
                            stream = name, pipeline,
                            "the local stream is full: events go that this pipeline did not read, as it is not in the project any more"
                        );
                    }
                    Ok(())
                }
                Storing::Before => Ok(()),
            }
        }
        .boxed()
    }

    fn subject(&self, pipeline: &str, kind: &str, key: &str) -> Result<String, String> {
        subject::fill(&self.template, pipeline, kind, key)
    }

    fn max_bytes(&self) -> usize {
        usize::try_from(self.stream.max_bytes.min(MAX_EVENT)).unwrap_or(usize::MAX)
    }
}
