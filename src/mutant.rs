//! Known ways to get this wrong, kept runnable: each is one place where the algorithm asks whether it should be
//! broken. Outside unit tests the answer is a constant `false` and the compiler removes the question. The tests
//! in `flow::chaos::mutants` show that the suite catches every one of them.

/// A way to break the algorithm.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(not(test), allow(dead_code, reason = "some are asked for where only tests compile"))]
pub enum Mutant {
    /// Remember the event in a commit of its own before handling it.
    MarkBefore,
    /// Remember the event in a commit of its own after its effects.
    MarkAfter,
    /// Ack when the handler returned, before the commit.
    AckBeforeCommit,
    /// Commit without comparing the key's nonce.
    NoVersionCheck,
    /// Versions count up instead of being fresh.
    CounterVersions,
    /// Two copies of an event in one batch are both handled.
    NoBatchDedupe,
    /// Clear the outbox up to the highest confirmed number instead of by explicit number.
    ClearByRange,
    /// Parking leaves the key's nonce as it was.
    ParkWithoutTouch,
    /// A parked event waits in memory; the store only remembers that it was seen.
    ParkInMemory,
    /// Pull again after a crash without reading the span behind the position first.
    NoRecovery,
    /// Go on where somebody else's request took deliveries away.
    NoGapCheck,
    /// What arrives is handled before those that waited for the event before it.
    ArrivalsFirst,
    /// A full buffer takes nothing, not even what others wait for.
    FullForFillers,
    /// When a gap or a wait is over is known to memory alone.
    TimerInMemory,
    /// Who waits for a prerequisite blocks the key.
    WaitersBlock,
    /// A parked event is released whether or not it is still parked.
    ReleaseUnconditionally,
    /// The embedded store commits without this.
    Without(Check),
}

/// What the embedded store's commit sees to. `the_suite_catches_a_commit_without_one_of_its_checks` takes one away at a
/// time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(not(test), allow(dead_code, reason = "asked for where the answer is a constant"))]
pub enum Check {
    Nonce,
    Mark,
    OlderMarks,
    ParkedMark,
    Parked,
    DeadOpen,
    Owed,
    Number,
    NumberOfItsOwn,
    Verdict,
    LongEnough,
    NewGeneration,
    ClearedTimer,
    OutboxSequence,
    Closing,
    SecondPlace,
    CountedDown,
}

#[cfg(test)]
impl Check {
    pub const ALL: [Self; 17] = [
        Self::Nonce,
        Self::Mark,
        Self::OlderMarks,
        Self::ParkedMark,
        Self::Parked,
        Self::DeadOpen,
        Self::Owed,
        Self::Number,
        Self::NumberOfItsOwn,
        Self::Verdict,
        Self::LongEnough,
        Self::NewGeneration,
        Self::ClearedTimer,
        Self::OutboxSequence,
        Self::Closing,
        Self::SecondPlace,
        Self::CountedDown,
    ];
}

/// Whether the commit does without a check.
pub fn lacks(check: Check) -> bool {
    on(Mutant::Without(check))
}

#[cfg(not(test))]
#[inline(always)]
pub fn on(_: Mutant) -> bool {
    false
}

#[cfg(test)]
pub use switch::{on, with};

#[cfg(test)]
mod switch {
    use std::cell::Cell;

    use super::Mutant;

    thread_local! {
        static ACTIVE: Cell<Option<Mutant>> = const { Cell::new(None) };
    }

    pub fn on(mutant: Mutant) -> bool {
        ACTIVE.get() == Some(mutant)
    }

    /// Runs `body` on this thread with a mutant switched on.
    pub fn with<T>(mutant: Option<Mutant>, body: impl FnOnce() -> T) -> T {
        ACTIVE.set(mutant);
        let result = body();
        ACTIVE.set(None);
        result
    }
}
