//! What all parts of one running pipeline share.

use std::collections::BTreeMap;
use std::sync::Arc;

use tokio::sync::watch;

use super::decide::Env;
use super::emit::Destinations;
use super::outbox::PublishCounts;
use super::story::{Told, Watcher};
use super::tally::Tally;
use crate::clock::{Clock, Entropy};
use crate::event::ChannelName;
use crate::script::pool::{Lost, Pool};
use crate::spec::program::{Envelope, Pipeline};
use crate::store::{Store, WriterId};

pub struct Context {
    pub pipeline: Arc<Pipeline>,
    /// Revision of the program this pipeline belongs to.
    pub revision: Arc<str>,
    pub envelopes: BTreeMap<ChannelName, Envelope>,
    pub destinations: Destinations,
    pub store: Arc<dyn Store>,
    pub clock: Arc<dyn Clock>,
    pub entropy: Arc<dyn Entropy>,
    pub scripts: Scripts,
    /// This process, to the store: who is at work, who started an event.
    pub runner: WriterId,
    pub tally: Arc<Tally>,
    pub published: PublishCounts,
    pub phase: watch::Sender<Phase>,
    /// Told each outcome.
    pub watcher: Option<Watcher>,
}

/// Where a running pipeline stands; what `/readyz` tells.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Phase {
    /// Waiting for a store or a broker, and what it said.
    Connecting(String),
    /// Another runner is active; this one takes over when that ends.
    Standby(WriterId),
    /// Running again what was delivered before and has no outcome.
    Recovering,
    Running,
    /// The store does not take commits; nothing is pulled.
    Holding,
    Stopping,
    Stopped,
}

impl Phase {
    /// As it should be. Who stands by is: a rolling deployment waits for the new one to be ready before it ends the old
    /// one, and that is what the new one waits for.
    pub fn ready(&self) -> bool {
        matches!(self, Self::Running | Self::Standby(_))
    }

    /// It takes events.
    pub fn active(&self) -> bool {
        matches!(self, Self::Running)
    }
}

impl std::fmt::Display for Phase {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Connecting(why) => write!(f, "connecting: {why}"),
            Self::Standby(active) => write!(f, "standby: runner {active} is active"),
            Self::Recovering => f.write_str("recovering"),
            Self::Running => f.write_str("running"),
            Self::Holding => f.write_str("holding: the store does not take commits"),
            Self::Stopping => f.write_str("stopping"),
            Self::Stopped => f.write_str("stopped"),
        }
    }
}

/// Keeps the phase true while the pipeline works.
#[derive(Clone)]
pub struct PhaseKeeper {
    pub context: Arc<Context>,
    pub store_up: watch::Receiver<bool>,
}

impl PhaseKeeper {
    pub fn recovered(&self) {
        self.context.phase.send_if_modified(|phase| {
            let recovering = *phase == Phase::Recovering;
            if recovering {
                *phase = Phase::Running;
            }
            recovering
        });
    }

    pub async fn follow(mut self) {
        while self.store_up.changed().await.is_ok() {
            let up = *self.store_up.borrow_and_update();
            self.context.phase.send_if_modified(|phase| match (&*phase, up) {
                (Phase::Running, false) => {
                    *phase = Phase::Holding;
                    true
                }
                (Phase::Holding, true) => {
                    *phase = Phase::Running;
                    true
                }
                _ => false,
            });
        }
    }
}

impl Context {
    /// What surrounds a decision of this moment.
    pub fn env<'a>(&'a self, envelope: &'a (dyn Fn(&str) -> Envelope + Sync)) -> Env<'a> {
        Env {
            pipeline: &self.pipeline,
            destinations: &self.destinations,
            revision: &self.revision,
            envelope,
            now: self.clock.now(),
            entropy: self.entropy.as_ref(),
            watched: self.watcher.is_some(),
        }
    }

    pub fn tell(&self, told: &Told) {
        if let Some(watcher) = &self.watcher {
            watcher(told);
        }
    }

    pub fn envelope(&self, channel: &str) -> Envelope {
        self.envelopes.get(channel).cloned().unwrap_or_default()
    }
}

/// Where scripts run.
#[derive(Clone)]
pub enum Scripts {
    /// On threads of their own, with large stacks.
    Pool(Arc<Pool>),
    /// On the caller's thread: for the simulator, which must not depend on how threads are scheduled.
    Inline,
}

impl Scripts {
    pub async fn run<T: Send + 'static>(&self, job: impl FnOnce() -> T + Send + 'static) -> Result<T, Lost> {
        match self {
            Self::Pool(pool) => pool.run(job).await,
            Self::Inline => Ok(job()),
        }
    }
}
