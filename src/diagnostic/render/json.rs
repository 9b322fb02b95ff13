//! One JSON object, for tools.

use serde::Serialize;

use super::super::{Diagnostic, Related};
use super::sorted;

/// One JSON object, sorted by place; what has no place has `null` for it.
pub fn json(diagnostics: &[Diagnostic]) -> String {
    let sorted = sorted(diagnostics);
    let report = Report { diagnostics: sorted.iter().map(Finding::from).collect() };
    serde_json::to_string(&report).expect("strings and numbers always serialize")
}

#[derive(Serialize)]
struct Report<'a> {
    diagnostics: Vec<Finding<'a>>,
}

#[derive(Serialize)]
struct Finding<'a> {
    rule: &'a str,
    level: &'a str,
    message: &'a str,
    file: Option<&'a str>,
    line: Option<usize>,
    column: Option<usize>,
    end_line: Option<usize>,
    end_column: Option<usize>,
    help: Option<&'a str>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    related: Vec<Other<'a>>,
}

#[derive(Serialize)]
struct Other<'a> {
    message: &'a str,
    file: &'a str,
    line: usize,
    column: usize,
    end_line: usize,
    end_column: usize,
}

impl<'a> From<&'a Diagnostic> for Finding<'a> {
    fn from(diagnostic: &'a Diagnostic) -> Self {
        let span = diagnostic.span.as_ref();
        Self {
            rule: diagnostic.rule,
            level: diagnostic.level.name(),
            message: &diagnostic.message,
            file: span.map(|s| s.file.as_str()),
            line: span.map(|s| s.line),
            column: span.map(|s| s.column),
            end_line: span.map(|s| s.end_line),
            end_column: span.map(|s| s.end_column),
            help: diagnostic.help.as_deref(),
            related: diagnostic.related.iter().map(Other::from).collect(),
        }
    }
}

impl<'a> From<&'a Related> for Other<'a> {
    fn from(Related { span, label }: &'a Related) -> Self {
        Self {
            message: label,
            file: &span.file,
            line: span.line,
            column: span.column,
            end_line: span.end_line,
            end_column: span.end_column,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::super::Span;
    use super::super::tests::finding;
    use super::*;

    #[test]
    fn json_has_the_agreed_shape() {
        assert_eq!(
            json(&[finding()]),
            r#"{"diagnostics":[{"rule":"SG002","level":"error","message":"unknown key `retyr`","file":"a.yaml","line":2,"column":1,"end_line":2,"end_column":6,"help":"did you mean `retry`?"}]}"#
        );
        assert_eq!(json(&[]), r#"{"diagnostics":[]}"#);
    }

    #[test]
    fn further_places_are_listed_where_there_are_any() {
        let shown = json(&[finding().related(Span::on_line("b.json", 3, 5, 6), "given here")]);
        let related = r#""related":[{"message":"given here","file":"b.json","line":3,"column":5,"end_line":3,"end_column":11}]}]}"#;
        assert!(shown.ends_with(related), "{shown}");
    }
}
