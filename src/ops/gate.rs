//! A [`Program`] → running pipelines.

use std::collections::BTreeSet;
use std::sync::Arc;

use futures_util::StreamExt as _;
use futures_util::stream::FuturesUnordered;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use crate::bus::Channels;
use crate::clock::{Clock, Entropy};
use crate::event::ChannelName;
use crate::flow::context::{Context, Phase, Scripts};
use crate::flow::emit::{Destination, Destinations};
use crate::flow::outbox::PublishCounts;
use crate::flow::story::Watcher;
use crate::flow::supervisor::{self, CannotRun, Options};
use crate::flow::tally::Tally;
use crate::script::pool::Pool;
use crate::spec::program::{Pipeline, Program, Written};
use crate::store::{Store, WriterId};

/// What pipelines stand on, besides their program.
#[derive(Clone)]
pub struct Ground {
    pub channels: Arc<dyn Channels>,
    pub scripts: Scripts,
    pub clock: Arc<dyn Clock>,
    pub entropy: Arc<dyn Entropy>,
    /// This process, to the stores.
    pub runner: WriterId,
    pub watcher: Option<Watcher>,
}

impl Ground {
    /// Scripts run on as many threads as `options` has workers.
    pub fn new(
        channels: Arc<dyn Channels>,
        workers: usize,
        clock: Arc<dyn Clock>,
        entropy: Arc<dyn Entropy>,
    ) -> std::io::Result<Self> {
        let scripts = Scripts::Pool(Arc::new(Pool::new(workers)?));
        let runner = WriterId(entropy.fresh());
        Ok(Self { channels, scripts, clock, entropy, runner, watcher: None })
    }

    /// Everything one pipeline needs to run. Does no I/O.
    pub fn context(
        &self,
        program: &Program,
        pipeline: &Arc<Pipeline>,
        store: Arc<dyn Store>,
    ) -> Result<Context, CannotRun> {
        let mut destinations = Destinations::default();
        for name in pipeline.emits.iter().flat_map(|emit| &emit.to).chain(&pipeline.dead_letter) {
            if destinations.0.contains_key(name) {
                continue;
            }
            let sink = self
                .channels
                .sink(name)
                .map_err(|error| CannotRun { pipeline: pipeline.name.to_string(), why: error.to_string() })?;
            let envelope = program.channels.get(name).map_or(Written::Sluice, |channel| channel.envelope.written());
            destinations.0.insert(name.clone(), Destination { sink, envelope });
        }
        Ok(Context {
            pipeline: Arc::clone(pipeline),
            revision: Arc::clone(&program.revision),
            envelopes: program
                .channels
                .iter()
                .map(|(name, channel)| (name.clone(), channel.envelope.clone()))
                .collect(),
            destinations,
            store,
            clock: Arc::clone(&self.clock),
            entropy: Arc::clone(&self.entropy),
            scripts: self.scripts.clone(),
            runner: self.runner,
            tally: Tally::new(pipeline),
            published: PublishCounts::default(),
            phase: watch::Sender::new(Phase::Connecting("starting".to_owned())),
            watcher: self.watcher.clone(),
        })
    }
}

/// Every channel that these pipelines read from or publish to.
pub fn channels_of<'p>(pipelines: impl IntoIterator<Item = &'p Arc<Pipeline>>) -> BTreeSet<ChannelName> {
    let of = |pipeline: &Arc<Pipeline>| {
        let outputs = pipeline.emits.iter().flat_map(|emit| emit.to.clone());
        pipeline.inputs().into_iter().chain(outputs).chain(pipeline.dead_letter.clone()).collect::<Vec<_>>()
    };
    pipelines.into_iter().flat_map(of).collect()
}

/// All pipelines of a program, ready to run.
pub struct Gate {
    pub pipelines: Vec<Arc<Context>>,
    channels: Arc<dyn Channels>,
}

impl Gate {
    /// `store` opens a pipeline's store. Nothing is connected or spawned yet.
    pub fn build(
        program: &Program,
        ground: &Ground,
        mut store: impl FnMut(&Pipeline) -> Result<Arc<dyn Store>, CannotRun>,
    ) -> Result<Self, CannotRun> {
        let contexts = program
            .pipelines
            .iter()
            .map(|pipeline| Ok(Arc::new(ground.context(program, pipeline, store(pipeline)?)?)))
            .collect::<Result<_, _>>()?;
        Ok(Self { pipelines: contexts, channels: Arc::clone(&ground.channels) })
    }

    /// Runs every pipeline until `stop`. The first one that cannot run stops all, and is the result; the others
    /// drain as they would on any stop.
    pub async fn run(&self, options: &Options, stop: &CancellationToken) -> Result<(), CannotRun> {
        let mut running: FuturesUnordered<_> = self
            .pipelines
            .iter()
            .map(|context| {
                let channels = Arc::clone(&self.channels);
                supervisor::run(Arc::clone(context), channels, options.clone(), stop.clone())
            })
            .collect();
        let mut result = Ok(());
        while let Some(ended) = running.next().await {
            if ended.is_err() && result.is_ok() {
                stop.cancel();
                result = ended;
            }
        }
        result
    }
}
