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

/// Bytes of stack of each thread. The deepest values found (closures made by `reduce`, until the memory of the
/// run is used up) took 256 to 384 MiB to drop.
pub const STACK_BYTES: usize = 768 << 20;

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
    #[expect(clippy::disallowed_methods, reason = "the one pool of threads; its drop joins them")]
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

#[cfg(test)]
mod tests {
    use super::*;

    fn block_on<T>(future: impl Future<Output = T>) -> T {
        tokio::runtime::Builder::new_current_thread().build().expect("a runtime").block_on(future)
    }

    #[test]
    fn a_job_gives_its_result() {
        let pool = Pool::new(2).expect("a pool");
        assert_eq!(block_on(pool.run(|| 1 + 1)), Ok(2));
    }

    #[test]
    fn a_panic_is_reported_and_the_thread_goes_on() {
        let pool = Pool::new(1).expect("a pool");
        assert_eq!(block_on(pool.run(|| -> u8 { panic!("on purpose") })), Err(Lost));
        assert_eq!(block_on(pool.run(|| 7)), Ok(7));
    }

    #[test]
    fn a_job_whose_caller_left_is_not_begun() {
        let pool = Pool::new(1).expect("a pool");
        let (release, gate) = std::sync::mpsc::channel::<()>();
        let begun = Arc::new(std::sync::atomic::AtomicBool::new(false));
        block_on(async {
            let busy = pool.run(move || gate.recv().is_ok());
            let mark = begun.clone();
            let abandoned = pool.run(move || mark.store(true, std::sync::atomic::Ordering::SeqCst));
            let (mut busy, mut abandoned) = (Box::pin(busy), Box::pin(abandoned));
            let both = futures_util::future::poll_fn(|context| {
                assert!(busy.as_mut().poll(context).is_pending());
                assert!(abandoned.as_mut().poll(context).is_pending());
                std::task::Poll::Ready(())
            });
            both.await;
            drop(abandoned);
            release.send(()).expect("the job waits");
            assert_eq!(busy.await, Ok(true));
            assert_eq!(pool.run(|| 1).await, Ok(1));
        });
        assert!(!begun.load(std::sync::atomic::Ordering::SeqCst));
    }

    #[test]
    fn the_stack_holds_what_overflows_an_ordinary_one() {
        #[inline(never)]
        fn deep(n: usize) -> usize {
            let here = std::hint::black_box([n; 64]);
            if n == 0 { here[0] } else { deep(n - 1) + here[63] - n + 1 }
        }
        let pool = Pool::new(1).expect("a pool");
        assert_eq!(block_on(pool.run(|| deep(100_000))), Ok(100_000));
    }
}
