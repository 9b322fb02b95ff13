//! Calls: what they ask of their arguments, change, and yield.

use std::rc::Rc;

use rhai::{Expr, FnCallExpr, Position};

use super::chain;
use super::express::Argument;
use super::functions::Yielded;
use super::model::{Atom, Kind, Type};
use super::record::Record;
use super::scope::{Path, Scope};
use super::trial::Form;
use super::walk::Walker;

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
const HARMLESS: [&str; 17] = [
    "split_rev",
    "chars",
    "bytes",
    "map",
    "all",
    "find",
    "find_map",
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

/// Those that take nothing but numbers and texts, and look into nothing else.
const COUNTING: [&str; 6] = ["min", "max", "abs", "round", "parse_int", "parse_float"];

/// Those that yield what is in it, so that it can be looked for there.
const LISTING: [&str; 4] = ["keys", "values", "to_json", "get"];

/// Those that find out what something is, or whether it is there.
const ASKING: [&str; 4] = ["contains", "type_of", "to_string", "to_debug"];

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
            return self.called(scope, (name, &function, at), given, None);
        }
        if scope.get(name).is_some() {
            return Type::any();
        }
        if let ("call", Some((first, of))) = (name, arguments.split_first())
            && let Some(function) = self.pointed_to(&first.known, of.len())
        {
            return self.called_by_pointer(
                scope,
                &first.known,
                (&function, at),
                of.iter().map(|given| given.known.clone()),
            );
        }
        match name {
            "Fn" | "is_def_fn" | "is_def_var" => return self.of_language(call, &arguments),
            "emit" => self.emitted(scope, call, &arguments, at),
            "contains" => self.looked_for(scope, &call.args, &arguments),
            "uuid" => return Type::text(None),
            "throw" => scope.dead = true,
            _ => {}
        }
        if ASKING.contains(&name) {
            self.asks(&arguments);
        } else if !tells(name) && !COUNTING.contains(&name) {
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
                self.examines_within(&container.known);
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
        if let ("call", Some(function)) = (name, self.pointed_to(receiver, of.len())) {
            let given = of.into_iter().map(|argument| argument.known);
            return self.called_by_pointer(scope, receiver, (&function, at), given);
        }
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
            let result = self.called(scope, (name, &function, at), given, Some(&mut this));
            if this.is_any() {
                self.hands_on(receiver);
            }
            self.changed(scope, (receiver, this), path, at);
            return result;
        }
        if ASKING.contains(&name) {
            self.asks(&[Argument { known: receiver.clone(), at: before }]);
        }
        if LISTING.contains(&name) || receiver.single_map().is_some_and(Record::is_kept) {
            self.examines_within(receiver);
        }
        if name == "type_of" {
            self.examines(receiver);
        }
        if !["contains", "get"].contains(&name) {
            self.looks_into(&of);
        }
        let is_known = self.changes(scope, (name, receiver, path), (&of, &call.args), at);
        // What a closure does to the items is seen below.
        if !is_pure(name) && !is_known && name != "for_each" {
            self.changed(scope, (receiver, Type::any()), path, at);
        }
        let item = receiver.item();
        // What a reduction begins with.
        let begins_with = of.get(1).map_or_else(|| Type::unit(None), |given| given.known.clone());
        let yielded: Vec<Option<Yielded<'a>>> = call
            .args
            .iter()
            .zip(&of)
            .map(|(argument, given)| {
                self.closure(scope, (argument, &given.known), (name, &begins_with), (receiver, &item))
            })
            .collect();
        if let Some(item) = yielded.iter().flatten().find_map(|yielded| yielded.leaves.clone()) {
            let all = name == "for_each" && path.is_some_and(|path| !path.is_one_of_many());
            let after = if all { Type::of(Atom::Array(Rc::new(item))) } else { Type::any() };
            self.changed(scope, (receiver, after), path, at);
        }
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
            ("map", Some(Some(made))) if is_array => Type::of(Atom::Array(Rc::new(made.known.clone()))),
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
        // Of one item after the other it may be called on all.
        let after = if path.is_one_of_many() { Type::any() } else { Type::of(after) };
        if path.steps.is_empty() {
            scope.assign(&path.root, after);
        } else {
            scope.write(path, after, at);
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
}
