//! The script, and the files that it imports.

use std::collections::{BTreeMap, HashMap};
use std::rc::Rc;

use rhai::{AST, ASTNode, FnAccess, FnCallExpr, Stmt};

use super::super::engine::Compiled;
use super::super::modules::{self, Imported};
use super::super::{Source, run::Imports};

/// A file that is looked at.
#[derive(Clone)]
pub(super) struct Unit<'s> {
    pub(super) source: Source<'s>,
    /// Others may import it, too.
    pub(super) imported: bool,
    pub(super) ast: &'s AST,
}

/// A function that is written in one of them.
pub(super) struct Function<'s> {
    pub(super) unit: Unit<'s>,
    pub(super) parameters: Vec<Rc<str>>,
    pub(super) body: Vec<Stmt>,
}

/// Where functions are found, each once.
pub(super) struct Units<'s> {
    imports: &'s Imports,
    /// By file: what its names for modules mean.
    aliases: HashMap<&'s str, HashMap<String, &'s Imported>>,
    functions: HashMap<Signature<'s>, Option<Rc<Function<'s>>>>,
}

/// A function's file, name, and number of parameters.
pub(super) type Signature<'s> = (&'s str, String, usize);

impl<'s> Unit<'s> {
    pub(super) fn of(script: &'s Compiled) -> Self {
        let Compiled { file, text, line_offset, ast, .. } = script;
        Self { source: Source { file, text, line_offset: *line_offset }, imported: false, ast }
    }

    fn imported(imported: &'s Imported) -> Self {
        let Imported { file, text, ast, .. } = imported;
        Self { source: Source { file, text, line_offset: 0 }, imported: true, ast }
    }
}

impl<'s> Units<'s> {
    pub(super) fn new(imports: &'s Imports) -> Self {
        Self { imports, aliases: HashMap::new(), functions: HashMap::new() }
    }

    /// The script, and every file that is imported, once.
    pub(super) fn all(&self, script: &Unit<'s>) -> Vec<Unit<'s>> {
        let imported: BTreeMap<&str, &Imported> =
            self.imports.values().map(|imported| (&*imported.file, &**imported)).collect();
        std::iter::once(script.clone()).chain(imported.into_values().map(Unit::imported)).collect()
    }

    /// A function of this file.
    pub(super) fn own(&mut self, unit: &Unit<'s>, name: &str, arity: usize) -> Option<Rc<Function<'s>>> {
        let find = || function(unit, name, arity).map(Rc::new);
        self.functions.entry((unit.source.file, name.to_owned(), arity)).or_insert_with(find).clone()
    }

    /// A function of a module that this file imports: `module::name(…)`.
    pub(super) fn imported(&mut self, unit: &Unit<'s>, call: &FnCallExpr) -> Option<Rc<Function<'s>>> {
        let [alias] = call.namespace.path.as_slice() else { return None };
        let (imports, file) = (self.imports, unit.source.file);
        let aliases = self.aliases.entry(file).or_insert_with(|| modules::aliases(file, unit.ast, imports));
        let module = Unit::imported(aliases.get(alias.name.as_str())?);
        let (name, arity) = (call.name.as_str(), call.args.len());
        let open = |function: &rhai::ScriptFnMetadata<'_>| {
            function.name == name && function.params.len() == arity && function.access == FnAccess::Public
        };
        if !module.ast.iter_functions().any(|function| open(&function)) {
            return None;
        }
        self.own(&module, name, arity)
    }
}

fn function<'s>(unit: &Unit<'s>, name: &str, arity: usize) -> Option<Function<'s>> {
    let found = unit.ast.iter_functions().find(|function| function.name == name && function.params.len() == arity)?;
    let parameters = found.params.iter().map(|name| Rc::from(*name)).collect();
    let mut alone = unit.ast.clone_functions_only();
    alone.retain_functions(|_, _, other, parameters| other == name && parameters == arity);
    let mut body = Vec::new();
    alone.walk(&mut |path| {
        if let [ASTNode::Stmt(statement)] = path {
            body.push((*statement).clone());
        }
        true
    });
    Some(Function { unit: unit.clone(), parameters, body })
}
