//! Where a pipeline stands, from its store and its brokers; looking changes nothing.

use std::sync::Arc;

use crate::bus::open::OpenChannels;
use crate::bus::{BusError, ConsumerSpec, Progress};
use crate::clock::Clock;
use crate::database::Database;
use crate::event::ChannelName;
use crate::spec::program::{Pipeline, Program};
use crate::store::{Census, Holder, Opened, Store, StoreError, open};

#[derive(Debug)]
pub struct PipelineStatus {
    pub pipeline: Arc<Pipeline>,
    /// `None`: the pipeline never ran on this store.
    pub store: Result<Option<StoreStatus>, StoreError>,
    pub inputs: Vec<InputStatus>,
}

#[derive(Debug)]
pub struct StoreStatus {
    pub opened: Opened,
    pub census: Census,
    /// Who is active. `None`: nobody; or who runs on this store needs no lease.
    pub active: Option<Holder>,
}

impl StoreStatus {
    async fn ask(store: &dyn Store, opened: Opened, clock: &dyn Clock) -> Result<Self, StoreError> {
        Ok(Self { opened, census: store.census().await?, active: store.holder(clock.now()).await? })
    }
}

#[derive(Debug)]
pub struct InputStatus {
    pub channel: ChannelName,
    /// As stored. `None` when it is not known, or the store does not answer.
    pub position: Option<u64>,
    pub broker: Broker,
}

#[derive(Debug)]
pub enum Broker {
    /// The consumer is made with the first run.
    NoConsumer,
    Progress(Progress),
    Down(BusError),
}

impl PipelineStatus {
    /// Asks store and brokers; what does not answer is part of the answer.
    pub async fn ask(
        program: &Program,
        pipeline: &Arc<Pipeline>,
        channels: &OpenChannels,
        database: Option<&Database>,
        clock: Arc<dyn Clock>,
    ) -> Self {
        let beside = open::beside(program, pipeline, database, Arc::clone(&clock)).await;
        let mut inputs = Vec::new();
        for channel in pipeline.inputs() {
            let position = match &beside {
                Ok(Some((store, _))) => store.position(&channel).await.ok().flatten(),
                Ok(None) | Err(_) => None,
            };
            let spec =
                ConsumerSpec { pipeline: Arc::clone(&pipeline.name), channel: channel.clone(), start_after: None };
            let broker = match channels.progress(spec).await {
                Ok(Some(progress)) => Broker::Progress(progress),
                Ok(None) => Broker::NoConsumer,
                Err(error) => Broker::Down(error),
            };
            inputs.push(InputStatus { channel, position, broker });
        }
        let store = match beside {
            Ok(Some((store, opened))) => StoreStatus::ask(&*store, opened, &*clock).await.map(Some),
            Ok(None) => Ok(None),
            Err(error) => Err(error),
        };
        Self { pipeline: Arc::clone(pipeline), store, inputs }
    }

    /// Whether everything that was asked answered.
    pub fn answered(&self) -> bool {
        self.store.is_ok() && !self.inputs.iter().any(|input| matches!(input.broker, Broker::Down(_)))
    }
}
