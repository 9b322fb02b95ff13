//! Answers to deliveries: acks until they are confirmed, events handed back, and signs of life for what is held.
//!
//! What is to be acked goes out together, and only the last of it asks for a confirmation: a consumer takes the acks
//! of one connection in their order, so that the answer to the last speaks for all before it.
//!
//! A stale ack is harmless (the server accepts it), and an ack that never gets through makes the event come again
//! as a duplicate. So giving up on one is always safe; losing count of one is not.

use std::collections::HashMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Duration;

use async_nats::{RequestError, RequestErrorKind, Subject};
use bytes::Bytes;
use futures_util::StreamExt as _;
use futures_util::future::{BoxFuture, FutureExt as _};
use futures_util::stream::FuturesUnordered;
use tokio::sync::{Notify, mpsc};
use tokio::time::{Instant, MissedTickBehavior, interval, sleep, timeout};

use super::PATIENCE;
use super::link::Link;
use crate::bus::{Answer, Responder};

/// Acks that one confirmation speaks for.
const TOGETHER: usize = 256;
/// Confirmations waited for at a time. More acks than these leave room for wait, and go out together.
const MAX_UNCONFIRMED: usize = 4;
/// How often an ack that nobody takes is sent: consumer or stream are gone, or just come back.
const MAX_UNHEARD: u32 = 20;
const BETWEEN_UNHEARD: Duration = Duration::from_millis(250);

const ACK: Bytes = Bytes::from_static(b"+ACK");
const NAK: Bytes = Bytes::from_static(b"-NAK");
const IN_PROGRESS: Bytes = Bytes::from_static(b"+WPI");

pub struct Acks {
    link: Link,
    shared: Arc<Shared>,
}

struct Shared {
    /// Not bounded here but by `max_ack_pending`: one answer a delivery.
    answers: mpsc::UnboundedSender<(Subject, Answer)>,
    held: Mutex<Held>,
    unsettled: Arc<Unsettled>,
}

/// Deliveries without an answer, with the time at which they came.
#[derive(Default)]
struct Held {
    next: u64,
    replies: HashMap<u64, (Subject, Instant)>,
}

/// Answers that were given and are not confirmed.
#[derive(Default)]
struct Unsettled {
    count: AtomicUsize,
    none: Notify,
}

impl Unsettled {
    fn add(&self) {
        self.count.fetch_add(1, Ordering::AcqRel);
    }

    fn settled(&self, answers: usize) {
        if self.count.fetch_sub(answers, Ordering::AcqRel) == answers {
            self.none.notify_waiters();
        }
    }

    async fn all_settled(&self) {
        loop {
            let mut none = std::pin::pin!(self.none.notified());
            none.as_mut().enable();
            if self.count.load(Ordering::Acquire) == 0 {
                return;
            }
            none.await;
        }
    }
}

impl Acks {
    /// Starts the task that answers; it ends when the last delivery is answered and this is dropped.
    #[expect(
        clippy::disallowed_methods,
        reason = "acks outlive the source they are for; the queue is bounded by `max_ack_pending`"
    )]
    pub fn start(link: Link, ack_wait: Duration) -> Self {
        let (answers, queue) = mpsc::unbounded_channel();
        let unsettled = Arc::<Unsettled>::default();
        let shared = Arc::new(Shared { answers, held: Mutex::default(), unsettled: unsettled.clone() });
        // It must not hold the sender: it ends when all of them are gone.
        tokio::spawn(answer_all(link.clone(), queue, Arc::downgrade(&shared), unsettled, ack_wait));
        Self { link, shared }
    }

    /// For a delivery that came just now.
    pub fn responder(&self, reply: Subject) -> Responder {
        let id = {
            let mut held = self.shared.held();
            let id = held.next;
            held.next += 1;
            held.replies.insert(id, (reply.clone(), Instant::now()));
            id
        };
        let shared = Arc::clone(&self.shared);
        Responder::new(move |answer| {
            shared.held().replies.remove(&id);
            shared.unsettled.add();
            if shared.answers.send((reply, answer)).is_err() {
                // The task is gone with its runtime: the server will deliver the event again.
                shared.unsettled.settled(1);
            }
        })
    }

    /// Whether the delivery of this subject has no answer yet.
    pub fn holds(&self, reply: &Subject) -> bool {
        self.shared.held().replies.values().any(|(held, _)| held == reply)
    }

    /// Waits until all answers are confirmed; the number of those that are not.
    pub async fn settle(&self, within: Duration) -> usize {
        let all = async {
            self.shared.unsettled.all_settled().await;
            // What was handed back has no confirmation but that it left.
            let _ = self.link.client().flush().await;
        };
        let _ = timeout(within, all).await;
        self.shared.unsettled.count.load(Ordering::Acquire)
    }
}

impl Shared {
    fn held(&self) -> std::sync::MutexGuard<'_, Held> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What was held since before `then`.
    fn held_since(&self, then: Instant) -> Vec<Subject> {
        self.held().replies.values().filter(|(_, since)| *since <= then).map(|(reply, _)| reply.clone()).collect()
    }
}

async fn answer_all(
    link: Link,
    mut queue: mpsc::UnboundedReceiver<(Subject, Answer)>,
    shared: Weak<Shared>,
    unsettled: Arc<Unsettled>,
    ack_wait: Duration,
) {
    // Each resolves to how many answers it was about.
    let mut unconfirmed: FuturesUnordered<BoxFuture<'static, usize>> = FuturesUnordered::new();
    let third = (ack_wait / 3).max(Duration::from_millis(1));
    let mut tick = interval(third);
    tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut answers = Vec::with_capacity(TOGETHER);
    loop {
        tokio::select! {
            n = queue.recv_many(&mut answers, TOGETHER), if unconfirmed.len() < MAX_UNCONFIRMED => {
                if n == 0 {
                    break;
                }
                let (mut acks, mut returns) = (Vec::with_capacity(n), Vec::new());
                for (reply, answer) in answers.drain(..) {
                    match answer {
                        Answer::Ack => acks.push(reply),
                        Answer::Return => returns.push(reply),
                    }
                }
                if !acks.is_empty() {
                    unconfirmed.push(confirm(link.clone(), acks).boxed());
                }
                if !returns.is_empty() {
                    unconfirmed.push(hand_back(link.clone(), returns).boxed());
                }
            }
            Some(answers) = unconfirmed.next() => unsettled.settled(answers),
            _ = tick.tick() => {
                let now = Instant::now();
                let old = shared.upgrade().zip(now.checked_sub(third)).map(|(shared, then)| shared.held_since(then));
                keep_alive(&link, old.unwrap_or_default()).await;
            }
        }
    }
    // The source is gone. After the ack wait the events come again anyway, wherever they go then.
    let rest = async {
        while let Some(answers) = unconfirmed.next().await {
            unsettled.settled(answers);
        }
    };
    let _ = timeout(ack_wait, rest).await;
}

/// Sends acks until the server confirms them, which the answer to the last of them does; how many they were.
async fn confirm(link: Link, replies: Vec<Subject>) -> usize {
    let mut unheard = 0;
    loop {
        link.connected().await;
        let sent_over = link.generation();
        let confirmed = tokio::select! {
            confirmed = timeout(PATIENCE, send(&link, &replies)) => confirmed,
            // The confirmation would have come over the connection that is gone.
            () = link.replaced(sent_over) => continue,
        };
        match confirmed {
            // Those before the last may have gone with an earlier connection.
            Ok(Ok(())) if link.generation() != sent_over => {}
            Ok(Ok(())) => return replies.len(),
            Ok(Err(error)) if error.kind() == RequestErrorKind::NoResponders => {
                unheard += 1;
                if unheard == MAX_UNHEARD {
                    tracing::debug!(reply = ?replies.last(), "nobody takes these acks: their consumer is gone");
                    return replies.len();
                }
                sleep(BETWEEN_UNHEARD).await;
            }
            // No confirmation: whether the acks arrived is not known, and sending them twice does no harm.
            Ok(Err(_)) => sleep(BETWEEN_UNHEARD).await,
            Err(_) => {}
        }
    }
}

async fn send(link: &Link, replies: &[Subject]) -> Result<(), RequestError> {
    let client = link.client();
    let Some((last, others)) = replies.split_last() else { return Ok(()) };
    for reply in others {
        let sent = client.publish(reply.clone(), ACK).await;
        sent.map_err(|error| RequestError::with_source(RequestErrorKind::Other, error))?;
    }
    client.request(last.clone(), ACK).await.map(drop)
}

async fn hand_back(link: Link, replies: Vec<Subject>) -> usize {
    link.connected().await;
    let (client, count) = (link.client(), replies.len());
    for reply in replies {
        // What does not leave comes again after the ack wait.
        let _ = client.publish(reply, NAK).await;
    }
    count
}

/// Tells the server about deliveries that were held for a while, or their ack wait would run out. Done every
/// third of the ack wait, so the first sign comes before two thirds of it.
async fn keep_alive(link: &Link, replies: Vec<Subject>) {
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
