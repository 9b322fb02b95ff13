//! The consumer that people write: is it processed? handle, write, mark, publish, ack.
//!
//! With care, not crippled: one multiplexed connection to Redis, state and mark in one `MULTI`, the publish confirmed
//! and with an id that JetStream dedupes by, the next batch pulled ahead, as many events in flight as asked for.
//!
//! What it does not guarantee, and `sluice` does: a crash between the two writes and the publish loses the emission, for
//! the event comes again as processed; with more than one in flight two events of a key read the same state, and one
//! of the changes is lost; two copies of an event in flight are both handled.

use async_nats::HeaderMap;
use async_nats::jetstream::{self, Message};
use futures_util::TryStreamExt as _;
use redis::AsyncCommands as _;
use redis::aio::MultiplexedConnection;

use super::Trouble;
use super::job::{Emission, Event, Job, RETAIN, State};

const MAX_ACK_PENDING: i64 = 10_000;

pub async fn run(job: &Job) -> Result<(), Trouble> {
    let client = async_nats::connect(&job.nats).await?;
    let redis = job.store().await?;
    let consumer = job.consumer(&client, MAX_ACK_PENDING).await?;
    let js = jetstream::new(client);
    let messages = consumer.stream().max_messages_per_batch(500).messages().await?;
    messages
        .map_err(Trouble::from)
        .try_for_each_concurrent(job.concurrency, |message| process(job, redis.clone(), &js, message))
        .await
}

async fn process(
    job: &Job,
    mut redis: MultiplexedConnection,
    js: &jetstream::Context,
    message: Message,
) -> Result<(), Trouble> {
    let event: Event = serde_json::from_slice(&message.payload)?;
    let processed = format!("processed:{}", event.id);
    let known: Option<String> = redis.get(&processed).await?;
    if known.is_some() {
        return message.ack().await.map_err(|error| error as Trouble);
    }
    let mut write = redis::pipe();
    write.atomic().set_ex(&processed, 1, RETAIN.as_secs()).ignore();
    let state = if job.keeps_state {
        let name = format!("order:{}", event.data.order_id);
        let stored: Option<Vec<u8>> = redis.get(&name).await?;
        let mut state: State = stored.map(|stored| serde_json::from_slice(&stored)).transpose()?.unwrap_or_default();
        state.apply(&event.data);
        write.set(&name, serde_json::to_vec(&state)?).ignore();
        Some(state)
    } else {
        None
    };
    let () = write.query_async(&mut redis).await?;
    let emission = Emission::of(&event.id, &event, state.as_ref()).bytes()?;
    let mut headers = HeaderMap::new();
    headers.insert(async_nats::header::NATS_MESSAGE_ID, &*event.id);
    // By which a latency is measured.
    headers.insert("sluice-cause-id", &*event.id);
    js.publish_with_headers(job.out.clone(), headers, emission.into()).await?.await?;
    message.ack().await.map_err(|error| error as Trouble)
}
