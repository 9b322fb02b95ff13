//! Changes that nobody sees: of an argument, of an item of a loop, of a variable that was taken from somewhere else. The
//! language hands out copies.

use std::collections::{HashMap, HashSet};
use std::rc::Rc;

use rhai::{ASTNode, Expr, Position, Stmt};

use super::chain::{flattened, last_call};
use super::units::Unit;
use super::walk::Walker;
use crate::diagnostic::rules;

/// Methods that only change what they are called on: what they yield is nothing.
const YIELDING_NOTHING: [&str; 10] =
    ["push", "insert", "append", "clear", "truncate", "reverse", "sort", "sort_by", "dedup", "set"];

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Copied {
    Argument,
    Item,
    /// From a place that the variable can be put back to.
    Taken,
}

/// A name that is given a value once.
struct Declared {
    copied: Option<Copied>,
    loops: Vec<Position>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Role {
    /// It is changed.
    Changed,
    /// It is looked at to change it.
    Within,
    Used,
}

struct Occurrence {
    name: String,
    at: Position,
    role: Role,
    /// Around it, from the outside in.
    loops: Vec<Position>,
}

/// What is found in the body of a function, or of a script.
#[derive(Default)]
struct Body {
    declared: HashMap<String, Vec<Declared>>,
    occurrences: Vec<Occurrence>,
    /// Closures have them too.
    shared: HashSet<String>,
    /// Functions of the file.
    own: HashSet<String>,
}

impl<'s> Walker<'_, 's> {
    /// Tells of changes in the script, in its functions, and in those that it imports.
    pub(super) fn changes_of_copies(&mut self) {
        let script = self.report.unit.clone();
        self.changes_in(Body::of(&script, &[], script.ast.statements()));
        for unit in self.units.all(&script) {
            self.report.unit = unit.clone();
            // What a closure captures comes as arguments, too, and is no copy.
            let named = unit.ast.iter_functions().filter(|function| rhai::is_valid_identifier(function.name));
            let signatures: Vec<(String, usize)> =
                named.map(|function| (function.name.to_owned(), function.params.len())).collect();
            for (name, arity) in signatures {
                if let Some(function) = self.units.own(&unit, &name, arity) {
                    self.changes_in(Body::of(&unit, &function.parameters, &function.body));
                }
            }
        }
        self.report.unit = script;
    }

    fn changes_in(&mut self, body: Body) {
        for (name, declared) in &body.declared {
            let [Declared { copied: Some(copied), loops }] = declared.as_slice() else { continue };
            let Some(at) = body.lost(name, loops).filter(|_| !body.shared.contains(name)) else { continue };
            let help = match copied {
                Copied::Argument => {
                    "return it and keep what the function returns, or write a method that changes `this`".to_owned()
                }
                Copied::Item => "change the item where it is: `for (item, i) in items { items[i]… }`".to_owned(),
                Copied::Taken => format!("put `{name}` back to where it came from"),
            };
            let message = format!("`{name}` is a copy, and nothing looks at it after this change");
            let diagnostic = self.report.at(&rules::LOST_CHANGE, at, message).help(help);
            self.report.tell(diagnostic, None);
        }
    }
}

impl Body {
    fn of(unit: &Unit<'_>, parameters: &[Rc<str>], statements: &[Stmt]) -> Self {
        let own = unit.ast.iter_functions().map(|function| function.name.to_owned()).collect();
        let mut body = Self { own, ..Self::default() };
        for name in parameters {
            body.declare(name, Some(Copied::Argument), Vec::new());
        }
        for statement in statements {
            statement.walk(&mut Vec::new(), &mut |path| {
                body.see(path);
                true
            });
        }
        body
    }

    fn declare(&mut self, name: &str, copied: Option<Copied>, loops: Vec<Position>) {
        self.declared.entry(name.to_owned()).or_default().push(Declared { copied, loops });
    }

    fn see(&mut self, path: &[ASTNode<'_>]) {
        match path.last() {
            Some(ASTNode::Stmt(Stmt::Var(parts, ..))) => {
                let copied = is_taken(&parts.1).then_some(Copied::Taken);
                self.declare(&parts.0.name, copied, loops(path));
            }
            Some(ASTNode::Stmt(Stmt::For(parts, _))) => {
                self.declare(&parts.0.name, Some(Copied::Item), loops(path));
                if let Some(counter) = &parts.1 {
                    self.declare(&counter.name, None, loops(path));
                }
            }
            Some(ASTNode::Stmt(Stmt::Share(captured))) => {
                self.shared.extend(captured.iter().map(|(name, _)| name.name.to_string()));
            }
            Some(ASTNode::Expr(variable @ Expr::Variable(parts, _, at))) if parts.2.path.is_empty() => {
                let role = self.role(path, variable, &parts.1);
                self.occurrences.push(Occurrence { name: parts.1.to_string(), at: *at, role, loops: loops(path) });
            }
            _ => {}
        }
    }

    /// What a variable is there for, by the statement around it.
    fn role(&self, path: &[ASTNode<'_>], variable: &Expr, name: &str) -> Role {
        let statement = path.iter().rev().find_map(|node| match node {
            ASTNode::Stmt(statement) => Some(*statement),
            _ => None,
        });
        let changed = match statement {
            Some(Stmt::Assignment(parts)) if matches!(parts.1.lhs, Expr::Dot(..) | Expr::Index(..)) => &parts.1.lhs,
            Some(Stmt::Expr(chain)) if self.yields_nothing(chain) => chain,
            _ => return Role::Used,
        };
        let base = flattened(changed).0;
        let called =
            |node: &&ASTNode<'_>| matches!(node, ASTNode::Expr(Expr::FnCall(call, _)) if call.op_token.is_none());
        match base {
            _ if std::ptr::eq(base, variable) => Role::Changed,
            // A function may do something with it.
            _ if path.iter().rev().take_while(|node| !matches!(node, ASTNode::Stmt(_))).any(|node| called(&node)) => {
                Role::Used
            }
            Expr::Variable(parts, ..) if parts.1 == name => Role::Within,
            _ => Role::Used,
        }
    }

    fn yields_nothing(&self, chain: &Expr) -> bool {
        last_call(chain).is_some_and(|name| YIELDING_NOTHING.contains(&name) && !self.own.contains(name))
    }

    /// Where a name is changed for nobody: it is not used after that, nor in a loop around it that goes on with the same
    /// value.
    fn lost(&self, name: &str, declared_in: &[Position]) -> Option<Position> {
        let all = || self.occurrences.iter().filter(|occurrence| occurrence.name == name);
        let changes = || all().filter(|occurrence| occurrence.role == Role::Changed);
        let first = changes().map(|change| change.at).min()?;
        let seen_again = |used: &Occurrence| {
            let within = |at: &Position| !declared_in.contains(at) && used.loops.contains(at);
            used.at > first || changes().any(|change| change.loops.iter().any(within))
        };
        let mut uses = all().filter(|occurrence| occurrence.role == Role::Used);
        (!uses.any(seen_again)).then_some(first)
    }
}

/// Loops around the end of a path, itself included.
fn loops(path: &[ASTNode<'_>]) -> Vec<Position> {
    let at = |node: &ASTNode<'_>| match node {
        ASTNode::Stmt(Stmt::For(_, at) | Stmt::While(_, at) | Stmt::Do(_, _, at)) => Some(*at),
        _ => None,
    };
    path.iter().filter_map(at).collect()
}

/// Whether it is read from somewhere, with a default perhaps.
fn is_taken(value: &Expr) -> bool {
    match value {
        Expr::Dot(parts, ..) | Expr::Index(parts, ..) => {
            let mut calls = false;
            parts.rhs.walk(&mut Vec::new(), &mut |path| {
                calls |= matches!(path.last(), Some(ASTNode::Expr(Expr::MethodCall(..) | Expr::FnCall(..))));
                true
            });
            !calls
        }
        Expr::Variable(..) => true,
        Expr::Coalesce(parts, _) => parts.first().is_some_and(is_taken),
        _ => false,
    }
}
