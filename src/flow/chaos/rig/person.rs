//! A person beside the runners, who releases and discards what is parked, and sometimes loses patience half way.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use super::{FAULTS, World};
use crate::ops::ledger::Ledger;
use crate::ops::parked::release;
use crate::spec::program::{Program, StoreConfig};
use crate::store::Store;
use crate::testkit::faulty_store::FaultyStore;

impl World {
    /// Decides about one parked event, if there is any. The store that was used may still hold late calls.
    pub(super) async fn meddle(&mut self) -> Result<Arc<FaultyStore>, String> {
        let store = self.slow_store();
        let ledger = self.ledger(Arc::clone(&store) as Arc<dyn Store>);
        let mut parked = Vec::new();
        let mut lines = ledger.parked();
        while let Some(page) = lines.page().await.map_err(|error| error.to_string())? {
            parked.extend(page);
        }
        if parked.is_empty() {
            return Ok(store);
        }
        let pick = usize::try_from(self.roll(parked.len() as u64)).expect("a small number");
        if self.roll(4) == 0 {
            let (clock, entropy) = (Arc::clone(&self.clock), Arc::clone(&self.luck));
            let discarded = ledger.discard_parked(&parked[pick], "for the test", &*clock, &*entropy).await;
            discarded.map_err(|error| error.to_string())?;
            return Ok(store);
        }
        let standing = ledger.standing(parked[pick].id).await.map_err(|error| error.to_string())?;
        let Some(standing) = standing else { return Ok(store) };
        let shaky = self.slow_store();
        shaky.randomly(self.luck.next(), 0.1, FAULTS);
        let context = self.context(&shaky);
        let patience = Duration::from_millis(self.roll(8_000));
        if let Ok(released) = tokio::time::timeout(patience, release(&ledger, &context, &standing)).await {
            released.map_err(|error| error.to_string())?;
        }
        shaky.calm();
        Ok(shaky)
    }

    fn ledger(&self, store: Arc<dyn Store>) -> Ledger {
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
        Ledger { program: Arc::new(program), pipeline: Arc::clone(&self.pipeline), store }
    }
}
