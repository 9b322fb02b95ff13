//! What is emitted, and what an upcaster leaves, against the schema that it must match.

use std::rc::Rc;

use rhai::{Expr, FnCallExpr, Position};

use super::express::{Argument, told};
use super::model::{Atom, Kind, Type, Why};
use super::record::{Member, Record, Rest, Slot};
use super::report::{self, Says, listed};
use super::schema::{Document, Node};
use super::scope::Scope;
use super::walk::Walker;
use crate::diagnostic::{Level, did_you_mean, rules, surely_meant};

/// Objects within objects that are looked at.
const MAX_DEPTH: usize = 8;

/// A reason why a value is refused.
struct Refusal {
    /// For some events only.
    some: bool,
    message: String,
    help: Option<String>,
    at: Position,
    says: Says,
    /// The place of the event that is why.
    because: Option<Rc<str>>,
}

impl<'a> Walker<'a, '_> {
    pub(super) fn emitted(&mut self, scope: &Scope<'a>, call: &FnCallExpr, arguments: &[Argument<'a>], at: Position) {
        let (Some(Expr::StringConstant(kind, kind_at)), Some(data)) = (call.args.first(), arguments.get(1)) else {
            return;
        };
        if let Some(options) = arguments.get(2) {
            self.options(&options.known);
        }
        let of_type = || self.given.emits.iter().filter(|emits| emits.event == kind.as_str());
        let version = match arguments.get(2).map(|options| &options.known) {
            None => None,
            Some(options) => match version(options) {
                Ok(version) => version,
                Err(()) => return,
            },
        };
        let chosen = of_type().filter(|emits| version.is_none_or(|version| version == i64::from(emits.version)));
        let Some(emits) = chosen.max_by_key(|emits| emits.version) else {
            let declared = of_type().next().is_some();
            return self.undeclared(kind, version.filter(|_| declared), *kind_at);
        };
        let at = if data.at.is_none() { at } else { data.at };
        self.must_match(scope, &data.known.clone(), emits.data, at);
    }

    /// Its third argument, where the script writes it.
    fn options(&mut self, known: &Type<'a>) {
        let Some([Atom::Map(record)]) = known.atoms() else { return };
        for (name, member) in record.members.iter().filter(|_| super::is_own(record)) {
            let given = member.slot.resolved(None);
            let takes: &[Kind] = match &**name {
                "version" => &[Kind::Int],
                "key" => &[Kind::Int, Kind::Text],
                "headers" => &[Kind::Map],
                _ => {
                    let message = format!("`emit` has no option `{name}`; it has `version`, `key` and `headers`");
                    self.wrong_type(member.at, message, &given);
                    continue;
                }
            };
            if !given.is_never() && !takes.iter().chain([&Kind::Unit]).any(|kind| given.may_be(*kind)) {
                let kinds: Vec<&str> = takes.iter().map(|kind| kind.told()).collect();
                let message = format!("`{name}` is {}, and must be {}", told(&given), kinds.join(" or "));
                self.wrong_type(member.at, message, &given);
            }
            let headers = given.single_map().filter(|_| &**name == "headers");
            for (name, member) in headers.iter().flat_map(|headers| &headers.members) {
                let value = member.slot.resolved(None);
                if !value.is_never() && !value.may_be(Kind::Text) {
                    let message = format!("the header `{name}` is {}, and must be a string", told(&value));
                    self.wrong_type(member.at, message, &value);
                }
            }
        }
    }

    fn undeclared(&mut self, kind: &str, version: Option<i64>, at: Position) {
        if self.report.caught > 0 {
            return;
        }
        let message = match version {
            Some(version) => format!("this pipeline does not declare version {version} of `{kind}` under `emits`"),
            None => format!("this pipeline does not declare `{kind}` under `emits`"),
        };
        let names = || self.given.emits.iter().map(|emits| emits.event);
        let help = match did_you_mean(kind, names()) {
            Some(meant) => format!("did you mean `{meant}`?"),
            None => format!("add it: `- {{ event: {kind}, version: {}, to: … }}`", version.unwrap_or(1)),
        };
        let surely = surely_meant(kind, names());
        let diagnostic = self.report.at(&rules::UNDECLARED, at, message).help(help).meant(kind, surely);
        self.report.tell(diagnostic, None);
    }

    pub(super) fn must_match(&mut self, scope: &Scope<'a>, known: &Type<'a>, document: &'a Document<'a>, at: Position) {
        let mut refusals = Refusals { scope, all: Vec::new() };
        refused(known, &document.root(), ("data", at), MAX_DEPTH, &mut refusals);
        for refusal in refusals.all {
            if self.report.caught > 0 || refusal.because.as_ref().is_some_and(|path| self.is_examined(path)) {
                continue;
            }
            if let Some(path) = &refusal.because {
                self.wants(path);
            }
            let mut diagnostic = self.report.at(&rules::REFUSED_DATA, refusal.at, refusal.message);
            if refusal.some {
                diagnostic.level = Level::Warning;
            }
            diagnostic.help = refusal.help;
            self.report.tell(diagnostic, Some(refusal.says));
        }
    }
}

/// What is found, and where the script is.
struct Refusals<'s, 'a> {
    scope: &'s Scope<'a>,
    all: Vec<Refusal>,
}

/// The version that options ask for. `Err`: that cannot be told.
fn version(options: &Type<'_>) -> Result<Option<i64>, ()> {
    let Some([Atom::Map(record)]) = options.atoms() else { return Err(()) };
    if !matches!(record.rest, Rest::Nothing) {
        return Err(());
    }
    let Some(Member { slot: Slot::Known(version), .. }) = record.members.get("version") else {
        return if record.members.contains_key("version") { Err(()) } else { Ok(None) };
    };
    match version.atoms() {
        Some([Atom::Int(Some(ints))]) if ints.len() == 1 => Ok(ints.first().copied()),
        _ => Err(()),
    }
}

/// Adds the reasons why a value is not valid by a schema.
fn refused<'a>(
    known: &Type<'a>,
    schema: &Node<'a>,
    (name, at): (&str, Position),
    left: usize,
    refusals: &mut Refusals<'_, 'a>,
) {
    let (Some(left), wanted) = (left.checked_sub(1), schema.read(None)) else { return };
    let (Some(atoms), Some(accepted)) = (known.atoms(), wanted.atoms()) else { return };
    if atoms.is_empty() || accepted.is_empty() {
        return;
    }
    let fits = |atom: &&Atom<'a>| accepted.iter().any(|other| other.kind().family() == atom.kind().family());
    let good = atoms.iter().filter(fits).count();
    let open = known.open.filter(|open| refusals.scope.stretch == Some(*open));
    let mut refuse = |some, message, because| {
        refusals.all.push(Refusal { some, message, help: None, at, says: Says::type_of(schema), because });
    };
    if good == 0 {
        let because = known.absences().next().filter(|absent| !absent.sure).map(|absent| absent.place.path);
        return refuse(false, format!("`{name}` is {}, and must be {}", told(known), told(&wanted)), because);
    }
    if let Some(absent) = known.absences().next().filter(|_| !wanted.may_be(Kind::Unit)) {
        let path = &absent.place.path;
        let how = if matches!(absent.why, Why::Null(_)) { "null" } else { "absent" };
        let message = format!("`{name}` must be {}, and `{path}` may be {how}", told(&wanted));
        refuse(true, message, Some(path.clone()));
    }
    if super::narrow::equals(&known.present(), &wanted).is_never() && !known.present().is_never() {
        let says = format!("`{name}` is {}, and must be {}", report::values(known), report::values(&wanted));
        return refuse(false, says, None);
    }
    let is_valid = |atom: &Atom<'a>| !super::narrow::equals(&Type::of(atom.clone()), &wanted).is_never();
    if let Some(astray) = open.and_then(|_| known.singly().astray(is_valid)) {
        let says = format!("`{name}` may be {}, and must be {}", report::values(&astray), report::values(&wanted));
        return refuse(true, says, None);
    }
    let (given, wanted) = (maps(atoms), maps(accepted));
    if let [given] = given.as_slice() {
        match alone(given, &wanted) {
            Some(wanted) => members(given, &wanted, (name, at), left, refusals),
            None => refusals.all.extend(nearest(given, &wanted, (name, at), left, refusals.scope)),
        }
    }
    if let ([Atom::Array(item)], Some(of)) = (atoms, schema.items())
        && !item.is_never()
    {
        refused(item, &of, (&format!("{name}[]"), at), left, refusals);
    }
}

fn maps<'a>(atoms: &[Atom<'a>]) -> Vec<Rc<Record<'a>>> {
    let maps = atoms.iter().filter_map(|atom| match atom {
        Atom::Map(record) => Some(Rc::clone(record)),
        _ => None,
    });
    maps.collect()
}

/// The one of several objects that is meant: those that a constant rules out aside.
fn alone<'a>(given: &Record<'a>, wanted: &[Rc<Record<'a>>]) -> Option<Rc<Record<'a>>> {
    let is_ruled_out = |wanted: &&Rc<Record<'a>>| {
        wanted.members.iter().any(|(name, member)| {
            let said = member.slot.resolved(None);
            let is_constant = matches!(said.atoms(), Some([Atom::Text(Some(texts))]) if texts.len() == 1);
            is_constant
                && given.read(name).is_some_and(|given| {
                    !given.is_any() && !given.is_never() && super::narrow::equals(&given, &said).is_never()
                })
        })
    };
    if let [one] = wanted {
        return Some(Rc::clone(one));
    }
    let mut left = wanted.iter().filter(|wanted| !is_ruled_out(wanted));
    left.next().filter(|_| left.next().is_none()).map(Rc::clone)
}

/// Where each of several objects refuses it for sure: the reasons of the one that has the fewest.
fn nearest<'a>(
    given: &Record<'a>,
    wanted: &[Rc<Record<'a>>],
    place: (&str, Position),
    left: usize,
    scope: &Scope<'a>,
) -> Vec<Refusal> {
    let refused_by = |wanted: &Rc<Record<'a>>| {
        let mut refusals = Refusals { scope, all: Vec::new() };
        members(given, wanted, place, left, &mut refusals);
        refusals.all.iter().any(|refusal| !refusal.some && refusal.because.is_none()).then_some(refusals.all)
    };
    let each: Option<Vec<Vec<Refusal>>> = wanted.iter().map(refused_by).collect();
    each.into_iter().flatten().min_by_key(Vec::len).unwrap_or_default()
}

fn members<'a>(
    given: &Record<'a>,
    wanted: &Record<'a>,
    (name, at): (&str, Position),
    left: usize,
    refusals: &mut Refusals<'_, 'a>,
) {
    let Some(says) = &wanted.says else { return };
    for (member, slot) in &wanted.members {
        let Some(own) = given.members.get(member) else {
            let unknown = matches!(given.rest, Rest::Unknown | Rest::Said(_) | Rest::Known(_));
            let may_have_it = unknown && given.says.is_none();
            if !(slot.optional || may_have_it) {
                let message = format!("`{name}` lacks `{member}`");
                let (says, at) = (Says::required(member, says), given.at.unwrap_or(at));
                refusals.all.push(Refusal { some: unknown, message, help: None, at, says, because: None });
            }
            continue;
        };
        let at = if own.at.is_none() { at } else { own.at };
        let place = given.place.as_ref().map(|place| place.member(member));
        // One that the script puts there on some way only may be there on every way that leads here.
        if let Some(place) = place.as_ref().filter(|_| own.optional && !slot.optional && !given.is_conditional()) {
            let path = place.path.clone();
            let message = format!("`{name}` must have `{member}`, and `{path}` may be absent");
            let says = Says::required(member, says);
            refusals.all.push(Refusal { some: true, message, help: None, at, says, because: Some(path) });
        }
        if let Slot::Said(node) = &slot.slot {
            let known = own.slot.resolved(place.as_ref());
            refused(&known, node, (&format!("{name}.{member}"), at), left, refusals);
        }
    }
    if !matches!(wanted.rest, Rest::Nothing) {
        return;
    }
    for (member, own) in given.members.iter().filter(|(name, _)| !wanted.members.contains_key(*name)) {
        let names = || wanted.members.keys().map(|name| &**name);
        let help = match did_you_mean(member, names()) {
            Some(meant) => format!("did you mean `{meant}`?"),
            None => format!("it may have {}", listed(names().map(|name| format!("`{name}`")))),
        };
        let at = if own.at.is_none() { at } else { own.at };
        let message = format!("`{name}` must not have `{member}`");
        let some = own.optional;
        if some && own.at.is_none() && given.place.is_none() {
            continue;
        }
        refusals.all.push(Refusal { some, message, help: Some(help), at, says: Says::no_others(says), because: None });
    }
}
