//! Several runners, one of them active by the lease: then the order of arrival is kept within each key, whatever becomes of
//! the one that is active.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{mpsc, watch};

use super::super::hold;
use super::{PARTITIONS, Plan, Runner, Trouble, World};
use crate::event::{Key, Partition};
use crate::flow::confirmed::Confirmed;
use crate::flow::job::Job;
use crate::flow::tenure::{Moment, Tenure};
use crate::flow::timers::Timers;
use crate::flow::worker::{Fatal, Worker};

impl World {
    /// What befalls the active runner's deliveries, and its store.
    pub(super) fn take_away(&self, runners: &[Runner]) {
        if self.plan.trouble.contains(&Trouble::LeftOpen) {
            if self.roll(2) == 0 {
                let count = usize::try_from(1 + self.roll(4)).expect("a small number");
                self.bus.leave_open(&self.pipeline.name, "in", count);
            }
            if self.roll(3) == 0 {
                self.bus.return_astray();
            }
        }
        if self.plan.trouble.contains(&Trouble::CutOff) && self.roll(4) == 0 {
            let victim = usize::try_from(self.roll(runners.len() as u64)).expect("a small number");
            runners[victim].store.cut_off(Duration::from_millis(self.roll(12_000)));
        }
    }

    /// What a worker says to a key in the hands of a runner with this tenure.
    async fn decided_under(mut self, tenure: Tenure) -> Result<(), Fatal> {
        let store = self.slow_store();
        let context = self.context(&store);
        let (outbox, _messages) = mpsc::channel(1);
        let (jobs, input) = mpsc::channel(1);
        let store_up = Arc::new(watch::Sender::new(true));
        let all = (0..PARTITIONS).map(Partition).collect();
        let (confirmed, timers) = (Arc::new(Confirmed::default()), Arc::new(Timers::default()));
        let worker = Worker::new(context, all, outbox, confirmed, timers, store_up, tenure);
        let key = Key::new("k").expect("a key");
        let job = Job::Attention { partition: key.partition(PARTITIONS), key, suspect: false, hurried: None };
        jobs.try_send(job).expect("room");
        drop(jobs);
        worker.run(input).await
    }
}

fn plan(runners: usize, trouble: &[Trouble]) -> Plan {
    Plan { runners, lease: true, keys: 3, trouble: trouble.to_vec(), ..Plan::default() }
}

/// The plans that show what the lease, and the look at the numbers of deliveries, are for.
pub fn takeovers() -> Vec<Plan> {
    vec![plan(2, &[Trouble::LeftOpen]), plan(3, &[Trouble::Crash, Trouble::LeftOpen, Trouble::CutOff])]
}

#[test]
fn runners_that_crash_keep_the_order_of_arrival() {
    hold(&plan(2, &[Trouble::Crash]));
    hold(&plan(3, &[Trouble::Crash, Trouble::PublishFaults]));
}

#[test]
fn requests_that_are_left_open_keep_the_order_of_arrival() {
    takeovers().iter().for_each(hold);
}

#[test]
fn runners_that_cannot_reach_their_store_keep_the_order_of_arrival() {
    hold(&plan(2, &[Trouble::CutOff, Trouble::StoreFaults]));
    hold(&plan(3, &[Trouble::CutOff, Trouble::Crash, Trouble::LeftOpen, Trouble::StoreFaults, Trouble::PublishFaults]));
}

#[test]
fn a_store_that_loses_its_last_writes_keeps_the_order_of_arrival_among_several() {
    hold(&plan(2, &[Trouble::TailLost, Trouble::Crash, Trouble::LeftOpen, Trouble::CutOff, Trouble::StoreFaults]));
}

#[test]
fn what_waits_for_a_version_keeps_its_turn_over_takeovers() {
    hold(&Plan { upgrade: true, ..plan(3, &[Trouble::Crash, Trouble::LeftOpen, Trouble::CutOff]) });
}

#[tokio::test(start_paused = true)]
async fn nothing_is_decided_on_what_was_read_when_the_tenure_was_over() {
    let world = || World::new(Plan::default(), 1);
    let of = |world: &World, lasts: Duration| Tenure::until(Moment::now(&*world.clock).plus(lasts));
    let (held, over) = (world(), world());
    let tenures = (of(&held, Duration::from_secs(60)), of(&over, Duration::ZERO));
    assert!(matches!(held.decided_under(tenures.0).await, Ok(())));
    assert!(matches!(over.decided_under(tenures.1).await, Err(Fatal::Deposed)));
}
