//! A person beside the runners, who releases and discards what is parked, and sometimes loses patience half way.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use super::World;
use super::life::Kind;
use crate::flow::chaos::luck::Luck;
use crate::ops::ledger::Ledger;
use crate::ops::parked::release;
use crate::spec::program::{Program, StoreConfig};
use crate::store::Store;
use crate::testkit::fate::Fate;
use crate::testkit::faulty_bus::FaultyBus;
use crate::testkit::faulty_store::FaultyStore;

impl World {
    /// Discards the oldest dead letter, if there is any.
    pub(super) async fn resolve(&mut self, luck: Luck) -> Result<(), String> {
        let steady = Arc::new(self.life(luck.of(1)).of_person(Kind::Steady));
        let ledger = self.ledger(self.store(&steady));
        let letters = ledger.letters(true).await.map_err(|error| error.to_string())?;
        let Some(oldest) = letters.first() else { return Ok(()) };
        let discarded = ledger.discard(oldest, "for the test", &*self.clock, &luck.of(4).entropy()).await;
        discarded.map(drop).map_err(|error| error.to_string())
    }

    /// Decides about one parked event, if there is any; or about a dead letter, where these block keys.
    pub(super) async fn meddle(&mut self, luck: Luck) -> Result<(), String> {
        if self.plan.workload.blocks() {
            return self.resolve(luck).await;
        }
        let steady = Arc::new(self.life(luck.of(1)).of_person(Kind::Steady));
        let ledger = self.ledger(self.store(&steady));
        let mut parked = Vec::new();
        let mut lines = ledger.parked();
        while let Some(page) = lines.page().await.map_err(|error| error.to_string())? {
            parked.extend(page);
        }
        let Some(one) = parked.get(usize::try_from(luck.of(2).below(parked.len() as u64)).unwrap_or(0)) else {
            return Ok(());
        };
        if luck.of(3).below(4) == 0 {
            let entropy = luck.of(4).entropy();
            let discarded = ledger.discard_parked(one, "for the test", &*self.clock, &entropy).await;
            return discarded.map(drop).map_err(|error| error.to_string());
        }
        let standing = ledger.standing(one.id).await.map_err(|error| error.to_string())?;
        let Some(standing) = standing else { return Ok(()) };
        let shaky = Arc::new(self.life(luck.of(5)).of_person(Kind::Shaky));
        let store = self.store(&shaky);
        let channels = FaultyBus::new(self.broker.clone(), shaky as Arc<dyn Fate>);
        let context = self.context(&store, &channels, luck.of(5));
        let patience = Duration::from_millis(luck.of(6).below(8_000));
        let released = tokio::time::timeout(patience, release(&ledger, &context, &standing)).await;
        self.ghosts.push(store);
        released.map_or(Ok(()), |released| released.map(drop).map_err(|error| error.to_string()))
    }

    fn ledger(&self, store: Arc<FaultyStore>) -> Ledger {
        let program = Program {
            revision: "test".into(),
            root: PathBuf::new(),
            store: StoreConfig::Memory,
            data: PathBuf::new(),
            channels: BTreeMap::new(),
            connections: BTreeMap::new(),
            pipelines: Vec::new(),
            admin: None,
        };
        Ledger { program: Arc::new(program), pipeline: Arc::clone(&self.pipeline), store: store as Arc<dyn Store> }
    }
}
