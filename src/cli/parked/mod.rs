//! `sluice parked`: events that wait, and their verbs.

mod show;
mod verbs;

use clap::{Args, Subcommand};

use super::desk::{self, Desk, Search, short};
use super::failure::{Exit, Failure};
use super::{Format, ProjectArgs, print};
use crate::event::{Key, MarkId};
use crate::ops::parked::{Standing, Waiting};

/// Look at events that wait, and decide about them
///
/// An event waits for its next attempt, for a program that accepts its version, or behind an earlier event of its key.
/// An id is any beginning of it that is unique. Works beside a running `sluice run`, and without one.
#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  sluice parked list --group                             what waits, and for what
  sluice parked list --key o-1042                        the line of one key, from its head
  sluice parked show 3f2a                                the record, the event, and its place in the line
  sluice parked release 3f2a                             try it now, whatever its time says
  sluice parked discard 3f2a --why 'a test order'        its line moves on without it")]
pub struct ParkedArgs {
    #[command(flatten)]
    project: ProjectArgs,
    /// Only this pipeline's
    #[arg(long, value_name = "NAME", global = true)]
    pipeline: Option<String>,
    #[arg(long, value_enum, default_value_t = Format::Human, global = true)]
    format: Format,
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Subcommand, Debug)]
enum Verb {
    /// List parked events, each key's in the order of its line
    #[command(after_help = "\
Examples:
  sluice parked list
  sluice parked list --key o-1042
  sluice parked list --group                 one line a type and what it waits for, the most frequent first
  sluice parked list --format json | jq '.parked[].key'")]
    List {
        /// Only this key's
        #[arg(long)]
        key: Option<String>,
        /// One line for all of a type and version that wait for the same
        #[arg(long)]
        group: bool,
    },
    /// Show a parked event: its record, what it waits for, where it stands, the event as it was received
    #[command(after_help = "\
Examples:
  sluice parked show 3f2a")]
    Show { id: String },
    /// Run the heads of lines now, whatever their time says; what waits behind them follows
    ///
    /// Runs in this process, with the project as it is here. A failed attempt counts as any other.
    #[command(after_help = "\
Examples:
  sluice parked release 3f2a 77b0
  sluice parked release --key o-1042         the head of this key's line")]
    Release {
        #[command(flatten)]
        which: Which,
    },
    /// Take an event out of its line and put it into the ledger as a closed dead letter
    #[command(after_help = "\
Examples:
  sluice parked discard 3f2a --why 'the order was cancelled by phone'")]
    Discard {
        id: String,
        /// For whoever looks later
        #[arg(long, value_name = "TEXT")]
        why: String,
    },
}

#[derive(Args, Debug)]
#[group(required = true, multiple = false)]
struct Which {
    #[arg(value_name = "ID")]
    ids: Vec<String>,
    /// The head of this key's line
    #[arg(long)]
    key: Option<String>,
}

pub async fn parked(arguments: ParkedArgs) -> Result<Exit, Failure> {
    let desk = Desk::open(&arguments.project, arguments.pipeline.as_deref(), arguments.format).await?;
    match &arguments.verb {
        Verb::List { key, group: false } => show::list(&desk, key.as_deref()).await,
        Verb::List { key, group: true } => show::groups(&desk, key.as_deref()).await,
        Verb::Show { id } => show::show(&desk, id).await,
        Verb::Release { which } => verbs::release(&desk, which).await,
        Verb::Discard { id, why } => verbs::discard(&desk, id, why).await,
    }
}

const WHAT: &str = "parked event";
const LIST: &str = "sluice parked list";

impl Desk {
    /// What is parked, all of it or one key's, a page at a time, each with the index of its ledger.
    async fn each_parked(
        &self,
        key: Option<&str>,
        mut page: impl FnMut(usize, Vec<Waiting>) -> Result<(), Failure>,
    ) -> Result<(), Failure> {
        let key = key.map(self::key).transpose()?;
        for (index, ledger) in self.ledgers.iter().enumerate() {
            let mut lines = key.clone().map_or_else(|| ledger.parked(), |key| ledger.parked_of(key));
            while let Some(waiting) = lines.page().await? {
                page(index, waiting)?;
            }
        }
        Ok(())
    }

    /// The parked event whose id begins so.
    async fn parked(&self, id: &str) -> Result<(usize, Standing), Failure> {
        let whole = match MarkId::from_hex(id) {
            Some(whole) => whole,
            None => {
                let mut search = Search::of(id);
                self.each_parked(None, |_, page| {
                    page.iter().for_each(|waiting| search.offer(waiting.id, || waiting.id));
                    Ok(())
                })
                .await?;
                search.one(WHAT, LIST)?
            }
        };
        for (index, ledger) in self.ledgers.iter().enumerate() {
            if let Some(standing) = ledger.standing(whole).await? {
                return Ok((index, standing));
            }
        }
        Err(desk::none(WHAT, id, LIST))
    }
}

fn key(text: &str) -> Result<Key, Failure> {
    Key::new(text).ok_or_else(|| {
        Failure::cannot_run(format!("a key has 1 to {} bytes, and this one {}", Key::MAX_BYTES, text.len()))
    })
}
