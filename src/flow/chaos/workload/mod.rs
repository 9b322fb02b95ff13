//! What passes the gate in a run, and how things must stand in the end.

pub mod block;
pub mod fold;
pub mod ordered;

use std::collections::BTreeMap;
use std::fmt::Debug;
use std::sync::Arc;
use std::time::Duration;

use serde_json::Value;

use super::plan::Plan;
use super::script::Dice;
use crate::event::{Key, MarkId, Partition};
use crate::spec::program::{Limits, Pipeline};
use crate::store::Census;
use crate::store::record::DeadRecord;

/// The limits of scripts, but for the one that real time sets: a machine that stands still must not change a run.
fn patient() -> Limits {
    Limits { wall: Duration::from_secs(24 * 3600), ..Limits::default() }
}

/// One event as it is fed, once or more often.
#[derive(Clone, Debug)]
pub struct Fed {
    /// From 1, as its handler knows it.
    pub n: u64,
    pub key: Key,
    pub payload: String,
    /// What its workload's order goes by: a number, or a time.
    pub rank: u64,
    /// 0 but where types matter.
    pub kind: usize,
    pub mark: MarkId,
    pub partition: Partition,
}

/// A pipeline, the events that it is fed, and what must come of them. Runs know workloads by this alone.
pub trait Workload: Debug + Sync {
    /// Of the program at first, and of the one that accepts more versions.
    fn pipeline(&self, plan: &Plan, upgraded: bool) -> Arc<Pipeline>;

    /// In the order in which they are fed first.
    fn feed(&self, plan: &Plan, dice: &Dice) -> Vec<Fed>;

    /// Whether nothing is left to do.
    fn rests(&self, census: &Census) -> bool {
        census.parked == 0 && census.outbox == 0
    }

    /// Whether a person discards what died, which blocks its key until then.
    fn blocks(&self) -> bool {
        false
    }

    /// Whether the destination refuses this emission, where the plan has [`super::plan::Trouble::Refusals`].
    fn refuses(&self, payload: &[u8]) -> bool;

    /// What is wrong with the end, beside what is checked for every workload.
    fn check(&self, end: &End<'_>) -> Result<(), String>;
}

/// How things stand when all has come to rest.
pub struct End<'a> {
    pub plan: &'a Plan,
    /// What was fed, in the order of first arrival.
    pub fed: Vec<&'a Fed>,
    pub dead: Vec<Letter>,
    pub keys: BTreeMap<Key, KeyEnd>,
}

pub struct Letter {
    pub record: DeadRecord,
    pub open: bool,
    /// `data` of the event, or of the emission, that was set aside.
    pub data: Value,
    /// It is an emission that is refused.
    pub refused: bool,
}

#[derive(Debug, Default)]
pub struct KeyEnd {
    pub state: Value,
    /// `data` of its emissions, each once, in the order in which they were stored first.
    pub emitted: Vec<Value>,
}
