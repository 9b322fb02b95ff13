//! Files → [`Program`], or every problem at once. No network.
//!
//! ```text
//! files.rs → document.rs →  raw  → compile → program.rs
//!  text        a tree      serde             what runs
//! ```

mod cache;
pub mod comments;
mod compile;
mod document;
mod files;
mod json_schema;
pub mod locate;
mod mapping;
mod mask;
mod names;
mod order;
mod plain;
pub mod program;
mod raw;
pub mod scenario;
mod tree;
pub mod units;
mod values;
mod variables;

use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::diagnostic::{Diagnostic, Level, Sources, Span, has_errors, rules, sort};
pub use cache::{Cache, Changed};
use compile::placed::Placed;
use compile::{Compiled, Environment, Wanted};
use files::Files;
pub use json_schema::{FileKind, json_schema};
use locate::{NodePath, Target};
use program::Program;
use scenario::ScenarioFile;

/// The file that makes a directory a project.
pub const PROJECT_FILE: &str = "sluice.yaml";

/// What loading a project yields.
#[derive(Debug)]
pub struct Loaded {
    /// `Some` when no diagnostic is an error.
    pub program: Option<Program>,
    /// Those that were asked for and are sound.
    pub scenarios: Vec<Arc<ScenarioFile>>,
    /// Sorted by place.
    pub diagnostics: Vec<Diagnostic>,
    /// What `sluice.yaml` says of rules, in order of their ids.
    pub levels: Vec<SaidLevel>,
    /// The directory of schemas, relative to the project.
    pub schemas: PathBuf,
    /// Every file that was read; secrets written into `sluice.yaml` are masked.
    pub sources: Sources,
}

/// What `lint` in `sluice.yaml` says of a rule that there may or may not be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SaidLevel {
    pub rule: String,
    /// `None`: off.
    pub level: Option<Level>,
    pub at: Span,
}

/// Loads the project in `root`; `environment` answers for `${VAR}`.
pub fn load(root: &Path, environment: &dyn Fn(&str) -> Option<String>) -> Loaded {
    load_with(root, Environment::Is(environment), Wanted::NoScenarios, &mut Cache::default())
}

/// Loads the project as it is written, for checks and tests that connect to nothing: what only the environment
/// knows (variables without a default, secrets in files) is taken for granted, and stands as a placeholder in the
/// program.
pub fn load_without_environment(root: &Path) -> Loaded {
    load_with(root, Environment::Granted, Wanted::NoScenarios, &mut Cache::default())
}

/// Loads the project as it is written, and its scenarios: all, or those of some files, relative to the project.
pub fn load_with_scenarios(root: &Path, only: Option<&[PathBuf]>) -> Loaded {
    let wanted = only.map_or(Wanted::AllScenarios, Wanted::ScenariosOf);
    load_with(root, Environment::Granted, wanted, &mut Cache::default())
}

/// Loads the project as it is written, with all its scenarios, to be judged. Of the environment it is only asked whether
/// a variable is set: so what is told of all else is the same everywhere, and no secret is read.
pub fn load_for_lint(root: &Path, is_set: &dyn Fn(&str) -> bool) -> Loaded {
    load_again(root, is_set, &mut Cache::default())
}

/// [`load_for_lint`], for whoever does it again and again: what has not changed is not made again.
pub fn load_again(root: &Path, is_set: &dyn Fn(&str) -> bool, cache: &mut Cache) -> Loaded {
    load_with(root, Environment::Asked(is_set), Wanted::AllScenarios, cache)
}

fn load_with(root: &Path, environment: Environment<'_>, wanted: Wanted<'_>, cache: &mut Cache) -> Loaded {
    let files = match Files::new(root, std::mem::take(&mut cache.known)) {
        Ok(files) => files,
        Err(error) => {
            let message = format!("the project `{}` cannot be opened: {error}", root.display());
            let diagnostics = vec![Diagnostic::new(&rules::MISSING_FILE, message)];
            let (scenarios, levels, schemas, sources) = Default::default();
            return Loaded { program: None, scenarios, diagnostics, levels, schemas, sources };
        }
    };
    let (compiled, known) = compile::compile(files, environment, wanted, cache);
    cache.known = known;
    let Compiled { program, scenarios, mut diagnostics, levels, schemas, mut sources } = compiled;
    if let Some(text) = sources.0.get_mut(PROJECT_FILE) {
        *text = mask::masked(text).into();
    }
    sort(&mut diagnostics);
    once(&mut diagnostics);
    let program = program.filter(|_| !has_errors(&diagnostics));
    Loaded { program, scenarios, diagnostics, levels, schemas, sources }
}

/// Where a node stands in a file that was read, or its nearest ancestor that is there.
pub fn place(sources: &Sources, file: &str, path: &NodePath, target: Target) -> Span {
    locate::span(file, &text(sources, file), path, target)
}

/// Whether a file that was read has such a node.
pub fn has(sources: &Sources, file: &str, path: &NodePath) -> bool {
    locate::find(&text(sources, file), &path.0, Target::Value).is_some()
}

/// A place in a text that a file holds at `path`, as one in that file.
pub fn within(sources: &Sources, file: &str, path: &NodePath, text: &str, found: &Span) -> Span {
    let whole = self::text(sources, file);
    let at = locate::span(file, &whole, path, Target::Value);
    Placed::new(&whole, at, text).in_file(found)
}

fn text(sources: &Sources, file: &str) -> String {
    sources.0.get(file).map(|text| mask::parsable(file, text)).unwrap_or_default()
}

/// What several places share is told by each of them.
fn once(sorted: &mut Vec<Diagnostic>) {
    let mut told: Vec<Diagnostic> = Vec::with_capacity(sorted.len());
    for diagnostic in sorted.drain(..) {
        let mut here = told.iter().rev().take_while(|before| before.span == diagnostic.span);
        if !here.any(|before| *before == diagnostic) {
            told.push(diagnostic);
        }
    }
    *sorted = told;
}

#[cfg(test)]
mod tests;
