//! Scenarios as they are played. A value of these types is valid: only [`compile`](super::compile) makes one.

use std::sync::Arc;
use std::time::Duration;

use serde_json::Value;

use super::program::Pipeline;
use crate::event::{ChannelName, Event, Headers, Millis};

/// When the time of every scenario begins: 2025-01-01T00:00:00Z.
pub const BEGINNING: Millis = Millis(1_735_689_600_000);
/// What a delivery takes.
pub const A_DELIVERY: Duration = Duration::from_millis(1);

/// One `*.test.yaml`.
#[derive(Debug)]
pub struct ScenarioFile {
    /// Relative to the project.
    pub name: String,
    /// Those that run, at least one.
    pub pipelines: Vec<Arc<Pipeline>>,
    pub scenarios: Vec<Scenario>,
}

#[derive(Debug)]
pub struct Scenario {
    pub name: String,
    /// Of the file, from 1.
    pub line: usize,
    pub given: Vec<Given>,
    pub explore: Explore,
    pub then: Then,
}

#[derive(Debug)]
pub enum Given {
    Message(Message),
    Wait(Duration),
}

#[derive(Debug)]
pub struct Message {
    pub channel: ChannelName,
    pub headers: Headers,
    pub body: Body,
    /// Deliveries in all, from 1.
    pub times: usize,
}

#[derive(Debug)]
pub enum Body {
    /// To be written in the channel's envelope.
    Event(Box<Event>),
    Raw(String),
}

#[derive(Clone, Debug, Default)]
pub struct Explore {
    pub orders: Orders,
    /// Most deliveries of one run that are repeated.
    pub duplicates: usize,
    pub crashes: bool,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Orders {
    #[default]
    Given,
    All,
    Sample {
        size: usize,
        seed: u64,
    },
}

#[derive(Debug, Default)]
pub struct Then {
    pub states: Vec<StateThen>,
    /// There is no other state than that.
    pub all_states: bool,
    pub emits: Option<Vec<EmittedThen>>,
    /// Nothing else was emitted.
    pub all_emits: bool,
    /// All of them.
    pub dead_letters: Option<Vec<DeadThen>>,
    pub parked: Option<u64>,
}

#[derive(Debug)]
pub struct StateThen {
    pub pipeline: Arc<str>,
    pub key: String,
    /// `None`: it has none.
    pub state: Option<Value>,
}

/// What is `None` may be anything.
#[derive(Debug)]
pub struct EmittedThen {
    pub event: String,
    pub version: Option<u32>,
    pub to: Option<String>,
    pub data: Option<Value>,
}

/// What is `None` may be anything.
#[derive(Debug)]
pub struct DeadThen {
    pub event: Option<String>,
    pub key: Option<String>,
    pub class: Option<String>,
    pub reason: Option<String>,
    pub pipeline: Option<String>,
}

/// How an event may have failed, as dead letters name it: `the_classes_that_may_be_demanded_are_those_there_are`.
pub const CLASSES: [&str; 5] = ["permanent", "script", "transient", "limit", "crash_suspect"];
