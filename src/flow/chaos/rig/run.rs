//! A script, carried out step by step, until all has come to rest.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use super::World;
use crate::event::Headers;
use crate::flow::chaos::script::{Script, Step};
use crate::flow::chaos::workload::Fed;
use crate::store::Store as _;
use crate::store::memory::MemoryStore;
use crate::testkit::faulty_bus::ACK_WAIT;

impl World {
    pub(super) async fn play(&mut self, script: &Script) -> Result<(), String> {
        for place in 0..self.plan.runners {
            let runner = self.start(self.luck.of(1_000 + place as u64));
            self.runners.push(runner);
        }
        self.known().await?;
        for step in &script.steps {
            self.step(script, *step).await?;
        }
        self.watch.mishaps.end();
        for place in 0..self.runners.len() {
            self.bury().await;
            self.runners[place].life.go_on();
        }
        for store in self.runners.iter().map(|runner| &runner.store).chain(&self.ghosts) {
            store.release_late().await;
        }
        self.bus.return_astray();
        self.quiet().await?;
        self.travelled = self.runners.first().map_or(0, |runner| runner.life.travelled());
        for runner in std::mem::take(&mut self.runners) {
            runner.stop.cancel();
            match runner.task.await {
                Ok(Ok(())) => {}
                Ok(Err(refused)) => return Err(refused.to_string()),
                Err(error) => return Err(error.to_string()),
            }
        }
        self.watch.verdict()?;
        self.check(script).await
    }

    async fn step(&mut self, script: &Script, step: Step) -> Result<(), String> {
        if !matches!(step, Step::Feed(_) | Step::Wait(_)) {
            self.watch.trace.say(|| step);
        }
        match step {
            Step::Feed(index) => self.feed(&script.events[index])?,
            Step::Wait(ms) => self.wait(Duration::from_millis(ms)).await,
            Step::Arrive(luck) => {
                for (nth, store) in self.runners.iter().map(|runner| &runner.store).chain(&self.ghosts).enumerate() {
                    if luck.of(nth as u64).below(2) == 0 {
                        store.release_late().await;
                    }
                }
            }
            Step::Save => self.saved = Some(self.memory.snapshot()),
            Step::LoseTail => {
                if let Some(saved) = self.saved.take() {
                    self.watch.remember();
                    self.memory.restart_from(saved);
                }
            }
            Step::Crash(place, luck) => self.replace(place, luck).await,
            Step::CrashAfter(place, ways, luck) => self.runners[place].life.dies_after(ways, luck),
            Step::Freeze(place, ms) => {
                self.runners[place].life.freeze(Duration::from_millis(ms));
                if Duration::from_millis(ms) > ACK_WAIT {
                    self.wait(ACK_WAIT).await;
                    self.bus.redeliver_all();
                }
            }
            Step::LeaveOpen(count) => self.bus.leave_open(&self.pipeline.name, "in", count),
            Step::ReturnAstray => self.bus.return_astray(),
            Step::CutOff(place, ms) => self.runners[place].life.cut_off(Duration::from_millis(ms)),
            Step::RestartBroker(unacked) => self.broker.restart(&self.pipeline.name, "in", unacked),
            Step::ForgetPublished => {
                self.bus.forget_published("out");
                self.forgot.push(self.bus.events("out").len() as u64);
            }
            Step::Meddle(luck) => self.meddle(luck).await?,
            Step::Upgrade(luck) => {
                self.pipeline = self.plan.workload.pipeline(&self.plan, true);
                for place in 0..self.runners.len() {
                    self.replace(place, luck.of(place as u64)).await;
                }
            }
        }
        Ok(())
    }

    fn feed(&self, fed: &Fed) -> Result<(), String> {
        self.watch.feed(fed);
        self.bus.sink("in".into()).put(Headers::default(), fed.payload.clone()).map_err(|error| error.to_string())
    }

    /// Lets time pass; whoever dies meanwhile is replaced.
    async fn wait(&mut self, how_long: Duration) {
        let until = Instant::now() + how_long;
        let bell = Arc::clone(&self.bell);
        loop {
            tokio::select! {
                biased;
                () = bell.notified() => self.bury().await,
                () = tokio::time::sleep_until(until) => return,
            }
        }
    }

    async fn bury(&mut self) {
        for place in 0..self.runners.len() {
            if let Some(next) = self.runners[place].life.died() {
                self.replace(place, next).await;
            }
        }
    }

    /// Waits until the store knows a position: one that lost even that is refused, by design.
    pub(super) async fn known(&self) -> Result<(), String> {
        let store = MemoryStore::new(Arc::clone(&self.memory));
        for _ in 0..1_000 {
            if store.position(&"in".into()).await.map_err(|error| error.to_string())?.is_some() {
                return Ok(());
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        Err("the store never learns a position".to_owned())
    }

    /// Waits, in virtual time, until nothing is left to do.
    pub(super) async fn quiet(&mut self) -> Result<(), String> {
        let store = MemoryStore::new(Arc::clone(&self.memory));
        let last = self.bus.events("in").len() as u64;
        for turn in 0..3_000 {
            tokio::time::sleep(Duration::from_millis(200)).await;
            if self.plan.workload.blocks() {
                self.resolve(self.luck.of(10_000 + turn)).await?;
            }
            if self.runners.iter().any(|runner| runner.task.is_finished()) {
                return Err("a runner gave up".to_owned());
            }
            let position = store.position(&"in".into()).await.map_err(|error| error.to_string())?;
            let census = store.census().await.map_err(|error| error.to_string())?;
            if position == Some(last) && self.plan.workload.rests(&census) {
                return Ok(());
            }
        }
        let (position, census) = (store.position(&"in".into()).await, store.census().await);
        Err(format!("it does not come to rest: position {position:?} of {last}, {census:?}"))
    }
}
