//! The publishing end.

use std::sync::Arc;

use futures_util::future::{BoxFuture, FutureExt as _};

use super::stream::{self, Storing};
use crate::bus::{Outgoing, PublishError, Sink, subject};
use crate::clock::Clock;
use crate::database::Database;
use crate::spec::program::LocalStream;

/// Largest event in bytes, whatever the stream takes in all.
const MAX_EVENT: u64 = 64 << 20;

/// Publishes to one stream.
#[derive(Clone)]
pub struct LocalSink {
    database: Database,
    clock: Arc<dyn Clock>,
    stream: LocalStream,
    template: String,
}

impl LocalSink {
    pub(super) fn new(database: Database, clock: Arc<dyn Clock>, stream: LocalStream, template: String) -> Self {
        Self { database, clock, stream, template }
    }
}

impl Sink for LocalSink {
    fn publish(&self, mut event: Outgoing) -> BoxFuture<'static, Result<(), PublishError>> {
        let most = self.stream.max_bytes.min(MAX_EVENT);
        let (database, stream, now) = (self.database.clone(), self.stream.clone(), self.clock.now());
        if event.subject.is_empty() {
            event.subject.clone_from(&self.template);
        }
        if stream::weight(&event) > most {
            let why = format!("the event is larger than the local stream `{}` takes ({most} bytes)", stream.stream);
            return std::future::ready(Err(PublishError::Refused(why))).boxed();
        }
        let name = stream.stream.clone();
        let stored = self.database.write(move |connection| stream::store(connection, &stream, &event, now));
        async move {
            match stored.await? {
                Storing::Full { behind } => Err(PublishError::Unconfirmed(format!(
                    "the local stream `{name}` is full, and pipeline `{behind}` is not done with its oldest event: let it \
                     catch up, or raise `max_bytes`"
                ))),
                Storing::Done => {
                    database.tell();
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
