//! A store that has seen much, made through the crate's own store in large commits.

use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};
use sluicegate::clock::{Clock as _, Entropy as _, SystemClock, SystemEntropy};
use sluicegate::event::{ContentDigest, Key, MarkId, Partition};
use sluicegate::spec::program::DurabilityChoice;
use sluicegate::store::record::{Book, KeyRecord};
use sluicegate::store::redis::{RedisConfig, RedisStore};
use sluicegate::store::{Commit, Group, MarkStatus, Nonce, Store as _, Touch, Write, WriterId};

use crate::random::Random;

/// What a pipeline has, unless it says otherwise.
const PARTITIONS: u16 = 16;
const RETAIN: Duration = Duration::from_secs(7 * 24 * 60 * 60);
/// Marks or keys of one commit: it has the server for itself for some milliseconds.
const AT_ONCE: usize = 2_000;
/// Bytes of records in one commit.
const BYTES_AT_ONCE: usize = 4 << 20;

/// What stands in a pipeline's store before it runs.
#[derive(Clone, Copy, Default)]
pub struct Past {
    /// Events that were handled, of keys that do not come again.
    pub remembered: u64,
    /// Keys `k0`, `k1` and so on that have a state.
    pub keys: u64,
    /// Bytes of each state, about.
    pub state: usize,
}

pub async fn fill(redis: &str, pipeline: &str, past: Past) -> Result<(), String> {
    let config = RedisConfig {
        url: redis.to_owned().into(),
        durability: DurabilityChoice::Relaxed,
        pipeline: pipeline.into(),
        partitions: PARTITIONS,
        retain: RETAIN,
    };
    let failed = |error: &dyn std::fmt::Display| format!("the store cannot be filled: {error}");
    let store = RedisStore::new(config, Arc::new(SystemClock)).map_err(|error| failed(&error))?;
    let runner = WriterId(SystemEntropy.fresh());
    store.open(runner).await.map_err(|error| failed(&error))?;
    let mut random = Random(past.remembered);
    let mut marks = (0..past.remembered).map(|_| remembered(&mut random));
    // Marks have no order, so each partition gets its share in turn.
    'marks: loop {
        let mut commits = Vec::with_capacity(PARTITIONS.into());
        for partition in 0..PARTITIONS {
            let writes: Vec<Write> = marks.by_ref().take(AT_ONCE).collect();
            if writes.is_empty() {
                break;
            }
            commits.push(commit(Partition(partition), vec![Group { writes, ..Group::default() }]));
        }
        if commits.is_empty() {
            break 'marks;
        }
        committed(&store, commits).await?;
    }
    let mut groups: Vec<Vec<Group>> = vec![Vec::new(); PARTITIONS.into()];
    let most = (BYTES_AT_ONCE / past.state.max(1)).clamp(1, AT_ONCE);
    let state = state(past.state);
    for number in 0..past.keys {
        let key = Key::new(&format!("k{number}")).expect("short and not empty");
        let partition = key.partition(PARTITIONS);
        let record = KeyRecord { book: Book::default(), state: Some(state.clone()) }.encode();
        let touch = Touch { key, expected: None, new: Nonce(SystemEntropy.fresh()), record, timer: None };
        let of = &mut groups[usize::from(partition.0)];
        of.push(Group { touch: Some(touch), ..Group::default() });
        if of.len() == most {
            committed(&store, vec![commit(partition, std::mem::take(of))]).await?;
        }
    }
    let rest = (0..PARTITIONS).map(Partition).zip(groups).filter(|(_, groups)| !groups.is_empty());
    committed(&store, rest.map(|(partition, groups)| commit(partition, groups)).collect()).await?;
    store.close(runner).await.map_err(|error| failed(&error))
}

fn remembered(random: &mut Random) -> Write {
    let mut id = [0; 16];
    id[..8].copy_from_slice(&random.next().to_be_bytes());
    id[8..].copy_from_slice(&random.next().to_be_bytes());
    Write::Mark { id: MarkId(id), status: MarkStatus::Done, content: ContentDigest([0; 8]) }
}

/// The handler's members, and a history that it keeps: many small values, as a state that grew has.
fn state(bytes: usize) -> Value {
    let one = json!({ "at": "2026-01-01T00:00:00Z", "amount_cents": 1999, "status": "paid" });
    let entries = bytes / one.to_string().len();
    json!({ "count": 0, "total_cents": 0, "history": vec![one; entries] })
}

fn commit(partition: Partition, groups: Vec<Group>) -> Commit {
    // A writer of its own for each, whose commits nobody counts.
    let writer = WriterId(SystemEntropy.fresh());
    let now = SystemClock.now();
    Commit { partition, writer, expected_number: 0, now, groups, cleared: Vec::new(), returned: Vec::new() }
}

async fn committed(store: &RedisStore, commits: Vec<Commit>) -> Result<(), String> {
    for answer in store.commit(commits).await {
        answer.map_err(|error| format!("the store cannot be filled: {error}"))?;
    }
    Ok(())
}
