//! An emission that its destination refused for good: out of the outbox and into the ledger, in one commit.

use super::context::Context;
use super::dead;
use super::decode::decode;
use crate::event::{MarkId, Partition, Position, RawEvent};
use crate::spec::program::Envelope;
use crate::store::record::{DeadRecord, Emission, Failure, OutboxBody};
use crate::store::{Commit, Condition, Group, StoreError, Write};

/// Done also when the entry is no longer owed: then another runner saw to it.
pub async fn bury(
    context: &Context,
    partition: Partition,
    number: u64,
    body: &OutboxBody,
    why: &str,
) -> Result<(), StoreError> {
    let record = record(context, number, body, why);
    let group = Group {
        touch: None,
        conditions: vec![Condition::Owed(number)],
        writes: vec![
            Write::Unowe(number),
            Write::Dead { id: MarkId::of_emission(&body.event.dedupe_id), body: record.encode(&body.event.payload) },
        ],
    };
    let commit = Commit::alone(partition, group, context.clock.now(), &*context.entropy);
    context.store.commit(vec![commit]).await.into_iter().try_for_each(|answer| answer.map(drop))
}

fn record(context: &Context, number: u64, body: &OutboxBody, why: &str) -> DeadRecord {
    let now = context.clock.now();
    let position = Position { channel: body.to.clone(), seq: number };
    let (headers, payload) = (body.event.headers.clone(), body.event.payload.clone());
    let raw = RawEvent { position: position.clone(), stored_at: now, headers, payload };
    // As far as it can be told: what goes to the dead-letter channel is whatever came.
    let event = decode(&raw, &Envelope::Auto, &context.pipeline.limits).ok().map(|event| dead::head(&event));
    let failure = Failure::permanent("refused", format!("channel `{}` does not take it: {why}", body.to));
    DeadRecord {
        pipeline: context.pipeline.name.to_string(),
        revision: context.revision.to_string(),
        position,
        stored_at: now,
        headers: raw.headers,
        fingerprint: dead::fingerprint(&context.pipeline.name, event.as_ref(), &failure),
        event,
        key: Some(body.order_key.clone()).filter(|key| !key.is_empty()),
        failure,
        attempts: 0,
        first_dead_at: now,
        dead_at: now,
        resolution: None,
        emission: Some(Emission {
            to: body.to.clone(),
            order_key: body.order_key.clone(),
            dedupe_id: body.event.dedupe_id.clone(),
            subject: body.event.subject.clone(),
        }),
    }
}
