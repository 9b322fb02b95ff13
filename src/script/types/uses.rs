//! What a script reads of its event, for those who write such events.
//!
//! The walker notes every member of the event that it comes by ([`Walker::reads`]). What becomes of a value decides the
//! rest: one that is only kept, tested or stepped into is expressed [aside](Walker::aside); any other is
//! [used](Walker::used), and then the script relies on its being there, and may look at anything in it.

use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;

use rhai::{Expr, Position};

use super::model::{Atom, Place, Type};
use super::record::Rest;
use super::report;
use super::scope::Scope;
use super::walk::Walker;
use crate::diagnostic::{Span, rules};

/// Paths begin at the event: `data.items[].sku`.
#[derive(Clone, Debug, Default)]
pub struct Uses {
    pub reads: BTreeMap<String, Read>,
    /// Handed on, so that anything in it may be read.
    pub whole: BTreeSet<String>,
}

#[derive(Clone, Debug, Default)]
pub struct Read {
    /// Whether the script relies on its being there. `None`: no schema says whether it is.
    pub required: Option<bool>,
    pub at: BTreeSet<Span>,
    /// Texts that it is compared with.
    pub values: BTreeSet<Rc<str>>,
    /// By its schema it always is there, and is not null.
    guaranteed: bool,
}

/// Members of an event, one within the other, as a path.
pub fn path_to(members: &[String]) -> String {
    let place = members.iter().fold(Place::root("event"), |place, member| place.member(member));
    place.path.trim_start_matches("event.").to_owned()
}

/// The path from the event, unless it is not of the event, or of what every event has.
fn path(place: &str) -> Option<&str> {
    place.strip_prefix("event.").filter(|path| !["data", "headers", "key", "type", "version"].contains(path))
}

impl<'a> Walker<'a, '_> {
    /// An expression whose value is not used by what stands around it.
    pub(super) fn aside(&mut self, scope: &mut Scope<'a>, expression: &Expr) -> Type<'a> {
        self.is_aside = true;
        self.express(scope, expression)
    }

    /// Where uses are asked for, and this is not only a look ahead.
    fn noting(&mut self) -> Option<&mut Uses> {
        self.uses.as_mut().filter(|_| self.report.silent == 0)
    }

    /// A member is read, or asked for.
    pub(super) fn reads(&mut self, known: &Type<'a>, name: &str, at: Position) {
        if self.noting().is_none() {
            return;
        }
        let span = self.report.at(&rules::UNKNOWN_PROPERTY, at, String::new()).span;
        let found: Vec<(Place, Option<bool>)> = match known.atoms() {
            None => known.copy_of.iter().map(|place| (place.member(name), None)).collect(),
            Some(atoms) => atoms.iter().filter_map(|atom| member(atom, name)).collect(),
        };
        let Some(uses) = self.noting() else { return };
        for (place, guaranteed) in found {
            let Some(path) = path(&place.path) else { continue };
            let read = uses.reads.entry(path.to_owned()).or_default();
            read.required = read.required.or(guaranteed.map(|_| false));
            read.guaranteed |= guaranteed == Some(true);
            read.at.extend(span.clone());
        }
    }

    /// Does something with a value, whatever that is.
    pub(super) fn used(&mut self, scope: &Scope<'a>, known: &Type<'a>) {
        self.relies(scope, known);
        self.hands_on(known);
    }

    /// Does something with it that would be another thing without it.
    pub(super) fn relies(&mut self, scope: &Scope<'a>, known: &Type<'a>) {
        if let Some(place) = known.copy_of.as_ref().filter(|place| !scope.has_found(place))
            && let Some(read) = self.noted(&place.path)
            && read.guaranteed
        {
            read.required = Some(true);
        }
    }

    /// It is told that this must not be absent.
    pub(super) fn wants(&mut self, place: &str) {
        if let Some(read) = self.noted(place) {
            read.required = Some(true);
        }
    }

    fn noted(&mut self, place: &str) -> Option<&mut Read> {
        self.noting()?.reads.get_mut(path(place)?)
    }

    /// Gives it to what is not followed.
    pub(super) fn hands_on(&mut self, known: &Type<'a>) {
        if let Some(uses) = self.noting() {
            handed(known, known.copy_of.as_ref(), &mut uses.whole);
        }
    }

    /// Where this meets another value, it is not known any more where in the event what may be anything came from.
    pub(super) fn blurs(&mut self, known: &Type<'a>) {
        if known.is_any() {
            self.hands_on(known);
        }
    }

    /// A variable gets another value, perhaps not on every way that leads on: then it cannot be told of either where it came
    /// from.
    pub(super) fn replaces(&mut self, scope: &Scope<'a>, name: &str, new: &Type<'a>) {
        if self.uses.is_some()
            && let Some(variable) = scope.get(name)
        {
            for known in [&variable.known, new] {
                self.relies(scope, known);
                self.blurs(known);
            }
        }
    }

    /// What a variable holds is not followed from here on.
    pub(super) fn lets_go(&mut self, scope: &Scope<'a>, name: &str) {
        if self.uses.is_some()
            && let Some(variable) = scope.get(name).filter(|variable| !variable.constant)
        {
            self.used(scope, &variable.known);
        }
    }

    /// Anything may be done with the event.
    pub(super) fn loses_track(&mut self) {
        if let Some(uses) = &mut self.uses {
            uses.whole.insert("data".to_owned());
        }
    }

    /// One is compared with the texts that the other may be.
    pub(super) fn compares(&mut self, known: &Type<'a>, with: &Type<'a>) {
        if let (Some(place), None) = (&known.copy_of, &with.copy_of)
            && let Some(read) = self.noted(&place.path)
        {
            read.values.extend(report::texts(with).into_iter().flatten());
        }
    }
}

/// A member of an object of the event, and whether its schema makes sure of it.
fn member(atom: &Atom<'_>, name: &str) -> Option<(Place, Option<bool>)> {
    let Atom::Map(record) = atom else { return None };
    match record.members.get(name) {
        Some(member) if !member.at.is_none() => return None,
        None if matches!(record.rest, Rest::Nothing) => return None,
        _ => {}
    }
    Some((record.place.as_ref()?.member(name), record.guarantees(name)))
}

/// Adds the places of objects in a value, and of what may be one.
fn handed(known: &Type<'_>, place: Option<&Place>, whole: &mut BTreeSet<String>) {
    let Some(atoms) = known.atoms() else { return whole.extend(place.and_then(as_whole)) };
    for atom in atoms {
        match atom {
            Atom::Map(record) => whole.extend(record.place.as_ref().and_then(as_whole)),
            Atom::Array(item) => handed(item, place.map(Place::item).as_ref(), whole),
            _ => {}
        }
    }
}

fn as_whole(place: &Place) -> Option<String> {
    match &*place.path {
        "event" => Some("data".to_owned()),
        path => path.strip_prefix("event.").map(str::to_owned),
    }
}
