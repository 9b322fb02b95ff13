//! `--watch`: lints again whenever a file of the project changes.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::time::Duration;

use notify::{ErrorKind, Event, EventKind, RecursiveMode, Watcher as _};
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::mpsc;
use tokio::time::{Instant, timeout_at};

use super::super::failure::{Exit, Failure};
use super::super::print;
use super::report::{LintFormat, report};
use super::{LintArgs, is_set};
use crate::lint::{Seen, judge_again};
use crate::spec::{self, Cache, Changed};

/// Nothing changes for this long: whoever writes a file in parts, or beside it and renames, is done.
const QUIET: Duration = Duration::from_millis(10);
/// When something changes all the time it is looked at all the same.
const PATIENCE: Duration = Duration::from_millis(200);
/// Beyond these the watcher waits, and in the end the system says that it lost some.
const MAX_EVENTS: usize = 1024;

type Events = mpsc::Receiver<notify::Result<Event>>;

/// Until SIGINT or SIGTERM; ends as `lint` would have with what was found last.
pub async fn watch(arguments: &LintArgs, root: &Path) -> Result<Exit, Failure> {
    let cannot = |what: &str, error: std::io::Error| Failure::cannot_run(format!("{what}: {error}"));
    let mut interrupt = signal(SignalKind::interrupt()).map_err(|error| cannot("signals cannot be heard", error))?;
    let mut terminate = signal(SignalKind::terminate()).map_err(|error| cannot("signals cannot be heard", error))?;
    // What the system tells of changes has this path.
    let root = root.canonicalize().map_err(|error| cannot("the project cannot be opened", error))?;
    let (sender, mut events) = mpsc::channel(MAX_EVENTS);
    // Watched before it is read: what changes in between is read again.
    let told = move |event| {
        let _ = sender.blocking_send(event);
    };
    let mut watcher = notify::recommended_watcher(told).map_err(unwatchable)?;
    watcher.watch(&root, RecursiveMode::Recursive).map_err(unwatchable)?;
    let clears = arguments.format == LintFormat::Human && print::stdout_is_terminal();
    let (mut cache, mut seen) = (Cache::default(), Seen::default());
    loop {
        let loaded = judge_again(spec::load_again(&root, &is_set, &mut cache), &mut seen);
        if clears {
            print::text("\x1b[2J\x1b[3J\x1b[H")?;
        }
        report(&loaded, arguments.format, &root)?;
        let exit = arguments.judged(&loaded);
        let changed = tokio::select! {
            changed = changes(&mut events, &root, &cache) => changed,
            _ = interrupt.recv() => return Ok(exit),
            _ = terminate.recv() => return Ok(exit),
        };
        match changed {
            Some(changed) => cache.forget(&root, &changed),
            None => cache = Cache::default(),
        }
    }
}

fn unwatchable(error: notify::Error) -> Failure {
    let failure = Failure::cannot_run(format!("the project cannot be watched: {error}"));
    match error.kind {
        ErrorKind::MaxFilesWatch => failure.help(
            "each directory below the project takes one of the system's watches; raise `fs.inotify.max_user_watches`",
        ),
        _ => failure.help("lint without `--watch`"),
    }
}

/// What changed, once it is quiet; `None`: nobody knows, so it may be anything.
async fn changes(events: &mut Events, root: &Path, cache: &Cache) -> Option<Changed> {
    let mut paths = BTreeSet::new();
    let mut patience = None;
    loop {
        let event = match patience {
            None => events.recv().await,
            Some(patience) => match timeout_at((Instant::now() + QUIET).min(patience), events.recv()).await {
                Ok(event) => event,
                Err(_) => return Some(Changed::new(paths)),
            },
        };
        let event = event?.ok().filter(|event| !event.need_rescan())?;
        // Reading is no change; our own would never end.
        if matches!(event.kind, EventKind::Access(_)) {
            continue;
        }
        for path in &event.paths {
            // What is reached by a link can be anywhere, and the root is above everything.
            if path.is_symlink() || path == root {
                return None;
            }
            paths.extend(path.strip_prefix(root).ok().filter(|path| cache.is_about(path)).map(PathBuf::from));
        }
        if !paths.is_empty() && patience.is_none() {
            patience = Some(Instant::now() + PATIENCE);
        }
    }
}
