//! Handlers, upcasters and filters: the only user of Rhai.
//!
//! A script is pure: (event, state) in, an [`Outcome`] out. It has no I/O, no clock and no randomness of its own,
//! and it runs within a budget on a thread with a large stack ([`pool`]).

mod budget;
mod check;
mod comments;
mod convert;
mod emits;
mod engine;
mod errors;
mod execute;
mod host;
mod kept;
mod modules;
mod natives;
mod number;
pub mod pool;
mod reads;
mod run;
mod text;
pub mod types;

use std::collections::BTreeSet;
use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use serde_json::Value;

use crate::diagnostic::Diagnostic;
use crate::event::{Event, Headers, Key, Millis};
use crate::spec::program::Limits;
pub use comments::comments;

/// What a script is for; decides what is in scope and which functions exist.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// `event`, `state`, `ctx`; may emit, retry, reject, skip.
    Handler,
    /// `event` (the old version); leaves `data` (the new).
    Upcaster,
    /// `event`, `state`, `ctx`; one expression that yields a boolean.
    Filter,
}

/// A script text and where it stands.
#[derive(Clone, Debug)]
pub struct Source<'a> {
    /// Relative to the project: the file errors name.
    pub file: &'a str,
    pub text: &'a str,
    /// Lines before the script's first line in that file (a `script: |` block in a pipeline file); 0 for a file
    /// of its own.
    pub line_offset: usize,
}

/// What a handler run is told besides event and state.
#[derive(Clone, Debug)]
pub struct Context {
    /// 1 for the first run of this event.
    pub attempt: u32,
    /// When the broker stored the event.
    pub time: Millis,
    pub pipeline: Arc<str>,
}

/// How a handler run ended, other than by an error.
#[derive(Clone, Debug, PartialEq)]
pub enum Outcome {
    /// `state` is `None` after `delete_state()`.
    Done {
        state: Option<Value>,
        emitted: Vec<Emitted>,
    },
    Retry {
        why: String,
        delay: Option<Duration>,
    },
    Reject {
        why: String,
    },
    Skip {
        why: String,
    },
    /// Until an event of this type of its key was handled.
    WaitFor {
        kind: String,
        at: Place,
    },
}

/// One call of `emit`.
#[derive(Clone, Debug, PartialEq)]
pub struct Emitted {
    pub kind: String,
    pub version: Option<u32>,
    /// `None`: the key of the event being handled.
    pub key: Option<Key>,
    pub headers: Headers,
    pub data: Value,
    /// Where `emit` was called, for errors about its data.
    pub at: Place,
}

/// A place in a script, counted from 1; 0 when unknown.
#[derive(Clone, Debug, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Place {
    pub file: String,
    pub line: usize,
    pub column: usize,
}

/// A run that failed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct ScriptError {
    pub class: ErrorClass,
    pub message: String,
    pub at: Place,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ErrorClass {
    /// A runtime error: pure, so the same event and state fail again.
    Script,
    /// The budget of the sandbox was used up.
    Limit,
}

/// The shared engine. `Send + Sync`; compiled scripts run on it without a lock, each run with a fresh scope.
#[derive(Clone)]
pub struct Engine(Arc<engine::Inner>);

impl Engine {
    /// `root` is the project; `import` resolves below it only.
    pub fn new(limits: Limits, root: &Path) -> Self {
        Self(Arc::new(engine::Inner::new(limits, root)))
    }

    /// Compiles a script and checks what can be known without running it. Reads the files it imports.
    pub fn compile(&self, kind: Kind, source: &Source<'_>) -> Result<Script, Vec<Diagnostic>> {
        self.compile_and_tell(kind, source, &mut BTreeSet::new())
    }

    /// [`Self::compile`], and adds to `looked_for` where imported files are or could be, relative to the project.
    pub fn compile_and_tell(
        &self,
        kind: Kind,
        source: &Source<'_>,
        looked_for: &mut BTreeSet<PathBuf>,
    ) -> Result<Script, Vec<Diagnostic>> {
        let compiled = self.0.compile(kind, source, looked_for)?;
        Ok(Script { engine: self.clone(), compiled, emits: OnceLock::new() })
    }
}

/// A compiled script with its engine. Cheap to clone behind `Arc`.
///
/// Run it on a thread of a [`pool::Pool`]: what a hostile script builds can be nested so deeply that dropping it
/// needs the large stack of these threads.
pub struct Script {
    engine: Engine,
    compiled: engine::Compiled,
    emits: OnceLock<emits::Emitted>,
}

impl Script {
    pub fn handle(
        &self,
        event: &Event,
        key: &Key,
        state: Option<&Value>,
        context: &Context,
    ) -> Result<Outcome, ScriptError> {
        execute::handle(&self.engine.0, &self.compiled, event, key, state, context)
    }

    /// The new version's `data`.
    pub fn upcast(&self, event: &Event) -> Result<Value, ScriptError> {
        execute::upcast(&self.engine.0, &self.compiled, event)
    }

    pub fn matches(
        &self,
        event: &Event,
        key: &Key,
        state: Option<&Value>,
        context: &Context,
    ) -> Result<bool, ScriptError> {
        execute::matches(&self.engine.0, &self.compiled, event, key, state, context)
    }

    /// Types of events that it names in calls of `emit`. It may emit others: types can be computed, and modules emit too.
    pub fn emits(&self) -> &BTreeSet<String> {
        &self.emitted().types
    }

    /// Whether it, or a file that it imports, may emit events of a type.
    pub fn may_emit(&self, kind: &str) -> bool {
        let imported = |imported: &modules::Imported| emits::Emitted::of(&imported.ast).may_be(kind);
        self.emitted().may_be(kind) || self.compiled.imports.values().any(|file| imported(file))
    }

    fn emitted(&self) -> &emits::Emitted {
        self.emits.get_or_init(|| emits::Emitted::of(&self.compiled.ast))
    }

    /// What it does wrong with the events that it is given. Spans count as those of compiling do.
    pub fn check<'a>(&self, given: &types::Given<'a>) -> Vec<types::Finding> {
        types::check(&self.engine.0, &self.compiled, given)
    }

    /// What it reads of the events that it is given.
    pub fn uses<'a>(&self, given: &types::Given<'a>) -> types::Uses {
        types::uses(&self.engine.0, &self.compiled, given)
    }

    /// The file that it is in, or that it is written within.
    pub fn file(&self) -> &str {
        &self.compiled.file
    }

    pub fn text(&self) -> &str {
        &self.compiled.text
    }

    /// Its last statement: where to look when what it leaves is wrong.
    pub fn end(&self) -> Place {
        execute::end(&self.compiled)
    }
}

impl fmt::Debug for Engine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Engine")
    }
}

/// Its file and kind: a syntax tree tells nobody anything.
impl fmt::Debug for Script {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Script({:?}, {})", self.compiled.kind, self.compiled.file)
    }
}

#[cfg(test)]
mod tests;
