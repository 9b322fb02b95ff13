//! Nothing is decided when the tenure of a runner may be over.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{mpsc, watch};

use super::life::Kind;
use super::{World, in_virtual_time};
use crate::event::{Key, Partition};
use crate::flow::chaos::luck::{Luck, Mishaps};
use crate::flow::chaos::plan::{PARTITIONS, Plan};
use crate::flow::confirmed::Confirmed;
use crate::flow::job::Job;
use crate::flow::tenure::{Moment, Tenure};
use crate::flow::timers::Timers;
use crate::flow::worker::{Fatal, Worker};
use crate::testkit::fate::Fate;
use crate::testkit::faulty_bus::FaultyBus;

impl World {
    /// What a worker says to a key in the hands of a runner with a tenure of this length.
    async fn decided_within(mut self, lasts: Duration) -> Result<(), Fatal> {
        let tenure = Tenure::until(Moment::now(&*self.clock).plus(lasts));
        let life = Arc::new(self.life(Luck(1)).of_person(Kind::Steady));
        let store = self.store(&life);
        let channels = FaultyBus::new(self.broker.clone(), life as Arc<dyn Fate>);
        let context = self.context(&store, &channels, Luck(1));
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

#[test]
fn nothing_is_decided_on_what_was_read_when_the_tenure_was_over() {
    let decided = |lasts| {
        in_virtual_time(async move {
            World::new(Plan::default(), Luck(1), Mishaps::default(), false).decided_within(lasts).await
        })
    };
    assert!(matches!(decided(Duration::from_secs(60)), Ok(())));
    assert!(matches!(decided(Duration::ZERO), Err(Fatal::Deposed)));
}
