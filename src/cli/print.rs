//! Writing to the terminal, or to whatever stands in its place.

use std::io::{IsTerminal as _, Write as _};

use serde_json::Value;

use super::failure::Failure;

/// One or more lines of what the command is for, to stdout.
pub fn line(text: &str) -> Result<(), Failure> {
    self::text(&format!("{text}\n"))
}

/// Text as it is, to stdout; its lines are ended already.
pub fn text(text: &str) -> Result<(), Failure> {
    let mut out = std::io::stdout().lock();
    out.write_all(text.as_bytes()).and_then(|()| out.flush()).map_err(|error| match error.kind() {
        std::io::ErrorKind::BrokenPipe => Failure::unread(),
        _ => Failure::cannot_run(format!("the output cannot be written: {error}")),
    })
}

pub fn json(value: &Value) -> Result<(), Failure> {
    line(&serde_json::to_string_pretty(value).expect("JSON values serialize"))
}

/// A line beside the product, to stderr. When nobody reads it, nobody misses it.
pub fn note(text: &str) {
    let _ = writeln!(std::io::stderr().lock(), "{text}");
}

/// A line that the next one replaces; only for people who watch.
pub struct Progress {
    shown: bool,
    last: Option<std::time::Instant>,
}

impl Progress {
    const EVERY: std::time::Duration = std::time::Duration::from_millis(100);

    pub fn new() -> Self {
        Self { shown: false, last: None }
    }

    pub fn show(&mut self, text: impl FnOnce() -> String) {
        if !std::io::stderr().is_terminal() || self.last.is_some_and(|last| last.elapsed() < Self::EVERY) {
            return;
        }
        self.last = Some(std::time::Instant::now());
        self.shown = true;
        let _ = write!(std::io::stderr().lock(), "\r\x1b[K{}", text());
    }

    /// Makes room for other lines.
    pub fn clear(&mut self) {
        if std::mem::take(&mut self.shown) {
            let _ = write!(std::io::stderr().lock(), "\r\x1b[K");
        }
    }
}

pub fn stdout_is_terminal() -> bool {
    std::io::stdout().is_terminal()
}

pub fn colored_stdout() -> bool {
    stdout_is_terminal() && crate::telemetry::colors_wanted()
}

pub fn colored_stderr() -> bool {
    std::io::stderr().is_terminal() && crate::telemetry::colors_wanted()
}

/// Text that came with an event: what would steer the terminal is made visible instead.
pub fn tame(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { '\u{fffd}' } else { c }).collect()
}

/// [`tame`], but lines and tabs stay.
pub fn tame_lines(text: &str) -> String {
    text.chars().map(|c| if c.is_control() && c != '\n' && c != '\t' { '\u{fffd}' } else { c }).collect()
}

/// Rows in columns as wide as they need to be; the last one is free.
pub fn table(header: &[&str], rows: &[Vec<String>]) -> String {
    Columns::default().page(header, rows)
}

/// A table that comes page by page: its columns grow with what comes.
#[derive(Default)]
pub struct Columns {
    /// Empty before the first page.
    widths: Vec<usize>,
}

impl Columns {
    /// The header comes with the first page.
    pub fn page(&mut self, header: &[&str], rows: &[Vec<String>]) -> String {
        let header: Option<Vec<String>> =
            self.widths.is_empty().then(|| header.iter().map(|name| (*name).to_owned()).collect());
        let all: Vec<&Vec<String>> = header.iter().chain(rows).collect();
        for row in &all {
            self.widths.resize(self.widths.len().max(row.len()), 0);
            for (width, cell) in self.widths.iter_mut().zip(*row) {
                *width = (*width).max(cell.chars().count());
            }
        }
        let line = |row: &Vec<String>| {
            let cells = row.iter().zip(&self.widths).map(|(cell, width)| format!("{cell:<width$}"));
            cells.collect::<Vec<_>>().join("  ").trim_end().to_owned()
        };
        all.into_iter().map(line).collect::<Vec<_>>().join("\n")
    }
}

/// `{"name": [ … ]}`, one item a line, as they come.
pub struct JsonList {
    begun: bool,
    name: &'static str,
}

impl JsonList {
    pub fn new(name: &'static str) -> Self {
        Self { begun: false, name }
    }

    pub fn page(&mut self, items: impl Iterator<Item = Value>) -> Result<(), Failure> {
        let mut text = String::new();
        for item in items {
            text += &if std::mem::replace(&mut self.begun, true) { ",\n".to_owned() } else { self.head() };
            text += &item.to_string();
        }
        if text.is_empty() { Ok(()) } else { self::text(&text) }
    }

    pub fn end(self) -> Result<(), Failure> {
        text(&if self.begun { "\n]}\n".to_owned() } else { self.head() + "]}\n" })
    }

    fn head(&self) -> String {
        format!("{{\"{}\": [\n", self.name)
    }
}

/// `1 event`, `2 events`.
pub fn count(number: u64, what: &str) -> String {
    if number == 1 { format!("1 {what}") } else { format!("{number} {what}s") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_as_wide_as_their_widest_cell() {
        let rows = vec![vec!["a".to_owned(), "long one".to_owned()], vec!["bcd".to_owned(), "x".to_owned()]];
        assert_eq!(table(&["ID", "WHAT"], &rows), "ID   WHAT\na    long one\nbcd  x");
    }

    #[test]
    fn columns_grow_with_what_comes_and_never_shrink() {
        let row = |a: &str| vec![vec![a.to_owned(), "x".to_owned()]];
        let mut columns = Columns::default();
        assert_eq!(columns.page(&["ID", "WHAT"], &row("abc")), "ID   WHAT\nabc  x");
        assert_eq!(columns.page(&["ID", "WHAT"], &row("abcde")), "abcde  x");
        assert_eq!(columns.page(&["ID", "WHAT"], &row("a")), "a      x");
    }

    #[test]
    fn what_comes_with_an_event_does_not_steer_the_terminal() {
        assert_eq!(tame("a\u{1b}[2Jb\n"), "a\u{fffd}[2Jb\u{fffd}");
    }
}
