//! The channels of a [`Program`], by name.

use std::collections::BTreeMap;
use std::sync::Arc;

use futures_util::future::{BoxFuture, FutureExt as _};

use super::memory::MemoryBus;
use super::nats::{Connection, StreamChannel, Tuning};
use super::{BusError, Channels, ConsumerSpec, Progress, Sink, Source};
use crate::clock::Clock;
use crate::event::ChannelName;
use crate::spec::program::{Channel, ChannelKind, Program};

/// Channels that pipelines may read from and publish to. Channels on one connection share it, and memory channels
/// live as long as this value.
pub struct OpenChannels {
    channels: BTreeMap<ChannelName, Place>,
    memory: MemoryBus,
}

enum Place {
    Memory,
    Nats(Box<OnNats>),
}

struct OnNats {
    connection: Connection,
    channel: StreamChannel,
    tuning: Tuning,
}

impl OpenChannels {
    /// Opens the connections that these channels live on, without waiting for the servers.
    pub async fn open<'n>(
        program: &Program,
        names: impl IntoIterator<Item = &'n ChannelName>,
        clock: Arc<dyn Clock>,
    ) -> Result<Self, BusError> {
        let mut connections: BTreeMap<Arc<str>, Connection> = BTreeMap::new();
        let mut channels = BTreeMap::new();
        for name in names {
            let Some(channel) = program.channels.get(name) else { continue };
            let place = match &channel.kind {
                ChannelKind::Memory => Place::Memory,
                ChannelKind::Nats { connection: name, ack_wait, .. } => {
                    let connection = match connections.get(name) {
                        Some(connection) => connection.clone(),
                        None => {
                            let connection = connect(program, name).await?;
                            connections.insert(Arc::clone(name), connection.clone());
                            connection
                        }
                    };
                    Place::Nats(Box::new(OnNats {
                        connection,
                        channel: stream_channel(channel)?,
                        tuning: Tuning { ack_wait: *ack_wait, ..Tuning::default() },
                    }))
                }
            };
            channels.insert(name.clone(), place);
        }
        Ok(Self { channels, memory: MemoryBus::new(clock) })
    }

    /// Where a pipeline's consumer stands, without making it. `None`: it does not exist yet.
    pub async fn progress(&self, spec: ConsumerSpec) -> Result<Option<Progress>, BusError> {
        match self.place(&spec.channel)? {
            Place::Memory => Ok(None),
            Place::Nats(on) => on.connection.progress(on.channel.clone(), spec).await,
        }
    }

    fn place(&self, name: &ChannelName) -> Result<&Place, BusError> {
        self.channels
            .get(name)
            .ok_or_else(|| BusError::Refused(format!("channel `{name}` is not open; please report this as a bug")))
    }
}

/// One connection of a program.
pub async fn connect(program: &Program, name: &str) -> Result<Connection, BusError> {
    let settings = program.connections.get(name).ok_or_else(|| {
        BusError::Refused(format!("there is no connection `{name}`; list it under `connections` in `sluice.yaml`"))
    })?;
    Connection::open(name, settings).await
}

fn stream_channel(channel: &Channel) -> Result<StreamChannel, BusError> {
    StreamChannel::of(&channel.kind)
        .ok_or_else(|| BusError::Refused(format!("channel `{}` is not on NATS", channel.name)))
}

impl Channels for OpenChannels {
    fn source(&self, spec: ConsumerSpec) -> BoxFuture<'_, Result<Box<dyn Source>, BusError>> {
        let source = self.place(&spec.channel).map(|place| match place {
            Place::Memory => Box::new(self.memory.source(spec)) as Box<dyn Source>,
            Place::Nats(on) => Box::new(on.connection.source(on.channel.clone(), spec, on.tuning)),
        });
        std::future::ready(source).boxed()
    }

    fn sink(&self, name: &ChannelName) -> Result<Arc<dyn Sink>, BusError> {
        Ok(match self.place(name)? {
            Place::Memory => Arc::new(self.memory.sink(name.clone())),
            Place::Nats(on) => Arc::new(
                on.connection
                    .sink(on.channel.clone())
                    .map_err(|error| BusError::Refused(format!("channel `{name}`: {error}")))?,
            ),
        })
    }
}
