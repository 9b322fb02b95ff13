//! The channels of a [`Program`], by name.

use std::collections::BTreeMap;
use std::sync::Arc;

use futures_util::future::{BoxFuture, FutureExt as _};

use super::local::LocalBus;
use super::nats::{Connection, StreamChannel, Tuning};
use super::{BusError, Channels, ConsumerSpec, Progress, Sink, Source};
use crate::clock::Clock;
use crate::database::Database;
use crate::event::ChannelName;
use crate::spec::program::{Channel, ChannelKind, LocalStream, Program};

/// Channels that pipelines may read from and publish to. Channels on one connection share it.
pub struct OpenChannels {
    channels: BTreeMap<ChannelName, Place>,
    /// `None`: there is no database (yet).
    local: Option<LocalBus>,
}

enum Place {
    Local(LocalStream),
    Nats(Box<OnNats>),
}

struct OnNats {
    connection: Connection,
    channel: StreamChannel,
    tuning: Tuning,
}

impl OpenChannels {
    /// Opens the connections that these channels live on, without waiting for the servers. Local ones live in `database`.
    pub async fn open<'n>(
        program: &Program,
        names: impl IntoIterator<Item = &'n ChannelName>,
        database: Option<&Database>,
        clock: Arc<dyn Clock>,
    ) -> Result<Self, BusError> {
        let mut connections: BTreeMap<Arc<str>, Connection> = BTreeMap::new();
        let mut channels = BTreeMap::new();
        for name in names {
            let Some(channel) = program.channels.get(name) else { continue };
            let place = match &channel.kind {
                ChannelKind::Local(stream) => Place::Local(stream.clone()),
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
        let local = database.map(|database| LocalBus::new(database.clone(), clock, program.pipeline_names()));
        Ok(Self { channels, local })
    }

    /// Where a pipeline's consumer stands, without making it. `None`: it does not exist yet.
    pub async fn progress(&self, spec: ConsumerSpec) -> Result<Option<Progress>, BusError> {
        match self.place(&spec.channel)? {
            Place::Local(stream) => match &self.local {
                Some(local) => local.progress(stream, &spec).await,
                None => Ok(None),
            },
            Place::Nats(on) => on.connection.progress(on.channel.clone(), spec).await,
        }
    }

    fn local(&self) -> Result<&LocalBus, BusError> {
        let closed = || BusError::Refused("the database is not open; please report this as a bug".to_owned());
        self.local.as_ref().ok_or_else(closed)
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
        async move {
            Ok(match self.place(&spec.channel)? {
                Place::Local(stream) => Box::new(self.local()?.source(stream, spec).await?) as Box<dyn Source>,
                Place::Nats(on) => Box::new(on.connection.source(on.channel.clone(), spec, on.tuning)),
            })
        }
        .boxed()
    }

    fn sink(&self, name: &ChannelName) -> Result<Arc<dyn Sink>, BusError> {
        let named = |error: BusError| BusError::Refused(format!("channel `{name}`: {error}"));
        Ok(match self.place(name)? {
            Place::Local(stream) => Arc::new(self.local()?.sink(stream).map_err(named)?),
            Place::Nats(on) => Arc::new(on.connection.sink(on.channel.clone()).map_err(named)?),
        })
    }
}
