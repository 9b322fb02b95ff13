//! Listings: every key and every parked event, page by page.

use super::bench::{Bench, HERE, NOW, body, content, id, key, parked, touch};
use super::{Cases, Handles};
use crate::event::{Key, Partition};
use crate::store::{ParkedAt, ParkedEvent, Which, Write};

pub const CASES: Cases = &[
    ("every_key_is_listed_page_by_page", |h| Box::pin(every_key(h))),
    ("keys_with_parked_events_are_listed_apart", |h| Box::pin(with_parked(h))),
    ("a_line_is_read_in_pages_from_its_head", |h| Box::pin(line_pages(h))),
    ("a_page_of_a_line_is_bounded_by_bytes", |h| Box::pin(large_line(h))),
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

async fn line_pages(handles: Handles) {
    let bench = Bench::open(&handles, 1).await;
    let k = key("k");
    let group = (0..9).fold(touch(&k, None, bench.nonce(), ""), |group, n| group.park(n, u64::from(n) * 10));
    bench.must(group).await;
    let page = async |after, limit| bench.store.line(HERE, &k, after, limit).await.expect("a page");
    assert_eq!(page(None, 2).await, [parked(0, 0), parked(1, 10)]);
    assert_eq!(page(Some(10), 2).await, [parked(2, 20), parked(3, 30)]);
    assert_eq!(page(Some(75), 100).await, [parked(8, 80)], "behind a place where nobody stands any more");
    assert_eq!(page(Some(80), 100).await, []);
    assert_eq!(bench.store.line(HERE, &key("other"), None, 9).await.expect("a page"), []);
    assert_eq!(bench.store.line(Partition(0), &k, None, 9).await.expect("a page"), []);
}

async fn large_line(handles: Handles) {
    let bench = Bench::open(&handles, 1).await;
    let (k, megabyte) = (key("k"), body(&"x".repeat(1 << 20)));
    let event = |n: u32| ParkedEvent { mark: id(n), content: content(2), order: u64::from(n), body: megabyte.clone() };
    let group = (1..=20).fold(touch(&k, None, bench.nonce(), ""), |group, n| group.then(Write::Park(event(n))));
    bench.must(group).await;
    let (mut after, mut seen) = (None, 0);
    loop {
        let page = bench.store.line(HERE, &k, after, 1_000).await.expect("a page");
        let Some(last) = page.last() else { break };
        assert!(page.len() < 10, "{} events of a megabyte in a page", page.len());
        after = Some(last.order);
        seen += page.len();
    }
    assert_eq!(seen, 20);
}

async fn found_by_id(handles: Handles) {
    let bench = Bench::open(&handles, 1).await;
    let (k, nonce) = (key("}:k\0"), bench.nonce());
    bench.must(touch(&k, None, nonce, "").park(1, 5).park(2, 9).park(3, 7)).await;
    let find = async |n| bench.store.parked(id(n)).await.expect("an answer");
    let at = |n, before, order| Some(ParkedAt { partition: HERE, key: k.clone(), before, event: parked(n, order) });
    assert_eq!([find(1).await, find(2).await, find(3).await], [at(1, 0, 5), at(2, 2, 9), at(3, 1, 7)]);
    bench.must(touch(&k, Some(nonce), bench.nonce(), "").then(Write::Unpark { mark: id(1) })).await;
    assert_eq!([find(1).await, find(2).await, find(4).await], [None, at(2, 1, 9), None]);
}
