//! An event that is set aside: its record.

use sha2::{Digest as _, Sha256};

use super::decide::Env;
use crate::event::{Event, Key, Millis, RawEvent, hex};
use crate::store::record::{DeadRecord, EventHead, Failure};

pub fn record(
    env: &Env<'_>,
    key: Option<&Key>,
    raw: &RawEvent,
    event: Option<&Event>,
    failure: Failure,
    attempts: u32,
    first_dead_at: Millis,
) -> DeadRecord {
    let event = event.map(head);
    DeadRecord {
        pipeline: env.pipeline.name.to_string(),
        revision: env.revision.to_owned(),
        position: raw.position.clone(),
        stored_at: raw.stored_at,
        headers: raw.headers.clone(),
        fingerprint: fingerprint(&env.pipeline.name, event.as_ref(), &failure),
        event,
        key: key.map(|key| key.as_str().to_owned()),
        failure,
        attempts,
        first_dead_at,
        dead_at: env.now,
        resolution: None,
        emission: None,
    }
}

pub fn head(event: &Event) -> EventHead {
    EventHead {
        id: event.id.clone(),
        kind: event.kind.clone(),
        version: event.version,
        source: event.source.clone(),
        time: event.time.clone(),
    }
}

/// Twelve hex digits over what makes dead letters one problem: pipeline, type, version, class, reason, and the
/// place in the schema or script. Not over the message, which may name counts and lengths.
pub fn fingerprint(pipeline: &str, event: Option<&EventHead>, failure: &Failure) -> String {
    let mut hasher = Sha256::new();
    let mut part = |text: &str| {
        hasher.update((text.len() as u64).to_be_bytes());
        hasher.update(text);
    };
    part(pipeline);
    part(event.map_or("", |event| &event.kind));
    part(&event.map_or(String::new(), |event| event.version.to_string()));
    part(failure.class.name());
    part(&failure.reason);
    for violation in &failure.violations {
        part(&violation.schema_path);
    }
    if let Some(at) = &failure.at {
        part(&format!("{}:{}", at.file, at.line));
    }
    hex(&hasher.finalize()[..6])
}
