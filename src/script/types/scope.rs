//! What is known of variables at one point of a script.

use std::collections::BTreeSet;
use std::rc::Rc;

use rhai::Expr;

use super::model::{Atom, Kind, Place, Stretch, Type};
use super::record::{Member, Record};

#[derive(Clone, Debug)]
pub(super) struct Variable<'a> {
    pub(super) name: Rc<str>,
    pub(super) known: Type<'a>,
    pub(super) constant: bool,
    /// A closure has it too and may change it at any time.
    pub(super) shared: bool,
    /// The test whose answer it holds, while that still is the answer.
    test: Option<Rc<Expr>>,
}

/// What was found out of an item of an array: `items[0]`, `items[i]`.
#[derive(Clone, Debug)]
struct Fact<'a> {
    key: String,
    /// Variables it is about.
    of: Vec<Rc<str>>,
    known: Type<'a>,
}

#[derive(Clone, Debug, Default)]
pub(super) struct Scope<'a> {
    /// Scopes are copied often, and seldom changed.
    variables: Rc<Vec<Variable<'a>>>,
    facts: Vec<Fact<'a>>,
    /// Places of the event that have something in them.
    present: BTreeSet<Rc<str>>,
    /// Where this is; `None` behind a place where ways met.
    pub(super) stretch: Option<Stretch>,
    /// Nothing comes here.
    pub(super) dead: bool,
}

/// One step from a value into it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Step {
    Member(Rc<str>),
    /// An item, with the index as it is written, and the variable that it is.
    Item(String, Option<Rc<str>>),
}

/// A variable, and the way into it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Path {
    pub(super) root: Rc<str>,
    pub(super) steps: Vec<Step>,
}

impl Path {
    fn key(&self, steps: usize) -> String {
        let mut key = self.root.to_string();
        for step in &self.steps[..steps] {
            match step {
                Step::Member(name) => key.extend([".", name]),
                Step::Item(index, _) => key.extend(["[", index, "]"]),
            }
        }
        key
    }

    /// It leads to an item, or into one: there are others beside it.
    pub(super) fn is_one_of_many(&self) -> bool {
        self.items() > 0
    }

    /// Steps up to the last item, that included.
    fn items(&self) -> usize {
        self.steps.iter().rposition(|step| matches!(step, Step::Item(..))).map_or(0, |at| at + 1)
    }
}

impl<'a> Scope<'a> {
    pub(super) fn declare(&mut self, name: &str, known: Type<'a>, constant: bool) {
        self.forget(name);
        Rc::make_mut(&mut self.variables).push(Variable {
            name: name.into(),
            known,
            constant,
            shared: false,
            test: None,
        });
    }

    pub(super) fn get(&self, name: &str) -> Option<&Variable<'a>> {
        self.variables.iter().rev().find(|variable| &*variable.name == name)
    }

    fn get_mut(&mut self, name: &str) -> Option<&mut Variable<'a>> {
        let at = self.variables.iter().rposition(|variable| &*variable.name == name)?;
        Rc::make_mut(&mut self.variables).get_mut(at)
    }

    pub(super) fn len(&self) -> usize {
        self.variables.len()
    }

    /// Ends a block that began with so many variables.
    pub(super) fn leave(&mut self, variables: usize) {
        if variables < self.variables.len() {
            for gone in Rc::make_mut(&mut self.variables).split_off(variables) {
                self.forget(&gone.name);
            }
        }
    }

    pub(super) fn assign(&mut self, name: &str, known: Type<'a>) {
        self.forget(name);
        if let Some(variable) = self.get_mut(name) {
            variable.known = if variable.shared { Type::any() } else { known };
        }
    }

    /// From here on anything may happen to it.
    pub(super) fn share(&mut self, name: &str) {
        if self.get(name).is_some_and(|variable| variable.constant) {
            return;
        }
        self.assign(name, Type::any());
        if let Some(variable) = self.get_mut(name) {
            variable.shared = true;
        }
    }

    /// Everything that is not constant may be anything.
    pub(super) fn widen_all(&mut self) {
        let names: Vec<Rc<str>> = self.variables.iter().filter(|v| !v.constant).map(|v| v.name.clone()).collect();
        names.iter().for_each(|name| self.assign(name, Type::any()));
    }

    /// What was found out about a variable is about another value now.
    fn forget(&mut self, name: &str) {
        self.facts.retain(|fact| fact.of.iter().all(|of| &**of != name));
        for at in 0..self.variables.len() {
            let Some(test) = self.variables.get(at).and_then(|variable| variable.test.as_ref()) else { continue };
            let is_about =
                mentions(test, name) || self.variables.get(at).is_some_and(|variable| &*variable.name == name);
            if let Some(variable) = Rc::make_mut(&mut self.variables).get_mut(at).filter(|_| is_about) {
                variable.test = None;
            }
        }
    }

    pub(super) fn test(&self, name: &str) -> Option<Rc<Expr>> {
        self.get(name)?.test.clone()
    }

    /// The variable holds the answer of a test.
    pub(super) fn answers(&mut self, name: &str, test: &Expr) {
        if !mentions(test, name)
            && let Some(variable) = self.get_mut(name)
        {
            variable.test = Some(Rc::new(test.clone()));
        }
    }

    /// What was found out of a path that ends with an item.
    pub(super) fn fact(&self, path: &Path) -> Option<&Type<'a>> {
        let key = path.key(path.steps.len());
        self.facts.iter().find(|fact| fact.key == key).map(|fact| &fact.known)
    }

    /// Makes what is at a path something else. What becomes impossible on the way is left out; when nothing is left,
    /// nothing comes here.
    pub(super) fn refine(&mut self, path: &Path, base: &Type<'a>, make: &dyn Fn(&Type<'a>) -> Type<'a>) {
        let items = path.items();
        let refined = refined(base, &path.steps[items..], make);
        self.dead |= refined.is_never() && !base.is_never();
        if items == 0 {
            if let Some(variable) = self.get_mut(&path.root).filter(|variable| !variable.shared) {
                variable.known = refined;
            }
            return;
        }
        let key = path.key(items);
        self.facts.retain(|fact| fact.key != key);
        let indexes = path.steps.iter().filter_map(|step| match step {
            Step::Item(_, variable) => variable.clone(),
            Step::Member(_) => None,
        });
        let of = std::iter::once(path.root.clone()).chain(indexes).collect();
        self.facts.push(Fact { key, of, known: refined });
    }

    /// The path to the last item in it: what `refine` needs the type of.
    pub(super) fn base(path: &Path) -> Path {
        Path { root: path.root.clone(), steps: path.steps[..path.items()].to_vec() }
    }

    /// Writes a member, or a member of a member.
    pub(super) fn write(&mut self, path: &Path, known: Type<'a>, at: rhai::Position) {
        let Some(variable) = self.get(&path.root) else { return };
        let after = written(&variable.known, &path.steps, &known, at);
        self.assign(&path.root, after);
    }

    /// The event has something in this place: so has every copy of it.
    pub(super) fn finds(&mut self, place: &Place) {
        if place.unique {
            // And so has everything on the way there.
            let above = place.path.match_indices('.').map(|(at, _)| place.path[..at].into());
            self.present.extend(above.chain([place.path.clone()]));
        }
    }

    /// Whether it is known that the event has something in this place.
    pub(super) fn has_found(&self, place: &Place) -> bool {
        self.present.contains(&place.path)
    }

    /// A value as it is read here.
    pub(super) fn seen(&self, mut known: Type<'a>) -> Type<'a> {
        known.open = known.open.filter(|open| self.stretch == Some(*open));
        if self.present.is_empty() {
            return known;
        }
        known.filtered(|atom| match atom {
            Atom::Unit(Some(absent)) => !(absent.place.unique && self.present.contains(&absent.place.path)),
            _ => true,
        })
    }

    /// What a function that is called from here sees of it.
    pub(super) fn of_function(&self) -> Self {
        Self { present: self.present.clone(), ..Self::default() }
    }

    /// Where nothing comes.
    pub(super) fn nowhere() -> Self {
        Self { dead: true, ..Self::default() }
    }

    /// What is known after several ways met.
    pub(super) fn becomes(&mut self, met: Self) {
        if met.dead {
            self.dead = true;
        } else {
            *self = met;
        }
    }

    /// What is known where two ways meet.
    pub(super) fn join(self, other: Self) -> Self {
        if self.dead {
            return other;
        }
        if other.dead {
            return self;
        }
        let joined = |(a, b): (&Variable<'a>, &Variable<'a>)| {
            let test = match (&a.test, &b.test) {
                (Some(a), Some(b)) if Rc::ptr_eq(a, b) => Some(Rc::clone(a)),
                _ => None,
            };
            let (constant, shared) = (a.constant && b.constant, a.shared || b.shared);
            Variable { known: a.known.clone().or(b.known.clone()), name: a.name.clone(), constant, shared, test }
        };
        let variables = if Rc::ptr_eq(&self.variables, &other.variables) {
            self.variables
        } else {
            Rc::new(self.variables.iter().zip(other.variables.iter()).map(joined).collect())
        };
        let facts = self.facts.into_iter().filter_map(|fact| {
            let same = other.facts.iter().find(|known| known.key == fact.key)?;
            Some(Fact { known: fact.known.or(same.known.clone()), ..fact })
        });
        let present = &self.present & &other.present;
        let stretch = self.stretch.filter(|stretch| other.stretch == Some(*stretch));
        Self { variables, facts: facts.collect(), present, stretch, dead: false }
    }
}

fn mentions(test: &Expr, name: &str) -> bool {
    let mut found = false;
    test.walk(&mut Vec::new(), &mut |path| {
        found |= matches!(path.last(), Some(rhai::ASTNode::Expr(Expr::Variable(variable, ..))) if variable.1 == name);
        !found
    });
    found
}

fn refined<'a>(known: &Type<'a>, steps: &[Step], make: &dyn Fn(&Type<'a>) -> Type<'a>) -> Type<'a> {
    let [Step::Member(name), rest @ ..] = steps else { return make(known) };
    known.each(|atom| {
        let Atom::Map(record) = atom else {
            // Of anything else there is no member, or, asked for with `?.`, nothing.
            let nothing = refined(&Type::of(atom.clone()), rest, make);
            let gone = matches!(atom, Atom::Unit(_)) && nothing.is_never();
            return if gone { Type::never() } else { Type::of(atom.clone()) };
        };
        let before = record.read(name).unwrap_or_else(|| Type::unit(None));
        let after = refined(&before, rest, make);
        if after.is_never() && !before.is_never() {
            return Type::never();
        }
        if after.is_any() && before.is_any() {
            return Type::of(atom.clone());
        }
        let at = record.members.get(name).map_or(rhai::Position::NONE, |member| member.at);
        Type::map(record.with(name, Member::known(after, at)))
    })
}

fn written<'a>(known: &Type<'a>, steps: &[Step], value: &Type<'a>, at: rhai::Position) -> Type<'a> {
    let [step, rest @ ..] = steps else { return value.clone() };
    known.each(|atom| match (step, atom) {
        (Step::Member(name), Atom::Map(record)) => {
            let inner = if rest.is_empty() {
                value.clone()
            } else {
                written(&record.read(name).unwrap_or_else(Type::any), rest, value, at)
            };
            Type::map(Record::with(record, name, Member::known(inner, at)))
        }
        // It is not known which of them.
        (Step::Item(..), Atom::Array(item)) => {
            // All of them may be written so, one after the other.
            let value = if rest.is_empty() { value } else { &Type::any() };
            Type::of(Atom::Array(Rc::new((**item).clone().or(written(item, rest, value, at)))))
        }
        (Step::Item(..), Atom::Map(_)) => Type::of_kind(Kind::Map),
        // A character, or a bit.
        (Step::Item(..), Atom::Text(_) | Atom::Int(_)) => Type::of_kind(atom.kind()),
        _ => Type::any(),
    })
}
