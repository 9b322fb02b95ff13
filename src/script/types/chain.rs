//! `event.data.items[0].price`: what each step finds.

use std::rc::Rc;

use rhai::{ASTFlags, Expr, FnCallExpr, Position};

use super::model::{Absent, Atom, Kind, Place, Type, Why};
use super::record::{Record, Rest};
use super::scope::{Path, Scope, Step};
use super::trial::Form;
use super::walk::{THIS, Walker};

/// One step of a chain.
pub(super) struct Hop<'e> {
    link: Link<'e>,
    /// `?.`: of `()` it yields `()`, and the chain ends.
    safe: bool,
}

enum Link<'e> {
    Property(&'e str, Position),
    Call(&'e FnCallExpr, Position),
    Index(&'e Expr),
}

/// What a chain begins with, and its steps.
pub(super) fn flattened(chain: &Expr) -> (&Expr, Vec<Hop<'_>>) {
    let (mut hops, mut base) = (Vec::new(), None);
    let mut rest = chain;
    loop {
        let (parts, flags, is_index) = match rest {
            Expr::Dot(parts, flags, _) => (parts, *flags, false),
            Expr::Index(parts, flags, _) => (parts, *flags, true),
            _ => return (base.unwrap_or(chain), hops),
        };
        base = base.or(Some(&parts.lhs));
        let safe = flags.intersects(ASTFlags::NEGATED);
        // Behind an index that ends the chain, whatever stands is the index.
        let goes_on =
            matches!(parts.rhs, Expr::Dot(..) | Expr::Index(..)) && !(is_index && flags.intersects(ASTFlags::BREAK));
        let next = match &parts.rhs {
            Expr::Dot(inner, ..) | Expr::Index(inner, ..) if goes_on => &inner.lhs,
            whole => whole,
        };
        let link = match next {
            Expr::Property(property, at) if !is_index => Link::Property(&property.2, *at),
            Expr::MethodCall(call, at) if !is_index => Link::Call(call, *at),
            index => Link::Index(index),
        };
        hops.push(Hop { link, safe });
        if !goes_on {
            return (base.unwrap_or(chain), hops);
        }
        rest = &parts.rhs;
    }
}

/// What is marked of an expression that is at fault: the last name of a chain.
pub(super) fn blamed(expression: &Expr) -> Position {
    if let Expr::Dot(..) | Expr::Index(..) = expression {
        let (base, hops) = flattened(expression);
        let names = hops.iter().rev().find_map(|hop| match &hop.link {
            Link::Property(_, at) | Link::Call(_, at) => Some(*at),
            Link::Index(index @ Expr::StringConstant(..)) => Some(index.position()),
            Link::Index(_) => None,
        });
        return names.unwrap_or_else(|| base.start_position());
    }
    if let Expr::Coalesce(parts, _) = expression
        && let Some(first) = parts.first()
    {
        return blamed(first);
    }
    expression.start_position()
}

/// The first step of a chain from this variable, where it is a property.
pub(super) fn member_of<'e>(chain: &'e Expr, variable: &str) -> Option<&'e str> {
    let (base, hops) = flattened(chain);
    match (base, &hops.first()?.link) {
        (Expr::Variable(found, ..), Link::Property(name, _)) if found.1 == variable => Some(name),
        _ => None,
    }
}

/// The method that a chain ends with.
pub(super) fn last_call(chain: &Expr) -> Option<&str> {
    match &flattened(chain).1.last()?.link {
        Link::Call(call, _) => Some(&call.name),
        _ => None,
    }
}

/// The variable that a chain begins with.
pub(super) fn root(chain: &Expr) -> Option<Rc<str>> {
    match chain {
        Expr::Dot(..) | Expr::Index(..) => root(flattened(chain).0),
        Expr::Variable(variable, ..) if variable.2.path.is_empty() => Some(variable.1.as_str().into()),
        Expr::ThisPtr(_) => Some(THIS.into()),
        _ => None,
    }
}

impl Link<'_> {
    /// What it is, of whatever it is.
    fn asks(&self) -> bool {
        matches!(self, Self::Call(call, _) if call.name == "type_of")
    }

    /// The step it is, if it always is the same.
    fn step(&self) -> Option<Step> {
        match self {
            Self::Property(name, _) => Some(Step::Member((*name).into())),
            Self::Index(Expr::StringConstant(name, _)) => Some(Step::Member(name.as_str().into())),
            Self::Index(Expr::IntegerConstant(index, _)) => Some(Step::Item(index.to_string(), None)),
            Self::Index(Expr::Variable(variable, ..)) if variable.2.path.is_empty() => {
                Some(Step::Item(variable.1.to_string(), Some(variable.1.as_str().into())))
            }
            _ => None,
        }
    }
}

impl<'a> Walker<'a, '_> {
    /// The variable and the way into it that an expression stands for.
    pub(super) fn path(&self, expression: &Expr) -> Option<Path> {
        match expression {
            Expr::Dot(..) | Expr::Index(..) => {
                let (base, hops) = flattened(expression);
                let mut path = self.path(base)?;
                for hop in hops {
                    path.steps.push(hop.link.step()?);
                }
                Some(path)
            }
            _ => Some(Path { root: root(expression)?, steps: Vec::new() }),
        }
    }

    /// `object.contains("name")`.
    pub(super) fn contains(&self, test: &Expr) -> Option<(Path, Rc<str>)> {
        let (base, hops) = flattened(test);
        let (last, before) = hops.split_last()?;
        let Link::Call(call, _) = &last.link else { return None };
        let [Expr::StringConstant(name, _)] = call.args.as_slice() else { return None };
        if call.name != "contains" {
            return None;
        }
        let mut path = self.path(base)?;
        for hop in before {
            path.steps.push(hop.link.step()?);
        }
        Some((path, name.as_str().into()))
    }

    /// What must be there for a chain to yield something: all before a `?.`.
    pub(super) fn safe_prefixes(&self, chain: &Expr) -> Vec<Path> {
        let (base, hops) = flattened(chain);
        let Some(mut path) = self.path(base) else { return Vec::new() };
        let mut prefixes = Vec::new();
        for hop in &hops {
            if hop.safe {
                prefixes.push(path.clone());
            }
            let Some(step) = hop.link.step() else { break };
            path.steps.push(step);
        }
        prefixes
    }

    /// What is at a path, without a word about it.
    pub(super) fn at_path(&mut self, scope: &Scope<'a>, path: &Path) -> Type<'a> {
        let Some(variable) = scope.get(&path.root) else { return Type::any() };
        let mut known = variable.known.clone();
        for (nth, step) in path.steps.iter().enumerate() {
            known = known.each(|atom| match (step, atom) {
                (Step::Member(name), Atom::Map(record)) => record.read(name).unwrap_or_else(Type::any),
                (Step::Item(..), Atom::Array(item)) => (**item).clone(),
                (_, Atom::Unit(_)) => Type::never(),
                _ => Type::any(),
            });
            let here = Path { root: path.root.clone(), steps: path.steps[..=nth].to_vec() };
            if let Some(found) = scope.fact(&here) {
                known = found.clone();
            }
        }
        known
    }

    pub(super) fn chain(&mut self, scope: &mut Scope<'a>, chain: &Expr) -> Type<'a> {
        let (base, hops) = flattened(chain);
        self.follow(scope, base, &hops)
    }

    /// Looks at what holds the last member of a chain that is written to.
    pub(super) fn holds(&mut self, scope: &mut Scope<'a>, chain: &Expr) {
        let (base, hops) = flattened(chain);
        let Some((last, before)) = hops.split_last() else { return };
        let holder = self.follow(scope, base, before);
        let at = match before.last().map(|hop| &hop.link) {
            Some(Link::Property(_, at)) => *at,
            _ => base.start_position(),
        };
        if let Link::Index(index) = last.link {
            let of = self.express(scope, index);
            if !(matches!(index, Expr::StringConstant(..)) && holder.is_only(Kind::Map)) {
                self.indexed(&holder, &of, None, index.start_position(), at);
            }
        }
        let fits = holder.atoms().is_none_or(|atoms| atoms.iter().any(|atom| atom.kind() != Kind::Unit));
        if let Some(absent) = holder.absences().next().filter(|_| fits) {
            self.may_be_absent(&absent, at, "`()` has no members to write to");
        }
    }

    fn follow(&mut self, scope: &mut Scope<'a>, base: &Expr, hops: &[Hop<'_>]) -> Type<'a> {
        let mut known = self.aside(scope, base);
        let mut path = self.path(base);
        let mut at = blamed(base);
        let mut ended = Type::never();
        for hop in hops {
            if hop.safe && !known.is_any() {
                ended = ended.or(known.filtered(|atom| atom.kind() == Kind::Unit));
                self.tests(&known);
                // What comes after is only looked at where there is something.
                scope.stretch = scope.stretch.filter(|_| !known.may_be(Kind::Unit));
                known = known.present();
            } else if !hop.link.asks() {
                self.relies(scope, &known);
            }
            if known.is_never() {
                return if ended.is_never() { Type::any() } else { ended };
            }
            match &hop.link {
                Link::Property(name, here) => {
                    known = self.member(&known, name, *here, at);
                    at = *here;
                }
                Link::Index(index @ Expr::StringConstant(name, here)) => {
                    self.express(scope, index);
                    known = self.indexed(&known, &Type::text(Some(name)), Some(name), *here, at);
                    at = *here;
                }
                Link::Index(index) => {
                    let of = self.express(scope, index);
                    known = self.indexed(&known, &of, None, index.start_position(), at);
                }
                Link::Call(call, here) => {
                    known = self.method(scope, (&known, at), path.as_ref(), call, *here);
                    at = *here;
                    if scope.dead {
                        return Type::never();
                    }
                }
            }
            path = path.and_then(|mut path| {
                path.steps.push(hop.link.step()?);
                Some(path)
            });
            if let Some(found) = path.as_ref().and_then(|path| scope.fact(path)) {
                known = found.clone();
            }
            known = scope.seen(known);
        }
        if known.is_any() && !ended.is_never() {
            self.hands_on(&known);
            return Type::any();
        }
        // Where it is something, it is what stands there.
        let place = known.copy_of.clone();
        known.or(ended).copied(place)
    }

    fn indexed(
        &mut self,
        known: &Type<'a>,
        index: &Type<'a>,
        name: Option<&str>,
        here: Position,
        before: Position,
    ) -> Type<'a> {
        if let Some(name) = name
            && known.is_only(Kind::Map)
        {
            return self.member(known, name, here, before);
        }
        match name {
            Some(name) => self.reads(known, name, here),
            None if !known.is_only(Kind::Array) => {
                // It is looked for by a name that is not known.
                self.examines_within(known);
                self.hands_on(known);
            }
            None => {}
        }
        let item = known.copy_of.as_ref().filter(|_| known.present().is_only(Kind::Array)).map(Place::item);
        let (Some(_), Some(kinds)) = (known.atoms(), index.kinds()) else {
            let member = known.copy_of.as_ref().zip(name).map(|(place, name)| place.member(name));
            return Type::any().copied(member.filter(|_| known.is_any()));
        };
        let good = known.filtered(|atom| {
            let works = |kind: &Kind| {
                let trials = &self.engine.trials;
                trials.result(&self.engine.rhai, Form::Index, "[", &[atom.kind(), *kind]).is_some()
            };
            kinds.is_empty() || kinds.iter().any(works)
        });
        let by_nothing = |atom: &Atom<'a>| {
            let trials = &self.engine.trials;
            trials.result(&self.engine.rhai, Form::Index, "[", &[atom.kind(), Kind::Unit]).is_some()
        };
        if let Some(absent) = index.absences().next().filter(|_| known.filtered(by_nothing).is_never()) {
            self.may_be_absent(&absent, here, "there are no items by `()`");
        } else if let Some(astray) = index.astray(|index| {
            let works = |atom: &Atom<'a>| {
                let trials = &self.engine.trials;
                trials.result(&self.engine.rhai, Form::Index, "[", &[atom.kind(), index.kind()]).is_some()
            };
            !known.filtered(works).is_never()
        }) {
            let told = super::express::told;
            self.sometimes_wrong(here, format!("{} has no items by {}", told(known), told(&astray)), known);
        } else if let Some(absent) = known.absences().next() {
            self.may_be_absent(&absent, before, "`()` has no items");
        } else if good.is_never() && !known.is_never() && !known.is_only(Kind::Unit) && !index.is_only(Kind::Unit) {
            let message = format!("{} has no items by {}", super::express::told(known), super::express::told(index));
            self.wrong_type(here, message, known);
        }
        let found = good.each(|atom| match atom {
            Atom::Array(item) if !item.is_never() => (**item).clone(),
            Atom::Map(record) => match (name, &record.rest) {
                (Some(name), _) => record.read(name).unwrap_or_else(Type::any),
                (None, Rest::Known(known)) => known.clone().or(Type::unit(None)),
                _ => Type::any(),
            },
            Atom::Text(_) if index.is_only(Kind::Int) => Type::of(Atom::Char),
            // One of its bits.
            Atom::Int(_) if index.is_only(Kind::Int) => Type::boolean(),
            _ => Type::any(),
        });
        found.copied(item)
    }

    /// What a property of it is, and whether it can have one of this name.
    fn member(&mut self, known: &Type<'a>, name: &str, here: Position, before: Position) -> Type<'a> {
        self.reads(known, name, here);
        let Some(atoms) = known.atoms() else {
            return Type::any().copied(known.copy_of.as_ref().map(|place| place.member(name)));
        };
        let (mut found, mut lacking, mut bad) = (Type::never(), Vec::new(), Vec::new());
        for atom in atoms {
            match atom {
                Atom::Map(record) => {
                    self.almost(record, name, here);
                    match record.read(name) {
                        Some(read) => found = found.or(read),
                        None => lacking.push(record),
                    }
                }
                other => {
                    let kind = other.kind();
                    match self.engine.trials.result(&self.engine.rhai, Form::Property, name, &[kind]) {
                        Some(made) => found = found.or(Type::of_made(made)),
                        None => bad.push(kind),
                    }
                }
            }
        }
        if let Some(absent) = known.absences().next() {
            self.may_be_absent(&absent, before, &format!("`()` has no `{name}`"));
        }
        if let Some(astray) = known.astray(|atom| !bad.contains(&atom.kind())).filter(|_| !found.is_never()) {
            self.sometimes_wrong(here, format!("{} has no `{name}`", super::express::told(&astray)), &astray);
        }
        if found.is_never() && !known.is_never() {
            match lacking.first() {
                // An object that the script wrote itself may get it in ways that are not followed.
                Some(record) if super::is_own(record) => return Type::unit(None),
                Some(record) if record.is_kept() => {
                    self.never_written(record, name, here);
                    return record.place.as_ref().map_or_else(Type::any, |place| Type::unset(place.member(name)));
                }
                Some(record) => self.unknown_member(record, name, here),
                None if known.absences().next().is_none() && !bad.is_empty() => {
                    let message = format!("{} has no `{name}`", super::express::told(known));
                    self.wrong_type(here, message, known);
                    return Type::never();
                }
                None => return Type::never(),
            }
            return Type::any();
        }
        for record in lacking {
            if record.is_conditional() {
                return Type::any();
            }
            let absent = record.place.as_ref().zip(record.says);
            let absent = absent.map(|(place, says)| Absent::new(place.member(name), Why::Unnamed(says)));
            found = found.or(Type::unit(absent));
        }
        found
    }

    /// A name that is not described where one is that is nearly the same.
    fn almost(&mut self, record: &Rc<Record<'a>>, name: &str, here: Position) {
        if matches!(record.rest, Rest::Unknown) && !record.members.contains_key(name) && record.says.is_some() {
            self.almost_member(record, name, here);
        }
    }
}
