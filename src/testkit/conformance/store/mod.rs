//! What every [`Store`] must do. Each case gets a store without data and may open several handles on it.

mod bench;
mod conditions;
mod lease;
mod ledger;
mod lines;
mod listing;
mod marks;
mod parts;
mod races;
mod writes;

use std::sync::Arc;
use std::time::Duration;

use futures_util::future::BoxFuture;

use crate::store::Store;

/// Makes handles on one store's data, each for a runner of its own.
pub type Handles = Arc<dyn Fn() -> Arc<dyn Store> + Send + Sync>;

/// Makes stores without data, of [`PARTITIONS`] partitions, that remember for [`RETAIN`].
pub type Subject = Arc<dyn Fn() -> Handles + Send + Sync>;

pub const PARTITIONS: u16 = 4;
pub const RETAIN: Duration = Duration::from_secs(3600);

pub struct Case {
    pub name: &'static str,
    run: fn(Handles) -> BoxFuture<'static, ()>,
}

pub fn cases() -> Vec<Case> {
    [
        conditions::CASES,
        writes::CASES,
        lines::CASES,
        parts::CASES,
        marks::CASES,
        ledger::CASES,
        listing::CASES,
        races::CASES,
    ]
    .into_iter()
    .flatten()
    .map(|(name, run)| Case { name, run: *run })
    .collect()
}

/// The names of the cases that do not hold; their panics say why.
pub async fn failures(subject: &Subject) -> Vec<&'static str> {
    failures_of(cases(), subject).await
}

/// The same of the lease, for a store that several processes may run on: elsewhere there is nothing to keep apart.
pub async fn lease_failures(subject: &Subject) -> Vec<&'static str> {
    let cases = lease::CASES.iter().map(|(name, run)| Case { name, run: *run });
    failures_of(cases.collect(), subject).await
}

async fn failures_of(cases: Vec<Case>, subject: &Subject) -> Vec<&'static str> {
    let mut failed = Vec::new();
    for case in cases {
        // A task of its own catches the panic.
        if tokio::spawn((case.run)(subject())).await.is_err() {
            failed.push(case.name);
        }
    }
    failed
}

type Cases = &'static [(&'static str, fn(Handles) -> BoxFuture<'static, ()>)];
