//! Functions kept as values, and `switch`: the one pair of language features that no budget bounds.
//!
//! `switch` hashes its value to the bottom in a single operation. Function values share what they captured, so that
//! a few of them can stand for any number of bytes; and no size check looks into them. A script that only hands its
//! closures to methods of the language (`items.filter(|i| …)`) has no such values.

use std::collections::HashSet;

use rhai::{AST, ASTNode, Dynamic, Expr, FnPtr, Stmt};

use super::engine::{CTX, EVENT};
use super::{Source, errors};
use crate::diagnostic::{Diagnostic, rules};

/// Methods of the language that call a function while they last, and keep it no longer.
const CALLERS: [&str; 18] = [
    "all",
    "dedup",
    "drain",
    "filter",
    "find",
    "find_map",
    "for_each",
    "index_of",
    "map",
    "order",
    "order_by",
    "reduce",
    "reduce_rev",
    "retain",
    "some",
    "sort",
    "sort_by",
    "zip",
];

const HELP: &str = "functions are kept as values here, and no limit bounds what comparing them costs: hand closures \
                    directly to a method such as `filter` or `map`, or use `if`";

/// What a script and its imports have of this pair.
#[derive(Default)]
pub(super) struct Pair {
    keeps: bool,
    /// Told when functions are kept.
    switches: Vec<Diagnostic>,
}

impl Pair {
    pub(super) fn add(&mut self, source: &Source<'_>, ast: &AST) {
        self.keeps |= keeps_functions(ast);
        let hidden = hides_given(ast);
        ast.walk(&mut |path| {
            if let Some(ASTNode::Stmt(Stmt::Switch(parts, at))) = path.last()
                && (hidden || !plain(&parts.0))
            {
                let mut problem =
                    errors::at(&rules::UNBOUNDED_SWITCH, source, *at, "`switch` on a value that may hold functions");
                problem.help = Some(HELP.to_owned());
                self.switches.push(problem);
            }
            true
        });
    }

    pub(super) fn problems(self) -> Vec<Diagnostic> {
        if self.keeps { self.switches } else { Vec::new() }
    }
}

/// Part of the event or the context, which are JSON and read-only, or a constant.
fn plain(value: &Expr) -> bool {
    match value {
        Expr::Variable(variable, ..) => [EVENT, CTX].contains(&variable.1.as_str()) && variable.2.path.is_empty(),
        Expr::Dot(parts, ..) | Expr::Index(parts, ..) => {
            let mut methods = false;
            parts.rhs.walk(&mut Vec::new(), &mut |path| {
                methods |= matches!(path.last(), Some(ASTNode::Expr(Expr::MethodCall(..) | Expr::FnCall(..))));
                true
            });
            !methods && plain(&parts.lhs)
        }
        constant => constant.is_constant() && !matches!(constant, Expr::DynamicConstant(..)),
    }
}

/// Whether `event` or `ctx` is somewhere the name of something else. `let` and `for` may not use it.
fn hides_given(ast: &AST) -> bool {
    let given = |name: &str| [EVENT, CTX].contains(&name);
    let mut hides = ast.iter_functions().any(|function| function.params.iter().any(|name| given(name)));
    ast.walk(&mut |path| {
        if let Some(ASTNode::Stmt(Stmt::TryCatch(parts, _))) = path.last()
            && let Expr::Variable(caught, ..) = &parts.expr
        {
            hides |= given(&caught.1);
        }
        true
    });
    hides
}

/// Whether a function becomes a value other than as the argument of one of [`CALLERS`].
fn keeps_functions(ast: &AST) -> bool {
    let own: HashSet<&str> = ast.iter_functions().map(|function| function.name).collect();
    let (mut all, mut handed, mut named) = (0_usize, 0_usize, false);
    ast.walk(&mut |path| {
        match path.last() {
            Some(ASTNode::Expr(Expr::DynamicConstant(constant, _))) => all += usize::from(holds_function(constant)),
            Some(ASTNode::Expr(Expr::MethodCall(call, _)))
                if CALLERS.contains(&call.name.as_str()) && !own.contains(call.name.as_str()) =>
            {
                handed += call.args.iter().filter(|argument| is_closure(argument)).count();
            }
            Some(ASTNode::Expr(Expr::Variable(variable, ..))) => named |= own.contains(variable.1.as_str()),
            Some(ASTNode::Expr(Expr::FnCall(call, _)) | ASTNode::Stmt(Stmt::FnCall(call, _))) => {
                named |= call.name == "Fn";
            }
            _ => {}
        }
        true
    });
    named || all > handed
}

/// A closure as it is written; one that captures is a block that shares what it captures.
fn is_closure(argument: &Expr) -> bool {
    match argument {
        Expr::DynamicConstant(constant, _) => constant.is::<FnPtr>(),
        Expr::Stmt(block) => match block.statements() {
            [Stmt::Share(..), Stmt::Expr(capturing)] => is_capturing(capturing),
            [Stmt::Share(..), Stmt::FnCall(call, _)] => call.args.first().is_some_and(is_closure),
            _ => false,
        },
        _ => false,
    }
}

fn is_capturing(expression: &Expr) -> bool {
    matches!(expression, Expr::FnCall(call, _) if call.args.first().is_some_and(is_closure))
}

fn holds_function(constant: &Dynamic) -> bool {
    if let Some(items) = constant.read_lock::<rhai::Array>() {
        return items.iter().any(holds_function);
    }
    if let Some(members) = constant.read_lock::<rhai::Map>() {
        return members.values().any(holds_function);
    }
    constant.is::<FnPtr>()
}
