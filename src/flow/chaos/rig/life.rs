//! One process: it dies at a call, or stands still for a while, and has a luck of its own.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use futures_util::future::BoxFuture;
use tokio::sync::Notify;
use tokio::time::Instant;

use super::watch::Watch;
use crate::event::Position;
use crate::flow::chaos::luck::{Luck, Mishap};
use crate::flow::chaos::plan::{Plan, Trouble};
use crate::testkit::fate::{Call, Fate, Way};

pub(super) struct Life {
    pub(super) name: String,
    luck: Luck,
    plan: Plan,
    watch: Arc<Watch>,
    kind: Kind,
    mortal: Arc<Mortal>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Runner,
    /// A person's, who has no trouble with the store.
    Steady,
    /// A person's, who always has.
    Shaky,
}

/// What its death and its pauses hang on.
#[derive(Default)]
struct Mortal {
    travelled: AtomicU64,
    /// 0: it lives on.
    dies_at: AtomicU64,
    /// Who takes over then.
    next: Mutex<Option<Luck>>,
    frozen_until: Mutex<Option<Instant>>,
    /// Of the store.
    cut_off_until: Mutex<Option<Instant>>,
    /// Rung at its death.
    bell: Arc<Notify>,
}

impl Mortal {
    async fn reach_store(&self) {
        let until = *self.cut_off_until.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(until) = until {
            tokio::time::sleep_until(until).await;
        }
    }

    fn frozen_until(&self) -> Option<Instant> {
        *self.frozen_until.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn pass(&self) {
        let travelled = self.travelled.fetch_add(1, Relaxed) + 1;
        let dies_at = self.dies_at.load(Relaxed);
        if dies_at > 0 && travelled >= dies_at {
            self.bell.notify_one();
            std::future::pending::<()>().await;
        }
        while let Some(until) = self.frozen_until().filter(|until| *until > Instant::now()) {
            tokio::time::sleep_until(until).await;
        }
    }
}

impl Life {
    pub(super) fn new(name: String, luck: Luck, plan: &Plan, watch: &Arc<Watch>, bell: &Arc<Notify>) -> Self {
        let mortal = Arc::new(Mortal { bell: Arc::clone(bell), ..Mortal::default() });
        Self { name, luck, plan: plan.clone(), watch: Arc::clone(watch), kind: Kind::Runner, mortal }
    }

    pub(super) fn of_person(self, kind: Kind) -> Self {
        Self { kind, ..self }
    }

    /// It dies within so many ways of calls.
    pub(super) fn dies_after(&self, ways: u64, next: Luck) {
        *self.mortal.next.lock().unwrap_or_else(PoisonError::into_inner) = Some(next);
        self.mortal.dies_at.store(self.mortal.travelled.load(Relaxed) + ways, Relaxed);
    }

    pub(super) fn travelled(&self) -> u64 {
        self.mortal.travelled.load(Relaxed)
    }

    /// Whether it is dead, and who takes over.
    pub(super) fn died(&self) -> Option<Luck> {
        let dies_at = self.mortal.dies_at.load(Relaxed);
        let dead = dies_at > 0 && self.mortal.travelled.load(Relaxed) >= dies_at;
        (*self.mortal.next.lock().unwrap_or_else(PoisonError::into_inner)).filter(|_| dead)
    }

    pub(super) fn freeze(&self, how_long: Duration) {
        let until = Instant::now() + how_long;
        *self.mortal.frozen_until.lock().unwrap_or_else(PoisonError::into_inner) = Some(until);
    }

    pub(super) fn cut_off(&self, how_long: Duration) {
        let until = Instant::now() + how_long;
        *self.mortal.cut_off_until.lock().unwrap_or_else(PoisonError::into_inner) = Some(until);
    }

    pub(super) fn go_on(&self) {
        self.freeze(Duration::ZERO);
        self.cut_off(Duration::ZERO);
        self.mortal.dies_at.store(0, Relaxed);
    }

    /// How often in a thousand such a call goes wrong.
    fn risk(&self, call: Call) -> u64 {
        let trouble = match call {
            // A process that dies again and again while a start mark waits for its answer does look killed by that
            // event; three such accidents in a row are the plan's fault, not the gate's.
            Call::Start | Call::Returned if self.kind == Kind::Runner && self.plan.kills() => return 0,
            Call::Open | Call::Probe | Call::Lookup | Call::Commit => Trouble::StoreFaults,
            Call::Start | Call::Returned | Call::Advance | Call::Lease | Call::Ask => Trouble::StoreFaults,
            Call::Publish => Trouble::PublishFaults,
            Call::Next | Call::Progress | Call::Read | Call::Deliver | Call::Ack => Trouble::BrokerFaults,
        };
        let bad = match self.kind {
            Kind::Runner => self.plan.has(trouble),
            Kind::Steady => false,
            Kind::Shaky => trouble == Trouble::StoreFaults || self.plan.has(trouble),
        };
        match trouble {
            _ if !bad => 0,
            Trouble::PublishFaults => 300,
            _ => 100,
        }
    }
}

impl Fate for Life {
    fn strikes(&self, call: Call, nth: u64) -> Option<u64> {
        self.watch.mishaps.strike(Mishap { process: self.luck, call, nth }, self.risk(call))
    }

    fn travel(&self, call: Call, nth: u64, way: Way) -> BoxFuture<'static, ()> {
        let mortal = Arc::clone(&self.mortal);
        let most = match call {
            // They stand between a script and its being suspected.
            Call::Start | Call::Returned => 0,
            Call::Publish => 40,
            // Long enough that a heartbeat falls between a call and its answer now and then.
            _ if self.luck.of(0).below(4) == 0 => 1_500,
            _ => 20,
        };
        let waits = call != Call::Next || way == Way::Back;
        let pause = self.luck.of(call as u64 + 100).of(nth * 2 + way as u64).below(most);
        // Nothing may come between the start of a suspect and its return but a death that is counted.
        let passes = most > 0 || self.plan.has(Trouble::CrashAnywhere);
        Box::pin(async move {
            if passes {
                mortal.pass().await;
            }
            if most > 0 && call.asks_store() && way == Way::There {
                mortal.reach_store().await;
            }
            if pause > 0 && waits {
                tokio::time::sleep(Duration::from_millis(pause)).await;
            }
        })
    }

    fn tell(&self, what: &str) {
        self.watch.trace.say(|| format!("{}: {what}", self.name));
    }

    fn told(&self, what: Call, place: &Position) {
        self.watch.told(&self.name, what, place);
    }

    fn refuses(&self, payload: &[u8]) -> bool {
        self.plan.has(Trouble::Refusals) && self.plan.workload.refuses(payload)
    }
}
