//! Single edits of a script, by kind: the slips that people make.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;

use serde_json::Value;

use super::super::corpus::Corpus;
use super::words::{Word, closing, words};

/// Each is told of by name in `misses.txt`.
pub(super) const KINDS: [&str; 14] = [
    "a name is misspelt",
    "another property is taken",
    "a default is removed",
    "`?.` becomes `.`",
    "a check is turned round",
    "an early end is removed",
    "a check is removed",
    "a member of an object is dropped",
    "a member of an object is misspelt",
    "a member of an object is of another type",
    "a word of an enumeration is misspelt",
    "a comparison is turned round",
    "`and` becomes `or`",
    "a literal is of another type",
];

pub(super) struct Edit {
    /// Of [`KINDS`].
    pub(super) kind: usize,
    pub(super) text: String,
    /// The bytes of the edited text that it is about: what was put there, and what lost its guard.
    pub(super) about: Range<usize>,
    /// The object literal that it is in, if it is about a member of it.
    pub(super) literal: Option<usize>,
    /// A name that is read of the event.
    pub(super) reads_event: bool,
}

/// What the schemas of a corpus name.
pub(super) struct Names {
    /// Of each property: others that stand beside it and are of another type.
    others: BTreeMap<String, BTreeSet<String>>,
    values: BTreeSet<String>,
}

impl Names {
    pub(super) fn of(corpus: &Corpus) -> Self {
        let mut names = Self { others: BTreeMap::new(), values: BTreeSet::new() };
        names.see(&corpus.data, &corpus.data);
        // What is emitted is written, not read: of that only the values count.
        let read = std::mem::take(&mut names.others);
        names.see(&corpus.emits.1, &corpus.emits.1);
        names.others = read;
        names
    }

    fn see(&mut self, root: &Value, schema: &Value) {
        let texts = schema["enum"].as_array().into_iter().flatten().chain(schema.get("const"));
        self.values.extend(texts.filter_map(Value::as_str).map(str::to_owned));
        if let Some(properties) = schema["properties"].as_object() {
            for (name, property) in properties {
                let others = self.others.entry(name.clone()).or_default();
                let differs = |other: &&String| kinds(root, &properties[*other]).is_disjoint(&kinds(root, property));
                others.extend(properties.keys().filter(differs).take(1).cloned());
            }
        }
        match schema {
            Value::Object(members) => members.values().for_each(|inner| self.see(root, inner)),
            Value::Array(items) => items.iter().for_each(|inner| self.see(root, inner)),
            _ => {}
        }
    }
}

fn kinds(root: &Value, schema: &Value) -> BTreeSet<String> {
    if let Some(reference) = schema["$ref"].as_str() {
        return kinds(root, root.pointer(&reference[1..]).expect("it leads somewhere"));
    }
    let of_value = |value: &Value| match value {
        Value::String(_) => "string",
        Value::Number(_) => "integer",
        Value::Null => "null",
        _ => "other",
    };
    match (&schema["type"], schema["enum"].as_array()) {
        (Value::String(kind), _) => [kind.replace("number", "integer")].into(),
        (Value::Array(all), _) => all.iter().filter_map(Value::as_str).map(str::to_owned).collect(),
        (_, Some(values)) => values.iter().map(|value| of_value(value).to_owned()).collect(),
        _ => schema.get("const").map(|value| of_value(value).to_owned()).into_iter().collect(),
    }
}

pub(super) fn edits(text: &str, names: &Names) -> Vec<Edit> {
    let words = words(text);
    let mut editor = Editor { text, words: &words, edits: Vec::new() };
    for nth in 0..words.len() {
        editor.property(nth, names);
        editor.guard(nth);
        editor.condition(nth);
        editor.members(nth);
        editor.word(nth, names);
    }
    editor.edits
}

struct Editor<'t> {
    text: &'t str,
    words: &'t [Word<'t>],
    edits: Vec<Edit>,
}

impl Editor<'_> {
    fn at(&self, nth: usize) -> &str {
        self.words.get(nth).map_or("", |word| word.text)
    }

    /// Puts something in the place of some bytes; it is about the words next to it as well, where these are given.
    fn put(&mut self, kind: &str, place: Range<usize>, new: &str, about: Option<Range<usize>>) -> &mut Edit {
        let text = format!("{}{new}{}", &self.text[..place.start], &self.text[place.end..]);
        let about = about.unwrap_or(place.start..place.start + new.len());
        let kind = KINDS.iter().position(|known| *known == kind).expect("a kind");
        self.edits.push(Edit { kind, text, about, literal: None, reads_event: false });
        self.edits.last_mut().expect("it was just put there")
    }

    /// The variable that the chain of a property begins with.
    fn root(&self, nth: usize) -> &str {
        let mut at = nth;
        while at >= 2 && matches!(self.at(at - 1), "." | "?.") {
            at -= 2;
            while matches!(self.at(at), ")" | "]") {
                let open = (0..at).rev().find(|open| closing(self.words, *open) == Some(at));
                let Some(open) = open.filter(|open| *open > 0) else { return "" };
                at = open - 1;
            }
        }
        self.at(at)
    }

    fn property(&mut self, nth: usize, names: &Names) {
        let word = self.words[nth];
        let is_read = nth > 0 && matches!(self.at(nth - 1), "." | "?.") && self.at(nth + 1) != "(";
        let Some(others) = names.others.get(word.text).filter(|_| is_read && self.root(nth) != "state") else { return };
        let reads_event = self.root(nth) == "event";
        self.put("a name is misspelt", word.at..word.end(), &misspelt(word.text), None).reads_event = reads_event;
        for other in others {
            self.put("another property is taken", word.at..word.end(), other, None);
        }
    }

    fn guard(&mut self, nth: usize) {
        let word = self.words[nth];
        let before = nth.checked_sub(1).map_or(0, |before| self.words[before].at);
        match word.text {
            "??" => {
                if let Some(end) = self.operand(nth + 1) {
                    let about = before..word.at;
                    self.put("a default is removed", word.at..self.words[end].end(), "", Some(about));
                }
            }
            "?." | "?[" => {
                let after = self.words[nth + 1].end() - 1;
                self.put("`?.` becomes `.`", word.at..word.end(), &word.text[1..], Some(before..after));
            }
            "!=" | "==" if self.at(nth + 1) == "(" && self.at(nth + 2) == ")" => {
                let new = if word.text == "!=" { "==" } else { "!=" };
                self.put("a check is turned round", word.at..word.end(), new, Some(before..word.end()));
            }
            _ => {}
        }
    }

    /// The last word of an operand that begins here, where it is a simple one.
    fn operand(&self, nth: usize) -> Option<usize> {
        let mut end = match self.at(nth) {
            "if" | "switch" | "-" | "" => return None,
            "(" | "[" | "#{" => closing(self.words, nth)?,
            _ => nth,
        };
        loop {
            end = match self.at(end + 1) {
                "." | "?." => end + 2,
                "(" | "[" => closing(self.words, end + 1)?,
                _ => return Some(end),
            };
        }
    }

    fn condition(&mut self, nth: usize) {
        if self.at(nth) != "if" {
            return;
        }
        let Some(open) = (nth..self.words.len()).find(|at| self.at(*at) == "{") else { return };
        let Some(close) = closing(self.words, open) else { return };
        let ends = ["skip", "reject", "retry", "wait_for", "return", "throw", "continue", "break"];
        let is_early = (open..close).any(|at| ends.contains(&self.at(at))) && self.at(close + 1) != "else";
        if is_early && self.at(nth.wrapping_sub(1)) != "else" {
            let place = self.words[nth].at..self.words[close].end();
            self.put("an early end is removed", place, "", None);
        }
        let asks = (nth..open).any(|at| matches!(self.at(at), "type_of" | "in" | "contains"))
            || (nth..open).any(|at| self.at(at) == "(" && self.at(at + 1) == ")");
        if asks {
            let place = self.words[nth + 1].at..self.words[open - 1].end();
            self.put("a check is removed", place, "true", None);
        }
    }

    /// Of an object literal.
    fn members(&mut self, nth: usize) {
        if self.at(nth) != "#{" {
            return;
        }
        let Some(close) = closing(self.words, nth) else { return };
        let mut begin = nth + 1;
        while begin < close {
            let mut end = begin;
            while end < close && self.at(end) != "," {
                let opens = matches!(self.at(end), "(" | "[" | "?[" | "{" | "#{");
                end = if opens { closing(self.words, end).unwrap_or(close) + 1 } else { end + 1 };
            }
            if self.at(begin + 1) == ":" && end > begin + 2 {
                self.member(nth, begin..end);
            }
            begin = end + 1;
        }
    }

    fn member(&mut self, literal: usize, member: Range<usize>) {
        let name = self.words[member.start];
        let last = self.words[member.end - 1].end();
        let literal = self.words[literal].at;
        let to = self.words[member.end];
        let until = if to.text == "," { to.end() } else { last };
        let dropped = self.put("a member of an object is dropped", name.at..until, "", Some(literal..literal + 2));
        dropped.literal = Some(literal);
        if name.is_name() {
            let bad = self.put("a member of an object is misspelt", name.at..name.end(), &misspelt(name.text), None);
            bad.literal = Some(literal);
        }
        let value = self.words[member.start + 2].at..last;
        let new = if self.text[value.clone()].starts_with('[') { "1" } else { "[]" };
        let about = name.at..value.start + new.len();
        self.put("a member of an object is of another type", value, new, Some(about)).literal = Some(literal);
    }

    fn word(&mut self, nth: usize, names: &Names) {
        let Word { text, at } = self.words[nth];
        let place = at..at + text.len();
        let operand = nth.checked_sub(1).map_or(at, |before| self.words[before].at)..place.end;
        let turned = |text: &str| {
            Some(match text {
                "==" => "!=",
                "!=" => "==",
                "<" => ">",
                ">" => "<",
                "<=" => ">=",
                ">=" => "<=",
                _ => return None,
            })
        };
        match text {
            "&&" => drop(self.put("`and` becomes `or`", place, "||", None)),
            "||" if self.at(nth + 1) != "{" && nth > 0 && !matches!(self.at(nth - 1), "(" | "," | "=" | ":") => {
                self.put("`and` becomes `or`", place, "&&", None);
            }
            _ if turned(text).is_some() && self.at(nth + 1) != "(" => {
                let new = turned(text).unwrap_or_default();
                self.put("a comparison is turned round", place, new, Some(operand));
            }
            _ if text.starts_with('"') => {
                let inner = text.trim_matches('"');
                if names.values.contains(inner) {
                    let new = format!("\"{}\"", misspelt(inner));
                    self.put("a word of an enumeration is misspelt", place.clone(), &new, None);
                }
                if self.at(nth + 1) != ":" {
                    self.put("a literal is of another type", place, "1", None);
                }
            }
            _ if text.chars().all(|c| c.is_ascii_digit())
                && !matches!(self.at(nth + 1), "." | "..")
                && (nth == 0 || self.at(nth - 1) != ".") =>
            {
                self.put("a literal is of another type", place, "\"1\"", None);
            }
            _ => {}
        }
    }
}

/// Two letters change places, or one is missing, or too many.
fn misspelt(name: &str) -> String {
    let mut letters: Vec<char> = name.chars().collect();
    match letters.len() {
        0..=2 => letters.push('z'),
        _ if letters[1] != letters[2] => letters.swap(1, 2),
        _ => drop(letters.pop()),
    }
    letters.into_iter().collect()
}
