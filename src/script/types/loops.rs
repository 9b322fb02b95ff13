//! Loops: what holds before each round, whatever round it is.

use std::collections::BTreeSet;
use std::rc::Rc;

use rhai::{ASTNode, Expr, FlowControl, Stmt};

use super::super::engine::STATE;
use super::calls::is_pure;
use super::chain::root;
use super::marks::Read;
use super::model::Type;
use super::scope::Scope;
use super::walk::Walker;

/// Rounds after which what still changes may be anything.
const MAX_ROUNDS: usize = 3;

/// Loops within loops that are gone through round by round.
const MAX_DEPTH: usize = 3;

/// Where a loop was left, and where its round was cut short.
#[derive(Default)]
pub(super) struct Loop<'a> {
    left: Vec<Scope<'a>>,
    next: Vec<Scope<'a>>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Order {
    TestFirst,
    TestLast { until: bool },
}

impl<'a> Walker<'a, '_> {
    pub(super) fn leaves_loop(&mut self, scope: &mut Scope<'a>, for_good: bool) {
        if let Some(around) = self.loops.last_mut() {
            let ways = if for_good { &mut around.left } else { &mut around.next };
            ways.push(scope.clone());
        }
        scope.dead = true;
    }

    pub(super) fn repeated(&mut self, scope: &mut Scope<'a>, parts: &FlowControl, order: Order) {
        let endless = matches!(parts.expr, Expr::Unit(_));
        let begun = self.tested.len();
        let round = |walker: &mut Self, inside: &mut Scope<'a>| {
            if order == Order::TestFirst && !endless {
                walker.condition(inside, &parts.expr);
                walker.narrow(inside, &parts.expr, true);
            }
            if !inside.dead {
                walker.block(inside, parts.body.statements());
            }
        };
        let variables = scope.len();
        self.settle(scope, (&[parts.body.statements()], Some(&parts.expr)), &round);
        let (mut ended, left) = self.round(scope, &round);
        let mut met = Scope::nowhere();
        match order {
            Order::TestFirst if !endless => {
                met = scope.clone();
                self.narrow(&mut met, &parts.expr, false);
            }
            Order::TestLast { until } if !ended.dead => {
                self.condition(&mut ended, &parts.expr);
                self.narrow(&mut ended, &parts.expr, until);
                met = ended;
            }
            _ => {}
        }
        for mut way in left {
            way.leave(variables);
            met = met.join(way);
        }
        scope.becomes(met);
        self.forget_since(begun);
    }

    pub(super) fn each_of(
        &mut self,
        scope: &mut Scope<'a>,
        (name, counter): (&str, Option<&str>),
        parts: &FlowControl,
    ) {
        let begun = self.tested.len();
        let items = self.aside(scope, &parts.expr);
        self.relies(scope, &items);
        let item = self.iterated(&items, &parts.expr);
        let round = |walker: &mut Self, inside: &mut Scope<'a>| {
            let variables = inside.len();
            if let Some(counter) = counter {
                inside.declare(counter, Type::int(None), true);
            }
            let mut item = item.clone();
            // Each that is written here comes once.
            item.open = matches!(parts.expr, Expr::Array(..)).then(|| walker.stretch(inside));
            inside.declare(name, item, false);
            walker.block(inside, parts.body.statements());
            inside.leave(variables);
        };
        let variables = scope.len();
        self.settle(scope, (&[parts.body.statements()], None), &round);
        let (_, left) = self.round(scope, &round);
        let mut met = scope.clone();
        for mut way in left {
            way.leave(variables);
            met = met.join(way);
        }
        scope.becomes(met);
        self.forget_since(begun);
    }

    /// One round: what holds at its end, however it got there, and where the loop was left.
    fn round(&mut self, scope: &Scope<'a>, round: &dyn Fn(&mut Self, &mut Scope<'a>)) -> (Scope<'a>, Vec<Scope<'a>>) {
        self.loops.push(Loop::default());
        let mut inside = scope.clone();
        inside.stretch = None;
        round(self, &mut inside);
        let Loop { left, next } = self.loops.pop().unwrap_or_default();
        for mut way in next {
            way.leave(scope.len());
            inside = inside.join(way);
        }
        (inside, left)
    }

    /// Goes round until nothing changes any more: then this holds before every round.
    fn settle(
        &mut self,
        scope: &mut Scope<'a>,
        (all, test): (&[&[Stmt]], Option<&Expr>),
        round: &dyn Fn(&mut Self, &mut Scope<'a>),
    ) {
        let Some(names) = assigned(all, test).filter(|_| self.loops.len() < MAX_DEPTH) else {
            return self.widen(scope, all, test);
        };
        let names: Vec<Rc<str>> = names.into_iter().filter(|name| scope.get(name).is_some()).collect();
        if names.is_empty() {
            return;
        }
        let mut begins = scope.clone();
        for _ in 0..MAX_ROUNDS {
            let examined = self.examined.clone();
            let ended = self.silently(|walker| walker.round(&begins, round).0);
            self.examined = examined;
            if ended.dead {
                *scope = begins;
                return;
            }
            let met = begins.clone().join(ended);
            let holds = |name: &Rc<str>| match (begins.get(name), met.get(name)) {
                (Some(before), Some(after)) => before.known.covers(&after.known),
                _ => false,
            };
            let settled = names.iter().all(holds);
            begins = met;
            if settled {
                *scope = begins;
                return;
            }
        }
        self.widen(scope, all, test);
    }

    /// What they may change may be anything.
    pub(super) fn widen(&mut self, scope: &mut Scope<'a>, all: &[&[Stmt]], test: Option<&Expr>) {
        let Some(names) = assigned(all, test) else {
            self.loses_track();
            return scope.widen_all();
        };
        for name in names {
            self.lets_go(scope, &name);
            if scope.get(&name).is_some_and(|variable| !variable.constant) {
                scope.assign(&name, Type::any());
            }
        }
    }
}

/// Variables that statements may change, or nothing if all may be.
pub(super) fn assigned(all: &[&[Stmt]], test: Option<&Expr>) -> Option<BTreeSet<Rc<str>>> {
    let (mut names, mut lends) = (BTreeSet::new(), false);
    let mut see = |path: &[ASTNode<'_>]| {
        match path.last() {
            Some(ASTNode::Stmt(Stmt::Assignment(parts))) => names.extend(root(&parts.1.lhs)),
            Some(ASTNode::Stmt(Stmt::Share(captured))) => {
                names.extend(captured.iter().map(|(name, _)| Rc::from(name.name.as_str())));
            }
            Some(ASTNode::Expr(chain @ (Expr::Dot(parts, ..) | Expr::Index(parts, ..)))) => {
                let mut changes = false;
                parts.rhs.walk(&mut Vec::new(), &mut |path| {
                    changes |=
                        matches!(path.last(), Some(ASTNode::Expr(Expr::MethodCall(call, _))) if !is_pure(&call.name));
                    true
                });
                if changes {
                    names.extend(root(chain));
                }
            }
            Some(ASTNode::Expr(Expr::FnCall(call, _)) | ASTNode::Stmt(Stmt::FnCall(call, _))) => {
                lends |= call.capture_parent_scope;
                if let Some(first) = call.args.first().filter(|_| call.op_token.is_none() && !is_pure(&call.name)) {
                    names.extend(root(first));
                }
            }
            _ => {}
        }
        true
    };
    for statement in all.iter().copied().flatten() {
        statement.walk(&mut Vec::new(), &mut see);
    }
    if let Some(test) = test {
        test.walk(&mut Vec::new(), &mut see);
    }
    (!lends).then_some(names)
}

/// Whether anything is assigned on either way that could tell later which one was taken.
pub(super) fn changes(one: &[Stmt], other: &[Stmt], read: &Read) -> bool {
    let Some(mut names) = assigned(&[one, other], None) else { return true };
    if names.contains(STATE) && read.misses(&[one, other]) {
        names.remove(STATE);
    }
    !names.is_empty()
}
