use std::time::Duration;

use tempfile::TempDir;

use super::*;
use crate::clock::SystemClock;

fn directory() -> TempDir {
    tempfile::tempdir().expect("a directory")
}

fn open(directory: &TempDir, access: Access) -> std::result::Result<Database, Trouble> {
    Database::open(&directory.path().join("data"), access, &SystemClock)
}

fn refusal(opened: std::result::Result<Database, Trouble>) -> String {
    match opened {
        Err(Trouble::Lasting(why)) => why,
        other => panic!("refused, not {:?}", other.map(|_| "opened")),
    }
}

async fn put(database: &Database, name: &'static str) -> std::result::Result<(), Trouble> {
    let written =
        database.write(move |connection| connection.execute("INSERT INTO meta VALUES (?1, 'x')", [name]).map(drop));
    written.await
}

async fn count(database: &Database) -> u32 {
    let count = database.read(|connection| connection.query_row("SELECT count(*) FROM meta", [], |row| row.get(0)));
    count.await.expect("a count")
}

#[tokio::test]
async fn what_was_answered_is_there_for_others_and_after_opening_again() {
    let directory = directory();
    let one = open(&directory, Access::Run).expect("opens");
    let beside = open(&directory, Access::Beside).expect("opens beside");
    put(&one, "a").await.expect("written");
    put(&beside, "b").await.expect("written");
    assert_eq!((count(&one).await, count(&beside).await), (3, 3));
    let incarnation = one.incarnation().to_owned();
    drop((one, beside));
    let again = open(&directory, Access::Beside).expect("opens again");
    assert_eq!((count(&again).await, again.incarnation()), (3, incarnation.as_str()));
}

#[tokio::test]
async fn a_second_one_to_run_is_told_who_holds_it() {
    let directory = directory();
    let first = open(&directory, Access::Run).expect("opens");
    let why = refusal(open(&directory, Access::Run));
    assert!(why.contains("in use by another `sluice run`: process "), "{why}");
    assert!(why.contains(&std::process::id().to_string()) && why.contains("since 20"), "{why}");
    drop(first);
    open(&directory, Access::Run).expect("the first one is gone");
}

#[tokio::test]
async fn a_failing_job_undoes_its_group_and_no_other() {
    let directory = directory();
    let database = open(&directory, Access::Beside).expect("opens");
    let fails = database.write(|connection| {
        connection.execute("INSERT INTO meta VALUES ('half', 'x')", [])?;
        connection.execute("INSERT INTO nowhere VALUES (1)", []).map(drop)
    });
    let Err(Trouble::Lasting(why)) = fails.await else { panic!("there is no such table") };
    assert!(why.contains("nowhere"), "{why}");
    put(&database, "a").await.expect("written");
    assert_eq!(count(&database).await, 2);
}

#[tokio::test]
async fn what_is_not_urgent_is_written_all_the_same() {
    let directory = directory();
    let database = open(&directory, Access::Beside).expect("opens");
    database.write_lazily(|connection| connection.execute("INSERT INTO meta VALUES ('a', 'x')", []).map(drop), drop);
    let written = async {
        while count(&database).await < 2 {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(10), written).await.expect("in time");
    database.write_lazily(|connection| connection.execute("INSERT INTO meta VALUES ('b', 'x')", []).map(drop), drop);
    drop(database);
    let again = async {
        while count(&open(&directory, Access::Beside).expect("opens")).await < 3 {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(10), again).await.expect("dropping the handle writes the rest");
}

/// No thread may end: everything waits for them.
#[tokio::test]
async fn a_panic_is_told_to_its_caller_and_the_threads_go_on() {
    let directory = directory();
    let database = open(&directory, Access::Beside).expect("opens");
    let panics = database.write(|connection| {
        connection.execute("INSERT INTO meta VALUES ('half', 'x')", [])?;
        if true { panic!("as tried") } else { Ok(()) }
    });
    let Err(Trouble::Lasting(why)) = panics.await else { panic!("it has no answer") };
    assert!(why.contains("panicked"), "{why}");
    // As many as there are threads, and some.
    for _ in 0..4 {
        let panics = database.read(|_| if true { panic!("as tried") } else { Ok(()) });
        assert!(matches!(panics.await, Err(Trouble::Lasting(_))));
    }
    put(&database, "a").await.expect("written");
    assert_eq!(count(&database).await, 2);
}

/// Others were in the same transaction by chance.
#[tokio::test]
async fn for_what_one_job_is_to_blame_the_others_are_told_to_try_again() {
    let directory = directory();
    let database = open(&directory, Access::Beside).expect("opens");
    // While the writer waits for this one, the rest becomes one group.
    let (go, wait) = std::sync::mpsc::channel::<()>();
    let (begins, begun) = oneshot::channel();
    let blocks = database.write(move |_| {
        let _ = (begins.send(()), wait.recv());
        Ok(())
    });
    begun.await.expect("it begins");
    let (told, heard) = oneshot::channel();
    let before = put(&database, "a");
    let lazily = |c: &Connection| c.execute("INSERT INTO meta VALUES ('b', 'x')", []).map(drop);
    database.write_lazily(lazily, |outcome| drop(told.send(outcome)));
    let guilty = database.write(|connection| connection.execute("INSERT INTO nowhere VALUES (1)", []).map(drop));
    let after = put(&database, "c");
    let release = async { go.send(()).expect("the writer waits") };
    let (before, guilty, after, heard, ..) = tokio::join!(before, guilty, after, heard, blocks, release);
    assert!(matches!(guilty, Err(Trouble::Lasting(_))), "{guilty:?}");
    for undone in [before, after, heard.expect("told")] {
        let Err(Trouble::Passing(why)) = undone else { panic!("undone, not {undone:?}") };
        assert!(why.contains("nowhere"), "{why}");
    }
    assert_eq!(count(&database).await, 1);
    put(&database, "a").await.expect("written now");
}

#[tokio::test]
async fn whoever_was_stopped_in_the_turnstile_keeps_nobody_out() {
    let directory = directory();
    let database = open(&directory, Access::Run).expect("opens");
    let stopped = std::fs::File::open(directory.path().join("data/turn.lock")).expect("it is there");
    stopped.lock().expect("locked");
    let written = tokio::time::timeout(Duration::from_secs(8), put(&database, "a"));
    written.await.expect("in time").expect("written");
}

#[tokio::test]
async fn whoever_runs_learns_what_others_write() {
    let directory = directory();
    let runs = open(&directory, Access::Run).expect("opens");
    let beside = open(&directory, Access::Beside).expect("opens");
    let changed = runs.changed().notified();
    put(&beside, "a").await.expect("written");
    tokio::time::timeout(Duration::from_secs(10), changed).await.expect("told");
}

#[tokio::test]
async fn a_file_that_was_taken_away_is_not_written_to() {
    let directory = directory();
    let database = open(&directory, Access::Run).expect("opens");
    std::fs::rename(directory.path().join("data/sluice.db"), directory.path().join("away")).expect("moved");
    let Err(Trouble::Lasting(why)) = put(&database, "a").await else { panic!("it is gone") };
    assert!(why.contains("was deleted or replaced"), "{why}");
}

#[test]
fn what_is_not_ours_is_refused_and_left_as_it_is() {
    let directory = directory();
    let file = directory.path().join("data/sluice.db");
    std::fs::create_dir(directory.path().join("data")).expect("made");
    Connection::open(&file).and_then(|c| c.execute_batch("CREATE TABLE t (x)")).expect("another program's");
    assert!(refusal(open(&directory, Access::Run)).contains("not one of sluice"));
    std::fs::write(&file, "no database at all, but a text of some length").expect("written");
    assert!(refusal(open(&directory, Access::Run)).contains("is damaged, or no database"));
    std::fs::remove_file(&file).expect("removed");
    drop(open(&directory, Access::Run).expect("opens"));
    Connection::open(&file).and_then(|c| c.execute_batch("PRAGMA user_version = 99")).expect("of the future");
    let why = refusal(open(&directory, Access::Run));
    assert!(why.contains("in format 99") && why.contains("use the version of sluice"), "{why}");
}

#[test]
fn a_directory_that_cannot_be_made_is_told() {
    let directory = directory();
    std::fs::write(directory.path().join("data"), "a file").expect("written");
    let why = refusal(open(&directory, Access::Run));
    assert!(why.contains("cannot be used") && why.contains("says where it is"), "{why}");
}

#[test]
fn nothing_is_made_by_looking() {
    let directory = directory();
    let found = Database::find(&directory.path().join("data"), &SystemClock);
    assert!(found.expect("no trouble").is_none() && !directory.path().join("data").exists());
}

/// Writers in several processes: each gets its turn, though one never pauses.
#[tokio::test]
async fn a_writer_that_never_pauses_keeps_no_other_out() {
    let directory = directory();
    let (busy, other) =
        (open(&directory, Access::Run).expect("opens"), open(&directory, Access::Beside).expect("opens"));
    let rounds = std::cell::Cell::new(0_u32);
    let begun = tokio::sync::Notify::new();
    let long = || {
        busy.write(|connection| {
            let written = connection.execute("UPDATE meta SET value = value WHERE name = 'incarnation'", [])?;
            // A disk that takes its time to sync.
            std::thread::sleep(Duration::from_millis(5));
            Ok(written)
        })
    };
    let writing = async {
        // There is always a next one waiting.
        let mut next = long();
        loop {
            let after = long();
            next.await.expect("written");
            next = after;
            rounds.set(rounds.get() + 1);
            begun.notify_one();
        }
    };
    let names = ["a", "b", "c", "d", "e", "f", "g", "h"];
    let others = async {
        begun.notified().await;
        for name in names {
            put(&other, name).await.expect("written");
        }
    };
    tokio::select! {
        () = writing => {}
        () = others => {}
    }
    let rounds = rounds.get();
    assert!(rounds <= 10 * names.len() as u32, "{rounds} rounds of one for {} of the other", names.len());
}

/// As a disk that is full: SQLite may not take another page.
#[tokio::test]
async fn a_full_disk_undoes_what_does_not_fit_and_passes() {
    let directory = directory();
    let database = open(&directory, Access::Run).expect("opens");
    let pages = |most: i64| {
        database.write(move |connection| {
            connection.query_row(&format!("PRAGMA max_page_count = {most}"), [], |row| row.get::<_, i64>(0))
        })
    };
    let fitting = pages(1).await.expect("as small as it can be");
    let mut written = 0_u32;
    let why = loop {
        let name = format!("{written}-{}", "x".repeat(2_000));
        let put =
            database.write(move |connection| connection.execute("INSERT INTO meta VALUES (?1, 'x')", [name]).map(drop));
        match put.await {
            Ok(()) => written += 1,
            Err(Trouble::Passing(why)) => break why,
            Err(lasting) => panic!("{lasting}"),
        }
        assert!(written < 10_000, "{fitting} pages are never full");
    };
    assert!(why.contains("the disk of") && why.contains("is full"), "{why}");
    assert_eq!(count(&database).await, written + 1, "what was answered is there, and nothing of the rest");
    pages(1 << 20).await.expect("room");
    put(&database, "a").await.expect("it goes on");
    assert_eq!(count(&database).await, written + 2);
}
