use std::sync::atomic::{AtomicU32, Ordering};

use tempfile::TempDir;

use super::*;
use crate::clock::SystemClock;
use crate::database::Access;
use crate::mutant::{Check, Mutant};
use crate::testkit::conformance::store::{Handles, PARTITIONS, RETAIN, Subject, failures};

fn database(directory: &TempDir) -> Database {
    Database::open(directory.path(), Access::Beside, &SystemClock).expect("it opens")
}

fn store(database: &Database, pipeline: &str, partitions: u16) -> EmbeddedStore {
    EmbeddedStore::new(database.clone(), pipeline.into(), partitions, RETAIN, Arc::new(SystemClock))
}

/// Every store a pipeline of its own, every handle on what `database` gives.
fn subject(database: impl Fn() -> Database + Clone + Send + Sync + 'static, mutant: Option<Mutant>) -> Subject {
    let pipelines = AtomicU32::new(0);
    Arc::new(move || -> Handles {
        let pipeline = format!("p{}", pipelines.fetch_add(1, Ordering::Relaxed));
        let database = database.clone();
        Arc::new(move || {
            let mut store = store(&database(), &pipeline, PARTITIONS);
            store.mutant = mutant;
            Arc::new(store)
        })
    })
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn conforms() {
    let directory = tempfile::tempdir().expect("a directory");
    let database = database(&directory);
    assert_eq!(failures(&subject(move || database.clone(), None)).await, [""; 0]);
}

#[tokio::test]
async fn who_runs_has_nobody_to_keep_apart_from() {
    let directory = tempfile::tempdir().expect("a directory");
    let store = store(&database(&directory), "p", 1);
    let runner = WriterId([1; 16]);
    assert_eq!(store.lease(runner, Duration::from_secs(1), Millis(0)).await.expect("an answer"), Lease::Alone);
    store.release(runner).await.expect("an answer");
    assert_eq!(store.holder(Millis(0)).await.expect("an answer"), None);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_suite_catches_an_embedded_commit_without_one_of_its_checks() {
    for check in Check::ALL {
        let directory = tempfile::tempdir().expect("a directory");
        let database = database(&directory);
        let failed = failures(&subject(move || database.clone(), Some(Mutant::Without(check)))).await;
        assert!(!failed.is_empty(), "nothing fails without {check:?}");
        // It fails for the check, not because nothing works any more.
        let works = !failed.contains(&"keys_and_bodies_are_bytes") || check == Check::ClearedTimer;
        assert!(works, "{check:?}: {failed:?}");
    }
}

/// As `sluice dlq` beside `sluice run`.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn conforms_with_every_handle_on_connections_of_its_own() {
    let directory = tempfile::tempdir().expect("a directory");
    let path = directory.path().to_owned();
    let each = move || Database::open(&path, Access::Beside, &SystemClock).expect("it opens");
    assert_eq!(failures(&subject(each, None)).await, [""; 0]);
}

#[tokio::test]
async fn looking_makes_nothing_and_finds_what_runs() {
    let directory = tempfile::tempdir().expect("a directory");
    let database = database(&directory);
    let runner = WriterId([1; 16]);
    assert_eq!(store(&database, "p", 4).look().await.expect("a look"), None);
    let runs = store(&database, "p", 4);
    assert!(runs.open(runner).await.expect("opens").fresh);
    let looked = store(&database, "p", 4).look().await.expect("a look").expect("it ran");
    assert!(looked.unclean && !looked.fresh);
    runs.close(runner).await.expect("closes");
    assert!(!store(&database, "p", 4).look().await.expect("a look").expect("it ran").unclean);
}

#[tokio::test]
async fn another_number_of_partitions_is_refused() {
    let directory = tempfile::tempdir().expect("a directory");
    let database = database(&directory);
    store(&database, "p", 4).open(WriterId([1; 16])).await.expect("opens");
    let other = store(&database, "p", 8);
    for refused in [other.open(WriterId([2; 16])).await.map(drop), other.look().await.map(drop)] {
        let Err(StoreError::Refused(why)) = refused else { panic!("refused") };
        assert!(why.contains("made with 4 partitions") && why.contains("wants 8"), "{why}");
    }
}

#[tokio::test]
async fn a_store_whose_file_went_away_refuses_commits() {
    let directory = tempfile::tempdir().expect("a directory");
    let database = database(&directory);
    let store = store(&database, "p", 4);
    store.open(WriterId([1; 16])).await.expect("opens");
    std::fs::remove_file(directory.path().join("sluice.db")).expect("removed");
    assert!(matches!(store.probe().await, Err(StoreError::Refused(_))));
}

/// An empty transaction touches no disk, and succeeds on a full one.
#[tokio::test]
async fn a_probe_writes_something() {
    let directory = tempfile::tempdir().expect("a directory");
    let database = database(&directory);
    let runs = store(&database, "p", 4);
    runs.open(WriterId([1; 16])).await.expect("opens");
    let forgotten = database.write(|connection| connection.execute("DELETE FROM runners", params![]));
    assert_eq!(forgotten.await.expect("forgotten"), 1);
    runs.probe().await.expect("it answers");
    assert!(store(&database, "p", 4).look().await.expect("a look").expect("it ran").unclean, "it is noted again");
}
