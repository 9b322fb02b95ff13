//! Until when this runner may take it that no other is active.
//!
//! ```text
//! look a key up ──▶ does the tenure hold? ──▶ decide, commit on the nonce that was read
//! ```
//! Asked after the lookup, it keeps the order of a key whatever comes after it: what was read was read by the only
//! active runner, behind all that came to it before. If another becomes active between the question and the commit,
//! and touches the key, the commit is refused; if it does not touch the key, nothing was overtaken.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use crate::clock::Clock;
use crate::event::Millis;

/// Shared by all who decide in one generation of one runner.
#[derive(Clone)]
pub struct Tenure {
    /// `None`: without end.
    until: Option<Arc<Mutex<Moment>>>,
}

/// By two clocks, and the earlier counts: one of them may have stood still with a machine that was suspended.
#[derive(Clone, Copy, Debug)]
pub struct Moment {
    steady: Instant,
    wall: Millis,
}

impl Moment {
    pub fn now(clock: &dyn Clock) -> Self {
        Self { steady: Instant::now(), wall: clock.now() }
    }

    #[must_use]
    pub fn plus(self, time: Duration) -> Self {
        Self { steady: self.steady + time, wall: self.wall.plus(time) }
    }

    fn is_over(self, clock: &dyn Clock) -> bool {
        let now = Self::now(clock);
        now.steady >= self.steady || now.wall >= self.wall
    }
}

impl Tenure {
    /// Where nobody else can run, and for what a person runs beside whoever does.
    pub fn endless() -> Self {
        Self { until: None }
    }

    pub fn until(end: Moment) -> Self {
        Self { until: Some(Arc::new(Mutex::new(end))) }
    }

    pub fn is_endless(&self) -> bool {
        self.until.is_none()
    }

    pub fn holds(&self, clock: &dyn Clock) -> bool {
        self.until.as_ref().is_none_or(|until| !lock(until).is_over(clock))
    }

    /// Renewed, unless it is over by now: then somebody else may have been active in between.
    pub fn extend(&self, end: Moment, clock: &dyn Clock) -> bool {
        let Some(until) = &self.until else { return true };
        let mut until = lock(until);
        let holds = !until.is_over(clock);
        if holds {
            *until = end;
        }
        holds
    }

    /// When it is over unless it is extended.
    pub async fn over(&self) {
        let Some(until) = &self.until else { return std::future::pending().await };
        let end = lock(until).steady;
        tokio::time::sleep_until(end).await;
    }

    /// Over from now on, also for those who still run.
    pub fn end(&self, clock: &dyn Clock) {
        if let Some(until) = &self.until {
            *lock(until) = Moment::now(clock);
        }
    }
}

fn lock(until: &Mutex<Moment>) -> MutexGuard<'_, Moment> {
    until.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicI64, Ordering::Relaxed};

    use super::*;

    #[derive(Default)]
    struct Wall(AtomicI64);

    impl Clock for Wall {
        fn now(&self) -> Millis {
            Millis(self.0.load(Relaxed))
        }
    }

    const TERM: Duration = Duration::from_secs(4);

    #[tokio::test(start_paused = true)]
    async fn it_is_over_when_either_clock_says_so_and_is_not_taken_up_again() {
        for frozen in [true, false] {
            let wall = Wall::default();
            let pass = async |time| match frozen {
                true => drop(wall.0.fetch_add(i64::try_from(Duration::as_millis(&time)).expect("short"), Relaxed)),
                false => tokio::time::advance(time).await,
            };
            let tenure = Tenure::until(Moment::now(&wall).plus(TERM));
            pass(TERM / 2).await;
            assert!(tenure.extend(Moment::now(&wall).plus(TERM), &wall));
            pass(TERM * 3 / 4).await;
            assert!(tenure.holds(&wall));
            pass(TERM / 4).await;
            assert!(!tenure.holds(&wall));
            assert!(!tenure.extend(Moment::now(&wall).plus(TERM), &wall));
            assert!(!tenure.holds(&wall));
        }
    }

    #[tokio::test]
    async fn it_ends_for_all_who_share_it() {
        let wall = Wall::default();
        let tenure = Tenure::until(Moment::now(&wall).plus(TERM));
        let shared = tenure.clone();
        tenure.end(&wall);
        assert!(!shared.holds(&wall));
        Tenure::endless().end(&wall);
        assert!(Tenure::endless().holds(&wall));
    }
}
