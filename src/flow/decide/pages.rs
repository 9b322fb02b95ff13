//! The parts of a key's line that were read, and where in them the decision stands.

use std::collections::HashSet;

use super::lanes::{Lane, Waiting, lanes, only};
use crate::event::MarkId;
use crate::store::record::{ParkedBody, Unreadable, Wait};
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
    all: &'a [ParkedEvent],
    rest: &'a [ParkedEvent],
    head: Option<Box<Waiting>>,
}

impl<'a> Pages<'a> {
    pub fn new(ranges: &[Range], found: &'a [Vec<ParkedEvent>]) -> Self {
        let page = |(range, rest): (&Range, &'a Vec<ParkedEvent>)| Page { range: *range, all: rest, rest, head: None };
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
        let Some(page) = self.pages.iter_mut().find(|page| page.is_of(lane)).filter(|_| !self.changed.contains(lane))
        else {
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
            (None, _) if page.all.is_empty() => {
                tracing::error!(?lane, count, "a key's record counts parked events that are not there");
                Ok(Head::Empty)
            }
            (None, _) => Ok(Head::Unread),
        }
    }

    /// Goes past the head of a lane, which stays where it is.
    pub fn pass(&mut self, lane: &Lane) {
        if let Some(page) = self.pages.iter_mut().find(|page| page.is_of(lane))
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

    pub fn enter(&mut self, wait: &Wait) {
        self.changed.extend(lanes(wait));
    }

    pub fn wanted(&self) -> Vec<Range> {
        let range = |lane: &Lane| {
            let used_up = self.pages.iter().find(|page| page.is_of(lane) && page.rest.is_empty());
            used_up.map_or_else(|| lane.page(), |page| lane.next_page(page.all))
        };
        self.wanted.iter().map(range).collect()
    }
}

impl Page<'_> {
    fn is_of(&self, lane: &Lane) -> bool {
        let whole = lane.page();
        (self.range.from, self.range.to) == (whole.from, whole.to)
    }
}
