//! `sluice dlq`: dead letters and their verbs.

mod show;
mod verbs;

use clap::{Args, Subcommand};

use super::desk::{self, Desk, Search, short};
use super::failure::{Exit, Failure};
use super::{Format, ProjectArgs, print};
use crate::event::MarkId;
use crate::ops::dead_letters::Letter;

/// Look at events that were set aside, and decide about them
///
/// An id is any beginning of it that is unique. Works beside a running `sluice run`, and without one.
#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  sluice dlq list --group                                what is wrong, by cause
  sluice dlq show 3f2a                                   the record, the reason and the event
  sluice dlq try 3f2a                                    what today's handlers would do; writes nothing
  sluice dlq replay 3f2a 77b0                            send these through the gate again
  sluice dlq replay --fingerprint 9c41d2a07e55 --yes     all of one cause
  sluice dlq discard 3f2a --why 'a test order'")]
pub struct DlqArgs {
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
    /// List open dead letters
    #[command(after_help = "\
Examples:
  sluice dlq list
  sluice dlq list --group                    one line a cause, the most frequent first
  sluice dlq list --all --format json")]
    List {
        /// One line a cause
        #[arg(long)]
        group: bool,
        /// Closed ones too
        #[arg(long)]
        all: bool,
    },
    /// Show a dead letter: its record, its reason, the event as it was received
    #[command(after_help = "\
Examples:
  sluice dlq show 3f2a")]
    Show { id: String },
    /// Run today's handlers on a dead letter and today's state, and show what they would do; writes nothing
    #[command(after_help = "\
Examples:
  sluice dlq try 3f2a")]
    Try { id: String },
    /// Send dead letters through the gate again; each one that is handled closes its record
    #[command(after_help = "\
Examples:
  sluice dlq replay 3f2a 77b0
  sluice dlq replay --fingerprint 9c41d2a07e55    all of one cause, after asking
  sluice dlq replay --all-open --yes")]
    Replay {
        #[command(flatten)]
        which: Which,
        /// Do not ask
        #[arg(long)]
        yes: bool,
    },
    /// Close dead letters without handling them
    #[command(after_help = "\
Examples:
  sluice dlq discard 3f2a 77b0 --why 'test orders'")]
    Discard {
        #[arg(required = true, value_name = "ID")]
        ids: Vec<String>,
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
    /// All open ones of one cause, as `list --group` shows it
    #[arg(long, value_name = "HEX")]
    fingerprint: Option<String>,
    /// All open ones
    #[arg(long)]
    all_open: bool,
}

pub async fn dlq(arguments: DlqArgs) -> Result<Exit, Failure> {
    let desk = Desk::open(&arguments.project, arguments.pipeline.as_deref(), arguments.format).await?;
    match &arguments.verb {
        Verb::List { group, all } => show::list(&desk, *group, *all).await,
        Verb::Show { id } => show::show(&desk, id).await,
        Verb::Try { id } => verbs::try_out(&desk, id).await,
        Verb::Replay { which, yes } => verbs::replay(&desk, which, *yes).await,
        Verb::Discard { ids, why } => verbs::discard(&desk, ids, why).await,
    }
}

const WHAT: &str = "dead letter";
const LIST: &str = "sluice dlq list --all";

impl Desk {
    /// Every letter with the index of its ledger.
    async fn letters(&self, open_only: bool) -> Result<Vec<(usize, Letter)>, Failure> {
        let mut all = Vec::new();
        for (index, ledger) in self.ledgers.iter().enumerate() {
            all.extend(ledger.letters(open_only).await?.into_iter().map(|letter| (index, letter)));
        }
        Ok(all)
    }

    /// The letters whose ids begin so, each once.
    async fn find(&self, ids: &[String]) -> Result<Vec<(usize, Letter)>, Failure> {
        let mut found: Vec<(usize, Letter)> = Vec::new();
        let mut all = None;
        for id in ids {
            let (index, letter) = match MarkId::from_hex(id) {
                Some(whole) => self.whole(whole).await?.ok_or_else(|| desk::none(WHAT, id, LIST))?,
                None => {
                    if all.is_none() {
                        all = Some(self.letters(false).await?);
                    }
                    let mut search = Search::of(id);
                    for found in all.iter().flatten() {
                        search.offer(found.1.id, || found.clone());
                    }
                    search.one(WHAT, LIST)?
                }
            };
            if !found.iter().any(|(at, known)| *at == index && known.id == letter.id) {
                found.push((index, letter));
            }
        }
        Ok(found)
    }

    async fn one(&self, id: &str) -> Result<(usize, Letter), Failure> {
        self.find(&[id.to_owned()]).await?.pop().ok_or_else(|| desk::none(WHAT, id, LIST))
    }

    async fn whole(&self, id: MarkId) -> Result<Option<(usize, Letter)>, Failure> {
        for (index, ledger) in self.ledgers.iter().enumerate() {
            if let Some(letter) = ledger.letter(id).await? {
                return Ok(Some((index, letter)));
            }
        }
        Ok(None)
    }
}
