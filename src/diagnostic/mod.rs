//! What a user can cause and must be told: a value, rendered elsewhere.

use std::collections::BTreeMap;
use std::sync::Arc;

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Level {
    Info,
    Warning,
    Error,
}

/// A place in a file of the project; lines and columns from 1, columns in characters, the end exclusive.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Span {
    /// Relative to the project.
    pub file: String,
    pub line: usize,
    pub column: usize,
    pub end_line: usize,
    pub end_column: usize,
}

/// One finding. The message is lower case, without a full stop, names in backticks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Diagnostic {
    /// `SG001`…
    pub rule: &'static str,
    pub level: Level,
    pub message: String,
    pub span: Option<Span>,
    /// Said at the span itself, under the code.
    pub label: Option<String>,
    /// What to do.
    pub help: Option<String>,
}

/// Texts of the files that diagnostics point into, by their path relative to the project.
#[derive(Clone, Debug, Default)]
pub struct Sources(pub BTreeMap<String, Arc<str>>);
