//! JetStream without ceremony: one subscription for events, one for all confirmations.
//!
//! The client's own `request` makes a subject and a channel for each call. Here a batch has one reply subject, and its
//! answers are counted.

use std::cell::{Cell, RefCell};
use std::collections::HashMap;

use async_nats::jetstream::consumer::PullConsumer;
use async_nats::{Client, Message, Subject, Subscriber};
use bytes::Bytes;
use futures_util::StreamExt as _;
use tokio::sync::oneshot;

use super::super::Trouble;

const ACK: Bytes = Bytes::from_static(b"+ACK");
/// Events of one pull request; the next goes out when half of them are here.
const PULL: usize = 2048;

/// Events as they come, asked for ahead.
pub struct Events {
    client: Client,
    next: String,
    inbox: String,
    messages: Subscriber,
    /// Asked for and not here yet.
    left: usize,
}

impl Events {
    pub async fn of(client: &Client, consumer: &PullConsumer) -> Result<Self, Trouble> {
        let info = consumer.cached_info();
        let next = format!("$JS.API.CONSUMER.MSG.NEXT.{}.{}", info.stream_name, info.name);
        let inbox = client.new_inbox();
        let messages = client.subscribe(inbox.clone()).await?;
        Ok(Self { client: client.clone(), next, inbox, messages, left: 0 })
    }

    /// The next event, and the subject to ack it at.
    pub async fn next(&mut self) -> Result<(Bytes, Subject), Trouble> {
        if self.left <= PULL / 2 {
            // Without a time at which it expires: it stays open until it is filled.
            let request = format!("{{\"batch\":{PULL}}}");
            self.client.publish_with_reply(self.next.clone(), self.inbox.clone(), request.into()).await?;
            self.left += PULL;
        }
        let Message { payload, reply, status, .. } = self.messages.next().await.ok_or("the connection ended")?;
        if let Some(status) = status {
            return Err(format!("the server ended a pull request: {status}").into());
        }
        self.left -= 1;
        Ok((payload, reply.ok_or("an event without a subject to ack it at")?))
    }
}

struct Awaited {
    left: usize,
    done: oneshot::Sender<()>,
}

/// Answers of JetStream to publishes and acks, counted by batch.
pub struct Confirmations {
    client: Client,
    prefix: String,
    next: Cell<u64>,
    awaited: RefCell<HashMap<u64, Awaited>>,
}

impl Confirmations {
    pub async fn of(client: &Client) -> Result<(Self, Subscriber), Trouble> {
        let prefix = client.new_inbox();
        let answers = client.subscribe(format!("{prefix}.*")).await?;
        let (next, awaited) = (Cell::new(0), RefCell::default());
        Ok((Self { client: client.clone(), prefix, next, awaited }, answers))
    }

    /// The reply subject for so many messages, and what tells that all are confirmed.
    pub fn expect(&self, answers: usize) -> (Subject, oneshot::Receiver<()>) {
        let (done, told) = oneshot::channel();
        let number = self.next.replace(self.next.get() + 1);
        self.awaited.borrow_mut().insert(number, Awaited { left: answers, done });
        (format!("{}.{number}", self.prefix).into(), told)
    }

    /// Counts answers. Ends with the first that is no confirmation.
    pub async fn count(&self, mut answers: Subscriber) -> Result<(), Trouble> {
        while let Some(answer) = answers.next().await {
            // An ack is answered with nothing, a publish with where it is stored, or an error.
            let refused = answer.status.is_some() || answer.payload.starts_with(b"{\"error\"");
            if refused {
                let words = String::from_utf8_lossy(&answer.payload);
                return Err(format!("not confirmed: {:?} {words}", answer.status).into());
            }
            let number = answer.subject.rsplit('.').next().unwrap_or_default().parse()?;
            let mut awaited = self.awaited.borrow_mut();
            let Some(batch) = awaited.get_mut(&number) else { return Err("a confirmation too many".into()) };
            batch.left -= 1;
            if batch.left == 0
                && let Some(batch) = awaited.remove(&number)
            {
                let _ = batch.done.send(());
            }
        }
        Err("the connection ended".into())
    }

    /// Acks all of these, and waits until the server has taken each.
    pub async fn ack(&self, events: Vec<Subject>) -> Result<(), Trouble> {
        if events.is_empty() {
            return Ok(());
        }
        let (reply, told) = self.expect(events.len());
        for event in events {
            self.client.publish_with_reply(event, reply.clone(), ACK).await?;
        }
        Ok(told.await?)
    }
}
