//! A group is written when its nonce and all its conditions hold, and not at all otherwise.

use super::bench::{Bench, HERE, NOW, at, body, content, finished, id, key, keyless, parked, touch};
use super::{Cases, Handles};
use crate::event::{Millis, Partition};
use crate::store::{
    Census, Condition, DeadLetter, FoundKey, Lookup, Mark, MarkStatus, ParkedEvent, StoreError, Verdict, Write,
};

pub const CASES: Cases = &[
    ("a_key_is_written_only_over_the_nonce_that_was_read", |h| Box::pin(nonces(h))),
    ("a_large_record_is_written_only_over_the_nonce_that_was_read", |h| Box::pin(large_records(h))),
    ("a_rebuilt_record_does_not_fit_an_old_nonce", |h| Box::pin(aba(h))),
    ("an_event_is_unmarked_only_once", |h| Box::pin(unmarked(h))),
    ("a_parked_event_is_not_unmarked", |h| Box::pin(parked_is_marked(h))),
    ("a_release_needs_the_parking_entry", |h| Box::pin(released_once(h))),
    ("a_replay_needs_the_record_open_at_its_generation", |h| Box::pin(replay(h))),
    ("an_outbox_entry_is_taken_out_once", |h| Box::pin(owed(h))),
    ("a_stale_group_leaves_no_trace", |h| Box::pin(no_trace(h))),
    ("a_stale_group_does_not_disturb_its_neighbours", |h| Box::pin(neighbours(h))),
    ("groups_that_meet_are_refused", |h| Box::pin(meeting_groups(h))),
    ("a_partition_that_is_not_there_is_refused", |h| Box::pin(no_such_partition(h))),
];

async fn nonces(handles: Handles) {
    let bench = Bench::open(&handles, 1).await;
    let (k, n1, n2, n3) = (key("k"), bench.nonce(), bench.nonce(), bench.nonce());
    assert!(!bench.holds(touch(&k, Some(n1), n2, "x")).await, "no record, a nonce expected");
    assert!(bench.holds(touch(&k, None, n1, "one")).await);
    assert!(!bench.holds(touch(&k, None, n2, "x")).await, "a record, none expected");
    assert!(bench.holds(touch(&k, Some(n1), n2, "two")).await);
    assert!(!bench.holds(touch(&k, Some(n1), n3, "x")).await, "an old nonce");
    let found = bench.key(&k).await;
    assert_eq!(found, FoundKey { nonce: Some(n2), record: body("two"), parked: vec![] });
    assert_eq!(bench.key(&key("never touched")).await, FoundKey::default());
}

async fn large_records(handles: Handles) {
    let bench = Bench::open(&handles, 1).await;
    let (k, n1, n2, n3) = (key("k"), bench.nonce(), bench.nonce(), bench.nonce());
    let (one, two) = ("1".repeat(100_000), "2".repeat(100_000));
    assert!(bench.holds(touch(&k, None, n1, &one)).await);
    assert!(!bench.holds(touch(&k, None, n2, &two)).await, "a record, none expected");
    assert!(!bench.holds(touch(&k, Some(n3), n2, &two)).await, "another nonce");
    assert!(bench.holds(touch(&k, Some(n1), n2, &two)).await);
    assert!(!bench.holds(touch(&k, Some(n1), n3, "small")).await, "an old nonce");
    assert_eq!(bench.key(&k).await, FoundKey { nonce: Some(n2), record: body(&two), parked: vec![] });
    assert!(bench.holds(touch(&k, Some(n2), n3, "small")).await);
}

async fn aba(handles: Handles) {
    let bench = Bench::open(&handles, 1).await;
    let (k, first) = (key("k"), bench.nonce());
    bench.must(touch(&k, None, first, "same")).await;
    let (second, third) = (bench.nonce(), bench.nonce());
    bench.must(touch(&k, Some(first), second, "other")).await;
    bench.must(touch(&k, Some(second), third, "same")).await;
    assert!(!bench.holds(touch(&k, Some(first), bench.nonce(), "late")).await);
    assert_eq!(bench.key(&k).await.nonce, Some(third));
}

async fn unmarked(handles: Handles) {
    let bench = Bench::open(&handles, 1).await;
    assert!(bench.holds(keyless().when(Condition::Unmarked(id(1))).done(1)).await);
    assert!(!bench.holds(keyless().when(Condition::Unmarked(id(1))).done(1)).await);
    assert!(bench.holds(keyless().when(Condition::Unmarked(id(2))).done(2)).await);
    assert_eq!(bench.mark(id(1)).await, finished(MarkStatus::Done));
    assert_eq!(bench.mark(id(3)).await, None);
}

async fn parked_is_marked(handles: Handles) {
    let bench = Bench::open(&handles, 1).await;
    let k = key("k");
    let n = bench.nonce();
    bench.must(touch(&k, None, n, "").when(Condition::Unmarked(id(1))).park(1, 1)).await;
    assert!(!bench.holds(keyless().when(Condition::Unmarked(id(1))).done(1)).await);
    assert_eq!(bench.mark(id(1)).await, Some(Mark::Parked { content: content(2) }));
}

async fn released_once(handles: Handles) {
    let bench = Bench::open(&handles, 1).await;
    let (k, n1, n2, n3) = (key("k"), bench.nonce(), bench.nonce(), bench.nonce());
    assert!(!bench.holds(touch(&k, None, n1, "").when(Condition::Parked(id(1)))).await);
    bench.must(touch(&k, None, n1, "").park(1, 1)).await;
    let release = |expected, new| {
        touch(&k, Some(expected), new, "").when(Condition::Parked(id(1))).then(Write::Unpark { mark: id(1) }).done(1)
    };
    bench.must(release(n1, n2)).await;
    assert!(!bench.holds(release(n2, n3)).await);
    assert_eq!(bench.mark(id(1)).await, finished(MarkStatus::Done));
}

async fn replay(handles: Handles) {
    let bench = Bench::open(&handles, 1).await;
    let open_at = |generation| keyless().when(Condition::DeadOpen { id: id(1), generation });
    assert!(!bench.holds(open_at(1)).await, "no record");
    bench.must(keyless().then(Write::Dead { id: id(1), body: body("died") })).await;
    assert!(!bench.holds(open_at(2)).await, "another generation");
    assert!(!bench.holds(open_at(11)).await, "another generation, longer");
    bench.must(open_at(1).then(Write::CloseDead { id: id(1), body: body("replayed") }).done(1)).await;
    assert!(!bench.holds(open_at(1)).await, "closed");
    assert!(!bench.holds(open_at(2)).await, "closed at this generation");
    let letter = DeadLetter { id: id(1), open: false, generation: 2, body: body("replayed") };
    assert_eq!(bench.store.dead_letter(id(1)).await.expect("an answer"), Some((HERE, letter)));
}

async fn owed(handles: Handles) {
    let bench = Bench::open(&handles, 1).await;
    bench.must(keyless().then(Write::Emit(body("a")))).await;
    let give_up = || keyless().when(Condition::Owed(1)).then(Write::Unowe(1));
    assert!(bench.holds(give_up()).await);
    assert!(!bench.holds(give_up()).await);
    assert!(!bench.holds(keyless().when(Condition::Owed(2))).await);
}

async fn no_trace(handles: Handles) {
    let bench = Bench::open(&handles, 1).await;
    bench.must(keyless().done(1)).await;
    let k = key("k");
    // Every kind of write, held back by one condition of many.
    let group = touch(&k, None, bench.nonce(), "x")
        .due(Millis(5))
        .when(Condition::Unmarked(id(2)))
        .when(Condition::Unmarked(id(1)))
        .done(2)
        .park(3, 1)
        .then(Write::Emit(body("e")))
        .then(Write::Dead { id: id(4), body: body("d") });
    let committed = bench.commit(vec![group]).await;
    assert_eq!(committed.verdicts, [Verdict::Stale]);
    assert_eq!((committed.outbox_before, committed.outbox_len), (0, 0));
    assert_eq!(bench.key(&k).await, FoundKey::default());
    let found = bench.found(Lookup { marks: vec![id(2), id(3)], keys: vec![], dead: vec![id(4)] }).await;
    assert_eq!((found.marks, found.dead), (vec![None, None], vec![None]));
    assert_eq!(bench.store.census().await.expect("a census"), Census::default());
    assert_eq!(bench.store.timers(NOW, 10).await.expect("timers"), []);
}

async fn neighbours(handles: Handles) {
    let bench = Bench::open(&handles, 1).await;
    bench.must(keyless().done(2)).await;
    let group = |name: &str, n: u32| {
        touch(&key(name), None, bench.nonce(), name)
            .when(Condition::Unmarked(id(n)))
            .done(n)
            .then(Write::Emit(body(name)))
            .then(Write::Dead { id: id(n + 100), body: body(name) })
            .park(n + 200, 7)
    };
    let committed = bench.commit(vec![group("a", 1), group("b", 2), group("c", 3)]).await;
    assert_eq!(committed.verdicts, [Verdict::Committed, Verdict::Stale, Verdict::Committed]);
    assert_eq!((committed.outbox_before, committed.outbox_len), (0, 2));
    let outbox = bench.store.outbox(HERE).await.expect("an outbox");
    let bodies: Vec<_> = outbox.into_iter().map(|entry| (entry.number, entry.body)).collect();
    assert_eq!(bodies, [(1, body("a")), (2, body("c"))]);
    assert_eq!(bench.key(&key("c")).await.record, body("c"));
    assert_eq!(bench.key(&key("b")).await, FoundKey::default());
    assert_eq!(bench.mark(id(203)).await, Some(Mark::Parked { content: content(2) }));
    assert_eq!(bench.mark(id(202)).await, None);
}

async fn meeting_groups(handles: Handles) {
    let bench = Bench::open(&handles, 1).await;
    let k = key("k");
    let two_keys = vec![touch(&k, None, bench.nonce(), "1"), touch(&k, None, bench.nonce(), "2")];
    let two_events = vec![keyless().when(Condition::Unmarked(id(1))).done(1), keyless().done(1)];
    let no_key = vec![keyless().park(1, 1)];
    let no_key_either = vec![keyless().then(Write::Unpark { mark: id(1) })];
    let one_place = ParkedEvent { also: Some(at(1)), ..parked(1, 1) };
    let one_place = vec![touch(&k, None, bench.nonce(), "").then(Write::Park(one_place))];
    for groups in [two_keys, two_events, no_key, no_key_either, one_place] {
        let answer = bench.send(bench.draft(HERE, groups.clone())).await;
        assert!(matches!(answer, Err(StoreError::Refused(_))), "{groups:?}: {answer:?}");
    }
    assert_eq!(bench.key(&k).await, FoundKey::default());
    assert_eq!(bench.mark(id(1)).await, None);
}

async fn no_such_partition(handles: Handles) {
    let bench = Bench::open(&handles, 1).await;
    let nowhere = Partition(super::PARTITIONS);
    // The commits beside it are carried out all the same.
    let commits = vec![bench.draft(nowhere, vec![]), bench.draft(HERE, vec![keyless().done(1)])];
    let answers = bench.store.commit(commits).await;
    assert!(matches!(answers[..], [Err(StoreError::Refused(_)), Ok(_)]), "{answers:?}");
    assert!(matches!(bench.store.outbox(nowhere).await, Err(StoreError::Refused(_))));
    let lookup = bench.store.lookup(vec![(nowhere, Lookup::default())]).await;
    assert!(matches!(lookup, Err(StoreError::Refused(_))));
    assert_eq!(bench.mark(id(1)).await, finished(MarkStatus::Done));
}
