//! The Redis store on a real server: the conformance suite, and what only a server in trouble shows.

mod damage;
mod opening;
mod trouble;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use secrecy::SecretString;
use sluicegate::clock::SystemClock;
use sluicegate::event::{ContentDigest, Key, MarkId, Millis, Partition};
use sluicegate::spec::program::DurabilityChoice;
use sluicegate::store::redis::{COMMIT_SCRIPT, RedisConfig, RedisStore};
use sluicegate::store::{
    Commit, Committed, Condition, Group, Lookup, MarkStatus, Nonce, ParkedEvent, Place, Store, StoreError, Touch,
    Write, WriterId,
};
use sluicegate::testkit::conformance::store::{Handles, PARTITIONS, RETAIN, Subject, failures, lease_failures};

use crate::support::servers::RedisServer;

const WRITER: WriterId = WriterId([1; 16]);
const HERE: Partition = Partition(1);
const NOW: Millis = Millis(1_700_000_000_000);

fn config(port: u16, pipeline: &str) -> RedisConfig {
    RedisConfig {
        url: SecretString::from(format!("redis://127.0.0.1:{port}")),
        durability: DurabilityChoice::Auto,
        pipeline: pipeline.into(),
        partitions: PARTITIONS,
        retain: RETAIN,
    }
}

fn store(port: u16) -> RedisStore {
    RedisStore::new(config(port, "p"), Arc::new(SystemClock)).unwrap()
}

/// Every store a pipeline of its own on one server, every commit through this script.
fn subject(port: u16, script: &str) -> Subject {
    static PIPELINES: AtomicU32 = AtomicU32::new(0);
    let script: Arc<str> = script.into();
    Arc::new(move || -> Handles {
        let pipeline = format!("p{}", PIPELINES.fetch_add(1, Ordering::Relaxed));
        let script = script.clone();
        Arc::new(move || {
            let config = config(port, &pipeline);
            Arc::new(RedisStore::with_commit_script(config, Arc::new(SystemClock), &script).unwrap())
        })
    })
}

fn id(n: u8) -> MarkId {
    MarkId([n; 16])
}

fn key(name: &str) -> Key {
    Key::new(name).unwrap()
}

fn commit(number: u64, groups: Vec<Group>) -> Commit {
    Commit {
        partition: HERE,
        writer: WRITER,
        expected_number: number,
        now: NOW,
        groups,
        cleared: vec![],
        returned: vec![],
    }
}

fn done(n: u8) -> Group {
    Group {
        touch: None,
        conditions: vec![Condition::Unmarked(id(n))],
        writes: vec![Write::Mark { id: id(n), status: MarkStatus::Done, content: ContentDigest([0; 8]) }],
    }
}

/// A group that writes to every collection there is.
fn everything(n: u8) -> Group {
    let parked = ParkedEvent {
        mark: id(n + 100),
        content: ContentDigest([0; 8]),
        place: Place::FIRST,
        also: Some(Place::LAST),
        body: vec![n; 300].into(),
    };
    Group {
        touch: Some(Touch {
            key: key(&format!("k{n}")),
            expected: None,
            new: Nonce([n; 16]),
            record: vec![n; 300].into(),
            timer: Some(NOW),
        }),
        writes: vec![
            Write::Mark { id: id(n), status: MarkStatus::Done, content: ContentDigest([0; 8]) },
            Write::Park(parked),
            Write::Emit(vec![n; 300].into()),
            Write::Dead { id: id(n + 50), body: vec![n; 300].into() },
        ],
        conditions: vec![Condition::Unmarked(id(n))],
    }
}

async fn send(store: &RedisStore, commit: Commit) -> Result<Committed, StoreError> {
    store.commit(vec![commit]).await.remove(0)
}

async fn is_marked(store: &RedisStore, n: u8) -> bool {
    let lookup = Lookup { marks: vec![id(n)], ..Lookup::default() };
    store.lookup(vec![(HERE, lookup)]).await.unwrap().remove(0).marks.remove(0).is_some()
}

/// A client of our own, beside the store.
struct Raw(redis::Connection);

impl Raw {
    fn new(server: &RedisServer) -> Self {
        Self(redis::Client::open(server.url()).unwrap().get_connection().unwrap())
    }

    fn run<T: redis::FromRedisValue>(&mut self, command: &[&str]) -> T {
        let mut cmd = redis::cmd(command[0]);
        cmd.arg(&command[1..]);
        cmd.query(&mut self.0).unwrap()
    }

    /// Everything there is, by key.
    fn dump(&mut self) -> BTreeMap<Vec<u8>, Vec<u8>> {
        let keys: Vec<Vec<u8>> = self.run(&["KEYS", "*"]);
        let mut dump = BTreeMap::new();
        for key in keys {
            let bytes: Vec<u8> = redis::cmd("DUMP").arg(&key).query(&mut self.0).unwrap();
            dump.insert(key, bytes);
        }
        dump
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn conforms() {
    let server = RedisServer::start();
    assert_eq!(failures(&subject(server.port, COMMIT_SCRIPT)).await, [""; 0]);
    assert_eq!(lease_failures(&subject(server.port, COMMIT_SCRIPT)).await, [""; 0]);
}

/// What each check is for: without it the suite does not pass.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_suite_catches_a_commit_without_one_of_its_checks() {
    let server = RedisServer::start();
    let mutants = [
        ("nonces[g] == ARGV[head + 1]", "true"),
        ("sub(found[g - from + 1], 1, 16)", "ARGV[heads + 4 * g - 3]"),
        ("call('GETRANGE', RECORD .. key, 0, 15)", "ARGV[heads + 4 * g - 3]"),
        ("if call('HEXISTS', key, mark) == 1 then return false end", ""),
        ("return not parked_as(mark)", "return true"),
        ("return unmarked(rest, 1)", "return true"),
        ("ok = ok and unmarked(ARGV[group.new], 2)", ""),
        ("if pcall('HSETNX', shard(live[1], mark), mark, ARGV[group.new + 1]) == 1 then", "if true then"),
        ("return parked_as(rest)\n", "return true\n"),
        ("return call('HGET', DEAD_STATE, sub(rest, 1, 16)) == sub(rest, 17) .. ':o'", "return true"),
        ("return call('HEXISTS', OUTBOX, rest) == 1", "return true"),
        ("if known ~= ARGV[2] then", "if false then"),
        ("T .. ':w:' .. ARGV[1]", "T .. ':w:'"),
        ("for i = newest, #live do", "for i = newest, 1 do"),
        ("groups[g] = ok and group", "groups[g] = group"),
        ("+ 1.5 * retain", "+ retain"),
        ("+ retain / 2 then", "+ 2 * retain then"),
        ("many('ZREM', TIMERS, settled)", ""),
        ("outbox_seq, marked = outbox_before, 0", "outbox_seq, marked = call('HLEN', OUTBOX), 0"),
        ("call('SREM', DEAD_OPEN, rest)", ""),
        ("call('ZREM', line, unpack(old.members))", ""),
        ("call('ZREM', line, unpack(old.members))", "call('ZREM', line, old.members[1])"),
        ("for i = 1, #new.members do", "for i = 1, 1 do"),
        ("parked_bytes = parked_bytes - old.bytes", ""),
        ("entries[rest] = new\n", "\n"),
        ("entries[mark] = false\n", "\n"),
    ];
    let mutants = mutants.map(|(check, without)| {
        assert_eq!(COMMIT_SCRIPT.matches(check).count(), 1, "{check}");
        (check, COMMIT_SCRIPT.replace(check, without))
    });
    for (check, mutant) in mutants {
        let failed = failures(&subject(server.port, &mutant)).await;
        assert!(!failed.is_empty(), "nothing fails without `{check}`");
        // It fails for the check, not because it is no script any more.
        assert!(!failed.contains(&"keys_and_bodies_are_bytes") || check.contains("ZREM"), "{check}: {failed:?}");
    }
}

/// The marks' share of `everything`, as the layout's doc tells: bytes 0 to 2 of the id, modulo the shards.
fn shard(n: u8) -> u32 {
    u32::from_be_bytes([0, n, n, n]) % 1024
}

fn patient() -> Duration {
    Duration::from_secs(20)
}
