//! Event → where it belongs: its subscription, key, identity and partition.

use std::sync::Arc;

use super::decode::decode;
use crate::event::{ContentDigest, Event, Key, MarkId, Partition, RawEvent};
use crate::spec::program::{Envelope, FieldPath, IdentityBy, Pipeline, Subscription};
use crate::store::record::Failure;

/// An event that knows where it belongs.
#[derive(Debug)]
pub struct Routed {
    pub raw: RawEvent,
    pub partition: Partition,
    pub mark: MarkId,
    pub content: ContentDigest,
    pub subject: Subject,
}

#[derive(Debug)]
pub enum Subject {
    Keyed {
        key: Key,
        event: Box<Event>,
        /// `None`: none takes it, and only its number counts.
        subscription: Option<Arc<Subscription>>,
    },
    /// It has no usable id, key or JSON; only its position identifies it.
    Keyless { event: Option<Box<Event>>, failure: Failure },
}

/// Where a delivery goes.
#[derive(Debug)]
pub enum Route {
    Handle(Box<Routed>),
    /// No subscription for this type on this channel, and no number of a sequence.
    Ignore,
}

/// Pure: the same bytes go the same way on every runner.
pub fn route(raw: RawEvent, pipeline: &Pipeline, envelope: &Envelope) -> Route {
    let event = match decode(&raw, envelope, &pipeline.limits) {
        Ok(event) => event,
        Err(failure) => return keyless(raw, pipeline, None, failure),
    };
    let subscription = pipeline.subscription(&raw.position.channel, &event.kind).cloned();
    let path = match (&subscription, &pipeline.sequence) {
        (Some(subscription), _) => &subscription.key,
        // A type that is taken from another channel counts there: were a copy counted here, it would be remembered, and
        // the event itself be a duplicate.
        (None, Some(sequence)) if !pipeline.takes(&event.kind) && sequence.by.integer(&event).is_some() => {
            &sequence.key
        }
        (None, _) => return Route::Ignore,
    };
    let Some(key) = key_of(&event, path) else {
        if subscription.is_none() {
            return Route::Ignore;
        }
        let message = format!("`{path}` is not a non-empty string or integer of at most {} bytes", Key::MAX_BYTES);
        return keyless(raw, pipeline, Some(event), Failure::permanent("no_key", message));
    };
    let source = match pipeline.identity {
        IdentityBy::SourceAndId => event.source.as_str(),
        IdentityBy::Id => "",
    };
    Route::Handle(Box::new(Routed {
        partition: key.partition(pipeline.partitions),
        mark: MarkId::of_event(source, &event.id, &key),
        content: ContentDigest::of(&event.kind, event.version, &event.data),
        subject: Subject::Keyed { key, event: Box::new(event), subscription },
        raw,
    }))
}

fn keyless(raw: RawEvent, pipeline: &Pipeline, event: Option<Event>, failure: Failure) -> Route {
    Route::Handle(Box::new(Routed {
        partition: MarkId::partition_of_position(&raw.position, pipeline.partitions),
        mark: MarkId::of_position(&raw.position),
        content: ContentDigest::of_bytes(&raw.payload),
        subject: Subject::Keyless { event: event.map(Box::new), failure },
        raw,
    }))
}

/// The key, read from the event as received: before any upcast.
fn key_of(event: &Event, path: &FieldPath) -> Option<Key> {
    Key::from_json(&*path.read(event)?)
}
