//! `sluice schema uses`: which fields of which events the project reads.

use std::fs;
use std::path::{Path, PathBuf};

use clap::Args;
use serde::Serialize;

use super::super::failure::{Exit, Failure};
use super::super::{Format, print, project};
use crate::lint::uses::{self, At, EventUses, Field};

/// The format that this release writes.
const FORMAT: u32 = 1;

/// Tell which fields of which event versions this project reads, and where it relies on them
///
/// Follows every handler, filter and upcaster through the schemas of its events, and adds what the pipelines read themselves:
/// the key, the number, the time. As JSON it is a file for the producers of these events to keep: it is the same for the same
/// project, wherever that lies. `required` says that the project relies on a field being there; `whole` lists values that it
/// hands on, so that anything in them may be read. docs/contracts.md tells more.
#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  sluice schema uses
  sluice schema uses --name shop --output shop.uses.json
  sluice schema uses --format json | jq '.uses[] | select(.event == \"OrderPlaced\") | .reads[].path'")]
pub struct UsesArgs {
    /// What the project is called there; otherwise as its directory
    #[arg(long, value_name = "NAME")]
    name: Option<String>,
    /// Write the JSON to this file, and print nothing
    #[arg(long, value_name = "FILE", conflicts_with = "format")]
    output: Option<PathBuf>,
    #[arg(long, value_enum, default_value_t = Format::Human)]
    format: Format,
}

#[derive(Serialize)]
struct Contract<'a> {
    sluice: u32,
    consumer: &'a str,
    uses: &'a [EventUses],
}

pub fn uses(root: &Path, arguments: &UsesArgs) -> Result<Exit, Failure> {
    let sound = project::load_sources(root)?;
    let uses = uses::uses(&sound.program, &sound.sources, &sound.schemas);
    let json = || -> Result<String, Failure> {
        let consumer = match &arguments.name {
            Some(name) => name.clone(),
            None => name_of(root)?,
        };
        let contract = Contract { sluice: FORMAT, consumer: &consumer, uses: &uses };
        Ok(serde_json::to_string_pretty(&contract).expect("texts and numbers always serialize"))
    };
    match (&arguments.output, arguments.format) {
        (Some(file), _) => fs::write(file, json()? + "\n")
            .map_err(|error| Failure::cannot_run(format!("`{}` cannot be written: {error}", file.display())))?,
        (None, Format::Json) => print::line(&json()?)?,
        (None, Format::Human) => print::line(&human(&uses))?,
    }
    Ok(Exit::Fine)
}

fn name_of(root: &Path) -> Result<String, Failure> {
    let whole = root.canonicalize().ok();
    let name = whole.as_deref().and_then(Path::file_name).and_then(|name| name.to_str());
    let nameless = || Failure::cannot_run("this directory has no name to call the project by").help("say `--name`");
    name.map(str::to_owned).ok_or_else(nameless)
}

fn human(uses: &[EventUses]) -> String {
    let header = ["FIELD", "NEEDED", "READ AT"];
    let of_event = |uses: &EventUses| {
        let fields = uses.reads.iter().map(|field| {
            let first = field.at.first().map(|At { file, line, column, .. }| format!("{file}:{line}:{column}"));
            let others = field.at.len().saturating_sub(1);
            let more = if others > 0 { format!(" and {others} more") } else { String::new() };
            vec![field.path.clone(), relied(field).to_owned(), format!("{}{more}", first.unwrap_or_default())]
        });
        let whole = uses.whole.iter().map(|path| vec![path.clone(), String::new(), "handed on as a whole".to_owned()]);
        let rows: Vec<Vec<String>> = fields.chain(whole).collect();
        let title = format!("{} {}", uses.event, uses.version);
        format!("{title}\n{}", print::tame_lines(&print::table(&header, &rows)))
    };
    match uses {
        [] => "this project reads no events".to_owned(),
        uses => uses.iter().map(of_event).collect::<Vec<_>>().join("\n\n"),
    }
}

fn relied(field: &Field) -> &'static str {
    match field.required {
        Some(true) => "yes",
        Some(false) => "no",
        None => "unknown",
    }
}
