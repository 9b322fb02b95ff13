//! What the places of a key's parked events mean: lanes, one a reason to wait, each in the order in which it is left.
//!
//! | lane | in the order of | |
//! |---|---|---|
//! | line | arrival; what has begun before what stands behind it | its head blocks the key |
//! | number | number | |
//! | held | event time | also by the end of its hold |
//! | after, one a type | event time | also by deadline |
//!
//! Ties are broken by arrival. An event keeps its number of arrival when it changes lanes.

use sha2::{Digest as _, Sha256};

use crate::store::record::{ParkedBody, Wait};
use crate::store::{ParkedEvent, Place, Range};

/// Events of a lane that are read at first: mostly few of them go on at once.
const FEW: usize = 16;
/// When those were not enough.
const MOST: usize = 128;
const PAGE_BYTES: usize = 4 << 20;

/// A lane; the second ones are other orders of the same events.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Lane {
    Line,
    Number,
    Held,
    After(String),
    HeldUntil,
    Deadline(String),
}

/// Of the line: what was begun and waits for its next attempt.
const BEGUN: i64 = -1;
const BEHIND: i64 = 0;

impl Lane {
    fn head(&self) -> [u8; 9] {
        let (lane, kind) = match self {
            Self::Line => (1, None),
            Self::Number => (2, None),
            Self::Held => (3, None),
            Self::After(kind) => (4, Some(kind)),
            // Behind all first places: a walk over the line that ends here meets every event once.
            Self::HeldUntil => (SECOND, None),
            Self::Deadline(kind) => (SECOND + 1, Some(kind)),
        };
        let mut head = [0; 9];
        head[0] = lane;
        if let Some(kind) = kind {
            head[1..].copy_from_slice(&Sha256::digest(kind)[..8]);
        }
        head
    }

    fn place(&self, rank: i64, arrival: u64) -> Place {
        let mut place = Place::FIRST;
        place.0[..9].copy_from_slice(&self.head());
        // Negative numbers before the others.
        place.0[9..17].copy_from_slice(&(rank.cast_unsigned() ^ (1 << 63)).to_be_bytes());
        place.0[17..].copy_from_slice(&arrival.to_be_bytes());
        place
    }

    /// Its first events.
    pub fn page(&self) -> Range {
        let (mut from, mut to) = (Place::FIRST, Place::LAST);
        from.0[..9].copy_from_slice(&self.head());
        to.0[..9].copy_from_slice(&self.head());
        Range { from, to, limit: FEW }
    }

    /// Its next events, when these were used up.
    pub fn next_page(&self, used: &[ParkedEvent]) -> Range {
        let bytes: usize = used.iter().map(|event| event.body.len()).sum();
        let fit = PAGE_BYTES / (bytes / used.len().max(1)).max(1);
        Range { limit: fit.clamp(FEW, MOST), ..self.page() }
    }
}

const SECOND: u8 = 0x80;

/// Every parked event of a key once, behind this place.
pub fn each(after: Option<Place>, limit: usize) -> Range {
    let mut to = Place::LAST;
    to.0[0] = SECOND - 1;
    // No place is the last of all: that is no lane's.
    Range { from: after.and_then(Place::next).unwrap_or(Place::FIRST), to, limit }
}

/// The line: what blocks the key, and what stands behind it.
pub fn line() -> Range {
    Lane::Line.page()
}

/// Whose first events must go before one that waits so.
pub fn ahead_of(wait: &Wait) -> Vec<Range> {
    let first = |lane: Lane| Range { limit: 1, ..lane.page() };
    match wait {
        Wait::Number { .. } => vec![first(Lane::Line), first(Lane::Number)],
        _ => vec![first(Lane::Line)],
    }
}

/// Exactly this event.
pub fn only(place: Place) -> Range {
    Range { from: place, to: place, limit: 1 }
}

/// Number of its arrival.
pub fn arrival(place: Place) -> u64 {
    let mut bytes = [0; 8];
    bytes.copy_from_slice(&place.0[17..]);
    u64::from_be_bytes(bytes)
}

/// Where an event waits: its place, and its second one.
pub fn places(wait: &Wait, time: i64, arrival: u64, begun: bool) -> (Place, Option<Place>) {
    match wait {
        Wait::Retry { .. } | Wait::Version { .. } | Wait::NoHandler { .. } | Wait::Behind => {
            (Lane::Line.place(if begun { BEGUN } else { BEHIND }, arrival), None)
        }
        Wait::Number { number } => (Lane::Number.place(*number, arrival), None),
        Wait::Hold { time, due } => (Lane::Held.place(*time, arrival), Some(Lane::HeldUntil.place(due.0, arrival))),
        Wait::After { event, deadline, .. } => (
            Lane::After(event.clone()).place(time, arrival),
            Some(Lane::Deadline(event.clone()).place(deadline.0, arrival)),
        ),
    }
}

/// The lanes in which an event waits.
pub fn lanes(wait: &Wait) -> Vec<Lane> {
    match wait {
        Wait::Retry { .. } | Wait::Version { .. } | Wait::NoHandler { .. } | Wait::Behind => vec![Lane::Line],
        Wait::Number { .. } => vec![Lane::Number],
        Wait::Hold { .. } => vec![Lane::Held, Lane::HeldUntil],
        Wait::After { event, .. } => vec![Lane::After(event.clone()), Lane::Deadline(event.clone())],
    }
}

/// A parked event that was read.
#[derive(Clone, Debug)]
pub struct Waiting {
    pub parked: ParkedEvent,
    pub body: ParkedBody,
}

impl Waiting {
    /// Within its lane: event time and arrival.
    pub fn rank(&self) -> Place {
        let mut rank = self.parked.place;
        rank.0[..9].fill(0);
        rank
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::{ContentDigest, MarkId};

    #[test]
    fn places_of_a_lane_are_in_order_of_rank_then_arrival() {
        let place = |rank, arrival| Lane::Number.place(rank, arrival);
        let sorted =
            [place(i64::MIN, 9), place(-2, 9), place(-1, 1), place(0, 0), place(0, 2), place(1, 1), place(i64::MAX, 0)];
        assert!(sorted.is_sorted());
        assert!(sorted.iter().all(|place| Lane::Number.page().contains(*place)));
        assert_eq!(arrival(place(7, 42)), 42);
    }

    #[test]
    fn few_are_read_at_first_and_then_what_fits() {
        let used = |bytes| {
            let body = bytes::Bytes::from(vec![0; bytes]);
            let (mark, content) = (MarkId([0; 16]), ContentDigest([0; 8]));
            vec![ParkedEvent { mark, content, place: Place::FIRST, also: None, body }; 2]
        };
        let next = |bytes| Lane::Line.next_page(&used(bytes)).limit;
        assert_eq!(Lane::Line.page().limit, FEW);
        assert_eq!([next(0), next(100), next(64 << 10), next(1 << 20)], [MOST, MOST, 64, FEW]);
        assert!(Lane::Line.next_page(&used(1)).contains(Lane::Line.place(0, 0)));
    }

    #[test]
    fn lanes_do_not_overlap_and_second_places_come_last() {
        let kind = |text: &str| text.to_owned();
        let lanes = [
            Lane::Line,
            Lane::Number,
            Lane::Held,
            Lane::After(kind("A")),
            Lane::After(kind("B")),
            Lane::HeldUntil,
            Lane::Deadline(kind("A")),
            Lane::Deadline(kind("B")),
        ];
        for lane in &lanes {
            let of: Vec<_> = lanes.iter().filter(|other| other.page().contains(lane.place(5, 5))).collect();
            assert_eq!(of, [lane]);
            let second = matches!(lane, Lane::HeldUntil | Lane::Deadline(_));
            assert_eq!(each(None, 1).contains(lane.place(i64::MAX, u64::MAX)), !second);
        }
    }
}
