//! Foreign and broken data: an error, and nothing half written. And what rotation leaves behind.

use sluicegate::store::{KeyLookup, Lookup, Range, Store, StoreError, Verdict};

use super::*;

/// A first commit, so that there is a generation of marks, and something in every collection.
async fn prepared(server: &RedisServer) -> RedisStore {
    let store = store(server.port);
    store.open(WRITER).await.unwrap();
    send(&store, commit(0, vec![everything(1)])).await.unwrap();
    store.start(HERE, id(9), WRITER).await.unwrap();
    store
}

fn second() -> Commit {
    Commit { cleared: vec![1], returned: vec![id(9)], ..commit(1, vec![done(3), everything(2), done(4)]) }
}

#[tokio::test]
async fn a_foreign_value_at_any_key_fails_the_commit_before_its_first_write() {
    let writer = String::from_utf8(WRITER.0.to_vec()).unwrap();
    let keys = ["m", "p", "t", "o", "l", "ls", "lo", "s", "k:k2", "q:k2"].map(str::to_owned);
    let more = [format!("d:1:{}", shard(2)), format!("w:{writer}")];
    let server = RedisServer::start();
    let mut raw = Raw::new(&server);
    for name in keys.into_iter().chain(more) {
        raw.run::<()>(&["FLUSHALL"]);
        let store = prepared(&server).await;
        let key = format!("{{sluice:p:1}}:{name}");
        for plant in [vec!["RPUSH", &key, "foreign"], vec!["XADD", &key, "*", "a", "b"]] {
            raw.run::<()>(&["DEL", &key]);
            raw.run::<redis::Value>(&plant);
            let before = raw.dump();
            let answer = send(&store, second()).await;
            assert!(
                matches!(&answer, Err(StoreError::Refused(why)) if why.contains("sluice did not write")),
                "{name}: {answer:?}"
            );
            assert_eq!(raw.dump(), before, "{name}");
        }
    }
    // Where nothing but one new event is marked, its type is seen by the mark's own write.
    raw.run::<()>(&["FLUSHALL"]);
    let store = prepared(&server).await;
    raw.run::<()>(&["RPUSH", &format!("{{sluice:p:1}}:d:1:{}", shard(4)), "foreign"]);
    assert_eq!(
        send(&store, second()).await.unwrap().verdicts,
        [Verdict::Committed, Verdict::Committed, Verdict::Stale]
    );
    let lookup = Lookup { marks: vec![id(4)], ..Lookup::default() };
    assert!(matches!(store.lookup(vec![(HERE, lookup)]).await, Err(StoreError::Refused(_))));
    // Without a foreign value that same commit is taken.
    raw.run::<()>(&["FLUSHALL"]);
    let store = prepared(&server).await;
    send(&store, second()).await.unwrap();
}

#[tokio::test]
async fn a_foreign_value_in_a_generation_to_come_or_gone_by_fails_the_commit_too() {
    let server = RedisServer::start();
    let mut raw = Raw::new(&server);
    let store = prepared(&server).await;
    let next = format!("{{sluice:p:1}}:d:2:{}", shard(2));
    raw.run::<()>(&["RPUSH", &next, "foreign"]);
    let before = raw.dump();
    let later = Commit { now: NOW.plus(RETAIN), ..second() };
    assert!(matches!(send(&store, later.clone()).await, Err(StoreError::Refused(_))));
    assert_eq!(raw.dump(), before);
    raw.run::<()>(&["DEL", &next]);
    raw.run::<()>(&["RPUSH", &format!("{{sluice:p:1}}:d:1:{}", shard(3)), "foreign"]);
    let before = raw.dump();
    assert!(matches!(send(&store, later).await, Err(StoreError::Refused(_))));
    assert_eq!(raw.dump(), before);
}

#[tokio::test]
async fn a_partition_whose_bookkeeping_is_garbled_is_refused() {
    let server = RedisServer::start();
    let mut raw = Raw::new(&server);
    let store = prepared(&server).await;
    for (field, value) in [("generations", "1:x:1024;"), ("outbox_seq", "many"), ("marks", ""), ("parked_bytes", "x")] {
        let held: String = raw.run(&["HGET", "{sluice:p:1}:m", field]);
        raw.run::<()>(&["HSET", "{sluice:p:1}:m", field, value]);
        let before = raw.dump();
        assert!(matches!(send(&store, second()).await, Err(StoreError::Refused(_))), "{field}");
        assert_eq!(raw.dump(), before, "{field}");
        raw.run::<()>(&["HSET", "{sluice:p:1}:m", field, &held]);
    }
    send(&store, second()).await.unwrap();
}

#[tokio::test]
async fn a_parked_entry_that_is_garbled_fails_the_commit_that_would_move_it_before_its_first_write() {
    let server = RedisServer::start();
    let mut raw = Raw::new(&server);
    let store = prepared(&server).await;
    let moving = |write| Group {
        touch: Some(Touch {
            key: key("k1"),
            expected: Some(Nonce([1; 16])),
            new: Nonce([2; 16]),
            record: b"new".as_slice().into(),
            timer: None,
        }),
        conditions: vec![],
        writes: vec![write],
    };
    let parked = ParkedEvent {
        mark: id(101),
        content: ContentDigest([0; 8]),
        place: Place::FIRST,
        also: None,
        body: b"body".as_slice().into(),
    };
    let groups = [moving(Write::Unpark { mark: id(101) }), moving(Write::Park(parked))];
    let held: Vec<u8> = redis::cmd("HGET").arg("{sluice:p:1}:p").arg(&id(101).0).query(&mut raw.0).unwrap();
    let plant = |raw: &mut Raw, value: &[u8]| {
        redis::cmd("HSET").arg("{sluice:p:1}:p").arg(&id(101).0).arg(value).exec(&mut raw.0).unwrap();
    };
    let other_flags = [&held[..8], &[7], &held[9..]].concat();
    for garbled in [b"".as_slice(), &held[..8], &held[..61], &other_flags] {
        plant(&mut raw, garbled);
        let before = raw.dump();
        for group in &groups {
            let answer = send(&store, commit(1, vec![done(3), group.clone()])).await;
            assert!(matches!(answer, Err(StoreError::Refused(_))), "{answer:?}");
            assert_eq!(raw.dump(), before);
        }
        assert!(matches!(store.parked(id(101)).await, Err(StoreError::Refused(_))));
    }
    plant(&mut raw, &held);
    send(&store, commit(1, vec![done(3), groups[0].clone()])).await.unwrap();
    assert_eq!(raw.run::<u32>(&["EXISTS", "{sluice:p:1}:p", "{sluice:p:1}:q:k1"]), 0);
    let bytes: String = raw.run(&["HGET", "{sluice:p:1}:m", "parked_bytes"]);
    assert_eq!(bytes, "0");
}

#[tokio::test]
async fn reading_foreign_values_is_an_error_and_no_panic() {
    let server = RedisServer::start();
    let mut raw = Raw::new(&server);
    let store = prepared(&server).await;
    let ask = |n| Lookup {
        marks: vec![id(n)],
        keys: vec![KeyLookup { key: key("k1"), line: vec![Range::all(9)] }],
        dead: vec![id(51)],
    };
    for (plant, field) in [("p", id(101)), ("ls", id(51))] {
        let name = format!("{{sluice:p:1}}:{plant}");
        let held: Vec<u8> = redis::cmd("HGET").arg(&name).arg(&field.0).query(&mut raw.0).unwrap();
        let set = |raw: &mut Raw, value: &[u8]| {
            redis::cmd("HSET").arg(&name).arg(&field.0).arg(value).exec(&mut raw.0).unwrap();
        };
        set(&mut raw, b"x");
        assert!(matches!(store.lookup(vec![(HERE, ask(1))]).await, Err(StoreError::Refused(_))), "{plant}");
        set(&mut raw, &held);
        assert!(store.lookup(vec![(HERE, ask(1))]).await.is_ok());
    }
    raw.run::<()>(&["SET", "{sluice:p:1}:k:k1", "short"]);
    assert!(matches!(store.lookup(vec![(HERE, ask(1))]).await, Err(StoreError::Refused(_))));
    raw.run::<()>(&["HSET", "{sluice:p:1}:o", "not a number", "x"]);
    assert!(matches!(store.outbox(HERE).await, Err(StoreError::Refused(_))));
    raw.run::<()>(&["ZADD", "{sluice:p:1}:t", "1", ""]);
    assert!(matches!(store.timers(NOW, 9).await, Err(StoreError::Refused(_))));
    raw.run::<()>(&["HSET", "{sluice:p:1}:m", "pos:c", "-1"]);
    raw.run::<()>(&["HSET", "{sluice:p:0}:m", "pos:c", "1"]);
    assert!(matches!(store.position(&"c".into()).await, Err(StoreError::Refused(_)) | Ok(None)));
}

#[tokio::test]
async fn generations_that_are_over_are_unlinked_in_steps() {
    let server = RedisServer::start();
    let mut raw = Raw::new(&server);
    let store = store(server.port);
    store.open(WRITER).await.unwrap();
    let groups: Vec<Group> = (0..=255).map(done).collect();
    send(&store, commit(0, groups)).await.unwrap();
    let mut count = || {
        let keys: Vec<Vec<u8>> = raw.run(&["KEYS", "{sluice:p:1}:d:1:*"]);
        keys.len()
    };
    let shards = count();
    assert!(shards > 64, "{shards} shards hold 256 marks");
    let over = NOW.plus(RETAIN * 3);
    let mut left = vec![shards];
    for number in 1..=16 {
        send(&store, Commit { now: over, ..commit(number, vec![]) }).await.unwrap();
        left.push(count());
    }
    assert!(left.windows(2).all(|pair| pair[0] - pair[1] <= 64), "at most 64 a commit: {left:?}");
    assert_eq!(left[16], 0, "1024 shards in 16 commits: {left:?}");
    let condemned: String = raw.run(&["HGET", "{sluice:p:1}:m", "condemned"]);
    assert_eq!(condemned, "");
    assert!(!is_marked(&store, 7).await);
}

#[tokio::test]
async fn a_generation_is_sharded_for_what_the_one_before_it_held() {
    let server = RedisServer::start();
    let mut raw = Raw::new(&server);
    let store = prepared(&server).await;
    let marks: String = raw.run(&["HGET", "{sluice:p:1}:m", "marks"]);
    assert_eq!(marks, "1");
    raw.run::<()>(&["HSET", "{sluice:p:1}:m", "marks", "1000000"]);
    let half = NOW.plus(RETAIN / 2);
    send(&store, Commit { now: half, ..second() }).await.unwrap();
    let generations: String = raw.run(&["HGET", "{sluice:p:1}:m", "generations"]);
    assert_eq!(generations, format!("2:{}:16384;1:{}:1024;", half.0, NOW.0));
    let marks: String = raw.run(&["HGET", "{sluice:p:1}:m", "marks"]);
    assert_eq!(marks, "3");
}

#[tokio::test]
async fn a_shard_of_ninety_six_marks_is_a_listpack() {
    let server = RedisServer::start();
    let mut raw = Raw::new(&server);
    let store = store(server.port);
    store.open(WRITER).await.unwrap();
    // All in one shard: it goes by the first three bytes.
    let groups = (0..96u8).map(|n| {
        let mut mark = [5; 16];
        mark[15] = n;
        let write = Write::Mark { id: MarkId(mark), status: MarkStatus::Done, content: ContentDigest([0; 8]) };
        Group { writes: vec![write], ..Group::default() }
    });
    send(&store, commit(0, groups.collect())).await.unwrap();
    let shard = format!("{{sluice:p:1}}:d:1:{}", shard(5));
    assert_eq!(raw.run::<u32>(&["HLEN", &shard]), 96);
    assert_eq!(raw.run::<String>(&["OBJECT", "ENCODING", &shard]), "listpack");
    let bytes: u32 = raw.run(&["MEMORY", "USAGE", &shard]);
    assert!(bytes < 96 * 40, "{bytes} bytes");
}

#[tokio::test]
async fn a_writer_is_forgotten_a_day_after_its_last_commit() {
    let server = RedisServer::start();
    let mut raw = Raw::new(&server);
    prepared(&server).await;
    let name = [b"{sluice:p:1}:w:".as_slice(), &WRITER.0].concat();
    let ttl: i64 = redis::cmd("PTTL").arg(&name).query(&mut raw.0).unwrap();
    let day = Duration::from_secs(86_400).as_millis() as i64;
    assert!((day - 60_000..=day).contains(&ttl), "{ttl}");
}
