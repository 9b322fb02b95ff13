//! What users wrote → what runs: the only crossing. Every problem is told; what is broken is left out and the rest is
//! checked all the same.

mod channels;
mod envelope;
mod figures;
mod limits;
mod pipeline;
pub(super) mod placed;
mod project;
mod reliability;
mod reorder;
mod scenarios;
mod schemas;
mod scripts;

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::cache::Cache;
use super::document::Document;
use super::files::{self, Files, Known, Refused};
use super::locate::NodePath;
use super::program::{Pipeline, Program};
use super::scenario::ScenarioFile;
use super::variables::{self, Expanded, Reference};
use super::{PROJECT_FILE, SaidLevel, raw};
use crate::diagnostic::{Diagnostic, Sources, has_errors, rules};

/// What there is of what only the environment knows: variables, and files that are not the project's.
#[derive(Clone, Copy)]
pub(super) enum Environment<'a> {
    /// This answers for variables; what it does not answer is an error.
    Is(&'a dyn Fn(&str) -> Option<String>),
    /// All of it is taken for granted.
    Granted,
    /// All of it is taken for granted; this knows which variables are set, and what is not here is a note.
    Asked(&'a dyn Fn(&str) -> bool),
}

/// Of one pipeline file: the pipeline, and the channels it names.
pub(super) type PipelineMade = (Option<(Arc<Pipeline>, Arc<Document>)>, channels::Uses);
pub(super) use pipeline::Artifacts;

/// What every step of compiling shares.
pub(super) struct Context<'a> {
    pub(super) files: Files,
    environment: Environment<'a>,
    pub(super) diagnostics: Vec<Diagnostic>,
}

/// Which scenarios are wanted beside the program.
#[derive(Clone, Copy, Debug)]
pub(super) enum Wanted<'a> {
    /// The program runs: what its tests say is not its business.
    NoScenarios,
    AllScenarios,
    /// Those of these files, relative to the project.
    ScenariosOf(&'a [PathBuf]),
}

pub(super) struct Compiled {
    pub(super) program: Option<Program>,
    pub(super) scenarios: Vec<Arc<ScenarioFile>>,
    pub(super) diagnostics: Vec<Diagnostic>,
    pub(super) levels: Vec<SaidLevel>,
    pub(super) schemas: PathBuf,
    pub(super) sources: Sources,
}

/// What is found in `cache` is not compiled again, and what is compiled is put there.
pub(super) fn compile(
    files: Files,
    environment: Environment<'_>,
    wanted: Wanted<'_>,
    cache: &mut Cache,
) -> (Compiled, Known) {
    let mut context = Context { files, environment, diagnostics: Vec::new() };
    let project = project::compile(&mut context);
    cache.made_for(project.document.as_ref().map(|document| document.text.clone()));
    let mut artifacts = cache.artifacts.take().unwrap_or_else(|| pipeline::Artifacts::new(&project));
    let mut uses = channels::Uses::default();
    let mut pipelines = Vec::new();
    let files = context.pipeline_files(&project);
    let mut again = BTreeSet::new();
    for file in &files {
        let made = cache.pipelines.made(&mut context, file, |context| {
            again.insert(file.clone());
            let mut uses = channels::Uses::default();
            let pipeline = pipeline::compile(context, &project, &mut artifacts, &mut uses, file);
            (pipeline.map(|(pipeline, document)| (Arc::new(pipeline), document)), uses)
        });
        let (pipeline, mentioned) = made;
        uses.add(mentioned);
        pipelines.extend(pipeline.clone());
    }
    context.same_names(&pipelines);
    let channels = uses.resolve(&mut context, &project);
    context.include_modules(&project.pipelines);
    let pipelines = pipelines.into_iter().map(|(pipeline, _)| pipeline).collect();
    let program = Program {
        revision: context.files.revision().into(),
        root: context.files.root().to_owned(),
        store: project.store,
        data: project.data,
        channels,
        connections: project.connections,
        pipelines,
        admin: project.admin,
    };
    let around = scenarios::Surroundings {
        pipelines: &program.pipelines,
        channels: &program.channels,
        files: &files,
        sound: !has_errors(&context.diagnostics),
    };
    cache.scenarios_among(around.sound, &again);
    let mut scenarios = Vec::new();
    for file in context.scenario_files(&project.pipelines, wanted) {
        let compile =
            |context: &mut Context<'_>| scenarios::compile(context, &around, &mut artifacts, &file).map(Arc::new);
        scenarios.extend(cache.scenarios.made(&mut context, &file, compile).clone());
    }
    cache.artifacts = Some(artifacts);
    let Context { files, diagnostics, .. } = context;
    let (sources, known) = files.into_parts();
    let (levels, schemas) = (project.levels, project.schemas);
    (Compiled { program: Some(program), scenarios, diagnostics, levels, schemas, sources }, known)
}

impl Context<'_> {
    fn push(&mut self, diagnostic: Diagnostic) {
        self.diagnostics.push(diagnostic);
    }

    /// What several share; what is wrong with it is told.
    fn take<T>(&mut self, made: &Result<Arc<T>, Vec<Diagnostic>>) -> Option<Arc<T>> {
        made.as_ref().map_err(|problems| self.diagnostics.extend(problems.iter().cloned())).ok().cloned()
    }

    /// An error at a value.
    fn error(&mut self, rule: &rules::Rule, message: impl Into<String>, document: &Document, path: &NodePath) {
        self.push(Diagnostic::new(rule, message).at(document.at(path)));
    }

    /// Tells that a file cannot be used.
    fn refused(&mut self, name: &str, refused: &Refused) {
        let error = Diagnostic::new(refused.rule(), format!("`{name}` {}", refused.why));
        self.push(error.at(crate::diagnostic::Span::whole_file(name)));
    }

    fn document(&mut self, path: &Path, expands: bool) -> Option<Document> {
        match self.files.read(path) {
            Ok((name, text)) => Some(Document::new(&name, text, expands)),
            Err(refused) => {
                self.refused(&path.to_string_lossy(), &refused);
                None
            }
        }
    }

    /// What must be there; when it is not, that is told, unless something was wrong with it already.
    fn require<'t, T>(
        &mut self,
        value: Option<&'t T>,
        document: &Document,
        base: &NodePath,
        key: &str,
        help: &str,
    ) -> Option<&'t T> {
        if value.is_none() && !document.is_damaged(&base.key(key)) {
            let error = Diagnostic::new(&rules::NOT_SAID, format!("`{key}` is missing")).at(document.at(base));
            self.push(error.help(help));
        }
        value
    }

    /// The value of a text, told when it cannot be known.
    fn expand(&mut self, text: &str, document: &Document, path: &NodePath) -> Option<Expanded> {
        if !document.expands {
            return Some(Expanded { value: text.to_owned(), known: true, granted: Vec::new(), literal: true });
        }
        let expanded = match self.environment {
            Environment::Is(environment) => {
                let root = self.files.root().to_owned();
                let look_up = |reference: Reference<'_>| match reference {
                    Reference::Variable(name) => Ok(environment(name)),
                    Reference::File(path) => {
                        files::secret(&root.join(path)).map_err(|refused| format!("the file `{path}` {}", refused.why))
                    }
                };
                variables::expand(text, Some(&look_up))
            }
            Environment::Granted | Environment::Asked(_) => variables::expand(text, None),
        };
        match expanded {
            Ok(expanded) => {
                self.note_unset(&expanded.granted, document, path);
                Some(expanded)
            }
            Err(errors) => {
                for (rule, error) in errors {
                    self.error(rule, error, document, path);
                }
                None
            }
        }
    }

    fn note_unset(&mut self, granted: &[String], document: &Document, path: &NodePath) {
        let Environment::Asked(is_set) = self.environment else { return };
        for reference in granted {
            match reference.strip_prefix("file:") {
                Some(file) => self.note_absent(file, document, path),
                None if is_set(reference) => {}
                None => self.not_here(format!("the variable `{reference}` is not set here"), document, path),
            }
        }
    }

    /// A file that is the environment's, as secrets are.
    fn note_absent(&mut self, file: &str, document: &Document, path: &NodePath) {
        if matches!(self.environment, Environment::Asked(_)) && !self.files.root().join(file).is_file() {
            self.not_here(format!("the file `{file}` is not here"), document, path);
        }
    }

    fn not_here(&mut self, message: String, document: &Document, path: &NodePath) {
        let note = Diagnostic::new(&rules::NOT_HERE, message).at(document.at(path));
        self.push(note.help("`sluice run` needs it; all else is checked without"));
    }

    /// A value that some rule of [`names`](super::names) or [`units`](super::units) refuses is told.
    fn checked<T>(
        &mut self,
        rule: &rules::Rule,
        result: Result<T, String>,
        document: &Document,
        path: &NodePath,
    ) -> Option<T> {
        result.map_err(|why| self.error(rule, why, document, path)).ok()
    }

    fn check_format(&mut self, format: Option<u64>, document: &Document) {
        if let Some(format) = format.filter(|f| *f != 1) {
            let path = NodePath::default().key("format");
            self.error(
                &rules::UNKNOWN_FORMAT,
                format!("format {format} is not known; this release reads format 1"),
                document,
                &path,
            );
        }
    }

    fn pipeline_files(&mut self, project: &project::Project) -> Vec<std::path::PathBuf> {
        let wanted = |name: &str| {
            let stem = name.strip_suffix(".yaml").or_else(|| name.strip_suffix(".yml"));
            stem.is_some_and(|stem| !stem.ends_with(".test")) && name != PROJECT_FILE
        };
        let found = self.files.below(&project.pipelines, &wanted);
        let shown = project.pipelines.display();
        let (rule, message, help) = match found {
            Ok(files) if !files.is_empty() => return files,
            Ok(_) => (
                &rules::MISSING_FILE,
                format!("there is no pipeline below `{shown}`"),
                "write one, like `fulfilment.yaml`",
            ),
            Err(refused) if refused.absent => (
                &rules::MISSING_FILE,
                format!("the directory `{shown}` does not exist"),
                "pipelines are the YAML files in it; is this the directory of the project?",
            ),
            Err(refused) => (
                refused.rule(),
                format!("the directory `{shown}` {}", refused.why),
                "pipelines are the YAML files in it",
            ),
        };
        let mut error = Diagnostic::new(rule, message).help(help);
        if let Some(document) = &project.document {
            error = error.at(document.at(&NodePath::default().key("pipelines")));
        }
        self.push(error);
        Vec::new()
    }

    fn scenario_files(&mut self, pipelines: &Path, wanted: Wanted<'_>) -> Vec<PathBuf> {
        match wanted {
            Wanted::NoScenarios => Vec::new(),
            // A directory that cannot be read is told with its pipelines.
            Wanted::AllScenarios => self.files.below(pipelines, &scenarios::is_scenarios).unwrap_or_default(),
            Wanted::ScenariosOf(files) => files.to_vec(),
        }
    }

    fn same_names(&mut self, pipelines: &[(Arc<Pipeline>, Arc<Document>)]) {
        let mut seen: BTreeMap<&str, &str> = BTreeMap::new();
        for (pipeline, document) in pipelines {
            if let Some(first) = seen.insert(&pipeline.name, &document.name) {
                let message = format!("the pipeline `{}` is in `{first}` already", pipeline.name);
                let error = Diagnostic::new(&rules::SAME_NAME, message);
                self.push(
                    error.at(document.at(&NodePath::default().key("pipeline"))).help("give one of them another name"),
                );
                seen.insert(&pipeline.name, first);
            }
        }
    }

    /// Modules that scripts import are input too: reading them puts them into the revision and into the sources.
    fn include_modules(&mut self, pipelines: &Path) {
        let modules = self.files.below(pipelines, &|name| name.ends_with(".rhai")).unwrap_or_default();
        for path in modules {
            // One that cannot be read is told where it is used.
            let _ = self.files.read(&path);
        }
    }

    /// Decodes a whole document; an empty one is `None`.
    fn whole<T: serde::de::DeserializeOwned>(&mut self, document: &mut Document) -> Option<T> {
        let value = document.parse(&mut self.diagnostics)?;
        if value.is_null() {
            return None;
        }
        document.decode(&value, &NodePath::default(), &mut self.diagnostics)
    }

    fn raw_project(&mut self) -> (raw::Project, Option<Document>) {
        match self.files.read(Path::new(PROJECT_FILE)) {
            Ok((name, text)) => {
                let mut document = Document::new(&name, text, true);
                (self.whole(&mut document).unwrap_or_default(), Some(document))
            }
            Err(refused) => {
                if !refused.absent {
                    self.refused(PROJECT_FILE, &refused);
                } else if self.files.read(Path::new("sluice.yml")).is_ok() {
                    let error = Diagnostic::new(
                        &rules::MISSING_FILE,
                        "the project file is named `sluice.yaml`, not `sluice.yml`",
                    );
                    self.push(error.help("rename it"));
                }
                (raw::Project::default(), None)
            }
        }
    }
}
