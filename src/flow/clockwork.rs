//! The clock of a running pipeline: a key whose time has come goes to its worker.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use super::context::Context;
use super::decide::LOOK_AGAIN;
use super::intake::Workers;
use super::job::Job;
use super::timers::{HORIZON, SWEEP, SWEEP_LIMIT, Timers};
use super::worker::{BATCH_EVENTS, Fatal};
use crate::store::StoreError;

/// How a crew begins its work.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Begin {
    /// A generation: what waits for a version is looked at first of all, for the program may be a new one. After an
    /// unclean stop, what was waiting may be what caused it.
    Generation { unclean: bool },
    /// Beside others, for some events only.
    Beside,
}

/// Hands keys to their workers when their time has come, and looks into the store for timers nobody here set.
pub async fn keep_time(
    context: Arc<Context>,
    timers: Arc<Timers>,
    workers: Workers,
    begin: Begin,
) -> Result<(), Fatal> {
    let born = context.clock.now();
    let mut sweep = tokio::time::interval(SWEEP);
    sweep.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    let mut first = begin != Begin::Beside;
    // With the times they are due: one that is looked at before keeps its suspicion until then.
    let mut suspects = HashMap::new();
    loop {
        let now = context.clock.now();
        let wait = match timers.take_due(now, BATCH_EVENTS) {
            Ok(due) => {
                for (partition, key) in due {
                    let id = (partition, key);
                    let suspect = suspects.contains_key(&id);
                    if suspects.get(&id).is_some_and(|due| *due <= now) {
                        suspects.remove(&id);
                    }
                    let (partition, key) = id;
                    workers.send(Job::Attention { partition, key, suspect, hurried: None }).await?;
                }
                continue;
            }
            Err(Some(next)) => next.since(now).max(Duration::from_millis(1)),
            Err(None) => SWEEP,
        };
        tokio::select! {
            biased;
            _ = sweep.tick() => {
                let reach = if first { HORIZON.max(LOOK_AGAIN) } else { HORIZON };
                let until = context.clock.now().plus(reach);
                match context.store.timers(until, SWEEP_LIMIT).await {
                    Ok(found) => {
                        if first && begin == (Begin::Generation { unclean: true }) {
                            let early = found.iter().filter(|timer| timer.due <= born.plus(reach));
                            suspects.extend(early.map(|timer| ((timer.partition, timer.key.clone()), timer.due)));
                        }
                        if first {
                            timers.hasten(found, context.clock.now());
                        } else {
                            timers.found(found);
                        }
                        first = false;
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
