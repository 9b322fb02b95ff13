//! Where the characters of a text are that is written within YAML: in a block, in quotes or without.

use crate::diagnostic::{Diagnostic, Span};

/// Line and column, from 1.
type Place = (usize, usize);

/// A text within a file.
pub struct Placed {
    /// Lines of the file before the text's first.
    pub line_offset: usize,
    /// In a block that joins its lines.
    pub folded: bool,
    /// The text as a whole, for places that are not told apart.
    whole: Span,
    /// By line of the text, each character, and what is behind the last; empty when that cannot be told.
    places: Vec<Vec<Place>>,
}

impl Placed {
    /// The text that begins at `whole`, or what marks it: an anchor, a quote, the sign of a block.
    pub fn new(file: &str, whole: Span, text: &str) -> Self {
        let written = Written::new(file, whole.line, whole.column);
        let begin = written.peek();
        let is_block = matches!(begin, Some('|' | '>'));
        let line_offset = if is_block { written.line } else { written.line - 1 };
        let places = if is_block { block(file, written.line, text) } else { flow(written, text) };
        Self { line_offset, folded: begin == Some('>'), whole, places: places.unwrap_or_default() }
    }

    /// The engine counts lines from the text's first in the file, and columns in the text; people count in the file.
    pub fn moved(&self, mut problem: Diagnostic) -> Diagnostic {
        if let Some(span) = problem.span.as_mut().filter(|span| span.file == self.whole.file) {
            *span = self.in_file(span);
        }
        problem
    }

    /// A place in the text as people count it.
    pub fn in_file(&self, of_text: &Span) -> Span {
        self.span(of_text).unwrap_or_else(|| self.whole.clone())
    }

    fn span(&self, of_text: &Span) -> Option<Span> {
        let line = |line: usize| self.places.get(line.checked_sub(self.line_offset + 1)?);
        let (begins, ends) = (line(of_text.line)?, line(of_text.end_line)?);
        let begin = *begins.get(of_text.column.checked_sub(1)?).or(begins.last())?;
        let behind = of_text.end_column.checked_sub(1)?.min(ends.len().checked_sub(1)?);
        let end = match behind.checked_sub(1).map(|last| (ends[last], ends[behind])) {
            Some(((line, _), (next, column))) if line == next => (line, column),
            // The text goes on in another line of the file.
            Some(((line, column), _)) => (line, column + 1),
            None => begin,
        };
        let end = end.max(begin);
        let ((line, column), (end_line, end_column)) = (begin, end);
        Some(Span { file: of_text.file.clone(), line, column, end_line, end_column })
    }
}

/// Each line of the text is one of the file, indented.
fn block(file: &str, header: usize, text: &str) -> Option<Vec<Vec<Place>>> {
    let written: Vec<&str> = file.lines().skip(header).collect();
    let lines: Vec<&str> = text.split('\n').collect();
    let first = lines.iter().position(|line| !line.is_empty())?;
    // An indentation may be given, or follow from the first line: either way it is what the text is without.
    let indent = written.get(first)?.strip_suffix(lines[first]).filter(|before| before.trim().is_empty())?.len();
    let last = header + written.len();
    let mut places = Vec::with_capacity(lines.len());
    for (at, line) in lines.iter().enumerate() {
        let found = written.get(at).copied().unwrap_or_default();
        // A last line without a text is no line of the file.
        if !line.is_empty() && found.get(indent..) != Some(line) {
            return None;
        }
        let column = if line.is_empty() { found.chars().count().min(indent) } else { indent };
        let line_number = (header + 1 + at).min(last);
        places.push((0..=line.chars().count()).map(|character| (line_number, column + 1 + character)).collect());
    }
    Some(places)
}

/// The text is folded into its lines, and has escapes where it is in quotes.
fn flow(mut written: Written<'_>, text: &str) -> Option<Vec<Vec<Place>>> {
    let quote = written.peek().filter(|c| matches!(c, '"' | '\''));
    if quote.is_some() {
        written.next();
    }
    let mut places = vec![Vec::new()];
    let mut characters = text.chars().peekable();
    while let Some(character) = characters.next() {
        let mut place = written.place();
        let found = match written.peek()? {
            ' ' | '\t' | '\r' | '\n' if written.breaks() > 0 => {
                let breaks = written.skip_breaks();
                // One break is a space, more are one less.
                if breaks == 1 {
                    ' '
                } else {
                    (2..breaks).try_for_each(|_| {
                        places.last_mut()?.push(place);
                        places.push(Vec::new());
                        characters.next_if_eq(&'\n').map(drop)
                    })?;
                    '\n'
                }
            }
            '\\' if quote == Some('"') => {
                while written.is_continued() {
                    written.next();
                    written.skip_breaks();
                    place = written.place();
                }
                if written.next()? == '\\' {
                    written.escape()?;
                }
                character
            }
            '\'' if quote == Some('\'') => {
                written.next();
                written.next()?
            }
            other => {
                written.next();
                other
            }
        };
        if found != character {
            return None;
        }
        places.last_mut()?.push(place);
        if character == '\n' {
            places.push(Vec::new());
        }
    }
    let end = written.place();
    places.last_mut()?.push(end);
    Some(places)
}

/// What is left of a file, and where.
struct Written<'a> {
    rest: &'a str,
    line: usize,
    column: usize,
}

impl<'a> Written<'a> {
    fn new(file: &'a str, line: usize, column: usize) -> Self {
        let begin: usize = file.split_inclusive('\n').take(line - 1).map(str::len).sum();
        let before = file[begin..].char_indices().nth(column - 1).map_or(file.len() - begin, |(at, _)| at);
        let mut written = Self { rest: &file[begin + before..], line, column };
        if written.peek() == Some('&') {
            while written.peek().is_some_and(|c| !c.is_whitespace()) {
                written.next();
            }
            while written.peek().is_some_and(char::is_whitespace) {
                written.next();
            }
        }
        written
    }

    fn place(&self) -> Place {
        (self.line, self.column)
    }

    fn peek(&self) -> Option<char> {
        self.rest.chars().next()
    }

    fn next(&mut self) -> Option<char> {
        let next = self.peek()?;
        self.rest = &self.rest[next.len_utf8()..];
        (self.line, self.column) = if next == '\n' { (self.line + 1, 1) } else { (self.line, self.column + 1) };
        Some(next)
    }

    /// Ends of lines in the white space that is next.
    fn breaks(&self) -> usize {
        self.rest.chars().take_while(|c| c.is_ascii_whitespace()).filter(|c| *c == '\n').count()
    }

    fn skip_breaks(&mut self) -> usize {
        let breaks = self.breaks();
        while self.peek().is_some_and(|c| c.is_ascii_whitespace()) {
            self.next();
        }
        breaks
    }

    /// An escape of the end of the line: the text goes on in the next.
    fn is_continued(&self) -> bool {
        self.rest.starts_with("\\\n") || self.rest.starts_with("\\\r\n")
    }

    /// The rest of an escape, whose backslash was before.
    fn escape(&mut self) -> Option<()> {
        let digits = match self.next()? {
            'x' => 2,
            'u' => 4,
            'U' => 8,
            _ => 0,
        };
        (0..digits).try_for_each(|_| self.next().map(drop))
    }
}

#[cfg(test)]
mod tests {
    use super::super::super::locate::{NodePath, Target, span};
    use super::*;
    use crate::diagnostic::rules;

    /// What is marked in the file when `word` is told of in the text that `script` holds, with its line.
    fn marked(file: &str, word: &str) -> (usize, String) {
        let value: serde_yaml::Value = serde_yaml::from_str(file).expect("it is YAML");
        let text = value["script"].as_str().expect("a text");
        let placed = Placed::new(file, span("p.yaml", file, &NodePath::default().key("script"), Target::Value), text);
        let before = &text[..text.find(word).expect("the word")];
        let (line, column) =
            (before.matches('\n').count() + 1, before.chars().rev().take_while(|c| *c != '\n').count() + 1);
        let told = Span::on_line("p.yaml", placed.line_offset + line, column, word.chars().count());
        let Span { line, column, end_line, end_column, .. } =
            placed.moved(Diagnostic::new(&rules::UNKNOWN_VARIABLE, "x").at(told)).span.expect("a place");
        assert_eq!(line, end_line);
        let characters = file.lines().nth(line - 1).expect("a line").chars();
        (line, characters.skip(column - 1).take(end_column - column).collect())
    }

    #[test]
    fn a_word_is_marked_where_it_is_written_however_the_text_is() {
        for (file, line) in [
            ("script: ä = wörd;\n", 1),
            ("script: a = 1;\n  b = 2;\n\n\n  c = wörd;\n", 5),
            ("{ a: 1, script: 'it''s = wörd;' }\n", 1),
            ("script: 'a = 1;   \n\n   b = wörd;'\n", 3),
            ("script: \"a = \\\"\\u00e4\\x41\\U0001F600\\\"; wörd\"\n", 1),
            ("script: \"a = 1;\\n wörd\"\n", 1),
            ("script: \"a = \\\n  1;\n  b\n\n  wörd\"\n", 5),
            ("script: |\n  a = 1;\n\n    wörd;\n", 4),
            ("script: |2\n      a = 1;\n    wörd;\n", 3),
            ("script: |+ # kept\n\n\n  a = 1;\n  wörd;\n\n", 5),
            ("script: &s |\n  a = 1;\n  wörd;\n", 3),
            ("other: &s |\n  a = 1;\n  wörd;\nscript: *s\n", 3),
            ("other: &s 'a = wörd;'\nscript: *s\n", 1),
            ("script: |\r\n  a = 1;\r\n  wörd;\r\n", 3),
            ("script: 'a = 1;\r\n\r\n  wörd;'\r\n", 3),
        ] {
            assert_eq!(marked(file, "wörd"), (line, "wörd".to_owned()), "{file}");
        }
    }

    #[test]
    fn a_text_whose_places_are_not_known_is_marked_as_a_whole() {
        assert_eq!(marked("script: |\r  a = 1;\r  wörd;\r", "wörd"), (1, "|".to_owned()));
    }
}
