//! A run written out: what is fed, and what happens when. Made from a plan and a seed, and shortened when it fails.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use super::luck::{Chosen, Luck};
use super::plan::{Plan, Trouble};
use super::workload::Fed;
use crate::clock::SeededEntropy;

#[derive(Clone, Debug)]
pub struct Script {
    pub plan: Plan,
    pub seed: u64,
    pub events: Vec<Fed>,
    pub steps: Vec<Step>,
    /// Beside these no call goes wrong; `None`: whatever luck brings.
    pub mishaps: Option<Chosen>,
}

/// Runners have places; whoever takes over from a dead one takes its place. Each brings its own luck.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Step {
    /// The event with this index reaches the source channel.
    Feed(usize),
    /// Milliseconds.
    Wait(u64),
    /// What the store was sent late arrives now, or some of it.
    Arrive(Luck),
    /// The store's data of this moment is on its disk.
    Save,
    /// The store restarts with what was on its disk, and forgets the rest.
    LoseTail,
    Crash(usize, Luck),
    /// From here on it lives for so many calls, there and back.
    CrashAfter(usize, u64, Luck),
    /// It stands still for so many milliseconds, and the broker takes it for dead.
    Freeze(usize, u64),
    /// So many deliveries go to a request that nobody reads from.
    LeaveOpen(usize),
    /// What such requests took is handed out again.
    ReturnAstray,
    /// It cannot reach its store for so many milliseconds.
    CutOff(usize, u64),
    /// Without the acks of its last few events, and with connections broken.
    RestartBroker(u64),
    /// The window in which published ids are known is over.
    ForgetPublished,
    /// A person decides about one parked event.
    Meddle(Luck),
    /// All runners are replaced by those of a program that accepts one version more.
    Upgrade(Luck),
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Feed(_) | Self::Wait(_) => write!(f, "{self:?}"),
            Self::Arrive(_) => f.write_str("what was late arrives"),
            Self::Save => f.write_str("the store saves its data"),
            Self::LoseTail => f.write_str("the store restarts and forgets what came after its last save"),
            Self::Crash(place, _) => write!(f, "runner {place} is killed; another starts"),
            Self::CrashAfter(place, calls, _) => write!(f, "runner {place} will die within {calls} calls"),
            Self::Freeze(place, ms) => write!(f, "runner {place} stands still for {ms} ms"),
            Self::LeaveOpen(count) => write!(f, "a request that nobody reads from takes {count} deliveries"),
            Self::ReturnAstray => f.write_str("what went astray is handed out again"),
            Self::CutOff(place, ms) => write!(f, "runner {place} cannot reach its store for {ms} ms"),
            Self::RestartBroker(unacked) => write!(f, "the broker restarts without its last {unacked} acks"),
            Self::ForgetPublished => f.write_str("the broker forgets which ids were published"),
            Self::Meddle(_) => f.write_str("a person decides about a parked event"),
            Self::Upgrade(_) => f.write_str("a program that accepts version 2 takes over"),
        }
    }
}

impl Script {
    pub fn of(plan: &Plan, seed: u64) -> Self {
        let dice = Dice(Luck(seed).of(1).entropy());
        let events = plan.workload.feed(plan, &dice);
        let mut writer = Writer { plan, dice, steps: Vec::new(), upgrade: plan.upgrade, crashes: 0 };
        let mut order = writer.dice.with_duplicates(events.len()).into_iter().peekable();
        let mut fed_at: BTreeMap<usize, u64> = BTreeMap::new();
        let mut clock = 0;
        while order.peek().is_some() {
            let burst = 1 + writer.dice.roll(8) as usize;
            for index in order.by_ref().take(burst) {
                // A copy that was published later than its original can come again, for an ack that did not last, when
                // the original is forgotten and it is not; no store that forgets can tell.
                let first = *fed_at.entry(index).or_insert(clock);
                if !plan.has(Trouble::Ages) || clock == first {
                    writer.steps.push(Step::Feed(index));
                }
            }
            clock += writer.trouble();
        }
        if writer.upgrade {
            writer.upgrade();
        }
        Self { plan: plan.clone(), seed, events, steps: writer.steps, mishaps: None }
    }

    /// The events that are fed, in the order of their first arrival.
    pub fn fed(&self) -> Vec<&Fed> {
        let mut seen = BTreeSet::new();
        let feeds = self.steps.iter().filter_map(|step| if let Step::Feed(index) = step { Some(*index) } else { None });
        feeds.filter(|index| seen.insert(*index)).map(|index| &self.events[index]).collect()
    }
}

pub struct Dice(SeededEntropy);

impl Dice {
    pub fn roll(&self, sides: u64) -> u64 {
        self.0.next() % sides.max(1)
    }

    pub fn luck(&self) -> Luck {
        Luck(self.0.next())
    }

    /// The order in which so many events are fed: a third of them again, mostly right behind, where one batch holds both.
    fn with_duplicates(&self, events: usize) -> Vec<usize> {
        let mut order = Vec::new();
        for index in 0..events {
            order.push(index);
            while self.roll(3) == 0 {
                let again = self.roll(index as u64 + 1) as usize;
                order.push(if self.roll(2) == 0 { index } else { again });
            }
        }
        order
    }
}

struct Writer<'a> {
    plan: &'a Plan,
    dice: Dice,
    steps: Vec<Step>,
    /// Still to come.
    upgrade: bool,
    crashes: u64,
}

impl Writer<'_> {
    fn one_in(&self, sides: u64) -> bool {
        self.dice.roll(sides) == 0
    }

    fn wait(&mut self, most: u64) -> u64 {
        let ms = self.dice.roll(most);
        self.steps.push(Step::Wait(ms));
        ms
    }

    /// What happens between two bursts; how long it takes.
    fn trouble(&mut self) -> u64 {
        let (plan, runners) = (self.plan, self.plan.runners as u64);
        // Long enough that a lease is over now and then.
        let mut took = self.wait(if plan.lease { 4_000 } else { 700 });
        if plan.has(Trouble::StoreFaults) {
            self.steps.push(Step::Arrive(self.dice.luck()));
        }
        if plan.has(Trouble::TailLost) {
            if self.one_in(3) {
                self.steps.push(Step::LoseTail);
            }
            self.steps.push(Step::Save);
            took += self.wait(300);
        }
        let place = self.dice.roll(runners) as usize;
        if plan.has(Trouble::Crash) && self.one_in(3) {
            self.steps.push(Step::Crash(place, self.dice.luck()));
        }
        // A third one that dies between start and return of a suspect would be taken for its victim, and rightly so.
        if plan.has(Trouble::CrashAnywhere) && self.crashes < 2 && self.one_in(3) {
            self.crashes += 1;
            self.steps.push(Step::CrashAfter(place, 1 + self.dice.roll(80), self.dice.luck()));
        }
        if plan.has(Trouble::Freeze) && self.one_in(3) {
            self.steps.push(Step::Freeze(place, 200 + self.dice.roll(8_000)));
        }
        if plan.has(Trouble::LeftOpen) && self.one_in(2) {
            self.steps.push(Step::LeaveOpen(1 + self.dice.roll(4) as usize));
        }
        if plan.has(Trouble::LeftOpen) && self.one_in(3) {
            self.steps.push(Step::ReturnAstray);
        }
        if plan.has(Trouble::CutOff) && self.one_in(4) {
            self.steps.push(Step::CutOff(place, self.dice.roll(12_000)));
        }
        if plan.has(Trouble::BrokerFaults) && self.one_in(4) {
            self.steps.push(Step::RestartBroker(self.dice.roll(12)));
        }
        if plan.has(Trouble::Forgets) && self.one_in(3) {
            self.steps.push(Step::ForgetPublished);
        }
        if plan.has(Trouble::Ages) && self.one_in(2) {
            took += self.wait(50_000);
        }
        if plan.person && self.one_in(2) {
            self.steps.push(Step::Meddle(self.dice.luck()));
        }
        if self.upgrade && self.one_in(6) {
            self.upgrade();
        }
        took
    }

    fn upgrade(&mut self) {
        self.upgrade = false;
        self.steps.push(Step::Upgrade(self.dice.luck()));
    }
}
