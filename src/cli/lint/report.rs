//! What was found, in the format that was asked for.

use std::path::Path;

use clap::ValueEnum;

use super::super::failure::Failure;
use super::super::print;
use crate::diagnostic::{Level, render};
use crate::spec::Loaded;

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum LintFormat {
    /// Code frames, for people
    Human,
    /// One JSON object
    Json,
    /// SARIF 2.1.0, for code scanning services
    Sarif,
    /// Workflow commands of GitHub Actions, which become annotations
    Github,
}

pub fn report(loaded: &Loaded, format: LintFormat, root: &Path) -> Result<(), Failure> {
    match format {
        LintFormat::Json => print::line(&render::json(&loaded.diagnostics)),
        LintFormat::Sarif => print::line(&render::sarif(&loaded.diagnostics, &prefix(root))),
        LintFormat::Github => print::text(&render::github(&loaded.diagnostics, &prefix(root))),
        LintFormat::Human => {
            print::text(&render::human(&loaded.diagnostics, &loaded.sources, print::colored_stdout()))?;
            if !loaded.diagnostics.is_empty() {
                print::line("")?;
            }
            print::line(&summary(loaded))
        }
    }
}

/// How many findings are of a level.
pub fn count(loaded: &Loaded, level: Level) -> u64 {
    loaded.diagnostics.iter().filter(|diagnostic| diagnostic.level == level).count() as u64
}

pub fn summary(loaded: &Loaded) -> String {
    let [errors, warnings, notes] = [Level::Error, Level::Warning, Level::Info].map(|level| count(loaded, level));
    worded(errors, warnings, notes, loaded.program.as_ref().map_or(0, |program| program.pipelines.len() as u64))
}

fn worded(errors: u64, warnings: u64, notes: u64, pipelines: u64) -> String {
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

/// Where the project is in its repository. Services look for files from its root: a job's workspace, or else the
/// directory that the command was started in.
fn prefix(root: &Path) -> String {
    let Ok(root) = root.canonicalize() else { return String::new() };
    let workspace = std::env::var_os("GITHUB_WORKSPACE").filter(|workspace| !workspace.is_empty());
    let bases = [workspace.map(Into::into), std::env::current_dir().ok()];
    let below = |base: std::path::PathBuf| {
        let relative = root.strip_prefix(base.canonicalize().ok()?).ok()?;
        Some(relative.components().map(|part| part.as_os_str().to_string_lossy()).collect::<Vec<_>>().join("/"))
    };
    bases.into_iter().flatten().find_map(below).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_summary_counts_like_people_do() {
        assert_eq!(worded(1, 2, 0, 3), "1 error, 2 warnings");
        assert_eq!(worded(0, 1, 1, 3), "0 errors, 1 warning, 1 note");
        assert_eq!(worded(0, 0, 0, 1), "1 pipeline, no problems found");
        assert_eq!(worded(0, 0, 2, 1), "1 pipeline, 2 notes");
    }
}
