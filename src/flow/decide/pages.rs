//! The parts of a key's line that were read, and where in them the decision stands.

use std::collections::HashSet;

use super::lanes::{Lane, Waiting, only};
use crate::event::MarkId;
use crate::store::record::{ParkedBody, Unreadable};
use crate::store::{ParkedEvent, Place, Range};

/// What stands at the head of a lane.
pub enum Head {
    Event(Box<Waiting>),
    Empty,
    /// It was not read, or only as far as was used.
    Unread,
}

pub struct Pages<'a> {
    pages: Vec<Page<'a>>,
    /// Events that left their place in this decision.
    gone: HashSet<MarkId>,
    /// Lanes that an event was put into since they were read.
    changed: Vec<Lane>,
    /// Lanes that were looked at and are not empty: what to read together, should one of them be unread.
    wanted: Vec<Lane>,
}

struct Page<'a> {
    range: Range,
    rest: &'a [ParkedEvent],
    was_empty: bool,
    head: Option<Box<Waiting>>,
}

impl<'a> Pages<'a> {
    pub fn new(ranges: &[Range], found: &'a [Vec<ParkedEvent>]) -> Self {
        let page = |(range, rest): (&Range, &'a Vec<ParkedEvent>)| Page {
            range: *range,
            rest,
            was_empty: rest.is_empty(),
            head: None,
        };
        let pages = ranges.iter().zip(found).map(page).collect();
        Self { pages, gone: HashSet::new(), changed: Vec::new(), wanted: Vec::new() }
    }

    /// `count` is how many events stand there, second places counted once.
    pub fn head(&mut self, lane: &Lane, count: u64) -> Result<Head, Unreadable> {
        if count == 0 {
            return Ok(Head::Empty);
        }
        if !self.wanted.contains(lane) {
            self.wanted.push(lane.clone());
        }
        let whole = lane.page();
        let same = |page: &&mut Page<'_>| (page.range.from, page.range.to) == (whole.from, whole.to);
        let Some(page) = self.pages.iter_mut().find(same).filter(|_| !self.changed.contains(lane)) else {
            return Ok(Head::Unread);
        };
        let gone = |mark| self.gone.contains(mark);
        while page.rest.first().is_some_and(|event| gone(&event.mark)) {
            (page.rest, page.head) = (&page.rest[1..], None);
        }
        match (page.rest.first(), &page.head) {
            (Some(_), Some(head)) => Ok(Head::Event(head.clone())),
            (Some(first), None) => {
                let head = Box::new(Waiting { parked: first.clone(), body: ParkedBody::decode(&first.body)? });
                page.head = Some(head.clone());
                Ok(Head::Event(head))
            }
            (None, _) if page.was_empty => {
                tracing::error!(?lane, count, "a key's record counts parked events that are not there");
                Ok(Head::Empty)
            }
            (None, _) => Ok(Head::Unread),
        }
    }

    /// Goes past the head of a lane, which stays where it is.
    pub fn pass(&mut self, lane: &Lane) {
        let whole = lane.page();
        if let Some(page) =
            self.pages.iter_mut().find(|page| (page.range.from, page.range.to) == (whole.from, whole.to))
            && let [_, rest @ ..] = page.rest
        {
            (page.rest, page.head) = (rest, None);
        }
    }

    /// The event that was asked for by its place.
    pub fn at(&self, place: Place) -> Result<Option<Waiting>, Unreadable> {
        let asked = only(place);
        let page = self.pages.iter().find(|page| (page.range.from, page.range.to) == (asked.from, asked.to));
        let event = page.and_then(|page| page.rest.first()).filter(|event| !self.gone.contains(&event.mark));
        event.map(|event| Ok(Waiting { parked: event.clone(), body: ParkedBody::decode(&event.body)? })).transpose()
    }

    pub fn leave(&mut self, mark: MarkId) {
        self.gone.insert(mark);
    }

    pub fn enter(&mut self, lane: Lane) {
        self.changed.push(lane);
    }

    pub fn wanted(&self) -> Vec<Range> {
        self.wanted.iter().map(Lane::page).collect()
    }
}
