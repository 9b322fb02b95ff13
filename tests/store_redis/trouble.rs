//! Servers that restart, fill up or fall silent; connections that break; scripts that vanish.

use super::*;
use crate::support::proxy::Proxy;
use crate::support::wait::eventually;
use sluicegate::event::ChannelName;

fn channel() -> ChannelName {
    "orders".into()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn scripts_that_vanish_are_loaded_again() {
    let server = RedisServer::start();
    let mut raw = Raw::new(&server);
    let store = store(server.port);
    store.open(WRITER).await.unwrap();
    raw.run::<()>(&["SCRIPT", "FLUSH"]);
    let everywhere =
        |number, n| (0..PARTITIONS).map(move |p| Commit { partition: Partition(p), ..commit(number, vec![done(n)]) });
    assert!(store.commit(everywhere(0, 0).collect()).await.iter().all(Result::is_ok));
    raw.run::<()>(&["SCRIPT", "FLUSH"]);
    assert!(is_marked(&store, 0).await);
    raw.run::<()>(&["SCRIPT", "FLUSH"]);
    store.advance(&channel(), None, 1).await.unwrap();
    raw.run::<()>(&["SCRIPT", "FLUSH"]);
    assert_eq!(store.start(HERE, id(1), WRITER).await.unwrap(), 1);

    // And in the middle of pipelines: every commit is carried out once.
    let flusher = tokio::task::spawn_blocking(move || {
        for _ in 0..300 {
            raw.run::<()>(&["SCRIPT", "FLUSH"]);
        }
    });
    let mut number = 1;
    while !flusher.is_finished() || number < 20 {
        for answer in store.commit(everywhere(number, (number % 256) as u8).collect()).await {
            answer.expect("carried out");
        }
        number += 1;
    }
    flusher.await.unwrap();
}

#[tokio::test]
async fn a_call_for_all_partitions_is_one_round_trip() {
    let server = RedisServer::start();
    let proxy = Proxy::start(server.port).await;
    let store = store(proxy.port());
    store.open(WRITER).await.unwrap();
    let before = proxy.round_trips();
    let commits = (0..PARTITIONS).map(|p| Commit { partition: Partition(p), ..commit(0, vec![done(1)]) });
    store.commit(commits.collect()).await.into_iter().for_each(|answer| drop(answer.unwrap()));
    assert_eq!(proxy.round_trips(), before + 1);
    let lookups = (0..PARTITIONS).map(|p| (Partition(p), Lookup { marks: vec![id(1)], ..Lookup::default() }));
    store.lookup(lookups.collect()).await.unwrap();
    store.timers(NOW, 10).await.unwrap();
    store.outbox_lens().await.unwrap();
    store.advance(&channel(), None, 1).await.unwrap();
    assert_eq!(proxy.round_trips(), before + 5);
    assert_eq!(proxy.connections(), 1);
    assert!(proxy.bytes_to_server() > 0 && proxy.bytes_to_client() > 0);
}

#[tokio::test]
async fn a_commit_whose_reply_is_late_was_carried_out_and_its_writer_is_told() {
    let server = RedisServer::start();
    let proxy = Proxy::start(server.port).await;
    let store = store(proxy.port()).answer_within(Duration::from_millis(200));
    store.open(WRITER).await.unwrap();
    proxy.hold_replies();
    let answer = send(&store, commit(0, vec![done(1)])).await;
    assert!(matches!(&answer, Err(StoreError::Unavailable(why)) if why.contains("in time")), "{answer:?}");
    proxy.let_go();
    // The same call again, on a new connection: the store knows one commit more than were acknowledged.
    let again = send(&store, commit(0, vec![done(1)])).await;
    assert!(matches!(again, Err(StoreError::TailLost(_))), "{again:?}");
    assert_eq!(proxy.connections(), 2);
    let fresh = Commit { writer: WriterId([2; 16]), ..commit(0, vec![done(1), done(2)]) };
    let verdicts = send(&store, fresh).await.unwrap().verdicts;
    assert_eq!(verdicts, [sluicegate::store::Verdict::Stale, sluicegate::store::Verdict::Committed]);
}

#[tokio::test]
async fn a_commit_cut_off_before_its_reply_is_unavailable_and_never_sent_twice() {
    let server = RedisServer::start();
    let proxy = Proxy::start(server.port).await;
    let store = Arc::new(store(proxy.port()));
    store.open(WRITER).await.unwrap();
    proxy.hold_replies();
    let sent = proxy.bytes_to_server();
    let call = tokio::spawn({
        let store = store.clone();
        async move { send(&store, commit(0, vec![done(1)])).await }
    });
    eventually(patient(), "the commit is on its way", async || proxy.bytes_to_server() > sent).await;
    proxy.cut();
    proxy.let_go();
    let answer = call.await.unwrap();
    assert!(matches!(answer, Err(StoreError::Unavailable(_))), "{answer:?}");
    store.probe().await.expect("it connects anew");
    eventually(patient(), "it was carried out", async || is_marked(&store, 1).await).await;
    let number: String = {
        let name = [b"{sluice:p:1}:w:".as_slice(), &WRITER.0].concat();
        redis::cmd("GET").arg(name).query(&mut Raw::new(&server).0).unwrap()
    };
    assert_eq!(number, "1");
}

#[tokio::test]
async fn a_dropped_commit_is_carried_out_and_the_next_one_tells() {
    let server = RedisServer::start();
    let proxy = Proxy::start(server.port).await;
    let store = store(proxy.port());
    store.open(WRITER).await.unwrap();
    proxy.hold_replies();
    let sent = proxy.bytes_to_server();
    {
        let call = send(&store, commit(0, vec![done(1)]));
        tokio::select! {
            _ = call => panic!("its reply is held"),
            () = eventually(patient(), "the commit is on its way", async || proxy.bytes_to_server() > sent) => {}
        }
    }
    proxy.let_go();
    let next = send(&store, commit(0, vec![done(2)])).await;
    assert!(matches!(next, Err(StoreError::TailLost(_))), "{next:?}");
    assert!(is_marked(&store, 1).await && !is_marked(&store, 2).await);
    assert_eq!(proxy.connections(), 1, "the connection is still good");
    send(&store, commit(1, vec![done(2)])).await.unwrap();
}

/// Writes to its file before it answers: with `everysec` a slow disk delays that, and the end of the process loses it.
fn durable() -> RedisServer {
    RedisServer::with_args(&["--appendfsync", "always"])
}

#[tokio::test]
async fn a_restarted_server_is_a_lost_tail_until_the_store_is_opened_again() {
    let mut server = durable();
    let store = store(server.port);
    let first = store.open(WRITER).await.unwrap();
    send(&store, commit(0, vec![done(1)])).await.unwrap();
    store.advance(&channel(), None, 7).await.unwrap();
    server.kill9();
    let down = store.probe().await;
    assert!(matches!(down, Err(StoreError::Unavailable(_))), "{down:?}");
    server.restart();
    for _ in 0..2 {
        assert!(matches!(store.probe().await, Err(StoreError::TailLost(_))));
        assert!(matches!(store.advance(&channel(), Some(7), 9).await, Err(StoreError::TailLost(_))));
        assert!(matches!(send(&store, commit(1, vec![done(2)])).await, Err(StoreError::TailLost(_))));
        assert!(matches!(store.lookup(vec![(HERE, Lookup::default())]).await, Err(StoreError::TailLost(_))));
    }
    let again = store.open(WriterId([2; 16])).await.unwrap();
    assert_ne!(again.incarnation, first.incarnation);
    store.probe().await.unwrap();
    assert_eq!(store.position(&channel()).await.unwrap(), Some(7), "nothing below a lost tail was confirmed");
    store.advance(&channel(), Some(7), 9).await.unwrap();
}

#[tokio::test]
async fn an_emptied_server_takes_no_position_of_what_it_does_not_know() {
    let server = RedisServer::start();
    let mut raw = Raw::new(&server);
    let store = store(server.port);
    store.open(WRITER).await.unwrap();
    store.advance(&channel(), None, 7).await.unwrap();
    raw.run::<()>(&["FLUSHALL"]);
    let answer = store.advance(&channel(), Some(7), 9).await;
    assert!(matches!(&answer, Err(StoreError::TailLost(why)) if why.contains("no position of `orders`")), "{answer:?}");
    assert!(raw.dump().is_empty(), "nothing was written");
    // One partition alone that lost its own holds the channel back, too.
    store.advance(&channel(), None, 7).await.unwrap();
    raw.run::<()>(&["HSET", "{sluice:p:1}:m", "pos:orders", "6"]);
    assert!(matches!(store.advance(&channel(), Some(7), 9).await, Err(StoreError::TailLost(_))));
    assert_eq!(store.position(&channel()).await.unwrap(), Some(6));
}

#[tokio::test]
async fn a_server_that_lost_commits_tells_their_writer() {
    let mut server = durable();
    let one = store(server.port);
    one.open(WRITER).await.unwrap();
    send(&one, commit(0, vec![done(1)])).await.unwrap();
    let size = server.aof_size();
    send(&one, commit(1, vec![done(2)])).await.unwrap();
    server.kill9();
    server.truncate_aof(size + 7);
    server.restart();
    one.open(WRITER).await.unwrap();
    let answer = send(&one, commit(2, vec![done(3)])).await;
    assert!(matches!(answer, Err(StoreError::TailLost(_))), "{answer:?}");
    assert!(is_marked(&one, 1).await);
    assert!(!is_marked(&one, 2).await && !is_marked(&one, 3).await);
}

#[tokio::test]
async fn a_frozen_server_is_unavailable_and_comes_back() {
    let server = RedisServer::start();
    let store = store(server.port).answer_within(Duration::from_millis(200));
    store.open(WRITER).await.unwrap();
    server.sigstop();
    assert!(matches!(store.probe().await, Err(StoreError::Unavailable(_))));
    assert!(matches!(store.census().await, Err(StoreError::Unavailable(_))));
    server.sigcont();
    eventually(patient(), "an answer", async || store.probe().await.is_ok()).await;
}

#[tokio::test]
async fn a_full_server_takes_nothing_by_halves_and_can_still_be_emptied() {
    let server = RedisServer::start();
    let mut raw = Raw::new(&server);
    let store = store(server.port);
    store.open(WRITER).await.unwrap();
    send(&store, commit(0, vec![everything(1)])).await.unwrap();
    raw.run::<()>(&["CONFIG", "SET", "maxmemory", "1mb"]);
    let before = raw.dump();
    for commit in [
        commit(1, vec![everything(2)]),
        commit(1, vec![]),
        Commit { cleared: vec![1], ..commit(1, vec![done(3)]) },
        Commit { now: NOW.plus(RETAIN * 3), ..commit(1, vec![done(3)]) },
    ] {
        let answer = send(&store, commit).await;
        assert!(matches!(&answer, Err(StoreError::Unavailable(why)) if why.contains("out of memory")), "{answer:?}");
        assert_eq!(raw.dump(), before);
    }
    let full = store.advance(&channel(), None, 1).await;
    assert!(matches!(full, Err(StoreError::Unavailable(_))), "{full:?}");
    // Reading and clearing need no memory.
    assert!(is_marked(&store, 1).await);
    let cleared = send(&store, Commit { cleared: vec![1], ..commit(1, vec![]) }).await.unwrap();
    assert_eq!(cleared.outbox_len, 0);
    raw.run::<()>(&["CONFIG", "SET", "maxmemory", "0"]);
    send(&store, commit(2, vec![everything(2)])).await.unwrap();
}

#[tokio::test]
async fn a_primary_that_became_a_replica_is_left() {
    let server = RedisServer::start();
    let mut raw = Raw::new(&server);
    let store = store(server.port);
    store.open(WRITER).await.unwrap();
    raw.run::<()>(&["REPLICAOF", "127.0.0.1", "1"]);
    let answer = send(&store, commit(0, vec![done(1)])).await;
    assert!(matches!(answer, Err(StoreError::Unavailable(_))), "{answer:?}");
    let answer = store.probe().await;
    assert!(matches!(&answer, Err(StoreError::Unavailable(why)) if why.contains("replica")), "{answer:?}");
    raw.run::<()>(&["REPLICAOF", "NO", "ONE"]);
    send(&store, commit(0, vec![done(1)])).await.unwrap();
}

#[tokio::test]
async fn calls_fail_while_nobody_answers_and_later_ones_connect_anew() {
    let server = RedisServer::start();
    let proxy = Proxy::start(server.port).await;
    let store = store(proxy.port());
    store.open(WRITER).await.unwrap();
    proxy.refuse(true);
    proxy.cut();
    let calls = (0..20).map(|_| store.probe());
    for answer in futures_util::future::join_all(calls).await {
        assert!(matches!(answer, Err(StoreError::Unavailable(_))), "{answer:?}");
    }
    proxy.refuse(false);
    store.probe().await.unwrap();
    assert_eq!(proxy.connections(), 2);
    send(&store, commit(0, vec![done(1)])).await.unwrap();
}

/// A proxy may keep a connection alive across a restart: then only the script itself can tell.
#[test]
fn a_position_is_not_raised_in_another_process_than_the_one_opened() {
    let server = RedisServer::start();
    let mut raw = Raw::new(&server);
    let script = include_str!("../../src/store/redis/advance.lua");
    let run_id: String = raw.run(&["EVAL", "return string.match(redis.call('INFO','server'), 'run_id:(%w+)')", "0"]);
    let other = "0".repeat(40);
    let answer: Vec<String> = raw.run(&["EVAL", script, "1", "{sluice:p:1}", &other, "pos:c", "5", ""]);
    assert_eq!(answer, ["TAIL", &run_id]);
    assert!(raw.dump().is_empty());
    let answer: Vec<String> = raw.run(&["EVAL", script, "1", "{sluice:p:1}", &run_id, "pos:c", "5", ""]);
    assert_eq!(answer, ["OK"]);
}

#[tokio::test]
async fn tls_to_a_server_without_it_is_an_error_and_no_panic() {
    let server = RedisServer::start();
    let url = SecretString::from(format!("rediss://127.0.0.1:{}", server.port));
    let store = RedisStore::new(RedisConfig { url, ..config(server.port, "p") }, Arc::new(SystemClock)).unwrap();
    assert!(matches!(store.open(WRITER).await, Err(StoreError::Unavailable(_))));
}
