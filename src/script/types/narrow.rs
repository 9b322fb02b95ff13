//! What a test tells of the values in it, once its answer is known.

use std::collections::BTreeSet;
use std::rc::Rc;

use rhai::{Expr, FnCallExpr};

use super::model::{Absent, Atom, Kind, Type, Why};
use super::scope::{Path, Scope};
use super::walk::Walker;

impl<'a> Walker<'a, '_> {
    pub(super) fn narrow(&mut self, scope: &mut Scope<'a>, test: &Expr, answer: bool) {
        scope.stretch = None;
        if scope.dead || !self.works() {
            return;
        }
        match test {
            Expr::BoolConstant(value, _) => scope.dead |= *value != answer,
            Expr::And(parts, _) => self.narrow_all(scope, parts, true, answer),
            Expr::Or(parts, _) => self.narrow_all(scope, parts, false, answer),
            Expr::FnCall(call, _) => self.narrow_call(scope, call, answer),
            Expr::Variable(variable, ..) => {
                if let Some(held) = scope.test(&variable.1) {
                    self.narrow(scope, &held, answer);
                }
                self.narrow_truth(scope, test, answer);
            }
            Expr::Dot(..) | Expr::Index(..) => {
                if let Some((receiver, name)) = self.contains(test) {
                    self.narrow_contains(scope, &receiver, &name, answer);
                } else {
                    self.narrow_truth(scope, test, answer);
                }
            }
            Expr::Stmt(block) => {
                if let [rhai::Stmt::Expr(inner)] = block.statements() {
                    self.narrow(scope, inner, answer);
                }
            }
            _ => {}
        }
    }

    /// `a && b`, or `a || b`. Where the whole is not what its parts are, one of them decided, and the others before it did
    /// not.
    fn narrow_all(&mut self, scope: &mut Scope<'a>, parts: &[Expr], is_and: bool, answer: bool) {
        if is_and == answer {
            return parts.iter().for_each(|part| self.narrow(scope, part, answer));
        }
        let mut before = scope.clone();
        let mut met = Scope::nowhere();
        for part in parts {
            let mut decided = before.clone();
            self.narrow(&mut decided, part, answer);
            met = met.join(decided);
            self.narrow(&mut before, part, !answer);
        }
        scope.becomes(met);
    }

    fn narrow_call(&mut self, scope: &mut Scope<'a>, call: &FnCallExpr, answer: bool) {
        let (name, arguments) = (call.name.as_str(), call.args.as_slice());
        if call.is_qualified() {
            return;
        }
        match (name, arguments) {
            ("!", [inner]) => self.narrow(scope, inner, !answer),
            ("==", [a, b]) => self.narrow_equal(scope, a, b, answer),
            ("!=", [a, b]) => self.narrow_equal(scope, a, b, !answer),
            // `()` is neither more nor less than anything else.
            ("<" | "<=" | ">" | ">=", [a, b]) if answer => {
                let (of_a, of_b) = (self.known(scope, a), self.known(scope, b));
                scope.dead |= of_a.is_beside(&of_b);
                if !of_b.may_be(Kind::Unit) {
                    self.narrow_present(scope, a);
                }
                if !of_a.may_be(Kind::Unit) {
                    self.narrow_present(scope, b);
                }
            }
            ("contains", [container, item]) => {
                if let Expr::StringConstant(name, _) = item
                    && self.known(scope, container).is_only(Kind::Map)
                {
                    if let Some(path) = self.path(container) {
                        self.narrow_contains(scope, &path, name, answer);
                    }
                    return;
                }
                self.narrow_listed(scope, container, item, answer);
            }
            _ => {}
        }
    }

    /// What an expression is, without a word about it.
    pub(super) fn known(&mut self, scope: &Scope<'a>, expression: &Expr) -> Type<'a> {
        self.silently(|walker| walker.express(&mut scope.clone(), expression))
    }

    fn narrow_truth(&mut self, scope: &mut Scope<'a>, test: &Expr, answer: bool) {
        self.refine(scope, test, &|known| {
            known.filtered(|atom| match atom {
                Atom::Bool(value) => value.is_none_or(|value| value == answer),
                _ => false,
            })
        });
    }

    /// It is not `()`, and so is nothing on the way to it.
    pub(super) fn narrow_present(&mut self, scope: &mut Scope<'a>, expression: &Expr) {
        if let Some(place) = self.known(scope, expression).copy_of {
            scope.finds(&place);
            // It is one of many, known by another name.
            if !place.unique && matches!(expression, Expr::Variable(..)) {
                self.examined.insert(place.path);
            }
        }
        for prefix in self.safe_prefixes(expression) {
            self.refine_path(scope, &prefix, &Type::present);
        }
        self.refine(scope, expression, &Type::present);
    }

    fn narrow_equal(&mut self, scope: &mut Scope<'a>, a: &Expr, b: &Expr, equal: bool) {
        for (one, other) in [(a, b), (b, a)] {
            if let Some(of) = type_asked(one)
                && let Expr::StringConstant(name, _) = other
            {
                if let Some(kind) = Kind::named(name) {
                    self.refine(scope, of, &|known| known.filtered(|atom| (atom.kind() == kind) == equal));
                    if (kind == Kind::Unit) != equal {
                        self.narrow_present(scope, of);
                    }
                }
                return;
            }
        }
        let (of_a, of_b) = (self.known(scope, a), self.known(scope, b));
        for (one, of, other) in [(a, &of_a, &of_b), (b, &of_b, &of_a)] {
            if of.is_any() || other.is_any() {
                // It can still be told whether it is `()`.
                if equal && !other.may_be(Kind::Unit) {
                    self.narrow_present(scope, one);
                }
                continue;
            }
            if equal {
                scope.dead |= !of.is_never() && !other.is_never() && equals(of, other).is_never();
                if !other.may_be(Kind::Unit) {
                    self.narrow_present(scope, one);
                }
                self.refine(scope, one, &|known| equals(known, other));
            } else if other.is_only(Kind::Unit) {
                self.narrow_present(scope, one);
            } else if let Some(single) = single(other) {
                self.refine(scope, one, &|known| without(known, single));
            }
        }
    }

    /// `"name" in object`.
    fn narrow_contains(&mut self, scope: &mut Scope<'a>, object: &Path, name: &str, answer: bool) {
        let mut path = object.clone();
        path.steps.push(super::scope::Step::Member(name.into()));
        self.refine_path(scope, &path, &|known| {
            known.filtered(|atom| match atom {
                // Null is a value like any other: the name is there.
                Atom::Unit(Some(Absent { why: Why::Null(_), .. })) => answer,
                // Nothing may have been put there.
                Atom::Unit(None | Some(Absent { why: Why::Unset, .. })) => true,
                Atom::Unit(_) => !answer,
                _ => answer,
            })
        });
    }

    /// `value in ["a", "b"]`.
    fn narrow_listed(&mut self, scope: &mut Scope<'a>, list: &Expr, item: &Expr, answer: bool) {
        let Expr::Array(items, _) = list else { return };
        if !answer {
            return;
        }
        let listed = items.iter().map(|item| self.known(scope, item)).fold(Type::never(), Type::or);
        if !listed.is_any() && !listed.may_be(Kind::Unit) {
            self.narrow_present(scope, item);
        }
        if !listed.is_any() {
            self.refine(scope, item, &|known| equals(known, &listed));
        }
    }

    pub(super) fn refine(&mut self, scope: &mut Scope<'a>, expression: &Expr, make: &dyn Fn(&Type<'a>) -> Type<'a>) {
        if let Some(path) = self.path(expression) {
            self.refine_path(scope, &path, make);
        }
    }

    pub(super) fn refine_path(&mut self, scope: &mut Scope<'a>, path: &Path, make: &dyn Fn(&Type<'a>) -> Type<'a>) {
        let base = Scope::base(path);
        let known = if base.steps.is_empty() {
            match scope.get(&base.root) {
                Some(variable) => variable.known.clone(),
                None => return,
            }
        } else {
            self.at_path(scope, &base)
        };
        scope.refine(path, &known, make);
    }
}

/// What `type_of(x)`, or `x.type_of()`, asks of.
pub(super) fn type_asked(expression: &Expr) -> Option<&Expr> {
    match expression {
        Expr::FnCall(call, _) if call.name == "type_of" && call.args.len() == 1 => call.args.first(),
        _ => None,
    }
}

/// Whether it is a test, and nothing else.
pub(super) fn is_test(expression: &Expr) -> bool {
    match expression {
        Expr::And(parts, _) | Expr::Or(parts, _) => parts.iter().all(is_test),
        Expr::FnCall(call, _) if call.name == "!" => call.args.iter().all(is_test),
        Expr::FnCall(call, _) => ["==", "!=", "<", "<=", ">", ">=", "contains"].contains(&call.name.as_str()),
        _ => false,
    }
}

/// What is left of a type where it equals something of the other.
pub(super) fn equals<'a>(known: &Type<'a>, other: &Type<'a>) -> Type<'a> {
    let Some(others) = other.atoms() else { return known.clone() };
    let says = known.says;
    let left = known.each(|atom| {
        let alike: Vec<&Atom<'a>> =
            others.iter().filter(|other| other.kind().family() == atom.kind().family()).collect();
        match atom {
            _ if alike.is_empty() => Type::never(),
            Atom::Text(_) => Type::of(Atom::Text(common(atom_texts(atom), alike.iter().map(|o| atom_texts(o))))),
            Atom::Int(_) => Type::of(Atom::Int(common(atom_ints(atom), alike.iter().map(|o| atom_ints(o))))),
            Atom::Bool(value) => alike
                .iter()
                .filter_map(|other| match (value, other) {
                    (Some(a), Atom::Bool(Some(b))) if a != b => None,
                    (Some(a), _) => Some(Type::of(Atom::Bool(Some(*a)))),
                    (None, other) => Some(Type::of((**other).clone())),
                })
                .fold(Type::never(), Type::or),
            other => Type::of(other.clone()),
        }
    });
    let empty = |atom: &Atom<'a>| match atom {
        Atom::Text(Some(texts)) => texts.is_empty(),
        Atom::Int(Some(ints)) => ints.is_empty(),
        _ => false,
    };
    let left = left.filtered(|atom| !empty(atom));
    left.saying(says)
}

/// `None`: any.
type Values<T> = Option<Rc<BTreeSet<T>>>;

fn atom_texts(atom: &Atom<'_>) -> Values<Rc<str>> {
    match atom {
        Atom::Text(texts) => texts.clone(),
        _ => None,
    }
}

fn atom_ints(atom: &Atom<'_>) -> Values<i64> {
    match atom {
        Atom::Int(ints) => ints.clone(),
        _ => None,
    }
}

fn common<T: Ord + Clone>(one: Values<T>, others: impl Iterator<Item = Values<T>>) -> Values<T> {
    let others: Option<BTreeSet<T>> = others
        .map(|values| values.map(|values| (*values).clone()))
        .try_fold(BTreeSet::new(), |all, values| Some(&all | &values?));
    match (one, others) {
        (Some(one), Some(others)) => Some(Rc::new(&*one & &others)),
        (Some(one), None) => Some(one),
        (None, others) => others.map(Rc::new),
    }
}

/// The one value that a type has, if it has but one.
fn single<'t, 'a>(known: &'t Type<'a>) -> Option<&'t Atom<'a>> {
    match known.atoms()? {
        [atom @ Atom::Text(Some(texts))] if texts.len() == 1 => Some(atom),
        [atom @ Atom::Int(Some(ints))] if ints.len() == 1 => Some(atom),
        [atom @ Atom::Bool(Some(_))] => Some(atom),
        _ => None,
    }
}

fn without<'a>(known: &Type<'a>, value: &Atom<'a>) -> Type<'a> {
    let says = known.says;
    let left = known.each(|atom| match (atom, value) {
        (Atom::Text(Some(texts)), Atom::Text(Some(gone))) => less(texts, gone, Atom::Text),
        (Atom::Int(Some(ints)), Atom::Int(Some(gone))) => less(ints, gone, Atom::Int),
        (Atom::Bool(None), Atom::Bool(Some(gone))) => Type::of(Atom::Bool(Some(!gone))),
        (Atom::Bool(Some(is)), Atom::Bool(Some(gone))) if is == gone => Type::never(),
        (other, _) => Type::of(other.clone()),
    });
    left.saying(says)
}

fn less<'a, T: Ord + Clone>(
    values: &Rc<BTreeSet<T>>,
    gone: &BTreeSet<T>,
    make: impl Fn(Values<T>) -> Atom<'a>,
) -> Type<'a> {
    let left = &**values - gone;
    if left.is_empty() { Type::never() } else { Type::of(make(Some(Rc::new(left)))) }
}
