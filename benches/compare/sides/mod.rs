//! The programs that are compared with `sluice`, each a process of its own: `side NAME`.

use std::process::ExitCode;

/// Does the job that the environment describes until it is told to stop.
pub fn run(name: &str) -> ExitCode {
    eprintln!("there is no side `{name}`");
    ExitCode::FAILURE
}
