//! `switch`: which values come to which case.

use rhai::{Expr, Position, Stmt, SwitchCasesCollection};

use super::loops;
use super::model::{Atom, Kind, Type};
use super::narrow::{equals, type_asked};
use super::scope::{Path, Scope, Step};
use super::walk::Walker;

/// Values that are told apart.
const MAX_VALUES: usize = 256;

impl<'a> Walker<'a, '_> {
    pub(super) fn switch(
        &mut self,
        scope: &mut Scope<'a>,
        subject: &Expr,
        cases: &SwitchCasesCollection,
        at: Position,
    ) -> Type<'a> {
        let begun = self.tested.len();
        let known = self.express(scope, subject);
        let places: Vec<_> = known.absences().map(|absent| absent.place.path.clone()).collect();
        if self.examining > 0 {
            self.examined.extend(places.iter().cloned());
        }
        self.tested.extend(places);
        let asked = type_asked(subject);
        let known = asked.map_or(known, |of| kinds_of(&self.known(scope, of)));
        let by = By { of: asked.unwrap_or(subject), kind: asked.is_some() };
        let came = if cases.ranges.is_empty() { self.came(&known, cases) } else { None };
        for case in came.iter().flat_map(|came| &came.cases) {
            self.compares(&known, case);
        }
        let (mut met, mut value) = (Scope::nowhere(), Type::never());
        for (nth, case) in cases.expressions.iter().enumerate() {
            let mut inside = scope.clone();
            let of = came.as_ref().map(|came| if cases.def_case == Some(nth) { &came.rest } else { &came.cases[nth] });
            self.enter(&mut inside, &by, of);
            if inside.dead {
                continue;
            }
            if !matches!(case.lhs, Expr::BoolConstant(true, _)) {
                self.condition(&mut inside, &case.lhs);
                self.narrow(&mut inside, &case.lhs, true);
            }
            value = value.or(self.express(&mut inside, &case.rhs));
            met = met.join(inside);
        }
        if cases.def_case.is_none() {
            if let Some(came) = &came {
                self.without_case(&known, &came.rest, at);
            }
            let mut passed = scope.clone();
            if let Some(came) = &came {
                self.enter(&mut passed, &by, Some(&came.rest));
            }
            if !passed.dead {
                value = value.or(Type::unit(None));
            }
            met = met.join(passed);
        }
        let changes = |expression: &Expr| loops::assigned(&[], Some(expression)).is_none_or(|names| !names.is_empty());
        if came.is_none() || cases.expressions.iter().any(|case| changes(&case.rhs)) {
            self.forget_since(begun);
        }
        scope.becomes(met);
        value.open = Some(self.stretch(scope));
        value
    }

    /// What is known of the value in a case.
    fn enter(&mut self, scope: &mut Scope<'a>, by: &By<'_>, of: Option<&Type<'a>>) {
        scope.stretch = None;
        if let Some(of) = of {
            scope.dead |= of.is_never();
            let nothing = if by.kind { kind_named(of, Kind::Unit) } else { of.may_be(Kind::Unit) };
            if !nothing {
                self.narrow_present(scope, by.of);
            }
            return self.refine(scope, by.of, &|known| match by.kind {
                true => known.filtered(|atom| kind_named(of, atom.kind())),
                false => equals(known, of),
            });
        }
        let Some(path) = self.path(by.of).filter(|_| !by.kind) else { return };
        // It is not known which values these are, and so not which of several objects this is.
        if let Some((Step::Member(_), before)) = path.steps.split_last() {
            let holder = Path { root: path.root.clone(), steps: before.to_vec() };
            let held = self.at_path(scope, &holder);
            let maps = held.atoms().into_iter().flatten().filter(|atom| atom.kind() == Kind::Map).count();
            if maps > 1 {
                self.refine_path(scope, &holder, &|_| Type::any());
            }
        }
    }

    /// Which of the values that it may have come to which case.
    fn came(&self, known: &Type<'a>, cases: &SwitchCasesCollection) -> Option<Came<'a>> {
        let mut came = Came { cases: vec![Type::never(); cases.expressions.len()], rest: Type::never() };
        for value in values(known)? {
            let hash = self.engine.trials.hash(&self.engine.rhai, &literal(&value)?)?;
            let mut taken = false;
            for nth in cases.cases.get(&hash).into_iter().flat_map(|list| list.blocks.iter()) {
                if taken {
                    break;
                }
                let case = came.cases.get_mut(*nth)?;
                *case = std::mem::replace(case, Type::never()).or(value.clone());
                taken = matches!(cases.expressions.get(*nth)?.lhs, Expr::BoolConstant(true, _));
            }
            if !taken {
                came.rest = std::mem::replace(&mut came.rest, Type::never()).or(value);
            }
        }
        Some(came)
    }
}

/// What a `switch` is about: a value, or what kind of value it is.
struct By<'e> {
    of: &'e Expr,
    kind: bool,
}

struct Came<'a> {
    /// By case.
    cases: Vec<Type<'a>>,
    /// To the default, or to none.
    rest: Type<'a>,
}

/// What `type_of` may say.
fn kinds_of<'a>(known: &Type<'a>) -> Type<'a> {
    let Some(kinds) = known.kinds() else { return Type::text(None) };
    kinds.into_iter().map(|kind| Type::text(Some(kind.name()))).fold(Type::never(), Type::or)
}

fn kind_named(names: &Type<'_>, kind: Kind) -> bool {
    matches!(names.atoms(), Some([Atom::Text(Some(texts))]) if texts.contains(kind.name()))
}

/// Each value that it may have, if they can be counted.
fn values<'a>(known: &Type<'a>) -> Option<Vec<Type<'a>>> {
    let mut all = Vec::new();
    for atom in known.atoms()? {
        match atom {
            Atom::Text(Some(texts)) => all.extend(texts.iter().map(|text| Type::text(Some(text)))),
            Atom::Int(Some(ints)) => all.extend(ints.iter().map(|int| Type::int(Some(*int)))),
            Atom::Bool(None) => all.extend([true, false].map(|value| Type::of(Atom::Bool(Some(value))))),
            Atom::Bool(_) | Atom::Unit(_) => all.push(Type::of(atom.clone())),
            _ => return None,
        }
    }
    (all.len() <= MAX_VALUES).then_some(all)
}

/// How a script writes it, where that is plain.
fn literal(value: &Type<'_>) -> Option<String> {
    Some(match value.atoms()? {
        [Atom::Text(Some(texts))] => {
            let text = texts.first()?;
            let plain = text.chars().all(|c| c.is_alphanumeric() || " _-.:/@+#,()".contains(c));
            plain.then(|| format!("\"{text}\""))?
        }
        [Atom::Int(Some(ints))] => ints.first()?.to_string(),
        [Atom::Bool(Some(value))] => value.to_string(),
        [Atom::Unit(_)] => "()".to_owned(),
        _ => return None,
    })
}

/// The hash by which the engine finds the case of a value: it is the only one of a `switch` with one case.
pub(super) fn hash(engine: &rhai::Engine, literal: &str) -> Option<u64> {
    let ast = engine.compile(format!("switch 0 {{ {literal} => 0 }}")).ok()?;
    match ast.statements() {
        [Stmt::Switch(parts, _)] => parts.1.cases.keys().next().copied(),
        [Stmt::Expr(inner)] => match &**inner {
            Expr::Stmt(block) => match block.statements() {
                [Stmt::Switch(parts, _)] => parts.1.cases.keys().next().copied(),
                _ => None,
            },
            _ => None,
        },
        _ => None,
    }
}
