//! Events that wait for a version, and what the program that accepts it makes of them.

use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};

use super::{Plan, World, accepting};
use crate::event::{Headers, Key, MarkId};
use crate::store::Store as _;
use crate::store::memory::MemoryStore;
use crate::store::record::DeadRecord;

/// Waits, at a program that does not accept a version, for one that does; how long that one takes to handle it all.
pub fn wait_for_version() -> Result<Duration, String> {
    in_a_world(async |mut world| {
        let runner = world.start();
        world.known().await?;
        world.feed(&[(1, 2), (2, 1), (3, 2)])?;
        tokio::time::sleep(Duration::from_secs(3_600)).await;
        if (world.parked().await?, world.handled().len()) != (3, 0) {
            return Err(format!("{} parked and {:?} handled", world.parked().await?, world.handled()));
        }
        runner.stop.cancel();
        drop(runner.task.await);
        world.pipeline = Arc::new(accepting(&[1, 2]));
        let start = tokio::time::Instant::now();
        let runner = world.start();
        world.quiet(&[]).await?;
        runner.stop.cancel();
        if world.handled() == [1, 2, 3] { Ok(start.elapsed()) } else { Err(format!("handled {:?}", world.handled())) }
    })
}

/// An event that waited, and kills every runner whose program accepts it; why it is set aside, and what was handled.
pub fn killer_that_waited() -> Result<String, String> {
    in_a_world(async |mut world| {
        let first = world.start();
        world.known().await?;
        world.feed(&[(1, 2), (2, 1)])?;
        tokio::time::sleep(Duration::from_secs(30)).await;
        if world.parked().await? != 2 {
            return Err("they do not wait".to_owned());
        }
        world.crash(first).await;
        world.pipeline = Arc::new(accepting(&[1, 2]));
        for _ in 0..3 {
            let runner = world.start();
            runner.store.kills(MarkId::of_event("test", "e1", &Key::new("k").ok_or("an empty key")?));
            // However slow its store is, it has begun by then.
            tokio::time::sleep(Duration::from_secs(30)).await;
            world.crash(runner).await;
        }
        let last = world.start();
        world.quiet(&[]).await?;
        last.stop.cancel();
        let store = MemoryStore::new(Arc::clone(&world.memory));
        let dead = store.dead_letters(true).await.map_err(|error| error.to_string())?;
        let [(_, letter)] = dead.as_slice() else { return Err(format!("{} dead letters", dead.len())) };
        let (record, _) = DeadRecord::decode(&letter.body).map_err(|error| error.to_string())?;
        Ok(format!("{} handled {:?}", record.failure.reason, world.handled()))
    })
}

fn in_a_world<T>(play: impl AsyncFnOnce(World) -> Result<T, String>) -> Result<T, String> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build();
    let runtime = runtime.map_err(|error| error.to_string())?;
    // The clock of a world begins with its runtime.
    runtime.block_on(async { play(World::new(Plan::default(), 1)).await })
}

impl World {
    /// Events of one key: numbers and versions.
    fn feed(&self, events: &[(u64, u32)]) -> Result<(), String> {
        let input = self.bus.sink("in".into());
        for (n, version) in events {
            let data = json!({ "key": "k", "n": n, "flaky": false });
            let event =
                json!({ "id": format!("e{n}"), "type": "Counted", "version": version, "source": "test", "data": data });
            input.put(Headers::default(), event.to_string()).map_err(|error| error.to_string())?;
        }
        Ok(())
    }

    async fn parked(&self) -> Result<u64, String> {
        let store = MemoryStore::new(Arc::clone(&self.memory));
        Ok(store.census().await.map_err(|error| error.to_string())?.parked)
    }

    /// Numbers of the events that were handled, in order.
    fn handled(&self) -> Vec<u64> {
        let number = |payload: &[u8]| serde_json::from_slice::<Value>(payload).ok()?["data"]["n"].as_u64();
        self.bus.events("out").iter().filter_map(|raw| number(&raw.payload)).collect()
    }
}
