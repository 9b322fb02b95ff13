//! Deciding about parked events.

use serde_json::{Value, json};

use super::show::{wait_words, waits};
use super::{Desk, Exit, Failure, Format, Which, print, short};
use crate::clock::SystemEntropy;
use crate::event::MarkId;
use crate::ops::parked::{self, Discarded, Released, Standing};
use crate::store::MarkStatus;
use crate::store::record::Wait;

pub async fn release(desk: &Desk, which: &Which) -> Result<Exit, Failure> {
    let mut chosen = Vec::new();
    match &which.key {
        Some(key) => chosen.extend(heads(desk, key).await?),
        // All of them are found before the first is run.
        None => {
            for id in &which.ids {
                let (index, standing) = desk.parked(id).await?;
                chosen.push((index, standing.waiting.id));
            }
        }
    }
    let (mut results, mut fine) = (Vec::new(), true);
    for (index, id) in chosen {
        let ledger = &desk.ledgers[index];
        let (outcome, message) = match ledger.standing(id).await? {
            // One that stood before it was released, and its line moved on; or a runner was faster.
            None => ("gone", "not parked any more".to_owned()),
            Some(standing) => {
                let released = parked::release(ledger, &desk.context(ledger).await?, &standing).await?;
                told(&released, &standing)
            }
        };
        fine &= matches!(outcome, "ended" | "waits" | "gone");
        if desk.format == Format::Human {
            print::line(&format!("{}  {}", short(id), print::tame(&message)))?;
        }
        results.push(json!({ "id": id.hex(), "outcome": outcome, "message": message }));
    }
    if desk.format == Format::Json {
        print::json(&json!({ "released": results }))?;
    }
    Ok(if fine { Exit::Fine } else { Exit::Findings })
}

/// The heads of this key's lines, one a pipeline at most.
async fn heads(desk: &Desk, key: &str) -> Result<Vec<(usize, MarkId)>, Failure> {
    let mut heads: Vec<(usize, MarkId)> = Vec::new();
    desk.each_parked(Some(key), |index, page| {
        if heads.iter().all(|(known, _)| *known != index) {
            heads.extend(page.first().map(|head| (index, head.id)));
        }
        Ok(())
    })
    .await?;
    if heads.is_empty() {
        return Err(Failure::cannot_run(format!("no event of key `{}` is parked", print::tame(key)))
            .help("`sluice parked list` lists them"));
    }
    Ok(heads)
}

/// A word for programs, and a sentence for people.
fn told(released: &Released, standing: &Standing) -> (&'static str, String) {
    match released {
        Released::Ended(MarkStatus::Done) => ("ended", "done".to_owned()),
        Released::Ended(MarkStatus::Dead) => ("dead", "died; `sluice dlq show` says why".to_owned()),
        Released::Waits(wait @ Wait::Version { .. }) => {
            ("not_accepted", format!("not run: it waits {}", wait_words(wait)))
        }
        Released::Waits(wait @ Wait::NoHandler { .. }) => {
            ("no_handler", format!("not run: it waits {}", wait_words(wait)))
        }
        Released::Waits(wait) => ("waits", format!("ran, and waits again {}", wait_words(wait))),
        Released::Behind => {
            let head = standing.head.as_ref();
            let who = head.map_or(String::new(), |head| {
                format!("; the first is {}, which waits {}", short(head.id), waits(head))
            });
            let before = print::count(standing.before, "event");
            ("behind", format!("not run: {before} of its key before it{who}; release that one"))
        }
        Released::Blocked(letter) => {
            let letter = short(*letter);
            ("blocked", format!("not run: dead letter {letter} blocks its key; replay or discard that (`sluice dlq`)"))
        }
        Released::Unsettled => {
            ("unsettled", "not run: it changed meanwhile, or time ran out; look at it again".to_owned())
        }
        Released::Gone => ("gone", "not parked any more".to_owned()),
    }
}

pub async fn discard(desk: &Desk, id: &str, why: &str) -> Result<Exit, Failure> {
    let (index, standing) = desk.parked(id).await?;
    let ledger = &desk.ledgers[index];
    let discarded = ledger.discard_parked(&standing.waiting, why, &*desk.clock, &SystemEntropy).await?;
    let behind = standing.line.unwrap_or_default().saturating_sub(1);
    let what = match discarded {
        Discarded::Done if standing.before == 0 && behind > 0 => {
            "discarded; its line moves on with the next look of a running `sluice run`, within seconds"
        }
        Discarded::Done => "discarded",
        Discarded::Gone => "not discarded: it is not parked any more",
        Discarded::Changing => "not discarded: its key changes all the while; try again",
    };
    let done = discarded == Discarded::Done;
    match desk.format {
        Format::Json => {
            let result: Value = json!({ "id": standing.waiting.id.hex(), "discarded": done, "message": what });
            print::json(&result)?;
        }
        Format::Human => print::line(&format!("{}  {what}", short(standing.waiting.id)))?,
    }
    Ok(if done { Exit::Fine } else { Exit::Findings })
}
