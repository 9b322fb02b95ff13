//! `sluice run`: the pipelines of a project, until told to stop.

mod feed;
mod show;

use std::sync::Arc;
use std::time::Duration;

use clap::Args;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio_util::sync::CancellationToken;

use self::feed::Feed;
use super::failure::{Exit, Failure};
use super::project::Tell;
use super::{ProjectArgs, print, project};
use crate::admin;
use crate::admin::service::ServiceManager;
use crate::bus::open::OpenChannels;
use crate::clock::{Clock, SystemClock, SystemEntropy};
use crate::database::{Access, Database};
use crate::flow::context::Context;
use crate::flow::supervisor::{CannotRun, Options, UnknownPosition};
use crate::ops::gate::{Gate, Ground, channels_of};
use crate::ops::idle::until_idle;
use crate::spec::program::{Pipeline, Program, StoreConfig};
use crate::store::{Store, open};
use crate::telemetry::{self, LogFormat};

/// What a shell reports of a process that was interrupted.
const INTERRUPTED: i32 = 130;

/// Run the pipelines of a project until told to stop
///
/// SIGTERM or SIGINT (Ctrl-C) stops taking events, finishes what is in hand and says goodbye; a second one leaves
/// at once, which loses nothing but makes the next start look twice. A broker or store that is down is waited for.
#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  sluice run
  sluice run --show                        see every outcome as it happens
  sluice run --feed orders=orders.ndjson --until-idle   handle a file of events, then end
  sluice run --project shop --log debug
  sluice run --unknown-position continue   once, with a new store: what was acked stays as it is")]
pub struct RunArgs {
    #[command(flatten)]
    project: ProjectArgs,
    /// What to do when the store knows no position although the broker says that events were acked
    #[arg(long, value_enum, default_value_t)]
    unknown_position: UnknownPosition,
    /// Print a line for each outcome, with type, key, id and reason
    #[arg(long)]
    show: bool,
    /// Publish the lines of a file to a channel, as they are, once the pipelines run; may be repeated
    #[arg(long, value_name = "CHANNEL=FILE")]
    feed: Vec<Feed>,
    /// Stop once every channel is read to its end and every event has its outcome; a retry is waited for when it is due
    /// within a minute
    #[arg(long)]
    until_idle: bool,
    /// How long finishing may take when told to stop
    #[arg(long, value_name = "TIME", default_value = "25s", value_parser = super::duration)]
    grace: Duration,
    /// Logs for people or one JSON object a line; people when stderr is a terminal
    #[arg(long, value_enum, value_name = "FORMAT")]
    log_format: Option<LogFormat>,
    /// `error`, `warn`, `info`, `debug`, `trace`, or directives like `sluicegate=debug,async_nats=info`; `info`, or `warn` with
    /// `--show`
    #[arg(long, value_name = "LEVEL")]
    log: Option<String>,
}

pub async fn run(arguments: RunArgs) -> Result<Exit, Failure> {
    let level = arguments.log.as_deref().unwrap_or(if arguments.show { "warn" } else { "info" });
    telemetry::start(arguments.log_format, level).map_err(Failure::cannot_run)?;
    // From here on a signal is ours to answer.
    let signals =
        Signals::listen().map_err(|error| Failure::cannot_run(format!("signals cannot be heard: {error}")))?;
    let program = project::load(&arguments.project.project, Tell::Everything)?;
    let admin = match &program.admin {
        Some(admin) => Some(admin::Bound::bind(admin).await.map_err(|error| taken(admin.listen, &error))?),
        None => None,
    };
    let options =
        Options { unknown_position: arguments.unknown_position, grace: arguments.grace, ..Options::default() };
    let (gate, channels) = build(&program, &options, arguments.show).await?;
    announce(&program, admin.as_ref());

    let stop = CancellationToken::new();
    let serve = async {
        match admin {
            Some(bound) => bound.serve(Arc::clone(&program.revision), gate.pipelines.clone()).await,
            None => std::future::pending().await,
        }
    };
    let manager = service_manager();
    let tell = async {
        match &manager {
            Some(manager) => manager.follow(&gate.pipelines, &stop).await,
            None => std::future::pending().await,
        }
    };
    let mut fed = Ok(());
    let feed = async {
        fed = feed::feed(&program, &arguments.feed).await;
        if fed.is_ok() && arguments.until_idle {
            until_idle(&gate.pipelines, &channels).await;
        }
        if fed.is_err() || arguments.until_idle {
            stop.cancel();
        }
        std::future::pending().await
    };
    // In this order: a stop is heard, then told, then done, and the last may take no time at all.
    let ended = tokio::select! {
        biased;
        never = signals.answer(&stop) => match never {},
        never = tell => match never {},
        ended = gate.run(&options, &stop) => ended,
        never = feed => match never {},
        served = serve => return Err(Failure::cannot_run(format!("the admin address failed: {served:?}"))),
    };
    let told = balance(&gate.pipelines);
    ended.map_err(|CannotRun { pipeline, why }| Failure::cannot_run(format!("pipeline `{pipeline}`: {why}")))?;
    fed?;
    told.map(|()| Exit::Fine)
}

async fn build(program: &Program, options: &Options, show: bool) -> Result<(Gate, Arc<OpenChannels>), Failure> {
    let clock: Arc<dyn Clock> = Arc::new(SystemClock);
    let database = match program.uses_database() {
        true => Some(Database::open(&program.data, Access::Run, &*clock)),
        false => None,
    };
    let database = database.transpose().map_err(|trouble| Failure::cannot_run(trouble.to_string()))?;
    let names = channels_of(&program.pipelines);
    let channels = OpenChannels::open(program, &names, database.as_ref(), Arc::clone(&clock)).await;
    let channels = Arc::new(channels.map_err(|error| Failure::cannot_run(error.to_string()))?);
    let ground = Ground::new(channels.clone(), options.workers, Arc::clone(&clock), Arc::new(SystemEntropy));
    let mut ground = ground.map_err(|error| Failure::cannot_run(format!("the system gives no threads: {error}")))?;
    ground.watcher = show.then(show::watcher);
    let store = |pipeline: &Pipeline| -> Result<Arc<dyn Store>, CannotRun> {
        open::open(program, pipeline, database.as_ref(), Arc::clone(&clock))
            .map_err(|error| CannotRun { pipeline: pipeline.name.to_string(), why: error.to_string() })
    };
    let gate = Gate::build(program, &ground, store).map_err(|error| Failure::cannot_run(error.to_string()))?;
    Ok((gate, channels))
}

/// A manager that cannot be reached is no reason not to run.
fn service_manager() -> Option<ServiceManager> {
    ServiceManager::new(&|name| std::env::var_os(name)).unwrap_or_else(|error| {
        tracing::warn!(%error, "the service manager cannot be told how it goes");
        None
    })
}

fn taken(listen: std::net::SocketAddr, error: &std::io::Error) -> Failure {
    let failure = Failure::cannot_run(format!("the admin address {listen} cannot be used: {error}"));
    match error.kind() {
        std::io::ErrorKind::AddrInUse => {
            failure.help("another process listens there, perhaps another `sluice run`; stop it, or set `admin.listen` in `sluice.yaml`")
        }
        _ => failure.help("set `admin.listen` in `sluice.yaml` to an address of this machine"),
    }
}

/// Says what is about to run.
fn announce(program: &Program, admin: Option<&admin::Bound>) {
    let store = match &program.store {
        StoreConfig::Embedded => "embedded",
        StoreConfig::Memory => "memory",
        StoreConfig::Redis { .. } => "redis",
    };
    let version = env!("CARGO_PKG_VERSION");
    tracing::info!(version, revision = %program.revision, pipelines = program.pipelines.len(), store, "starting");
    for pipeline in &program.pipelines {
        let list = |names: &mut dyn Iterator<Item = &str>| names.collect::<Vec<_>>().join(", ");
        let inputs = pipeline.inputs();
        tracing::info!(
            pipeline = %pipeline.name,
            subscriptions = list(&mut pipeline.subscriptions.iter().map(|subscription| subscription.event.as_str())),
            from = list(&mut inputs.iter().map(|name| &**name)),
            to = list(&mut pipeline.emits.iter().flat_map(|emit| &emit.to).map(|name| &**name)),
            dead_letter = pipeline.dead_letter.as_deref().unwrap_or("-"),
            partitions = pipeline.partitions,
            "pipeline"
        );
    }
    match admin {
        Some(bound) => tracing::info!(address = %bound.address(), "health and metrics"),
        None => tracing::info!("no admin address: set `admin.listen` for health and metrics"),
    }
}

/// Every delivery has one outcome; here is the account of it.
fn balance(pipelines: &[Arc<Context>]) -> Result<(), Failure> {
    for context in pipelines {
        let balance = context.tally.snapshot();
        if !balance.holds() {
            tracing::error!(
                pipeline = %context.pipeline.name, %balance,
                "the deliveries do not balance; this is a bug in sluice, please report it"
            );
        }
        print::line(&format!("{}: {balance}", context.pipeline.name))?;
    }
    Ok(())
}

struct Signals {
    terminate: Signal,
    interrupt: Signal,
}

enum Never {}

impl Signals {
    fn listen() -> std::io::Result<Self> {
        Ok(Self { terminate: signal(SignalKind::terminate())?, interrupt: signal(SignalKind::interrupt())? })
    }

    async fn next(&mut self) {
        tokio::select! {
            _ = self.terminate.recv() => {}
            _ = self.interrupt.recv() => {}
        }
    }

    /// The first signal stops, the second leaves.
    #[expect(clippy::disallowed_methods, reason = "whoever signals twice wants no drain")]
    async fn answer(mut self, stop: &CancellationToken) -> Never {
        self.next().await;
        tracing::info!("stopping: finishing what is in hand; once more to leave at once");
        stop.cancel();
        self.next().await;
        tracing::warn!("left at once; what was in hand will be delivered again");
        // Unwinding would wait for scripts and connections, and whoever signals twice does not want to wait.
        std::process::exit(INTERRUPTED)
    }
}
