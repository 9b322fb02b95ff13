//! What can be known about a script without running it, beside that it parses.

use std::collections::HashSet;

use rhai::{AST, ASTNode, Engine, Expr, FnCallExpr, Position, Stmt};

use super::{Kind, Source, errors, host};
use crate::diagnostic::Diagnostic;

/// Functions of the language that scripts do not have, and what to do instead.
const ABSENT: [(&str, &str); 3] = [
    ("sleep", "a handler must not wait; end it with `retry(why, delay)`"),
    ("timestamp", "a script has no clock; use `event.time` or `ctx.time`"),
    ("eval", "write the expression itself"),
];

/// Names only the engine puts in scope.
const GIVEN: [&str; 4] = ["event", "state", "ctx", "data"];

pub(super) fn script(engine: &Engine, kind: Kind, source: &Source<'_>, ast: &AST) -> Vec<Diagnostic> {
    Checker::new(engine, Some(kind), source, ast).check(ast)
}

pub(super) fn module(engine: &Engine, source: &Source<'_>, ast: &AST) -> Vec<Diagnostic> {
    Checker::new(engine, None, source, ast).check(ast)
}

struct Checker<'a> {
    kind: Option<Kind>,
    source: &'a Source<'a>,
    /// Functions of the language, of the host and of the script.
    functions: HashSet<String>,
    /// Names of properties in the script: a method of such a name may be a function in a map.
    properties: HashSet<String>,
    problems: Vec<Diagnostic>,
}

impl<'a> Checker<'a> {
    fn new(engine: &Engine, kind: Option<Kind>, source: &'a Source<'a>, ast: &AST) -> Self {
        let functions = engine
            .collect_fn_metadata(None, |info| Some(info.metadata.name.to_string()), true)
            .into_iter()
            .chain(ast.iter_functions().map(|function| function.name.to_owned()))
            .chain(
                ["print", "debug", "type_of", "Fn", "call", "curry", "is_def_var", "is_def_fn", "is_shared"]
                    .map(str::to_owned),
            )
            .collect();
        Self { kind, source, functions, properties: HashSet::new(), problems: Vec::new() }
    }

    fn check(mut self, ast: &AST) -> Vec<Diagnostic> {
        ast.walk(&mut |path| {
            match path.last() {
                Some(ASTNode::Expr(Expr::Property(property, _))) => {
                    self.properties.insert(property.2.to_string());
                }
                Some(ASTNode::Expr(Expr::Map(map, _))) => {
                    self.properties.extend(map.0.iter().map(|(name, _)| name.name.to_string()));
                }
                _ => {}
            }
            true
        });
        ast.walk(&mut |path| {
            match path.last() {
                Some(ASTNode::Expr(Expr::FnCall(call, at)) | ASTNode::Stmt(Stmt::FnCall(call, at))) => {
                    self.call(call, *at, false);
                }
                Some(ASTNode::Expr(Expr::MethodCall(call, at))) => self.call(call, *at, true),
                Some(ASTNode::Stmt(Stmt::Var(variable, ..))) => self.variable(&variable.0),
                Some(ASTNode::Stmt(Stmt::For(parts, _))) => self.variable(&parts.0),
                _ => {}
            }
            true
        });
        for statement in ast.statements() {
            statement.walk(&mut Vec::new(), &mut |path| {
                if let Some(ASTNode::Stmt(Stmt::Assignment(assignment))) = path.last() {
                    self.assignment(&assignment.1.lhs);
                }
                true
            });
        }
        self.problems.sort_by(|a, b| a.span.cmp(&b.span));
        self.problems.dedup();
        self.problems
    }

    fn call(&mut self, call: &FnCallExpr, at: Position, method: bool) {
        let name = call.name.as_str();
        if call.op_token.is_some() || call.is_qualified() {
            return;
        }
        if let Some((_, help)) = ABSENT.iter().find(|(absent, _)| *absent == name) {
            return self.problem(at, format!("scripts have no `{name}`"), Some((*help).to_owned()));
        }
        if self.kind != Some(Kind::Handler) && self.kind.is_some() && host::HANDLER_ONLY.contains(&name) {
            let help = "filters and upcasters have no effects".to_owned();
            return self.problem(at, format!("`{name}` is for handlers"), Some(help));
        }
        let known = self.functions.contains(name) || (method && self.properties.contains(name));
        // Operators and accessors have no names that a person can write.
        if known || !rhai::is_valid_identifier(name) {
            return;
        }
        let help = self.nearest(name).map(|nearest| format!("did you mean `{nearest}`?"));
        self.problem(at, format!("no function `{name}`"), help);
    }

    fn nearest(&self, name: &str) -> Option<&str> {
        let names = self.functions.iter().map(String::as_str).filter(|known| rhai::is_valid_identifier(known));
        names
            .map(|known| (strsim::damerau_levenshtein(known, name), known))
            .filter(|(distance, _)| *distance <= 1 + name.len() / 4)
            .min()
            .map(|(_, known)| known)
    }

    fn variable(&mut self, variable: &rhai::Ident) {
        let name = variable.name.as_str();
        let given = match self.kind {
            Some(Kind::Upcaster) => name == "event" || name == "data",
            Some(_) => GIVEN[..3].contains(&name),
            None => false,
        };
        if given {
            let help = format!(
                "assign to a variable of another name{}",
                if name == "data" || name == "state" {
                    format!(", or to `{name}` itself without `let`")
                } else {
                    String::new()
                }
            );
            self.problem(variable.pos, format!("`{name}` is already in scope; this would hide it"), Some(help));
        }
    }

    /// `event.data.x = 1` at the top level. Inside functions the name may be a parameter.
    fn assignment(&mut self, target: &Expr) {
        let mut base = target;
        while let Expr::Dot(parts, ..) | Expr::Index(parts, ..) = base {
            base = &parts.lhs;
        }
        let Expr::Variable(variable, ..) = base else { return };
        if let name @ ("event" | "ctx") = variable.1.as_str() {
            let help = format!("copy what you want to change, e.g. `let copy = {name}.…;`");
            self.problem(base.start_position(), format!("`{name}` is read-only"), Some(help));
        }
    }

    fn problem(&mut self, at: Position, message: String, help: Option<String>) {
        let mut diagnostic = errors::at(self.source, at, message);
        diagnostic.help = help;
        self.problems.push(diagnostic);
    }
}
