//! An event that kills whoever runs it.

use std::time::Duration;

use super::{World, in_virtual_time};
use crate::event::Headers;
use crate::flow::chaos::luck::{Luck, Mishaps};
use crate::flow::chaos::plan::Plan;
use crate::flow::chaos::workload::fold::counted;
use crate::store::Store as _;
use crate::store::memory::MemoryStore;
use crate::store::record::DeadRecord;

/// Three times over it kills, between events that do not; what became of them all. Death is played by a start mark
/// whose return never arrives.
pub fn killer() -> Result<String, String> {
    in_virtual_time(async {
        World::new(Plan { keys: 1, ..Plan::default() }, Luck(1), Mishaps::default(), false).kill().await
    })
}

impl World {
    async fn kill(mut self) -> Result<String, String> {
        let input = self.bus.sink("in".into());
        // Delivered to a runner that dies before it handles anything: suspects, all three of them.
        let first = self.start(Luck(1));
        self.known().await?;
        first.store.blind();
        let deadly = counted(2, "killer", 1, false);
        for fed in [&counted(1, "a", 1, false), &deadly, &counted(3, "b", 1, false)] {
            input.put(Headers::default(), fed.payload.clone()).map_err(|error| error.to_string())?;
        }
        tokio::time::sleep(Duration::from_secs(5)).await;
        self.crash(first).await;
        for life in 2..5 {
            let runner = self.start(Luck(life));
            runner.store.kills(deadly.mark);
            tokio::time::sleep(Duration::from_secs(5)).await;
            self.crash(runner).await;
        }
        let last = self.start(Luck(5));
        self.quiet().await?;
        last.stop.cancel();
        let record = self.only_dead_letter().await?;
        let mut handled = self.handled();
        handled.sort_unstable();
        Ok(format!("{} {} handled {handled:?}", record.failure.reason, record.key.unwrap_or_default()))
    }

    pub(super) async fn only_dead_letter(&self) -> Result<DeadRecord, String> {
        let store = MemoryStore::new(std::sync::Arc::clone(&self.memory));
        let dead = store.dead_letters(true).await.map_err(|error| error.to_string())?;
        let [(_, letter)] = dead.as_slice() else { return Err(format!("{} dead letters", dead.len())) };
        Ok(DeadRecord::decode(&letter.body).map_err(|error| error.to_string())?.0)
    }
}
