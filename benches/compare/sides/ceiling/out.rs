//! Emissions on their way: published in the order of their commits, confirmed, and then acked for.

use std::cell::RefCell;
use std::collections::HashMap;
use std::rc::Rc;

use async_nats::header::NATS_MESSAGE_ID;
use async_nats::{Client, HeaderMap, Subject};
use bytes::Bytes;
use tokio::sync::Semaphore;
use tokio::task::spawn_local;

use super::super::Trouble;
use super::broker::Confirmations;

/// A stream takes ten thousand at a time and refuses what is beyond.
const UNCONFIRMED: usize = 8_192;

/// An emission, and its place in the outbox.
pub struct Owed {
    pub partition: usize,
    pub number: u64,
    /// Names the event that caused it; JetStream dedupes by it.
    pub id: String,
    pub source: String,
    pub payload: Bytes,
}

pub struct Out {
    client: Client,
    subject: Subject,
    pub confirmations: Confirmations,
    room: Semaphore,
    /// Outbox entries that are confirmed, by partition: their next commit removes them.
    confirmed: RefCell<HashMap<usize, Vec<u64>>>,
}

impl Out {
    pub fn new(client: Client, subject: Subject, confirmations: Confirmations) -> Self {
        Self { client, subject, confirmations, room: Semaphore::new(UNCONFIRMED), confirmed: RefCell::default() }
    }

    /// Takes what is confirmed of a partition.
    pub fn confirmed(&self, partition: usize) -> Vec<u64> {
        self.confirmed.borrow_mut().remove(&partition).unwrap_or_default()
    }

    /// Publishes in this order; acks the events when all is confirmed, which it does not wait for.
    pub async fn send(self: &Rc<Self>, owed: Vec<Owed>, events: Vec<Subject>) -> Result<(), Trouble> {
        let room = u32::try_from(owed.len().min(UNCONFIRMED))?;
        self.room.acquire_many(room).await?.forget();
        let (reply, told) = self.confirmations.expect(owed.len());
        let mut numbers = Vec::with_capacity(owed.len());
        for Owed { partition, number, id, source, payload } in owed {
            numbers.push((partition, number));
            let mut headers = HeaderMap::new();
            headers.insert("sluice-cause-id", id.as_str());
            headers.insert("sluice-cause-source", source.as_str());
            headers.insert(NATS_MESSAGE_ID, id.as_str());
            self.client.publish_with_reply_and_headers(self.subject.clone(), reply.clone(), headers, payload).await?;
        }
        let this = Rc::clone(self);
        spawn_local(async move {
            // Whoever counts tells of trouble, and the process ends: nothing else is left to do here.
            if told.await.is_ok() {
                this.room.add_permits(room as usize);
                for (partition, number) in numbers {
                    this.confirmed.borrow_mut().entry(partition).or_default().push(number);
                }
                let _ = this.confirmations.ack(events).await;
            }
        });
        Ok(())
    }

    /// Acks events that emitted nothing, which it does not wait for.
    pub fn acknowledge(self: &Rc<Self>, events: Vec<Subject>) {
        let this = Rc::clone(self);
        spawn_local(async move {
            let _ = this.confirmations.ack(events).await;
        });
    }
}

impl Owed {
    /// As it stands in the outbox: id and source, a line each, and the payload.
    pub fn body(&self) -> Vec<u8> {
        [self.id.as_bytes(), b"\n", self.source.as_bytes(), b"\n", &self.payload].concat()
    }

    /// What [`Owed::body`] made.
    pub fn read(partition: usize, number: u64, body: Vec<u8>) -> Option<Self> {
        let mut parts = body.splitn(3, |byte| *byte == b'\n');
        let id = String::from_utf8(parts.next()?.to_vec()).ok()?;
        let source = String::from_utf8(parts.next()?.to_vec()).ok()?;
        let payload = Bytes::copy_from_slice(parts.next()?);
        Some(Self { partition, number, id, source, payload })
    }
}
