//! The clock of a running pipeline: a key whose time has come goes to its worker.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use super::context::Context;
use super::intake::Workers;
use super::job::Job;
use super::timers::{HORIZON, SWEEP, SWEEP_LIMIT, Timers};
use super::worker::{BATCH_EVENTS, Fatal};
use crate::store::StoreError;

/// Hands keys to their workers when their time has come, and looks into the store for timers nobody here set.
pub async fn keep_time(
    context: Arc<Context>,
    timers: Arc<Timers>,
    workers: Workers,
    unclean: bool,
) -> Result<(), Fatal> {
    // What was waiting before an unclean stop may be what caused it.
    let born = context.clock.now();
    let mut sweep = tokio::time::interval(SWEEP);
    sweep.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    let mut first = true;
    let mut suspects = HashSet::new();
    loop {
        let now = context.clock.now();
        let wait = match timers.take_due(now, BATCH_EVENTS) {
            Ok(due) => {
                for (partition, key) in due {
                    let suspect = suspects.remove(&(partition, key.clone()));
                    workers.send(Job::Attention { partition, key, suspect }).await?;
                }
                continue;
            }
            Err(Some(next)) => next.since(now).max(Duration::from_millis(1)),
            Err(None) => SWEEP,
        };
        tokio::select! {
            biased;
            _ = sweep.tick() => {
                let until = context.clock.now().plus(HORIZON);
                match context.store.timers(until, SWEEP_LIMIT).await {
                    Ok(found) => {
                        if unclean && first {
                            suspects.extend(found.iter().filter(|t| t.due <= born.plus(HORIZON)).map(|t| (t.partition, t.key.clone())));
                        }
                        first = false;
                        timers.found(found);
                    }
                    Err(error @ StoreError::TailLost(_)) => return Err(Fatal::Recover(error)),
                    Err(error) => tracing::debug!(%error, "cannot read timers"),
                }
            }
            () = tokio::time::sleep(wait) => {}
            () = timers.changed() => {}
        }
    }
}
