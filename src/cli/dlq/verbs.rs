//! Deciding about dead letters.

use std::collections::BTreeMap;
use std::io::{BufRead as _, IsTerminal as _};

use serde_json::{Value, json};

use super::{Desk, Exit, Failure, Format, Which, print, short};
use crate::clock::SystemEntropy;
use crate::event::MarkId;
use crate::flow::decide::Outcome;
use crate::flow::supervisor::Options;
use crate::ops::dead_letters::{self, Emitted, Letter, NotReplayable, Replayed, Trial};
use crate::store::record::Wait;

pub async fn try_out(desk: &Desk, id: &str) -> Result<Exit, Failure> {
    let (index, letter) = desk.one(id).await?;
    let context = desk.context(&desk.ledgers[index]).await?;
    let trial = match dead_letters::try_out(&context, &letter).await? {
        Ok(trial) => trial,
        Err(why) => return Err(Failure::findings(format!("{} cannot be run: {why}", short(letter.id)))),
    };
    match desk.format {
        Format::Json => print::json(&trial_json(&letter, &trial))?,
        Format::Human => print::line(&trial_page(&trial))?,
    }
    Ok(if trial.outcome == Outcome::Dead { Exit::Findings } else { Exit::Fine })
}

fn trial_page(trial: &Trial) -> String {
    let mut lines = vec![match &trial.failure {
        Some(failure) => {
            format!("would die again: {}/{}: {}", failure.class.name(), failure.reason, print::tame(&failure.message))
        }
        None => match &trial.wait {
            Some(Wait::Retry { why, due }) => format!("would be parked until {}: {}", due.rfc3339(), print::tame(why)),
            Some(wait) => format!("would be parked: it waits {}", print::tame(&wait.what_for())),
            None => format!("would end as: {}", trial.outcome.name()),
        },
    }];
    let changes = differences(trial.before.as_ref(), trial.after.as_ref());
    lines.push(if changes.is_empty() { "state: unchanged".to_owned() } else { "state:".to_owned() });
    lines.extend(changes.iter().map(|change| format!("  {}", print::tame(change))));
    lines.push(if trial.emissions.is_empty() { "emits: nothing".to_owned() } else { "emits:".to_owned() });
    for Emitted { to, subject, payload, .. } in &trial.emissions {
        let subject = if subject.is_empty() { String::new() } else { format!(" ({subject})") };
        lines.push(format!("  → {to}{subject} {}", print::tame(&String::from_utf8_lossy(payload))));
    }
    lines.push("nothing was written".to_owned());
    lines.join("\n")
}

fn trial_json(letter: &Letter, trial: &Trial) -> Value {
    let emissions: Vec<Value> = trial
        .emissions
        .iter()
        .map(|emitted| {
            let text = String::from_utf8_lossy(&emitted.payload);
            let payload = serde_json::from_str(&text).unwrap_or_else(|_| json!(text));
            json!({ "to": emitted.to, "subject": emitted.subject, "headers": emitted.headers, "payload": payload })
        })
        .collect();
    json!({
        "id": letter.id.hex(), "outcome": trial.outcome.name(), "failure": trial.failure, "wait": trial.wait,
        "state": { "before": trial.before, "after": trial.after }, "emissions": emissions,
    })
}

/// One line a leaf that differs, by JSON pointer; `-` as it was, `+` as it would be.
fn differences(before: Option<&Value>, after: Option<&Value>) -> Vec<String> {
    let (mut old, mut new) = (BTreeMap::new(), BTreeMap::new());
    before.into_iter().for_each(|state| leaves(state, String::new(), &mut old));
    after.into_iter().for_each(|state| leaves(state, String::new(), &mut new));
    let mut paths: Vec<&String> = old.keys().chain(new.keys()).collect();
    paths.sort();
    paths.dedup();
    let mut lines = Vec::new();
    for path in paths {
        if old.get(path) == new.get(path) {
            continue;
        }
        let shown = if path.is_empty() { "/" } else { path };
        lines.extend(old.get(path).map(|value| format!("- {shown}: {value}")));
        lines.extend(new.get(path).map(|value| format!("+ {shown}: {value}")));
    }
    lines
}

fn leaves<'v>(value: &'v Value, path: String, out: &mut BTreeMap<String, &'v Value>) {
    match value {
        Value::Object(members) if !members.is_empty() => {
            for (name, member) in members {
                leaves(member, format!("{path}/{}", name.replace('~', "~0").replace('/', "~1")), out);
            }
        }
        Value::Array(items) if !items.is_empty() => {
            for (index, item) in items.iter().enumerate() {
                leaves(item, format!("{path}/{index}"), out);
            }
        }
        leaf => {
            out.insert(path, leaf);
        }
    }
}

pub async fn replay(desk: &Desk, which: &Which, yes: bool) -> Result<Exit, Failure> {
    // What is decided on is what stands there now, whatever dies meanwhile.
    let chosen = match &which.fingerprint {
        _ if !which.ids.is_empty() => desk.find(&which.ids).await?,
        Some(cause) => {
            let mut letters = desk.letters(true).await?;
            letters.retain(|(_, letter)| letter.record.fingerprint == *cause);
            if letters.is_empty() {
                return Err(Failure::cannot_run(format!(
                    "no open dead letter has the fingerprint `{}`",
                    print::tame(cause)
                ))
                .help("`sluice dlq list --group` shows them"));
            }
            letters
        }
        None => desk.letters(true).await?,
    };
    if chosen.is_empty() && desk.format == Format::Human {
        print::line("no open dead letters")?;
        return Ok(Exit::Fine);
    }
    if which.ids.is_empty() && !yes && !confirmed(chosen.len())? {
        return Ok(Exit::Fine);
    }
    let mut told = Vec::new();
    for (index, ledger) in desk.ledgers.iter().enumerate() {
        let mut letters: Vec<Letter> =
            chosen.iter().filter(|(at, _)| *at == index).map(|(_, letter)| letter.clone()).collect();
        if letters.is_empty() {
            continue;
        }
        // In order of arrival, which is the order of their keys.
        letters.sort_by_key(|letter| (letter.record.position.channel.clone(), letter.record.position.seq));
        let context = desk.context(ledger).await?;
        let replayed = dead_letters::replay(&context, &letters, &Options { workers: 1, ..Options::default() }).await?;
        for (letter, replayed) in letters.iter().zip(replayed) {
            // A record that died again says why.
            let now = ledger.letter(letter.id).await?;
            told.push((letter.id, replayed, now));
        }
    }
    let succeeded = |(_, replayed, now): &(MarkId, Replayed, Option<Letter>)| match replayed {
        Replayed::Outcome(outcome) => matches!(outcome, Outcome::Done | Outcome::Skipped | Outcome::Parked),
        Replayed::Owed => now.as_ref().is_none_or(|letter| !letter.open),
        Replayed::Not(_) | Replayed::Unsettled => false,
    };
    let all = told.iter().all(succeeded);
    match desk.format {
        Format::Json => {
            let results: Vec<Value> = told
                .iter()
                .map(|(id, replayed, now)| {
                    let outcome = match replayed {
                        Replayed::Outcome(outcome) => outcome.name(),
                        Replayed::Owed => "sent",
                        Replayed::Not(_) => "not_replayed",
                        Replayed::Unsettled => "unsettled",
                    };
                    json!({ "id": id.hex(), "outcome": outcome, "message": words(replayed, now.as_ref()) })
                })
                .collect();
            print::json(&json!({ "replayed": results }))?;
        }
        Format::Human => {
            for (id, replayed, now) in &told {
                print::line(&format!("{}  {}", short(*id), print::tame(&words(replayed, now.as_ref()))))?;
            }
            let done = told.iter().filter(|told| succeeded(told)).count() as u64;
            print::line(&format!("replayed {done} of {}", print::count(told.len() as u64, "dead letter")))?;
        }
    }
    Ok(if all { Exit::Fine } else { Exit::Findings })
}

/// What became of a letter, and where it stands now.
fn words(replayed: &Replayed, now: Option<&Letter>) -> String {
    match replayed {
        Replayed::Owed if now.is_none_or(|letter| !letter.open) => "sent again".to_owned(),
        Replayed::Owed | Replayed::Outcome(Outcome::Dead) => {
            let failure = now.map(|letter| &letter.record.failure);
            let why = failure.map_or(String::new(), |f| format!(": {}/{}: {}", f.class.name(), f.reason, f.message));
            format!("died again{why}")
        }
        Replayed::Outcome(Outcome::Parked) => "parked: it will be tried again".to_owned(),
        Replayed::Outcome(outcome) => outcome.name().to_owned(),
        Replayed::Not(why) => format!("not replayed: {why}"),
        Replayed::Unsettled if now.is_some_and(|letter| !letter.open) => {
            format!("not replayed: {}, by somebody else", NotReplayable::Closed)
        }
        Replayed::Unsettled => "not replayed: it changed meanwhile, or time ran out; look at it again".to_owned(),
    }
}

fn confirmed(count: usize) -> Result<bool, Failure> {
    let what = print::count(count as u64, "dead letter");
    if count == 0 {
        return Ok(true);
    }
    if !std::io::stdin().is_terminal() {
        return Err(Failure::cannot_run(format!("this would replay {what}, and there is nobody to ask"))
            .help("add `--yes` to do it"));
    }
    print::note(&format!("replay {what}? [y/N]"));
    let mut answer = String::new();
    let read = std::io::stdin().lock().read_line(&mut answer);
    read.map_err(|error| Failure::cannot_run(format!("the answer cannot be read: {error}")))?;
    Ok(matches!(answer.trim(), "y" | "Y" | "yes"))
}

pub async fn discard(desk: &Desk, ids: &[String], why: &str) -> Result<Exit, Failure> {
    let mut results = Vec::new();
    for (index, letter) in desk.find(ids).await? {
        let discarded = desk.ledgers[index].discard(&letter, why, &*desk.clock, &SystemEntropy).await?;
        results.push((letter, discarded));
    }
    match desk.format {
        Format::Json => {
            let results: Vec<Value> = results
                .iter()
                .map(|(letter, discarded)| json!({ "id": letter.id.hex(), "discarded": discarded }))
                .collect();
            print::json(&json!({ "discarded": results }))?;
        }
        Format::Human => {
            for (letter, discarded) in &results {
                let what = match discarded {
                    true => "discarded",
                    false if !letter.open => "not discarded: it is closed already",
                    false => "not discarded: it changed meanwhile; look at it again",
                };
                print::line(&format!("{}  {what}", short(letter.id)))?;
            }
        }
    }
    Ok(if results.iter().all(|(_, discarded)| *discarded) { Exit::Fine } else { Exit::Findings })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn differences_are_told_by_leaf() {
        let (before, after) =
            (json!({"a": 1, "b": {"c/d": [1, 2]}, "e": {}}), json!({"a": 2, "b": {"c/d": [1]}, "e": {}}));
        assert_eq!(differences(Some(&before), Some(&after)), ["- /a: 1", "+ /a: 2", "- /b/c~1d/1: 2"]);
        assert_eq!(differences(None, Some(&json!({"a": null}))), ["+ /a: null"]);
        assert!(differences(Some(&after), Some(&after)).is_empty());
    }
}
