//! What a user can cause and must be told: a value, rendered elsewhere ([`render`]).

mod fix;
pub mod render;
pub mod rules;

use std::collections::BTreeMap;
use std::sync::Arc;

pub use fix::{Fix, Fixed, fixed};
use rules::Rule;

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Level {
    Info,
    Warning,
    Error,
}

impl Level {
    /// `error`, `warning` or `info`, as every format writes it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Info => "info",
            Self::Warning => "warning",
            Self::Error => "error",
        }
    }
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

impl Span {
    /// `length` characters on one line. Places counted from 0 are taken as the first line or column.
    pub fn on_line(file: impl Into<String>, line: usize, column: usize, length: usize) -> Self {
        let (line, column) = (line.max(1), column.max(1));
        Self { file: file.into(), line, column, end_line: line, end_column: column.saturating_add(length) }
    }

    /// A file as a whole: its very beginning.
    pub fn whole_file(file: impl Into<String>) -> Self {
        Self::on_line(file, 1, 1, 0)
    }
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
    /// Other places that it is about: where it is said what was broken.
    pub related: Vec<Related>,
    /// What to do.
    pub help: Option<String>,
    /// What to do, when a machine can do it.
    pub fix: Option<Fix>,
}

/// A further place of a finding.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Related {
    pub span: Span,
    /// What is to be seen there.
    pub label: String,
}

impl Diagnostic {
    pub fn new(rule: &Rule, message: impl Into<String>) -> Self {
        let (message, span, label, help, fix) = (message.into(), None, None, None, None);
        Self { rule: rule.id, level: rule.level, message, span, label, related: Vec::new(), help, fix }
    }

    #[must_use]
    pub fn at(mut self, span: Span) -> Self {
        self.span = Some(span);
        self
    }

    #[must_use]
    pub fn label(mut self, label: impl Into<String>) -> Self {
        self.label = Some(label.into());
        self
    }

    #[must_use]
    pub fn related(mut self, span: Span, label: impl Into<String>) -> Self {
        self.related.push(Related { span, label: label.into() });
        self
    }

    #[must_use]
    pub fn help(mut self, help: impl Into<String>) -> Self {
        self.help = Some(help.into());
        self
    }

    /// `word`, where it was found, is a slip: what it surely means takes its place.
    #[must_use]
    pub fn meant(mut self, word: &str, surely: Option<&str>) -> Self {
        if let (Some(span), Some(surely)) = (&self.span, surely) {
            self.fix = Some(Fix { span: span.clone(), from: word.to_owned(), to: surely.to_owned() });
        }
        self
    }
}

/// By file, line and column; what has no place comes first, the order of equals is kept.
pub fn sort(diagnostics: &mut [Diagnostic]) {
    diagnostics.sort_by(|a, b| {
        let place = |d: &Diagnostic| d.span.as_ref().map(|s| (s.file.clone(), s.line, s.column));
        place(a).cmp(&place(b))
    });
}

pub fn has_errors(diagnostics: &[Diagnostic]) -> bool {
    diagnostics.iter().any(|d| d.level == Level::Error)
}

/// Texts of the files that diagnostics point into, by their path relative to the project.
#[derive(Clone, Debug, Default)]
pub struct Sources(pub BTreeMap<Arc<str>, Arc<str>>);

/// The candidate a misspelt word most likely means, if any is close enough.
pub fn did_you_mean<'a>(word: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    // Similarity is quadratic in length; nobody misspells a name this long.
    if word.len() > 128 {
        return None;
    }
    let folded = word.to_lowercase();
    let (score, best) = candidates
        .into_iter()
        .filter(|candidate| *candidate != word && candidate.len() <= 128)
        .map(|candidate| (closeness(&folded, &candidate.to_lowercase()), candidate))
        .max_by(|(a, _), (b, _)| a.total_cmp(b))?;
    (score >= 0.8).then_some(best)
}

/// The candidate that a misspelt word cannot but mean: a slip away, and no other nearly as near. Good enough for a
/// machine to write it into a file.
pub fn surely_meant<'a>(word: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let candidates: std::collections::BTreeSet<&str> = candidates.into_iter().collect();
    let meant = did_you_mean(word, candidates.iter().copied())?;
    let folded = word.to_lowercase();
    let slips = |candidate: &str| strsim::damerau_levenshtein(&folded, &candidate.to_lowercase());
    let rivals = candidates.into_iter().filter(|candidate| *candidate != meant && candidate.len() <= 128);
    let alone = rivals.into_iter().all(|rival| slips(rival) > slips(meant) + 1);
    (alone && closeness(&folded, &meant.to_lowercase()) >= SLIP).then_some(meant)
}

/// As close as a slip of the finger, or closer.
const SLIP: f64 = 0.99;

/// Jaro-Winkler forgives a wrong ending; it scores short words too low when letters are missing, so one slip
/// (Damerau-Levenshtein) always counts as close.
fn closeness(word: &str, candidate: &str) -> f64 {
    if word == candidate {
        return 1.0;
    }
    let slips = strsim::damerau_levenshtein(word, candidate);
    let shorter = word.chars().count().min(candidate.chars().count());
    if (slips == 1 && shorter >= 2) || (slips == 2 && shorter >= 5) {
        SLIP
    } else {
        strsim::jaro_winkler(word, candidate) - 0.05
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slip_of_the_finger_is_recognised() {
        let known = ["subscriptions", "emits", "retry", "dead_letter", "key"];
        assert_eq!(did_you_mean("subscription", known), Some("subscriptions"));
        assert_eq!(did_you_mean("emit", known), Some("emits"));
        assert_eq!(did_you_mean("deadletter", known), Some("dead_letter"));
        assert_eq!(did_you_mean("rtery", known), Some("retry"));
        assert_eq!(did_you_mean("KEY", known), Some("key"));
    }

    #[test]
    fn an_unrelated_word_suggests_nothing() {
        assert_eq!(did_you_mean("windows", ["subscriptions", "emits", "retry"]), None);
        assert_eq!(did_you_mean("x", ["y"]), None);
        assert_eq!(did_you_mean("anything", []), None);
        assert_eq!(did_you_mean(&"k".repeat(1 << 20), ["key"]), None);
    }

    #[test]
    fn what_is_surely_meant_is_one_slip_away_and_alone_in_that() {
        assert_eq!(surely_meant("rtery", ["retry", "emits", "retry"]), Some("retry"));
        assert_eq!(surely_meant("OrderCraeted", ["OrderCreated", "OrderPaid"]), Some("OrderCreated"));
        assert_eq!(surely_meant("order-3", ["order-1", "order-2"]), None);
        assert_eq!(surely_meant("order-s", ["orders", "order-x"]), None);
        // Close enough to be asked about, too far to be written.
        assert_eq!(did_you_mean("subscript", ["subscriptions"]), Some("subscriptions"));
        assert_eq!(surely_meant("subscript", ["subscriptions"]), None);
    }

    #[test]
    fn diagnostics_sort_by_place() {
        let at =
            |file: &str, line, column| Diagnostic::new(&rules::BAD_NAME, "x").at(Span::on_line(file, line, column, 1));
        let mut all =
            vec![at("b", 1, 1), at("a", 10, 2), at("a", 10, 1), at("a", 9, 9), Diagnostic::new(&rules::NOT_YAML, "y")];
        sort(&mut all);
        let places: Vec<_> = all
            .iter()
            .map(|d| d.span.as_ref().map_or((String::new(), 0, 0), |s| (s.file.clone(), s.line, s.column)))
            .collect();
        assert_eq!(
            places,
            [(String::new(), 0, 0), ("a".into(), 9, 9), ("a".into(), 10, 1), ("a".into(), 10, 2), ("b".into(), 1, 1)]
        );
    }
}
