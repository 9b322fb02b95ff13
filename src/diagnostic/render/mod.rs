//! Diagnostics as people read them and as tools do: one file a format.

mod github;
mod human;
mod json;
mod sarif;

pub use github::github;
pub use human::human;
pub use json::json;
pub use sarif::sarif;

use super::{Diagnostic, sort};

/// By place, in every format.
fn sorted(diagnostics: &[Diagnostic]) -> Vec<Diagnostic> {
    let mut sorted = diagnostics.to_vec();
    sort(&mut sorted);
    sorted
}

/// Message and help as one text, for formats that know no help.
fn message_with_help(diagnostic: &Diagnostic) -> String {
    match &diagnostic.help {
        Some(help) => format!("{}\nhelp: {help}", diagnostic.message),
        None => diagnostic.message.clone(),
    }
}

/// A file of the project, seen from the directory that holds the project at `prefix` (empty: it is that directory).
fn seen_from_outside(prefix: &str, file: &str) -> String {
    if prefix.is_empty() { file.to_owned() } else { format!("{}/{file}", prefix.trim_end_matches('/')) }
}

#[cfg(test)]
mod tests {
    use super::super::{Diagnostic, Span, rules};

    pub(super) fn finding() -> Diagnostic {
        Diagnostic::new(&rules::UNKNOWN_KEY, "unknown key `retyr`")
            .at(Span::on_line("a.yaml", 2, 1, 5))
            .label("not known here")
            .help("did you mean `retry`?")
    }
}
