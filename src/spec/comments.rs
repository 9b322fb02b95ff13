//! Comments that speak to a tool, told from text that only looks like one.
//!
//! The YAML parser drops comments. So whatever may be one is marked and the file read with its marks: a mark that turns
//! up in a value was no comment of YAML's; in the value of a script it may be one of the script's.

use std::collections::BTreeSet;

use serde_yaml::Value;

use super::document::Document;
use super::mask;
use crate::script;

/// From the private use area: nobody writes it, and YAML takes it as it stands.
const MARK: char = '\u{e000}';

/// Keys of a pipeline file whose values are scripts.
const SCRIPTS: [&str; 2] = ["script", "where"];

/// Where `words` begin a comment in a file of the project, in bytes: of YAML in `.yaml`, of Rhai in `.rhai` and in the
/// scripts within YAML.
pub fn beginning_with(words: &str, file: &str, text: &str) -> Vec<usize> {
    let begins = |at: usize, sign: &str| text[..at].trim_end_matches([' ', '\t']).ends_with(sign);
    if file.ends_with(".rhai") {
        let comments = script::comments(text);
        let spoken = text.match_indices(words).map(|(at, _)| at).filter(|at| begins(*at, "//"));
        return spoken.filter(|at| comments.iter().any(|comment| comment.contains(at))).collect();
    }
    if !file.ends_with(".yaml") && !file.ends_with(".yml") {
        return Vec::new();
    }
    let places: Vec<usize> = text.match_indices(words).map(|(at, _)| at).collect();
    if places.is_empty() {
        return Vec::new();
    }
    let Some(values) = Marked::read(file, text, &places, words.len()) else { return Vec::new() };
    let is_comment = |(number, at): &(usize, &usize)| {
        let in_yaml = begins(**at, "#") && !values.all.contains(number);
        in_yaml || (begins(**at, "//") && values.in_comments.contains(number))
    };
    places.iter().enumerate().filter(is_comment).map(|(_, at)| *at).collect()
}

/// Which marks are in values, and which of these in comments of scripts.
#[derive(Default)]
struct Marked {
    all: BTreeSet<usize>,
    in_comments: BTreeSet<usize>,
}

impl Marked {
    /// `None`: the file is not YAML, which is told elsewhere.
    fn read(file: &str, text: &str, places: &[usize], length: usize) -> Option<Self> {
        let mut marked = String::with_capacity(text.len());
        let mut from = 0;
        for (number, at) in places.iter().enumerate() {
            marked.push_str(&text[from..*at]);
            marked.push_str(&format!("{MARK}{number}{MARK}"));
            from = at + length;
        }
        marked.push_str(&text[from..]);
        let marked = mask::parsable(file, &marked);
        let tree = Document::new(file, marked.into(), false).parse(&mut Vec::new())?;
        let mut found = Self::default();
        found.walk(&tree, false);
        Some(found)
    }

    fn walk(&mut self, value: &Value, is_script: bool) {
        match value {
            Value::String(text) => self.text(text, is_script),
            Value::Sequence(items) => items.iter().for_each(|item| self.walk(item, false)),
            Value::Mapping(members) => {
                for (key, member) in members {
                    self.walk(key, false);
                    self.walk(member, key.as_str().is_some_and(|key| SCRIPTS.contains(&key)));
                }
            }
            _ => {}
        }
    }

    fn text(&mut self, text: &str, is_script: bool) {
        if !text.contains(MARK) {
            return;
        }
        let comments = if is_script { script::comments(text) } else { Vec::new() };
        for (at, _) in text.match_indices(MARK) {
            let rest = &text[at + MARK.len_utf8()..];
            let Some(number) = rest.split_once(MARK).and_then(|(number, _)| number.parse().ok()) else { continue };
            self.all.insert(number);
            if comments.iter().any(|comment| comment.contains(&at)) {
                self.in_comments.insert(number);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The lines, from 1, on which a comment begins with `note:`.
    fn lines(file: &str, text: &str) -> Vec<usize> {
        let places = beginning_with("note:", file, text);
        places.iter().map(|at| text[..*at].matches('\n').count() + 1).collect()
    }

    #[test]
    fn comments_of_yaml_are_told_from_texts() {
        let text = "\
a: b # note: one
# note: two
c: \"# note: in quotes\"
d: '# note: in quotes'
e: |
  # note: in a block
f: >-
  folded
  # note: in a block
g: a#note:not a comment
h: { i: [j, k] } # note: ten
l:
  - m # a note: not at its beginning
";
        assert_eq!(lines("a.yaml", text), [1, 2, 11]);
        assert_eq!(lines("a.json", text), Vec::<usize>::new());
        assert_eq!(lines("a.yaml", "a: [ # note: in what is no YAML\n"), Vec::<usize>::new());
    }

    #[test]
    fn scripts_have_comments_of_their_own() {
        let script = "state.a = 1; // note: one\nlet b = \"// note: in a text\";\n# note: not of this language\n";
        assert_eq!(lines("a.rhai", script), [1]);
        let indented: String = script.lines().map(|line| format!("      {line}\n")).collect();
        let yaml = format!("subscriptions:\n  - event: A\n    script: |\n{indented}    other: |\n{indented}");
        assert_eq!(lines("a.yaml", &yaml), [4]);
        let quoted = "where: \"true // note: one\"\nwhat: \"true // note: two\"\n";
        assert_eq!(lines("a.yaml", quoted), [1]);
    }

    #[test]
    fn a_masked_secret_hides_no_comment() {
        let text = mask::masked("admin: { token: hunter2 } # note: one\nb: c # note: two\n");
        assert_eq!(lines("sluice.yaml", &text), [1, 2]);
    }
}
