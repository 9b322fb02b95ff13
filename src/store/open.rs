//! The store of a pipeline, as `sluice.yaml` names it.

use std::sync::Arc;

use super::embedded::EmbeddedStore;
use super::memory::{Memory, MemoryStore};
use super::redis::{RedisConfig, RedisStore};
use super::{Opened, Store, StoreError};
use crate::clock::Clock;
use crate::database::Database;
use crate::spec::program::{DurabilityChoice, Pipeline, Program, StoreConfig};

/// Connects to nothing yet. A store in memory lives as long as what is returned. `database` is the project's own, where the
/// program uses it.
pub fn open(
    program: &Program,
    pipeline: &Pipeline,
    database: Option<&Database>,
    clock: Arc<dyn Clock>,
) -> Result<Arc<dyn Store>, StoreError> {
    Ok(match &program.store {
        StoreConfig::Embedded => {
            let database = database.ok_or_else(|| {
                StoreError::Refused("the database is not open; please report this as a bug".to_owned())
            })?;
            Arc::new(embedded(pipeline, database, clock))
        }
        StoreConfig::Memory => Arc::new(MemoryStore::new(Memory::new(pipeline.partitions, pipeline.retain))),
        StoreConfig::Redis { url, durability } => Arc::new(redis(url, *durability, pipeline, clock)?),
    })
}

/// Opens a pipeline's store beside whoever runs it: checks that it is this pipeline's, and signs nobody in. `None`: nothing
/// ever ran here.
pub async fn beside(
    program: &Program,
    pipeline: &Pipeline,
    database: Option<&Database>,
    clock: Arc<dyn Clock>,
) -> Result<Option<(Arc<dyn Store>, Opened)>, StoreError> {
    match &program.store {
        StoreConfig::Embedded => {
            let Some(database) = database else { return Ok(None) };
            let store = embedded(pipeline, database, clock);
            Ok(store.look().await?.map(|opened| (Arc::new(store) as Arc<dyn Store>, opened)))
        }
        StoreConfig::Memory => Err(StoreError::Refused(
            "the store is in memory: it lives and dies with `sluice run`, and nothing else can look into it".to_owned(),
        )),
        StoreConfig::Redis { url, durability } => {
            let store = redis(url, *durability, pipeline, clock)?;
            Ok(store.look().await?.map(|opened| (Arc::new(store) as Arc<dyn Store>, opened)))
        }
    }
}

fn embedded(pipeline: &Pipeline, database: &Database, clock: Arc<dyn Clock>) -> EmbeddedStore {
    EmbeddedStore::new(database.clone(), Arc::clone(&pipeline.name), pipeline.partitions, pipeline.retain, clock)
}

fn redis(
    url: &secrecy::SecretString,
    durability: DurabilityChoice,
    pipeline: &Pipeline,
    clock: Arc<dyn Clock>,
) -> Result<RedisStore, StoreError> {
    let config = RedisConfig {
        url: url.clone(),
        durability,
        pipeline: Arc::clone(&pipeline.name),
        partitions: pipeline.partitions,
        retain: pipeline.retain,
    };
    RedisStore::new(config, clock)
}
