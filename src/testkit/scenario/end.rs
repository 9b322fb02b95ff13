//! How a run ended: what there is in stores and channels, in a fixed order.

use std::sync::Arc;

use serde_json::Value;

use super::stage::Stage;
use super::wires::Wires;
use crate::event::{Millis, Outgoing, Position, RawEvent};
use crate::flow::decode::decode;
use crate::ops::ledger::Ledger;
use crate::spec::program::Limits;
use crate::store::memory::{Memory, MemoryStore};

#[derive(Clone, Debug, Default, PartialEq)]
pub struct End {
    pub states: Vec<StateEnd>,
    /// In the order they left.
    pub emitted: Vec<EmittedEnd>,
    pub dead: Vec<DeadEnd>,
    pub parked: Vec<ParkedEnd>,
}

#[derive(Clone, Debug, PartialEq)]
pub struct StateEnd {
    pub pipeline: Arc<str>,
    pub key: String,
    pub state: Value,
}

#[derive(Clone, Debug, PartialEq)]
pub struct EmittedEnd {
    pub event: String,
    pub version: u32,
    pub to: String,
    pub data: Value,
}

#[derive(Clone, Debug, PartialEq)]
pub struct DeadEnd {
    pub pipeline: Arc<str>,
    pub event: Option<String>,
    pub key: Option<String>,
    pub class: String,
    pub reason: String,
    pub message: String,
}

#[derive(Clone, Debug, PartialEq)]
pub struct ParkedEnd {
    pub pipeline: Arc<str>,
    pub key: String,
    /// Where its envelope can be read.
    pub event: Option<String>,
}

impl End {
    pub(super) async fn read(stage: &Stage<'_>, memories: &[Arc<Memory>], wires: &Wires) -> Result<Self, String> {
        let mut end = Self { emitted: emitted(stage, wires), ..Self::default() };
        for (pipeline, memory) in stage.pipelines.iter().zip(memories) {
            let ledger = Ledger {
                program: Arc::clone(stage.program),
                pipeline: Arc::clone(pipeline),
                store: Arc::new(MemoryStore::new(Arc::clone(memory))),
            };
            end.add(&ledger).await.map_err(|trouble| trouble.to_string())?;
        }
        end.states.sort_by(|a, b| (&a.pipeline, &a.key).cmp(&(&b.pipeline, &b.key)));
        end.parked.sort_by(|a, b| (&a.pipeline, &a.key, &a.event).cmp(&(&b.pipeline, &b.key, &b.event)));
        Ok(end)
    }

    async fn add(&mut self, ledger: &Ledger) -> Result<(), crate::ops::ledger::Trouble> {
        let pipeline = &ledger.pipeline.name;
        let mut states = ledger.states("");
        while let Some(page) = states.page().await? {
            for kept in page {
                if let Some(state) = kept.record?.state {
                    let (pipeline, key) = (Arc::clone(pipeline), kept.key.to_string());
                    self.states.push(StateEnd { pipeline, key, state });
                }
            }
        }
        for letter in ledger.letters(true).await? {
            let record = letter.record;
            self.dead.push(DeadEnd {
                pipeline: Arc::clone(pipeline),
                event: record.event.map(|event| event.kind),
                key: record.key,
                class: record.failure.class.name().to_owned(),
                reason: record.failure.reason,
                message: record.failure.message,
            });
        }
        let mut parked = ledger.parked();
        while let Some(page) = parked.page().await? {
            self.parked.extend(page.into_iter().map(|waiting| ParkedEnd {
                pipeline: Arc::clone(pipeline),
                key: waiting.key.to_string(),
                event: waiting.read.ok().and_then(|read| read.event).map(|event| event.kind),
            }));
        }
        Ok(())
    }
}

/// What left that is no dead letter.
fn emitted(stage: &Stage<'_>, wires: &Wires) -> Vec<EmittedEnd> {
    let mut emitted = Vec::new();
    // What the flow wrote, it can read, however large.
    let limits = Limits { payload_bytes: usize::MAX, depth: 128, ..Limits::default() };
    for (channel, outgoing) in wires.published() {
        if outgoing.headers.get("sluice-dead-letter").is_some() {
            continue;
        }
        let envelope = stage.program.channels.get(&channel).map(|channel| channel.envelope.clone());
        let position = Position { channel: Arc::clone(&channel), seq: 0 };
        let Outgoing { headers, payload, .. } = Arc::unwrap_or_clone(outgoing);
        let raw = RawEvent { position, stored_at: Millis(0), headers, payload };
        let Ok(event) = decode(&raw, &envelope.unwrap_or_default(), &limits) else { continue };
        let (version, to) = (event.version, channel.to_string());
        emitted.push(EmittedEnd { event: event.kind, version, to, data: event.data });
    }
    emitted
}
