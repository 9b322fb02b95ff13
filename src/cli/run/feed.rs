//! `--feed`: events from files, published as they are while the pipelines run.

use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use crate::cli::failure::Failure;
use crate::cli::{print, project, publish};
use crate::clock::{SystemClock, SystemEntropy};
use crate::event::Headers;
use crate::ops::publish::{News, Press, publish_all};
use crate::spec::program::Program;

/// How long a broker may take to confirm one.
const PATIENCE: Duration = Duration::from_secs(30);

/// `orders=events.ndjson`
#[derive(Clone, Debug)]
pub struct Feed {
    channel: String,
    file: PathBuf,
}

impl FromStr for Feed {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text.split_once('=') {
            Some((channel, file)) if !channel.is_empty() && !file.is_empty() => {
                Ok(Self { channel: channel.to_owned(), file: file.into() })
            }
            _ => Err("write it like `orders=events.ndjson`".to_owned()),
        }
    }
}

/// Every line of every file, one file after the other.
pub async fn feed(program: &Program, feeds: &[Feed]) -> Result<(), Failure> {
    for Feed { channel, file } in feeds {
        let channel = project::channel(program, channel)?;
        let sink = publish::sink(program, channel, None).await?;
        let press = Press {
            program,
            channel,
            source: String::new(),
            headers: Headers::default(),
            raw: true,
            dedupe: false,
            clock: &SystemClock,
            entropy: &SystemEntropy,
        };
        let mut tell = |news: News| match news {
            News::Failed { line, why } => {
                print::note(&format!("error: line {line}: not confirmed: {}", print::tame(&why)));
            }
            News::Stopped { line } => print::note(&format!("error: stopped: nothing after line {line} was published")),
            News::Invalid { .. } | News::Published { .. } => {}
        };
        let lines = publish::file(file).await?;
        let summary = publish_all(lines, &press, &sink, PATIENCE, &mut tell).await;
        let summary = summary.map_err(|error| Failure::cannot_run(format!("`{}`: {error}", file.display())))?;
        if summary.failed > 0 {
            let lost = print::count(summary.failed, "event");
            return Err(Failure::cannot_run(format!("{lost} of `{}` could not be published", file.display())));
        }
        tracing::info!(channel = %channel.name, events = summary.published, "fed");
    }
    Ok(())
}
