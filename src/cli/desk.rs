//! Where a person sits who looks into stores and changes something there: `dlq`, `parked`, `state`.

use std::sync::Arc;

use bytes::Bytes;
use serde_json::Value;

use super::failure::Failure;
use super::project::Tell;
use super::{Format, ProjectArgs, print, project};
use crate::bus::open::OpenChannels;
use crate::clock::{Clock, SystemClock, SystemEntropy};
use crate::database::Database;
use crate::event::{MarkId, Millis, hex};
use crate::flow::context::Context;
use crate::ops::gate::{Ground, channels_of};
use crate::ops::ledger::{Ledger, Trouble};
use crate::spec::program::Program;
use crate::store::open;

/// The ledgers in question.
pub struct Desk {
    pub program: Arc<Program>,
    pub ledgers: Vec<Ledger>,
    pub database: Option<Database>,
    pub clock: Arc<dyn Clock>,
    pub format: Format,
}

impl From<Trouble> for Failure {
    fn from(trouble: Trouble) -> Self {
        Self::cannot_run(trouble.to_string())
    }
}

impl Desk {
    /// Of this pipeline, or of all.
    pub async fn open(at: &ProjectArgs, pipeline: Option<&str>, format: Format) -> Result<Self, Failure> {
        let program = project::load(&at.project, Tell::Errors)?;
        let clock: Arc<dyn Clock> = Arc::new(SystemClock);
        let database = project::database(&program, &*clock)?;
        let mut ledgers = Vec::new();
        for pipeline in project::pipelines(&program, pipeline)? {
            let beside = open::beside(&program, &pipeline, database.as_ref(), Arc::clone(&clock)).await;
            // Where nothing ever ran, nothing died, waits or is kept.
            if let Some((store, _)) = beside.map_err(|error| Failure::cannot_run(error.to_string()))? {
                ledgers.push(Ledger { program: Arc::clone(&program), pipeline, store });
            }
        }
        Ok(Self { program, ledgers, database, clock, format })
    }

    /// A pipeline as `sluice run` would make it, to run events through; nothing of it is at work yet.
    pub async fn context(&self, ledger: &Ledger) -> Result<Arc<Context>, Failure> {
        let names = channels_of([&ledger.pipeline]);
        let channels = OpenChannels::open(&self.program, &names, self.database.as_ref(), Arc::clone(&self.clock)).await;
        let channels = channels.map_err(|error| Failure::cannot_run(error.to_string()))?;
        let ground = Ground::new(Arc::new(channels), 1, Arc::clone(&self.clock), Arc::new(SystemEntropy));
        let ground = ground.map_err(|error| Failure::cannot_run(format!("the system gives no threads: {error}")))?;
        let context = ground.context(&self.program, &ledger.pipeline, Arc::clone(&ledger.store));
        Ok(Arc::new(context.map_err(|error| Failure::cannot_run(error.to_string()))?))
    }
}

/// Looks for the one whose id begins so.
pub struct Search<'i, T> {
    id: &'i str,
    wanted: String,
    found: Option<T>,
    count: u64,
}

impl<'i, T> Search<'i, T> {
    pub fn of(id: &'i str) -> Self {
        Self { id, wanted: id.to_ascii_lowercase(), found: None, count: 0 }
    }

    pub fn offer(&mut self, id: MarkId, item: impl FnOnce() -> T) {
        if !self.wanted.is_empty() && id.hex().starts_with(&self.wanted) {
            self.count += 1;
            self.found.get_or_insert_with(item);
        }
    }

    /// `what` is looked for, and `list` is the command that lists them.
    pub fn one(self, what: &str, list: &str) -> Result<T, Failure> {
        match self.found {
            Some(found) if self.count == 1 => Ok(found),
            Some(_) => {
                Err(Failure::cannot_run(format!("{} {what}s begin with `{}`", self.count, print::tame(self.id)))
                    .help("write more of the id, or name the pipeline with `--pipeline`"))
            }
            None => Err(none(what, self.id, list)),
        }
    }
}

pub fn none(what: &str, id: &str, list: &str) -> Failure {
    Failure::cannot_run(format!("there is no {what} `{}`", print::tame(id))).help(format!("`{list}` lists them"))
}

/// As much of an id as people want to read.
pub fn short(id: MarkId) -> String {
    hex(&id.0[..6])
}

/// To the second, which is what people compare.
pub fn moment(at: Millis) -> String {
    Millis(at.0.saturating_sub(at.0.rem_euclid(1000))).rfc3339()
}

/// A payload for people: JSON laid out, anything else as it is.
pub fn readable(payload: &Bytes) -> String {
    let pretty = serde_json::from_slice::<Value>(payload).and_then(|value| serde_json::to_string_pretty(&value));
    match pretty {
        Ok(pretty) => print::tame_lines(&pretty),
        Err(_) => print::tame_lines(&String::from_utf8_lossy(payload)),
    }
}

/// A payload for programs: as JSON, or as text where it is none.
pub fn add_payload(value: &mut Value, payload: &Bytes) {
    match serde_json::from_slice::<Value>(payload) {
        Ok(payload) => value["payload"] = payload,
        Err(_) => value["payload_text"] = Value::from(String::from_utf8_lossy(payload)),
    }
}

/// Facts of one thing, one a line. Values may have come with an event.
pub fn facts(facts: Vec<(&str, String)>) -> Vec<String> {
    facts.into_iter().map(|(name, value)| format!("{name:<12} {}", print::tame(&value))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_is_found_by_its_beginning_when_it_is_the_only_one() {
        let search = |id| {
            let mut search = Search::of(id);
            for byte in [0xab, 0xac] {
                search.offer(MarkId([byte; 16]), || byte);
            }
            search.one("thing", "sluice list")
        };
        assert_eq!(search("AC").ok(), Some(0xac));
        for not_one in ["a", "b", ""] {
            assert!(search(not_one).is_err(), "{not_one}");
        }
    }
}
