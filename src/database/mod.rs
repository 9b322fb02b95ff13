//! The project's own database: one SQLite file below `.sluice`, in which the embedded store and the local channels live.
//!
//! One thread writes. What waits for it is carried out together and becomes durable with one `fsync`; nobody is
//! answered before. Reads run beside it, each on one consistent snapshot. Other processes may read and write too
//! (`sluice publish`, `sluice dlq`); only one at a time may run pipelines.

mod locks;
mod opening;
mod reader;
mod writer;

use std::panic::AssertUnwindSafe;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use futures_util::future::{BoxFuture, FutureExt as _};
pub use rusqlite::{Connection, OptionalExtension, Row, params};
use tokio::sync::{Notify, oneshot};

use crate::clock::Clock;
use locks::RunLock;
use reader::Readers;
use writer::Writer;

/// Of SQLite itself; whoever works on a [`Connection`] passes it on.
pub type Result<T> = rusqlite::Result<T>;

/// Trouble with the database, in words.
#[derive(Clone, Debug, thiserror::Error)]
pub enum Trouble {
    /// Passes: a full disk, another process that writes for long. Nothing of the call was written, unless it was lost in
    /// the very moment of becoming durable.
    #[error("{0}")]
    Passing(String),
    /// Does not pass without a person; says what to do.
    #[error("{0}")]
    Lasting(String),
}

/// What a process wants of the database.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    /// To run pipelines; one process at a time.
    Run,
    /// To look, publish, or decide about dead letters, beside whoever runs.
    Beside,
}

/// A handle; its clones share the threads and files.
#[derive(Clone)]
pub struct Database {
    shared: Arc<Shared>,
}

struct Shared {
    writer: Writer,
    readers: Readers,
    changed: Arc<Notify>,
    path: PathBuf,
    incarnation: String,
    lock: Option<RunLock>,
}

impl Database {
    /// Opens the database in this directory, making both when they are not there. Blocks for the milliseconds it takes.
    pub fn open(directory: &Path, access: Access, clock: &dyn Clock) -> std::result::Result<Self, Trouble> {
        opening::make_directory(directory)?;
        let lock = match access {
            Access::Run => Some(RunLock::take(directory, clock)?),
            Access::Beside => None,
        };
        let changed = Arc::new(Notify::new());
        let opened = opening::open(directory)?;
        // Whoever runs learns of what other processes publish.
        let watch = (access == Access::Run).then(|| Arc::clone(&changed));
        let shared = Shared {
            readers: Readers::start(&opened.path, watch)?,
            writer: Writer::start(opened.connection, &opened.path, opened.turnstile)?,
            changed,
            path: opened.path,
            incarnation: opened.incarnation,
            lock,
        };
        Ok(Self { shared: Arc::new(shared) })
    }

    /// The database in this directory, for looking. `None`: there is none.
    pub fn find(directory: &Path, clock: &dyn Clock) -> std::result::Result<Option<Self>, Trouble> {
        if !directory.join(opening::FILE).exists() {
            return Ok(None);
        }
        Self::open(directory, Access::Beside, clock).map(Some)
    }

    /// The file, as people know it.
    pub fn path(&self) -> &Path {
        &self.shared.path
    }

    /// Drawn when the file was made.
    pub fn incarnation(&self) -> &str {
        &self.shared.incarnation
    }

    /// No other process runs pipelines on it.
    pub fn is_ours_to_run(&self) -> bool {
        self.shared.lock.is_some()
    }

    /// Told whenever somebody else, or [`Self::tell`], changed something. Create the `Notified` before looking.
    pub fn changed(&self) -> &Notify {
        &self.shared.changed
    }

    pub fn tell(&self) {
        self.shared.changed.notify_waiters();
    }

    /// Queued at once, whether the future is polled or not; resolves when it is durable. An error of the work itself, or a
    /// panic, undoes the work of all others in its group, who are told that it passes: let it be one of the database.
    pub fn write<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Connection) -> Result<T> + Send + 'static,
    ) -> BoxFuture<'static, std::result::Result<T, Trouble>> {
        let (job, answer) = answering(work);
        let queued = self.shared.writer.queue(job);
        async move {
            queued?;
            answered(answer).await
        }
        .boxed()
    }

    /// Written with the next group, or by itself after a moment; for what may be lost in a crash. Nobody waits for it, so
    /// `ended` is told what became of it, once, whatever that was.
    pub fn write_lazily(
        &self,
        work: impl FnOnce(&Connection) -> Result<()> + Send + 'static,
        ended: impl FnOnce(std::result::Result<(), Trouble>) + Send + 'static,
    ) {
        self.shared.writer.queue_lazily(Task::telling(work, ended));
    }

    /// Reads on one snapshot that holds every write that was answered before the call.
    pub fn read<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Connection) -> Result<T> + Send + 'static,
    ) -> BoxFuture<'static, std::result::Result<T, Trouble>> {
        let (job, answer) = answering(work);
        let queued = self.shared.readers.queue(job);
        async move {
            queued?;
            answered(answer).await
        }
        .boxed()
    }
}

async fn answered<T>(answer: oneshot::Receiver<std::result::Result<T, Trouble>>) -> std::result::Result<T, Trouble> {
    answer.await.unwrap_or_else(|_| Err(ended()))
}

fn ended() -> Trouble {
    Trouble::Lasting("the thread of the database ended; please report this as a bug".to_owned())
}

fn overloaded() -> Trouble {
    Trouble::Passing("the database has more to do than it can queue".to_owned())
}

/// Work for one of the threads.
trait Job: Send {
    fn run(&mut self, connection: &Connection) -> Result<()>;

    /// What became of it is durable, or undone.
    fn end(self: Box<Self>, outcome: std::result::Result<(), Trouble>);
}

struct Task<T, W, E> {
    work: Option<W>,
    result: Option<T>,
    ended: E,
}

type Answer<T> = oneshot::Receiver<std::result::Result<T, Trouble>>;

impl<T, W, E> Task<T, W, E>
where
    T: Send + 'static,
    W: FnOnce(&Connection) -> Result<T> + Send + 'static,
    E: FnOnce(std::result::Result<T, Trouble>) + Send + 'static,
{
    fn telling(work: W, ended: E) -> Box<dyn Job> {
        Box::new(Self { work: Some(work), result: None, ended })
    }
}

/// A task that answers whoever still waits.
fn answering<T: Send + 'static>(
    work: impl FnOnce(&Connection) -> Result<T> + Send + 'static,
) -> (Box<dyn Job>, Answer<T>) {
    let (answer, receiver) = oneshot::channel();
    let job = Task::telling(work, move |outcome| {
        let _ = answer.send(outcome);
    });
    (job, receiver)
}

impl<T: Send, W, E> Job for Task<T, W, E>
where
    W: FnOnce(&Connection) -> Result<T> + Send,
    E: FnOnce(std::result::Result<T, Trouble>) + Send,
{
    fn run(&mut self, connection: &Connection) -> Result<()> {
        if let Some(work) = self.work.take() {
            self.result = Some(work(connection)?);
        }
        Ok(())
    }

    fn end(self: Box<Self>, outcome: std::result::Result<(), Trouble>) {
        let Self { result, ended: told, .. } = *self;
        told(outcome.and_then(|()| result.ok_or_else(ended)));
    }
}

/// A panic must not end the thread that everything waits for.
fn carry_out(job: &mut dyn Job, connection: &Connection, path: &Path) -> std::result::Result<(), Trouble> {
    // What a panic leaves half done is rolled back by the caller, and the job is not run again.
    match std::panic::catch_unwind(AssertUnwindSafe(|| job.run(connection))) {
        Ok(run) => run.map_err(|error| opening::trouble(path, &error)),
        Err(_) => Err(Trouble::Lasting(format!(
            "work on `{}` panicked; please report this as a bug, with what was logged at that moment",
            path.display()
        ))),
    }
}

#[cfg(test)]
mod plans;
#[cfg(test)]
mod tests;
