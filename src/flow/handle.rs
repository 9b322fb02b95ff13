//! Valid event + state → what the handler wants. Pure; runs on a script thread.

use std::sync::Arc;
use std::time::Duration;

use serde_json::Value;

use super::emit::{Destinations, Emissions};
use super::validate::{script_failure, validate};
use crate::event::{Event, Key, MarkId, RawEvent};
use crate::script::{Context, Outcome, Place};
use crate::spec::program::{Pipeline, Subscription};
use crate::store::record::{Class, Failure};

/// How one run ended.
#[derive(Debug)]
pub enum Handled {
    Done {
        state: Option<Value>,
        emissions: Emissions,
    },
    /// By the handler, with its reason; without one, by `where`.
    Skipped(Option<String>),
    Retry {
        why: String,
        delay: Option<Duration>,
    },
    /// Until an event of this type of its key was handled; asked for at that place.
    WaitFor {
        kind: String,
        at: Place,
    },
    Failed(Failure),
}

/// What a run needs besides the event.
pub struct Run<'a> {
    pub pipeline: &'a Pipeline,
    pub destinations: &'a Destinations,
    pub key: &'a Key,
    /// What the event is remembered as: emitted ids derive from it.
    pub mark: MarkId,
    pub state: Option<&'a Value>,
    pub attempt: u32,
}

impl Run<'_> {
    /// Validates, filters, handles, and checks what was emitted.
    pub fn handle(&self, raw: &RawEvent, event: &Event, subscription: &Arc<Subscription>) -> Handled {
        let valid = match validate(event, subscription) {
            Ok(valid) => valid,
            Err(failure) => return Handled::Failed(failure),
        };
        let context = Context { attempt: self.attempt, time: raw.stored_at, pipeline: Arc::clone(&self.pipeline.name) };
        if let Some(filter) = &subscription.filter {
            match filter.matches(&valid.event, self.key, self.state, &context) {
                Ok(true) => {}
                Ok(false) => return Handled::Skipped(None),
                Err(error) => return Handled::Failed(script_failure(&error)),
            }
        }
        match subscription.handler.handle(&valid.event, self.key, self.state, &context) {
            Err(error) => Handled::Failed(script_failure(&error)),
            Ok(Outcome::Retry { why, delay }) => Handled::Retry { why, delay },
            Ok(Outcome::Reject { why }) => Handled::Failed(Failure::permanent("rejected", why)),
            Ok(Outcome::Skip { why }) => Handled::Skipped(Some(why)),
            Ok(Outcome::WaitFor { kind, at }) => Handled::WaitFor { kind, at },
            Ok(Outcome::Done { state, emitted }) => {
                if let Some(failure) = self.too_large(state.as_ref(), subscription) {
                    return Handled::Failed(failure);
                }
                match Emissions::build(
                    self.pipeline,
                    self.destinations,
                    raw,
                    self.mark,
                    &valid.event,
                    self.key,
                    emitted,
                ) {
                    Ok(emissions) => Handled::Done { state, emissions },
                    Err(failure) => Handled::Failed(failure),
                }
            }
        }
    }

    fn too_large(&self, state: Option<&Value>, subscription: &Subscription) -> Option<Failure> {
        let bytes = state.map_or(0, json_bytes);
        (bytes > self.pipeline.limits.state_bytes).then(|| Failure {
            class: Class::Limit,
            reason: "state_too_large".to_owned(),
            message: format!("the state would have {bytes} bytes, the limit is {}", self.pipeline.limits.state_bytes),
            violations: Vec::new(),
            at: Some(subscription.handler.end()),
        })
    }
}

/// Length of the compact JSON text.
fn json_bytes(value: &Value) -> usize {
    struct Count(usize);
    impl std::io::Write for Count {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            self.0 += bytes.len();
            Ok(bytes.len())
        }
        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }
    let mut count = Count(0);
    serde_json::to_writer(&mut count, value).expect("JSON values serialize and counting cannot fail");
    count.0
}
