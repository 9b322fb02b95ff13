//! `sluice state`: what is kept of keys.

use clap::{Args, Subcommand};
use serde_json::{Value, json};

use super::desk::{self, Desk};
use super::failure::{Exit, Failure};
use super::{Format, ProjectArgs, print};
use crate::event::{Key, Millis};
use crate::ops::state::Kept;

/// Look at the state of keys
///
/// Works beside a running `sluice run`, and without one, and changes nothing.
#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  sluice state show o-1042                           what is kept of a key, and what waits behind it
  sluice state list --prefix o-10                    keys and their sizes
  sluice state export --pipeline fulfilment          every key, one line of JSON each")]
pub struct StateArgs {
    #[command(flatten)]
    project: ProjectArgs,
    /// Only this pipeline's
    #[arg(long, value_name = "NAME", global = true)]
    pipeline: Option<String>,
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Subcommand, Debug)]
enum Verb {
    /// Show the state of a key, in every pipeline that knows it
    #[command(after_help = "\
Examples:
  sluice state show o-1042
  sluice state show o-1042 --pipeline fulfilment --format json")]
    Show {
        key: String,
        #[arg(long, value_enum, default_value_t = Format::Human)]
        format: Format,
    },
    /// List keys, how large their state is, and how much waits; in no particular order
    #[command(after_help = "\
Examples:
  sluice state list --prefix o-10
  sluice state list --limit 100000 --format json")]
    List {
        /// Only keys that begin so
        #[arg(long, value_name = "TEXT", default_value = "")]
        prefix: String,
        /// At most so many
        #[arg(long, value_name = "N", default_value_t = 1_000)]
        limit: usize,
        #[arg(long, value_enum, default_value_t = Format::Human)]
        format: Format,
    },
    /// Print every key with its state, one line of JSON each
    ///
    /// Each line is as the key was at some moment of the export. A Redis store that is written meanwhile may give a key
    /// twice: the later line counts.
    #[command(after_help = "\
Examples:
  sluice state export > states.ndjson
  sluice state export --pipeline fulfilment | jq -r .key")]
    Export,
}

pub async fn state(arguments: StateArgs) -> Result<Exit, Failure> {
    let format = match &arguments.verb {
        Verb::Show { format, .. } | Verb::List { format, .. } => *format,
        Verb::Export => Format::Json,
    };
    let desk = Desk::open(&arguments.project, arguments.pipeline.as_deref(), format).await?;
    match &arguments.verb {
        Verb::Show { key, .. } => show(&desk, key).await,
        Verb::List { prefix, limit, .. } => list(&desk, prefix, *limit).await,
        Verb::Export => export(&desk).await,
    }
}

async fn show(desk: &Desk, key: &str) -> Result<Exit, Failure> {
    let mut found: Vec<(&str, Kept)> = Vec::new();
    if let Some(key) = Key::new(key) {
        for ledger in &desk.ledgers {
            found.extend(ledger.kept(&key).await?.map(|kept| (&*ledger.pipeline.name, kept)));
        }
    }
    if found.is_empty() {
        return Err(Failure::cannot_run(format!("nothing is kept of key `{}`", print::tame(key)))
            .help("`sluice state list` lists the keys"));
    }
    let now = desk.clock.now();
    match desk.format {
        Format::Json => {
            let states: Vec<Value> = found.iter().map(|(pipeline, kept)| as_json(pipeline, kept, now)).collect();
            print::json(&json!({ "states": states }))?;
        }
        Format::Human => {
            let pages: Vec<String> = found.iter().map(|(pipeline, kept)| page(pipeline, kept, now)).collect();
            print::line(&pages.join("\n\n"))?;
        }
    }
    Ok(Exit::Fine)
}

fn page(pipeline: &str, kept: &Kept, now: Millis) -> String {
    let mut facts = vec![("pipeline", pipeline.to_owned()), ("key", kept.key.to_string())];
    let state = match &kept.record {
        Err(unreadable) => {
            facts.push(("unreadable", unreadable.to_string()));
            None
        }
        Ok(record) => {
            facts.push(("size", print::count(kept.bytes() as u64, "byte")));
            facts.push(("parked", record.book.parked.to_string()));
            facts.extend(kept.next(now).map(|next| ("next look", next.rfc3339())));
            Some(record.state.as_ref())
        }
    };
    let mut lines = desk::facts(facts);
    match state {
        Some(Some(state)) => {
            let pretty = serde_json::to_string_pretty(state).expect("JSON values serialize");
            lines.extend([String::new(), print::tame_lines(&pretty)]);
        }
        Some(None) => lines.extend([String::new(), "no state".to_owned()]),
        None => {}
    }
    lines.join("\n")
}

fn as_json(pipeline: &str, kept: &Kept, now: Millis) -> Value {
    let mut value = json!({ "pipeline": pipeline, "key": kept.key.as_str() });
    match &kept.record {
        Err(unreadable) => value["unreadable"] = json!(unreadable.to_string()),
        Ok(record) => {
            value["state"] = json!(record.state);
            value["bytes"] = json!(kept.bytes());
            value["parked"] = json!(record.book.parked);
            value["next_look"] = json!(kept.next(now).map(Millis::rfc3339));
        }
    }
    value
}

async fn list(desk: &Desk, prefix: &str, limit: usize) -> Result<Exit, Failure> {
    let (mut columns, mut json, mut listed) = (print::Columns::default(), print::JsonList::new("keys"), 0);
    let mut more = false;
    'all: for ledger in &desk.ledgers {
        let pipeline = &*ledger.pipeline.name;
        let mut states = ledger.states(prefix);
        while let Some(mut page) = states.page().await? {
            more = page.len() > limit - listed;
            page.truncate(limit - listed);
            listed += page.len();
            match desk.format {
                Format::Json => json.page(page.iter().map(|kept| brief(pipeline, kept)))?,
                Format::Human if page.is_empty() => {}
                Format::Human => {
                    let rows: Vec<_> = page.iter().map(|kept| row(pipeline, kept)).collect();
                    print::line(&columns.page(&["PIPELINE", "BYTES", "PARKED", "KEY"], &rows))?;
                }
            }
            if more {
                break 'all;
            }
        }
    }
    match desk.format {
        Format::Json => json.end()?,
        Format::Human if listed == 0 && !more => print::line("no keys")?,
        Format::Human => {}
    }
    if more {
        print::note(&format!("more than {limit}: `--limit` shows more, `sluice state export` all"));
    }
    Ok(Exit::Fine)
}

fn row(pipeline: &str, kept: &Kept) -> Vec<String> {
    let parked = kept.record.as_ref().map_or("unreadable".to_owned(), |record| record.book.parked.to_string());
    vec![pipeline.to_owned(), kept.bytes().to_string(), parked, print::tame(kept.key.as_str())]
}

fn brief(pipeline: &str, kept: &Kept) -> Value {
    let parked = kept.record.as_ref().ok().map(|record| record.book.parked);
    json!({ "pipeline": pipeline, "key": kept.key.as_str(), "bytes": kept.bytes(), "parked": parked })
}

async fn export(desk: &Desk) -> Result<Exit, Failure> {
    let (mut progress, mut exported, now) = (print::Progress::new(), 0_u64, desk.clock.now());
    for ledger in &desk.ledgers {
        let mut states = ledger.states("");
        while let Some(page) = states.page().await? {
            let lines: Vec<String> =
                page.iter().map(|kept| as_json(&ledger.pipeline.name, kept, now).to_string()).collect();
            exported += lines.len() as u64;
            // What is seen on a terminal needs no progress beside it.
            if lines.is_empty() {
                continue;
            }
            print::line(&lines.join("\n"))?;
            if !print::stdout_is_terminal() {
                progress.show(|| format!("{} exported", print::count(exported, "key")));
            }
        }
    }
    progress.clear();
    Ok(Exit::Fine)
}
