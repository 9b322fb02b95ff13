//! Timers, the outbox, and bytes of every kind.

use super::bench::{Bench, HERE, NOW, body, content, id, key, keyless, touch};
use super::{Cases, Handles};
use crate::event::{ContentDigest, Key, MarkId, Millis, Partition};
use crate::store::{
    Census, Commit, FoundKey, KeyLookup, Lookup, OutboxEntry, ParkedEvent, Place, Range, StoreError, Timer, Verdict,
    Write,
};
use bytes::Bytes;

pub const CASES: Cases = &[
    ("a_touch_sets_or_clears_its_timer", |h| Box::pin(timers(h))),
    ("timers_come_soonest_first_and_limited", |h| Box::pin(timer_limits(h))),
    ("outbox_numbers_rise_without_gaps_over_writers", |h| Box::pin(outbox_numbers(h))),
    ("cleared_entries_leave_the_outbox_and_no_others", |h| Box::pin(cleared(h))),
    ("partitions_do_not_meet", |h| Box::pin(partitions(h))),
    ("keys_and_bodies_are_bytes", |h| Box::pin(binary(h))),
    ("an_empty_commit_counts", |h| Box::pin(empty(h))),
    ("a_census_counts_what_is_there", |h| Box::pin(census(h))),
    ("a_commit_may_be_large", |h| Box::pin(large(h))),
];

async fn timers(handles: Handles) {
    let bench = Bench::open(&handles, 1).await;
    let (k, n1, n2) = (key("k"), bench.nonce(), bench.nonce());
    let due = |due| Timer { partition: HERE, key: key("k"), due };
    bench.must(touch(&k, None, n1, "").due(NOW)).await;
    assert_eq!(bench.store.timers(NOW, 10).await.expect("timers"), [due(NOW)]);
    let later = NOW.plus(std::time::Duration::from_millis(1));
    bench.must(touch(&k, Some(n1), n2, "").due(later)).await;
    assert_eq!(bench.store.timers(NOW, 10).await.expect("timers"), []);
    assert_eq!(bench.store.timers(later, 10).await.expect("timers"), [due(later)]);
    bench.must(touch(&k, Some(n2), bench.nonce(), "")).await;
    assert_eq!(bench.store.timers(Millis(i64::MAX), 10).await.expect("timers"), []);
}

async fn timer_limits(handles: Handles) {
    let bench = Bench::open(&handles, 1).await;
    for (partition, dues) in [(Partition(0), [5, 1, 3]), (Partition(3), [4, 2, 6])] {
        let groups = dues.map(|due| touch(&key(&format!("k{due}")), None, bench.nonce(), "").due(Millis(due)));
        bench.send(bench.draft(partition, groups.to_vec())).await.expect("the commit is taken");
    }
    let ask = async |until, limit| -> Vec<i64> {
        let timers = bench.store.timers(Millis(until), limit).await.expect("timers");
        timers.into_iter().map(|timer| timer.due.0).collect()
    };
    assert_eq!(ask(9, 10).await, [1, 2, 3, 4, 5, 6]);
    assert_eq!(ask(9, 2).await, [1, 2, 3, 4], "a limit a partition");
    assert_eq!(ask(3, 10).await, [1, 2, 3]);
}

async fn outbox_numbers(handles: Handles) {
    let (one, two) = (Bench::open(&handles, 1).await, Bench::open(&handles, 2).await);
    let emit = |text: &str| keyless().then(Write::Emit(body(text)));
    let first = one.commit(vec![emit("a").then(Write::Emit(body("b"))), emit("c")]).await;
    assert_eq!((first.outbox_before, first.outbox_len), (0, 3));
    let second = two.commit(vec![emit("d")]).await;
    assert_eq!((second.outbox_before, second.outbox_len), (3, 4));
    let all = Commit { cleared: vec![1, 2, 3, 4], ..one.draft(HERE, vec![]) };
    assert_eq!(one.send(all).await.expect("the commit is taken").outbox_len, 0);
    // An empty outbox does not start again.
    let third = one.commit(vec![emit("e")]).await;
    assert_eq!((third.outbox_before, third.outbox_len), (4, 1));
    assert_eq!(two.store.outbox(HERE).await.expect("an outbox"), [OutboxEntry { number: 5, body: body("e") }]);
}

async fn cleared(handles: Handles) {
    let bench = Bench::open(&handles, 1).await;
    let mut group = keyless();
    for n in 1..=12 {
        group = group.then(Write::Emit(body(&n.to_string())));
    }
    bench.must(group).await;
    let commit =
        Commit { cleared: vec![2, 11, 99], ..bench.draft(HERE, vec![keyless().then(Write::Emit(body("13")))]) };
    let committed = bench.send(commit).await.expect("the commit is taken");
    assert_eq!((committed.outbox_before, committed.outbox_len), (12, 11));
    let left: Vec<u64> = bench.store.outbox(HERE).await.expect("an outbox").into_iter().map(|e| e.number).collect();
    assert_eq!(left, [1, 3, 4, 5, 6, 7, 8, 9, 10, 12, 13], "in order of their numbers");
    assert_eq!(bench.store.outbox_lens().await.expect("lengths"), [0, 11, 0, 0]);
}

async fn partitions(handles: Handles) {
    let bench = Bench::open(&handles, 1).await;
    let k = key("k");
    let group = |text: &str| {
        touch(&k, None, bench.nonce(), text).when(crate::store::Condition::Unmarked(id(1))).done(1).park(2, 1)
    };
    let commits = vec![bench.draft(Partition(0), vec![group("zero")]), bench.draft(Partition(2), vec![group("two")])];
    for answer in bench.store.commit(commits).await {
        assert_eq!(answer.expect("both are taken").verdicts, [Verdict::Committed]);
    }
    let whole = |key: &Key| KeyLookup { key: key.clone(), line: vec![Range::all(9)] };
    let ask = || Lookup { marks: vec![id(1)], keys: vec![whole(&k)], dead: vec![] };
    let lookups = vec![(Partition(2), ask()), (Partition(1), ask()), (Partition(0), ask())];
    let found = bench.store.lookup(lookups).await.expect("a lookup");
    let records: Vec<_> = found.iter().map(|f| (f.keys[0].record.clone(), f.keys[0].parked[0].len())).collect();
    assert_eq!(records, [(body("two"), 1), (Bytes::new(), 0), (body("zero"), 1)], "in the order asked");
    assert_eq!(found[1].marks, [None]);
}

async fn binary(handles: Handles) {
    let bench = Bench::open(&handles, 1).await;
    let every_byte: Bytes = (0..=255).collect::<Vec<u8>>().into();
    let names = ["}:x", "{a}", "a:b:m", "\0", "a\r\nb", "ключ-鍵", " ", "*", "-1", "'\"\\"].map(key);
    let longest = Key::new(&"é".repeat(512)).expect("1024 bytes");
    let awkward = [[0; 16], [255; 16], *b"0123456789:o\r\n\0}"].map(MarkId);
    for (i, name) in names.iter().chain([&longest]).enumerate() {
        let nonce = bench.nonce();
        let event = ParkedEvent {
            mark: awkward[i % 3],
            content: ContentDigest([0; 8]),
            place: Place::FIRST,
            also: None,
            body: every_byte.clone(),
        };
        let mut group = touch(name, None, nonce, "").due(Millis(0)).then(Write::Park(event.clone()));
        group.touch.as_mut().expect("it has one").record = every_byte.clone();
        bench.must(group).await;
        let found = FoundKey { nonce: Some(nonce), record: every_byte.clone(), parked: vec![vec![event.clone()]] };
        assert_eq!(bench.parts(name, &[Range::all(9)]).await, found, "{name:?}");
        let timers = bench.store.timers(Millis(0), 100).await.expect("timers");
        assert_eq!(timers, [Timer { partition: HERE, key: name.clone(), due: Millis(0) }]);
        let clean = touch(name, Some(nonce), bench.nonce(), "").then(Write::Unpark { mark: event.mark });
        bench.must(clean).await;
        assert_eq!(bench.key(name).await.record, Bytes::new(), "{name:?}");
    }
    let group = awkward.iter().fold(keyless(), |group, id| {
        let mark = Write::Mark { id: *id, status: crate::store::MarkStatus::Dead, content: content(0) };
        group.then(mark).then(Write::Dead { id: *id, body: every_byte.clone() }).then(Write::Emit(every_byte.clone()))
    });
    bench.must(group).await;
    let found = bench.found(Lookup { marks: awkward.to_vec(), keys: vec![], dead: awkward.to_vec() }).await;
    assert!(found.marks.iter().all(Option::is_some));
    assert!(found.dead.iter().flatten().all(|letter| letter.body == every_byte));
    assert!(bench.store.outbox(HERE).await.expect("an outbox").iter().all(|entry| entry.body == every_byte));
}

async fn empty(handles: Handles) {
    let bench = Bench::open(&handles, 1).await;
    let committed = bench.commit(vec![]).await;
    assert_eq!((committed.verdicts.len(), committed.outbox_before, committed.outbox_len), (0, 0, 0));
    bench.commit(vec![]).await;
    let again = Commit { expected_number: 1, ..bench.draft(HERE, vec![]) };
    assert!(matches!(bench.send(again).await, Err(StoreError::TailLost(_))));
    assert!(bench.store.commit(vec![]).await.is_empty());
    assert!(bench.store.lookup(vec![]).await.expect("a lookup").is_empty());
    bench.store.returned(vec![]).await.expect("nothing to return");
}

async fn census(handles: Handles) {
    let bench = Bench::open(&handles, 1).await;
    assert_eq!(bench.store.census().await.expect("a census"), Census::default());
    for partition in [Partition(0), Partition(3)] {
        let group = touch(&key("k"), None, bench.nonce(), "")
            .due(NOW)
            .park(1, 1)
            .park(2, 2)
            .then(Write::Emit(body("e")))
            .then(Write::Dead { id: id(3), body: body("d") })
            .then(Write::Dead { id: id(4), body: body("d") })
            .then(Write::CloseDead { id: id(4), body: body("d") });
        bench.send(bench.draft(partition, vec![group])).await.expect("the commit is taken");
    }
    let counts = Census { parked: 4, outbox: 2, dead_open: 2, keys_with_timer: 2 };
    assert_eq!(bench.store.census().await.expect("a census"), counts);
}

async fn large(handles: Handles) {
    let bench = Bench::open(&handles, 1).await;
    let megabyte = "x".repeat(1 << 20);
    let groups = (0..3000u32).map(|n| {
        let record = if n % 1000 == 0 { megabyte.as_str() } else { "small" };
        touch(&key(&n.to_string()), None, bench.nonce(), record).done(n).then(Write::Emit(body("e")))
    });
    let committed = bench.commit(groups.collect()).await;
    assert!(committed.verdicts.iter().all(|verdict| *verdict == Verdict::Committed));
    let commit =
        Commit { cleared: (1..=3000).collect(), returned: (0..3000).map(id).collect(), ..bench.draft(HERE, vec![]) };
    assert_eq!(bench.send(commit).await.expect("the commit is taken").outbox_len, 0);
    assert_eq!(bench.key(&key("2000")).await.record.len(), 1 << 20);
}
