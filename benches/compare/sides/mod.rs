//! The programs that are compared with `sluice`, each a process of its own: `side NAME`.
//!
//! | side | what |
//! |---|---|
//! | `ceiling` | the same broker and store I/O as `sluice`, in batches, without an engine |
//! | `usual` | the consumer people write: one event after the other, or 256 in flight |
//!
//! Each does what the environment says (see [`job::Job`]) until SIGTERM, prints nothing, and ends with an error at the
//! first surprise: a side that lost or doubled something must not have a figure.

mod ceiling;
mod job;
mod usual;

use std::process::ExitCode;

use tokio::signal::unix::{SignalKind, signal};

use self::job::Job;

/// As the `sluice` binary's.
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

/// Does the job that the environment describes until it is told to stop.
pub fn run(name: &str) -> ExitCode {
    match attempt(name) {
        Ok(()) => ExitCode::SUCCESS,
        Err(why) => {
            eprintln!("side `{name}`: {why}");
            ExitCode::FAILURE
        }
    }
}

/// What stops a side: nothing is tried again, for no figure is taken from a run with trouble.
type Trouble = Box<dyn std::error::Error>;

fn attempt(name: &str) -> Result<(), Trouble> {
    let job = Job::from_environment()?;
    // One thread: the two cores are shared with both servers, and tasks on several threads wake each other.
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    tokio::task::LocalSet::new().block_on(&runtime, async {
        let mut stop = signal(SignalKind::terminate())?;
        let work = async {
            match name {
                "ceiling" => ceiling::run(&job).await,
                "usual" => usual::run(&job).await,
                _ => Err("there is no side of this name".into()),
            }
        };
        tokio::select! {
            _ = stop.recv() => Ok(()),
            ended = work => ended,
        }
    })
}
