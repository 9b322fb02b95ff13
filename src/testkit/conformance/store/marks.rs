//! Remembering: generations, retention, and marks that change.

use super::bench::{Bench, HERE, NOW, content, finished, id, key, keyless, touch};
use super::{Cases, Handles, RETAIN};
use crate::event::Millis;
use crate::store::{Condition, Lookup, Mark, MarkStatus, Write};

pub const CASES: Cases = &[
    ("a_mark_is_found_in_every_generation_it_may_be_in", |h| Box::pin(generations(h))),
    ("a_mark_is_remembered_for_retain_and_forgotten_after_one_and_a_half", |h| Box::pin(boundary(h))),
    ("a_clock_that_goes_back_forgets_nothing", |h| Box::pin(backwards(h))),
    ("a_parked_event_is_never_forgotten", |h| Box::pin(parked_for_ever(h))),
    ("a_later_mark_replaces_an_earlier_one_across_generations", |h| Box::pin(replaced(h))),
    ("many_marks_stay_apart_through_many_generations", |h| Box::pin(many(h))),
];

fn at(fraction: f64) -> Millis {
    Millis(NOW.0 + (RETAIN.as_millis() as f64 * fraction) as i64)
}

async fn seen(bench: &Bench, now: Millis, n: u32) -> bool {
    let group = keyless().when(Condition::Unmarked(id(n))).done(n + 10_000);
    bench.commit_at(now, vec![group]).await.verdicts == [crate::store::Verdict::Stale]
}

async fn generations(handles: Handles) {
    let bench = Bench::open(&handles, 1).await;
    bench.commit_at(at(0.0), vec![keyless().done(1)]).await;
    bench.commit_at(at(0.5), vec![keyless().done(2)]).await;
    bench.commit_at(at(1.0), vec![keyless().done(3)]).await;
    for n in 1..=3 {
        assert_eq!(bench.mark(id(n)).await, finished(MarkStatus::Done), "mark {n}");
        assert!(seen(&bench, at(1.0), n).await, "mark {n} is a condition");
    }
}

async fn boundary(handles: Handles) {
    let bench = Bench::open(&handles, 1).await;
    bench.commit_at(at(0.0), vec![keyless().done(1)]).await;
    let last_of_its_generation = Millis(at(0.5).0 - 1);
    bench.commit_at(last_of_its_generation, vec![keyless().done(2)]).await;
    bench.commit_at(at(0.5), vec![]).await;
    bench.commit_at(at(1.0), vec![]).await;
    let last_moment = Millis(at(1.5).0 - 1);
    assert!(seen(&bench, last_moment, 1).await);
    assert!(seen(&bench, last_moment, 2).await, "it is just as old as `retain`");
    assert!(!seen(&bench, at(1.5), 1).await);
    assert!(!seen(&bench, at(1.5), 2).await);
    assert_eq!(bench.mark(id(1)).await, None);
}

async fn backwards(handles: Handles) {
    let bench = Bench::open(&handles, 1).await;
    bench.commit_at(at(1.0), vec![keyless().done(1)]).await;
    bench.commit_at(at(-9.0), vec![keyless().done(2)]).await;
    assert!(seen(&bench, at(2.4), 1).await);
    assert!(seen(&bench, at(2.4), 2).await);
}

async fn parked_for_ever(handles: Handles) {
    let bench = Bench::open(&handles, 1).await;
    let (k, n) = (key("k"), bench.nonce());
    bench.must(touch(&k, None, n, "").park(1, 1)).await;
    for step in 1..8 {
        bench.commit_at(at(f64::from(step)), vec![keyless().done(100)]).await;
    }
    assert!(seen(&bench, at(9.0), 1).await);
    assert_eq!(bench.mark(id(1)).await, Some(Mark::Parked { content: content(2) }));
    bench
        .commit_at(at(9.0), vec![touch(&k, Some(n), bench.nonce(), "").then(Write::Unpark { mark: id(1) }).done(1)])
        .await;
    assert_eq!(bench.mark(id(1)).await, finished(MarkStatus::Done));
}

async fn replaced(handles: Handles) {
    let bench = Bench::open(&handles, 1).await;
    let mark = |status| Write::Mark { id: id(1), status, content: content(1) };
    bench.commit_at(at(0.0), vec![keyless().then(mark(MarkStatus::Dead))]).await;
    assert_eq!(bench.mark(id(1)).await, finished(MarkStatus::Dead));
    bench.commit_at(at(0.0), vec![keyless().then(mark(MarkStatus::Done))]).await;
    assert_eq!(bench.mark(id(1)).await, finished(MarkStatus::Done));
    bench.commit_at(at(0.6), vec![keyless().then(mark(MarkStatus::Dead))]).await;
    assert_eq!(bench.mark(id(1)).await, finished(MarkStatus::Dead));
    // A dead event that is replayed and has to wait is waiting.
    let (k, n) = (key("k"), bench.nonce());
    bench.commit_at(at(0.6), vec![touch(&k, None, n, "").park(1, 1)]).await;
    assert_eq!(bench.mark(id(1)).await, Some(Mark::Parked { content: content(2) }));
    let release = touch(&k, Some(n), bench.nonce(), "").then(Write::Unpark { mark: id(1) });
    bench.commit_at(at(1.2), vec![release.then(mark(MarkStatus::Done))]).await;
    assert_eq!(bench.mark(id(1)).await, finished(MarkStatus::Done));
    assert!(seen(&bench, at(2.4), 1).await);
}

async fn many(handles: Handles) {
    const A_STEP: u32 = 200;
    const STEPS: u32 = 40;
    let bench = Bench::open(&handles, 1).await;
    for step in 0..STEPS {
        let groups =
            (0..A_STEP).map(|i| keyless().when(Condition::Unmarked(id(step * A_STEP + i))).done(step * A_STEP + i));
        let committed =
            bench.send(crate::store::Commit { now: at(f64::from(step) / 10.0), ..bench.draft(HERE, groups.collect()) });
        let committed = committed.await.expect("the commit is taken");
        assert!(committed.verdicts.iter().all(|v| *v == crate::store::Verdict::Committed), "step {step}");
        // What was marked within `retain` is known; what is older than one and a half times that is not.
        let marks: Vec<_> = (0..=step).map(|s| id(s * A_STEP + s)).collect();
        let found = bench.found(Lookup { marks, ..Lookup::default() }).await;
        for (age, mark) in (0..=step).rev().zip(found.marks) {
            if age <= 10 {
                assert_eq!(mark, finished(MarkStatus::Done), "at step {step}, {age} steps old");
            } else if age >= 16 {
                assert_eq!(mark, None, "at step {step}, {age} steps old");
            }
        }
    }
}
