//! What can be known about a script without running it, beside that it parses.

use std::collections::{BTreeSet, HashMap, HashSet};

use rhai::{AST, ASTNode, BinaryExpr, Engine, Expr, FnCallExpr, Position, Stmt};

use super::run::Imports;
use super::{Kind, Source, errors, host, modules};
use crate::diagnostic::Diagnostic;
use crate::diagnostic::rules::{self, Rule};

/// Functions of the language that scripts do not have, and what to do instead.
const ABSENT: [(&str, &str); 3] = [
    ("sleep", "a handler must not wait; end it with `retry(why, delay)`"),
    ("timestamp", "a script has no clock; use `event.time` or `ctx.time`"),
    ("eval", "write the expression itself"),
];

/// What Rhai's parser makes of a closure that captures variables.
const KEYWORD_CURRY: &str = "curry";

/// Names only the engine puts in scope.
const GIVEN: [&str; 4] = ["event", "state", "ctx", "data"];

/// What every script may call, and with how many arguments: collected once, for there are hundreds.
pub(super) struct Functions(HashMap<String, Arity>);

/// Numbers of arguments; nothing is known of the functions of the language itself.
type Arity = Option<BTreeSet<usize>>;

impl Functions {
    pub(super) fn of(engine: &Engine) -> Self {
        let of_language = ["print", "debug", "type_of", "Fn", "call", "curry", "is_def_var", "is_def_fn", "is_shared"];
        let registered = engine.collect_fn_metadata(
            None,
            |info| Some((info.metadata.name.to_string(), info.metadata.num_params)),
            true,
        );
        let mut functions: HashMap<String, Arity> = HashMap::new();
        for (name, arity) in registered {
            functions.entry(name).or_default().get_or_insert_default().insert(arity);
        }
        functions.extend(of_language.map(|name| (name.to_owned(), None)));
        Self(functions)
    }
}

pub(super) fn script(functions: &Functions, kind: Kind, source: &Source<'_>, ast: &AST) -> Vec<Diagnostic> {
    Checker::new(functions, Some(kind), source, ast).check(ast)
}

pub(super) fn module(functions: &Functions, source: &Source<'_>, ast: &AST) -> Vec<Diagnostic> {
    Checker::new(functions, None, source, ast).check(ast)
}

/// Calls of `module::function` against what the modules have.
pub(super) fn qualified(source: &Source<'_>, ast: &AST, imports: &Imports) -> Vec<Diagnostic> {
    let aliases = modules::aliases(source.file, ast, imports);
    let mut problems = Vec::new();
    ast.walk(&mut |path| {
        let (Some(ASTNode::Expr(Expr::FnCall(call, at))) | Some(ASTNode::Stmt(Stmt::FnCall(call, at)))) = path.last()
        else {
            return true;
        };
        // An alias used twice may mean either module, and modules in modules are left to the run.
        let [alias] = call.namespace.path.as_slice() else { return true };
        let Some(imported) = aliases.get(alias.name.as_str()) else { return true };
        let functions: Vec<String> = imported
            .module
            .gen_fn_signatures_with_mapper(|kind| kind.into())
            .map(|signature| signature.split('(').next().unwrap_or_default().trim().to_owned())
            .collect();
        let name = call.name.as_str();
        if !functions.iter().any(|known| known == name) {
            let message = format!("no function `{name}` in `{}`", alias.name);
            let mut diagnostic = errors::at(&rules::UNKNOWN_FUNCTION, source, *at, message);
            diagnostic.help = suggestion(functions.iter().map(String::as_str), name);
            problems.push(diagnostic);
        }
        true
    });
    problems
}

/// The nearest of names, as help.
pub(super) fn suggestion<'a>(known: impl Iterator<Item = &'a str>, name: &str) -> Option<String> {
    known
        .map(|known| (strsim::damerau_levenshtein(known, name), known))
        .filter(|(distance, _)| *distance <= 1 + name.len() / 4)
        .min()
        .map(|(_, nearest)| format!("did you mean `{nearest}`?"))
}

struct Checker<'a> {
    kind: Option<Kind>,
    source: &'a Source<'a>,
    functions: &'a Functions,
    /// Functions of the script.
    own: HashMap<String, BTreeSet<usize>>,
    /// Names of properties in the script: a method of such a name may be a function in a map.
    properties: HashSet<String>,
    problems: Vec<Diagnostic>,
}

impl<'a> Checker<'a> {
    fn new(functions: &'a Functions, kind: Option<Kind>, source: &'a Source<'a>, ast: &AST) -> Self {
        let mut own: HashMap<String, BTreeSet<usize>> = HashMap::new();
        for function in ast.iter_functions() {
            own.entry(function.name.to_owned()).or_default().insert(function.params.len());
        }
        Self { kind, source, functions, own, properties: HashSet::new(), problems: Vec::new() }
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
                Some(ASTNode::Expr(Expr::Dot(parts, ..) | Expr::Index(parts, ..))) => self.chain(parts),
                _ => {}
            }
            true
        });
        for function in ast.iter_functions() {
            self.function(ast, function.name, &function.params);
        }
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
            return self.problem(
                &rules::UNKNOWN_FUNCTION,
                at,
                format!("scripts have no `{name}`"),
                Some((*help).to_owned()),
            );
        }
        if self.kind != Some(Kind::Handler) && self.kind.is_some() && host::HANDLER_ONLY.contains(&name) {
            let help = "filters and upcasters have no effects".to_owned();
            return self.problem(&rules::HANDLER_ONLY, at, format!("`{name}` is for handlers"), Some(help));
        }
        // A function in a map; and operators and accessors have no names that a person can write.
        if (method && self.properties.contains(name)) || !rhai::is_valid_identifier(name) {
            return;
        }
        let (of_engine, own) = (self.functions.0.get(name), self.own.get(name));
        if of_engine.is_some() || own.is_some() {
            return self.arity(call, at, method);
        }
        let all = self.functions.0.keys().chain(self.own.keys()).map(String::as_str);
        let written = all.filter(|known| rhai::is_valid_identifier(known));
        let help = suggestion(written, name);
        self.problem(&rules::UNKNOWN_FUNCTION, at, format!("no function `{name}`"), help);
    }

    /// Calls with more or fewer arguments than there can be.
    fn arity(&mut self, call: &FnCallExpr, at: Position, method: bool) {
        let (name, given) = (call.name.as_str(), call.args.len());
        let Some(of_engine) = self.functions.0.get(name).map_or(Some(BTreeSet::new()), Clone::clone) else { return };
        let own = self.own.get(name).cloned().unwrap_or_default();
        // What a method is called on is its first argument, or, in a function of the script, `this`.
        let first = usize::from(method);
        let takes: BTreeSet<usize> =
            (&of_engine | &own).into_iter().filter_map(|arity| arity.checked_sub(first)).collect();
        let takes = if method { &takes | &own } else { takes };
        if takes.contains(&given) || call.capture_parent_scope {
            return;
        }
        let usage = host::SIGNATURES.iter().find(|(known, _)| *known == name);
        let help = match usage {
            Some((_, usage)) => Some(format!("call it as `{usage}`")),
            None if takes.is_empty() => Some(format!("call it as `{name}(…)`, not on a value")),
            None => Some(format!("it takes {}", takes.iter().map(usize::to_string).collect::<Vec<_>>().join(" or "))),
        };
        let arguments = if given == 1 { "1 argument".to_owned() } else { format!("{given} arguments") };
        self.problem(&rules::UNKNOWN_FUNCTION, at, format!("there is no `{name}` with {arguments}"), help);
    }

    /// Strict variables are not strict inside functions: there the parser takes what is in scope outside for
    /// known. In closures it does so for everything, but makes parameters of what they capture.
    fn function(&mut self, ast: &AST, name: &str, parameters: &[&str]) {
        let mut alone = ast.clone_functions_only();
        alone.retain_functions(|_, _, other, arity| other == name && arity == parameters.len());
        alone.walk(&mut |path| {
            if let Some(ASTNode::Expr(Expr::Variable(variable, index, at))) = path.last()
                && index.is_none()
                && variable.0.is_none()
                && variable.2.path.is_empty()
                && !parameters.contains(&variable.1.as_str())
            {
                let (message, help) = errors::unknown_variable(&variable.1);
                self.problem(&rules::UNKNOWN_VARIABLE, *at, message, help);
            }
            true
        });
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
            self.problem(
                &rules::HIDDEN_NAME,
                variable.pos,
                format!("`{name}` is already in scope; this would hide it"),
                Some(help),
            );
        }
    }

    /// `state.items.filter(|i| i.n == state.n)`: the variable is held while the chain that begins with it is
    /// evaluated, and the closure cannot look at it. Rhai finds that out at run time, after a wait.
    fn chain(&mut self, chain: &BinaryExpr) {
        let Expr::Variable(root, ..) = &chain.lhs else { return };
        let name = root.1.as_str();
        let mut captured = None;
        chain.rhs.walk(&mut Vec::new(), &mut |path| {
            if let Some(ASTNode::Expr(Expr::FnCall(call, _))) = path.last()
                && call.name == KEYWORD_CURRY
            {
                let capture = call.args.iter().find(|arg| matches!(arg, Expr::Variable(v, ..) if v.1 == name));
                captured = captured.or(capture.map(Expr::position));
            }
            true
        });
        if let Some(at) = captured {
            let at = if at.is_none() { chain.lhs.position() } else { at };
            let help = format!("copy what the closure needs first, e.g. `let wanted = {name}.…;`");
            let message = format!("the closure uses `{name}`, which is in use by the call that runs the closure");
            self.problem(&rules::IN_USE, at, message, Some(help));
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
            self.problem(&rules::READ_ONLY, base.start_position(), format!("`{name}` is read-only"), Some(help));
        }
    }

    fn problem(&mut self, rule: &Rule, at: Position, message: String, help: Option<String>) {
        let mut diagnostic = errors::at(rule, self.source, at, message);
        diagnostic.help = help;
        self.problems.push(diagnostic);
    }
}
