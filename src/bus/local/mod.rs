//! Streams in the project's own database: durable, shared by name, with a consumer for each pipeline and channel.
//!
//! A stream belongs to this machine, and one process at a time runs pipelines on it. So what was handed out and not
//! acked lives in that process; the database keeps the floor below which all is acked. After a crash everything above
//! it is handed out again, in order.

mod consumer;
mod sink;
mod source;
mod stream;

use std::collections::HashMap;
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Mutex, PoisonError};

use crate::bus::{BusError, ConsumerSpec, Progress, PublishError};
use crate::clock::Clock;
use crate::database::{Database, Trouble};
use crate::event::ChannelName;
use crate::spec::program::LocalStream;

use consumer::Consumer;
pub use sink::LocalSink;
pub use source::LocalSource;

impl From<Trouble> for BusError {
    fn from(trouble: Trouble) -> Self {
        match trouble {
            Trouble::Passing(why) => Self::Unavailable(why),
            Trouble::Lasting(why) => Self::Refused(why),
        }
    }
}

impl From<Trouble> for PublishError {
    fn from(trouble: Trouble) -> Self {
        match trouble {
            // Of a refusal that a person can mend, the event is not to blame.
            Trouble::Passing(why) | Trouble::Lasting(why) => Self::Unconfirmed(why),
        }
    }
}

/// A handle; its clones share the consumers.
#[derive(Clone)]
pub struct LocalBus {
    database: Database,
    clock: Arc<dyn Clock>,
    pipelines: Arc<[Arc<str>]>,
    consumers: Arc<Mutex<Consumers>>,
    /// That something unread had to go was said.
    told: Arc<AtomicBool>,
}

/// By stream, pipeline and channel.
type Consumers = HashMap<(String, Arc<str>, ChannelName), Arc<Consumer>>;

impl LocalBus {
    /// `clock` stamps events as they are stored. `pipelines` are those of the project: for others that once read a stream
    /// nothing is kept that takes the room of something new.
    pub fn new(database: Database, clock: Arc<dyn Clock>, pipelines: impl IntoIterator<Item = Arc<str>>) -> Self {
        let pipelines = pipelines.into_iter().collect();
        Self { database, clock, pipelines, consumers: Arc::default(), told: Arc::default() }
    }

    /// Connects this pipeline's consumer, making it when it is not there.
    pub async fn source(&self, stream: &LocalStream, spec: ConsumerSpec) -> Result<LocalSource, BusError> {
        let name = (stream.stream.clone(), Arc::clone(&spec.pipeline), spec.channel.clone());
        let known = self.consumers.lock().unwrap_or_else(PoisonError::into_inner).get(&name).cloned();
        let consumer = match known {
            Some(consumer) => consumer,
            None => {
                let consumer = Arc::new(Consumer::open(&self.database, stream, &spec).await?);
                let mut consumers = self.consumers.lock().unwrap_or_else(PoisonError::into_inner);
                Arc::clone(consumers.entry(name).or_insert(consumer))
            }
        };
        Ok(LocalSource::new(self.database.clone(), consumer, spec.channel))
    }

    /// Publishes by the stream's only subject.
    pub fn sink(&self, stream: &LocalStream) -> Result<LocalSink, BusError> {
        let [subject] = stream.subjects.as_slice() else {
            return Err(BusError::Refused("it has several subjects, and cannot be published to".to_owned()));
        };
        Ok(self.publisher(stream, subject))
    }

    /// Publishes by a template of one's own, where the channel has wildcards or several subjects.
    pub fn publisher(&self, stream: &LocalStream, template: &str) -> LocalSink {
        LocalSink::new(self.clone(), stream.clone(), template.to_owned())
    }

    /// Where a consumer stands, without making it. `None`: it is not there yet.
    pub async fn progress(&self, stream: &LocalStream, spec: &ConsumerSpec) -> Result<Option<Progress>, BusError> {
        consumer::look(&self.database, stream, spec).await
    }
}

#[cfg(test)]
mod tests;
