//! What a worker wrote itself it need not look for.

use std::time::Duration;

use super::World;
use super::waiting::in_a_world;
use crate::event::Headers;
use crate::flow::chaos::luck::Luck;
use crate::flow::chaos::workload::fold::counted;

/// What is handled while no lookup is answered: of a key that was just handled, and of one that was not.
#[test]
fn a_record_that_was_committed_last_is_not_looked_up_again() {
    let handled = in_a_world(async |mut world| {
        let runner = world.start(Luck(1));
        world.known().await?;
        world.feed_counted(1, "k")?;
        world.quiet().await?;
        runner.store.blind();
        world.feed_counted(2, "k")?;
        world.feed_counted(3, "k")?;
        tokio::time::sleep(Duration::from_secs(5)).await;
        let before = world.handled();
        world.feed_counted(4, "another")?;
        tokio::time::sleep(Duration::from_secs(5)).await;
        Ok((before, world.handled()))
    });
    assert_eq!(handled, Ok((vec![1, 2, 3], vec![1, 2, 3])));
}

impl World {
    fn feed_counted(&self, n: u64, key: &str) -> Result<(), String> {
        let input = self.bus.sink("in".into());
        input.put(Headers::default(), counted(n, key, 1, false).payload).map(drop).map_err(|error| error.to_string())
    }
}
