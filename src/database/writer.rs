//! The one thread that writes: whatever waits goes into one transaction.

use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, TrySendError, sync_channel};
use std::time::{Duration, Instant};

use rusqlite::Connection;

use super::locks::Turnstile;
use super::{Job, Trouble, carry_out, ended, opening, overloaded};

/// Jobs of one transaction at most; others' wait must end.
const GROUP: usize = 1024;
/// Jobs that may wait. Callers wait for their answers, so there are about as many as workers and unconfirmed publishes.
const QUEUE: usize = 65_536;
/// How long what is not urgent waits for company.
const LAZY: Duration = Duration::from_millis(100);

pub struct Writer {
    jobs: SyncSender<Queued>,
}

enum Queued {
    Urgent(Box<dyn Job>),
    Lazy(Box<dyn Job>),
}

impl Writer {
    #[expect(clippy::disallowed_methods, reason = "SQLite blocks; it has threads of its own")]
    pub fn start(connection: Connection, path: &Path, turnstile: Turnstile) -> Result<Self, Trouble> {
        let (jobs, queue) = sync_channel(QUEUE);
        let inode = inode(path).ok_or_else(|| gone(path))?;
        let pen = Pen { connection, path: path.to_owned(), inode, turnstile };
        std::thread::Builder::new()
            .name("database".to_owned())
            .spawn(move || pen.write_all(&queue))
            .map_err(|error| Trouble::Passing(format!("the system gives no thread: {error}")))?;
        Ok(Self { jobs })
    }

    pub fn queue(&self, job: Box<dyn Job>) -> Result<(), Trouble> {
        self.send(Queued::Urgent(job)).map_err(|(_, why)| why)
    }

    /// A job that is not taken is told so.
    pub fn queue_lazily(&self, job: Box<dyn Job>) {
        if let Err((Queued::Urgent(job) | Queued::Lazy(job), why)) = self.send(Queued::Lazy(job)) {
            job.end(Err(why));
        }
    }

    fn send(&self, job: Queued) -> Result<(), (Queued, Trouble)> {
        self.jobs.try_send(job).map_err(|refused| match refused {
            TrySendError::Full(job) => (job, overloaded()),
            TrySendError::Disconnected(job) => (job, ended()),
        })
    }
}

struct Pen {
    connection: Connection,
    path: PathBuf,
    inode: (u64, u64),
    turnstile: Turnstile,
}

impl Pen {
    /// Until every handle is dropped and everything is written.
    fn write_all(self, queue: &Receiver<Queued>) {
        let mut group: Vec<Box<dyn Job>> = Vec::new();
        // When the oldest of a group that nobody waits for must be written.
        let mut due: Option<Instant> = None;
        loop {
            let first = match due {
                None => queue.recv().map_err(|_| RecvTimeoutError::Disconnected),
                Some(due) => queue.recv_timeout(due.saturating_duration_since(Instant::now())),
            };
            let mut urgent = match first {
                Ok(Queued::Urgent(job)) => {
                    group.push(job);
                    true
                }
                Ok(Queued::Lazy(job)) => {
                    group.push(job);
                    due.get_or_insert_with(|| Instant::now() + LAZY);
                    false
                }
                Err(RecvTimeoutError::Timeout) => true,
                Err(RecvTimeoutError::Disconnected) => {
                    self.write(&mut group);
                    return;
                }
            };
            while group.len() < GROUP
                && let Ok(job) = queue.try_recv()
            {
                match job {
                    Queued::Urgent(job) => {
                        group.push(job);
                        urgent = true;
                    }
                    Queued::Lazy(job) => group.push(job),
                }
            }
            if urgent || group.len() >= GROUP {
                self.write(&mut group);
                due = None;
            }
        }
    }

    fn write(&self, group: &mut Vec<Box<dyn Job>>) {
        if group.is_empty() {
            return;
        }
        let outcome = self.transaction(group);
        for (index, job) in group.drain(..).enumerate() {
            job.end(match &outcome {
                Ok(()) => Ok(()),
                Err(failed) => Err(failed.for_job(index)),
            });
        }
    }

    fn transaction(&self, group: &mut [Box<dyn Job>]) -> Result<(), Failed> {
        // Into a file that was deleted one could write for ever, and all would be gone with the process.
        if inode(&self.path) != Some(self.inode) {
            return Err(Failed { job: None, why: gone(&self.path) });
        }
        let told = |error: rusqlite::Error| Failed { job: None, why: opening::trouble(&self.path, &error) };
        self.turnstile.inside(|| self.connection.execute_batch("BEGIN IMMEDIATE")).map_err(told)?;
        let written = group.iter_mut().enumerate().try_for_each(|(index, job)| {
            let done = carry_out(&mut **job, &self.connection, &self.path);
            done.map_err(|why| Failed { job: Some(index), why })
        });
        let ended = written.and_then(|()| self.connection.execute_batch("COMMIT").map_err(told));
        if ended.is_err() && !self.connection.is_autocommit() {
            let _ = self.connection.execute_batch("ROLLBACK");
        }
        ended
    }
}

/// Why nothing of a group was written.
struct Failed {
    /// The one that failed, where it was not the database as a whole.
    job: Option<usize>,
    why: Trouble,
}

impl Failed {
    /// Of what lies in one job the others are not to blame: for them it passes.
    fn for_job(&self, index: usize) -> Trouble {
        match (&self.why, self.job) {
            (Trouble::Lasting(why), Some(job)) if job != index => {
                Trouble::Passing(format!("undone with other work that failed at the same time: {why}"))
            }
            (why, _) => why.clone(),
        }
    }
}

fn inode(path: &Path) -> Option<(u64, u64)> {
    let metadata = std::fs::metadata(path).ok()?;
    Some((metadata.dev(), metadata.ino()))
}

fn gone(path: &Path) -> Trouble {
    Trouble::Lasting(format!(
        "`{}` was deleted or replaced while it was in use; nothing more is written: start again, with the file that is to \
         be used in its place",
        path.display()
    ))
}
