//! What outlives events: runners, start marks, positions, dead letters, and how writers are told apart.

use std::sync::Arc;

use super::bench::{Bench, HERE, body, finished, id, keyless};
use super::{Cases, Handles};
use crate::event::{ChannelName, Partition};
use crate::store::{Commit, DeadLetter, MarkStatus, StoreError, Write, WriterId};

pub const CASES: Cases = &[
    ("a_runner_that_left_without_a_word_is_told", |h| Box::pin(unclean(h))),
    ("a_runner_that_opens_again_is_not_another", |h| Box::pin(opens_again(h))),
    ("a_writer_whose_commits_are_not_known_is_told", |h| Box::pin(writer_numbers(h))),
    ("writers_and_partitions_count_apart", |h| Box::pin(counted_apart(h))),
    ("starts_count_distinct_runners_until_the_event_returns", |h| Box::pin(starts(h))),
    ("a_commit_clears_start_marks", |h| Box::pin(returned_in_commit(h))),
    ("positions_only_rise", |h| Box::pin(positions(h))),
    ("a_position_below_the_one_held_is_a_lost_tail", |h| Box::pin(lost_position(h))),
    ("a_dead_letter_rises_a_generation_with_every_change", |h| Box::pin(dead_letters(h))),
    ("a_long_ledger_is_read_whole", |h| Box::pin(long_ledger(h))),
];

async fn unclean(handles: Handles) {
    let first = Bench::open(&handles, 1).await;
    assert_eq!((first.opened.fresh, first.opened.unclean), (true, false));
    first.store.close(first.writer).await.expect("a close");
    let second = Bench::open(&handles, 2).await;
    assert_eq!((second.opened.fresh, second.opened.unclean), (false, false));
    drop(second);
    let third = Bench::open(&handles, 3).await;
    assert_eq!((third.opened.fresh, third.opened.unclean), (false, true));
    // The second may be alive, for all the third knows after a moment.
    third.store.close(third.writer).await.expect("a close");
    assert!(Bench::open(&handles, 4).await.opened.unclean);
}

async fn opens_again(handles: Handles) {
    let bench = Bench::open(&handles, 1).await;
    assert!(!bench.store.open(bench.writer).await.expect("it opens").unclean);
    let other = WriterId([9; 16]);
    assert!(!bench.store.open(other).await.expect("it opens").unclean, "its own former self");
    bench.store.close(other).await.expect("a close");
    assert!(!Bench::open(&handles, 2).await.opened.unclean);
}

async fn writer_numbers(handles: Handles) {
    let bench = Bench::open(&handles, 1).await;
    let numbered = |expected_number| Commit { expected_number, ..bench.draft(HERE, vec![keyless().done(1)]) };
    for wrong in [1, u64::MAX] {
        let answer = bench.store.commit(vec![numbered(wrong)]).await;
        assert!(matches!(answer[..], [Err(StoreError::TailLost(_))]), "{answer:?}");
    }
    assert_eq!(bench.mark(id(1)).await, None, "nothing was written");
    bench.must(keyless().done(2)).await;
    let answer = bench.store.commit(vec![numbered(0)]).await;
    assert!(matches!(answer[..], [Err(StoreError::TailLost(_))]), "{answer:?}");
    assert_eq!(bench.mark(id(1)).await, None, "nothing was written");
    bench.must(keyless().done(1)).await;
    assert_eq!(bench.mark(id(1)).await, finished(MarkStatus::Done));
}

async fn counted_apart(handles: Handles) {
    let (one, two) = (Bench::open(&handles, 1).await, Bench::open(&handles, 2).await);
    for n in 0..12 {
        let bench = if n % 3 == 0 { &one } else { &two };
        let partition = Partition(u16::from(n % 2 == 0));
        bench.send(bench.draft(partition, vec![])).await.expect("its number follows");
    }
}

async fn starts(handles: Handles) {
    let bench = Bench::open(&handles, 1).await;
    let start = async |n, runner| bench.store.start(HERE, id(n), WriterId([runner; 16])).await.expect("a start");
    assert_eq!(start(1, 1).await, 1);
    assert_eq!(start(1, 1).await, 1, "the same runner again");
    assert_eq!(start(1, 2).await, 2);
    assert_eq!(start(1, 0).await, 3);
    assert_eq!(start(2, 1).await, 1, "another event");
    assert_eq!(bench.store.start(Partition(0), id(1), bench.writer).await.expect("a start"), 1, "another partition");
    bench.store.returned(vec![(HERE, id(1)), (HERE, id(77))]).await.expect("returned");
    assert_eq!(start(1, 3).await, 1);
    assert_eq!(start(2, 2).await, 2, "others keep theirs");
}

async fn returned_in_commit(handles: Handles) {
    let bench = Bench::open(&handles, 1).await;
    for runner in [1, 2] {
        bench.store.start(HERE, id(1), WriterId([runner; 16])).await.expect("a start");
    }
    let commit = Commit { returned: vec![id(1)], ..bench.draft(HERE, vec![keyless().done(1)]) };
    bench.send(commit).await.expect("the commit is taken");
    assert_eq!(bench.store.start(HERE, id(1), bench.writer).await.expect("a start"), 1);
}

async fn positions(handles: Handles) {
    let bench = Bench::open(&handles, 1).await;
    let (orders, other): (ChannelName, ChannelName) = (Arc::from("orders"), Arc::from("pos:other"));
    let position = async |channel| bench.store.position(channel).await.expect("a position");
    assert_eq!(position(&orders).await, None);
    for (to, then) in [(0, 0), (9, 9), (10, 10), (3, 10), (u64::MAX - 1, u64::MAX - 1), (u64::MAX - 2, u64::MAX - 1)] {
        let held = position(&orders).await;
        bench.store.advance(&orders, held, to).await.expect("an advance");
        assert_eq!(position(&orders).await, Some(then), "advanced to {to}");
    }
    assert_eq!(position(&other).await, None);
    // What another runner raised meanwhile is no loss.
    bench.store.advance(&orders, Some(9), 10).await.expect("an advance");
    bench.store.advance(&orders, None, 10).await.expect("an advance");
    let second = Bench::open(&handles, 2).await;
    assert_eq!(second.store.position(&orders).await.expect("a position"), Some(u64::MAX - 1));
}

async fn lost_position(handles: Handles) {
    let bench = Bench::open(&handles, 1).await;
    let orders: ChannelName = Arc::from("orders");
    let position = async || bench.store.position(&orders).await.expect("a position");
    let lost =
        async |held, to| matches!(bench.store.advance(&orders, Some(held), to).await, Err(StoreError::TailLost(_)));
    assert!(lost(0, 5).await, "nothing is stored, a position is held");
    assert_eq!(position().await, None);
    bench.store.advance(&orders, None, 9).await.expect("an advance");
    for (held, to) in [(10, 11), (10, 9), (u64::MAX - 1, u64::MAX)] {
        assert!(lost(held, to).await, "{held} is held");
        assert_eq!(position().await, Some(9));
    }
    bench.store.advance(&orders, Some(9), 10).await.expect("an advance");
    assert_eq!(position().await, Some(10));
}

async fn dead_letters(handles: Handles) {
    let bench = Bench::open(&handles, 1).await;
    let letter = |generation, open, text: &str| DeadLetter { id: id(1), open, generation, body: body(text) };
    let dead = |text: &str| Write::Dead { id: id(1), body: body(text) };
    let close = |text: &str| Write::CloseDead { id: id(1), body: body(text) };
    let ask = async || bench.store.dead_letter(id(1)).await.expect("an answer").map(|(_, letter)| letter);

    bench.must(keyless().then(close("nothing to close"))).await;
    assert_eq!(ask().await, None);
    bench.must(keyless().then(dead("one"))).await;
    assert_eq!(ask().await, Some(letter(1, true, "one")));
    bench.must(keyless().then(dead("two"))).await;
    assert_eq!(ask().await, Some(letter(2, true, "two")));
    bench.must(keyless().then(close("three"))).await;
    assert_eq!(ask().await, Some(letter(3, false, "three")));
    // A replay that dies again: both in one group.
    bench.must(keyless().then(dead("four")).then(close("five")).then(dead("six"))).await;
    assert_eq!(ask().await, Some(letter(6, true, "six")));

    let other = bench.draft(
        Partition(3),
        vec![
            keyless()
                .then(Write::Dead { id: id(2), body: body("x") })
                .then(Write::CloseDead { id: id(2), body: body("y") }),
        ],
    );
    bench.send(other).await.expect("the commit is taken");
    let open = bench.store.dead_letters(true).await.expect("a list");
    assert_eq!(open, [(HERE, letter(6, true, "six"))]);
    let mut all: Vec<_> =
        bench.store.dead_letters(false).await.expect("a list").into_iter().map(|(p, l)| (p, l.id, l.open)).collect();
    all.sort();
    assert_eq!(all, [(HERE, id(1), true), (Partition(3), id(2), false)]);
}

async fn long_ledger(handles: Handles) {
    let bench = Bench::open(&handles, 1).await;
    let group = (0..250).fold(keyless(), |group, n| group.then(Write::Dead { id: id(n), body: body(&n.to_string()) }));
    let group = (0..250).step_by(5).fold(group, |group, n| group.then(Write::CloseDead { id: id(n), body: body("c") }));
    bench.must(group).await;
    for (open_only, count) in [(true, 200), (false, 250)] {
        let mut letters = bench.store.dead_letters(open_only).await.expect("a list");
        letters.sort_by_key(|(_, letter)| letter.id);
        letters.dedup_by_key(|(_, letter)| letter.id);
        assert_eq!(letters.len(), count);
        assert!(letters.iter().all(|(_, letter)| !letter.open || letter.body != body("c")));
    }
}
