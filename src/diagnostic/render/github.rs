//! Workflow commands: GitHub shows each finding at its line of a pull request.

use std::fmt::Write as _;

use super::super::{Diagnostic, Level, Related};
use super::{message_with_help, seen_from_outside, sorted};

/// One command a line, sorted by place, empty without findings. `prefix` is where the project is in the repository.
pub fn github(diagnostics: &[Diagnostic], prefix: &str) -> String {
    let mut commands = String::new();
    for diagnostic in sorted(diagnostics) {
        let level = match diagnostic.level {
            Level::Error => "error",
            Level::Warning => "warning",
            Level::Info => "notice",
        };
        let _ = write!(commands, "::{level} ");
        if let Some(span) = &diagnostic.span {
            let file = property(&seen_from_outside(prefix, &span.file));
            let _ = write!(commands, "file={file},line={},endLine={},", span.line, span.end_line);
            // Over several lines columns mean nothing there, and are refused. Their end is inclusive.
            if span.line == span.end_line {
                let last = span.end_column.saturating_sub(1).max(span.column);
                let _ = write!(commands, "col={},endColumn={last},", span.column);
            }
        }
        let _ = writeln!(commands, "title={}::{}", property(diagnostic.rule), data(&text(&diagnostic, prefix)));
    }
    commands
}

/// An annotation has one place: of the others it tells.
fn text(diagnostic: &Diagnostic, prefix: &str) -> String {
    let mut text = message_with_help(diagnostic);
    for Related { span, label } in &diagnostic.related {
        let _ = write!(text, "\n{}:{}: {label}", seen_from_outside(prefix, &span.file), span.line);
    }
    text
}

fn data(text: &str) -> String {
    text.replace('%', "%25").replace('\r', "%0D").replace('\n', "%0A")
}

fn property(text: &str) -> String {
    data(text).replace(':', "%3A").replace(',', "%2C")
}

#[cfg(test)]
mod tests {
    use super::super::super::{Span, rules};
    use super::super::tests::finding;
    use super::*;

    #[test]
    fn a_finding_is_one_command_at_its_place() {
        assert_eq!(
            github(&[finding()], ""),
            "::error file=a.yaml,line=2,endLine=2,col=1,endColumn=5,title=SG002::unknown key `retyr`%0Ahelp: did you mean `retry`?\n"
        );
        assert!(github(&[finding()], "apps/shop").starts_with("::error file=apps/shop/a.yaml,"));
        assert_eq!(github(&[], ""), "");
    }

    #[test]
    fn further_places_are_told_of() {
        let told = github(&[finding().related(Span::on_line("b.json", 3, 5, 6), "given here")], "apps/shop");
        assert!(told.ends_with("help: did you mean `retry`?%0Aapps/shop/b.json:3: given here\n"), "{told}");
    }

    #[test]
    fn nothing_in_a_name_or_a_message_ends_the_command() {
        let nasty =
            Diagnostic::new(&rules::UNUSED_CHANNEL, "100% ::error::\r\nno").at(Span::on_line("a,b:c%\n.yaml", 1, 1, 0));
        assert_eq!(
            github(&[nasty], ""),
            "::warning file=a%2Cb%3Ac%25%0A.yaml,line=1,endLine=1,col=1,endColumn=1,title=SG311::100%25 ::error::%0D%0Ano\n"
        );
    }

    #[test]
    fn without_a_place_the_command_has_none_and_over_several_lines_no_columns() {
        assert_eq!(github(&[Diagnostic::new(&rules::MISSING_FILE, "gone")], ""), "::error title=SG003::gone\n");
        let span = Span { file: "a".into(), line: 1, column: 4, end_line: 3, end_column: 2 };
        let long = github(&[Diagnostic::new(&rules::NOT_YAML, "x").at(span)], "");
        assert_eq!(long, "::error file=a,line=1,endLine=3,title=SG001::x\n");
    }
}
