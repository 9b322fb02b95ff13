//! Handlers, upcasters and filters: from files and from within pipeline files.

use std::collections::{BTreeSet, HashMap};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::super::cache::Changed;
use super::super::document::Document;
use super::super::locate::NodePath;
use super::super::program::Limits;
use super::Context;
use super::placed::Placed;
use crate::diagnostic::{Diagnostic, did_you_mean, rules};
use crate::script::{Engine, Kind, Script, Source};

/// Compiled scripts; one engine for all pipelines with equal limits.
#[derive(Default)]
pub struct Scripts {
    engines: Vec<(Limits, Engine)>,
    /// By file, purpose and engine. Problems are told wherever it is used: once in the end, for they are the same.
    compiled: HashMap<(Arc<str>, u8, usize), Compiled>,
}

struct Compiled {
    script: Result<Arc<Script>, Vec<Diagnostic>>,
    /// Its imports, there or not.
    looked_for: BTreeSet<PathBuf>,
}

impl Scripts {
    /// A script in a file of its own, beside or below the pipeline's.
    pub fn file(
        &mut self,
        context: &mut Context<'_>,
        file: &str,
        kind: Kind,
        limits: Limits,
        (document, path): (&Document, &NodePath),
    ) -> Option<Arc<Script>> {
        let directory = Path::new(&document.name).parent().unwrap_or(Path::new(""));
        let (name, text) = match context.files.read(&directory.join(file)) {
            Ok(found) => found,
            Err(refused) => {
                let error = Diagnostic::new(refused.rule(), format!("`{file}` {}", refused.why));
                let mut error = error.at(document.at(path));
                error.help = refused.absent.then(|| nearest(context, directory, file));
                context.push(error);
                return None;
            }
        };
        let engine = self.engine(context, limits);
        let of_limits = &self.engines[engine].1;
        let compiled = self.compiled.entry((name.clone(), kind as u8, engine)).or_insert_with(|| {
            let (source, mut looked_for) = (Source { file: &name, text: &text, line_offset: 0 }, BTreeSet::new());
            let script = of_limits.compile_and_tell(kind, &source, &mut looked_for).map(Arc::new);
            Compiled { script, looked_for }
        });
        context.files.looked_at(compiled.looked_for.iter().cloned());
        context.take(&compiled.script)
    }

    /// Whatever was made of files that may have changed is made again.
    pub fn forget(&mut self, changed: &Changed) {
        let imports = |compiled: &Compiled| compiled.looked_for.iter().any(|path| changed.concerns(path));
        self.compiled.retain(|(file, ..), compiled| !changed.concerns(Path::new(&**file)) && !imports(compiled));
    }

    /// A script that stands in the pipeline file itself.
    pub fn inline(
        &mut self,
        context: &mut Context<'_>,
        text: &str,
        kind: Kind,
        limits: Limits,
        (document, path): (&Document, &NodePath),
    ) -> Option<Arc<Script>> {
        let placed = Placed::new(&document.text, document.at(path), text);
        if placed.folded {
            let error = Diagnostic::new(&rules::FOLDED_SCRIPT, "a folded block joins its lines").at(document.at(path));
            context.push(error.help("write `|` instead of `>`"));
            return None;
        }
        let engine = self.engine(context, limits);
        let source = Source { file: &document.name, text, line_offset: placed.line_offset };
        let mut looked_for = BTreeSet::new();
        let script = self.engines[engine].1.compile_and_tell(kind, &source, &mut looked_for);
        context.files.looked_at(looked_for);
        match script {
            Ok(script) => Some(Arc::new(script)),
            Err(problems) => {
                for problem in problems {
                    context.push(placed.moved(problem));
                }
                None
            }
        }
    }

    fn engine(&mut self, context: &Context<'_>, limits: Limits) -> usize {
        let known = self.engines.iter().position(|(of, _)| *of == limits);
        known.unwrap_or_else(|| {
            self.engines.push((limits, Engine::new(limits, context.files.root())));
            self.engines.len() - 1
        })
    }
}

fn nearest(context: &mut Context<'_>, directory: &Path, file: &str) -> String {
    let wanted = Path::new(file);
    let parent = wanted.parent().unwrap_or(Path::new(""));
    let there = context.files.listing(&directory.join(parent));
    let name = wanted.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
    match did_you_mean(&name, there.iter().map(String::as_str)) {
        Some(meant) => format!("did you mean `{}`?", parent.join(meant).display()),
        None => format!("paths are relative to `{}`", directory.display()),
    }
}
