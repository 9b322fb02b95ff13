//! A mapping: where the parts of an event stand in messages of somebody else's making.
//!
//! ```text
//! path  =  "."                  the payload
//!       |  "." member…          a member of it: .action, .pull_request.number, .commits.0.id, ."a.b".c
//!       |  "headers." NAME      a header; NAME may hold dots, and letters compare without case
//!       |  "data." member…      a member of what `data` takes from the payload
//! template = text with {path}s in it
//! ```

use std::fmt;

use super::names;

/// Bytes of a path or template as it is written.
const MAX_TEXT: usize = 256;

/// An event out of a payload and its headers. What is absent here is filled in as each field says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mapping {
    /// Without it, an event is identified by its place in the stream.
    pub id: Option<Text>,
    pub kind: Text,
    pub version: Version,
    /// Without it, events are from the channel.
    pub source: Option<Text>,
    pub time: Option<Text>,
    /// Members that lead to it from the payload; none: it is the payload.
    pub data: Vec<String>,
}

/// A text that is made for each event.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Text {
    Value(String),
    Path(Path),
    Template(Vec<Piece>),
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Piece {
    Literal(String),
    Path(Path),
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Version {
    Value(u32),
    Read(Text),
}

/// What a path names. Members are looked up in objects by name, in lists by their number from 0.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Path {
    /// Of the payload; none is the payload itself.
    Payload(Vec<String>),
    /// Of the event's data; at least one.
    Data(Vec<String>),
    Header(String),
}

impl Path {
    pub fn parse(text: &str) -> Result<Self, String> {
        if text.len() > MAX_TEXT {
            return Err(format!("a path has at most {MAX_TEXT} bytes"));
        }
        if text == "." {
            return Ok(Self::Payload(Vec::new()));
        }
        if let Some(name) = text.strip_prefix("headers.") {
            // As HTTP and NATS allow them.
            let fine = !name.is_empty() && name.bytes().all(|b| b.is_ascii_graphic() && b != b':');
            return if fine {
                Ok(Self::Header(name.to_owned()))
            } else {
                Err("a header's name is of visible ASCII characters without `:`".to_owned())
            };
        }
        if let Some(rest) = text.strip_prefix("data.") {
            return members(rest).map(Self::Data);
        }
        match text.strip_prefix('.') {
            Some(rest) => members(rest).map(Self::Payload),
            None => Err(format!(
                "a path begins with `.` (the payload), `data.` or `headers.`; write `.{text}` for a member of the payload"
            )),
        }
    }
}

/// Names between dots; one in double quotes may hold dots itself.
fn members(text: &str) -> Result<Vec<String>, String> {
    let mut members = Vec::new();
    let mut rest = text;
    loop {
        let (name, after) = match rest.strip_prefix('"') {
            Some(quoted) => quoted.split_once('"').ok_or("a quote in this path is not closed")?,
            None => rest.split_at(rest.find('.').unwrap_or(rest.len())),
        };
        let plain = !rest.starts_with('"');
        if plain && (name.is_empty() || name.trim() != name || name.contains('"')) {
            let usage =
                "a path is names joined by dots, like `.order.id`; a name with dots or spaces goes in double quotes";
            return Err(usage.to_owned());
        }
        members.push(name.to_owned());
        match after.strip_prefix('.') {
            Some(more) => rest = more,
            None if after.is_empty() => return Ok(members),
            None => return Err("after a quoted name comes a dot, or the end of the path".to_owned()),
        }
    }
}

impl fmt::Display for Path {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let members = match self {
            Self::Header(name) => return write!(f, "headers.{name}"),
            Self::Payload(members) if members.is_empty() => return f.write_str("."),
            Self::Payload(members) => members,
            Self::Data(members) => {
                f.write_str("data")?;
                members
            }
        };
        for name in members {
            let quotes = name.is_empty() || name.contains('.') || name.trim() != name;
            if quotes { write!(f, ".\"{name}\"") } else { write!(f, ".{name}") }?;
        }
        Ok(())
    }
}

/// The pieces of a template; it has at least one path.
pub fn template(text: &str) -> Result<Vec<Piece>, String> {
    if text.len() > MAX_TEXT {
        return Err(format!("a template has at most {MAX_TEXT} bytes"));
    }
    if text.contains("${") {
        return Err("variables are not filled in here; `{…}` holds a path".to_owned());
    }
    let mut pieces = Vec::new();
    let mut rest = text;
    while let Some(at) = rest.find(['{', '}']) {
        let (before, from) = rest.split_at(at);
        let inside = from.strip_prefix('{').and_then(|from| from.split_once('}'));
        let Some((path, after)) = inside else {
            return Err("braces come in pairs, around a path, like `{.action}`".to_owned());
        };
        if path.contains('{') {
            return Err("braces come in pairs, around a path, like `{.action}`".to_owned());
        }
        if !before.is_empty() {
            pieces.push(Piece::Literal(before.to_owned()));
        }
        pieces.push(Piece::Path(Path::parse(path).map_err(|why| format!("`{{{path}}}`: {why}"))?));
        rest = after;
    }
    if pieces.is_empty() {
        return Err("nothing in this template changes from event to event; write it as a `value`".to_owned());
    }
    if !rest.is_empty() {
        pieces.push(Piece::Literal(rest.to_owned()));
    }
    Ok(pieces)
}

/// A text that is the same for every event.
pub fn constant(text: &str) -> Result<String, String> {
    if text.contains("${") {
        return Err("variables are not filled in here".to_owned());
    }
    if text.is_empty() || text.len() > MAX_TEXT || text.contains(char::is_control) {
        return Err(format!("a value is of 1 to {MAX_TEXT} bytes, without control characters"));
    }
    Ok(text.to_owned())
}

/// The constant type of every event.
pub fn constant_type(text: &str) -> Result<String, String> {
    names::event(text).map(|()| text.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn payload(members: &[&str]) -> Result<Path, String> {
        Ok(Path::Payload(members.iter().map(|name| (*name).to_owned()).collect()))
    }

    #[test]
    fn a_path_says_where_it_begins() {
        assert_eq!(Path::parse("."), payload(&[]));
        assert_eq!(Path::parse(".a.b-c.0"), payload(&["a", "b-c", "0"]));
        assert_eq!(Path::parse(".headers.x"), payload(&["headers", "x"]));
        assert_eq!(Path::parse("data.a"), Ok(Path::Data(vec!["a".to_owned()])));
        assert_eq!(Path::parse("headers.X-GitHub.Delivery"), Ok(Path::Header("X-GitHub.Delivery".to_owned())));
        let told = Path::parse("action").expect_err("refused");
        assert!(told.contains("write `.action`"), "{told}");
    }

    #[test]
    fn names_with_dots_go_in_quotes() {
        assert_eq!(Path::parse(".\"a.b\".c.\" \""), payload(&["a.b", "c", " "]));
        for bad in [
            "",
            "..",
            ".a.",
            ".a..b",
            ".\"a",
            ".\"a\"b",
            ".a\"b",
            ". a",
            "data",
            "data.",
            "headers.",
            "headers.a b",
            "headers.a:b",
        ] {
            assert!(Path::parse(bad).is_err(), "{bad}");
        }
        assert!(Path::parse(&format!(".{}", "a".repeat(256))).is_err());
    }

    #[test]
    fn a_template_is_text_around_paths() {
        let pieces = template("{headers.X-Event}.{.action}!").expect("a template");
        let literal = |text: &str| Piece::Literal(text.to_owned());
        let [event, action] =
            ["headers.X-Event", ".action"].map(|path| Piece::Path(Path::parse(path).expect("a path")));
        assert_eq!(pieces, [event, literal("."), action, literal("!")]);
        for bad in ["", "plain", "{", "}", "a{b", "{}", "{.a", "{.a}}", "{{.a}}", "{action}", "${HOME}-{.a}"] {
            assert!(template(bad).is_err(), "{bad}");
        }
    }

    proptest! {
        /// Whatever is written is read or refused, and what is read says itself again.
        #[test]
        fn a_path_reads_as_it_is_shown(text in "(\\.|data\\.|headers\\.)?[a-z0-9.\" {}:é-]{0,12}") {
            if let Ok(path) = Path::parse(&text) {
                prop_assert_eq!(Path::parse(&path.to_string()), Ok(path));
            }
            let _ = template(&text);
        }
    }
}
