//! What every run of a scenario has in common, made once: its pipelines, and what is delivered, as it will arrive.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;

use crate::event::{ChannelName, Headers};
use crate::ops::publish::encode;
use crate::spec::program::{Pipeline, Program};
use crate::spec::scenario::{Body, Given, Message, Scenario, ScenarioFile};

pub struct Stage<'a> {
    pub program: &'a Arc<Program>,
    pub pipelines: &'a [Arc<Pipeline>],
    /// In the given order.
    pub arrivals: Vec<Arrival>,
    /// What happens in the given order: indices into `arrivals`, and waits.
    pub given: Vec<Step>,
}

/// A message as it arrives.
pub struct Arrival {
    pub channel: ChannelName,
    pub headers: Headers,
    pub payload: Bytes,
    /// For people: its type and id, or the beginning of what is raw.
    pub name: String,
    /// It has an identity, by which it is known when it comes again.
    pub is_event: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Step {
    Deliver(usize),
    Wait(Duration),
}

impl<'a> Stage<'a> {
    pub fn new(program: &'a Arc<Program>, file: &'a ScenarioFile, scenario: &'a Scenario) -> Self {
        let (mut arrivals, mut given) = (Vec::new(), Vec::new());
        for one in &scenario.given {
            match one {
                Given::Wait(time) => given.push(Step::Wait(*time)),
                Given::Message(message) => {
                    given.extend(std::iter::repeat_n(Step::Deliver(arrivals.len()), message.times));
                    arrivals.push(arrival(program, message));
                }
            }
        }
        Self { program, pipelines: &file.pipelines, arrivals, given }
    }
}

fn arrival(program: &Program, message: &Message) -> Arrival {
    let mut headers = message.headers.clone();
    let (payload, name) = match &message.body {
        Body::Raw(text) => {
            let line = text.lines().next().unwrap_or_default();
            let short: String = line.chars().take(40).collect();
            let name = if short.len() < text.len() { format!("raw {short}…") } else { format!("raw {short}") };
            (Bytes::copy_from_slice(text.as_bytes()), name)
        }
        Body::Event(event) => {
            let envelope = program.channels.get(&message.channel).map(|channel| channel.envelope.clone());
            let (own, payload) = encode(event, envelope.unwrap_or_default().written());
            headers.0.extend(own.0);
            (payload, format!("{} {}", event.kind, event.id))
        }
    };
    let is_event = matches!(message.body, Body::Event(_));
    Arrival { channel: Arc::clone(&message.channel), headers, payload, name, is_event }
}
