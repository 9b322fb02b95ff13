//! Whether there is nothing left to do.

use std::sync::Arc;
use std::time::Duration;

use crate::bus::ConsumerSpec;
use crate::bus::open::OpenChannels;
use crate::flow::context::Context;

/// How often to look. Twice in a row everything must be quiet: an event may be on its way from a broker.
const LOOK: Duration = Duration::from_millis(50);
/// A retry that is due later than this is not waited for.
const SOON: Duration = Duration::from_secs(60);

/// Waits until every channel is read to its end, every event has its outcome, everything emitted is confirmed, and no
/// parked event is due within a minute.
pub async fn until_idle(pipelines: &[Arc<Context>], channels: &OpenChannels) {
    let received = || pipelines.iter().map(|context| context.tally.snapshot().received).sum::<u64>();
    let (mut quiet, mut before) = (0, received());
    while quiet < 2 {
        tokio::time::sleep(LOOK).await;
        quiet += 1;
        for context in pipelines {
            if !is_quiet(context, channels).await {
                quiet = 0;
            }
        }
        // They are looked at one after the other: what one hands to another may have passed behind our back.
        let now = received();
        if std::mem::replace(&mut before, now) != now {
            quiet = 0;
        }
    }
}

/// What does not answer is not known to be quiet.
async fn is_quiet(context: &Context, channels: &OpenChannels) -> bool {
    if !context.phase.borrow().ready() || context.tally.snapshot().in_flight != 0 {
        return false;
    }
    let store = &context.store;
    let owes = store.census().await.map_or(true, |census| census.outbox > 0);
    let due = store.timers(context.clock.now().plus(SOON), 1).await.map_or(true, |timers| !timers.is_empty());
    if owes || due {
        return false;
    }
    for channel in context.pipeline.inputs() {
        let spec = ConsumerSpec { pipeline: Arc::clone(&context.pipeline.name), channel, start_after: None };
        let read = channels.progress(spec).await.ok().flatten();
        if read.is_none_or(|progress| progress.pending > 0 || progress.ack_floor < progress.delivered) {
            return false;
        }
    }
    true
}
