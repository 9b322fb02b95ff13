//! What holds for events that wait for others; in a pipeline or as defaults for all.

use std::time::Duration;

use super::super::locate::NodePath;
use super::super::program::{OnDeadPrerequisite, OnTimeout, Reorder};
use super::super::raw;
use super::figures::Figures;

const MOST_PARKED: u64 = 1_000_000;

/// What is said in one place; `None` where nothing is.
#[derive(Clone, Copy, Debug, Default)]
pub struct Said {
    pub timeout: Option<Duration>,
    on_timeout: Option<OnTimeout>,
    on_dead_prerequisite: Option<OnDeadPrerequisite>,
    max_parked_per_key: Option<u64>,
    max_parked_bytes: Option<u64>,
}

impl Said {
    pub fn read(figures: &mut Figures<'_, '_>, base: &NodePath, raw: &raw::Reorder) -> Self {
        let per_key = base.key("max_parked_per_key");
        let bytes = figures.size(raw.max_parked_bytes.as_ref(), &base.key("max_parked_bytes"));
        Self {
            timeout: figures.duration(raw.timeout.as_ref(), &base.key("timeout")),
            on_timeout: raw.on_timeout.map(|choice| match choice {
                raw::OnTimeout::DeadLetter => OnTimeout::DeadLetter,
                raw::OnTimeout::Advance => OnTimeout::Advance,
            }),
            on_dead_prerequisite: raw.on_dead_prerequisite.map(|choice| match choice {
                raw::OnDeadPrerequisite::Hold => OnDeadPrerequisite::Hold,
                raw::OnDeadPrerequisite::DeadLetter => OnDeadPrerequisite::DeadLetter,
            }),
            max_parked_per_key: figures.within(raw.max_parked_per_key, 1..=MOST_PARKED, &per_key),
            max_parked_bytes: bytes.and_then(|bytes| u64::try_from(bytes).ok()),
        }
    }

    #[must_use]
    pub fn or(self, defaults: Self) -> Self {
        Self {
            timeout: self.timeout.or(defaults.timeout),
            on_timeout: self.on_timeout.or(defaults.on_timeout),
            on_dead_prerequisite: self.on_dead_prerequisite.or(defaults.on_dead_prerequisite),
            max_parked_per_key: self.max_parked_per_key.or(defaults.max_parked_per_key),
            max_parked_bytes: self.max_parked_bytes.or(defaults.max_parked_bytes),
        }
    }

    pub fn reorder(self) -> Reorder {
        let default = Reorder::default();
        Reorder {
            timeout: self.timeout.unwrap_or(default.timeout),
            on_timeout: self.on_timeout.unwrap_or(default.on_timeout),
            on_dead_prerequisite: self.on_dead_prerequisite.unwrap_or(default.on_dead_prerequisite),
            max_parked_per_key: self.max_parked_per_key.unwrap_or(default.max_parked_per_key),
            max_parked_bytes: self.max_parked_bytes.unwrap_or(default.max_parked_bytes),
        }
    }
}
