//! Event → an event in the newest version its subscription accepts, valid by every schema it passed.

use std::borrow::Cow;
use std::sync::Arc;

use crate::event::Event;
use crate::schema::Violation;
use crate::script::{ErrorClass, ScriptError};
use crate::spec::program::Subscription;
use crate::store::record::{Class, Failure};

/// A valid event in its subscription's newest version.
#[derive(Debug)]
pub struct Valid<'a> {
    /// As received, unless it was upcast.
    pub event: Cow<'a, Event>,
}

/// Validates, then upcasts step by step, validating after each.
pub fn validate<'a>(event: &'a Event, subscription: &Arc<Subscription>) -> Result<Valid<'a>, Failure> {
    let mut event = Cow::Borrowed(event);
    loop {
        let version = event.version;
        let Some(schema) = subscription.versions.get(&version) else { return Err(not_accepted(&event, subscription)) };
        let violations = schema.validate(&event.data);
        if !violations.is_empty() {
            return Err(violation(&event.kind, version, violations));
        }
        if version == subscription.newest {
            return Ok(Valid { event });
        }
        let Some(upcast) = subscription.upcasts.get(&version) else {
            // The loader refuses chains with holes; an event must not pass should it ever miss one.
            return Err(Failure::permanent(
                "unknown_version",
                format!("`{}` version {version} has no upcast", event.kind),
            ));
        };
        let data = upcast.script.upcast(&event).map_err(|error| script_failure(&error))?;
        let event = event.to_mut();
        (event.data, event.version) = (data, upcast.to);
    }
}

/// Whether, and how, an event is in a version that its subscription does not accept.
pub fn unknown_version(event: &Event, subscription: &Subscription) -> Option<Failure> {
    (!subscription.versions.contains_key(&event.version)).then(|| not_accepted(event, subscription))
}

fn not_accepted(event: &Event, subscription: &Subscription) -> Failure {
    let accepted: Vec<String> = subscription.versions.keys().map(u32::to_string).collect();
    let (kind, version) = (&event.kind, event.version);
    let message = format!("`{kind}` version {version} is not accepted (accepted: {})", accepted.join(", "));
    Failure::permanent("unknown_version", message)
}

fn violation(kind: &str, version: u32, violations: Vec<Violation>) -> Failure {
    let first = &violations[0];
    let place = if first.path.is_empty() { "the data" } else { first.path.as_str() };
    let more = if violations.len() > 1 { format!(" (and {} more)", violations.len() - 1) } else { String::new() };
    let message = format!("`{kind}` version {version} does not match its schema: {place}: {}{more}", first.message);
    Failure { class: Class::Permanent, reason: "schema".to_owned(), message, violations, at: None }
}

/// A script that failed, as the reason of a dead letter.
pub fn script_failure(error: &ScriptError) -> Failure {
    let (class, reason) = match error.class {
        ErrorClass::Script => (Class::Script, "script_error"),
        ErrorClass::Limit => (Class::Limit, "limit"),
    };
    Failure { class, ..Failure::script(reason, &error.message, &error.at) }
}
