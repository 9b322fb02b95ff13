//! Diagnostics as people read them: code frames.

use std::ops::Range;

use annotate_snippets::{AnnotationKind, Group, Level as Title, Origin, Renderer, Snippet, normalize_untrusted_str};

use super::super::{Diagnostic, Level, Related, Sources, Span};
use super::sorted;

/// One code frame a diagnostic, sorted by place, an empty line between them; ends with a line break unless empty.
pub fn human(diagnostics: &[Diagnostic], sources: &Sources, color: bool) -> String {
    let renderer = if color { Renderer::styled() } else { Renderer::plain() };
    let frames: Vec<String> = sorted(diagnostics).iter().map(|d| renderer.render(&[frame(d, sources)])).collect();
    if frames.is_empty() { String::new() } else { frames.join("\n\n") + "\n" }
}

fn frame<'a>(diagnostic: &Diagnostic, sources: &'a Sources) -> Group<'a> {
    let level = match diagnostic.level {
        Level::Error => Title::ERROR,
        Level::Warning => Title::WARNING,
        Level::Info => Title::INFO,
    };
    let title = level.primary_title(normalize_untrusted_str(&diagnostic.message)).id(diagnostic.rule);
    let mut group = Group::with_title(title);
    for (file, marks) in marks(diagnostic) {
        group = match sources.0.get(file) {
            Some(text) => {
                let marks = marks.iter().map(|mark| {
                    let range = match mark.kind {
                        AnnotationKind::Primary => byte_range(text, mark.span),
                        _ => on_one_line(text, byte_range(text, mark.span)),
                    };
                    mark.kind.span(range).label(mark.label.map(normalize_untrusted_str))
                });
                group.element(Snippet::source(&**text).path(file.to_owned()).annotations(marks))
            }
            None => {
                let places = marks
                    .iter()
                    .map(|Mark { span, .. }| Origin::path(file.to_owned()).line(span.line).char_column(span.column));
                places.fold(group, Group::element)
            }
        };
    }
    match &diagnostic.help {
        Some(help) => group.element(Title::HELP.message(normalize_untrusted_str(help))),
        None => group,
    }
}

struct Mark<'d> {
    kind: AnnotationKind,
    span: &'d Span,
    label: Option<&'d str>,
}

/// What is marked in which file, that of the finding first: a code frame each.
fn marks(diagnostic: &Diagnostic) -> Vec<(&str, Vec<Mark<'_>>)> {
    let own = diagnostic.span.iter().map(|span| {
        let label = diagnostic.label.as_deref();
        Mark { kind: AnnotationKind::Primary, span, label }
    });
    let related = diagnostic.related.iter().map(|Related { span, label }| {
        let label = Some(label.as_str());
        Mark { kind: AnnotationKind::Context, span, label }
    });
    let mut frames: Vec<(&str, Vec<Mark<'_>>)> = Vec::new();
    for mark in own.chain(related) {
        match frames.iter_mut().find(|(file, _)| *file == mark.span.file) {
            Some((_, marks)) => marks.push(mark),
            None => frames.push((&mark.span.file, vec![mark])),
        }
    }
    frames
}

/// What is said elsewhere is shown by its first line.
fn on_one_line(text: &str, range: Range<usize>) -> Range<usize> {
    let line = text[range.clone()].find('\n').map_or(range.end, |at| range.start + at);
    range.start..line
}

/// The bytes a span covers, clamped into the text: the renderer panics on a range that is not.
fn byte_range(text: &str, span: &Span) -> Range<usize> {
    let start = byte_offset(text, span.line, span.column);
    start..byte_offset(text, span.end_line, span.end_column).max(start)
}

/// Beyond its end, a line ends; beyond the last line, so does the text.
fn byte_offset(text: &str, line: usize, column: usize) -> usize {
    let mut begin = 0;
    for _ in 1..line {
        match text[begin..].find('\n') {
            Some(at) => begin += at + 1,
            None => return text.len(),
        }
    }
    let line = text[begin..].lines().next().unwrap_or_default();
    begin + line.char_indices().nth(column.saturating_sub(1)).map_or(line.len(), |(at, _)| at)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::diagnostic::rules;

    fn sources(text: &str) -> Sources {
        Sources([("a.yaml".into(), text.into())].into())
    }

    fn finding() -> Diagnostic {
        Diagnostic::new(&rules::UNKNOWN_KEY, "unknown key `retyr`")
            .at(Span::on_line("a.yaml", 2, 1, 5))
            .label("not known here")
            .help("did you mean `retry`?")
    }

    #[test]
    fn a_frame_shows_place_code_label_and_help() {
        insta::assert_snapshot!(human(&[finding()], &sources("pipeline: a\nretyr: {}\n"), false), @r"
        error[SG002]: unknown key `retyr`
         --> a.yaml:2:1
          |
        2 | retyr: {}
          | ^^^^^ not known here
          |
          = help: did you mean `retry`?
        ");
    }

    #[test]
    fn what_is_said_elsewhere_has_a_frame_of_its_own_and_of_it_one_line() {
        let mut sources = sources("pipeline: a\nretyr: {}\n");
        sources.0.insert("b.json".into(), "{\n  \"retry\": {\n    \"x\": 1\n  }\n}\n".into());
        let said = Span { file: "b.json".into(), line: 2, column: 3, end_line: 4, end_column: 4 };
        let finding = finding().related(said, "given here").related(Span::on_line("a.yaml", 1, 1, 8), "not this");
        insta::assert_snapshot!(human(&[finding], &sources, false), @r#"
        error[SG002]: unknown key `retyr`
         --> a.yaml:2:1
          |
        1 | pipeline: a
          | -------- not this
        2 | retyr: {}
          | ^^^^^ not known here
          |
         ::: b.json:2:3
          |
        2 |   "retry": {
          |   ---------- given here
          |
          = help: did you mean `retry`?
        "#);
    }

    #[test]
    fn of_a_long_line_the_place_is_shown() {
        let mut sources = sources("pipeline: a\nretyr: {}\n");
        let text = format!("{{{}\"retry\":1{}}}", "\"x\":1,".repeat(5_000), ",\"y\":1".repeat(5_000));
        sources.0.insert("b.json".into(), text.into());
        let shown = human(&[finding().related(Span::on_line("b.json", 1, 30_002, 7), "given here")], &sources, false);
        assert!(shown.contains("\"retry\":1"), "{shown}");
        assert!(shown.lines().all(|line| line.chars().count() < 200), "{shown}");
    }

    #[test]
    fn without_the_text_the_place_is_still_named() {
        let rendered = human(&[finding()], &Sources::default(), false);
        assert!(rendered.contains("--> a.yaml:2:1"), "{rendered}");
    }

    #[test]
    fn without_a_place_the_message_stands_alone() {
        let rendered = human(&[Diagnostic::new(&rules::MISSING_FILE, "no such directory")], &Sources::default(), false);
        assert_eq!(rendered, "error[SG003]: no such directory\n");
    }

    #[test]
    fn control_characters_do_not_reach_the_terminal() {
        let nasty = Diagnostic::new(&rules::BAD_NAME, "bad \u{1b}[31mname").label("\u{7}").help("\u{8}");
        let rendered = human(&[nasty.at(Span::whole_file("a.yaml"))], &sources("x\u{1b}[2J"), false);
        assert!(rendered.chars().all(|c| c == '\n' || !c.is_control()), "{rendered:?}");
    }

    proptest! {
        #[test]
        fn no_span_makes_the_renderer_panic(
            text in "[a-zäé\\n\\r\\t ]{0,40}",
            line in 0..8_usize, column in 0..50_usize, end_line in 0..8_usize, end_column in 0..50_usize,
        ) {
            let span = Span { file: "a.yaml".into(), line, column, end_line, end_column };
            let diagnostic = Diagnostic::new(&rules::NOT_YAML, "x").at(span.clone()).related(span, "y");
            let rendered = human(&[diagnostic], &sources(&text), false);
            prop_assert!(rendered.contains("a.yaml"));
        }
    }
}
