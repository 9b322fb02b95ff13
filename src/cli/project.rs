//! Loading the project that the arguments name.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::failure::Failure;
use super::print;
use crate::clock::Clock;
use crate::database::Database;
use crate::diagnostic::{Level, Sources, has_errors, render};
use crate::spec::program::{Channel, Pipeline, Program};
use crate::spec::scenario::ScenarioFile;
use crate::spec::{self, Loaded};

/// How much of what the loader found is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tell {
    Everything,
    /// The command is not about the project; what is not wrong does not matter to it.
    Errors,
}

pub fn load(root: &Path, tell: Tell) -> Result<Arc<Program>, Failure> {
    directory(root)?;
    sound(spec::load(root, &|name| std::env::var(name).ok()), tell)
}

/// The project as it is written: no environment, no secrets.
pub fn load_files(root: &Path) -> Result<Arc<Program>, Failure> {
    directory(root)?;
    sound(spec::load_without_environment(root), Tell::Errors)
}

/// A sound project with the texts of its files, for what is told of them.
pub struct Sound {
    pub program: Arc<Program>,
    pub sources: Sources,
    /// The directory of schemas, relative to the project.
    pub schemas: PathBuf,
}

/// [`load_files`], with the texts of the files.
pub fn load_sources(root: &Path) -> Result<Sound, Failure> {
    directory(root)?;
    let loaded = spec::load_without_environment(root);
    let (sources, schemas) = (loaded.sources.clone(), loaded.schemas.clone());
    Ok(Sound { program: sound(loaded, Tell::Errors)?, sources, schemas })
}

/// [`load_files`], with its scenarios.
pub fn load_scenarios(
    root: &Path,
    only: Option<&[PathBuf]>,
) -> Result<(Arc<Program>, Vec<Arc<ScenarioFile>>), Failure> {
    directory(root)?;
    let mut loaded = spec::load_with_scenarios(root, only);
    let scenarios = std::mem::take(&mut loaded.scenarios);
    sound(loaded, Tell::Errors).map(|program| (program, scenarios))
}

fn sound(loaded: Loaded, tell: Tell) -> Result<Arc<Program>, Failure> {
    let Loaded { program, mut diagnostics, sources, .. } = loaded;
    if tell == Tell::Errors {
        diagnostics.retain(|diagnostic| diagnostic.level == Level::Error);
    }
    if !diagnostics.is_empty() {
        print::note(&render::human(&diagnostics, &sources, print::colored_stderr()));
    }
    let errors = diagnostics.iter().filter(|diagnostic| diagnostic.level == Level::Error).count();
    match program {
        Some(program) if !has_errors(&diagnostics) => Ok(Arc::new(program)),
        _ => Err(Failure::findings(format!("the project has {}", print::count(errors as u64, "error")))),
    }
}

pub fn directory(root: &Path) -> Result<(), Failure> {
    if root.is_dir() {
        return Ok(());
    }
    Err(Failure::cannot_run(format!("`{}` is not a directory", root.display()))
        .help("`--project` names the directory of the project, where `sluice.yaml` is"))
}

/// The project's own database, if the program uses it and anything ever ran or was published here.
pub fn database(program: &Program, clock: &dyn Clock) -> Result<Option<Database>, Failure> {
    if !program.uses_database() {
        return Ok(None);
    }
    Database::find(&program.data, clock).map_err(|trouble| Failure::cannot_run(trouble.to_string()))
}

/// The pipeline of that name, or all of them.
pub fn pipelines(program: &Program, name: Option<&str>) -> Result<Vec<Arc<Pipeline>>, Failure> {
    let Some(name) = name else { return Ok(program.pipelines.clone()) };
    match program.pipelines.iter().find(|pipeline| &*pipeline.name == name) {
        Some(pipeline) => Ok(vec![Arc::clone(pipeline)]),
        None => Err(unknown("pipeline", name, program.pipelines.iter().map(|pipeline| &*pipeline.name))),
    }
}

pub fn channel<'p>(program: &'p Program, name: &str) -> Result<&'p Channel, Failure> {
    program.channels.get(name).ok_or_else(|| unknown("channel", name, program.channels.keys().map(|name| &**name)))
}

fn unknown<'a>(what: &str, name: &str, known: impl Iterator<Item = &'a str> + Clone) -> Failure {
    let failure = Failure::cannot_run(format!("there is no {what} `{}` in this project", print::tame(name)));
    match crate::diagnostic::did_you_mean(name, known.clone()) {
        Some(meant) => failure.help(format!("did you mean `{meant}`?")),
        None => {
            let known: Vec<String> = known.map(|name| format!("`{name}`")).collect();
            failure.help(format!("there is {}", if known.is_empty() { "none".to_owned() } else { known.join(", ") }))
        }
    }
}
