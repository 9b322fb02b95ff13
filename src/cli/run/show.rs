//! `--show`: a line for each outcome, as it happens.

use std::sync::{Arc, Mutex, PoisonError};

use crate::cli::print;
use crate::flow::decide::Outcome;
use crate::flow::story::{Told, Watcher};
use crate::store::record::EventHead;

pub fn watcher() -> Watcher {
    let colored = print::colored_stdout();
    let widths = Mutex::new(NARROW);
    // Whoever stops reading does not stop the pipelines.
    Arc::new(move |told| {
        let line = line(told, &mut widths.lock().unwrap_or_else(PoisonError::into_inner), colored);
        drop(print::line(&line));
    })
}

/// Of event, key and id. Columns grow with what comes, up to a point.
type Widths = [usize; 3];
const NARROW: Widths = [22, 8, 8];
const WIDE: usize = 40;

fn line(told: &Told, widths: &mut Widths, colored: bool) -> String {
    let name = told.outcome.name();
    let outcome = match color(told.outcome).filter(|_| colored) {
        Some(color) => format!("\x1b[{color}m{name:<9}\x1b[0m"),
        None => format!("{name:<9}"),
    };
    let event = match (&told.event, told.upcast) {
        (Some(EventHead { kind, version, .. }), Some(newest)) => format!("{kind} v{version}→{newest}"),
        (Some(EventHead { kind, version, .. }), None) => format!("{kind} v{version}"),
        (None, _) => told.place.clone(),
    };
    let id = told.event.as_ref().map_or("-", |event| &event.id);
    let what = match (told.released, told.what.as_str()) {
        (true, "") => "after it was parked".to_owned(),
        (true, what) => format!("after it was parked; {what}"),
        (false, what) => what.to_owned(),
    };
    let key = told.key.as_deref().unwrap_or("-");
    let mut line = format!("{outcome}  ");
    for (cell, width) in [&event, key, id].into_iter().zip(widths) {
        let cell = print::tame(cell);
        *width = (*width).max(cell.chars().count().min(WIDE));
        line += &format!("{cell:<width$} ", width = *width);
    }
    line += &print::tame(&what);
    line.trim_end().to_owned()
}

/// Green is fine, yellow waits, red is for a person.
fn color(outcome: Outcome) -> Option<u8> {
    match outcome {
        Outcome::Done => Some(32),
        Outcome::Parked => Some(33),
        Outcome::Dead => Some(31),
        Outcome::Skipped | Outcome::Duplicate | Outcome::Ignored | Outcome::Returned => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told() -> Told {
        Told {
            outcome: Outcome::Done,
            released: false,
            event: Some(EventHead {
                id: "e-2".into(),
                kind: "OrderCreated".into(),
                version: 1,
                source: "shop".into(),
                time: None,
            }),
            upcast: Some(2),
            key: Some("o-2".into()),
            place: "orders@3".into(),
            what: "emitted to shipments".into(),
        }
    }

    #[test]
    fn an_outcome_is_a_line() {
        let line = |told: &Told, colored| super::line(told, &mut NARROW.clone(), colored);
        assert_eq!(line(&told(), false), "done       OrderCreated v1→2      o-2      e-2      emitted to shipments");
        let released = Told { released: true, upcast: None, what: String::new(), ..told() };
        assert_eq!(line(&released, false), "done       OrderCreated v1        o-2      e-2      after it was parked");
        let bare =
            Told { outcome: Outcome::Dead, event: None, key: None, what: "not_json: \u{1b}[2J".into(), ..told() };
        assert_eq!(
            line(&bare, true),
            "\u{1b}[31mdead     \u{1b}[0m  orders@3               -        -        not_json: \u{fffd}[2J"
        );
    }

    #[test]
    fn columns_grow_with_what_comes() {
        let mut widths = NARROW;
        line(&Told { key: Some("ada@example.org".into()), ..told() }, &mut widths, false);
        assert_eq!(widths, [22, 15, 8]);
        line(&Told { key: Some("x".repeat(1000)), ..told() }, &mut widths, false);
        assert_eq!(widths, [22, WIDE, 8]);
    }
}
