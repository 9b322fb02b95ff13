//! What may be called how. Names go into file paths, consumer names, store keys and subjects.

use crate::spec::program::{EventTime, FieldPath};

const MAX_NAME: usize = 64;
const MAX_EVENT: usize = 128;
const MAX_SUBJECT: usize = 256;

/// What a subject template may hold in braces.
pub const PLACEHOLDERS: [&str; 3] = ["pipeline", "type", "key"];

pub fn pipeline(name: &str) -> Result<(), String> {
    let mut bytes = name.bytes();
    let first = bytes.next().is_some_and(|b| b.is_ascii_lowercase() || b.is_ascii_digit());
    let rest = bytes.all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-' || b == b'_');
    if first && rest && name.len() <= MAX_NAME {
        Ok(())
    } else {
        Err("a pipeline's name is lower case letters, digits, `-` and `_`, begins with a letter or digit, and has at most 64 characters".into())
    }
}

pub fn channel(name: &str) -> Result<(), String> {
    let fine = name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_');
    if fine && !name.is_empty() && name.len() <= MAX_NAME {
        Ok(())
    } else {
        Err("a channel's name is letters, digits, `-` and `_`, at most 64".into())
    }
}

/// An event type is also the name of a directory below `schemas`.
pub fn event(name: &str) -> Result<(), String> {
    let first = name.bytes().next().is_some_and(|b| b.is_ascii_alphabetic());
    let rest = name.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.'));
    if first && rest && !name.contains("..") && !name.ends_with('.') && name.len() <= MAX_EVENT {
        Ok(())
    } else {
        Err("an event type begins with a letter and holds letters, digits, `.`, `-` and `_`, at most 128".into())
    }
}

pub fn version(number: u64) -> Result<u32, String> {
    u32::try_from(number).ok().filter(|v| *v > 0).ok_or_else(|| "versions count from 1".into())
}

pub fn stream(name: &str) -> Result<(), String> {
    let fine =
        name.chars().all(|c| !c.is_whitespace() && !c.is_control() && !matches!(c, '.' | '*' | '>' | '/' | '\\'));
    if fine && !name.is_empty() && name.len() <= MAX_SUBJECT {
        Ok(())
    } else {
        Err("a stream's name has no spaces, dots, slashes, `*` or `>`".into())
    }
}

/// A subject, or a template of one.
pub fn subject(subject: &str) -> Result<(), String> {
    let usage = "a subject is tokens joined by dots, like `orders.eu`; `*` is one whole token, `>` all that follow";
    if subject.is_empty() || subject.len() > MAX_SUBJECT || subject.chars().any(|c| c.is_whitespace() || c.is_control())
    {
        return Err(usage.into());
    }
    let tokens: Vec<&str> = subject.split('.').collect();
    for (at, token) in tokens.iter().enumerate() {
        let wild = token.contains(['*', '>']);
        if token.is_empty() || (wild && token.len() > 1) || (*token == ">" && at + 1 < tokens.len()) {
            return Err(usage.into());
        }
    }
    let mut rest = subject;
    while let Some(open) = rest.find(['{', '}']) {
        let inside = rest[open..].strip_prefix('{').and_then(|after| after.split_once('}'));
        match inside {
            Some((name, after)) if PLACEHOLDERS.contains(&name) => rest = after,
            _ => return Err("the placeholders of a subject are `{pipeline}`, `{type}` and `{key}`".into()),
        }
    }
    Ok(())
}

pub fn field_path(text: &str) -> Result<FieldPath, String> {
    let parts: Vec<String> = text.split('.').map(str::to_owned).collect();
    let usage = "a path begins with `data.`, `headers.`, or is `id` or `source`; like `data.order_id`";
    let members = match parts[0].as_str() {
        "data" | "headers" => parts.len() > 1,
        "id" | "source" => parts.len() == 1,
        _ => false,
    };
    if members && parts.iter().all(|part| !part.is_empty() && part.trim() == part) {
        Ok(FieldPath(parts))
    } else {
        Err(usage.into())
    }
}

/// An event's id and source are names; what counts or tells time is a member.
pub fn member_path(text: &str) -> Result<FieldPath, String> {
    let path = field_path(text).ok().filter(|path| path.0.len() > 1);
    path.ok_or_else(|| "a path to a member begins with `data.` or `headers.`, like `data.seq`".into())
}

pub fn event_time(text: &str) -> Result<EventTime, String> {
    if text == "time" {
        return Ok(EventTime::Envelope);
    }
    let path = member_path(text).map(EventTime::Path);
    path.map_err(|_| "write `time`, or a path that begins with `data.` or `headers.`, like `data.at`".into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_go_into_paths_and_consumers_are_narrow() {
        for good in ["a", "fulfilment", "0-x_y"] {
            assert!(pipeline(good).is_ok(), "{good}");
        }
        for bad in ["", "-a", "A", "a b", "a.b", "ä", &"a".repeat(65)] {
            assert!(pipeline(bad).is_err(), "{bad}");
        }
        assert!(channel("Orders-eu_1").is_ok());
        for bad in ["", "a.b", "a b", "a/b"] {
            assert!(channel(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn an_event_type_cannot_leave_the_schemas_directory() {
        for good in ["OrderCreated", "com.example.order.created", "a-b_c"] {
            assert!(event(good).is_ok(), "{good}");
        }
        for bad in ["", "..", "../x", "a..b", "a/b", ".a", "a.", "1a", "a b"] {
            assert!(event(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn subjects_and_their_placeholders_are_checked() {
        for good in ["orders", "orders.>", "orders.*.eu", "dead.{pipeline}", "{type}.{key}", ">"] {
            assert!(subject(good).is_ok(), "{good}");
        }
        for bad in ["", "a..b", "a.>.b", "a.b*", "a b", "dead.{pipline}", "a.{key", "a.key}", "{}"] {
            assert!(subject(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_key_path_begins_where_an_event_has_something() {
        for good in ["data.order_id", "data.a.b", "headers.X-Id", "id", "source"] {
            assert!(field_path(good).is_ok(), "{good}");
        }
        for bad in ["", "data", "order_id", "id.x", "data..x", "data.", "data. x"] {
            assert!(field_path(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn numbers_and_times_are_members() {
        for bad in ["id", "source", "data", "seq", "time.x", ""] {
            assert!(member_path(bad).is_err() && event_time(bad).is_err(), "{bad}");
        }
        assert_eq!(event_time("time"), Ok(EventTime::Envelope));
        assert!(member_path("time").is_err());
        assert_eq!(event_time("headers.At"), member_path("headers.At").map(EventTime::Path));
    }
}
