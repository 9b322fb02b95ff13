//! The gate's memory: marks, key records, parking, outbox, dead letters, positions.
//!
//! One narrow trait; `testkit::conformance::store` runs one suite against every implementation. A [`Store`] belongs to one
//! pipeline. All that belongs to a partition is written by one atomic, conditional call, [`Store::commit`].
//!
//! Safety needs no lock, lease or clock: each key record carries a fresh nonce, each commit names the nonce it
//! read, and a group whose conditions do not hold writes nothing. Whoever comes late is refused and reads again.

mod contract;
pub mod embedded;
mod lease;
mod listing;
pub mod memory;
pub mod open;
mod place;
pub mod record;
pub mod redis;

use std::time::Duration;

use bytes::Bytes;
use futures_util::future::BoxFuture;

use crate::clock::Entropy;
use crate::event::{ChannelName, ContentDigest, Key, MarkId, Millis, Partition};

pub use lease::{Holder, Lease};
pub use listing::{Cursor, KeysPage, ParkedAt, Which};
pub use place::{Place, Range};

/// A version of a key record: sixteen fresh random bytes a touch. (Counters would suffer ABA: a record that was
/// lost and rebuilt could come back to a number somebody still holds.)
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Nonce(pub [u8; 16]);

/// One connection generation of one runner. A reconnect takes a new one, so that a late write of the old
/// connection is told apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct WriterId(pub [u8; 16]);

/// How a remembered event ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MarkStatus {
    Done,
    Dead,
}

/// What the store remembers of an event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mark {
    Finished {
        status: MarkStatus,
        content: ContentDigest,
    },
    /// It waits: the mark is the parking entry itself, so it never expires.
    Parked {
        content: ContentDigest,
    },
}

/// What to read, for one partition, in one round trip.
#[derive(Clone, Debug, Default)]
pub struct Lookup {
    pub marks: Vec<MarkId>,
    pub keys: Vec<KeyLookup>,
    pub dead: Vec<MarkId>,
}

#[derive(Clone, Debug)]
pub struct KeyLookup {
    pub key: Key,
    /// Parts of its line to read.
    pub line: Vec<Range>,
}

/// The answer, each list in the order asked. One partition's answer is one consistent snapshot.
#[derive(Clone, Debug, Default)]
pub struct Found {
    pub marks: Vec<Option<Mark>>,
    pub keys: Vec<FoundKey>,
    pub dead: Vec<Option<DeadLetter>>,
    /// Bytes of all entries that are parked in the partition.
    pub parked_bytes: u64,
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FoundKey {
    /// `None`: the key was never touched.
    pub nonce: Option<Nonce>,
    /// What was committed with that nonce; opaque to the store.
    pub record: Bytes,
    /// One a part that was asked for: the events whose place, or second place, is in it, in that order.
    pub parked: Vec<Vec<ParkedEvent>>,
}

/// A parked event, its bytes opaque to the store.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ParkedEvent {
    pub mark: MarkId,
    pub content: ContentDigest,
    pub place: Place,
    /// A second place, where the event is found as well.
    pub also: Option<Place>,
    pub body: Bytes,
}

/// A dead letter's record: body opaque; the generation guards its life cycle.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeadLetter {
    pub id: MarkId,
    pub open: bool,
    /// Rises with every change of the record (died again, edited, closed).
    pub generation: u64,
    pub body: Bytes,
}

/// A condition of a [`Group`]; verified before anything is written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Condition {
    /// Origin *source*: not remembered, in no generation, and not parked.
    Unmarked(MarkId),
    /// Origin *release*: its parking entry is still there.
    Parked(MarkId),
    /// Origin *replay*: the dead-letter record is open at this generation.
    DeadOpen { id: MarkId, generation: u64 },
    /// The outbox entry is still there.
    Owed(u64),
}

/// A write of a [`Group`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Write {
    Mark {
        id: MarkId,
        status: MarkStatus,
        content: ContentDigest,
    },
    /// Parks, or overwrites the parking entry of the same mark, which leaves its old places. Needs a group with a key.
    Park(ParkedEvent),
    /// Takes an entry out of its key's line, from all its places.
    Unpark {
        mark: MarkId,
    },
    /// Appends to the partition's outbox; numbers rise without gaps in commit order.
    Emit(Bytes),
    /// Takes an outbox entry out (with [`Condition::Owed`]).
    Unowe(u64),
    /// Opens a dead-letter record, or re-opens the one of the same id at the next generation.
    Dead {
        id: MarkId,
        body: Bytes,
    },
    /// Closes a record; its body says how it ended.
    CloseDead {
        id: MarkId,
        body: Bytes,
    },
}

/// The new record of a key: conditional on the nonce that was read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Touch {
    pub key: Key,
    /// `None`: the key must not have a record.
    pub expected: Option<Nonce>,
    pub new: Nonce,
    pub record: Bytes,
    /// When this key next needs attention without an arrival. `None` clears its timer.
    pub timer: Option<Millis>,
}

/// All that a batch does to one key, or to one event without a key: written as a whole or not at all.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Group {
    pub touch: Option<Touch>,
    pub conditions: Vec<Condition>,
    pub writes: Vec<Write>,
}

/// One atomic call to one partition.
#[derive(Clone, Debug)]
pub struct Commit {
    pub partition: Partition,
    pub writer: WriterId,
    /// Commits of this writer to this partition that were acknowledged; the store must know exactly as many. (It
    /// forgets a writer a day after its last commit to a partition: the next one there is then told
    /// [`StoreError::TailLost`], which costs a recovery and nothing else.)
    pub expected_number: u64,
    /// The runner's clock; rotates generations of marks, nothing else.
    pub now: Millis,
    pub groups: Vec<Group>,
    /// Outbox entries whose publish is confirmed.
    pub cleared: Vec<u64>,
    /// Start marks whose script returned.
    pub returned: Vec<MarkId>,
}

impl Commit {
    /// One group, under a name that nobody counts the commits of.
    pub fn alone(partition: Partition, group: Group, now: Millis, entropy: &dyn Entropy) -> Self {
        let writer = WriterId(entropy.fresh());
        let (groups, cleared, returned) = (vec![group], Vec::new(), Vec::new());
        Self { partition, writer, expected_number: 0, now, groups, cleared, returned }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    Committed,
    /// A condition did not hold: nothing of the group was written. Read again and run again.
    Stale,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Committed {
    /// One per group, in order.
    pub verdicts: Vec<Verdict>,
    /// The number of the partition's outbox entry before the first one this call appended.
    pub outbox_before: u64,
    /// Entries in the partition's outbox after this call.
    pub outbox_len: u64,
    /// Bytes of what is parked in the partition after this call, as a lookup would tell.
    pub parked_bytes: u64,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OutboxEntry {
    pub number: u64,
    pub body: Bytes,
}

/// A key that needs attention at a time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Timer {
    pub partition: Partition,
    pub key: Key,
    pub due: Millis,
}

/// From when on a runner counts as dead to those who close after it.
pub const SILENT_FOR: Duration = Duration::from_secs(60);

/// Counts for `status` and metrics.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Census {
    pub parked: u64,
    pub outbox: u64,
    pub dead_open: u64,
    pub keys_with_timer: u64,
}

/// What opening a pipeline's store tells.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Opened {
    /// The store has never heard of this pipeline.
    pub fresh: bool,
    /// Another runner is alive, or one died without saying goodbye.
    pub unclean: bool,
    /// Identifies the life of the server process: after a restart (when a tail may be lost) it differs.
    pub incarnation: String,
    pub durability: Durability,
    /// What weakens the guarantee, in plain words, one sentence each.
    pub warnings: Vec<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Durability {
    /// A reply is durable.
    Strict,
    /// The last moments before a crash can be lost; a retained source stream brings them back.
    Relaxed,
    /// Nothing outlives the process.
    None,
}

#[derive(Clone, Debug, thiserror::Error)]
pub enum StoreError {
    /// Passes: unreachable, loading, failover, out of memory. Nobody knows whether a commit in flight happened.
    #[error("{0}")]
    Unavailable(String),
    /// The store does not know commits it acknowledged, or its process is another one: it may have lost its
    /// tail. The runner must recover from the stored position before it goes on.
    #[error("the store may have lost its last writes ({0})")]
    TailLost(String),
    /// Does not pass without a person; says what to do.
    #[error("{0}")]
    Refused(String),
}

/// What a call of a [`Store`] gives back.
pub type Answer<'a, T> = BoxFuture<'a, Result<T, StoreError>>;

/// The store of one pipeline. Every call is complete in itself; a dropped future may still be carried out.
pub trait Store: Send + Sync {
    /// Connects, checks format, partition count and server settings, and notes that this runner is at work.
    fn open(&self, runner: WriterId) -> Answer<'_, Opened>;

    /// Notes that this runner stopped cleanly, and settles the unclean ends it found at its own `open`: of runners
    /// that gave no sign of life for [`SILENT_FOR`]. (A lookup or a commit is one.) The living keep their notes.
    fn close(&self, runner: WriterId) -> Answer<'_, ()>;

    /// Cheap: does the store answer, and is it still the process `open` saw? Reconnects when it must.
    fn probe(&self) -> Answer<'_, ()>;

    /// One round trip for all partitions.
    fn lookup(&self, lookups: Vec<(Partition, Lookup)>) -> Answer<'_, Vec<Found>>;

    /// One call a partition, all pipelined in one round trip; one answer a commit, in order.
    fn commit(&self, commits: Vec<Commit>) -> BoxFuture<'_, Vec<Result<Committed, StoreError>>>;

    /// Notes durably that `event` is about to run alone in `runner`; the number of distinct runners that noted
    /// it, this one included, and never saw it return.
    fn start(&self, partition: Partition, event: MarkId, runner: WriterId) -> Answer<'_, u32>;

    /// Clears the start marks of these events.
    fn returned(&self, events: Vec<(Partition, MarkId)>) -> Answer<'_, ()>;

    /// The lowest stored position of a channel over all partitions; `None` when any partition knows none.
    fn position(&self, channel: &ChannelName) -> Answer<'_, Option<u64>>;

    /// Raises the position of a channel in all partitions (never lowers it), if the store is still the
    /// incarnation that `open` saw and each partition knows a position not below `held`, the one the caller last
    /// read or stored (`None`: it found none). Otherwise [`StoreError::TailLost`], and no partition that lost its
    /// own is written: a store that was emptied must not seem to have seen what was acked.
    fn advance(&self, channel: &ChannelName, held: Option<u64>, position: u64) -> Answer<'_, ()>;

    /// A partition's outbox in order.
    fn outbox(&self, partition: Partition) -> Answer<'_, Vec<OutboxEntry>>;

    /// Numbers of entries in each partition's outbox, one round trip.
    fn outbox_lens(&self) -> Answer<'_, Vec<u64>>;

    /// Timers due up to `until`, the soonest first, at most `limit` a partition. One round trip.
    fn timers(&self, until: Millis, limit: usize) -> Answer<'_, Vec<Timer>>;

    /// Dead letters of all partitions, newest or oldest first as they come; open ones only when asked. Each as it
    /// stood at some moment of the call: no snapshot of all.
    fn dead_letters(&self, open_only: bool) -> Answer<'_, Vec<(Partition, DeadLetter)>>;

    /// One dead letter, wherever it is.
    fn dead_letter(&self, id: MarkId) -> Answer<'_, Option<(Partition, DeadLetter)>>;

    /// A page of keys, from the first one without a cursor; it may be empty before the last. A key that is there all the
    /// while is listed, perhaps twice when the store is written meanwhile. (The flow gives every key with parked events
    /// a timer, and a store may go by that.)
    fn keys(&self, which: Which, from: Option<Cursor>) -> Answer<'_, KeysPage>;

    /// A part of a key's line. Empty: that was its end.
    fn line(&self, partition: Partition, key: &Key, part: Range) -> Answer<'_, Vec<ParkedEvent>>;

    /// One parked event, wherever it is.
    fn parked(&self, id: MarkId) -> Answer<'_, Option<ParkedAt>>;

    fn census(&self) -> Answer<'_, Census>;

    /// Takes the pipeline's lease where it is free or over, or keeps it where it is this runner's, for so long from when
    /// the store decides. Needs no `open`, and goes on over a restart of the store. `now` is the runner's clock, for a
    /// store that has none.
    fn lease(&self, runner: WriterId, lasts: Duration, now: Millis) -> Answer<'_, Lease>;

    /// Gives the lease back, where it is this runner's: the next that asks has it.
    fn release(&self, runner: WriterId) -> Answer<'_, ()>;

    /// Who holds the lease, as far as the store knows.
    fn holder(&self, now: Millis) -> Answer<'_, Option<Holder>>;
}
