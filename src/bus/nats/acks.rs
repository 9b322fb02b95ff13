//! Answers to deliveries: double acks until they are confirmed, events handed back, and signs of life for what is
//! held.
//!
//! A stale ack is harmless (the server accepts it), and an ack that never gets through makes the event come again
//! as a duplicate. So giving up on one is always safe; losing count of one is not.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_nats::{RequestErrorKind, Subject};
use bytes::Bytes;
use futures_util::StreamExt as _;
use futures_util::future::{BoxFuture, FutureExt as _};
use futures_util::stream::FuturesUnordered;
use tokio::sync::{mpsc, watch};
use tokio::time::{Instant, MissedTickBehavior, interval, sleep, timeout};

use super::PATIENCE;
use super::link::Link;
use crate::bus::{Answer, Responder};

/// Double acks in flight: far below the thousand at which a server starts to starve the connection.
const MAX_UNCONFIRMED: usize = 256;
/// How often an ack that nobody takes is sent: consumer or stream are gone, or just come back.
const MAX_UNHEARD: u32 = 20;
const BETWEEN_UNHEARD: Duration = Duration::from_millis(250);

const ACK: Bytes = Bytes::from_static(b"+ACK");
const NAK: Bytes = Bytes::from_static(b"-NAK");
const IN_PROGRESS: Bytes = Bytes::from_static(b"+WPI");

pub struct Acks {
    link: Link,
    /// Not bounded here but by `max_ack_pending`: one answer a delivery.
    answers: mpsc::UnboundedSender<(Subject, Answer)>,
    held: Arc<Mutex<Held>>,
    unsettled: Arc<watch::Sender<usize>>,
}

/// Deliveries without an answer, with the time at which they came.
#[derive(Default)]
struct Held {
    next: u64,
    replies: HashMap<u64, (Subject, Instant)>,
}

impl Acks {
    /// Starts the task that answers; it ends when the last delivery is answered and this is dropped.
    #[expect(
        clippy::disallowed_methods,
        reason = "acks outlive the source they are for; the queue is bounded by `max_ack_pending`"
    )]
    pub fn start(link: Link, ack_wait: Duration) -> Self {
        let (answers, queue) = mpsc::unbounded_channel();
        let held = Arc::<Mutex<Held>>::default();
        let unsettled = Arc::new(watch::Sender::new(0));
        tokio::spawn(answer_all(link.clone(), queue, held.clone(), unsettled.clone(), ack_wait));
        Self { link, answers, held, unsettled }
    }

    /// For a delivery that came just now.
    pub fn responder(&self, reply: Subject) -> Responder {
        let id = {
            let mut held = lock(&self.held);
            let id = held.next;
            held.next += 1;
            held.replies.insert(id, (reply.clone(), Instant::now()));
            id
        };
        let (answers, held, unsettled) = (self.answers.clone(), self.held.clone(), self.unsettled.clone());
        Responder::new(move |answer| {
            lock(&held).replies.remove(&id);
            unsettled.send_modify(|n| *n += 1);
            if answers.send((reply, answer)).is_err() {
                // The task is gone with its runtime: the server will deliver the event again.
                unsettled.send_modify(|n| *n -= 1);
            }
        })
    }

    /// Whether the delivery of this subject has no answer yet.
    pub fn holds(&self, reply: &Subject) -> bool {
        lock(&self.held).replies.values().any(|(held, _)| held == reply)
    }

    /// Waits until all answers are confirmed; the number of those that are not.
    pub async fn settle(&self, within: Duration) -> usize {
        let mut unsettled = self.unsettled.subscribe();
        let all = async {
            let _ = unsettled.wait_for(|n| *n == 0).await;
            // What was handed back has no confirmation but that it left.
            let _ = self.link.client().flush().await;
        };
        let _ = timeout(within, all).await;
        *self.unsettled.borrow()
    }
}

async fn answer_all(
    link: Link,
    mut queue: mpsc::UnboundedReceiver<(Subject, Answer)>,
    held: Arc<Mutex<Held>>,
    unsettled: Arc<watch::Sender<usize>>,
    ack_wait: Duration,
) {
    let mut unconfirmed: FuturesUnordered<BoxFuture<'static, ()>> = FuturesUnordered::new();
    let third = (ack_wait / 3).max(Duration::from_millis(1));
    let mut tick = interval(third);
    tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            answer = queue.recv(), if unconfirmed.len() < MAX_UNCONFIRMED => match answer {
                Some((reply, Answer::Ack)) => unconfirmed.push(confirm(link.clone(), reply).boxed()),
                Some((reply, Answer::Return)) => unconfirmed.push(hand_back(link.clone(), reply).boxed()),
                None => break,
            },
            Some(()) = unconfirmed.next() => unsettled.send_modify(|n| *n -= 1),
            _ = tick.tick() => keep_alive(&link, &held, third).await,
        }
    }
    // The source is gone. After the ack wait the events come again anyway, wherever they go then.
    let rest = async {
        while let Some(()) = unconfirmed.next().await {
            unsettled.send_modify(|n| *n -= 1);
        }
    };
    let _ = timeout(ack_wait, rest).await;
}

/// Sends an ack until the server confirms it.
async fn confirm(link: Link, reply: Subject) {
    let mut unheard = 0;
    loop {
        link.connected().await;
        let (client, sent_over) = (link.client(), link.generation());
        let confirmed = tokio::select! {
            confirmed = timeout(PATIENCE, client.request(reply.clone(), ACK)) => confirmed,
            // The confirmation would have come over the connection that is gone.
            () = link.replaced(sent_over) => continue,
        };
        match confirmed {
            Ok(Ok(_)) => return,
            Ok(Err(error)) if error.kind() == RequestErrorKind::NoResponders => {
                unheard += 1;
                if unheard == MAX_UNHEARD {
                    tracing::debug!(%reply, "nobody takes this ack: its consumer is gone");
                    return;
                }
                sleep(BETWEEN_UNHEARD).await;
            }
            // No confirmation: whether the ack arrived is not known, and sending it twice does no harm.
            Ok(Err(_)) => sleep(BETWEEN_UNHEARD).await,
            Err(_) => {}
        }
    }
}

async fn hand_back(link: Link, reply: Subject) {
    link.connected().await;
    let _ = link.client().publish(reply, NAK).await;
}

/// Tells the server about every delivery that was held for a while, or its ack wait would run out. Checked every
/// third of the ack wait, so the first sign comes before two thirds of it.
async fn keep_alive(link: &Link, held: &Mutex<Held>, old: Duration) {
    let now = Instant::now();
    let replies: Vec<Subject> = lock(held)
        .replies
        .values()
        .filter(|(_, since)| now.duration_since(*since) >= old)
        .map(|(reply, _)| reply.clone())
        .collect();
    let send = async {
        for reply in replies {
            if !link.is_connected() || link.client().publish(reply, IN_PROGRESS).await.is_err() {
                return;
            }
        }
    };
    // A connection that breaks right now takes no more commands: acks must not wait for that here.
    let _ = timeout(Duration::from_secs(1), send).await;
}

fn lock(held: &Mutex<Held>) -> std::sync::MutexGuard<'_, Held> {
    held.lock().unwrap_or_else(PoisonError::into_inner)
}
