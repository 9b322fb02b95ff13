//! The shared engine: the language cut down to what a pure, budgeted script needs.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::sync::Arc;

use rhai::packages::{
    BasicArrayPackage, BasicBlobPackage, BasicMapPackage, BasicMathPackage, BitFieldPackage, CorePackage, LogicPackage,
    MoreStringPackage, Package as _,
};
use rhai::{AST, Dynamic, OptimizationLevel, Scope};

use super::modules::{Loader, Prepared};
use super::reads::Reads;
use super::run::{Imports, Run};
use super::types::trial::Trials;
use super::{Kind, Source, check, errors, host, natives, number, text};
use crate::diagnostic::Diagnostic;
use crate::spec::program::Limits;

/// Variables at a time, per function: each can hold a value at its size limit.
const MAX_VARIABLES: usize = 256;
const MAX_MODULES: usize = 64;
const MAX_FUNCTIONS: usize = 1024;
const MAX_EXPRESSION_DEPTH: usize = 64;
const MAX_FUNCTION_EXPRESSION_DEPTH: usize = 48;

/// What all scripts of an engine share.
pub(super) struct Inner {
    pub(super) rhai: rhai::Engine,
    pub(super) limits: Limits,
    root: PathBuf,
    /// What scripts may call.
    functions: check::Functions,
    /// What the type checker found out about this engine.
    pub(super) trials: Trials,
}

/// Names in scope.
pub(super) const EVENT: &str = "event";
pub(super) const STATE: &str = "state";
pub(super) const CTX: &str = "ctx";
pub(super) const DATA: &str = "data";

/// A script with what it imports.
pub(super) struct Compiled {
    pub(super) kind: Kind,
    pub(super) ast: AST,
    pub(super) reads: Reads,
    pub(super) imports: Arc<Imports>,
    pub(super) file: Arc<str>,
    pub(super) text: Arc<str>,
    pub(super) line_offset: usize,
}

impl Inner {
    pub(super) fn new(limits: Limits, root: &std::path::Path) -> Self {
        let root = root.canonicalize().unwrap_or_else(|_| root.to_owned());
        let rhai = build(&limits);
        Self { functions: check::Functions::of(&rhai), rhai, limits, root, trials: Trials::default() }
    }

    pub(super) fn compile(
        &self,
        kind: Kind,
        source: &Source<'_>,
        looked_for: &mut BTreeSet<PathBuf>,
    ) -> Result<Compiled, Vec<Diagnostic>> {
        let scope = Self::declared(kind);
        let parsed = match kind {
            Kind::Filter => self.rhai.compile_expression_with_scope(&scope, source.text),
            Kind::Handler | Kind::Upcaster => self.rhai.compile_with_scope(&scope, source.text),
        };
        let mut ast = parsed.map_err(|error| vec![errors::of_parse(source, &error)])?;
        ast.set_source(source.file);
        let mut problems = check::script(&self.functions, kind, source, &ast);
        let mut loader = Loader::new(&self.rhai, &self.functions, &self.root, &self.limits);
        problems.extend(loader.load(source, &ast).err().unwrap_or_default());
        looked_for.append(&mut loader.looked_for);
        loader.pair.add(source, &ast);
        problems.extend(std::mem::take(&mut loader.pair).problems());
        if !problems.is_empty() {
            return Err(problems);
        }
        Ok(Compiled {
            kind,
            reads: Reads::of(&ast),
            ast,
            imports: Arc::new(loader.into_imports()),
            file: source.file.into(),
            text: source.text.into(),
            line_offset: source.line_offset,
        })
    }

    /// The scope as the parser must know it: same names in the same order as when the script runs.
    fn declared(kind: Kind) -> Scope<'static> {
        let mut scope = Scope::new();
        scope.push_constant_dynamic(EVENT, Dynamic::UNIT);
        match kind {
            Kind::Upcaster => {
                scope.push_dynamic(DATA, Dynamic::UNIT);
            }
            Kind::Handler | Kind::Filter => {
                scope.push_constant_dynamic(CTX, Dynamic::UNIT);
                scope.push_dynamic(STATE, Dynamic::UNIT);
            }
        }
        scope
    }
}

fn build(limits: &Limits) -> rhai::Engine {
    // No interner of strings: it sits behind a lock that all threads would share.
    let mut engine = rhai::Engine::new_raw();
    // The standard library without its clock.
    engine.register_global_module(CorePackage::new().as_shared_module());
    engine.register_global_module(BitFieldPackage::new().as_shared_module());
    engine.register_global_module(LogicPackage::new().as_shared_module());
    engine.register_global_module(BasicMathPackage::new().as_shared_module());
    engine.register_global_module(BasicArrayPackage::new().as_shared_module());
    engine.register_global_module(BasicBlobPackage::new().as_shared_module());
    engine.register_global_module(BasicMapPackage::new().as_shared_module());
    engine.register_global_module(MoreStringPackage::new().as_shared_module());
    natives::register(&mut engine, limits);
    text::register(&mut engine, limits.string_bytes);
    number::register(&mut engine);
    host::register(&mut engine);

    engine.disable_symbol("eval").disable_symbol("curry");
    engine.set_strict_variables(true);
    engine.set_fail_on_invalid_map_property(false);
    // Rhai's changelog admits that its optimizer removed live statements.
    engine.set_optimization_level(OptimizationLevel::None);

    engine.set_max_operations(limits.operations.max(1));
    engine.set_max_call_levels(limits.call_depth);
    engine.set_max_string_size(limits.string_bytes.max(1));
    engine.set_max_array_size(limits.collection_items.max(1));
    engine.set_max_map_size(limits.collection_items.max(1));
    engine.set_max_variables(MAX_VARIABLES);
    engine.set_max_modules(MAX_MODULES);
    engine.set_max_functions(MAX_FUNCTIONS);
    engine.set_max_expr_depths(MAX_EXPRESSION_DEPTH, MAX_FUNCTION_EXPRESSION_DEPTH);
    engine.on_progress(|operations| Run::must_stop(operations).then_some(Dynamic::UNIT));
    engine.set_module_resolver(Prepared);
    engine
}
