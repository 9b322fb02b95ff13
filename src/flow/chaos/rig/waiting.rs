//! Events that wait for a version, and what the program that accepts it makes of them.

use std::sync::Arc;
use std::time::Duration;

use serde_json::Value;

use super::{World, in_virtual_time};
use crate::event::Headers;
use crate::flow::chaos::luck::{Luck, Mishaps};
use crate::flow::chaos::plan::Plan;
use crate::flow::chaos::workload::fold::{accepting, counted};
use crate::store::Store as _;
use crate::store::memory::MemoryStore;

/// Waits, at a program that does not accept a version, for one that does; how long that one takes to handle it all.
pub fn wait_for_version() -> Result<Duration, String> {
    in_a_world(async |mut world| {
        let runner = world.start(Luck(1));
        world.known().await?;
        world.publish(&[(1, 2), (2, 1), (3, 2)])?;
        tokio::time::sleep(Duration::from_secs(3_600)).await;
        if (world.parked().await?, world.handled().len()) != (3, 0) {
            return Err(format!("{} parked and {:?} handled", world.parked().await?, world.handled()));
        }
        runner.stop.cancel();
        drop(runner.task.await);
        world.pipeline = Arc::new(accepting(&[1, 2]));
        let start = tokio::time::Instant::now();
        let runner = world.start(Luck(2));
        world.quiet().await?;
        runner.stop.cancel();
        if world.handled() == [1, 2, 3] { Ok(start.elapsed()) } else { Err(format!("handled {:?}", world.handled())) }
    })
}

/// An event that waited, and kills every runner whose program accepts it; why it is set aside, and what was handled.
pub fn killer_that_waited() -> Result<String, String> {
    in_a_world(async |mut world| {
        let first = world.start(Luck(3));
        world.known().await?;
        world.publish(&[(1, 2), (2, 1)])?;
        tokio::time::sleep(Duration::from_secs(30)).await;
        if world.parked().await? != 2 {
            return Err("they do not wait".to_owned());
        }
        world.crash(first).await;
        world.pipeline = Arc::new(accepting(&[1, 2]));
        for life in 10..13 {
            let runner = world.start(Luck(life));
            runner.store.kills(counted(1, "k", 2, false).mark);
            // However slow its store is, it has begun by then.
            tokio::time::sleep(Duration::from_secs(30)).await;
            world.crash(runner).await;
        }
        let last = world.start(Luck(5));
        world.quiet().await?;
        last.stop.cancel();
        let record = world.only_dead_letter().await?;
        Ok(format!("{} handled {:?}", record.failure.reason, world.handled()))
    })
}

pub(super) fn in_a_world<T>(play: impl AsyncFnOnce(World) -> Result<T, String>) -> Result<T, String> {
    // The clock of a world begins with its runtime.
    in_virtual_time(async { play(World::new(Plan::default(), Luck(1), Mishaps::default(), false)).await })
}

impl World {
    /// Events of one key: numbers and versions.
    fn publish(&self, events: &[(u64, u32)]) -> Result<(), String> {
        let input = self.bus.sink("in".into());
        let put = |(n, version): &(u64, u32)| input.put(Headers::default(), counted(*n, "k", *version, false).payload);
        events.iter().try_for_each(put).map_err(|error| error.to_string())
    }

    async fn parked(&self) -> Result<u64, String> {
        let store = MemoryStore::new(Arc::clone(&self.memory));
        Ok(store.census().await.map_err(|error| error.to_string())?.parked)
    }

    /// Numbers of the events that were handled, in order.
    pub(super) fn handled(&self) -> Vec<u64> {
        let number = |payload: &[u8]| serde_json::from_slice::<Value>(payload).ok()?["data"]["n"].as_u64();
        self.bus.events("out").iter().filter_map(|raw| number(&raw.payload)).collect()
    }
}
