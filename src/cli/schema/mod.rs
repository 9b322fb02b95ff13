//! `sluice schema`: what projects have in common with those who write their events.

mod uses;

use clap::{Args, Subcommand};

use super::ProjectArgs;
use super::failure::{Exit, Failure};

/// Schemas as contracts between those who write events and those who read them
///
/// Reads the project's files and nothing else: no environment, no secrets, no network.
#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  sluice schema uses                                which fields this project reads, of which events
  sluice schema uses --output shop.uses.json        the same for the producers of these events, to keep")]
pub struct SchemaArgs {
    #[command(flatten)]
    project: ProjectArgs,
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Subcommand, Debug)]
enum Verb {
    Uses(uses::UsesArgs),
}

pub fn schema(arguments: &SchemaArgs) -> Result<Exit, Failure> {
    match &arguments.verb {
        Verb::Uses(uses) => uses::uses(&arguments.project.project, uses),
    }
}
