//! Objects: their members, and what is known of those without a name.

use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;

use rhai::Position;

use super::model::{Absent, Place, Type, Why};
use super::schema::Node;

/// An object: from a schema, or made by the script.
#[derive(Clone, Debug, Default)]
pub(super) struct Record<'a> {
    pub(super) members: BTreeMap<Rc<str>, Member<'a>>,
    pub(super) rest: Rest<'a>,
    /// Where it is in the event, if it is of one.
    pub(super) place: Option<Place>,
    pub(super) says: Option<Node<'a>>,
    /// Where the script writes it, with some of its members.
    pub(super) at: Option<Position>,
    /// What else says so: all of it holds.
    pub(super) also: Vec<Node<'a>>,
}

#[derive(Clone, Debug)]
pub(super) struct Member<'a> {
    pub(super) slot: Slot<'a>,
    /// It need not be there.
    pub(super) optional: bool,
    /// Where the script gives it.
    pub(super) at: Position,
}

/// A type, or a schema that becomes one when somebody asks: schemas can be recursive.
#[derive(Clone, Debug)]
pub(super) enum Slot<'a> {
    Known(Type<'a>),
    Said(Node<'a>),
}

/// Members without a name.
#[derive(Clone, Debug, Default)]
pub(super) enum Rest<'a> {
    /// There are none.
    #[default]
    Nothing,
    /// Of this schema.
    Said(Node<'a>),
    /// Of this type: headers.
    Known(Type<'a>),
    Unknown,
}

impl<'a> Record<'a> {
    /// What reading a member yields; `None`: there can be no such member.
    pub(super) fn read(&self, name: &str) -> Option<Type<'a>> {
        let place = self.place.as_ref().map(|place| place.member(name));
        if let Some(member) = self.members.get(name) {
            let found = member.slot.resolved(place.as_ref());
            // What the script has put there is no copy of what the event has.
            let copy_of = place.clone().filter(|_| member.at.is_none());
            let found = if member.optional { found.or(self.absent(name, place)) } else { found };
            return Some(found.copied(copy_of));
        }
        let found = match &self.rest {
            Rest::Nothing => return None,
            Rest::Unknown => Type::any(),
            Rest::Said(node) => node.read(place.as_ref()).or(self.absent(name, place.clone())),
            Rest::Known(known) => known.clone().or(self.absent(name, place.clone())),
        };
        Some(found.copied(place))
    }

    fn absent(&self, name: &str, place: Option<Place>) -> Type<'a> {
        if self.is_conditional() {
            return Type::any();
        }
        Type::unit(place.map(|place| {
            let why = match (self.members.get(name).map(|member| &member.slot), &self.says) {
                (Some(Slot::Said(property)), _) => Why::Optional(*property),
                (_, Some(object)) => Why::Unnamed(*object),
                (_, None) if place.is_kept() => Why::Unset,
                (_, None) => Why::Envelope,
            };
            Absent::new(place, why)
        }))
    }

    /// What its schema lets be absent may have to be there.
    pub(super) fn is_conditional(&self) -> bool {
        self.says.as_ref().is_some_and(|says| says.conditional)
    }

    /// Whether every valid object has this member, and not null. `None`: no schema says so, or it depends.
    pub(super) fn guarantees(&self, name: &str) -> Option<bool> {
        let told = self.says.iter().chain(&self.also).filter_map(|says| says.guarantees(name)).max();
        told.filter(|guaranteed| *guaranteed || !self.is_conditional())
    }

    /// Both hold.
    pub(super) fn met(&self, other: &Self) -> Self {
        let mut met = self.clone();
        met.rest = Rest::Unknown;
        met.also.extend(other.says.iter().chain(&other.also).cloned());
        for (name, member) in &other.members {
            let place = self.place.as_ref().map(|place| place.member(name));
            let both = match self.members.get(name) {
                None if matches!(self.rest, Rest::Unknown) => member.clone(),
                None => Member { slot: Slot::Known(Type::any()), ..member.clone() },
                Some(own) => Member {
                    slot: own.slot.met(&member.slot, place.as_ref()),
                    optional: own.optional && member.optional,
                    at: own.at,
                },
            };
            met.members.insert(name.clone(), both);
        }
        if !matches!(other.rest, Rest::Unknown) {
            for (_, own) in met.members.iter_mut().filter(|(name, _)| !other.members.contains_key(*name)) {
                own.slot = Slot::Known(Type::any());
            }
        }
        met
    }

    /// It is the state, or within it, and no schema says what there is.
    pub(super) fn is_kept(&self) -> bool {
        self.says.is_none() && self.place.as_ref().is_some_and(Place::is_kept)
    }

    /// Known objects within each other; what only a schema says does not count.
    pub(super) fn depth(&self) -> u8 {
        let of = |member: &Member<'a>| match &member.slot {
            Slot::Known(known) => known.depth(),
            Slot::Said(_) => 0,
        };
        self.members.values().map(of).max().unwrap_or(0)
    }

    pub(super) fn with(&self, name: &str, member: Member<'a>) -> Self {
        let mut with = self.clone();
        with.members.insert(name.into(), member);
        with
    }

    /// After a member was removed. Another handler may put it into the state again.
    pub(super) fn without(&self, name: &str) -> Self {
        let mut without = self.clone();
        match without.members.get_mut(name) {
            Some(member) if self.is_kept() => member.optional = true,
            _ => drop(without.members.remove(name)),
        }
        without
    }

    /// Its members and those of the other, which come first, where the script wrote both.
    pub(super) fn and(&self, other: &Self) -> Option<Self> {
        let is_plain = |record: &Self| super::is_own(record) && matches!(record.rest, Rest::Nothing);
        let certain = |member: &Member<'a>| !member.optional;
        if !is_plain(self) || !is_plain(other) || !other.members.values().all(certain) {
            return None;
        }
        let mut both = Self { at: None, ..self.clone() };
        both.members.extend(other.members.iter().map(|(name, member)| (name.clone(), member.clone())));
        Some(both)
    }

    /// Both are of one schema in one place, or both the script's own.
    fn has_origin_of(&self, other: &Self) -> bool {
        let same_schema = match (&self.says, &other.says) {
            (Some(a), Some(b)) => a.is(b),
            (None, None) => {
                matches!((&self.rest, &other.rest), (Rest::Nothing, Rest::Nothing) | (Rest::Unknown, Rest::Unknown))
            }
            _ => false,
        };
        same_schema && self.place == other.place
    }

    pub(super) fn covers(&self, other: &Self) -> bool {
        let covers = |(name, own): (&Rc<str>, &Member<'a>)| {
            other.members.get(name).is_some_and(|member| {
                let same = match (&own.slot, &member.slot) {
                    (Slot::Said(a), Slot::Said(b)) => a.is(b),
                    (Slot::Known(a), Slot::Known(b)) => a.covers(b),
                    _ => false,
                };
                same && (own.optional || !member.optional)
            })
        };
        self.has_origin_of(other) && self.members.len() == other.members.len() && self.members.iter().all(covers)
    }

    /// Both at once, where they are two views of one.
    pub(super) fn merged(&self, other: &Self) -> Option<Self> {
        if !self.has_origin_of(other) {
            return None;
        }
        let mut merged = self.clone();
        for name in self.members.keys().chain(other.members.keys()).cloned().collect::<BTreeSet<_>>() {
            let member = match (self.members.get(&name), other.members.get(&name)) {
                (Some(a), Some(b)) => a.joined(b, self.place.as_ref().map(|place| place.member(&name)).as_ref()),
                (Some(_), None) | (None, Some(_)) if self.says.is_none() && matches!(self.rest, Rest::Unknown) => {
                    merged.members.remove(&name);
                    continue;
                }
                (Some(one), None) | (None, Some(one)) if self.says.is_none() => {
                    Member { optional: true, ..one.clone() }
                }
                (Some(one), None) | (None, Some(one)) => {
                    let known = one.slot.resolved(None);
                    let otherwise = if self.members.contains_key(&name) { other } else { self }.read(&name);
                    let slot = Slot::Known(known.or(otherwise.unwrap_or_else(|| Type::unit(None))));
                    Member { slot, optional: false, at: one.at }
                }
                (None, None) => continue,
            };
            merged.members.insert(name, member);
        }
        Some(merged)
    }
}

impl<'a> Member<'a> {
    pub(super) fn known(known: Type<'a>, at: Position) -> Self {
        Self { slot: Slot::Known(known), optional: false, at }
    }

    fn joined(&self, other: &Self, place: Option<&Place>) -> Self {
        let at = if self.at.is_none() { other.at } else { self.at };
        let optional = self.optional || other.optional;
        if let (Slot::Said(a), Slot::Said(b)) = (&self.slot, &other.slot)
            && a.is(b)
        {
            return Self { slot: self.slot.clone(), optional, at };
        }
        Self { slot: Slot::Known(self.slot.resolved(place).or(other.slot.resolved(place))), optional, at }
    }
}

impl<'a> Slot<'a> {
    /// Both hold. What has more within it is left open: schemas can be recursive.
    fn met(&self, other: &Self, place: Option<&Place>) -> Self {
        match (self, other) {
            (Self::Said(a), Self::Said(b)) if a.is(b) => self.clone(),
            (Self::Said(a), Self::Said(b)) if a.is_plain() && b.is_plain() => {
                Self::Known(self.resolved(place).met(other.resolved(place)))
            }
            (Self::Known(known), other) | (other, Self::Known(known)) if known.is_any() => other.clone(),
            _ => Self::Known(Type::any()),
        }
    }

    pub(super) fn resolved(&self, place: Option<&Place>) -> Type<'a> {
        match self {
            Self::Known(known) => known.clone(),
            Self::Said(node) => node.read(place),
        }
    }
}
