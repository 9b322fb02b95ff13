//! Looking at dead letters.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::desk::{self, moment};
use super::{Desk, Exit, Failure, Format, print, short};
use crate::event::Millis;
use crate::ops::dead_letters::Letter;
use crate::store::record::{DeadRecord, How, Resolution};

pub async fn list(desk: &Desk, group: bool, all: bool) -> Result<Exit, Failure> {
    let letters: Vec<Letter> = desk.letters(!all).await?.into_iter().map(|(_, letter)| letter).collect();
    match (desk.format, group) {
        (Format::Json, false) => {
            print::json(&json!({ "dead_letters": letters.iter().map(as_json).collect::<Vec<_>>() }))?;
        }
        (Format::Json, true) => {
            print::json(&json!({ "groups": groups(&letters).iter().map(group_json).collect::<Vec<_>>() }))?;
        }
        (Format::Human, _) if letters.is_empty() => {
            print::line(if all { "no dead letters" } else { "no open dead letters" })?;
        }
        (Format::Human, false) => {
            let rows: Vec<_> = letters.iter().map(row).collect();
            print::line(&print::table(&["ID", "STATE", "PIPELINE", "EVENT", "KEY", "DIED", "REASON"], &rows))?;
        }
        (Format::Human, true) => {
            let rows: Vec<_> = groups(&letters).iter().map(group_row).collect();
            print::line(&print::table(&["FINGERPRINT", "COUNT", "PIPELINE", "EVENT", "OLDEST", "REASON"], &rows))?;
        }
    }
    Ok(Exit::Fine)
}

pub async fn show(desk: &Desk, id: &str) -> Result<Exit, Failure> {
    let (_, letter) = desk.one(id).await?;
    match desk.format {
        Format::Json => {
            let mut value = as_json(&letter);
            desk::add_payload(&mut value, &letter.payload);
            print::json(&value)?;
        }
        Format::Human => print::line(&page(&letter))?,
    }
    Ok(Exit::Fine)
}

fn event(record: &DeadRecord) -> String {
    let event = record.event.as_ref();
    print::tame(&event.map_or("-".to_owned(), |event| format!("{} v{}", event.kind, event.version)))
}

fn state(letter: &Letter) -> &'static str {
    match letter.record.resolution.as_ref().map(|resolution| resolution.how) {
        _ if letter.open => "open",
        Some(How::Replayed) => "replayed",
        Some(How::Parked) => "parked",
        Some(How::Discarded) => "discarded",
        None => "closed",
    }
}

fn reason(record: &DeadRecord) -> String {
    let failure = &record.failure;
    print::tame(&format!("{}/{}: {}", failure.class.name(), failure.reason, failure.message))
}

fn row(letter: &Letter) -> Vec<String> {
    let record = &letter.record;
    vec![
        short(letter.id),
        state(letter).to_owned(),
        record.pipeline.clone(),
        event(record),
        print::tame(record.key.as_deref().unwrap_or("-")),
        moment(record.dead_at),
        reason(record),
    ]
}

struct Cause<'a> {
    first: &'a Letter,
    count: u64,
    oldest: Millis,
    newest: Millis,
}

/// The most frequent first.
fn groups(letters: &[Letter]) -> Vec<Cause<'_>> {
    let mut causes: BTreeMap<&str, Cause<'_>> = BTreeMap::new();
    for letter in letters {
        let died = letter.record.first_dead_at;
        let cause = causes.entry(&letter.record.fingerprint).or_insert(Cause {
            first: letter,
            count: 0,
            oldest: died,
            newest: died,
        });
        cause.count += 1;
        cause.oldest = cause.oldest.min(died);
        cause.newest = cause.newest.max(died);
    }
    let mut causes: Vec<Cause<'_>> = causes.into_values().collect();
    causes.sort_by_key(|cause| std::cmp::Reverse(cause.count));
    causes
}

fn group_row(cause: &Cause<'_>) -> Vec<String> {
    let record = &cause.first.record;
    vec![
        record.fingerprint.clone(),
        cause.count.to_string(),
        record.pipeline.clone(),
        event(record),
        moment(cause.oldest),
        reason(record),
    ]
}

fn group_json(cause: &Cause<'_>) -> Value {
    let record = &cause.first.record;
    json!({
        "fingerprint": record.fingerprint, "count": cause.count, "pipeline": record.pipeline,
        "type": record.event.as_ref().map(|event| &event.kind),
        "version": record.event.as_ref().map(|event| event.version),
        "class": record.failure.class.name(), "reason": record.failure.reason, "message": record.failure.message,
        "oldest": cause.oldest.rfc3339(), "newest": cause.newest.rfc3339(), "example": cause.first.id.hex(),
    })
}

/// The record as it is stored, with what the store knows of it.
fn as_json(letter: &Letter) -> Value {
    let mut value = serde_json::to_value(&letter.record).expect("records are plain structs, which serialize");
    value["id"] = json!(letter.id.hex());
    value["open"] = json!(letter.open);
    value["generation"] = json!(letter.generation);
    value
}

fn page(letter: &Letter) -> String {
    let record = &letter.record;
    let failure = &record.failure;
    let mut facts: Vec<(&str, String)> = vec![
        ("id", letter.id.hex()),
        ("state", closed(letter)),
        ("pipeline", format!("{} at revision {}", record.pipeline, record.revision)),
        ("event", event(record)),
    ];
    if let Some(event) = &record.event {
        facts.push(("event id", event.id.clone()));
        facts.push(("source", event.source.clone()));
        facts.extend(event.time.clone().map(|time| ("time", time)));
    }
    facts.extend(record.key.clone().map(|key| ("key", key)));
    match &record.emission {
        None => facts.push(("position", record.position.to_string())),
        Some(emission) => facts.push(("emission to", emission.to.to_string())),
    }
    facts.push(("stored", record.stored_at.rfc3339()));
    facts.push(("died", record.dead_at.rfc3339()));
    if record.first_dead_at != record.dead_at {
        facts.push(("first died", record.first_dead_at.rfc3339()));
    }
    facts.push(("attempts", record.attempts.to_string()));
    facts.push(("fingerprint", record.fingerprint.clone()));
    facts.push(("reason", format!("{}/{}", failure.class.name(), failure.reason)));
    facts.push(("message", failure.message.clone()));
    facts.extend(failure.at.as_ref().map(|at| ("at", format!("{}:{}:{}", at.file, at.line, at.column))));
    facts.extend(failure.violations.iter().map(|violation| {
        ("violation", format!("{}: {} (schema {})", violation.path, violation.message, violation.schema_path))
    }));
    facts.extend(record.headers.0.iter().map(|(name, value)| ("header", format!("{name}: {value}"))));
    let mut lines = desk::facts(facts);
    lines.push(String::new());
    lines.push(desk::readable(&letter.payload));
    lines.join("\n")
}

fn closed(letter: &Letter) -> String {
    let Some(Resolution { at, why, .. }) = letter.record.resolution.as_ref().filter(|_| !letter.open) else {
        return state(letter).to_owned();
    };
    let why = why.as_ref().map_or(String::new(), |why| format!(": {why}"));
    format!("{} at {}{why}", state(letter), moment(*at))
}
