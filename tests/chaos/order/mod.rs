//! Events that arrive in any order are handled in theirs: through the binary, on real servers, under fire.

mod steps;
mod waiting;

use std::collections::BTreeMap;

use steps::{MOST, Steps, chained, pipeline};

use super::fold::Runner;

/// Three to six steps for each of so many keys.
fn ways(steps: &Steps, keys: u64) -> BTreeMap<String, Vec<u64>> {
    (0..keys).map(|k| (format!("k{k}"), (1..=3 + steps.roll(MOST - 2)).collect())).collect()
}

fn all(ways: &BTreeMap<String, Vec<u64>>) -> Vec<(String, u64)> {
    ways.iter().flat_map(|(key, numbers)| numbers.iter().map(move |n| (key.clone(), *n))).collect()
}

/// Feeds all of it to two runners, and kills one of them five times in the middle of the work.
async fn feed_under_kills(steps: &mut Steps, pipeline: &str, fed: &[(String, u64)]) -> Vec<Runner> {
    let messages = steps.shuffled(fed);
    let mut runners = vec![steps.start(), steps.start()];
    let jetstream = steps.jetstream().await;
    for part in messages.chunks(messages.len() / 6 + 1) {
        if part.as_ptr() != messages.as_ptr() {
            runners.remove(0).kill9();
            runners.push(steps.start());
        }
        let before = super::streams::count(&jetstream, pipeline).await;
        steps.publish(part).await;
        steps.until_emitted(pipeline, before + 1 + steps.roll(100)).await;
    }
    runners
}

#[tokio::test(flavor = "multi_thread")]
async fn shuffled_events_end_as_if_they_had_come_in_order() {
    let mut steps = Steps::new(40);
    steps.write_folding(&[chained("chained", "")]).await;
    let ways = ways(&steps, 2_000);
    let runners = feed_under_kills(&mut steps, "chained", &all(&ways)).await;
    steps.until_settled("chained", 0).await;
    for runner in runners {
        runner.stop();
    }
    steps.check("chained", &ways).await;
    assert_eq!(steps.dead("chained").await, []);
}

/// The step that no subscription takes; its number counts.
const UNTAKEN: u64 = 4;

/// Takes the steps by their numbers, whatever their types.
fn numbered(name: &str, reorder: &str) -> (String, String) {
    let settings = format!("sequence: {{ by: data.n }}\nreorder: {{ {reorder} }}");
    pipeline(name, &settings, (1..=MOST).filter(|n| *n != UNTAKEN).map(|n| (n, String::new())))
}

#[tokio::test(flavor = "multi_thread")]
async fn numbers_that_never_come_end_by_policy_and_hold_up_no_other_key() {
    let mut steps = Steps::new(41);
    let both = |timeout: &str| {
        let strict = numbered("strict", &format!("timeout: {timeout}"));
        [strict, numbered("lenient", &format!("timeout: {timeout}, on_timeout: advance"))]
    };
    // Longer than anything takes that does come, and not longer than a start looks ahead.
    steps.write_folding(&both("4m")).await;
    let mut ways = ways(&steps, 1_950);
    // The first or the second of three is never published.
    let missing: BTreeMap<String, u64> = (0..50).map(|k| (format!("gap{k}"), 1 + steps.roll(2))).collect();
    let mut fed = all(&ways);
    fed.extend(missing.iter().flat_map(|(key, gap)| (1..=3).filter(move |n| n != gap).map(move |n| (key.clone(), n))));
    let runners = feed_under_kills(&mut steps, "strict", &fed).await;
    let waiters: u64 = missing.values().map(|gap| 3 - gap).sum();
    for pipeline in ["strict", "lenient"] {
        steps.until_settled(pipeline, waiters).await;
        assert_eq!(steps.dead(pipeline).await, []);
    }
    for runner in runners {
        runner.stop();
    }
    steps.write_folding(&both("1s")).await;
    let runners = [steps.start(), steps.start()];
    for pipeline in ["strict", "lenient"] {
        steps.until_settled(pipeline, 0).await;
    }
    for runner in runners {
        runner.stop();
    }
    for numbers in ways.values_mut() {
        numbers.retain(|n| *n != UNTAKEN);
    }
    let mut lenient = ways.clone();
    let mut dead = Vec::new();
    for (key, gap) in missing {
        lenient.insert(key.clone(), (1..=3).filter(|n| *n != gap).collect());
        dead.extend((gap + 1..=3).map(|n| (key.clone(), n, "gap".to_owned())));
        ways.insert(key, (1..gap).collect());
    }
    steps.check("strict", &ways).await;
    steps.check("lenient", &lenient).await;
    assert_eq!(steps.dead("lenient").await, []);
    assert_eq!(steps.dead("strict").await, dead);
}
