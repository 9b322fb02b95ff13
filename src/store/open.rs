//! The store of a pipeline, as `sluice.yaml` names it.

use std::sync::Arc;

use super::memory::{Memory, MemoryStore};
use super::redis::{RedisConfig, RedisStore};
use super::{Opened, Store, StoreError};
use crate::clock::Clock;
use crate::spec::program::{Pipeline, StoreConfig};

/// Connects to nothing yet. A store in memory lives as long as what is returned.
pub fn open(config: &StoreConfig, pipeline: &Pipeline, clock: Arc<dyn Clock>) -> Result<Arc<dyn Store>, StoreError> {
    Ok(match config {
        StoreConfig::Memory => Arc::new(MemoryStore::new(Memory::new(pipeline.partitions, pipeline.retain))),
        StoreConfig::Redis { .. } => Arc::new(redis(config, pipeline, clock)?),
    })
}

/// Opens a pipeline's store beside whoever runs it: checks that it is this pipeline's, and signs nobody in.
/// `None`: nothing ever ran here.
pub async fn beside(
    config: &StoreConfig,
    pipeline: &Pipeline,
    clock: Arc<dyn Clock>,
) -> Result<(Arc<dyn Store>, Option<Opened>), StoreError> {
    let store = redis(config, pipeline, clock)?;
    let opened = store.look().await?;
    Ok((Arc::new(store), opened))
}

fn redis(config: &StoreConfig, pipeline: &Pipeline, clock: Arc<dyn Clock>) -> Result<RedisStore, StoreError> {
    match config {
        StoreConfig::Memory => Err(StoreError::Refused(
            "the store is in memory: it lives and dies with `sluice run`, and nothing else can look into it".to_owned(),
        )),
        StoreConfig::Redis { url, durability } => {
            let config = RedisConfig {
                url: url.clone(),
                durability: *durability,
                pipeline: Arc::clone(&pipeline.name),
                partitions: pipeline.partitions,
                retain: pipeline.retain,
            };
            RedisStore::new(config, clock)
        }
    }
}
