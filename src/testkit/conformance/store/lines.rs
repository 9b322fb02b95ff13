//! Lines of parked events: where they stand, what is read of them, and what they weigh.

use bytes::Bytes;

use super::bench::{Bench, between, content, id, key, keyless, parked, touch, two_places};
use super::{Cases, Handles};
use crate::event::{MarkId, Partition};
use crate::store::{Condition, FoundKey, Group, ParkedEvent, Place, Range, Verdict, Write};

pub const CASES: Cases = &[
    ("parked_events_stand_in_the_order_of_their_line", |h| Box::pin(lines(h))),
    ("an_event_is_found_at_both_of_its_places", |h| Box::pin(both_places(h))),
    ("parking_again_leaves_the_old_places", |h| Box::pin(moved(h))),
    ("a_group_may_park_and_take_out_the_same_event", |h| Box::pin(within_a_group(h))),
    ("places_and_marks_are_bytes", |h| Box::pin(awkward(h))),
    ("bytes_that_are_parked_are_counted", |h| Box::pin(weight(h))),
];

async fn lines(handles: Handles) {
    let bench = Bench::open(&handles, 1).await;
    let (a, b) = (key("a"), key("b"));
    let (n1, n2) = (bench.nonce(), bench.nonce());
    bench.must(touch(&a, None, n1, "").park(3, 30).park(1, 10).park(2, u64::MAX)).await;
    bench.must(touch(&b, None, bench.nonce(), "").park(4, 5)).await;
    bench.must(touch(&a, Some(n1), n2, "").park(5, 20)).await;
    assert_eq!(bench.line(&a).await, [parked(1, 10), parked(5, 20), parked(3, 30), parked(2, u64::MAX)]);
    assert_eq!(bench.line(&b).await, [parked(4, 5)]);
    bench.must(touch(&a, Some(n2), bench.nonce(), "").unpark(5)).await;
    assert_eq!(bench.line(&a).await, [parked(1, 10), parked(3, 30), parked(2, u64::MAX)]);
    assert_eq!(bench.mark(id(5)).await, None);
    assert_eq!(
        bench.parts(&key("never touched"), &[Range::all(9)]).await,
        FoundKey { parked: vec![vec![]], ..FoundKey::default() }
    );
}

async fn both_places(handles: Handles) {
    let bench = Bench::open(&handles, 1).await;
    let (k, n1) = (key("k"), bench.nonce());
    let (one, three) = (two_places(1, 100, 7), two_places(3, 50, 200));
    let group = touch(&k, None, n1, "").then(Write::Park(one.clone())).park(2, 150).then(Write::Park(three.clone()));
    bench.must(group).await;
    let asked = [between(0, 99, 9), between(100, 199, 9), between(200, 300, 9), Range::all(9)];
    let (low, middle, high) =
        (vec![one.clone(), three.clone()], vec![one.clone(), parked(2, 150)], vec![three.clone()]);
    let all = [&low[..], &middle, &high].concat();
    assert_eq!(bench.parts(&k, &asked).await.parked, [low, middle, high, all], "by either place, in its order");
    assert_eq!(bench.store.census().await.expect("a census").parked, 3, "each is parked once");
    let n2 = bench.nonce();
    bench.must(touch(&k, Some(n1), n2, "").when(Condition::Parked(id(1))).unpark(1).done(1)).await;
    assert_eq!(bench.parts(&k, &asked).await.parked[..3], [vec![three.clone()], vec![parked(2, 150)], vec![three]]);
    bench.must(touch(&k, Some(n2), bench.nonce(), "").unpark(3)).await;
    assert_eq!(bench.line(&k).await, [parked(2, 150)], "it left both of its places");
}

async fn moved(handles: Handles) {
    let bench = Bench::open(&handles, 1).await;
    let (k, mut nonce) = (key("k"), bench.nonce());
    bench.must(touch(&k, None, nonce, "").park(1, 10).park(2, 20)).await;
    let two = parked(2, 20);
    let steps = [
        parked(1, 30),
        two_places(1, 30, 5),
        two_places(1, 5, 30),
        two_places(1, 40, 25),
        two_places(1, 40, 15),
        parked(1, 40),
        parked(1, 40),
    ];
    for step in steps {
        let next = bench.nonce();
        bench.must(touch(&k, Some(nonce), next, "").then(Write::Park(step.clone()))).await;
        nonce = next;
        let mut line: Vec<(Place, ParkedEvent)> =
            [&step, &two].into_iter().flat_map(|event| event.places().map(|place| (place, event.clone()))).collect();
        line.sort_by_key(|(place, _)| *place);
        let line: Vec<ParkedEvent> = line.into_iter().map(|(_, event)| event).collect();
        assert_eq!(bench.line(&k).await, line);
    }
    assert_eq!(bench.store.census().await.expect("a census").parked, 2);
}

async fn within_a_group(handles: Handles) {
    let bench = Bench::open(&handles, 1).await;
    let (k, n1, n2) = (key("k"), bench.nonce(), bench.nonce());
    let group = touch(&k, None, n1, "").then(Write::Park(two_places(1, 10, 20))).park(1, 30).unpark(1).unpark(1);
    bench.must(group.park(2, 40)).await;
    assert_eq!(bench.line(&k).await, [parked(2, 40)]);
    let group = touch(&k, Some(n1), n2, "").unpark(2).then(Write::Park(two_places(2, 50, 60))).park(2, 70);
    bench.must(group).await;
    assert_eq!(bench.line(&k).await, [parked(2, 70)]);
    bench.must(touch(&k, Some(n2), bench.nonce(), "").unpark(2).unpark(3)).await;
    assert_eq!(bench.found(Default::default()).await.parked_bytes, 0);
}

async fn awkward(handles: Handles) {
    let bench = Bench::open(&handles, 1).await;
    let (k, nonce) = (key("[k"), bench.nonce());
    let place = |first: u8, rest: u8, last: u8| {
        let mut bytes = [rest; Place::BYTES];
        (bytes[0], bytes[Place::BYTES - 1]) = (first, last);
        Place(bytes)
    };
    // In their order, and all there is between two of them.
    let mut places = vec![Place::FIRST, place(0, 0, 1), place(0, 0, 255), place(0, 255, 255)];
    places.extend([place(b'(', b'[', b'-'), place(b'+', 0, 0), place(b'-', 0, 0), place(b'[', b'+', b'\n')]);
    places.extend([place(127, 0, 0), place(128, 0, 0), place(255, 255, 254), Place::LAST]);
    assert!(places.is_sorted());
    let marks = [[0; 16], [255; 16], *b"0123456789\0\r\n[+-"].map(MarkId);
    // Neighbours have marks that would turn their order round.
    let events: Vec<ParkedEvent> = (places.iter().enumerate())
        .map(|(i, place)| {
            let mark = if i < 3 { marks[[1, 0, 2][i]] } else { MarkId([255 - i as u8; 16]) };
            let body = Bytes::copy_from_slice(&place.0);
            ParkedEvent { mark, content: content(255), place: *place, also: None, body }
        })
        .collect();
    let group =
        events.iter().rev().fold(touch(&k, None, nonce, ""), |group, event| group.then(Write::Park(event.clone())));
    bench.must(group).await;
    assert_eq!(bench.line(&k).await, events);
    let one = |place: &Place| Range { from: *place, to: *place, limit: 9 };
    let each = bench.parts(&k, &places.iter().map(one).collect::<Vec<_>>()).await.parked;
    assert_eq!(each, events.iter().map(|event| vec![event.clone()]).collect::<Vec<_>>());
    let behind = |place: &Place| place.next().map(|from| Range { from, to: Place::LAST, limit: 99 });
    let behind = bench.parts(&k, &places.iter().filter_map(behind).collect::<Vec<_>>()).await.parked;
    assert_eq!(behind.iter().map(Vec::len).collect::<Vec<_>>(), (1..events.len()).rev().collect::<Vec<_>>());
    // Both places of one event, at both ends, under the last of all marks.
    let next = bench.nonce();
    let clean = events
        .iter()
        .fold(touch(&k, Some(nonce), next, ""), |group, event| group.then(Write::Unpark { mark: event.mark }));
    let both = ParkedEvent { place: Place::LAST, also: Some(Place::FIRST), ..events[0].clone() };
    bench.must(clean.then(Write::Park(both.clone()))).await;
    assert_eq!(both.mark, MarkId([255; 16]));
    assert_eq!(bench.line(&k).await, [both.clone(), both.clone()]);
    assert_eq!(bench.parts(&k, &[one(&Place::FIRST), one(&Place::LAST)]).await.parked, [[both.clone()], [both]]);
}

async fn weight(handles: Handles) {
    let bench = Bench::open(&handles, 1).await;
    let (k, other) = (key("k"), key("other"));
    let parked_bytes = async || bench.found(Default::default()).await.parked_bytes;
    let heavy = |n: u32, bytes: usize| {
        Write::Park(ParkedEvent { body: vec![b'x'; bytes].into(), ..two_places(n, n.into(), 90) })
    };
    let unpark = |n| Write::Unpark { mark: id(n) };
    let step = async |writes: Vec<Write>| {
        let held = bench.key(&k).await.nonce;
        let committed = bench.commit(vec![Group { writes, ..touch(&k, held, bench.nonce(), "") }]).await;
        assert_eq!(committed.verdicts, [Verdict::Committed]);
        assert_eq!(committed.parked_bytes, parked_bytes().await, "told by the commit as by a lookup");
        committed.parked_bytes
    };
    assert_eq!(parked_bytes().await, 0);
    let one = step(vec![heavy(1, 10_000)]).await;
    // What goes with an event may be counted, too: a store tells what it holds.
    assert!((10_000..10_200).contains(&one), "{one} bytes");
    let two = step(vec![heavy(2, 20_000)]).await;
    assert_eq!(two, one + one + 10_000);
    assert_eq!(step(vec![heavy(1, 5_000)]).await, two - 5_000, "a smaller one in its place");
    assert_eq!(step(vec![heavy(1, 10_000)]).await, two);
    assert_eq!(step(keyless().done(9).writes).await, two, "no parked event is about it");
    assert_eq!(step(vec![unpark(7)]).await, two, "it was not parked");
    // Of three groups the one in the middle is stale.
    bench.must(keyless().done(5)).await;
    let stale = touch(&other, None, bench.nonce(), "").when(Condition::Unmarked(id(5))).unpark(2);
    let stale = stale.then(heavy(5, 70_000));
    let fits = |n: u32, name| touch(&key(name), None, bench.nonce(), "").then(heavy(n, 10_000));
    let committed = bench.commit(vec![fits(3, "a"), stale, fits(4, "b")]).await;
    assert_eq!(committed.verdicts, [Verdict::Committed, Verdict::Stale, Verdict::Committed]);
    let three = parked_bytes().await;
    assert!((two + 20_000..two + 20_400).contains(&three), "{three} bytes, before {two}");
    let elsewhere = bench.store.lookup(vec![(Partition(0), Default::default())]).await.expect("a lookup");
    assert_eq!(elsewhere[0].parked_bytes, 0, "of another partition");
    let left = step(vec![unpark(1), unpark(2)]).await;
    assert_eq!(left, three - two);
    let second = Bench::open(&handles, 2).await;
    assert_eq!(second.found(Default::default()).await.parked_bytes, left, "told to any runner");
    for (n, name) in [(3, "a"), (4, "b")] {
        let held = bench.key(&key(name)).await.nonce;
        bench.must(touch(&key(name), held, bench.nonce(), "").unpark(n)).await;
    }
    assert_eq!(parked_bytes().await, 0);
}
