//! Writing to the terminal, or to whatever stands in its place.

use std::io::{IsTerminal as _, Write as _};

use serde_json::Value;

use super::failure::Failure;

/// One or more lines of what the command is for, to stdout.
pub fn line(text: &str) -> Result<(), Failure> {
    let mut out = std::io::stdout().lock();
    writeln!(out, "{text}").and_then(|()| out.flush()).map_err(|error| match error.kind() {
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

pub fn colored_stdout() -> bool {
    std::io::stdout().is_terminal() && crate::telemetry::colors_wanted()
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
    let mut widths: Vec<usize> = header.iter().map(|name| name.chars().count()).collect();
    for row in rows {
        for (width, cell) in widths.iter_mut().zip(row) {
            *width = (*width).max(cell.chars().count());
        }
    }
    let header: Vec<String> = header.iter().map(|name| (*name).to_owned()).collect();
    let lines: Vec<String> = std::iter::once(&header)
        .chain(rows)
        .map(|row| {
            let cells: Vec<String> = row.iter().zip(&widths).map(|(cell, width)| format!("{cell:<width$}")).collect();
            cells.join("  ").trim_end().to_owned()
        })
        .collect();
    lines.join("\n")
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
    fn what_comes_with_an_event_does_not_steer_the_terminal() {
        assert_eq!(tame("a\u{1b}[2Jb\n"), "a\u{fffd}[2Jb\u{fffd}");
    }
}
