//! Calls: of the language, of the host, of the script's own functions.

use std::rc::Rc;

use rhai::{Expr, FnCallExpr, Position, Stmt};

use super::chain;
use super::express::Argument;
use super::loops::assigned;
use super::model::{Atom, Kind, Type};
use super::scope::{Path, Scope};
use super::trial::Form;
use super::units::Function;
use super::walk::{THIS, Walker};

/// Calls within calls that are followed.
const MAX_DEPTH: usize = 8;

/// Functions that leave what they are called on as it is, and whose result is always of the kind that it was when it was tried.
const TRUSTED: [&str; 36] = [
    "len",
    "is_empty",
    "contains",
    "starts_with",
    "ends_with",
    "index_of",
    "sub_string",
    "to_string",
    "to_debug",
    "to_upper",
    "to_lower",
    "keys",
    "values",
    "split",
    "to_int",
    "to_float",
    "to_json",
    "abs",
    "sign",
    "floor",
    "ceiling",
    "round",
    "int",
    "fraction",
    "sqrt",
    "min",
    "max",
    "type_of",
    "is_odd",
    "is_even",
    "is_zero",
    "to_hex",
    "to_binary",
    "to_octal",
    "filter",
    "some",
];

/// Others that leave it as it is.
const HARMLESS: [&str; 18] = [
    "split_rev",
    "chars",
    "bytes",
    "map",
    "all",
    "find",
    "find_map",
    "for_each",
    "reduce",
    "reduce_rev",
    "get",
    "parse_json",
    "parse_int",
    "parse_float",
    "is_nan",
    "extract",
    "to_chars",
    "uuid",
];

/// Those that leave an array with items that it had.
const SHORTENING: [&str; 11] =
    ["pop", "shift", "remove", "truncate", "clear", "reverse", "sort", "sort_by", "dedup", "retain", "drain"];

/// Those that end the script.
const ENDING: [&str; 4] = ["skip", "reject", "retry", "wait_for"];

/// Others that do something with what they are given, and find nothing out.
const TELLING: [&str; 4] = ["emit", "log", "print", "debug"];

/// Those that find out what something is, or whether it is there.
const ASKING: [&str; 4] = ["contains", "type_of", "to_string", "to_debug"];

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

pub(super) fn is_pure(name: &str) -> bool {
    TRUSTED.contains(&name) || HARMLESS.contains(&name) || tells(name)
}

/// Does something with what it is given, and finds nothing out.
fn tells(name: &str) -> bool {
    ENDING.contains(&name) || TELLING.contains(&name)
}

impl<'a, 's> Walker<'a, 's> {
    pub(super) fn call(&mut self, scope: &mut Scope<'a>, call: &FnCallExpr, at: Position) -> Type<'a> {
        let name = call.name.as_str();
        if call.op_token.is_some() && name != "contains" {
            return self.operator(scope, call, at);
        }
        let called = match call.is_qualified() {
            true => self.units.imported(&self.report.unit, call),
            false => self.own(name, call.args.len()),
        };
        let is_followed = called.is_some() && !call.capture_parent_scope;
        let is_aside = is_followed || (!call.is_qualified() && ["contains", "type_of"].contains(&name));
        let mut argument = |argument| {
            self.is_aside = is_aside;
            self.argument(scope, argument)
        };
        let arguments: Vec<Argument<'a>> = call.args.iter().map(&mut argument).collect();
        if scope.dead {
            return Type::never();
        }
        if call.capture_parent_scope || (call.is_qualified() && called.is_none()) {
            arguments.iter().for_each(|argument| self.examines(&argument.known));
            if call.capture_parent_scope {
                self.loses_track();
                scope.widen_all();
            }
            return Type::any();
        }
        if let Some(function) = called {
            let given = arguments.into_iter().map(|argument| argument.known).collect();
            return self.called(scope, (name, &function), given, None);
        }
        if scope.get(name).is_some() {
            return Type::any();
        }
        match name {
            "emit" => self.emitted(scope, call, &arguments, at),
            "contains" => self.looked_for(scope, &call.args, &arguments),
            "uuid" => return Type::text(None),
            "throw" => scope.dead = true,
            _ => {}
        }
        if ASKING.contains(&name) {
            self.asks(&arguments);
        } else if !tells(name) {
            self.looks_into(&arguments);
        }
        // Of a variable as its first argument the function may change it.
        if !is_pure(name)
            && let Some(first) = call.args.first()
            && let Some(root) = chain::root(first)
            && scope.get(&root).is_some_and(|variable| !variable.constant)
        {
            scope.assign(&root, Type::any());
        }
        let result = self.native(name, &arguments, at);
        if ENDING.contains(&name) {
            scope.dead = true;
            return Type::never();
        }
        result
    }

    /// `"name" in object`, `value in ["a", "b"]`.
    fn looked_for(&mut self, scope: &Scope<'a>, written: &[Expr], arguments: &[Argument<'a>]) {
        let [container, item] = arguments else { return };
        self.relies(scope, &container.known);
        match written {
            [_, Expr::StringConstant(name, at)] if !container.known.is_only(Kind::Array) => {
                self.reads(&container.known, name, *at);
            }
            _ => {
                self.hands_on(&container.known);
                self.used(scope, &item.known);
                self.compares(&item.known, &container.known.item());
            }
        }
    }

    /// Whether something is in it, or what it is: a test.
    fn asks(&mut self, arguments: &[Argument<'a>]) {
        for argument in arguments {
            if self.examining > 0 {
                self.examines(&argument.known);
            }
            let places: Vec<Rc<str>> = argument.known.absences().map(|absent| absent.place.path.clone()).collect();
            self.tested.extend(places);
            for atom in argument.known.atoms().into_iter().flatten() {
                if let Atom::Map(record) = atom
                    && let Some(place) = &record.place
                {
                    self.tested.push(format!("{}.", place.path).into());
                }
            }
        }
    }

    /// Objects that are handed to what is not followed: it may tell what is in them.
    fn looks_into(&mut self, arguments: &[Argument<'a>]) {
        for argument in arguments.iter().filter(|argument| argument.known.may_be(Kind::Map)) {
            self.examines(&argument.known);
        }
    }

    /// A function of the engine.
    fn native(&mut self, name: &str, arguments: &[Argument<'a>], at: Position) -> Type<'a> {
        if !rhai::is_valid_identifier(name) {
            return Type::any();
        }
        let result = self.fits(Form::Call, name, arguments, at);
        match name {
            "parse_int" => Type::int(None),
            "parse_float" => Type::of(Atom::Float),
            _ if TRUSTED.contains(&name) => result,
            _ => Type::any(),
        }
    }

    /// `receiver.name(…)`.
    pub(super) fn method(
        &mut self,
        scope: &mut Scope<'a>,
        (receiver, before): (&Type<'a>, Position),
        path: Option<&Path>,
        call: &FnCallExpr,
        at: Position,
    ) -> Type<'a> {
        let name = call.name.as_str();
        let of: Vec<Argument<'a>> = call.args.iter().map(|argument| self.handed(scope, argument, name)).collect();
        let is_held = |atom: &Atom<'a>| matches!(atom, Atom::Map(record) if record.members.contains_key(name));
        let held = receiver.atoms().is_some_and(|atoms| atoms.iter().any(is_held));
        if held || name == "call" || call.capture_parent_scope {
            of.iter().for_each(|argument| self.examines(&argument.known));
            self.examines(receiver);
            self.hands_on(receiver);
            self.changed(scope, (receiver, Type::any()), path, at);
            return Type::any();
        }
        if let Some(function) = self.own(name, of.len()) {
            let given = of.into_iter().map(|argument| argument.known).collect();
            let mut this = receiver.clone();
            let result = self.called(scope, (name, &function), given, Some(&mut this));
            if this.is_any() {
                self.hands_on(receiver);
            }
            self.changed(scope, (receiver, this), path, at);
            return result;
        }
        if ASKING.contains(&name) {
            self.asks(&[Argument { known: receiver.clone(), at: before }]);
        }
        if !["contains", "get"].contains(&name) {
            self.looks_into(&of);
        }
        let is_known = self.changes(scope, (name, receiver, path), (&of, &call.args), at);
        if !is_pure(name) && !is_known {
            self.changed(scope, (receiver, Type::any()), path, at);
        }
        let item = receiver.item();
        let yielded: Vec<Option<Type<'a>>> = call
            .args
            .iter()
            .map(|argument| self.closure(scope, argument, (name, of.len() == 1), (receiver, &item)))
            .collect();
        match (name, call.args.as_slice()) {
            ("contains", [Expr::StringConstant(name, at)]) => self.reads(receiver, name, *at),
            ("len" | "is_empty" | "type_of", _) => {}
            // The items are looked at one by one.
            _ if yielded.iter().any(Option::is_some) => {}
            _ => self.hands_on(receiver),
        }
        let mut arguments = vec![Argument { known: receiver.clone(), at: before }];
        arguments.extend(of);
        // An object may hold a function of this name.
        let result = if receiver.is_any() { Type::any() } else { self.native(name, &arguments, at) };
        let is_array = receiver.is_only(Kind::Array);
        match (name, yielded.first()) {
            ("filter", _) if is_array => receiver.clone(),
            ("map", Some(Some(made))) if is_array => Type::of(Atom::Array(Rc::new(made.clone()))),
            ("find" | "get" | "pop" | "shift", _) if is_array => item.or(Type::unit(None)),
            ("get", _) | ("filter" | "map" | "find", _) => Type::any(),
            ("values", _) | ("keys", _) if !receiver.is_only(Kind::Map) => Type::any(),
            _ => result,
        }
    }

    /// A method that changes what it is called on, in a way that is known. Whether it is one.
    fn changes(
        &mut self,
        scope: &mut Scope<'a>,
        (name, receiver, path): (&str, &Type<'a>, Option<&Path>),
        (of, given): (&[Argument<'a>], &[Expr]),
        at: Position,
    ) -> bool {
        // Of nothing it fails, and then it does not come here.
        let there = receiver.present();
        let (Some(path), Some([atom])) = (path, there.atoms()) else { return false };
        let after = match (atom, name, of) {
            (Atom::Array(item), "push", [new]) => Atom::Array(Rc::new((**item).clone().or(new.known.clone()))),
            (Atom::Array(_), name, _) if SHORTENING.contains(&name) => atom.clone(),
            (Atom::Array(item), "pad" | "insert", [_, new]) => {
                Atom::Array(Rc::new((**item).clone().or(new.known.clone())))
            }
            // However it is changed, it is of this kind.
            (Atom::Text(_), name, _) if !is_pure(name) => Atom::Text(None),
            (Atom::Int(_), name, _) if !is_pure(name) => Atom::Int(None),
            (Atom::Map(record), "mixin", [other]) => {
                let Some(both) = other.known.single_map().and_then(|other| record.and(other)) else { return false };
                Atom::Map(Rc::new(both))
            }
            (Atom::Map(record), "remove", [_]) => {
                let Some(Expr::StringConstant(name, _)) = given.first() else { return false };
                Atom::Map(Rc::new(record.without(name)))
            }
            _ => return false,
        };
        if scope.get(&path.root).is_none_or(|variable| variable.constant) {
            return false;
        }
        if path.steps.is_empty() {
            scope.assign(&path.root, Type::of(after));
        } else {
            scope.write(path, Type::of(after), at);
        }
        true
    }

    /// What is at the path is something else now.
    fn changed(
        &mut self,
        scope: &mut Scope<'a>,
        (receiver, after): (&Type<'a>, Type<'a>),
        path: Option<&Path>,
        at: Position,
    ) {
        let Some(path) = path else { return };
        // It fails here, so nothing is kept of it.
        let fails = self.leaves.is_some() && receiver.is_only(Kind::Unit);
        if fails || scope.get(&path.root).is_none_or(|variable| variable.constant) {
            return;
        }
        if path.steps.is_empty() {
            scope.assign(&path.root, after);
        } else {
            scope.write(path, after, at);
        }
    }

    /// An argument of a method. Closures that only last as long as the call are looked at by themselves.
    fn handed(&mut self, scope: &mut Scope<'a>, argument: &Expr, method: &str) -> Argument<'a> {
        if let (Expr::Stmt(block), Some(_)) = (argument, written_here(argument))
            && CALLING.contains(&method)
        {
            for statement in block.statements() {
                if let Stmt::Share(captured) = statement {
                    captured.iter().for_each(|(name, _)| self.share(scope, &name.name));
                }
            }
            return Argument { known: Type::of(Atom::Function), at: argument.start_position() };
        }
        self.argument(scope, argument)
    }

    /// Runs a closure that is handed to a method which calls it with the items of an array.
    fn closure(
        &mut self,
        scope: &mut Scope<'a>,
        argument: &Expr,
        (method, begins_with_nothing): (&str, bool),
        (receiver, item): (&Type<'a>, &Type<'a>),
    ) -> Option<Type<'a>> {
        let (name, captured) = written_here(argument)?;
        let captured: Vec<Type<'a>> = captured.iter().map(|captured| self.express(scope, captured)).collect();
        let before = captured.len();
        if !receiver.is_only(Kind::Array) || item.is_never() {
            return None;
        }
        let item = || item.clone();
        let (given, this) = match method {
            // It is called on the item; the others hand the item over, and its number if they are asked to.
            "for_each" => (Vec::new(), Some(item())),
            "map" | "filter" | "some" | "all" | "find" | "find_map" | "retain" | "drain" => {
                let one = self.own(&name, before + 1).is_some();
                (if one { vec![item()] } else { vec![item(), Type::int(None)] }, None)
            }
            "reduce" | "reduce_rev" => {
                // It begins with nothing, unless it is told what to begin with.
                if begins_with_nothing {
                    let function = self.own(&name, before + 2)?;
                    let given = captured.iter().cloned().chain([Type::unit(None), item()]).collect();
                    self.called(scope, (&name, &function), given, None);
                }
                (vec![Type::any(), item()], None)
            }
            "sort" | "sort_by" => (vec![item(), item()], None),
            _ => return None,
        };
        let given: Vec<Type<'a>> = captured.into_iter().chain(given).collect();
        let function = self.own(&name, given.len())?;
        let mut this = this;
        Some(self.called(scope, (&name, &function), given, this.as_mut()))
    }

    /// A function of the file that is looked at.
    fn own(&mut self, name: &str, arity: usize) -> Option<Rc<Function<'s>>> {
        self.units.own(&self.report.unit, name, arity)
    }

    /// What it yields for these arguments.
    fn called(
        &mut self,
        scope: &mut Scope<'a>,
        (name, function): (&str, &Function<'s>),
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
