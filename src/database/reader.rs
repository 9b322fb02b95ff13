//! Threads that read beside the writer.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, TrySendError, sync_channel};
use std::time::{Duration, Instant};

use rusqlite::Connection;
use tokio::sync::Notify;

use super::{Job, Trouble, carry_out, ended, opening, overloaded};

const THREADS: usize = 2;
const QUEUE: usize = 65_536;
/// How soon what another process wrote is noticed. Asking costs a look at shared memory.
const WATCH: Duration = Duration::from_millis(25);

pub struct Readers {
    queues: Vec<SyncSender<Box<dyn Job>>>,
    next: AtomicUsize,
}

impl Readers {
    /// `watch` is told whenever the database changed.
    #[expect(clippy::disallowed_methods, reason = "SQLite blocks; it has threads of its own")]
    pub fn start(path: &Path, watch: Option<Arc<Notify>>) -> Result<Self, Trouble> {
        let mut queues = Vec::new();
        for number in 0..THREADS {
            let (jobs, queue) = sync_channel(QUEUE);
            let desk = Desk { connection: opening::reader(path)?, path: path.to_owned() };
            let watch = watch.clone().filter(|_| number == 0);
            std::thread::Builder::new()
                .name(format!("database-{number}"))
                .spawn(move || desk.read_all(&queue, watch.as_deref()))
                .map_err(|error| Trouble::Passing(format!("the system gives no thread: {error}")))?;
            queues.push(jobs);
        }
        Ok(Self { queues, next: AtomicUsize::new(0) })
    }

    pub fn queue(&self, job: Box<dyn Job>) -> Result<(), Trouble> {
        let next = self.next.fetch_add(1, Ordering::Relaxed) % self.queues.len();
        self.queues[next].try_send(job).map_err(|refused| match refused {
            TrySendError::Full(_) => overloaded(),
            TrySendError::Disconnected(_) => ended(),
        })
    }
}

struct Desk {
    connection: Connection,
    path: PathBuf,
}

impl Desk {
    fn read_all(self, queue: &Receiver<Box<dyn Job>>, watch: Option<&Notify>) {
        let (mut seen, mut looked) = (0, Instant::now());
        loop {
            let job = match watch {
                None => queue.recv().map_err(|_| RecvTimeoutError::Disconnected),
                Some(_) => queue.recv_timeout(WATCH),
            };
            match job {
                Ok(job) => self.read(job),
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => return,
            }
            if let Some(watch) = watch.filter(|_| looked.elapsed() >= WATCH) {
                looked = Instant::now();
                let version = self.connection.pragma_query_value(None, "data_version", |row| row.get::<_, i64>(0));
                let version = version.unwrap_or(seen);
                if version != seen {
                    seen = version;
                    watch.notify_waiters();
                }
            }
        }
    }

    fn read(&self, mut job: Box<dyn Job>) {
        let told = |error: rusqlite::Error| opening::trouble(&self.path, &error);
        let begun = self.connection.execute_batch("BEGIN").map_err(told);
        let read = begun.and_then(|()| carry_out(&mut *job, &self.connection, &self.path));
        let ended = if self.connection.is_autocommit() { Ok(()) } else { self.connection.execute_batch("COMMIT") };
        job.end(read.and(ended.map_err(told)));
    }
}
