//! Listings: every key and every parked event, page by page.

use super::bench::{Bench, HERE, NOW, at, id, key, parked, touch};
use super::{Cases, Handles};
use crate::event::{Key, Partition};
use crate::store::{ParkedAt, ParkedEvent, Which, Write};

pub const CASES: Cases = &[
    ("every_key_is_listed_page_by_page", |h| Box::pin(every_key(h))),
    ("keys_with_parked_events_are_listed_apart", |h| Box::pin(with_parked(h))),
    ("a_parked_event_is_found_where_it_stands", |h| Box::pin(found_by_id(h))),
];

/// All of them, each once, in order, and how many pages that took.
async fn listed(bench: &Bench, which: Which) -> (Vec<(Partition, Key)>, usize) {
    let (mut keys, mut from, mut pages) = (Vec::new(), None, 0);
    loop {
        let page = bench.store.keys(which, from).await.expect("a page");
        assert!(page.keys.len() <= 1_000, "{} keys in a page", page.keys.len());
        keys.extend(page.keys);
        pages += 1;
        from = page.next;
        if from.is_none() {
            break;
        }
    }
    keys.sort();
    keys.dedup();
    (keys, pages)
}

async fn every_key(handles: Handles) {
    let bench = Bench::open(&handles, 1).await;
    assert_eq!(listed(&bench, Which::All).await.0, []);
    let mut expected = Vec::new();
    for (partition, count) in [(Partition(0), 1), (Partition(1), 1_500), (Partition(3), 600)] {
        let keys: Vec<Key> = (0..count).map(|n| key(&format!("k{n}"))).collect();
        let groups = keys.iter().map(|key| touch(key, None, bench.nonce(), "r")).collect();
        bench.send(bench.draft(partition, groups)).await.expect("the commit is taken");
        expected.extend(keys.into_iter().map(|key| (partition, key)));
    }
    for odd in ["}:k:x", "*", "\0", "a\r\nb", "ключ"] {
        bench.must(touch(&key(odd), None, bench.nonce(), "r")).await;
        expected.push((HERE, key(odd)));
    }
    expected.sort();
    let (keys, pages) = listed(&bench, Which::All).await;
    assert!(keys == expected, "{} keys, wanted {}", keys.len(), expected.len());
    assert!(pages > 2, "{pages} pages");
}

async fn with_parked(handles: Handles) {
    let bench = Bench::open(&handles, 1).await;
    let (a, b, c) = (key("a"), key("b"), key("c"));
    let nonce = bench.nonce();
    bench.must(touch(&a, None, bench.nonce(), "").due(NOW).park(1, 1).park(2, 2)).await;
    bench.must(touch(&b, None, bench.nonce(), "")).await;
    bench.must(touch(&c, None, nonce, "").due(NOW).park(3, 1)).await;
    let far = touch(&a, None, bench.nonce(), "").due(NOW).park(4, 1);
    bench.send(bench.draft(Partition(3), vec![far])).await.expect("the commit is taken");
    assert_eq!(
        listed(&bench, Which::WithParked).await.0,
        [(HERE, a.clone()), (HERE, c.clone()), (Partition(3), a.clone())]
    );
    bench.must(touch(&c, Some(nonce), bench.nonce(), "").then(Write::Unpark { mark: id(3) })).await;
    assert_eq!(listed(&bench, Which::WithParked).await.0, [(HERE, a.clone()), (Partition(3), a)]);
    // More of them than a page holds.
    let groups = (0..700).map(|n| touch(&key(&format!("k{n}")), None, bench.nonce(), "").due(NOW).park(10 + n, 0));
    bench.send(bench.draft(Partition(2), groups.collect())).await.expect("the commit is taken");
    assert_eq!(listed(&bench, Which::WithParked).await.0.len(), 702);
}

async fn found_by_id(handles: Handles) {
    let bench = Bench::open(&handles, 1).await;
    let (k, first, second) = (key("}:k\0"), bench.nonce(), bench.nonce());
    bench.must(touch(&k, None, first, "").park(1, 5).park(2, 9).park(3, 7)).await;
    let find = async |n| bench.store.parked(id(n)).await.expect("an answer");
    let found =
        |event: &ParkedEvent, before| Some(ParkedAt { partition: HERE, key: k.clone(), before, event: event.clone() });
    let (one, two, three) = (parked(1, 5), parked(2, 9), parked(3, 7));
    assert_eq!([find(1).await, find(2).await, find(3).await], [found(&one, 0), found(&two, 2), found(&three, 1)]);
    bench.must(touch(&k, Some(first), second, "").then(Write::Unpark { mark: id(1) })).await;
    assert_eq!([find(1).await, find(2).await, find(4).await], [None, found(&two, 1), None]);
    // Where it stands is its first place; what stands before it may stand there a second time.
    let moved = ParkedEvent { also: Some(at(1)), ..parked(2, 8) };
    bench.must(touch(&k, Some(second), bench.nonce(), "").then(Write::Park(moved.clone()))).await;
    assert_eq!([find(2).await, find(3).await], [found(&moved, 2), found(&three, 1)]);
}
