//! The command line: one file a command. The only place that prints.

mod completions;
mod desk;
mod dlq;
mod explain;
mod failure;
mod guarantee;
mod lint;
mod man;
mod new;
mod parked;
mod print;
mod project;
mod publish;
mod run;
mod schema;
mod state;
mod status;
mod test;

use std::future::Future;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, CommandFactory as _, FromArgMatches as _, Parser, Subcommand, ValueEnum};

use failure::{Exit, Failure};

const EXIT_CODES: &str = "\
Exit codes:
  0  fine
  1  findings: errors in the project, events that failed
  2  cannot run: usage, file, connection";

/// Event consumers declared instead of coded: nothing passes the gate malformed, twice, or out of turn — and
/// nothing is lost at it.
#[derive(Parser, Debug)]
#[command(name = "sluice", version, max_term_width = 110)]
#[command(after_help = "\
Examples:
  sluice new shop                              make a project that runs as it is
  sluice lint                                  check the project in this directory
  sluice schema uses                           which fields it reads, of which events
  sluice explain SG311                         what a finding means, and what to do about it
  sluice test                                  play its scenarios, in every order of delivery they ask for
  sluice run                                   run its pipelines until told to stop
  sluice publish orders orders.ndjson          feed it events, one a line
  sluice dlq list --group                      see what was set aside, by cause
  sluice parked list                           see what waits, and for what
  sluice state show o-1042                     see what is kept of a key
  sluice status                                see where every pipeline stands
  sluice guarantee                             see what is promised, and what weakens it")]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand, Debug)]
enum Command {
    New(new::NewArgs),
    Run(run::RunArgs),
    Lint(lint::LintArgs),
    Schema(schema::SchemaArgs),
    Explain(explain::ExplainArgs),
    Test(test::TestArgs),
    Publish(publish::PublishArgs),
    Dlq(dlq::DlqArgs),
    Parked(parked::ParkedArgs),
    State(state::StateArgs),
    Status(status::StatusArgs),
    Guarantee(guarantee::GuaranteeArgs),
    Completions(completions::CompletionsArgs),
    Man(man::ManArgs),
}

#[derive(Args, Debug)]
struct ProjectArgs {
    /// Directory of the project: where `sluice.yaml` is, or would be
    #[arg(long, value_name = "DIR", default_value = ".", global = true)]
    project: PathBuf,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Format {
    Human,
    Json,
}

/// Runs the command that the arguments name.
pub fn main() -> ExitCode {
    let command = with_exit_codes(Cli::command());
    let cli = match Cli::from_arg_matches(&command.clone().get_matches()) {
        Ok(cli) => cli,
        Err(error) => error.exit(),
    };
    let done = match cli.command {
        Command::New(arguments) => new::new(&arguments),
        Command::Run(arguments) => asynchronous(run::run(arguments)),
        Command::Lint(arguments) => lint::lint(&arguments),
        Command::Schema(arguments) => schema::schema(&arguments),
        Command::Explain(arguments) => explain::explain(&arguments),
        Command::Test(arguments) => test::test(&arguments),
        Command::Publish(arguments) => quietly(publish::publish(arguments)),
        Command::Dlq(arguments) => quietly(dlq::dlq(arguments)),
        Command::Parked(arguments) => quietly(parked::parked(arguments)),
        Command::State(arguments) => quietly(state::state(arguments)),
        Command::Status(arguments) => quietly(status::status(arguments)),
        Command::Guarantee(arguments) => guarantee::guarantee(&arguments),
        Command::Completions(arguments) => completions::completions(&arguments),
        Command::Man(arguments) => man::man(&arguments, command),
    };
    done.unwrap_or_else(Failure::report).into()
}

fn with_exit_codes(command: clap::Command) -> clap::Command {
    let examples = command.get_after_help().map_or(String::new(), |examples| format!("{examples}\n\n"));
    command.after_help(examples + EXIT_CODES).mut_subcommands(with_exit_codes)
}

/// For commands whose product is what they print: of the log only what is wrong.
fn quietly(command: impl Future<Output = Result<Exit, Failure>>) -> Result<Exit, Failure> {
    crate::telemetry::start(Some(crate::telemetry::LogFormat::Human), "warn").map_err(Failure::cannot_run)?;
    asynchronous(command)
}

fn asynchronous(command: impl Future<Output = Result<Exit, Failure>>) -> Result<Exit, Failure> {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build();
    let runtime = runtime.map_err(|error| Failure::cannot_run(format!("the system gives no threads: {error}")))?;
    let done = runtime.block_on(command);
    // A read of a terminal that is still waiting must not keep the process.
    runtime.shutdown_background();
    done
}

/// `25s`, `1m 30s`, `250ms`.
fn duration(text: &str) -> Result<std::time::Duration, String> {
    let parsed: Option<jiff::SignedDuration> = text.parse().ok();
    let positive = parsed.and_then(|duration| std::time::Duration::try_from(duration).ok());
    positive.ok_or_else(|| "write it like `25s` or `1m 30s`".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_definition_of_the_arguments_is_sound() {
        Cli::command().debug_assert();
    }

    /// Every command with the words that lead to it, hidden ones too.
    fn commands(command: &clap::Command, before: &str, found: &mut Vec<(String, clap::Command)>) {
        let name = format!("{before}{}", command.get_name());
        found.push((name.clone(), command.clone()));
        command.get_subcommands().for_each(|verb| commands(verb, &format!("{name} "), found));
    }

    /// Words as a shell reads them, up to a pipe, a redirection or what is explained beside.
    fn words(line: &str) -> Vec<String> {
        let command = line.trim_start().split("   ").next().unwrap_or_default();
        let command = command.split(" | ").next().unwrap_or_default().split(" > ").next().unwrap_or_default();
        let quoted = command.split('\'').enumerate();
        let parts = quoted.flat_map(|(at, part)| {
            if at % 2 == 1 { vec![part.to_owned()] } else { part.split_whitespace().map(str::to_owned).collect() }
        });
        parts.collect()
    }

    #[test]
    fn help_teaches_by_examples_that_are_understood() {
        let mut all = Vec::new();
        commands(&Cli::command(), "", &mut all);
        assert!(all.len() > 10, "{}", all.len());
        for (name, command) in all {
            assert!(command.get_about().is_some(), "{name}: no word about it");
            let help = command.get_after_help().map(ToString::to_string).unwrap_or_default();
            let examples: Vec<&str> = help.lines().filter(|line| line.starts_with("  sluice")).collect();
            assert!(help.starts_with("Examples:\n") && !examples.is_empty(), "{name}: no examples");
            for example in examples {
                assert!(
                    format!("{example} ").contains(&format!("  {name} ")),
                    "{name}: `{example}` is another command"
                );
                if let Err(error) = Cli::try_parse_from(words(example)) {
                    panic!("{name}: `{example}`: {error}");
                }
            }
        }
    }

    #[test]
    fn durations_are_written_as_in_pipelines() {
        assert_eq!(duration("25s"), Ok(std::time::Duration::from_secs(25)));
        assert_eq!(duration("1m 30s"), Ok(std::time::Duration::from_secs(90)));
        for bad in ["", "25", "-1s", "soon"] {
            assert!(duration(bad).is_err(), "{bad}");
        }
    }
}
