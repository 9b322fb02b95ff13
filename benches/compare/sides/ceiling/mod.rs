//! What the best hand-written loop does with the same I/O as `sluice` and no engine: no YAML, schema or script.
//!
//! ```text
//!  pull ahead ─▶ lanes, by partition: batch ─▶ lookup ─▶ handle ─▶ commit ─▶ publish ─▶ confirmed ─▶ double ack ─▶ confirmed
//!                 (a lane computes while Redis works for another)            (the next batch does not wait for these)
//! ```
//!
//! Pulled, looked up, committed, published and acked is in batches and pipelined; each event is scanned once into a small
//! struct. The store holds what `sluice`'s does: mark, record under a nonce, outbox entry, commit number. What is under way
//! when a process dies is in the outbox, and published by the next one before anything else, under the same ids.
//!
//! Broker, store and network take its time, not the program: of all processor time of a run, as the comparison tells it, a
//! quarter is the program's (7 of 28 µs an event where this was written). A third of that is allocating, copying and the
//! kernel, the rest in small parts the clients' protocols, JSON and hashing; nothing stands out. To see it again while it runs:
//!
//! ```sh
//! cargo bench --bench compare -- --side ceiling --workload order --rounds 30 &
//! perf record --pid "$(pgrep --full 'side ceiling$')" -- sleep 2 && perf report --sort symbol
//! ```

mod broker;
mod lane;
mod out;
mod store;

use std::hash::{BuildHasher as _, BuildHasherDefault, DefaultHasher};
use std::rc::Rc;

use async_nats::Subject;
use sha2::{Digest as _, Sha256};
use tokio::sync::mpsc;
use tokio::task::JoinSet;

use self::broker::{Confirmations, Events};
use self::lane::Lane;
use self::out::Out;
use self::store::Store;
use super::Trouble;
use super::job::{Event, Job};

/// As many as a pipeline of `sluice` has unless it says otherwise.
const PARTITIONS: usize = 16;
/// Batches that are with Redis at a time: more than one, so that it never waits for this program.
const LANES: usize = 8;
/// Far more than what is under way: it must not be what waits.
const MAX_ACK_PENDING: i64 = 16_384;

pub async fn run(job: &Job) -> Result<(), Trouble> {
    let client = async_nats::ConnectOptions::new()
        .client_capacity(MAX_ACK_PENDING as usize)
        .skip_subject_validation(true)
        .connect(&job.nats)
        .await?;
    let connection = job.store().await?;
    let consumer = job.consumer(&client, MAX_ACK_PENDING).await?;
    let (confirmations, answers) = Confirmations::of(&client).await?;
    let out = Rc::new(Out::new(client.clone(), job.out.as_str().into(), confirmations));

    let mut tasks = JoinSet::new();
    let counting = Rc::clone(&out);
    tasks.spawn_local(async move { counting.confirmations.count(answers).await });
    let mut lanes = Vec::with_capacity(LANES);
    for number in 0..LANES {
        let store = Store::open(connection.clone(), format!("{}:{number}", std::process::id())).await?;
        let mut lane = Lane::new(store, Rc::clone(&out), job.keeps_state);
        for partition in (number..PARTITIONS).step_by(LANES) {
            lane.take_over(&job.consumer, partition).await?;
        }
        let (sender, arrivals) = mpsc::channel(MAX_ACK_PENDING as usize);
        tasks.spawn_local(lane.run(arrivals));
        lanes.push(sender);
    }
    let mut events = Events::of(&client, &consumer).await?;
    tasks.spawn_local(async move {
        loop {
            let (payload, ack) = events.next().await?;
            let arrival = Arrival::read(&payload, ack)?;
            lanes[arrival.partition % LANES].send(arrival).await?;
        }
    });
    tasks.join_next().await.ok_or("there are tasks")??
}

/// An event in hand: scanned once, its payload let go.
struct Arrival {
    partition: usize,
    mark: [u8; 16],
    /// `d`, for done, and what tells a copy from another event of the same identity.
    status: [u8; 9],
    event: Event,
    ack: Subject,
}

impl Arrival {
    fn read(payload: &[u8], ack: Subject) -> Result<Self, Trouble> {
        let event: Event = serde_json::from_slice(payload)?;
        let hash = BuildHasherDefault::<DefaultHasher>::default();
        let mut identity = Sha256::new();
        for part in [&event.source, "\0", &event.id, "\0", &event.data.order_id] {
            identity.update(part);
        }
        let mut mark = [0; 16];
        mark.copy_from_slice(&identity.finalize()[..16]);
        let mut status = [b'd'; 9];
        status[1..].copy_from_slice(&hash.hash_one(payload).to_be_bytes());
        let partition = hash.hash_one(&event.data.order_id) as usize % PARTITIONS;
        Ok(Self { partition, mark, status, event, ack })
    }
}
