//! Looking at parked events.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::desk::{self, moment};
use super::{Desk, Exit, Failure, Format, print, short};
use crate::event::Millis;
use crate::ops::parked::{Read, Standing, Waiting};
use crate::store::record::Wait;

pub async fn list(desk: &Desk, key: Option<&str>) -> Result<Exit, Failure> {
    let (mut columns, mut json, mut any) = (print::Columns::default(), print::JsonList::new("parked"), false);
    desk.each_parked(key, |index, page| {
        any |= !page.is_empty();
        let pipeline = &*desk.ledgers[index].pipeline.name;
        if desk.format == Format::Json {
            return json.page(page.iter().map(|waiting| as_json(pipeline, waiting)));
        }
        let rows: Vec<_> = page.iter().map(|waiting| row(pipeline, waiting)).collect();
        let header = ["ID", "PIPELINE", "KEY", "EVENT", "EVENT ID", "SINCE", "ATTEMPTS", "WAITS"];
        if rows.is_empty() { Ok(()) } else { print::line(&columns.page(&header, &rows)) }
    })
    .await?;
    match desk.format {
        Format::Json => json.end()?,
        Format::Human if !any => print::line("no parked events")?,
        Format::Human => {}
    }
    Ok(Exit::Fine)
}

/// Of one pipeline, type and version, for the same.
struct Group {
    count: u64,
    oldest: Option<Millis>,
    /// The earliest attempt.
    due: Option<Millis>,
    example: String,
}

/// As many groups as there are types, versions and kinds of waiting, however much waits.
pub async fn groups(desk: &Desk, key: Option<&str>) -> Result<Exit, Failure> {
    let mut groups: BTreeMap<(usize, String, &str), Group> = BTreeMap::new();
    desk.each_parked(key, |index, page| {
        for waiting in page {
            let read = waiting.read.as_ref().ok();
            let kind = read.map_or("unreadable", |read| kind(&read.body.wait));
            let group = groups.entry((index, event(&waiting), kind)).or_insert_with(|| Group {
                count: 0,
                oldest: None,
                due: None,
                example: waiting.id.hex(),
            });
            group.count += 1;
            let Some(Read { body, .. }) = read else { continue };
            group.oldest = Some(group.oldest.map_or(body.since, |oldest| oldest.min(body.since)));
            if let Wait::Retry { due, .. } = body.wait {
                group.due = Some(group.due.map_or(due, |earliest| earliest.min(due)));
            }
        }
        Ok(())
    })
    .await?;
    let mut groups: Vec<_> = groups.into_iter().collect();
    groups.sort_by_key(|(_, group)| std::cmp::Reverse(group.count));
    let name = |index: &usize| desk.ledgers[*index].pipeline.name.to_string();
    let time = |at: Option<Millis>| at.map_or("-".to_owned(), moment);
    match desk.format {
        Format::Json => {
            let groups: Vec<Value> = groups
                .iter()
                .map(|((index, event, kind), group)| {
                    json!({
                        "pipeline": name(index), "event": event, "waits": kind, "count": group.count, "example": group.example,
                        "oldest": group.oldest.map(Millis::rfc3339), "next_attempt": group.due.map(Millis::rfc3339),
                    })
                })
                .collect();
            print::json(&json!({ "groups": groups }))?;
        }
        Format::Human if groups.is_empty() => print::line("no parked events")?,
        Format::Human => {
            let rows: Vec<Vec<String>> = groups
                .iter()
                .map(|((index, event, kind), group)| {
                    let (oldest, due) = (time(group.oldest), time(group.due));
                    vec![group.count.to_string(), name(index), print::tame(event), oldest, due, (*kind).to_owned()]
                })
                .collect();
            print::line(&print::table(&["COUNT", "PIPELINE", "EVENT", "OLDEST", "NEXT ATTEMPT", "WAITS"], &rows))?;
        }
    }
    Ok(Exit::Fine)
}

pub async fn show(desk: &Desk, id: &str) -> Result<Exit, Failure> {
    let (index, standing) = desk.parked(id).await?;
    let pipeline = &*desk.ledgers[index].pipeline.name;
    match desk.format {
        Format::Json => {
            let mut value = as_json(pipeline, &standing.waiting);
            value["place"] = json!(standing.before + 1);
            value["line"] = json!(standing.line);
            value["head"] = json!(standing.head.as_ref().unwrap_or(&standing.waiting).id.hex());
            if let Ok(Read { body, .. }) = &standing.waiting.read {
                value["headers"] = json!(body.raw.headers);
                desk::add_payload(&mut value, &body.raw.payload);
            }
            print::json(&value)?;
        }
        Format::Human => print::line(&page(pipeline, &standing))?,
    }
    Ok(Exit::Fine)
}

fn event(waiting: &Waiting) -> String {
    let event = waiting.read.as_ref().ok().and_then(|read| read.event.as_ref());
    event.map_or("-".to_owned(), |event| format!("{} v{}", event.kind, event.version))
}

fn kind(wait: &Wait) -> &'static str {
    match wait {
        Wait::Retry { .. } => "retry",
        Wait::Version { .. } => "version",
        Wait::Behind => "behind",
        Wait::After { .. } => "after",
        Wait::Number { .. } => "number",
        Wait::Hold { .. } => "hold",
        Wait::NoHandler { .. } => "no_handler",
    }
}

/// What an event waits for, in words, and until when at most.
pub fn wait_words(wait: &Wait) -> String {
    match wait {
        Wait::Retry { why, due } => format!("for its next attempt at {}: {why}", moment(*due)),
        Wait::After { deadline: until, .. } | Wait::Hold { due: until, .. } => {
            format!("{}, until {}", wait.what_for(), moment(*until))
        }
        Wait::NoHandler { due, .. } => format!("{}, and is looked at again at {}", wait.what_for(), moment(*due)),
        Wait::Version { .. } | Wait::Behind | Wait::Number { .. } => wait.what_for(),
    }
}

/// What it waits for, or why that is not known.
pub fn waits(waiting: &Waiting) -> String {
    waiting.read.as_ref().map_or_else(ToString::to_string, |read| wait_words(&read.body.wait))
}

fn row(pipeline: &str, waiting: &Waiting) -> Vec<String> {
    let read = waiting.read.as_ref().ok();
    let cell = |of: Option<String>| of.map_or("-".to_owned(), |text| print::tame(&text));
    vec![
        short(waiting.id),
        pipeline.to_owned(),
        print::tame(waiting.key.as_str()),
        print::tame(&event(waiting)),
        cell(read.and_then(|read| Some(read.event.as_ref()?.id.clone()))),
        cell(read.map(|read| moment(read.body.since))),
        cell(read.map(|read| read.body.attempts.to_string())),
        print::tame(&waits(waiting)),
    ]
}

fn as_json(pipeline: &str, waiting: &Waiting) -> Value {
    let mut value = json!({ "id": waiting.id.hex(), "pipeline": pipeline, "key": waiting.key.as_str() });
    match &waiting.read {
        Err(unreadable) => value["unreadable"] = json!(unreadable.to_string()),
        Ok(Read { body, event }) => {
            value["since"] = json!(body.since.rfc3339());
            value["attempts"] = json!(body.attempts);
            value["position"] = json!(body.raw.position);
            value["waits"] = json!(kind(&body.wait));
            match &body.wait {
                Wait::Retry { why, due } => {
                    value["why"] = json!(why);
                    value["due"] = json!(due.rfc3339());
                }
                Wait::Version { event, version } => value["wanted"] = json!({ "type": event, "version": version }),
                Wait::After { event, deadline, .. } => {
                    value["wanted"] = json!({ "type": event });
                    value["due"] = json!(deadline.rfc3339());
                }
                Wait::Number { number } => value["number"] = json!(number),
                Wait::Hold { due, .. } | Wait::NoHandler { due, .. } => value["due"] = json!(due.rfc3339()),
                Wait::Behind => {}
            }
            if let Some(event) = event {
                value["event"] = json!({
                    "id": event.id, "type": event.kind, "version": event.version, "source": event.source,
                    "time": event.time,
                });
            }
        }
    }
    value
}

fn page(pipeline: &str, standing: &Standing) -> String {
    let Standing { waiting, before, line, head, blocked_by } = standing;
    let mut facts = vec![
        ("id", waiting.id.hex()),
        ("pipeline", pipeline.to_owned()),
        ("key", waiting.key.to_string()),
        ("event", event(waiting)),
        ("waits", waits(waiting)),
    ];
    let line = line.map_or(String::new(), |line| format!(" of {line}"));
    facts.push(("in line", format!("{}{line}", before + 1)));
    facts.extend(blocked_by.map(|letter| ("blocked by", format!("dead letter {}", short(letter)))));
    facts.extend(head.as_ref().map(|head| ("head", format!("{}, which waits {}", short(head.id), waits(head)))));
    let Ok(Read { body, event }) = &waiting.read else { return desk::facts(facts).join("\n") };
    if let Some(event) = event {
        facts.push(("event id", event.id.clone()));
        facts.push(("source", event.source.clone()));
        facts.extend(event.time.clone().map(|time| ("time", time)));
    }
    facts.push(("position", body.raw.position.to_string()));
    facts.push(("stored", body.raw.stored_at.rfc3339()));
    facts.push(("parked", body.since.rfc3339()));
    facts.push(("attempts", body.attempts.to_string()));
    facts.extend(body.raw.headers.0.iter().map(|(name, value)| ("header", format!("{name}: {value}"))));
    let mut lines = desk::facts(facts);
    lines.push(String::new());
    lines.push(desk::readable(&body.raw.payload));
    lines.join("\n")
}
