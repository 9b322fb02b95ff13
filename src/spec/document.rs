//! Text → a tree → what users write, telling every problem on the way and not only the first.
//!
//! Serde stops at its first error. So the tree is decoded again without the part that was wrong, until it decodes:
//! each round tells one problem. What was left out is remembered, so that it is not told again as missing.

use std::collections::HashSet;
use std::sync::Arc;

use serde::de::DeserializeOwned;
use serde_path_to_error::{Segment, Track};
use serde_yaml::Value;

use super::locate::{self, NodePath, Step, Target};
use super::tree;
use crate::diagnostic::{Diagnostic, Span, did_you_mean, rules, surely_meant};

/// Most brackets open at one time. The parser's time is quadratic in it.
const MAX_OPEN_BRACKETS: usize = 256;
/// Most shape problems told of one document.
const MAX_PROBLEMS: usize = 50;

/// A YAML file of the project.
#[derive(Debug)]
pub struct Document {
    /// Relative to the project.
    pub name: String,
    pub text: Arc<str>,
    /// Whether `${VAR}` means something in its values.
    pub expands: bool,
    /// What was wrong and already told.
    damaged: HashSet<NodePath>,
}

impl Document {
    pub fn new(name: &str, text: Arc<str>, expands: bool) -> Self {
        Self { name: name.to_owned(), text, expands, damaged: HashSet::new() }
    }

    /// The span of a value.
    pub fn at(&self, path: &NodePath) -> Span {
        locate::span(&self.name, &self.text, path, Target::Value)
    }

    /// The span of the key that leads to a value.
    pub fn at_key(&self, path: &NodePath) -> Span {
        locate::span(&self.name, &self.text, path, Target::Key(0))
    }

    /// Nothing but white space and comments.
    pub fn is_empty(&self) -> bool {
        self.text.lines().all(|line| line.trim().is_empty() || line.trim_start().starts_with('#'))
    }

    /// Something at this path, or around it, was wrong and told.
    pub fn is_damaged(&self, path: &NodePath) -> bool {
        (0..=path.0.len()).any(|length| self.damaged.contains(&NodePath(path.0[..length].to_vec())))
    }

    /// The tree; `None` when it is not YAML.
    pub fn parse(&mut self, problems: &mut Vec<Diagnostic>) -> Option<Value> {
        if let Some(line) = too_many_brackets(&self.text) {
            let error = Diagnostic::new(&rules::NOT_YAML, "nested too deeply");
            problems
                .push(error.at(Span::on_line(&self.name, line, 1, 0)).help("close the brackets that are open here"));
            return None;
        }
        let (tree, twice) = tree::read(serde_yaml::Deserializer::from_str(&self.text));
        match tree {
            Ok(value) => {
                problems.extend(twice.told(&self.name, &self.text));
                Some(value)
            }
            Err(error) => {
                problems.push(self.not_yaml(&error));
                None
            }
        }
    }

    fn not_yaml(&self, error: &serde_yaml::Error) -> Diagnostic {
        let (line, column) = error.location().map_or((1, 1), |l| locate::in_file(&self.text, l.line(), l.column()));
        let full = error.to_string();
        if let Some(unfinished) = self.unfinished(&full, line) {
            return unfinished;
        }
        let message = without_places(&full);
        let line_text = self.text.lines().nth(line - 1).unwrap_or_default();
        let indented_by_tab = line_text.chars().take_while(|c| c.is_whitespace()).any(|c| c == '\t');
        let (message, help) = if indented_by_tab {
            ("a tab cannot indent YAML".to_owned(), Some("use spaces"))
        } else if message.contains("more than one document") {
            ("a file holds one document".to_owned(), Some("put what follows `---` into a file of its own"))
        } else if message.starts_with("invalid type") {
            ("a key here is not a plain name".to_owned(), None)
        } else {
            (format!("not valid YAML: {message}"), None)
        };
        let length = usize::from(line_text.chars().nth(column - 1).is_some());
        let mut diagnostic =
            Diagnostic::new(&rules::NOT_YAML, message).at(Span::on_line(&self.name, line, column, length));
        diagnostic.help = help.map(str::to_owned);
        diagnostic
    }

    /// What was begun and has no end: the parser tells where it gave up, which may be many lines below the slip.
    fn unfinished(&self, told: &str, line: usize) -> Option<Diagnostic> {
        let (what, began) = told.split_once(", while ")?.1.split_once(" at line ")?;
        let (begin_line, begin_column) = began.split_once(" column ")?;
        let (begin_line, begin_column) =
            locate::in_file(&self.text, begin_line.parse().ok()?, begin_column.parse().ok()?);
        let text = self.text.lines().nth(begin_line.checked_sub(1)?)?;
        let rest = || text.chars().skip(begin_column - 1);
        let indent = |line: &str| line.chars().take_while(|c| *c == ' ').count();
        let gave_up = self.text.lines().nth(line - 1).unwrap_or_default();
        let (message, help, length) = match what {
            "scanning a simple key" if begin_line < line => (
                "there is no `:` after this key",
                "write `key: value`",
                rest().collect::<String>().trim_end().chars().count(),
            ),
            "scanning a quoted scalar" => ("this quote is not closed", "close it where the text ends", 1),
            // What is not deeper than its line does not belong to it, so no comma misses there.
            "parsing a flow mapping" | "parsing a flow sequence"
                if begin_line < line && indent(gave_up) <= indent(text) && begin_column > indent(text) + 1 =>
            {
                match rest().next()? {
                    '{' => ("this `{` is not closed", "write `}` where it ends", 1),
                    '[' => ("this `[` is not closed", "write `]` where it ends", 1),
                    _ => return None,
                }
            }
            _ => return None,
        };
        let error = Diagnostic::new(&rules::NOT_YAML, format!("not valid YAML: {message}"));
        Some(error.at(Span::on_line(&self.name, begin_line, begin_column, length)).help(help))
    }

    /// Decodes the part of the tree at `base`; what is wrong in it is told and left out.
    pub fn decode<T: DeserializeOwned>(
        &mut self,
        value: &Value,
        base: &NodePath,
        problems: &mut Vec<Diagnostic>,
    ) -> Option<T> {
        let mut value = value.clone();
        for _ in 0..MAX_PROBLEMS {
            let mut track = Track::new();
            let tracked = serde_path_to_error::Deserializer::new(value.clone(), &mut track);
            let error = match serde_yaml::with::singleton_map_recursive::deserialize(tracked) {
                Ok(decoded) => return Some(decoded),
                Err(error) => error,
            };
            let local = node_path(&track.path());
            let path = NodePath(base.0.iter().chain(&local.0).cloned().collect());
            let cause = Cause::read(&error.to_string());
            // An error around something that was left out is our doing.
            let ours = self.damaged.iter().any(|d| d.0.len() > path.0.len() && d.0.starts_with(&path.0));
            if !ours {
                let mut problem = self.shape_problem(&cause, &path);
                // Two keys of one name would be worse than one that nothing reads.
                problem.fix = problem.fix.filter(|fix| !has_beside(&value, &local.0, &fix.to));
                problems.push(problem);
            }
            if let Cause::Unknown { suggestion: Some(meant), .. } = &cause
                && let Some((_, parent)) = path.0.split_last()
            {
                self.damaged.insert(NodePath(parent.to_vec()).key(meant));
            }
            self.damaged.insert(path);
            let left_out = leave_out(&mut value, &local.0)?;
            self.damaged.insert(NodePath(base.0.iter().chain(left_out).cloned().collect()));
        }
        None
    }

    fn shape_problem(&self, cause: &Cause, path: &NodePath) -> Diagnostic {
        match cause {
            Cause::Unknown { name, suggestion, known } => {
                let error = Diagnostic::new(&rules::UNKNOWN_KEY, format!("unknown key `{name}`")).at(self.at_key(path));
                match suggestion {
                    Some(meant) => error.help(format!("did you mean `{meant}`?")).meant(name, surely(name, known)),
                    None if known.is_empty() => error.help("there are no keys here"),
                    None => error.help(format!("the keys here are {}", backticked(known))),
                }
            }
            Cause::UnknownChoice { name, suggestion, known } => {
                // A choice with settings is the key of them.
                let is_key = path.0.last() == Some(&Step::Key(name.clone()));
                let span = if is_key { self.at_key(path) } else { self.at(path) };
                let error = Diagnostic::new(&rules::UNKNOWN_CHOICE, format!("`{name}` is not a choice here")).at(span);
                match suggestion {
                    Some(meant) => error.help(format!("did you mean `{meant}`?")).meant(name, surely(name, known)),
                    None => error.help(format!("choose one of {}", backticked(known))),
                }
            }
            Cause::Other { message, help } => {
                let mut error = Diagnostic::new(&rules::WRONG_SHAPE, message.clone()).at(self.at(path));
                error.help.clone_from(help);
                error
            }
        }
    }
}

/// What serde's error is about, in our words.
enum Cause {
    Unknown { name: String, suggestion: Option<String>, known: Vec<String> },
    UnknownChoice { name: String, suggestion: Option<String>, known: Vec<String> },
    Other { message: String, help: Option<String> },
}

impl Cause {
    fn read(text: &str) -> Self {
        let quoted = |text: &str| -> Vec<String> { text.split('`').skip(1).step_by(2).map(str::to_owned).collect() };
        for prefix in ["unknown field `", "unknown variant `"] {
            // The name is the user's and may hold anything, backticks and `, expected` too.
            let Some(rest) = text.strip_prefix(prefix) else { continue };
            let (name, known) =
                rest.rsplit_once("`, expected ").or_else(|| rest.rsplit_once("`, there are ")).unwrap_or((rest, ""));
            let known = quoted(known);
            let (name, suggestion) =
                (name.to_owned(), did_you_mean(name, known.iter().map(String::as_str)).map(str::to_owned));
            return if prefix.contains("field") {
                Self::Unknown { name, suggestion, known }
            } else {
                Self::UnknownChoice { name, suggestion, known }
            };
        }
        if text.contains("map with a single key") {
            return Self::Other { message: "exactly one key is expected here".into(), help: None };
        }
        let shape = text.strip_prefix("invalid type: ").or_else(|| text.strip_prefix("invalid value: "));
        let Some((found, expected)) = shape.and_then(|rest| rest.rsplit_once(", expected ")) else {
            return Self::Other { message: text.to_owned(), help: None };
        };
        let expected = plain_words(expected);
        let help = (expected.contains("a string") && !found.starts_with("map") && !found.starts_with("sequence"))
            .then(|| "put it in quotes".to_owned());
        Self::Other { message: format!("expected {expected}, found {}", plain_words(found)), help }
    }
}

fn surely<'k>(name: &str, known: &'k [String]) -> Option<&'k str> {
    surely_meant(name, known.iter().map(String::as_str))
}

/// Names of Rust types and of serde's data model, as people say them.
fn plain_words(words: &str) -> String {
    match words {
        "u8" | "u16" | "u32" | "u64" | "usize" => "a whole number that is not negative".into(),
        "f64" => "a number".into(),
        "map" | "a map" => "a mapping".into(),
        "sequence" | "a sequence" => "a list".into(),
        "unit value" => "nothing".into(),
        "unit variant" => "its name alone".into(),
        "newtype variant" => "a mapping".into(),
        struct_name if struct_name.starts_with("struct ") || struct_name.starts_with("enum ") => "a mapping".into(),
        other => {
            other.replace("floating point", "number").replace("integer", "number").replace("boolean", "truth value")
        }
    }
}

fn backticked(names: &[String]) -> String {
    names.iter().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ")
}

/// The parser writes places into its messages, and the path of the node; the frame shows both better.
fn without_places(message: &str) -> String {
    let path = |text: &str| text.chars().all(|c| c.is_alphanumeric() || matches!(c, '_' | '-' | '.' | '[' | ']'));
    let mut text = match message.split_once(": ") {
        Some((before, after)) if path(before) => after.to_owned(),
        _ => message.to_owned(),
    };
    while let Some(start) = text.find(" at line ") {
        let digits = |s: &str| s.chars().take_while(char::is_ascii_digit).count();
        let after = start + " at line ".len();
        let mut end = after + digits(&text[after..]);
        if let Some(rest) = text[end..].strip_prefix(" column ") {
            end += " column ".len() + digits(rest);
        }
        text.replace_range(start..end, "");
    }
    text
}

/// The line where too many brackets are open. Brackets in texts and comments count too: they come in pairs.
fn too_many_brackets(text: &str) -> Option<usize> {
    let (mut open, mut line) = (0_usize, 1);
    for byte in text.bytes() {
        match byte {
            b'[' | b'{' => open += 1,
            b']' | b'}' => open = open.saturating_sub(1),
            b'\n' => line += 1,
            _ => {}
        }
        if open > MAX_OPEN_BRACKETS {
            return Some(line);
        }
    }
    None
}

fn node_path(path: &serde_path_to_error::Path) -> NodePath {
    let steps = path.iter().filter_map(|segment| match segment {
        Segment::Seq { index } => Some(Step::Index(*index)),
        Segment::Map { key } => Some(Step::Key(key.clone())),
        Segment::Enum { .. } | Segment::Unknown => None,
    });
    NodePath(steps.collect())
}

/// Takes the nearest entry of a mapping on the path out of the tree, and tells which; `None` when there is none.
fn leave_out<'p>(value: &mut Value, path: &'p [Step]) -> Option<&'p [Step]> {
    let last_key = path.iter().rposition(|step| matches!(step, Step::Key(_)))?;
    let mut node = value;
    for step in &path[..last_key] {
        node = match step {
            Step::Key(key) => node.get_mut(key.as_str())?,
            Step::Index(index) => node.get_mut(*index)?,
        };
    }
    match (&path[last_key], node) {
        (Step::Key(key), Value::Mapping(mapping)) => mapping.shift_remove(key.as_str()).map(|_| &path[..=last_key]),
        _ => None,
    }
}

/// Whether the mapping that the path leads through last has such a key.
fn has_beside(value: &Value, path: &[Step], key: &str) -> bool {
    let Some((Step::Key(_), parents)) = path.split_last() else { return false };
    let node = parents.iter().try_fold(value, |node, step| match step {
        Step::Key(key) => node.get(key.as_str()),
        Step::Index(index) => node.get(*index),
    });
    node.is_some_and(|node| node.get(key).is_some())
}
