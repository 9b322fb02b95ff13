//! `sluice lint`: everything that is wrong with a project, before it runs.

use clap::{Args, ValueEnum};

use super::failure::{Exit, Failure};
use super::{Format, ProjectArgs, print, project};
use crate::diagnostic::{Level, render};
use crate::lint::judge;
use crate::spec;

/// Check a project: its YAML, schemas, handlers, scenarios, and how they fit together
///
/// Needs no environment, no secrets and no network. What it accepts, `sluice run` can build, given the variables and files that it
/// notes as not here.
#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  sluice lint
  sluice lint --project shop --deny warnings   also fail on warnings, for CI
  sluice lint --format json | jq '.diagnostics[].rule'")]
pub struct LintArgs {
    #[command(flatten)]
    project: ProjectArgs,
    /// Code frames for people, or one JSON object
    #[arg(long, value_enum, default_value_t = Format::Human)]
    format: Format,
    /// Fail on these as well as on errors
    #[arg(long, value_enum, value_name = "WHAT")]
    deny: Option<Deny>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Deny {
    Warnings,
}

pub fn lint(arguments: &LintArgs) -> Result<Exit, Failure> {
    let root = &arguments.project.project;
    project::directory(root)?;
    let loaded = judge(spec::load_for_lint(root, &|name| std::env::var_os(name).is_some()));
    let count = |level| loaded.diagnostics.iter().filter(|diagnostic| diagnostic.level == level).count() as u64;
    let (errors, warnings, notes) = (count(Level::Error), count(Level::Warning), count(Level::Info));
    match arguments.format {
        Format::Json => print::line(&render::json(&loaded.diagnostics))?,
        Format::Human => {
            let frames = render::human(&loaded.diagnostics, &loaded.sources, print::colored_stdout());
            if !frames.is_empty() {
                print::line(&frames)?;
            }
            let pipelines = loaded.program.as_ref().map_or(0, |program| program.pipelines.len() as u64);
            print::line(&summary(errors, warnings, notes, pipelines))?;
        }
    }
    let denied = errors > 0 || (arguments.deny == Some(Deny::Warnings) && warnings > 0);
    Ok(if denied { Exit::Findings } else { Exit::Fine })
}

fn summary(errors: u64, warnings: u64, notes: u64, pipelines: u64) -> String {
    let told = match (errors, warnings) {
        (0, 0) => print::count(pipelines, "pipeline"),
        (errors, warnings) => format!("{}, {}", print::count(errors, "error"), print::count(warnings, "warning")),
    };
    match (errors + warnings, notes) {
        (0, 0) => format!("{told}, no problems found"),
        (_, 0) => told,
        (_, notes) => format!("{told}, {}", print::count(notes, "note")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_summary_counts_like_people_do() {
        assert_eq!(summary(1, 2, 0, 3), "1 error, 2 warnings");
        assert_eq!(summary(0, 1, 1, 3), "0 errors, 1 warning, 1 note");
        assert_eq!(summary(0, 0, 0, 1), "1 pipeline, no problems found");
        assert_eq!(summary(0, 0, 2, 1), "1 pipeline, 2 notes");
    }
}
