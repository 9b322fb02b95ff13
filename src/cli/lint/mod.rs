//! `sluice lint`: everything that is wrong with a project, before it runs.

mod diff;
mod fix;
mod report;
mod watch;

use clap::{Args, ValueEnum};

use super::failure::{Exit, Failure};
use super::{ProjectArgs, print, project};
use crate::diagnostic::Level;
use crate::lint::judge;
use crate::spec::{self, Loaded};
use report::LintFormat;

/// Check a project: its YAML, schemas, handlers, scenarios, and how they fit together
///
/// Needs no environment, no secrets and no network. What it accepts, `sluice run` can build, given the variables and files that it
/// notes as not here.
#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  sluice lint
  sluice lint --project shop --deny warnings   also fail on warnings, for CI
  sluice lint --format json | jq '.diagnostics[].rule'
  sluice lint --format github                  annotations in GitHub Actions
  sluice lint --format sarif > lint.sarif      for code scanning services
  sluice lint --diff                           what --fix would change
  sluice lint --watch                          while you write")]
pub struct LintArgs {
    #[command(flatten)]
    project: ProjectArgs,
    /// How findings are shown
    #[arg(long, value_enum, default_value_t = LintFormat::Human)]
    format: LintFormat,
    /// Fail on these as well as on errors
    #[arg(long, value_enum, value_name = "WHAT")]
    deny: Option<Deny>,
    /// Lint again whenever a file changes, until interrupted
    #[arg(long, conflicts_with_all = ["fix", "diff"])]
    watch: bool,
    /// Mend slips where it is sure what was meant, and tell what is left
    #[arg(long)]
    fix: bool,
    /// Show what `--fix` would change, as a unified diff, and change nothing; the exit code is 1 when there is something
    #[arg(long, conflicts_with = "format")]
    diff: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Deny {
    Warnings,
}

pub fn lint(arguments: &LintArgs) -> Result<Exit, Failure> {
    let root = &arguments.project.project;
    project::directory(root)?;
    if arguments.watch {
        return super::asynchronous(watch::watch(arguments, root));
    }
    let load = || judge(spec::load_for_lint(root, &is_set));
    let mut loaded = load();
    if arguments.diff {
        let diff = fix::diff(root, &loaded);
        print::text(&diff)?;
        return Ok(if diff.is_empty() { Exit::Fine } else { Exit::Findings });
    }
    if arguments.fix {
        loaded = fix::fix(root, loaded, &load)?;
    }
    report::report(&loaded, arguments.format, root)?;
    let exit = arguments.judged(&loaded);
    // Taking a large project apart takes a while, and the process ends here.
    std::mem::forget(loaded);
    Ok(exit)
}

fn is_set(variable: &str) -> bool {
    std::env::var_os(variable).is_some()
}

impl LintArgs {
    fn judged(&self, loaded: &Loaded) -> Exit {
        let has = |level| report::count(loaded, level) > 0;
        let denied = has(Level::Error) || (self.deny == Some(Deny::Warnings) && has(Level::Warning));
        if denied { Exit::Findings } else { Exit::Fine }
    }
}
