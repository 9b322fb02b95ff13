//! Path → line and column, without a second YAML parser.
//!
//! A seed walks down the path and fails on purpose when it is there: the error carries the node's place. Every look-up
//! reads the file again, which is fine for the few places a diagnostic needs. JSON is near enough to YAML to be
//! located in the same way.

use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, Error as _, IgnoredAny, MapAccess, SeqAccess, Visitor};

use crate::diagnostic::Span;

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Step {
    Key(String),
    Index(usize),
}

/// Where a node is in a document, from its root.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct NodePath(pub Vec<Step>);

impl NodePath {
    #[must_use]
    pub fn key(&self, key: &str) -> Self {
        self.with(Step::Key(key.to_owned()))
    }

    #[must_use]
    pub fn index(&self, index: usize) -> Self {
        self.with(Step::Index(index))
    }

    fn with(&self, step: Step) -> Self {
        Self(self.0.iter().cloned().chain([step]).collect())
    }

    /// From a JSON pointer; whether a number is an index or a key shows in the document.
    pub fn from_pointer(pointer: &str) -> Self {
        let steps = pointer.split('/').skip(1).map(|s| Step::Key(s.replace("~1", "/").replace("~0", "~")));
        Self(steps.collect())
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Target {
    /// The key that leads to the node, at its n-th occurrence (from 0).
    Key(usize),
    Value,
}

/// The span of a node, or of its nearest ancestor that is in the text.
pub fn span(file: &str, text: &str, path: &NodePath, target: Target) -> Span {
    let mut steps = path.0.as_slice();
    let mut target = target;
    loop {
        if let Some((line, column)) = find(text, steps, target) {
            return Span::on_line(file, line, column, token_length(text, line, column, target));
        }
        let Some((_, parent)) = steps.split_last() else {
            return Span::whole_file(file);
        };
        // The key of what encloses it says more than the beginning of a block.
        target = if matches!(parent.last(), Some(Step::Key(_))) { Target::Key(0) } else { Target::Value };
        steps = parent;
    }
}

/// Line and column of a node, from 1.
pub fn find(text: &str, path: &[Step], target: Target) -> Option<(usize, usize)> {
    if path.is_empty() && target != Target::Value {
        return None;
    }
    let mut found = false;
    let walk = Walk { path, target, found: &mut found };
    let error = walk.deserialize(serde_yaml::Deserializer::from_str(text)).err()?;
    let place = error.location().filter(|_| found)?;
    Some(in_file(text, place.line(), place.column()))
}

/// YAML ends lines where editors do not: a place by its lines, by those that only a line feed ends.
pub fn in_file(text: &str, line: usize, column: usize) -> (usize, usize) {
    let (mut of_yaml, mut of_file) = ((1, 1), (1, 1));
    let mut characters = text.chars().peekable();
    while of_yaml < (line, column) {
        let Some(character) = characters.next() else { break };
        let ends = match character {
            '\r' => characters.peek() != Some(&'\n'),
            other => matches!(other, '\n' | '\u{85}' | '\u{2028}' | '\u{2029}'),
        };
        of_yaml = if ends { (of_yaml.0 + 1, 1) } else { (of_yaml.0, of_yaml.1 + 1) };
        of_file = if character == '\n' { (of_file.0 + 1, 1) } else { (of_file.0, of_file.1 + 1) };
    }
    of_file
}

struct Walk<'a> {
    path: &'a [Step],
    target: Target,
    found: &'a mut bool,
}

impl<'de> DeserializeSeed<'de> for Walk<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        match self.path.split_first() {
            None => {
                *self.found = true;
                deserializer.deserialize_any(Here)
            }
            Some((step, rest)) => deserializer.deserialize_any(Descend { step, rest, walk: self }),
        }
    }
}

/// Refuses whatever it visits: the refusal's place is the node's.
struct Here;

impl Visitor<'_> for Here {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("to stop here")
    }
}

struct Descend<'a> {
    step: &'a Step,
    rest: &'a [Step],
    walk: Walk<'a>,
}

impl<'de> Visitor<'de> for Descend<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a mapping or a sequence on the way")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        let Step::Key(wanted) = self.step else {
            return Err(A::Error::custom("not on the path"));
        };
        let mut skip = match self.walk.target {
            Target::Key(nth) if self.rest.is_empty() => Some(nth),
            _ => None,
        };
        loop {
            let stop = skip == Some(0);
            match map.next_key_seed(KeyIs { wanted, stop, found: self.walk.found })? {
                None => return Ok(()),
                Some(false) => {
                    map.next_value::<IgnoredAny>()?;
                }
                Some(true) => match &mut skip {
                    Some(nth) => {
                        *nth -= 1;
                        map.next_value::<IgnoredAny>()?;
                    }
                    None => {
                        return map.next_value_seed(Walk {
                            path: self.rest,
                            target: self.walk.target,
                            found: self.walk.found,
                        });
                    }
                },
            }
        }
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<(), A::Error> {
        let index = match self.step {
            Step::Index(index) => Some(*index),
            Step::Key(key) => key.parse().ok(),
        };
        let Some(index) = index else {
            return Err(A::Error::custom("not on the path"));
        };
        for _ in 0..index {
            if seq.next_element::<IgnoredAny>()?.is_none() {
                return Ok(());
            }
        }
        // An element has no key: asking for it means the element itself.
        let target = if self.rest.is_empty() { Target::Value } else { self.walk.target };
        seq.next_element_seed(Walk { path: self.rest, target, found: self.walk.found })?;
        Ok(())
    }
}

/// Is it this key? Fails at it when it should stop there.
struct KeyIs<'a> {
    wanted: &'a str,
    stop: bool,
    found: &'a mut bool,
}

impl<'de> DeserializeSeed<'de> for KeyIs<'_> {
    type Value = bool;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<bool, D::Error> {
        deserializer.deserialize_str(self)
    }
}

impl Visitor<'_> for KeyIs<'_> {
    type Value = bool;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a key")
    }

    fn visit_str<E: serde::de::Error>(self, key: &str) -> Result<bool, E> {
        if key == self.wanted && self.stop {
            *self.found = true;
            return Err(E::custom("here"));
        }
        Ok(key == self.wanted)
    }
}

/// Characters of the scalar that begins at a place: to its closing quote, or as far as a plain one goes.
fn token_length(text: &str, line: usize, column: usize, target: Target) -> usize {
    let line = text.lines().nth(line - 1).unwrap_or_default();
    let rest: Vec<char> = line.chars().skip(column - 1).collect();
    let end = match rest.first() {
        Some(quote @ ('"' | '\'')) => closing_quote(&rest, *quote),
        Some('|' | '>' | '{' | '[' | '&' | '*' | '!') => Some(1),
        _ if target == Target::Value && is_block_entry(&rest) => rest.iter().position(|c| *c == ':'),
        _ => plain_end(&rest),
    };
    let end = end.unwrap_or(rest.len());
    let trailing = rest[..end].iter().rev().take_while(|c| c.is_whitespace()).count();
    (end - trailing).max(usize::from(!rest.is_empty()))
}

fn closing_quote(rest: &[char], quote: char) -> Option<usize> {
    let mut escaped = false;
    for (at, c) in rest.iter().enumerate().skip(1) {
        match c {
            _ if escaped => escaped = false,
            '\\' if quote == '"' => escaped = true,
            c if *c == quote => return Some(at + 1),
            _ => {}
        }
    }
    None
}

/// A mapping in block style begins at its first key.
fn is_block_entry(rest: &[char]) -> bool {
    let key = rest.iter().take_while(|c| !matches!(c, ':' | ' ' | ',')).count();
    rest.get(key) == Some(&':') && rest.get(key + 1).is_none_or(|c| c.is_whitespace())
}

fn plain_end(rest: &[char]) -> Option<usize> {
    (0..rest.len()).find(|&at| {
        let next = rest.get(at + 1);
        match rest[at] {
            ',' | ']' | '}' => next.is_none_or(|c| c.is_whitespace() || matches!(c, ']' | '}' | ',')),
            ':' => next.is_none_or(|c| c.is_whitespace()),
            '#' => at > 0 && rest[at - 1].is_whitespace(),
            _ => false,
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "\
pipeline: fulfilment # its name
subscriptions:
  - event: OrderCreated
    versions: [1, 2x]
    upcast: { 1: \"a b.rhai\" }
    script: |
      state.x = 1;
  - event: OrderShipped
    event: Twice
größe: {tief: [ja, nein]}
";

    /// What the span covers.
    fn covered(path: &NodePath, target: Target) -> (usize, usize, String) {
        let span = span("f", TEXT, path, target);
        let line = TEXT.lines().nth(span.line - 1).expect("a line of the text");
        let length = span.end_column - span.column;
        (span.line, span.column, line.chars().skip(span.column - 1).take(length).collect())
    }

    fn root() -> NodePath {
        NodePath::default()
    }

    #[test]
    fn keys_and_values_are_found_with_their_extent() {
        assert_eq!(covered(&root().key("pipeline"), Target::Value), (1, 11, "fulfilment".into()));
        assert_eq!(covered(&root().key("pipeline"), Target::Key(0)), (1, 1, "pipeline".into()));
        let first = root().key("subscriptions").index(0);
        assert_eq!(covered(&first, Target::Value), (3, 5, "event".into()));
        assert_eq!(covered(&first.key("versions").index(1), Target::Value), (4, 19, "2x".into()));
        assert_eq!(covered(&first.key("upcast").key("1"), Target::Key(0)), (5, 15, "1".into()));
        assert_eq!(covered(&first.key("upcast").key("1"), Target::Value), (5, 18, "\"a b.rhai\"".into()));
        assert_eq!(covered(&first.key("script"), Target::Value), (6, 13, "|".into()));
        assert_eq!(covered(&root().key("größe").key("tief").index(1), Target::Value), (10, 20, "nein".into()));
    }

    #[test]
    fn the_second_of_two_equal_keys_is_found() {
        let second = root().key("subscriptions").index(1).key("event");
        assert_eq!(covered(&second, Target::Key(1)), (9, 5, "event".into()));
    }

    #[test]
    fn what_is_not_there_falls_back_to_what_encloses_it() {
        let absent = root().key("subscriptions").index(1).key("handler");
        assert_eq!(covered(&absent, Target::Value), (8, 5, "event".into()));
        assert_eq!(covered(&root().key("subscriptions").index(9), Target::Value), (2, 1, "subscriptions".into()));
    }

    #[test]
    fn json_is_located_by_pointer_even_with_tabs() {
        let json = "{\n\t\"properties\": {\n\t\t\"id\": { \"type\": [\"string\", \"strin\"] }\n\t}\n}\n";
        let found = span("f", json, &NodePath::from_pointer("/properties/id/type/1"), Target::Value);
        assert_eq!((found.line, found.column), (3, 30));
    }
}
