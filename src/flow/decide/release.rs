//! Which of a key's parked events comes next, if one does.

use std::time::Duration;

use super::lanes::{Lane, Waiting};
use super::pages::Head;
use super::{Draft, Entry, GROUP_BYTES, LOOK_AGAIN, Outcome, Runnable, Turn, Way};
use crate::event::Millis;
use crate::flow::route::{Route, Subject, route};
use crate::mutant::{self, Mutant};
use crate::spec::program::{OnDeadPrerequisite, OnTimeout};
use crate::store::Range;
use crate::store::record::{Failure, Numbers, Unreadable, Wait};

/// What no subscription takes is looked at again after this long.
const HANDLER_AGAIN: Duration = Duration::from_secs(60);

/// What a look at a key's parked events says.
pub(super) enum Next {
    Run(Box<Waiting>, Way),
    /// None is due.
    Rest,
    /// What must be read before anything can be said.
    Read(Vec<Range>),
}

impl Draft<'_> {
    /// Runs parked events as far as they are due and were read.
    pub(super) fn release(&mut self) -> Result<(), Unreadable> {
        loop {
            match self.next()? {
                Next::Rest => return Ok(()),
                Next::Read(ranges) => {
                    self.decision.again = Some(ranges);
                    return Ok(());
                }
                Next::Run(waiting, way) => {
                    self.decision.hurried |= self.is_hurried(&waiting);
                    let outcome = self.run(&waiting, way);
                    if outcome != Outcome::Parked {
                        self.decision.unparked.push(outcome);
                    }
                    if self.stopped {
                        return Ok(());
                    }
                    if self.bytes > GROUP_BYTES || self.work.alone {
                        self.decision.again = Some(self.pages.wanted());
                        return Ok(());
                    }
                }
            }
        }
    }

    fn run(&mut self, waiting: &Waiting, way: Way) -> Outcome {
        let body = &waiting.body;
        self.pages.leave(waiting.parked.mark);
        let envelope = (self.env.envelope)(&body.raw.position.channel);
        let Route::Handle(routed) = route(body.raw.clone(), self.env.pipeline, &envelope) else {
            return self.wait_for_handler(waiting);
        };
        // Who waits so has one, or had: it is not there for its number only.
        let for_handler = body.wait.had_turn() || matches!(body.wait, Wait::After { .. } | Wait::NoHandler { .. });
        if for_handler && matches!(routed.subject, Subject::Keyed { subscription: None, .. }) {
            return self.wait_for_handler(waiting);
        }
        let turn = Turn {
            mark: waiting.parked.mark,
            content: waiting.parked.content,
            raw: &body.raw,
            subject: self.subject(&routed, waiting.parked.mark),
            entry: Entry::Release { waiting, way },
            attempts: body.attempts,
            owner: None,
        };
        self.take_turn(turn)
    }

    /// A parked event whose subscription is gone stays, and is looked at again later.
    fn wait_for_handler(&mut self, waiting: &Waiting) -> Outcome {
        let due = self.env.now.plus(HANDLER_AGAIN);
        let was = match &waiting.body.wait {
            Wait::NoHandler { was, .. } => was.clone(),
            wait => Box::new(wait.clone()),
        };
        let failure = Failure::permanent("no_handler", "no subscription takes its type any more");
        let turn = Turn {
            mark: waiting.parked.mark,
            content: waiting.parked.content,
            raw: &waiting.body.raw,
            subject: Runnable::SetAside(None, failure),
            entry: Entry::Release { waiting, way: Way::Turn },
            attempts: waiting.body.attempts,
            owner: None,
        };
        self.park(&turn, Wait::NoHandler { due, was }, waiting.body.attempts)
    }

    /// What has begun goes first; then those whose prerequisites are there, whose number it is, whose hold is over or
    /// who waited too long; then what stands behind.
    pub(super) fn next(&mut self) -> Result<Next, Unreadable> {
        let behind = match self.pages.head(&Lane::Line, self.record.book.line)? {
            Head::Unread => return Ok(self.read()),
            Head::Empty => {
                self.record.book.line = 0;
                None
            }
            Head::Event(waiting) => match waiting.body.wait {
                Wait::Retry { due, .. } | Wait::NoHandler { due, .. }
                    if due > self.env.now && !self.is_hurried(&waiting) =>
                {
                    self.record.book.blocked_until = Some(due);
                    return Ok(Next::Rest);
                }
                Wait::Retry { .. } | Wait::Version { .. } | Wait::NoHandler { .. }
                    if self.record.book.blocked_by.is_none() =>
                {
                    self.record.book.blocked_until = None;
                    // Without a handler its time went on.
                    let over = waiting.body.wait.deadline().is_some_and(|deadline| deadline <= self.env.now);
                    return Ok(Next::Run(waiting, if over { Way::Expired } else { Way::Turn }));
                }
                _ => Some(waiting),
            },
        };
        self.record.book.blocked_until = None;
        if self.record.book.blocked_by.is_some() {
            return Ok(Next::Rest);
        }
        for look in [Self::hurried, Self::satisfied, Self::number, Self::held, Self::expired] {
            if let Some(next) = look(self)? {
                return Ok(next);
            }
        }
        if mutant::on(Mutant::WaitersBlock) && !self.record.book.waiting.is_empty() {
            return Ok(Next::Rest);
        }
        Ok(behind.map_or(Next::Rest, |waiting| Next::Run(waiting, Way::Turn)))
    }

    fn read(&self) -> Next {
        Next::Read(self.pages.wanted())
    }

    fn is_hurried(&self, waiting: &Waiting) -> bool {
        self.work.hurried.is_some_and(|hurried| hurried.is(waiting.parked.mark, &waiting.body))
    }

    fn hurried(&mut self) -> Result<Option<Next>, Unreadable> {
        let Some(hurried) = self.work.hurried else { return Ok(None) };
        let Some(waiting) = self.pages.at(hurried.place)?.filter(|waiting| self.is_hurried(waiting)) else {
            return Ok(None);
        };
        match waiting.body.wait {
            Wait::After { .. } | Wait::Hold { .. } => {}
            Wait::Number { .. } => {
                let count = self.record.book.numbers.as_ref().map_or(0, |numbers| numbers.waiting);
                match self.pages.head(&Lane::Number, count)? {
                    Head::Event(first) if first.parked.mark == waiting.parked.mark => {}
                    Head::Event(_) | Head::Empty => return Ok(None),
                    Head::Unread => return Ok(Some(self.read())),
                }
            }
            Wait::Retry { .. } | Wait::Version { .. } | Wait::NoHandler { .. } | Wait::Behind => return Ok(None),
        }
        Ok(Some(Next::Run(Box::new(waiting), Way::Hurried)))
    }

    /// Nothing of this type is waited for any more: one was handled, or will not be.
    fn is_over(&self, kind: &str) -> bool {
        let book = &self.record.book;
        book.handled.contains(kind) || (book.dead.contains_key(kind) && !self.holds_for_dead())
    }

    fn holds_for_dead(&self) -> bool {
        self.env.pipeline.reorder.on_dead_prerequisite == OnDeadPrerequisite::Hold
    }

    /// Lanes whose events can go on at once.
    pub(super) fn due_lanes(&self) -> Vec<Lane> {
        let book = &self.record.book;
        if book.is_blocked() {
            return Vec::new();
        }
        let mut lanes: Vec<Lane> =
            book.waiting.keys().filter(|kind| self.is_over(kind)).map(|kind| Lane::After(kind.clone())).collect();
        // Under a program that has no such order any more, they are due.
        let (sequenced, held) = (self.env.pipeline.sequence.is_some(), self.env.pipeline.resequence.is_some());
        let is_next = |numbers: &Numbers| !sequenced || numbers.head.is_none_or(|head| head <= numbers.next);
        if book.numbers.as_ref().is_some_and(|numbers| numbers.waiting > 0 && is_next(numbers)) {
            lanes.push(Lane::Number);
        }
        if book.held > 0 && !held {
            lanes.extend([Lane::HeldUntil, Lane::Held]);
        }
        lanes
    }

    /// Of those whose prerequisite is there, the one that happened first.
    fn satisfied(&mut self) -> Result<Option<Next>, Unreadable> {
        let waiting = &self.record.book.waiting;
        let over: Vec<_> =
            waiting.iter().filter(|(kind, _)| self.is_over(kind)).map(|(k, w)| (k.clone(), w.count)).collect();
        let (mut first, mut unread): (Option<Box<Waiting>>, bool) = (None, false);
        for (kind, count) in over {
            match self.pages.head(&Lane::After(kind.clone()), count)? {
                Head::Unread => unread = true,
                Head::Empty => drop(self.record.book.waiting.remove(&kind)),
                Head::Event(waiting) => {
                    if first.as_ref().is_none_or(|first| waiting.rank() < first.rank()) {
                        first = Some(waiting);
                    }
                }
            }
        }
        Ok(if unread { Some(self.read()) } else { first.map(|waiting| Next::Run(waiting, Way::Turn)) })
    }

    /// The lowest number that waits, when it is its turn or the gap before it is given up.
    fn number(&mut self) -> Result<Option<Next>, Unreadable> {
        let now = self.env.now;
        let Some(numbers) = &mut self.record.book.numbers else { return Ok(None) };
        let over = numbers.missing.is_some_and(|(number, since)| {
            number == numbers.next && since.plus(self.env.pipeline.reorder.timeout) <= now
        });
        let sequenced = self.env.pipeline.sequence.is_some();
        if sequenced && !over && numbers.head.is_some_and(|head| head > numbers.next) {
            return Ok(None);
        }
        let waiting = match self.pages.head(&Lane::Number, numbers.waiting)? {
            Head::Unread => return Ok(Some(self.read())),
            Head::Empty => {
                (numbers.waiting, numbers.head) = (0, None);
                return Ok(None);
            }
            Head::Event(waiting) => waiting,
        };
        let Wait::Number { number } = waiting.body.wait else { return Ok(None) };
        numbers.head = Some(number);
        if number <= numbers.next || !sequenced {
            return Ok(Some(Next::Run(waiting, Way::Turn)));
        }
        if !over {
            return Ok(None);
        }
        Ok(Some(match self.env.pipeline.reorder.on_timeout {
            OnTimeout::DeadLetter => Next::Run(waiting, Way::Expired),
            OnTimeout::Advance => {
                numbers.give_up_before(number);
                Next::Run(waiting, Way::Turn)
            }
        }))
    }

    /// Those whose hold is over, and what happened before them, in order of event time.
    fn held(&mut self) -> Result<Option<Next>, Unreadable> {
        let now = self.env.now;
        let held = self.record.book.held;
        let resequenced = self.env.pipeline.resequence.is_some();
        if held == 0 || (resequenced && self.let_go.is_none() && self.record.book.held_until.is_some_and(|at| at > now))
        {
            return Ok(None);
        }
        let (mut more, mut next_due) = (false, None);
        loop {
            match self.pages.head(&Lane::HeldUntil, held)? {
                Head::Unread => more = true,
                Head::Empty => self.record.book.held = 0,
                Head::Event(waiting) => match waiting.body.wait {
                    Wait::Hold { time, due } if due <= now || !resequenced => {
                        self.let_go = Some(self.let_go.map_or(time, |last| last.max(time)));
                        self.pages.pass(&Lane::HeldUntil);
                        continue;
                    }
                    Wait::Hold { due, .. } => next_due = Some(due),
                    _ => {}
                },
            }
            break;
        }
        if let Some(until) = self.let_go {
            match self.pages.head(&Lane::Held, self.record.book.held)? {
                Head::Unread => return Ok(Some(self.read())),
                Head::Event(waiting) if matches!(waiting.body.wait, Wait::Hold { time, .. } if time <= until) => {
                    return Ok(Some(Next::Run(waiting, Way::Turn)));
                }
                Head::Event(_) | Head::Empty => {}
            }
        }
        if more {
            return Ok(Some(self.read()));
        }
        // Not before all that is let go has left: another round may have to begin again.
        self.record.book.held_until = next_due.or(self.record.book.held_until);
        Ok(None)
    }

    /// Who has waited for a prerequisite long enough.
    fn expired(&mut self) -> Result<Option<Next>, Unreadable> {
        let now = self.env.now;
        let holds = self.holds_for_dead();
        let book = &self.record.book;
        let live = book.waiting.iter().filter(|(kind, waiters)| {
            waiters.deadline <= now && !self.is_over(kind) && !(holds && book.dead.contains_key(*kind))
        });
        let live: Vec<_> = live.map(|(kind, waiters)| (kind.clone(), waiters.count)).collect();
        for (kind, count) in live {
            match self.pages.head(&Lane::Deadline(kind.clone()), count)? {
                Head::Unread => return Ok(Some(self.read())),
                Head::Empty => drop(self.record.book.waiting.remove(&kind)),
                Head::Event(waiting) => match waiting.body.wait.deadline() {
                    Some(deadline) if deadline > now => {
                        if let Some(waiters) = self.record.book.waiting.get_mut(&kind) {
                            waiters.deadline = deadline;
                        }
                    }
                    _ => return Ok(Some(Next::Run(waiting, Way::Expired))),
                },
            }
        }
        Ok(None)
    }

    /// When the key next wants attention.
    pub(super) fn timer(&self) -> Option<Millis> {
        let (book, now) = (&self.record.book, self.env.now);
        if book.parked == 0 {
            return None;
        }
        if self.decision.again.is_some() || !self.due_lanes().is_empty() {
            return Some(now);
        }
        // A person, or a program that is yet to come, decides.
        let some_time = now.plus(LOOK_AGAIN);
        if book.blocked_by.is_some() {
            return Some(some_time);
        }
        if book.line > 0 {
            return Some(book.blocked_until.unwrap_or(now));
        }
        let holds = self.holds_for_dead();
        let waiters = book.waiting.iter().filter(|(kind, _)| !(holds && book.dead.contains_key(*kind)));
        let gap = book.numbers.as_ref().and_then(|numbers| numbers.missing);
        let times = waiters
            .map(|(_, waiters)| waiters.deadline)
            .chain(gap.map(|(_, since)| since.plus(self.env.pipeline.reorder.timeout)))
            .chain(book.held_until.filter(|_| book.held > 0));
        Some(times.min().unwrap_or(some_time))
    }
}
