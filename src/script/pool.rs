//! Threads for scripts: few, with large stacks.
//!
//! A script can build a value nested as deeply as its budget has operations (closures that capture closures
//! escape Rhai's size checks), and dropping such a value recurses. So scripts run, and their values are dropped,
//! where the stack is large enough for the whole budget. The memory is only reserved; it is used when needed.

use std::collections::VecDeque;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::thread::JoinHandle;

use tokio::sync::oneshot;

/// Bytes of stack of each thread.
const STACK_BYTES: usize = 1 << 30;

/// A job that never gave its result: it panicked, or the pool is gone.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a script job was lost: it panicked, which is a bug; please report it")]
pub struct Lost;

type Job = Box<dyn FnOnce() + Send>;

/// A fixed number of threads that take jobs in order of arrival.
///
/// Nothing bounds the queue here: a job waits only while a caller waits for it, so the callers' own bound holds.
pub struct Pool {
    queue: Arc<Queue>,
    threads: Vec<JoinHandle<()>>,
}

#[derive(Default)]
struct Queue {
    state: Mutex<Waiting>,
    arrived: Condvar,
}

#[derive(Default)]
struct Waiting {
    jobs: VecDeque<Job>,
    closed: bool,
}

impl Pool {
    /// Spawns the threads; an error when the system gives none.
    pub fn new(threads: usize) -> std::io::Result<Self> {
        let queue = Arc::new(Queue::default());
        let mut pool = Self { queue: queue.clone(), threads: Vec::new() };
        for number in 0..threads.max(1) {
            let queue = queue.clone();
            let builder = std::thread::Builder::new().name(format!("script-{number}")).stack_size(STACK_BYTES);
            pool.threads.push(builder.spawn(move || queue.work())?);
        }
        Ok(pool)
    }

    /// Runs `job` on one of the threads. A panic in it is caught and the thread goes on. When the caller is
    /// dropped, a job that has not begun is dropped unrun.
    pub async fn run<T: Send + 'static>(&self, job: impl FnOnce() -> T + Send + 'static) -> Result<T, Lost> {
        let (sender, receiver) = oneshot::channel();
        self.queue.push(Box::new(move || {
            if !sender.is_closed() {
                // The panic itself is told by the panic hook.
                if let Ok(result) = catch_unwind(AssertUnwindSafe(job)) {
                    // Nobody waits any more; the result is dropped here, on the large stack.
                    let _ = sender.send(result);
                }
            }
        }));
        receiver.await.map_err(|_| Lost)
    }
}

impl Drop for Pool {
    /// Lets the jobs at work and in the queue finish.
    fn drop(&mut self) {
        self.queue.lock().closed = true;
        self.queue.arrived.notify_all();
        for thread in self.threads.drain(..) {
            // A thread ends by returning: panics of jobs are caught.
            let _ = thread.join();
        }
    }
}

impl Queue {
    fn lock(&self) -> std::sync::MutexGuard<'_, Waiting> {
        // No code that can panic runs under this lock.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn push(&self, job: Job) {
        self.lock().jobs.push_back(job);
        self.arrived.notify_one();
    }

    fn work(&self) {
        while let Some(job) = self.next() {
            job();
        }
    }

    fn next(&self) -> Option<Job> {
        let mut state = self.lock();
        loop {
            if let Some(job) = state.jobs.pop_front() {
                return Some(job);
            }
            if state.closed {
                return None;
            }
            state = self.arrived.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
    }
}
