//! What a run is about: which events, which pipeline, how many runners, and what befalls them.

use std::time::Duration;

use super::workload::Workload;
use super::workload::fold::Fold;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Trouble {
    /// A process dies between two steps, and another takes over.
    Crash,
    /// A process dies at any call it makes.
    CrashAnywhere,
    /// A process stands still for longer than the ack wait, and goes on.
    Freeze,
    /// The store restarts without its last writes.
    TailLost,
    /// Replies are lost, calls refused, writes carried out late.
    StoreFaults,
    /// Publishes are stored but not confirmed, or refused for a while.
    PublishFaults,
    /// Acks are lost or do not last; what comes again does so in no order; what is new looks old; questions are not
    /// answered, connections break, the server restarts.
    BrokerFaults,
    /// The broker forgets which ids were published.
    Forgets,
    /// The destination refuses some emissions for good.
    Refusals,
    /// Requests that dead and frozen runners left open take deliveries away.
    LeftOpen,
    /// A runner cannot reach its store for longer than its lease.
    CutOff,
    /// Hours pass: marks are rotated, and events come again when they are older than what is remembered.
    Ages,
}

#[derive(Clone, Debug)]
pub struct Plan {
    pub workload: &'static dyn Workload,
    pub keys: u64,
    pub events: u64,
    pub runners: usize,
    pub trouble: Vec<Trouble>,
    /// Whether some events ask for a retry first.
    pub retries: bool,
    /// Whether some events are in a version that only the program of later accepts.
    pub upgrade: bool,
    /// Whether a person releases and discards what is parked meanwhile.
    pub person: bool,
    /// Whether the store keeps one runner active at a time. Without, all are: nothing but order may depend on it.
    pub lease: bool,
}

impl Default for Plan {
    fn default() -> Self {
        Self {
            workload: &Fold,
            keys: 4,
            events: 32,
            runners: 1,
            trouble: Vec::new(),
            retries: true,
            upgrade: false,
            person: false,
            lease: false,
        }
    }
}

impl Plan {
    pub fn of(trouble: &[Trouble]) -> Self {
        Self { trouble: trouble.to_vec(), ..Self::default() }
    }

    pub fn has(&self, trouble: Trouble) -> bool {
        self.trouble.contains(&trouble)
    }

    pub fn kills(&self) -> bool {
        self.has(Trouble::Crash) || self.has(Trouble::CrashAnywhere)
    }

    /// How long the store remembers.
    pub fn retain(&self) -> Duration {
        if self.has(Trouble::Ages) { Duration::from_secs(60) } else { RETAIN }
    }

    /// Whether events of a key keep their order: what several active runners hold at once they handle in any.
    pub fn ordered(&self) -> bool {
        self.runners == 1 || self.lease
    }
}

pub const PARTITIONS: u16 = 4;
pub const RETAIN: Duration = Duration::from_secs(24 * 3600);
