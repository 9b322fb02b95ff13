//! The lease of a pipeline, in stores that several processes may run on.

use std::time::Duration;

use tokio::time::{Instant, sleep};

use super::bench::Bench;
use super::{Cases, Handles};
use crate::clock::{Clock as _, SystemClock};
use crate::store::{Holder, Lease, Store, WriterId};

pub const CASES: Cases = &[
    ("one_runner_at_a_time_has_the_lease", |h| Box::pin(one_at_a_time(h))),
    ("a_lease_that_is_over_goes_to_the_next", |h| Box::pin(over(h))),
    ("a_lease_is_renewed_and_given_back_by_its_holder_alone", |h| Box::pin(holder_alone(h))),
    ("a_lease_needs_no_open_and_notes_nobody", |h| Box::pin(notes_nobody(h))),
];

const LONG: Duration = Duration::from_secs(600);
const SHORT: Duration = Duration::from_millis(300);

async fn ask(store: &dyn Store, runner: u8, lasts: Duration) -> Lease {
    store.lease(WriterId([runner; 16]), lasts, SystemClock.now()).await.expect("an answer")
}

async fn holder(store: &dyn Store) -> Option<Holder> {
    store.holder(SystemClock.now()).await.expect("an answer")
}

fn is_of(runner: u8, lease: &Lease, at_most: Duration) -> bool {
    matches!(lease, Lease::Theirs(holder) if holder.runner == WriterId([runner; 16]) && holder.left <= at_most)
}

async fn one_at_a_time(handles: Handles) {
    let stores: Vec<_> = (0..8).map(|_| handles()).collect();
    let asked = (1..).zip(&stores).map(|(runner, store)| ask(&**store, runner, LONG));
    let told = futures_util::future::join_all(asked).await;
    assert_eq!(told.iter().filter(|lease| **lease == Lease::Ours).count(), 1, "{told:?}");
    let first = holder(&*stores[0]).await.expect("somebody holds it").runner;
    for (runner, lease) in (1..).zip(&told) {
        let fits = if first == WriterId([runner; 16]) { *lease == Lease::Ours } else { is_of(first.0[0], lease, LONG) };
        assert!(fits, "{first} holds it, {runner} was told {lease:?}");
    }
}

async fn over(handles: Handles) {
    let (one, two) = (handles(), handles());
    let began = Instant::now();
    assert_eq!(ask(&*one, 1, SHORT).await, Lease::Ours);
    assert!(is_of(1, &ask(&*two, 2, SHORT).await, SHORT));
    let deadline = began + Duration::from_secs(10);
    while ask(&*two, 2, LONG).await != Lease::Ours {
        assert!(Instant::now() < deadline, "it never ends");
        sleep(Duration::from_millis(10)).await;
    }
    // The clocks of stores count whole milliseconds: what began late within one ends early within another.
    assert!(began.elapsed() + Duration::from_millis(1) >= SHORT, "taken over while it lasted");
    assert!(is_of(2, &ask(&*one, 1, SHORT).await, LONG));
}

async fn holder_alone(handles: Handles) {
    let (one, two) = (handles(), handles());
    assert_eq!(holder(&*one).await, None);
    assert_eq!(ask(&*one, 1, SHORT).await, Lease::Ours);
    assert_eq!(ask(&*one, 1, LONG).await, Lease::Ours, "renewed");
    assert!(holder(&*two).await.is_some_and(|holder| holder.left > SHORT && holder.left <= LONG));
    two.release(WriterId([2; 16])).await.expect("an answer");
    assert!(is_of(1, &ask(&*two, 2, LONG).await, LONG), "somebody else gave it back");
    one.release(WriterId([1; 16])).await.expect("an answer");
    assert_eq!(holder(&*two).await, None);
    assert_eq!(ask(&*two, 2, LONG).await, Lease::Ours);
}

async fn notes_nobody(handles: Handles) {
    let standby = handles();
    assert_eq!(ask(&*standby, 1, LONG).await, Lease::Ours);
    standby.release(WriterId([1; 16])).await.expect("an answer");
    let other = Bench::open(&handles, 2).await;
    assert_eq!((other.opened.fresh, other.opened.unclean), (true, false));
    assert_eq!(ask(&*other.store, 2, LONG).await, Lease::Ours);
    assert!(is_of(2, &ask(&*standby, 1, LONG).await, LONG));
}
