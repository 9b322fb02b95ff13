//! `import`: files below the project, found and compiled with the script that imports them.
//!
//! A path is looked up beside the importing file, then below the project. Nothing is read while a script runs:
//! the resolver hands out what compiling put there.

use std::collections::{BTreeSet, HashMap};
use std::path::{Component, Path, PathBuf};
use std::sync::Arc;

use rhai::{Engine, EvalAltResult, Expr, Module, ModuleResolver, Position, Scope, Shared, Stmt};

use super::kept::Pair;
use super::pool::STACK_BYTES;
use super::run::{Imports, Run, Subject};
use super::{Source, check, errors};
use crate::diagnostic::{Diagnostic, did_you_mean, rules};
use crate::spec::program::Limits;

/// Imports of imports; loading recurses.
const MAX_DEPTH: usize = 32;

type Evaluated = Result<Module, Box<EvalAltResult>>;

/// Answers from the imports of the run on this thread.
pub(super) struct Prepared;

impl ModuleResolver for Prepared {
    fn resolve(
        &self,
        _: &Engine,
        source: Option<&str>,
        path: &str,
        at: Position,
    ) -> Result<Shared<Module>, Box<EvalAltResult>> {
        let key = (source.unwrap_or_default().to_owned(), path.to_owned());
        Run::with(|run| run.imports.get(&key).map(|imported| imported.module.clone()))
            .flatten()
            .ok_or_else(|| EvalAltResult::ErrorModuleNotFound(path.to_owned(), at).into())
    }
}

/// An imported file: as it runs, and as it is written.
#[derive(Debug)]
pub(super) struct Imported {
    pub(super) file: Arc<str>,
    pub(super) text: Arc<str>,
    pub(super) ast: rhai::AST,
    pub(super) module: Shared<Module>,
}

/// Compiles what a script imports, and what that imports.
pub(super) struct Loader<'a> {
    pub(super) engine: &'a Engine,
    functions: &'a check::Functions,
    /// Canonical.
    pub(super) root: &'a Path,
    pub(super) limits: &'a Limits,
    /// Files being loaded, from the script down, relative to the project: an import of one of them is a cycle.
    chain: Vec<String>,
    /// Compiled files by path relative to the project.
    done: HashMap<String, Arc<Imported>>,
    imports: Imports,
    /// Where imported files are or could be, relative to the project.
    pub(super) looked_for: BTreeSet<PathBuf>,
    /// Of all files.
    pub(super) pair: Pair,
}

impl<'a> Loader<'a> {
    pub(super) fn new(engine: &'a Engine, functions: &'a check::Functions, root: &'a Path, limits: &'a Limits) -> Self {
        Self {
            engine,
            functions,
            root,
            limits,
            chain: Vec::new(),
            done: Default::default(),
            imports: Imports::new(),
            looked_for: BTreeSet::new(),
            pair: Pair::default(),
        }
    }

    pub(super) fn into_imports(self) -> Imports {
        self.imports
    }

    /// Loads everything `ast`, compiled from `source`, imports.
    pub(super) fn load(&mut self, source: &Source<'_>, ast: &rhai::AST) -> Result<(), Vec<Diagnostic>> {
        self.chain.push(source.file.to_owned());
        let mut problems = Vec::new();
        for (path, position) in imports_of(ast) {
            let outcome = match path {
                Some(path) => self.import(source, &path, position),
                None => Err(vec![errors::at(&rules::BAD_IMPORT, source, position, "`import` needs a literal path")]),
            };
            problems.extend(outcome.err().unwrap_or_default());
        }
        self.chain.pop();
        problems.extend(check::qualified(source, ast, &self.imports));
        if problems.is_empty() { Ok(()) } else { Err(problems) }
    }

    fn import(&mut self, source: &Source<'_>, path: &str, position: Position) -> Result<(), Vec<Diagnostic>> {
        let refuse = |message: String| vec![errors::at(&rules::BAD_IMPORT, source, position, message)];
        let Some(file) = self.find(source.file, path).map_err(refuse)? else {
            let message = format!("no file `{path}.rhai` beside `{}` or below the project", source.file);
            let mut absent = errors::at(&rules::BAD_IMPORT, source, position, message);
            absent.help = self.nearest(source.file, path).map(|meant| format!("did you mean `{meant}`?"));
            return Err(vec![absent]);
        };
        if self.chain.contains(&file) {
            let cycle = self.chain.join("` → `");
            return Err(refuse(format!("`{path}` imports itself: `{cycle}` → `{file}`")));
        }
        if self.chain.len() > MAX_DEPTH {
            return Err(refuse(format!("imports of imports, more than {MAX_DEPTH} deep")));
        }
        let key = (source.file.to_owned(), path.to_owned());
        if let Some(imported) = self.done.get(&file) {
            self.imports.insert(key, Arc::clone(imported));
            return Ok(());
        }
        let text = std::fs::read_to_string(self.root.join(&file))
            .map_err(|error| refuse(format!("cannot read `{file}`: {error}")))?;
        let imported = Arc::new(self.compile(&Source { file: &file, text: &text, line_offset: 0 })?);
        self.done.insert(file, Arc::clone(&imported));
        self.imports.insert(key, imported);
        Ok(())
    }

    fn compile(&mut self, source: &Source<'_>) -> Result<Imported, Vec<Diagnostic>> {
        let mut ast = self
            .engine
            .compile_with_scope(&Scope::new(), source.text)
            .map_err(|error| vec![errors::of_parse(source, &error)])?;
        ast.set_source(source.file);
        self.pair.add(source, &ast);
        self.load(source, &ast)?;
        let problems = check::module(self.functions, source, &ast);
        if !problems.is_empty() {
            return Err(problems);
        }
        let (module, run) = self.evaluate(source, &ast)?;
        let module = module.map_err(|error| {
            let failed = errors::of_run(&run, &error, self.limits);
            let position = Position::new(
                u16::try_from(failed.at.line.max(1)).unwrap_or(u16::MAX),
                u16::try_from(failed.at.column).unwrap_or(u16::MAX),
            );
            vec![errors::at(
                &rules::BAD_IMPORT,
                source,
                position,
                format!("importing `{}` fails: {}", source.file, failed.message),
            )]
        })?;
        Ok(Imported { file: source.file.into(), text: source.text.into(), ast, module: module.into() })
    }

    /// Runs the top level of a module: like any script within a budget, on a large stack.
    fn evaluate(&self, source: &Source<'_>, ast: &rhai::AST) -> Result<(Evaluated, Run), Vec<Diagnostic>> {
        let subject = Subject { file: source.file.into(), ..Subject::default() };
        let imports = Arc::new(self.imports.clone());
        let on_large_stack = || {
            let run = Run::new(None, subject, imports, self.limits);
            run.around(|| Module::eval_ast_as_new(Scope::new(), ast, self.engine))
        };
        let refuse = |message: String| vec![errors::at(&rules::BAD_IMPORT, source, Position::NONE, message)];
        std::thread::scope(|scope| {
            let builder = std::thread::Builder::new().name("script-import".to_owned()).stack_size(STACK_BYTES);
            let thread = builder
                .spawn_scoped(scope, on_large_stack)
                .map_err(|error| refuse(format!("no thread to import `{}` on: {error}", source.file)))?;
            // The panic itself is told by the panic hook.
            let panicked = |_| refuse(format!("importing `{}` panicked, a bug; please report it", source.file));
            thread.join().map_err(panicked)
        })
    }

    /// The file meant by `path` in `importer`, relative to the project; `None` when there is none.
    fn find(&mut self, importer: &str, path: &str) -> Result<Option<String>, String> {
        let name = format!("{path}.rhai");
        if path.is_empty() || Path::new(path).is_absolute() {
            return Err(format!("`{path}` is no path below the project"));
        }
        for base in [beside(importer), Path::new("")] {
            let candidate = lexical(&base.join(&name))
                .ok_or_else(|| format!("`{path}` leaves the project; imports are files below it"))?;
            self.looked_for.insert(candidate.clone());
            // Symbolic links are resolved, so one that leads out is found out; a file goes by the name it is reached by.
            if let Ok(found) = self.root.join(&candidate).canonicalize() {
                if !found.starts_with(self.root) {
                    return Err(format!("`{path}` leaves the project; imports are files below it"));
                }
                return Ok(Some(candidate.to_string_lossy().replace('\\', "/")));
            }
        }
        Ok(None)
    }

    /// What a path that leads nowhere is a slip for.
    fn nearest(&mut self, importer: &str, path: &str) -> Option<String> {
        let parent = Path::new(path).parent()?;
        let name = Path::new(path).file_name()?.to_str()?;
        for base in [beside(importer), Path::new("")] {
            let Some(directory) = lexical(&base.join(parent)) else { continue };
            let real = self.root.join(&directory).canonicalize().ok().filter(|real| real.starts_with(self.root));
            let entries = real.and_then(|real| std::fs::read_dir(real).ok()).into_iter().flatten().flatten();
            let modules: Vec<String> = entries
                .filter_map(|entry| entry.file_name().to_str()?.strip_suffix(".rhai").map(str::to_owned))
                .collect();
            self.looked_for.insert(directory);
            if let Some(meant) = did_you_mean(name, modules.iter().map(String::as_str)) {
                return Some(parent.join(meant).to_string_lossy().replace('\\', "/"));
            }
        }
        None
    }
}

fn beside(importer: &str) -> &Path {
    Path::new(importer).parent().unwrap_or(Path::new(""))
}

/// `a/./b/../c` as `a/c`; `None` when it climbs out.
fn lexical(path: &Path) -> Option<PathBuf> {
    let mut out = PathBuf::new();
    for part in path.components() {
        match part {
            Component::Normal(name) => out.push(name),
            Component::CurDir => {}
            Component::ParentDir => {
                if !out.pop() {
                    return None;
                }
            }
            Component::RootDir | Component::Prefix(_) => return None,
        }
    }
    Some(out)
}

/// What each name for a module means, where it means one alone.
pub(super) fn aliases<'i>(file: &str, ast: &rhai::AST, imports: &'i Imports) -> HashMap<String, &'i Imported> {
    let mut written: HashMap<String, Vec<(String, String)>> = HashMap::new();
    ast.walk(&mut |path| {
        if let Some(rhai::ASTNode::Stmt(Stmt::Import(import, _))) = path.last()
            && let Expr::StringConstant(path, _) = &import.0
        {
            written.entry(import.1.name.to_string()).or_default().push((file.to_owned(), path.to_string()));
        }
        true
    });
    let one = |(alias, paths): (String, Vec<_>)| match paths.as_slice() {
        [path] => Some((alias, &**imports.get(path)?)),
        _ => None,
    };
    written.into_iter().filter_map(one).collect()
}

/// Paths of the imports in an AST, `None` for one that is computed.
fn imports_of(ast: &rhai::AST) -> Vec<(Option<String>, Position)> {
    let mut found = Vec::new();
    ast.walk(&mut |path| {
        if let Some(rhai::ASTNode::Stmt(Stmt::Import(import, position))) = path.last() {
            found.push(match &import.0 {
                Expr::StringConstant(path, at) => (Some(path.to_string()), *at),
                _ => (None, *position),
            });
        }
        true
    });
    found
}
