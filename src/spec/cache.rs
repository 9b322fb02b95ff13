//! Loading a project again without doing all of it again.
//!
//! What is made of one pipeline or scenario file is kept with all that was looked at for it, there or not: it holds until
//! one of these changes. Who watches the files says what changed.

use std::collections::hash_map::Entry;
use std::collections::{BTreeSet, HashMap};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::compile::{Artifacts, Context, PipelineMade};
use super::files::{Known, Trace};
use super::scenario::ScenarioFile;
use crate::diagnostic::Diagnostic;

/// What a load made, for the next one. Empty at first.
#[derive(Default)]
pub struct Cache {
    pub(super) known: Known,
    /// The text of `sluice.yaml` that all of it was made for; `None`: nothing was made yet.
    project: Option<Option<Arc<str>>>,
    pub(super) artifacts: Option<Artifacts>,
    pub(super) pipelines: Made<PipelineMade>,
    pub(super) scenarios: Made<Option<Arc<ScenarioFile>>>,
    /// Whether the scenarios were read beside a sound program.
    sound: bool,
}

/// Paths that are not what they were, relative to the project.
#[derive(Debug, Default)]
pub struct Changed {
    paths: BTreeSet<PathBuf>,
    /// Directories that something may have come to or gone from.
    listings: BTreeSet<PathBuf>,
}

impl Changed {
    pub fn new(paths: impl IntoIterator<Item = PathBuf>) -> Self {
        let paths: BTreeSet<PathBuf> = paths.into_iter().collect();
        let listings = paths.iter().filter_map(|path| path.parent()).map(Path::to_path_buf).collect();
        Self { paths, listings }
    }

    /// Whether what was seen at a path, or below it in a directory, may be out of date.
    pub(super) fn concerns(&self, path: &Path) -> bool {
        // As bytes: thousands of paths are asked about, all of them plain.
        let path = path.as_os_str().as_encoded_bytes();
        let is_below = |above: &PathBuf| {
            let rest = path.strip_prefix(above.as_os_str().as_encoded_bytes());
            rest.is_some_and(|rest| matches!(rest, [] | [b'/', ..]))
        };
        let is_listing = |listing: &PathBuf| listing.as_os_str().as_encoded_bytes() == path;
        self.paths.iter().any(is_below) || self.listings.iter().any(is_listing)
    }
}

impl Cache {
    /// Whether a path is of this project: looked at, or of a kind that would be.
    pub fn is_about(&self, path: &Path) -> bool {
        let hidden = path.iter().any(|part| part.to_string_lossy().starts_with('.'));
        let kind = path.extension().and_then(|extension| extension.to_str());
        self.known.texts.contains_key(path)
            || (!hidden && matches!(kind, None | Some("yaml" | "yml" | "json" | "rhai")))
    }

    pub fn forget(&mut self, root: &Path, changed: &Changed) {
        // A file that is still there changes nothing about which files there are.
        let still_there = |path: &PathBuf| {
            matches!(self.known.texts.get(path), Some(Ok(_)))
                && root.join(path).symlink_metadata().is_ok_and(|meta| meta.is_file())
        };
        if !changed.paths.iter().all(still_there) {
            self.known.below.clear();
        }
        self.known.texts.retain(|path, _| !changed.concerns(path));
        self.pipelines.forget(|path| changed.concerns(path));
        self.scenarios.forget(|path| changed.concerns(path));
        if let Some(artifacts) = &mut self.artifacts {
            artifacts.forget(changed);
        }
    }

    /// Everything stands on the project's own file.
    pub(super) fn made_for(&mut self, project: Option<Arc<str>>) {
        if self.project.as_ref() != Some(&project) {
            (self.artifacts, self.pipelines, self.scenarios) = (None, Made::default(), Made::default());
            self.project = Some(project);
        }
    }

    /// Scenarios stand on pipelines: those they name, which may have been made again, and that nothing is wrong with any.
    /// What is wrong with scenarios may name others that would do.
    pub(super) fn scenarios_among(&mut self, sound: bool, again: &BTreeSet<PathBuf>) {
        if std::mem::replace(&mut self.sound, sound) != sound {
            self.scenarios = Made::default();
        }
        self.scenarios.forget(|path| again.contains(path));
        self.scenarios.0.retain(|_, one| one.diagnostics.is_empty());
    }
}

/// What was made, by file.
pub(super) struct Made<T>(HashMap<PathBuf, One<T>>);

struct One<T> {
    made: T,
    diagnostics: Vec<Diagnostic>,
    trace: Trace,
}

impl<T> Default for Made<T> {
    fn default() -> Self {
        Self(HashMap::new())
    }
}

impl<T> Made<T> {
    /// What is made of a file, now or before; what is wrong with it is told in either case.
    pub(super) fn made(
        &mut self,
        context: &mut Context<'_>,
        file: &Path,
        make: impl FnOnce(&mut Context<'_>) -> T,
    ) -> &T {
        let one = match self.0.entry(file.to_owned()) {
            Entry::Occupied(known) => {
                let known = known.into_mut();
                context.files.read_before(&known.trace.read);
                known
            }
            Entry::Vacant(place) => {
                context.files.trace();
                let before = std::mem::take(&mut context.diagnostics);
                let made = make(context);
                let diagnostics = std::mem::replace(&mut context.diagnostics, before);
                place.insert(One { made, diagnostics, trace: context.files.trace() })
            }
        };
        context.diagnostics.extend(one.diagnostics.iter().cloned());
        &one.made
    }

    fn forget(&mut self, is_stale: impl Fn(&Path) -> bool) {
        self.0.retain(|_, one| !one.trace.looked_at.iter().any(|path| is_stale(path)));
    }
}
