//! Statements, in the order in which they run.

use std::collections::HashSet;
use std::rc::Rc;

use rhai::{ASTFlags, Expr, FlowControl, Position, Stmt};

use super::super::Kind as Purpose;
use super::super::engine::{Compiled, DATA, EVENT, Inner, STATE};
use super::Given;
use super::express::told;
use super::loops::{Loop, Order, changes};
use super::marks::Read;
use super::model::{Kind, Stretch, Type};
use super::narrow::is_test;
use super::report::{Finding, Report};
use super::scope::{Path, Scope, Step};
use super::units::{Signature, Unit, Units};
use super::uses::Uses;

/// Expressions looked at in all, calls within calls included. A script of some hundred lines has some thousand.
const WORK: usize = 30_000;

/// The name of what a function is called on, which no variable can have.
pub(super) const THIS: &str = "this";

pub(super) struct Walker<'a, 's> {
    pub(super) engine: &'s Inner,
    pub(super) script: &'s Compiled,
    pub(super) given: &'s Given<'a>,
    pub(super) report: Report<'s>,
    pub(super) units: Units<'s>,
    /// Functions being called, from the script down.
    pub(super) calls: Vec<Signature<'s>>,
    /// What `return` yields in the innermost of them.
    pub(super) returns: Type<'a>,
    /// What `state` was wherever it ended; `None` when nobody asks.
    pub(super) leaves: Option<Type<'a>>,
    /// What is looked at is changed: `state.n += 1`.
    pub(super) updating: bool,
    left: usize,
    stretches: u32,
    /// Of the state.
    read: Read,
    /// Loops around this, from the outside in.
    pub(super) loops: Vec<Loop<'a>>,
    /// Above 0 where a value decides something that is not followed: whoever looks at a place here may know later whether
    /// there is something.
    pub(super) examining: u32,
    /// Above 0 within a condition.
    pub(super) deciding: u32,
    /// Places that tests were about, in order.
    pub(super) tested: Vec<Rc<str>>,
    /// Places of which nothing is told any more.
    pub(super) examined: HashSet<Rc<str>>,
    /// What is read of the event, if somebody asks.
    pub(super) uses: Option<Uses>,
    /// What the next expression yields is not used there.
    pub(super) is_aside: bool,
}

impl<'a, 's> Walker<'a, 's> {
    pub(super) fn new(engine: &'s Inner, script: &'s Compiled, given: &'s Given<'a>) -> Self {
        Self {
            engine,
            script,
            given,
            report: Report::new(Unit::of(script)),
            units: Units::new(&script.imports),
            calls: Vec::new(),
            returns: Type::never(),
            leaves: None,
            updating: false,
            left: WORK,
            stretches: 0,
            read: Read::by(&script.ast),
            loops: Vec::new(),
            examining: 0,
            deciding: 0,
            tested: Vec::new(),
            examined: HashSet::new(),
            uses: None,
            is_aside: false,
        }
    }

    /// What a filter that was passed tells.
    pub(super) fn assume(&mut self, scope: &mut Scope<'a>, filter: &Compiled) {
        for statement in filter.ast.statements() {
            if let Stmt::Expr(test) = statement {
                self.silently(|walker| {
                    walker.condition(&mut scope.clone(), test);
                });
                self.narrow(scope, test, true);
            }
        }
        scope.dead = false;
    }

    pub(super) fn walk(&mut self) {
        let mut scope = self.given.scope(self.script.kind);
        for path in &self.given.present {
            let steps = path.iter().map(|name| Step::Member(name.as_str().into())).collect();
            if let Some(event) = scope.get(EVENT).map(|variable| variable.known.clone()) {
                scope.refine(&Path { root: EVENT.into(), steps }, &event, &Type::present);
            }
        }
        if let Some(filter) = self.given.filter {
            self.assume(&mut scope, &filter.compiled);
            if filter.text().contains(STATE) {
                self.examined.insert(format!("{STATE}.").into());
            }
        }
        let value = self.statements(&mut scope, self.script.ast.statements());
        self.ends(&mut scope, &value);
    }

    /// The script comes to its end.
    fn ends(&mut self, scope: &mut Scope<'a>, value: &Type<'a>) {
        if scope.dead {
            return;
        }
        match self.script.kind {
            Purpose::Filter => match self.script.ast.statements() {
                [.., Stmt::Expr(test)] => self.wants_boolean_of(value, test),
                _ => self.wants_boolean(value, self.end()),
            },
            Purpose::Upcaster => self.leaves_data(scope),
            Purpose::Handler => self.leaves_state(scope),
        }
    }

    pub(super) fn findings(self) -> Vec<Finding> {
        self.report.findings()
    }

    pub(super) fn end(&self) -> Position {
        match self.script.ast.statements().last() {
            Some(Stmt::Assignment(parts)) => parts.1.lhs.start_position(),
            Some(last) => last.position(),
            None => Position::NONE,
        }
    }

    /// Looks without telling.
    pub(super) fn silently<T>(&mut self, look: impl FnOnce(&mut Self) -> T) -> T {
        self.report.silent += 1;
        let (tested, examined) = (self.tested.len(), self.examining);
        let seen = look(self);
        self.report.silent -= 1;
        self.tested.truncate(tested);
        self.examining = examined;
        seen
    }

    /// One more thing to look at; whether that is still allowed.
    pub(super) fn works(&mut self) -> bool {
        match self.left {
            0 => return false,
            // What is known from here on may be out of date.
            1 => {
                self.loses_track();
                self.report.silent += 1;
            }
            _ => {}
        }
        self.left -= 1;
        self.left > 0
    }

    /// The stretch of the script that this is in.
    pub(super) fn stretch(&mut self, scope: &mut Scope<'a>) -> Stretch {
        *scope.stretch.get_or_insert_with(|| {
            self.stretches += 1;
            Stretch(self.stretches)
        })
    }

    pub(super) fn block(&mut self, scope: &mut Scope<'a>, statements: &[Stmt]) -> Type<'a> {
        let variables = scope.len();
        let value = self.statements(scope, statements);
        scope.leave(variables);
        value
    }

    /// The value of the last.
    pub(super) fn statements(&mut self, scope: &mut Scope<'a>, statements: &[Stmt]) -> Type<'a> {
        let mut value = Type::unit(None);
        for statement in statements {
            if scope.dead {
                return Type::never();
            }
            value = self.statement(scope, statement);
        }
        if scope.dead { Type::never() } else { value }
    }

    fn statement(&mut self, scope: &mut Scope<'a>, statement: &Stmt) -> Type<'a> {
        if !self.works() {
            scope.widen_all();
            return Type::any();
        }
        match statement {
            Stmt::If(parts, _) => return self.choice(scope, parts),
            Stmt::Switch(parts, at) => return self.switch(scope, &parts.0, &parts.1, *at),
            Stmt::While(parts, _) => self.repeated(scope, parts, Order::TestFirst),
            Stmt::Do(parts, flags, _) => {
                self.repeated(scope, parts, Order::TestLast { until: flags.intersects(ASTFlags::NEGATED) });
            }
            Stmt::For(parts, _) => self.each_of(scope, (&parts.0.name, parts.1.as_ref().map(|c| &*c.name)), &parts.2),
            Stmt::Var(parts, flags, _) => {
                let known = self.kept(scope, &parts.1);
                scope.declare(&parts.0.name, known, flags.intersects(ASTFlags::CONSTANT));
                scope.answers(&parts.0.name, &parts.1);
            }
            Stmt::Assignment(parts) => self.assignment(scope, &parts.0, &parts.1),
            Stmt::FnCall(call, at) => return self.call(scope, call, *at),
            Stmt::Block(block) => return self.block(scope, block.statements()),
            Stmt::TryCatch(parts, _) => self.attempt(scope, parts),
            Stmt::Expr(expression) => return self.express(scope, expression),
            Stmt::BreakLoop(value, flags, _) => {
                if let Some(value) = value {
                    self.express(scope, value);
                }
                self.leaves_loop(scope, flags.intersects(ASTFlags::BREAK));
            }
            Stmt::Return(value, flags, _) => {
                let value = value.as_ref().map_or_else(|| Type::unit(None), |value| self.express(scope, value));
                if !flags.intersects(ASTFlags::BREAK) {
                    self.returned(scope, value);
                }
                scope.dead = true;
            }
            Stmt::Share(captured) => captured.iter().for_each(|(name, _)| self.share(scope, &name.name)),
            _ => {}
        }
        Type::unit(None)
    }

    /// A closure has it too.
    pub(super) fn share(&mut self, scope: &mut Scope<'a>, name: &str) {
        self.lets_go(scope, name);
        scope.share(name);
    }

    fn returned(&mut self, scope: &mut Scope<'a>, value: Type<'a>) {
        if self.calls.is_empty() {
            match self.script.kind {
                Purpose::Upcaster => self.leaves_data(scope),
                Purpose::Handler => self.leaves_state(scope),
                Purpose::Filter => {}
            }
        }
        self.returns = std::mem::take(&mut self.returns).or(value);
    }

    fn leaves_state(&mut self, scope: &Scope<'a>) {
        let Some(known) = scope.get(STATE).map(|state| state.known.clone()) else { return };
        if !known.may_be(Kind::Map) {
            let message = format!("`state` must be an object when the script ends, and it is {}", told(&known));
            self.wrong_type(self.end(), message, &known);
        }
        if let Some(left) = &mut self.leaves {
            *left = std::mem::take(left).or(known);
        }
    }

    /// What an upcaster leaves is checked where it says so, else at its end.
    fn leaves_data(&mut self, scope: &Scope<'a>) {
        if let (Some(becomes), Some(data)) = (self.given.becomes, scope.get(DATA)) {
            let (data, at) = (data.known.clone(), self.end());
            self.hands_on(&data);
            self.must_match(scope, &data, becomes, at);
        }
    }

    /// What is found out here may decide something later, in a way that is not followed.
    pub(super) fn examined<T>(&mut self, look: impl FnOnce(&mut Self) -> T) -> T {
        self.examining += 1;
        let seen = look(self);
        self.examining -= 1;
        seen
    }

    /// The value of a variable. A test is followed to where its answer is asked for; whatever else is found out is not.
    pub(super) fn kept(&mut self, scope: &mut Scope<'a>, value: &Expr) -> Type<'a> {
        if !is_test(value) {
            return self.examined(|walker| walker.aside(scope, value));
        }
        self.deciding += 1;
        let begun = self.tested.len();
        let known = self.express(scope, value);
        self.deciding -= 1;
        // The state changes, and the answer then is about what it was.
        let of_state = self.tested.iter().skip(begun).filter(|path| path.starts_with(STATE));
        self.examined.extend(of_state.cloned());
        known
    }

    fn choice(&mut self, scope: &mut Scope<'a>, parts: &FlowControl) -> Type<'a> {
        let begun = self.tested.len();
        self.condition(scope, &parts.expr);
        let (mut then, mut otherwise) = (scope.clone(), scope.clone());
        self.narrow(&mut then, &parts.expr, true);
        self.narrow(&mut otherwise, &parts.expr, false);
        let value = if then.dead { Type::never() } else { self.block(&mut then, parts.body.statements()) };
        let other = if otherwise.dead { Type::never() } else { self.block(&mut otherwise, parts.branch.statements()) };
        let both = !then.dead && !otherwise.dead;
        let is_open = both && self.tested[begun..].iter().all(|path| !self.is_examined(path));
        if both && changes(parts.body.statements(), parts.branch.statements(), &self.read) {
            self.forget_since(begun);
        }
        *scope = then.join(otherwise);
        let mut value = value.or(other);
        value.open = is_open.then(|| self.stretch(scope));
        value
    }

    /// What was assigned on one way tells which way was taken: later tests of it are tests of these places.
    pub(super) fn forget_since(&mut self, begun: usize) {
        self.examined.extend(self.tested.drain(begun.min(self.tested.len())..));
    }

    /// What goes wrong within `try` is caught, so nothing is told of it.
    fn attempt(&mut self, scope: &mut Scope<'a>, parts: &FlowControl) {
        let begun = self.tested.len();
        scope.stretch = None;
        let mut tried = scope.clone();
        self.report.caught += 1;
        self.block(&mut tried, parts.body.statements());
        self.report.caught -= 1;
        self.widen(scope, &[parts.body.statements()], None);
        let variables = scope.len();
        if let Expr::Variable(error, ..) = &parts.expr {
            scope.declare(&error.1, Type::any(), false);
        }
        self.block(scope, parts.branch.statements());
        scope.leave(variables);
        *scope = tried.join(std::mem::take(scope));
        self.forget_since(begun);
    }

    /// A condition, and that it is one.
    pub(super) fn condition(&mut self, scope: &mut Scope<'a>, test: &Expr) {
        self.deciding += 1;
        let known = self.express(scope, test);
        self.deciding -= 1;
        if known.may_be(Kind::Bool) {
            self.wants_boolean_of(&known, test);
        } else {
            self.wants_boolean(&known, test.start_position());
        }
    }
}
