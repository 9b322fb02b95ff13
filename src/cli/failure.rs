//! How a command ends.

use std::process::ExitCode;

use super::print;

/// What the exit code says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exit {
    Fine,
    /// There is something to look at: errors in the project, events that failed.
    Findings,
    /// Usage, files, connections.
    CannotRun,
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(match exit {
            Exit::Fine => 0,
            Exit::Findings => 1,
            Exit::CannotRun => 2,
        })
    }
}

/// Why a command ends before its end.
#[derive(Debug)]
pub struct Failure {
    exit: Exit,
    /// `None`: all is said, or nobody listens any more.
    message: Option<String>,
    help: Option<String>,
}

impl Failure {
    pub fn cannot_run(message: impl Into<String>) -> Self {
        Self { exit: Exit::CannotRun, message: Some(message.into()), help: None }
    }

    pub fn findings(message: impl Into<String>) -> Self {
        Self { exit: Exit::Findings, message: Some(message.into()), help: None }
    }

    /// The reader of our output is gone, which is its right.
    pub fn unread() -> Self {
        Self { exit: Exit::Fine, message: None, help: None }
    }

    #[must_use]
    pub fn help(mut self, help: impl Into<String>) -> Self {
        self.help = Some(help.into());
        self
    }

    pub fn report(self) -> Exit {
        if let Some(message) = self.message {
            print::note(&format!("error: {message}"));
        }
        if let Some(help) = self.help {
            print::note(&format!("help: {help}"));
        }
        self.exit
    }
}
