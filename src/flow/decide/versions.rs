//! An event in a version that the program does not accept, where it may wait for a program that does.
//!
//! A program never changes while it runs, so what waits is looked at when a generation starts; beside that only now
//! and then, because another runner may have set it aside meanwhile, or parked it while this one has the program it
//! waits for. A look that changes nothing writes the key's record and no event.

use std::time::Duration;

use super::{Draft, Env, Outcome, Runnable, Turn};
use crate::event::Millis;
use crate::flow::validate::unknown_version;
use crate::spec::program::UnknownVersion;
use crate::store::record::{Failure, Wait};

/// What waits for a version is looked at again after this long at most.
pub const LOOK_AGAIN: Duration = Duration::from_secs(300);

/// When to look again at an event that waits since then: not at the same moment for all of them, and when its time
/// is over.
pub fn next_look(env: &Env<'_>, since: Millis) -> Millis {
    let half = LOOK_AGAIN / 2;
    let later = env.now.plus(half + half.mul_f64(env.entropy.fraction()));
    later.min(since.plus(env.pipeline.retain))
}

impl Draft<'_> {
    /// Parks the event or, when it waited long enough, sets it aside. `None`: there is nothing to wait for. The
    /// handler does not run, so no attempt is counted.
    pub(super) fn wait_for_version(&mut self, turn: &Turn<'_>) -> Option<Outcome> {
        let Runnable::Run(event, subscription) = &turn.subject else { return None };
        let failure = unknown_version(event, subscription)?;
        if self.env.pipeline.unknown_version == UnknownVersion::DeadLetter {
            return None;
        }
        let since = turn.since(self.env.now);
        let retain = self.env.pipeline.retain;
        if self.env.now < since.plus(retain) {
            let wait = Wait::Version { event: event.kind.clone(), version: event.version };
            return Some(self.park(turn, wait, turn.attempts));
        }
        let message = format!(
            "{}, and no program that does came within `idempotency.retain` ({}s)",
            failure.message,
            retain.as_secs()
        );
        Some(self.bury(turn, Failure { message, ..failure }, turn.attempts))
    }
}
