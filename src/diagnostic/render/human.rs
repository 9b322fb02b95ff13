//! Diagnostics as people read them: code frames.

use std::ops::Range;

use annotate_snippets::{AnnotationKind, Group, Level as Title, Origin, Renderer, Snippet, normalize_untrusted_str};

use super::super::{Diagnostic, Level, Sources, Span};
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
    if let Some(span) = &diagnostic.span {
        group = match sources.0.get(&*span.file) {
            Some(text) => {
                let mark = AnnotationKind::Primary
                    .span(byte_range(text, span))
                    .label(diagnostic.label.as_deref().map(normalize_untrusted_str));
                group.element(Snippet::source(&**text).path(span.file.clone()).annotation(mark))
            }
            None => group.element(Origin::path(span.file.clone()).line(span.line).char_column(span.column)),
        };
    }
    match &diagnostic.help {
        Some(help) => group.element(Title::HELP.message(normalize_untrusted_str(help))),
        None => group,
    }
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
            let diagnostic = Diagnostic::new(&rules::NOT_YAML, "x").at(span);
            let rendered = human(&[diagnostic], &sources(&text), false);
            prop_assert!(rendered.contains("a.yaml"));
        }
    }
}
