//! The file: made, recognised, and set up as the guarantee needs it.

use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use rusqlite::{Connection, ErrorCode, OpenFlags};

use super::Trouble;
use super::locks::Turnstile;

pub const FILE: &str = "sluice.db";

/// "Slui", so that no other program's file is taken for ours.
const APPLICATION: i32 = 0x536c_7569;
/// Rises when `schema.sql` changes in a way older programs misread.
const FORMAT: i32 = 2;
const SCHEMA: &str = include_str!("schema.sql");

/// How long to wait for another process that writes.
const PATIENCE: Duration = Duration::from_secs(10);

pub struct Opened {
    pub connection: Connection,
    pub path: PathBuf,
    pub turnstile: Turnstile,
    pub incarnation: String,
}

pub fn make_directory(directory: &Path) -> Result<(), Trouble> {
    if directory.is_dir() {
        return Ok(());
    }
    std::fs::create_dir_all(directory).map_err(|error| failed(directory, &error))?;
    let ignore = directory.join(".gitignore");
    std::fs::write(&ignore, "# what runs here is no source\n*\n").map_err(|error| failed(&ignore, &error))
}

pub fn open(directory: &Path) -> Result<Opened, Trouble> {
    let path = directory.join(FILE);
    let turnstile = Turnstile::open(directory)?;
    let opened = turnstile.inside(|| prepare(&path)).map_err(|error| trouble(&path, &error))?;
    let (connection, incarnation) = opened.map_err(Trouble::Lasting)?;
    Ok(Opened { connection, path, turnstile, incarnation })
}

/// A connection that reads only.
pub fn reader(path: &Path) -> Result<Connection, Trouble> {
    let open = || {
        let connection = connect(path)?;
        connection.pragma_update(None, "query_only", true)?;
        Ok(connection)
    };
    open().map_err(|error| trouble(path, &error))
}

fn connect(path: &Path) -> rusqlite::Result<Connection> {
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_CREATE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(path, flags)?;
    connection.busy_timeout(PATIENCE)?;
    connection.set_prepared_statement_cache_capacity(64);
    // 16 MiB of pages; a negative number counts KiB.
    connection.pragma_update(None, "cache_size", -16_384)?;
    connection.pragma_update(None, "temp_store", "memory")?;
    Ok(connection)
}

/// The inner error says why this file is not to be used.
fn prepare(path: &Path) -> rusqlite::Result<Result<(Connection, String), String>> {
    let connection = connect(path)?;
    let number = |name: &str| connection.pragma_query_value(None, name, |row| row.get::<_, i32>(0));
    let tables: i64 = connection.query_row("SELECT count(*) FROM sqlite_schema", [], |row| row.get(0))?;
    let (application, format) = (number("application_id")?, number("user_version")?);
    if tables > 0 && application != APPLICATION {
        return Ok(Err(format!("`{}` is a database, but not one of sluice: move it away", path.display())));
    }
    if tables > 0 && format != FORMAT {
        return Ok(Err(format!(
            "`{}` is in format {format}, and this sluice reads and writes {FORMAT}: use the version of sluice that wrote it",
            path.display()
        )));
    }
    if tables == 0 {
        connection.pragma_update(None, "page_size", 8192)?;
    }
    // An answer is durable: the log is synced with every commit, and read again after a power failure.
    connection.pragma_update_and_check(None, "journal_mode", "wal", |_| Ok(()))?;
    connection.pragma_update(None, "synchronous", "full")?;
    connection.pragma_update(None, "journal_size_limit", 64 << 20)?;
    if tables == 0 {
        connection.execute_batch(&format!(
            "BEGIN IMMEDIATE; {SCHEMA} PRAGMA application_id = {APPLICATION}; PRAGMA user_version = {FORMAT}; COMMIT;"
        ))?;
    }
    let incarnation =
        connection.query_row("SELECT value FROM meta WHERE name = 'incarnation'", [], |row| row.get(0))?;
    Ok(Ok((connection, incarnation)))
}

pub fn failed(path: &Path, error: &io::Error) -> Trouble {
    let message = format!("`{}` cannot be used: {error}", path.display());
    match error.kind() {
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => Trouble::Passing(message),
        _ => Trouble::Lasting(format!(
            "{message}; the directory of the database must be writable, and `store: {{ embedded: {{ path: … }} }}` says \
             where it is"
        )),
    }
}

/// An error of SQLite, told to a person.
pub fn trouble(path: &Path, error: &rusqlite::Error) -> Trouble {
    let path = path.display();
    match error.sqlite_error_code() {
        Some(ErrorCode::DiskFull) => Trouble::Passing(format!("the disk of `{path}` is full")),
        Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked) => {
            Trouble::Passing(format!("`{path}` is busy: another process has been writing for {} s", PATIENCE.as_secs()))
        }
        Some(ErrorCode::SystemIoFailure) => {
            Trouble::Passing(format!("`{path}` cannot be read or written ({error}): its disk may be full, or failing"))
        }
        Some(ErrorCode::OutOfMemory) => Trouble::Passing(format!("`{path}`: {error}")),
        Some(ErrorCode::CannotOpen | ErrorCode::ReadOnly | ErrorCode::PermissionDenied) => Trouble::Lasting(format!(
            "`{path}` cannot be written: {error}; check who owns it, and that its directory is writable"
        )),
        Some(ErrorCode::NotADatabase | ErrorCode::DatabaseCorrupt) => Trouble::Lasting(format!(
            "`{path}` is damaged, or no database: {error}; keep a copy of its directory, and restore a backup or move it away"
        )),
        _ => Trouble::Lasting(format!("`{path}`: {error}; please report this as a bug")),
    }
}
