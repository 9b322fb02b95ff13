//! What a pipeline keeps for a key: the type of `state`, from all that its handlers leave there.

use std::rc::Rc;

use rhai::Position;

use super::super::engine::STATE;
use super::model::{Atom, Kind, Place, Type};
use super::record::{Member, Record, Rest, Slot};
use super::walk::Walker;
use super::{Given, Script};

/// Rounds through all handlers, each given what they left in the one before, after which a state may be anything.
const MAX_ROUNDS: usize = 4;

/// What `state` may be when a script begins.
#[derive(Clone, Debug, Default)]
pub struct State<'a>(Option<Type<'a>>);

impl<'a> State<'a> {
    /// What these handlers leave, and the empty state that the first event of a key finds.
    pub fn left_by(handlers: &[(&Script, &Given<'a>)]) -> Self {
        // What does not name it leaves it as it is.
        let handlers: Vec<_> = handlers.iter().filter(|(script, _)| script.text().contains(STATE)).collect();
        let mut kept = Type::map(Record { place: Some(place()), ..Record::default() });
        for _ in 0..MAX_ROUNDS {
            let found = Self(Some(kept.clone()));
            let left = handlers
                .iter()
                .map(|(script, given)| left(script, &Given { state: found.clone(), ..(*given).clone() }));
            let next = left.fold(kept.clone(), Type::or);
            if kept.covers(&next) {
                return found;
            }
            kept = next;
        }
        Self::default()
    }

    /// Where an order is promised, and with it that something is there.
    #[must_use]
    pub fn in_order(&self) -> Self {
        Self(self.0.as_ref().map(|kept| kept.each(promised)))
    }

    pub(super) fn known(&self) -> Type<'a> {
        self.0.clone().unwrap_or_else(|| Type::of_kind(Kind::Map))
    }
}

/// There is another state for every key, and a handler can change it.
fn place() -> Place {
    Place { path: STATE.into(), unique: false }
}

/// What a handler leaves for the next.
fn left<'a>(script: &Script, given: &Given<'a>) -> Type<'a> {
    let mut walker = Walker::new(&script.engine.0, &script.compiled, given);
    walker.leaves = Some(Type::never());
    walker.report.silent += 1;
    walker.walk();
    let left = walker.leaves.take().unwrap_or_default();
    // Anything else is refused at the end of the script.
    kept(&left, &place()).filtered(|atom| atom.kind() == Kind::Map)
}

/// A value as it is read again: written as JSON, and no longer a part of the event that it came with.
fn kept<'a>(known: &Type<'a>, place: &Place) -> Type<'a> {
    let mut kept = known.each(|atom| match atom {
        Atom::Unit(_) => Type::unset(place.clone()),
        Atom::Char => Type::text(None),
        Atom::Function(_) => Type::any(),
        Atom::Array(item) => Type::of(Atom::Array(Rc::new(kept(item, &place.item())))),
        Atom::Map(record) => Type::map(kept_record(record, place)),
        other => Type::of(other.clone()),
    });
    kept.copy_of = None;
    kept
}

fn kept_record<'a>(record: &Record<'a>, place: &Place) -> Record<'a> {
    let member = |(name, member): (&Rc<str>, &Member<'a>)| {
        let slot = match &member.slot {
            Slot::Known(known) => Slot::Known(kept(known, &place.member(name))),
            said @ Slot::Said(_) => said.clone(),
        };
        (name.clone(), Member { slot, optional: member.optional, at: Position::NONE })
    };
    let rest = match &record.rest {
        Rest::Known(known) => Rest::Known(kept(known, &place.member("*"))),
        other => other.clone(),
    };
    Record {
        members: record.members.iter().map(member).collect(),
        rest,
        place: Some(place.clone()),
        says: record.says,
        at: None,
        also: record.also.clone(),
    }
}

/// The same, and what may be absent may be anything.
fn promised<'a>(atom: &Atom<'a>) -> Type<'a> {
    match atom {
        Atom::Unit(_) => Type::any(),
        Atom::Array(item) => Type::of(Atom::Array(Rc::new(item.each(promised)))),
        Atom::Map(record) => {
            let member = |(name, member): (&Rc<str>, &Member<'a>)| {
                let slot = match &member.slot {
                    _ if member.optional => Slot::Known(Type::any()),
                    Slot::Known(known) => Slot::Known(known.each(promised)),
                    said @ Slot::Said(_) => said.clone(),
                };
                (name.clone(), Member { slot, optional: false, at: member.at })
            };
            Type::map(Record { members: record.members.iter().map(member).collect(), ..(**record).clone() })
        }
        other => Type::of(other.clone()),
    }
}
