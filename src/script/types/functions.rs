//! Functions of the script: those that it names, closures, and what variables hold of both.

use std::rc::Rc;

use rhai::{Expr, FnCallExpr, Position, Stmt};

use super::express::{Argument, told};
use super::loops::assigned;
use super::model::{Atom, Kind, Type};
use super::scope::Scope;
use super::units::Function;
use super::walk::{THIS, Walker};

/// Calls within calls that are followed.
const MAX_DEPTH: usize = 8;

/// Those that call a function with the items of an array, and keep it no longer.
const CALLING: [&str; 13] = [
    "map",
    "filter",
    "for_each",
    "some",
    "all",
    "find",
    "find_map",
    "retain",
    "drain",
    "reduce",
    "reduce_rev",
    "sort",
    "sort_by",
];

/// The name of a closure that is written here, and what it captures.
fn written_here(argument: &Expr) -> Option<(String, Vec<Expr>)> {
    let name = |argument: &Expr| match argument {
        Expr::DynamicConstant(value, _) => Some(value.read_lock::<rhai::FnPtr>()?.fn_name().to_owned()),
        _ => None,
    };
    let Expr::Stmt(block) = argument else { return Some((name(argument)?, Vec::new())) };
    let curry = match block.statements() {
        [Stmt::Share(_), Stmt::FnCall(call, _)] => call,
        [Stmt::Share(_), Stmt::Expr(inner)] => match &**inner {
            Expr::FnCall(call, _) => call,
            _ => return None,
        },
        _ => return None,
    };
    let (first, captured) = curry.args.split_first()?;
    Some((name(first)?, captured.to_vec()))
}

/// A function of a script as a value.
#[derive(Clone, Debug)]
pub(super) struct Pointer<'a> {
    pub(super) name: String,
    pub(super) file: Rc<str>,
    /// Its first arguments.
    pub(super) captured: Vec<Type<'a>>,
}

impl Pointer<'_> {
    pub(super) fn is_same(one: Option<&Self>, other: Option<&Self>) -> bool {
        let (Some(one), Some(other)) = (one, other) else { return false };
        let alike = one.name == other.name && one.captured.is_empty() && other.captured.is_empty();
        std::ptr::eq(one, other) || (alike && one.file == other.file)
    }
}

/// What a closure makes of an item.
pub(super) struct Yielded<'a> {
    pub(super) known: Type<'a>,
    /// What the item is after that, if it is changed.
    pub(super) leaves: Option<Type<'a>>,
}

impl<'a, 's> Walker<'a, 's> {
    /// A closure, or the name of a function, as a value.
    pub(super) fn pointer(&mut self, scope: &mut Scope<'a>, expression: &Expr) -> Option<Type<'a>> {
        let (name, captured) = written_here(expression)?;
        if let Expr::Stmt(block) = expression {
            for statement in block.statements() {
                if let Stmt::Share(captured) = statement {
                    captured.iter().for_each(|(name, _)| self.share(scope, &name.name));
                }
            }
        }
        let captured = captured.iter().map(|captured| self.express(scope, captured)).collect();
        Some(self.points_to(name, captured))
    }

    fn points_to(&self, name: String, captured: Vec<Type<'a>>) -> Type<'a> {
        let file = self.report.unit.source.file.into();
        Type::of(Atom::Function(Some(Rc::new(Pointer { name, file, captured }))))
    }

    /// The function that a value is, to be called with so many arguments.
    pub(super) fn pointed_to(&mut self, known: &Type<'a>, arity: usize) -> Option<Rc<Function<'s>>> {
        let pointer = known.pointer().filter(|pointer| *pointer.file == *self.report.unit.source.file)?;
        self.own(&pointer.name, pointer.captured.len() + arity)
    }

    pub(super) fn called_by_pointer(
        &mut self,
        scope: &mut Scope<'a>,
        known: &Type<'a>,
        (function, at): (&Function<'s>, Position),
        given: impl Iterator<Item = Type<'a>>,
    ) -> Type<'a> {
        let Some(pointer) = known.pointer() else { return Type::any() };
        let given = pointer.captured.iter().cloned().chain(given).collect();
        self.called(scope, (&pointer.name, function, at), given, None)
    }

    /// `Fn(name)`, `is_def_fn(name, arity)`, `is_def_var(name)`.
    pub(super) fn of_language(&mut self, call: &FnCallExpr, arguments: &[Argument<'a>]) -> Type<'a> {
        for (argument, takes) in arguments.iter().zip([Kind::Text, Kind::Int]) {
            if !argument.known.is_never() && !argument.known.may_be(takes) {
                let message = format!("`{}` cannot take {}", call.name, told(&argument.known));
                self.wrong_type(argument.at, message, &argument.known);
            }
        }
        match (call.name.as_str(), call.args.first()) {
            ("Fn", Some(Expr::StringConstant(name, _))) => self.points_to(name.to_string(), Vec::new()),
            ("Fn", _) => Type::of_kind(Kind::Function),
            _ => Type::boolean(),
        }
    }

    /// An argument of a method. Closures that only last as long as the call are looked at by themselves.
    pub(super) fn handed(&mut self, scope: &mut Scope<'a>, argument: &Expr, method: &str) -> Argument<'a> {
        if let (Expr::Stmt(block), Some(_)) = (argument, written_here(argument))
            && CALLING.contains(&method)
        {
            for statement in block.statements() {
                if let Stmt::Share(captured) = statement {
                    captured.iter().for_each(|(name, _)| self.share(scope, &name.name));
                }
            }
            return Argument { known: Type::of_kind(Kind::Function), at: argument.start_position() };
        }
        self.argument(scope, argument)
    }

    /// Runs a closure that is handed to a method which calls it with the items of an array.
    pub(super) fn closure(
        &mut self,
        scope: &mut Scope<'a>,
        (argument, known): (&Expr, &Type<'a>),
        (method, begins_with): (&str, &Type<'a>),
        (receiver, item): (&Type<'a>, &Type<'a>),
    ) -> Option<Yielded<'a>> {
        let (name, captured): (String, Vec<Type<'a>>) = match written_here(argument) {
            Some((name, captured)) => (name, captured.iter().map(|captured| self.express(scope, captured)).collect()),
            None => {
                let pointer = known.pointer().filter(|pointer| *pointer.file == *self.report.unit.source.file)?;
                (pointer.name.clone(), pointer.captured.clone())
            }
        };
        let before = captured.len();
        if !receiver.is_only(Kind::Array) || item.is_never() {
            return None;
        }
        let item = || item.clone();
        let (given, this) = match method {
            // It is called on the item; the others hand the item over, and its number if they are asked to.
            "for_each" => (Vec::new(), Some(item())),
            "map" | "filter" | "some" | "all" | "find" | "find_map" | "retain" | "drain" => {
                let takes = |walker: &mut Self, more| walker.own(&name, before + more).is_some();
                match (takes(self, 1), takes(self, 2)) {
                    (true, _) => (vec![item()], None),
                    (false, true) => (vec![item(), Type::int(None)], None),
                    // It is called on the item.
                    (false, false) => (Vec::new(), Some(item())),
                }
            }
            "reduce" | "reduce_rev" => {
                let function = self.own(&name, before + 2)?;
                let given = captured.iter().cloned().chain([begins_with.clone(), item()]).collect();
                self.called(scope, (&name, &function, Position::NONE), given, None);
                (vec![Type::any(), item()], None)
            }
            "sort" | "sort_by" => (vec![item(), item()], None),
            _ => return None,
        };
        let given: Vec<Type<'a>> = captured.into_iter().chain(given).collect();
        let function = self.own(&name, given.len())?;
        let changes = assigned(&[&function.body], None).is_none_or(|names| names.contains(THIS));
        let mut this = this;
        // A closure is seen where it is called.
        let known = self.called(scope, (&name, &function, Position::NONE), given, this.as_mut());
        Some(Yielded { known, leaves: this.filter(|_| changes) })
    }

    /// A function of the file that is looked at.
    pub(super) fn own(&mut self, name: &str, arity: usize) -> Option<Rc<Function<'s>>> {
        self.units.own(&self.report.unit, name, arity)
    }

    /// What it yields for these arguments.
    pub(super) fn called(
        &mut self,
        scope: &mut Scope<'a>,
        (name, function, at): (&str, &Function<'s>, Position),
        given: Vec<Type<'a>>,
        this: Option<&mut Type<'a>>,
    ) -> Type<'a> {
        let key = (function.unit.source.file, name.to_owned(), given.len());
        if self.calls.len() >= MAX_DEPTH || self.calls.contains(&key) || !self.works() {
            for known in given.iter().chain(this.as_deref()) {
                self.examines(known);
                self.used(scope, known);
            }
            if let Some(this) = this {
                *this = Type::any();
            }
            return Type::any();
        }
        let mut inside = scope.of_function();
        for (parameter, known) in function.parameters.iter().zip(given) {
            inside.declare(parameter, known, false);
        }
        if let Some(this) = &this {
            inside.declare(THIS, (*this).clone(), false);
        }
        if self.calls.is_empty() && !at.is_none() {
            self.report.calls_at(at);
        }
        self.calls.push(key);
        let unit = std::mem::replace(&mut self.report.unit, function.unit.clone());
        let returns = std::mem::replace(&mut self.returns, Type::never());
        let begun = self.tested.len();
        let loops = std::mem::take(&mut self.loops);
        let (examining, deciding) = (std::mem::take(&mut self.examining), std::mem::take(&mut self.deciding));
        let value = self.statements(&mut inside, &function.body);
        (self.examining, self.deciding, self.loops) = (examining, deciding, loops);
        self.report.unit = unit;
        let returned = std::mem::replace(&mut self.returns, returns);
        // What it answers may tell what it found out.
        self.forget_since(begun);
        self.calls.pop();
        if self.calls.is_empty() {
            self.report.called = None;
        }
        if let Some(this) = this {
            let is_changed = assigned(&[&function.body], None).is_none_or(|names| names.contains(THIS));
            match inside.get(THIS) {
                _ if !is_changed => {}
                // What it was at an early `return` is not kept.
                Some(left) if returned.is_never() => *this = left.known.clone(),
                _ => *this = Type::any(),
            }
        }
        let result = value.or(returned);
        // A function that always throws or ends the script.
        scope.dead |= inside.dead && result.is_never();
        result
    }
}
