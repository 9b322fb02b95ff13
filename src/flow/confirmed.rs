//! Between a destination's confirmation and the store's: what the next commit may clear.

use std::collections::{BTreeSet, HashMap};
use std::sync::{Mutex, PoisonError};

use crate::event::Partition;

/// Numbers that are confirmed but still stand in the store, per partition.
#[derive(Debug, Default)]
pub struct Confirmed(Mutex<HashMap<Partition, BTreeSet<u64>>>);

impl Confirmed {
    fn lock(&self) -> std::sync::MutexGuard<'_, HashMap<Partition, BTreeSet<u64>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub fn add(&self, partition: Partition, number: u64) {
        self.lock().entry(partition).or_default().insert(number);
    }

    /// What a commit to this partition may clear. It stays listed until [`Self::forget`].
    pub fn of(&self, partition: Partition) -> Vec<u64> {
        self.lock().get(&partition).map(|numbers| numbers.iter().copied().collect()).unwrap_or_default()
    }

    pub fn partitions(&self) -> Vec<Partition> {
        self.lock().iter().filter(|(_, numbers)| !numbers.is_empty()).map(|(partition, _)| *partition).collect()
    }

    /// These no longer stand in the store.
    pub fn forget(&self, partition: Partition, numbers: &[u64]) {
        if let Some(known) = self.lock().get_mut(&partition) {
            for number in numbers {
                known.remove(number);
            }
        }
    }
}
