//! What is read of a line: parts, by the places of both ends, by number and by bytes.

use super::bench::{Bench, HERE, at, between, body, content, id, key, parked, touch, two_places};
use super::{Cases, Handles};
use crate::event::{Key, Partition};
use crate::store::{ParkedEvent, Place, Range, Write};

pub const CASES: Cases = &[
    ("a_part_takes_as_many_events_as_asked", |h| Box::pin(limits(h))),
    ("parts_may_overlap_and_be_empty", |h| Box::pin(overlapping(h))),
    ("a_part_is_bounded_by_bytes_and_takes_one_event_at_least", |h| Box::pin(large_events(h))),
    ("a_line_is_read_part_by_part", |h| Box::pin(by_parts(h))),
    ("a_line_of_ten_thousand_is_read_part_by_part", |h| Box::pin(long_line(h))),
];

async fn limits(handles: Handles) {
    let bench = Bench::open(&handles, 1).await;
    let k = key("k");
    bench.must(touch(&k, None, bench.nonce(), "").park(1, 1).park(2, 2).then(Write::Park(two_places(3, 3, 4)))).await;
    let asked = [0, 2, 4, 9, usize::MAX].map(Range::all);
    let found = bench.parts(&k, &asked).await.parked;
    assert_eq!(found.iter().map(Vec::len).collect::<Vec<_>>(), [0, 2, 4, 4, 4]);
    assert_eq!(found[1], [parked(1, 1), parked(2, 2)]);
    let found = bench.parts(&k, &[between(2, 9, 2), between(4, 9, 1), between(3, 9, 1)]).await.parked;
    assert_eq!(found, [vec![parked(2, 2), two_places(3, 3, 4)], vec![two_places(3, 3, 4)], vec![two_places(3, 3, 4)]]);
}

async fn overlapping(handles: Handles) {
    let bench = Bench::open(&handles, 1).await;
    let (k, other) = (key("k"), key("other"));
    let group = (1..=9).fold(touch(&k, None, bench.nonce(), ""), |group, n| group.park(n, u64::from(n) * 10));
    bench.must(group).await;
    let asked = [
        between(10, 40, 9),
        between(30, 50, 9),
        between(40, 40, 9),
        between(40, 40, 9),
        between(41, 49, 9),
        between(50, 40, 9),
        between(91, 99, 9),
    ];
    let found = bench.parts(&k, &asked).await.parked;
    let numbers: Vec<Vec<u32>> =
        found.iter().map(|part| (1..=9).filter(|n| part.contains(&parked(*n, u64::from(*n) * 10))).collect()).collect();
    assert_eq!(numbers, [vec![1, 2, 3, 4], vec![3, 4, 5], vec![4], vec![4], vec![], vec![], vec![]]);
    assert_eq!(found.iter().map(Vec::len).sum::<usize>(), 9, "and nothing else");
    assert_eq!(bench.parts(&other, &asked).await.parked, vec![Vec::<ParkedEvent>::new(); asked.len()]);
}

async fn large_events(handles: Handles) {
    let bench = Bench::open(&handles, 1).await;
    let (k, megabyte) = (key("k"), body(&"x".repeat(1 << 20)));
    let (n1, n2) = (bench.nonce(), bench.nonce());
    let event = |n: u32| ParkedEvent { body: megabyte.clone(), ..parked(n, u64::from(n)) };
    let group = (1..=20).fold(touch(&k, None, n1, ""), |group, n| group.then(Write::Park(event(n))));
    bench.must(group).await;
    // One part takes nothing from another.
    let asked = [Range::all(1_000), between(1, 20, 1_000), between(20, 20, 1)];
    let found = bench.parts(&k, &asked).await.parked;
    let lens: Vec<usize> = found.iter().map(Vec::len).collect();
    assert!((1..10).contains(&lens[0]) && lens[1] == lens[0] && lens[2] == 1, "events of a megabyte: {lens:?}");
    let seen = read_through(&bench, &k, 1_000).await;
    assert_eq!(seen.iter().map(Vec::len).sum::<usize>(), 20);
    assert!(seen.iter().all(|part| part.len() < 10));
    // One that is larger than any bound.
    let huge = ParkedEvent { body: vec![b'x'; 6 << 20].into(), ..parked(30, 0) };
    bench.must(touch(&k, Some(n1), n2, "").then(Write::Park(huge))).await;
    let found = bench.parts(&k, &[Range::all(9)]).await.parked.remove(0);
    assert_eq!((found[0].mark, found[0].body.len()), (id(30), 6 << 20));
    assert!(found.len() < 9);
}

/// A line of events with one place, in parts, each from right behind the last place of the one before.
async fn read_through(bench: &Bench, key: &Key, limit: usize) -> Vec<Vec<ParkedEvent>> {
    let (mut part, mut parts) = (Range::all(limit), Vec::new());
    loop {
        let events = bench.store.line(HERE, key, part).await.expect("a part");
        let Some(last) = events.last() else { return parts };
        assert!(events.len() <= limit);
        part.from = last.place.next().expect("there are later places");
        parts.push(events);
    }
}

async fn by_parts(handles: Handles) {
    let bench = Bench::open(&handles, 1).await;
    let k = key("k");
    let group = (0..9).fold(touch(&k, None, bench.nonce(), ""), |group, n| group.park(n, u64::from(n) * 10));
    bench.must(group).await;
    let part = async |from, limit| {
        let part = Range { from, to: Place::LAST, limit };
        bench.store.line(HERE, &k, part).await.expect("a part")
    };
    assert_eq!(part(Place::FIRST, 2).await, [parked(0, 0), parked(1, 10)]);
    assert_eq!(part(at(10).next().expect("one"), 2).await, [parked(2, 20), parked(3, 30)]);
    assert_eq!(part(at(75), 100).await, [parked(8, 80)], "from a place where nobody stands");
    assert_eq!(part(at(80), 100).await, [parked(8, 80)]);
    assert_eq!(part(at(80).next().expect("one"), 100).await, []);
    assert_eq!(bench.store.line(HERE, &k, between(20, 30, 9)).await.expect("a part"), [parked(2, 20), parked(3, 30)]);
    assert_eq!(bench.store.line(HERE, &key("other"), Range::all(9)).await.expect("a part"), []);
    assert_eq!(bench.store.line(Partition(0), &k, Range::all(9)).await.expect("a part"), []);
}

/// First places stand low, second ones high, in the other order.
async fn long_line(handles: Handles) {
    const EVENTS: u32 = 10_000;
    const HIGH: u64 = 1 << 40;
    let bench = Bench::open(&handles, 1).await;
    let (k, mut nonce) = (key("k"), None);
    let event = |n: u32| {
        let also = Some(at(HIGH + u64::from(EVENTS - n)));
        ParkedEvent { mark: id(n), content: content(2), place: at(n.into()), also, body: body("waits") }
    };
    for first in (0..EVENTS).step_by(1_000) {
        let next = bench.nonce();
        let group =
            (first..first + 1_000).fold(touch(&k, nonce, next, ""), |group, n| group.then(Write::Park(event(n))));
        bench.must(group).await;
        nonce = Some(next);
    }
    for (from, to) in [(0, HIGH - 1), (HIGH, u64::MAX)] {
        let (mut part, mut seen, mut parts) = (between(from, to, 500), Vec::new(), 0);
        loop {
            let events = bench.store.line(HERE, &k, part).await.expect("a part");
            let Some(last) = events.last() else { break };
            let place = if from < HIGH { last.place } else { last.also.expect("it has two") };
            part.from = place.next().expect("there are later places");
            seen.extend(events.into_iter().map(|event| event.mark));
            parts += 1;
        }
        if from == HIGH {
            seen.reverse();
        }
        assert!(seen == (0..EVENTS).map(id).collect::<Vec<_>>(), "{} of {EVENTS} in their order", seen.len());
        assert_eq!(parts, EVENTS / 500);
    }
    let last = bench.store.parked(id(EVENTS - 1)).await.expect("an answer").expect("it is parked");
    assert_eq!(last.before, u64::from(EVENTS) - 1);
}
