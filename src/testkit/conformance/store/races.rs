//! Runners side by side: whoever comes late is refused, and nothing is done twice.

use std::sync::Arc;

use super::bench::{Bench, HERE, body, id, key, keyless, touch};
use super::{Cases, Handles};
use crate::store::{Condition, Verdict, Write};

pub const CASES: Cases = &[
    ("of_many_that_race_for_a_key_one_wins", |h| Box::pin(one_wins(h))),
    ("of_many_that_race_for_an_event_one_wins", |h| Box::pin(one_event(h))),
    ("counting_through_races_loses_nothing", |h| Box::pin(counting(h))),
];

const RUNNERS: u8 = 8;

async fn benches(handles: &Handles) -> Vec<Arc<Bench>> {
    let mut benches = Vec::new();
    for runner in 1..=RUNNERS {
        benches.push(Arc::new(Bench::open(handles, runner).await));
    }
    benches
}

async fn one_wins(handles: Handles) {
    let benches = benches(&handles).await;
    let k = key("k");
    let mut expected = None;
    for round in 0..20 {
        let race = benches.iter().map(|bench| {
            let (bench, k) = (bench.clone(), k.clone());
            tokio::spawn(async move {
                let new = bench.nonce();
                let group = touch(&k, expected, new, "x").then(Write::Emit(body("e")));
                bench.holds(group).await.then_some(new)
            })
        });
        let race: Vec<_> = race.collect();
        let mut winners = Vec::new();
        for runner in race {
            winners.extend(runner.await.expect("it runs"));
        }
        assert_eq!(winners.len(), 1, "round {round}");
        expected = Some(winners[0]);
    }
    assert_eq!(benches[0].key(&k).await.nonce, expected);
    assert_eq!(benches[0].store.outbox(HERE).await.expect("an outbox").len(), 20);
}

async fn one_event(handles: Handles) {
    let benches = benches(&handles).await;
    let race: Vec<_> = benches
        .iter()
        .map(|bench| {
            let bench = bench.clone();
            tokio::spawn(async move {
                let groups = (0..50).map(|n| keyless().when(Condition::Unmarked(id(n))).done(n));
                let verdicts = bench.commit(groups.collect()).await.verdicts;
                verdicts.into_iter().filter(|verdict| *verdict == Verdict::Committed).count()
            })
        })
        .collect();
    let mut wins = 0;
    for runner in race {
        wins += runner.await.expect("it runs");
    }
    assert_eq!(wins, 50);
}

/// Read, add one, write, over and over, from all sides: what the gate is for.
async fn counting(handles: Handles) {
    const EACH: u32 = 10;
    let k = key("counter");
    let runners: Vec<_> = benches(&handles)
        .await
        .into_iter()
        .map(|bench| {
            let k = k.clone();
            tokio::spawn(async move {
                let mut left = EACH;
                while left > 0 {
                    let found = bench.key(&k).await;
                    let count: u32 = std::str::from_utf8(&found.record).ok().and_then(|t| t.parse().ok()).unwrap_or(0);
                    let next = (count + 1).to_string();
                    left -= u32::from(bench.holds(touch(&k, found.nonce, bench.nonce(), &next)).await);
                }
            })
        })
        .collect();
    for runner in runners {
        runner.await.expect("it runs");
    }
    let bench = Bench::open(&handles, RUNNERS + 1).await;
    assert_eq!(bench.key(&k).await.record, body(&(EACH * u32::from(RUNNERS)).to_string()));
}
