//! One runner of a pipeline is active, by a lease in its store; the others stand by.
//!
//! ```text
//! stand by ──lease──▶ active: a generation, and renewing ──▶ gives it back: stopped, or starting over
//!    ▲                          │
//!    └──── not renewed in time ─┘
//! ```
//! While it stands by, a runner asks the store once a second and does nothing else: no consumer, no timers, no outbox.

use std::time::Duration;

use tokio::time::Instant;

use super::super::context::Phase;
use super::super::intake::Backoff;
use super::super::tenure::{Moment, Tenure};
use super::{Ended, Generation};
use crate::store::{Lease, StoreError};

/// How often who stands by looks whether the lease was given back.
const LOOK: Duration = Duration::from_secs(1);
/// Renewals in the time of a lease: all but the last may fail.
const RENEWALS: u32 = 3;
/// After a renewal that failed.
const AGAIN: Duration = Duration::from_millis(200);
/// The next runner need not wait for the store to forget us; nor we for a store that does not answer.
const GOODBYE: Duration = Duration::from_secs(2);

impl Generation<'_> {
    /// Waits until this runner is the active one. `None`: told to stop meanwhile.
    pub(super) async fn stand_by(&self) -> Result<Option<Tenure>, Ended> {
        let (context, lasts) = (&self.context, self.options.lease);
        let mut backoff = Backoff::default();
        loop {
            let asked = Moment::now(&*context.clock);
            let holder = match context.store.lease(context.runner, lasts, context.clock.now()).await {
                Ok(Lease::Ours) => return Ok(Some(Tenure::until(asked.plus(lasts)))),
                Ok(Lease::Alone) => return Ok(Some(Tenure::endless())),
                Ok(Lease::Theirs(holder)) => holder,
                Err(StoreError::Refused(why)) => return Err(Ended::CannotRun(why)),
                Err(error) => {
                    if !self.wait("store", &error.to_string(), &mut backoff).await {
                        return Ok(None);
                    }
                    continue;
                }
            };
            backoff.reset();
            let phase = Phase::Standby(holder.runner);
            if context.phase.send_replace(phase.clone()) != phase {
                let (pipeline, active) = (&context.pipeline.name, holder.runner);
                tracing::info!(%pipeline, runner = %context.runner, %active, "standing by: another runner is active");
            }
            tokio::select! {
                biased;
                () = self.stop.cancelled() => return Ok(None),
                () = tokio::time::sleep(LOOK.min(holder.left + Duration::from_millis(1))) => {}
            }
        }
    }

    /// Renews the lease for as long as that succeeds in time; why it did not.
    pub(super) async fn keep(&self, tenure: &Tenure) -> Ended {
        if tenure.is_endless() {
            return std::future::pending().await;
        }
        let (context, lasts) = (&self.context, self.options.lease);
        let mut next = Instant::now();
        loop {
            tokio::select! {
                biased;
                () = tenure.over() => return Ended::Deposed("the lease could not be renewed in time".to_owned()),
                () = tokio::time::sleep_until(next) => {}
            }
            // From the question on, which is also where the lease begins: a slow answer leaves less of it.
            next = Instant::now() + lasts / RENEWALS;
            let asked = Moment::now(&*context.clock);
            let answer = tokio::select! {
                biased;
                answer = context.store.lease(context.runner, lasts, context.clock.now()) => answer,
                () = tenure.over() => continue,
            };
            match answer {
                Ok(Lease::Ours | Lease::Alone) if tenure.extend(asked.plus(lasts), &*context.clock) => {}
                Ok(Lease::Ours | Lease::Alone) => {
                    return Ended::Deposed("this runner stood still for longer than its lease".to_owned());
                }
                Ok(Lease::Theirs(holder)) => {
                    return Ended::Deposed(format!("runner {} took over", holder.runner));
                }
                Err(error) => {
                    tracing::debug!(pipeline = %context.pipeline.name, %error, "the lease was not renewed; trying again");
                    next = Instant::now() + AGAIN;
                }
            }
        }
    }

    /// The end of being active, however it came: nobody decides any more, and the next may begin.
    pub(super) async fn resign(&self, tenure: &Tenure) {
        tenure.end(&*self.context.clock);
        // What is not given back is over soon.
        let _ = tokio::time::timeout(GOODBYE, self.context.store.release(self.context.runner)).await;
    }
}
