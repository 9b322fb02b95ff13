//! Logs: to stderr, for people on a terminal and as JSON lines otherwise.

use std::io::IsTerminal as _;

use tracing_subscriber::EnvFilter;

#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum LogFormat {
    Human,
    Json,
}

/// Starts logging. `level` is a level for sluice itself (`debug`), or directives as `tracing` knows them
/// (`sluicegate=debug,async_nats=warn`). An error when it is neither.
pub fn start(format: Option<LogFormat>, level: &str) -> Result<(), String> {
    let filter = filter(level)?;
    let terminal = std::io::stderr().is_terminal();
    let format = format.unwrap_or(if terminal { LogFormat::Human } else { LogFormat::Json });
    let builder = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_target(false)
        // A log that cannot be written (a full disk) would be told to the same stderr, which panics.
        .log_internal_errors(false);
    let started = match format {
        LogFormat::Human => builder.with_ansi(terminal && colors_wanted()).try_init(),
        LogFormat::Json => builder.json().flatten_event(true).with_current_span(false).with_span_list(false).try_init(),
    };
    started.map_err(|error| format!("logging cannot be started: {error}"))
}

/// <https://no-color.org>: set and not empty means no colours.
pub fn colors_wanted() -> bool {
    std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty())
}

fn filter(level: &str) -> Result<EnvFilter, String> {
    // Libraries below us log what we tell ourselves, in our words.
    let directives = match level.parse::<tracing::level_filters::LevelFilter>() {
        // What handlers log has a name of its own.
        Ok(level) => format!("error,sluicegate={level},sluice::handler={level}"),
        Err(_) => level.to_owned(),
    };
    EnvFilter::try_new(directives).map_err(|error| {
        format!("`--log {level}` is neither a level (`error`, `warn`, `info`, `debug`, `trace`) nor a list of directives: {error}")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_level_is_for_sluice_itself() {
        let told = filter("debug").expect("a level").to_string();
        assert_eq!(told, "sluice::handler=debug,sluicegate=debug,error");
    }

    #[test]
    fn directives_are_taken_as_they_are() {
        assert_eq!(filter("sluicegate=trace,warn").expect("directives").to_string(), "sluicegate=trace,warn");
        assert!(filter("sluicegate=loud").is_err());
    }
}
