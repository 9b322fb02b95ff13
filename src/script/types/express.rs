//! Expressions: what they yield, and what they ask of their parts.

use std::collections::BTreeSet;
use std::rc::Rc;

use rhai::{BinaryExpr, Expr, FnCallExpr, OpAssignment, Position, Stmt};

use super::super::engine::STATE;
use super::chain;
use super::model::{Atom, Kind, Place, Type};
use super::narrow::is_test;
use super::record::{Member, Record};
use super::scope::Scope;
use super::trial::Form;
use super::walk::{THIS, Walker};

/// Comparisons: they take anything, and say `false` of what cannot be compared.
const COMPARISONS: [&str; 6] = ["==", "!=", "<", "<=", ">", ">="];

const EQUALITIES: [&str; 2] = ["==", "!="];

/// Combinations of kinds tried of one call.
const MAX_COMBINATIONS: usize = 512;

/// An argument or operand.
pub(super) struct Argument<'a> {
    pub(super) known: Type<'a>,
    /// What is marked when it is the one at fault.
    pub(super) at: Position,
}

impl<'a> Walker<'a, '_> {
    pub(super) fn express(&mut self, scope: &mut Scope<'a>, expression: &Expr) -> Type<'a> {
        let is_aside = std::mem::take(&mut self.is_aside);
        let known = self.yielded(scope, expression);
        if !is_aside {
            self.used(scope, &known);
        }
        known
    }

    fn yielded(&mut self, scope: &mut Scope<'a>, expression: &Expr) -> Type<'a> {
        if !self.works() {
            return Type::any();
        }
        match expression {
            Expr::BoolConstant(value, _) => Type::of(Atom::Bool(Some(*value))),
            Expr::IntegerConstant(value, _) => Type::int(Some(*value)),
            Expr::FloatConstant(..) => Type::of(Atom::Float),
            Expr::CharConstant(..) => Type::of(Atom::Char),
            Expr::StringConstant(text, _) => Type::text(Some(text)),
            Expr::Unit(_) => Type::unit(None),
            Expr::InterpolatedString(parts, _) => {
                parts.iter().for_each(|part| drop(self.express(scope, part)));
                Type::text(None)
            }
            Expr::Array(items, _) => {
                let items = items.iter().map(|item| self.express(scope, item)).collect::<Vec<_>>();
                Type::of(Atom::Array(Rc::new(items.into_iter().fold(Type::never(), Type::or))))
            }
            Expr::Map(members, at) => {
                let mut record = Record { at: Some(*at).filter(|_| !members.0.is_empty()), ..Record::default() };
                for (name, value) in &members.0 {
                    let known = self.express(scope, value);
                    record.members.insert(name.name.as_str().into(), Member::known(known, name.pos));
                }
                Type::map(record)
            }
            Expr::Variable(variable, ..) if variable.2.path.is_empty() => {
                if let Some(test) = scope.test(&variable.1) {
                    self.answered(scope, &test);
                }
                scope.get(&variable.1).map_or_else(Type::any, |variable| scope.seen(variable.known.clone()))
            }
            Expr::ThisPtr(_) => scope.get(THIS).map_or_else(Type::any, |this| scope.seen(this.known.clone())),
            Expr::DynamicConstant(..) => self.pointer(scope, expression).unwrap_or_default(),
            Expr::Stmt(block) if matches!(block.statements(), [Stmt::Share(_), ..]) => {
                self.pointer(scope, expression).unwrap_or_else(|| self.block(scope, block.statements()))
            }
            Expr::Stmt(block) => self.block(scope, block.statements()),
            Expr::FnCall(call, at) => self.call(scope, call, *at),
            Expr::Dot(..) | Expr::Index(..) => self.chain(scope, expression),
            Expr::And(parts, _) => self.connected(scope, parts, true),
            Expr::Or(parts, _) => self.connected(scope, parts, false),
            Expr::Coalesce(parts, _) => self.coalesced(scope, parts),
            _ => Type::any(),
        }
    }

    /// The answer of an earlier test is used: in a condition it is as if the test stood there.
    fn answered(&mut self, scope: &Scope<'a>, test: &Expr) {
        self.report.silent += 1;
        if self.deciding > 0 && self.examining == 0 {
            self.express(&mut scope.clone(), test);
        } else {
            self.examined(|walker| walker.express(&mut scope.clone(), test));
        }
        self.report.silent -= 1;
    }

    /// `a && b`: what comes after is only looked at where what is before is true, or, of `||`, false.
    fn connected(&mut self, scope: &mut Scope<'a>, parts: &[Expr], goes_on: bool) -> Type<'a> {
        let mut inside = scope.clone();
        for part in parts {
            let known = self.express(&mut inside, part);
            self.wants_boolean_of(&known, part);
            self.narrow(&mut inside, part, goes_on);
            if inside.dead {
                break;
            }
        }
        let before = std::mem::take(scope);
        *scope = before.join(inside);
        Type::boolean()
    }

    fn coalesced(&mut self, scope: &mut Scope<'a>, parts: &[Expr]) -> Type<'a> {
        let Some((first, rest)) = parts.split_first() else { return Type::any() };
        let mut known = self.aside(scope, first);
        let is_open = self.may_be_either(&known);
        self.blurs(&known);
        if self.deciding > 0 {
            self.examined.extend(known.absences().map(|absent| absent.place.path.clone()));
        } else if self.examining > 0 || !self.calls.is_empty() {
            // What the function yields may tell whether it was there.
            self.tests(&known);
        }
        for part in rest {
            let may_lack = known.may_be(Kind::Unit);
            let mut otherwise = scope.clone();
            otherwise.stretch = None;
            let other = self.express(&mut otherwise, part);
            if otherwise.dead {
                // `?? skip(…)`: who comes this far has it.
                self.narrow_present(scope, first);
            } else {
                let before = std::mem::take(scope);
                let stretch = before.stretch;
                *scope = before.join(otherwise);
                scope.stretch = stretch;
            }
            // With a default nobody relies on it.
            known = if may_lack { known.present().or(other) } else { known.copied(None) };
        }
        known.open = is_open.then(|| self.stretch(scope));
        known
    }

    /// Nothing is known, in whatever way, of whether it is there.
    fn may_be_either(&self, known: &Type<'a>) -> bool {
        let is_open = |atom: &Atom<'a>| match atom {
            Atom::Unit(Some(absent)) => !self.is_examined(&absent.place.path),
            atom => atom.kind() != Kind::Unit,
        };
        known.atoms().is_some_and(|atoms| atoms.iter().all(is_open))
            && known.may_be(Kind::Unit)
            && !known.is_only(Kind::Unit)
    }

    /// A test of whether it is there.
    pub(super) fn tests(&mut self, known: &Type<'a>) {
        let places: Vec<Rc<str>> = known.absences().map(|absent| absent.place.path.clone()).collect();
        if known.single_map().is_some_and(Record::is_kept) {
            self.tested.push(format!("{STATE}.").into());
        }
        if self.examining > 0 {
            self.examined.extend(places);
        } else {
            self.tested.extend(places);
        }
    }

    /// It is handed to what is not followed: whether it is there, or what is in it, may be known from here on.
    pub(super) fn examines(&mut self, known: &Type<'a>) {
        let places: Vec<Rc<str>> = known.absences().map(|absent| absent.place.path.clone()).collect();
        self.examined.extend(places);
        self.examines_within(known);
    }

    /// What is in it may be found out about; that it is there is not asked.
    pub(super) fn examines_within(&mut self, known: &Type<'a>) {
        for atom in known.atoms().into_iter().flatten() {
            if let Atom::Map(record) = atom
                && let Some(place) = &record.place
            {
                // Whatever is in it may be found out about.
                self.examined.insert(format!("{}.", place.path).into());
            }
        }
    }

    pub(super) fn wants_boolean_of(&mut self, known: &Type<'a>, test: &Expr) {
        if let Some(absent) = known.absences().next().filter(|_| known.may_be(Kind::Bool) && !known.is_any()) {
            self.may_be_absent(&absent, chain::blamed(test), "a condition must be true or false, not `()`");
            return;
        }
        if let Some(astray) = known.astray(|atom| atom.kind() == Kind::Bool).filter(|_| known.may_be(Kind::Bool)) {
            let message = format!("a condition must be true or false, not {}", told(&astray));
            return self.sometimes_wrong(chain::blamed(test), message, &astray);
        }
        self.wants_boolean(known, test.start_position());
    }

    pub(super) fn wants_boolean(&mut self, known: &Type<'a>, at: Position) {
        if !known.is_never() && !known.may_be(Kind::Bool) && known.atoms().is_some() {
            if let Some(absent) = known.absences().next() {
                return self.may_be_absent(&absent, at, "a condition must be true or false, not `()`");
            }
            if !known.is_only(Kind::Unit) {
                self.wrong_type(at, format!("a condition must be true or false, not {}", told(known)), known);
            }
        }
    }

    /// What a `for` runs over.
    pub(super) fn iterated(&mut self, known: &Type<'a>, over: &Expr) -> Type<'a> {
        if matches!(over, Expr::FnCall(call, _) if call.name == ".." || call.name == "..=") {
            return Type::int(None);
        }
        let fits = |atom: &Atom<'a>| matches!(atom.kind(), Kind::Array | Kind::Text);
        let item = known.copy_of.as_ref().map(Place::item);
        let Some(atoms) = known.atoms() else { return Type::any().copied(item) };
        let good = atoms.iter().filter(|atom| fits(atom)).count();
        if let Some(absent) = known.absences().next() {
            self.may_be_absent(&absent, chain::blamed(over), "`for` needs an array, not `()`");
        } else if good == 0 && !atoms.is_empty() && !known.is_only(Kind::Unit) {
            self.wrong_type(over.start_position(), format!("`for` cannot run over {}", told(known)), known);
        } else if let Some(astray) = known.astray(fits) {
            self.sometimes_wrong(chain::blamed(over), format!("`for` cannot run over {}", told(&astray)), &astray);
        }
        let each = known.each(|atom| match atom {
            Atom::Array(item) if !item.is_never() => (**item).clone(),
            Atom::Text(_) => Type::of(Atom::Char),
            Atom::Unit(_) => Type::never(),
            _ => Type::any(),
        });
        each.copied(item)
    }

    pub(super) fn operator(&mut self, scope: &mut Scope<'a>, call: &FnCallExpr, at: Position) -> Type<'a> {
        let name = call.name.as_str();
        let is_test = EQUALITIES.contains(&name) && call.args.iter().any(|operand| matches!(operand, Expr::Unit(_)));
        let mut argument = |operand| {
            self.is_aside = is_test;
            self.argument(scope, operand)
        };
        let arguments: Vec<Argument<'a>> = call.args.iter().map(&mut argument).collect();
        if COMPARISONS.contains(&name) {
            arguments.iter().for_each(|argument| self.tests(&argument.known));
            if let [a, b] = arguments.as_slice() {
                if EQUALITIES.contains(&name) {
                    self.compares(&a.known, &b.known);
                    self.compares(&b.known, &a.known);
                }
                self.compared(a, b, name, at);
            }
            return Type::boolean();
        }
        let form = if arguments.len() == 1 { Form::Prefix } else { Form::Operator };
        self.fits(form, name, &arguments, at)
    }

    pub(super) fn argument(&mut self, scope: &mut Scope<'a>, expression: &Expr) -> Argument<'a> {
        Argument { known: self.express(scope, expression), at: chain::blamed(expression) }
    }

    /// Tries every combination of kinds on the engine; what it yields where it does not fail.
    pub(super) fn fits(&mut self, form: Form, name: &str, arguments: &[Argument<'a>], at: Position) -> Type<'a> {
        let kinds: Vec<Vec<Kind>> = arguments
            .iter()
            .map(|argument| argument.known.kinds().map_or(Kind::ALL.to_vec(), |kinds| kinds.into_iter().collect()))
            .collect();
        let any = arguments.iter().any(|argument| argument.known.is_any());
        let combinations: usize = kinds.iter().map(Vec::len).product();
        if combinations == 0 || combinations > MAX_COMBINATIONS || arguments.len() > 4 {
            return Type::any();
        }
        let (mut good, mut results) = (Vec::new(), BTreeSet::new());
        for nth in 0..combinations {
            let mut rest = nth;
            let combination: Vec<Kind> = kinds
                .iter()
                .map(|of| {
                    let kind = of[rest % of.len()];
                    rest /= of.len();
                    kind
                })
                .collect();
            if let Some(result) = self.engine.trials.result(&self.engine.rhai, form, name, &combination) {
                results.insert(result);
                good.push(combination);
            }
        }
        let mut may_lack = false;
        for (nth, argument) in arguments.iter().enumerate() {
            let works = good.iter().any(|combination| combination[nth] == Kind::Unit);
            if let Some(absent) = argument.known.absences().next().filter(|_| !works && !may_lack) {
                self.may_be_absent(&absent, argument.at, &format!("`{name}` cannot take `()`"));
                may_lack = true;
            }
        }
        for (nth, argument) in arguments.iter().enumerate().filter(|_| !good.is_empty()) {
            let works = |atom: &Atom<'a>| good.iter().any(|combination| combination[nth] == atom.kind());
            if let Some(astray) = argument.known.astray(works) {
                self.sometimes_wrong(argument.at, format!("`{name}` cannot take {}", told(&astray)), &astray);
            }
        }
        let fails = good.is_empty() && (!any || !self.takes_others(form, name, arguments));
        if fails && !may_lack {
            let known = arguments.iter().filter(|argument| !argument.known.is_any());
            let kinds: Vec<String> = known.map(|argument| told(&argument.known)).collect();
            let of = arguments.iter().find(|argument| argument.known.says.is_some()).or(arguments.first());
            if let Some(of) = of {
                let message = format!("`{name}` cannot take {}", kinds.join(" and "));
                // What a variable begins with is often gone in ways that are not followed.
                let of_nothing = arguments.iter().any(|argument| argument.known.is_only(Kind::Unit));
                match of_nothing {
                    true => self.sometimes_wrong(at, message, &of.known.clone()),
                    false => self.wrong_type(at, message, &of.known.clone()),
                }
            }
        }
        if fails {
            // It fails, and nothing comes of it.
            return Type::never();
        }
        if any {
            return Type::any();
        }
        if let ("+" | "+=", [a, b]) = (name, arguments)
            && let (Some(a), Some(b)) = (a.known.single_map(), b.known.single_map())
        {
            return a.and(b).map_or_else(|| Type::of_kind(Kind::Map), Type::map);
        }
        results.into_iter().map(Type::of_made).fold(Type::never(), Type::or)
    }

    /// Whether what may be anything may be something of which no [`Kind`] tells, and that works.
    fn takes_others(&self, form: Form, name: &str, arguments: &[Argument<'a>]) -> bool {
        let kinds: Option<Vec<Option<Kind>>> = arguments
            .iter()
            .map(|argument| match argument.known.atoms() {
                None => Some(None),
                Some([atom]) => Some(Some(atom.kind())),
                Some(_) => None,
            })
            .collect();
        kinds.is_none_or(|kinds| self.engine.trials.takes_others(&self.engine.rhai, form, name, &kinds))
    }

    pub(super) fn assignment(&mut self, scope: &mut Scope<'a>, by: &OpAssignment, parts: &BinaryExpr) {
        let BinaryExpr { lhs, rhs } = parts;
        let is_local = matches!(lhs, Expr::Variable(..));
        self.is_aside = is_local && by.get_op_assignment_info().is_none() && self.follows(scope, lhs);
        let begun = self.tested.len();
        let value =
            if is_local { self.examined(|walker| walker.argument(scope, rhs)) } else { self.argument(scope, rhs) };
        if !is_local && is_test(rhs) {
            // The answer is kept where it is not followed.
            self.forget_since(begun);
        }
        if scope.dead {
            return;
        }
        let known = match by.get_op_assignment_info() {
            Some((_, _, _, syntax, ..)) => {
                self.updating = true;
                let before = self.argument(scope, lhs);
                self.updating = false;
                let known = self.fits(Form::Assign, syntax, &[before, value], by.position());
                // It fails here, so nothing is kept of it.
                if self.leaves.is_some() && known.is_never() {
                    scope.dead = true;
                    return;
                }
                known
            }
            None => {
                self.holds(scope, lhs);
                value.known
            }
        };
        match self.path(lhs) {
            Some(path) if path.steps.is_empty() => {
                self.replaces(scope, &path.root, &known);
                scope.assign(&path.root, known);
                if by.get_op_assignment_info().is_none() {
                    scope.answers(&path.root, rhs);
                }
            }
            Some(path) => {
                // Of something with items it is not followed which of them is another now.
                if path.is_one_of_many() {
                    self.lets_go(scope, &path.root);
                }
                scope.write(&path, known, chain::blamed(lhs));
            }
            None => self.scattered(scope, lhs),
        }
    }
}

impl<'a> Walker<'a, '_> {
    /// Whether it is seen later what becomes of what a variable is given here.
    fn follows(&self, scope: &Scope<'a>, variable: &Expr) -> bool {
        let name = chain::root(variable).filter(|name| &**name != STATE);
        let known = name.and_then(|name| scope.get(&name));
        known.is_some_and(|variable| !variable.shared) && self.loops.is_empty() && self.report.caught == 0
    }

    /// `counts[item.sku] = …`: some member is written, it is not known which.
    fn scattered(&mut self, scope: &mut Scope<'a>, lhs: &Expr) {
        let Some(root) = chain::root(lhs) else { return };
        self.lets_go(scope, &root);
        let is_map = scope.get(&root).is_some_and(|variable| variable.known.is_only(Kind::Map));
        let is_member = chain::flattened(lhs).1.len() == 1;
        let known = if is_map && is_member { Type::of_kind(Kind::Map) } else { Type::any() };
        scope.assign(&root, known);
    }
}

/// Kinds, in words.
pub(super) fn told(known: &Type<'_>) -> String {
    let Some(kinds) = known.kinds() else { return "anything".to_owned() };
    let number = kinds.contains(&Kind::Float);
    let kinds: Vec<&str> = kinds.into_iter().filter(|kind| !(number && *kind == Kind::Int)).map(Kind::told).collect();
    kinds.join(" or ")
}
