//! Who may run, and whose turn it is to write.

use std::fs::{File, OpenOptions, TryLockError};
use std::io::{Read as _, Seek as _, Write as _};
use std::path::Path;
use std::time::{Duration, Instant};

use super::Trouble;
use super::opening::failed;
use crate::clock::Clock;

const RUN: &str = "run.lock";
const TURNSTILE: &str = "turn.lock";
/// How long to wait for one's turn, and how often to look: whoever is inside is out again as soon as it writes.
const TURN: Duration = Duration::from_secs(2);
const LOOK: Duration = Duration::from_millis(1);

/// Held while a process runs pipelines on this database. The system takes it back when the process dies.
pub struct RunLock {
    _file: File,
}

impl RunLock {
    pub fn take(directory: &Path, clock: &dyn Clock) -> Result<Self, Trouble> {
        let path = directory.join(RUN);
        let mut file = open(&path)?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                let mut holder = String::new();
                let _ = file.read_to_string(&mut holder);
                let holder = holder.lines().next().unwrap_or("another process").to_owned();
                return Err(Trouble::Lasting(format!(
                    "`{}` is in use by another `sluice run`: {holder}; stop it, or give this one a database of its own \
                     with `store: {{ embedded: {{ path: … }} }}`",
                    directory.display()
                )));
            }
            Err(TryLockError::Error(error)) => return Err(failed(&path, &error)),
        }
        // For whoever comes second; the lock itself is what counts, and a full disk is waited for by those who write.
        let holder = format!("process {}{}, since {}\n", std::process::id(), host(), clock.now().rfc3339());
        let _ = file.set_len(0).and_then(|()| file.rewind()).and_then(|()| file.write_all(holder.as_bytes()));
        Ok(Self { _file: file })
    }
}

fn host() -> String {
    let name = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    if name.trim().is_empty() { String::new() } else { format!(" on {}", name.trim()) }
}

/// Lets processes write in turn: SQLite's own lock would be won, again and again, by the process that just gave it up.
pub struct Turnstile {
    file: File,
}

impl Turnstile {
    pub fn open(directory: &Path) -> Result<Self, Trouble> {
        Ok(Self { file: open(&directory.join(TURNSTILE))? })
    }

    /// Whoever is inside waits for the database alone.
    pub fn inside<T>(&self, enter: impl FnOnce() -> T) -> T {
        let locked = self.wait();
        let entered = enter();
        if locked {
            let _ = self.file.unlock();
        }
        entered
    }

    /// Not for ever: whoever is inside may have been stopped there (Ctrl-Z). `false`: nobody lets us in, or files cannot be
    /// locked here. Then SQLite's own lock decides, which is less fair, and nothing else is lost.
    fn wait(&self) -> bool {
        let end = Instant::now() + TURN;
        loop {
            match self.file.try_lock() {
                Ok(()) => return true,
                Err(TryLockError::WouldBlock) if Instant::now() < end => std::thread::sleep(LOOK),
                Err(_) => return false,
            }
        }
    }
}

fn open(path: &Path) -> Result<File, Trouble> {
    let file = OpenOptions::new().read(true).write(true).create(true).truncate(false).open(path);
    file.map_err(|error| failed(path, &error))
}
