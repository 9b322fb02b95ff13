//! What is told, and where the schema says so.

use std::rc::Rc;

use rhai::Position;

use super::super::engine::STATE;
use super::super::errors;
use super::express::{Argument, told};
use super::model::{Absent, Atom, Kind, Type, Why};
use super::narrow::equals;
use super::record::Record;
use super::schema::Node;
use super::units::Unit;
use super::walk::Walker;
use crate::diagnostic::rules::{self, Rule};
use crate::diagnostic::{Diagnostic, Level, Span, did_you_mean, surely_meant};

/// Names listed in a help.
const MAX_NAMES: usize = 8;

/// Something that goes wrong, or can never be.
#[derive(Clone, Debug)]
pub struct Finding {
    pub diagnostic: Diagnostic,
    /// Where the script calls the function that it is in.
    pub called: Option<Span>,
    pub says: Option<Says>,
}

/// Where a schema says so.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Says {
    /// What it says, for a mark at its place.
    pub label: &'static str,
    /// Relative to the project.
    pub file: String,
    /// JSON pointer.
    pub pointer: String,
}

impl Says {
    fn at(label: &'static str, node: &Node<'_>, pointer: String) -> Self {
        Self { label, file: node.document.file.clone(), pointer }
    }

    fn properties(of: &Node<'_>) -> Self {
        Self::at("its properties are given here", of, of.pointer_to(&["properties"]))
    }

    fn values(of: &Node<'_>) -> Self {
        Self::at("its values are given here", of, of.pointer_to(&["enum", "const", "type"]))
    }

    pub(super) fn type_of(node: &Node<'_>) -> Self {
        let keywords = ["type", "enum", "const", "oneOf", "anyOf", "$ref"];
        Self::at("its type is given here", node, node.pointer_to(&keywords))
    }

    pub(super) fn required(member: &str, by: &Node<'_>) -> Self {
        Self::at("it is `required` here", by, by.pointer_to_required(member))
    }

    pub(super) fn no_others(of: &Node<'_>) -> Self {
        Self::at("no others are allowed", of, of.pointer_to(&["additionalProperties"]))
    }

    fn absent(why: &Why<'_>) -> Option<Self> {
        match why {
            Why::Optional(property) => Some(Self::at("it is not `required`", property, property.pointer())),
            Why::Unnamed(object) => Some(Self::at("this object need not have it", object, object.pointer())),
            Why::Null(node) => {
                Some(Self::at("null is allowed here", node, node.pointer_to(&["type", "enum", "const"])))
            }
            Why::Envelope | Why::Unset => None,
        }
    }
}

pub(super) struct Report<'s> {
    /// The file that is looked at.
    pub(super) unit: Unit<'s>,
    pub(super) called: Option<Span>,
    found: Vec<Finding>,
    /// Above 0: somebody only looks.
    pub(super) silent: u32,
    /// Above 0 within `try`.
    pub(super) caught: u32,
}

impl<'s> Report<'s> {
    pub(super) fn new(unit: Unit<'s>) -> Self {
        Self { unit, called: None, found: Vec::new(), silent: 0, caught: 0 }
    }

    pub(super) fn findings(mut self) -> Vec<Finding> {
        self.found.sort_by(|a, b| a.diagnostic.span.cmp(&b.diagnostic.span));
        self.found
    }

    /// A function is called here, by the script itself; what it says from now on is about that call.
    pub(super) fn calls_at(&mut self, at: Position) {
        self.called = self.at(&rules::WRONG_TYPE, at, String::new()).span;
    }

    /// An empty diagnostic at a place of the script.
    pub(super) fn at(&self, rule: &Rule, at: Position, message: String) -> Diagnostic {
        errors::at(rule, &self.unit.source, at, message)
    }

    pub(super) fn tell(&mut self, mut diagnostic: Diagnostic, says: Option<Says>) {
        if self.unit.imported {
            // What is wrong for one may be right for another.
            diagnostic.fix = None;
        }
        let new =
            |known: &Finding| known.diagnostic.rule != diagnostic.rule || known.diagnostic.span != diagnostic.span;
        if self.silent == 0 && diagnostic.span.is_some() && self.found.iter().all(new) {
            let called = self.called.clone();
            self.found.push(Finding { diagnostic, called, says });
        }
    }
}

impl<'a> Walker<'a, '_> {
    /// Whether the script has looked at it before, in a way that is not followed.
    pub(super) fn is_examined(&self, path: &str) -> bool {
        let above = path.match_indices('.').any(|(at, _)| self.examined.contains(&path[..=at]));
        above || self.examined.contains(path)
    }

    /// Whether the script has asked anything of the state: what is there comes together, so one part tells of the others.
    fn asked_of_state(&self) -> bool {
        let is_kept = |path: &Rc<str>| path.split(['.', '[']).next() == Some(STATE);
        self.tested.iter().any(is_kept) || self.examined.iter().any(is_kept)
    }

    pub(super) fn may_be_absent(&mut self, absent: &Absent<'a>, at: Position, why: &str) {
        let path = &absent.place.path;
        if self.report.caught > 0 {
            // If it goes on behind that, it was there.
            self.examined.insert(path.clone());
            return;
        }
        let is_examined = self.is_examined(path) || (absent.place.is_kept() && self.asked_of_state());
        if !absent.sure && is_examined {
            return;
        }
        self.wants(path);
        let how = if matches!(absent.why, Why::Null(_)) { "null" } else { "absent" };
        let help = if matches!(absent.why, Why::Unset) && !path.contains('[') {
            "the first event of a key finds an empty state: give it a default with `??`".to_owned()
        } else if absent.place.unique {
            format!("give it a default with `??`, or check it first: `if {path} != () {{ … }}`")
        } else {
            "give it a default with `??`, or check first that it is not `()`".to_owned()
        };
        let diagnostic = self.report.at(&rules::MAY_BE_ABSENT, at, format!("`{path}` may be {how}"));
        self.report.tell(diagnostic.label(why).help(help), Says::absent(&absent.why));
    }

    pub(super) fn wrong_type(&mut self, at: Position, message: String, of: &Type<'a>) {
        if self.report.caught > 0 {
            return;
        }
        let says = of.says.as_ref().map(Says::type_of);
        let diagnostic = self.report.at(&rules::WRONG_TYPE, at, message);
        self.report.tell(diagnostic, says);
    }

    /// As [`Self::wrong_type`], of what it is for some events only.
    pub(super) fn sometimes_wrong(&mut self, at: Position, message: String, of: &Type<'a>) {
        if self.report.caught > 0 {
            return;
        }
        let says = of.says.as_ref().map(Says::type_of);
        let mut diagnostic = self.report.at(&rules::WRONG_TYPE, at, message);
        diagnostic.level = Level::Warning;
        self.report.tell(diagnostic, says);
    }

    pub(super) fn unknown_member(&mut self, record: &Rc<Record<'a>>, name: &str, at: Position) {
        let names = || record.members.keys().map(|name| &**name);
        // A function that is called with several kinds of objects may try one name after another.
        if !self.calls.is_empty() && surely_meant(name, names()).is_none() {
            return;
        }
        let of = record.place.as_ref().map_or_else(|| "this".to_owned(), |place| format!("`{}`", place.path));
        let diagnostic = self.report.at(&rules::UNKNOWN_PROPERTY, at, format!("{of} has no `{name}`"));
        let help = match did_you_mean(name, names()) {
            Some(meant) => format!("did you mean `{meant}`?"),
            None if record.members.is_empty() => "it has nothing at all".to_owned(),
            None => format!("it has {}", listed(names().map(|name| format!("`{name}`")))),
        };
        let diagnostic = diagnostic.help(help).meant(name, surely_meant(name, names()));
        let says = record.says.as_ref().map(Says::properties);
        self.report.tell(diagnostic, says);
    }

    /// Something of the state that no handler of the pipeline leaves there.
    pub(super) fn never_written(&mut self, record: &Rc<Record<'a>>, name: &str, at: Position) {
        let (Some(place), false) = (&record.place, self.updating) else { return };
        if self.report.caught > 0 || self.is_examined(&format!("{}.", place.path)) {
            return;
        }
        let names = || record.members.keys().map(|name| &**name);
        let message = format!("nothing in this pipeline writes `{}`", place.member(name).path);
        let help = match did_you_mean(name, names()) {
            Some(meant) => format!("did you mean `{meant}`?"),
            None if record.members.is_empty() => "nothing is ever put there".to_owned(),
            None => format!("its handlers write {}", listed(names().map(|name| format!("`{name}`")))),
        };
        let diagnostic = self.report.at(&rules::UNWRITTEN, at, message);
        self.report.tell(diagnostic.help(help), None);
    }

    pub(super) fn almost_member(&mut self, record: &Rc<Record<'a>>, name: &str, at: Position) {
        let names = || record.members.keys().map(|name| &**name);
        let Some(meant) = surely_meant(name, names()) else { return };
        let of = record.place.as_ref().map_or_else(|| "this".to_owned(), |place| format!("`{}`", place.path));
        let message = format!("{of} has no `{name}` that its schema knows of");
        let mut diagnostic = self.report.at(&rules::UNKNOWN_PROPERTY, at, message);
        diagnostic.level = Level::Warning;
        // An open schema may just not tell of it: that is for a person to say.
        let diagnostic = diagnostic.help(format!("did you mean `{meant}`?"));
        let says = record.says.as_ref().map(Says::properties);
        self.report.tell(diagnostic, says);
    }

    /// A comparison of two values that are never equal, or of which neither comes before the other.
    pub(super) fn compared(&mut self, a: &Argument<'a>, b: &Argument<'a>, operator: &str, at: Position) {
        let unsure = |known: &Type<'a>| known.is_any() || known.is_never() || known.is_only(Kind::Unit);
        // A function may be called with what one of its tests is not about.
        let never = match operator {
            "==" | "!=" => equals(&a.known, &b.known).is_never(),
            _ => a.known.present().is_beside(&b.known.present()),
        };
        if unsure(&a.known) || unsure(&b.known) || !self.calls.is_empty() || !never {
            return;
        }
        let (said, other) = if a.known.says.is_some() { (a, b) } else { (b, a) };
        let Some(node) = &said.known.says else { return };
        let answer = if operator == "!=" { "always" } else { "never" };
        let message = format!("this is {answer} true: it is {}, not {}", values(&said.known), values(&other.known));
        let place = if other.known.says.is_none() && !other.at.is_none() { other.at } else { at };
        let mut diagnostic = self.report.at(&rules::NEVER_EQUAL, place, message);
        if let (Some(allowed), Some(written)) = (texts(&said.known), texts(&other.known))
            && let [written] = written.as_slice()
            && let Some(meant) = did_you_mean(written, allowed.iter().map(|text| &**text))
        {
            let surely = surely_meant(written, allowed.iter().map(|text| &**text));
            diagnostic = diagnostic.help(format!("did you mean `\"{meant}\"`?")).meant(written, surely);
        }
        self.report.tell(diagnostic, Some(Says::values(node)));
    }
}

impl<'a> Walker<'a, '_> {
    /// Values of an enumeration that come to no case of a `switch`.
    pub(super) fn without_case(&mut self, known: &Type<'a>, rest: &Type<'a>, at: Position) {
        let Some(node) = &known.says else { return };
        let rest = rest.present();
        if rest.is_never() || !self.calls.is_empty() || !(rest.is_only(Kind::Text) || rest.is_only(Kind::Int)) {
            return;
        }
        let message = format!("there is no case for {}", values(&rest));
        let diagnostic = self.report.at(&rules::WITHOUT_CASE, at, message);
        let help = "add one, or `_ => ()` where nothing is to be done";
        self.report.tell(diagnostic.help(help), Some(Says::values(node)));
    }
}

/// The texts it may be, where it is one of some texts.
pub(super) fn texts(known: &Type<'_>) -> Option<Vec<Rc<str>>> {
    let mut all = Vec::new();
    for atom in known.atoms()? {
        match atom {
            Atom::Text(Some(texts)) => all.extend(texts.iter().cloned()),
            Atom::Unit(_) => {}
            _ => return None,
        }
    }
    Some(all)
}

/// Values, or kinds, in words.
pub(super) fn values(known: &Type<'_>) -> String {
    match texts(known) {
        Some(texts) if !texts.is_empty() => {
            let texts = texts.iter().map(|text| format!("`\"{}\"`", text.escape_debug()));
            or(texts)
        }
        _ => match known.atoms() {
            Some([Atom::Int(Some(ints))]) => or(ints.iter().map(|int| format!("`{int}`"))),
            Some([Atom::Bool(Some(value))]) => format!("`{value}`"),
            _ => told(known),
        },
    }
}

fn or(words: impl Iterator<Item = String>) -> String {
    let words: Vec<String> = words.collect();
    match words.split_last() {
        Some((last, before)) if !before.is_empty() && words.len() <= MAX_NAMES => {
            format!("{} or {last}", before.join(", "))
        }
        Some((last, [])) => last.clone(),
        _ => listed(words.into_iter()),
    }
}

/// The first of them, and how many more there are.
pub(super) fn listed(words: impl Iterator<Item = String>) -> String {
    let words: Vec<String> = words.collect();
    let shown = words[..words.len().min(MAX_NAMES)].join(", ");
    match words.len().saturating_sub(MAX_NAMES) {
        0 => shown,
        more => format!("{shown} and {more} more"),
    }
}
