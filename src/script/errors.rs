//! What Rhai reports, as what a user reads: the innermost place, in the file it is in, and a sentence.

use rhai::{EvalAltResult, ParseError, ParseErrorType, Position};

use super::budget::Overrun;
use super::convert::Unconvertible;
use super::engine::{CTX, DATA, EVENT, STATE};
use super::host::SIGNATURES;
use super::run::Run;
use super::{ErrorClass, Place, ScriptError, Source, check, text};
use crate::diagnostic::rules::{self, Rule};
use crate::diagnostic::{Diagnostic, Span};
use crate::spec::program::Limits;

/// The line in the file: that of the script, moved by what stands before it when the script is embedded.
pub(super) fn line(run: &Run, source: Option<&str>, at: Position) -> usize {
    let embedded = source.is_none_or(|source| *source == *run.subject.file);
    at.line().map_or(0, |line| line + if embedded { run.line_offset } else { 0 })
}

/// An error that `emit` throws. A budget overrun must not be catchable, so it is a termination.
pub(super) fn unconvertible(run: &mut Run, why: &Unconvertible, name: &str, at: Position) -> Box<EvalAltResult> {
    let message = why.message(name);
    match why.class {
        ErrorClass::Script => EvalAltResult::ErrorRuntime(message.into(), at).into(),
        ErrorClass::Limit => {
            run.overrun.get_or_insert(Overrun::Output(message));
            EvalAltResult::ErrorTerminated(rhai::Dynamic::UNIT, at).into()
        }
    }
}

/// A value that cannot leave the script.
pub(super) fn of_result(why: &Unconvertible, name: &str, at: Place) -> ScriptError {
    ScriptError { class: why.class, message: why.message(name), at }
}

/// A run that did not reach its end.
pub(super) fn of_run(run: &Run, error: &EvalAltResult, limits: &Limits) -> ScriptError {
    let Unwrapped { innermost, source, position, calls } = Unwrapped::of(error);
    let file = source.unwrap_or(&run.subject.file).to_owned();
    let at = Place { file, line: line(run, source, position), column: position.position().unwrap_or(0) };
    let (class, mut message) = match run.overrun {
        Some(_) => (ErrorClass::Limit, overrun(run, limits)),
        None => sentence(innermost, limits),
    };
    for name in calls.iter().rev().take(4) {
        message.push_str(&format!(", in `{name}`"));
    }
    shorten(&mut message);
    ScriptError { class, message, at }
}

/// Longest message in bytes. A script may throw a megabyte, or give one as its reason; it goes to logs, dead letters
/// and the headers of messages.
const MAX_MESSAGE: usize = 1_000;

pub(super) fn shorten(message: &mut String) {
    if message.len() > MAX_MESSAGE {
        let end = (0..=MAX_MESSAGE).rev().find(|at| message.is_char_boundary(*at)).unwrap_or(0);
        message.truncate(end);
        message.push('…');
    }
}

/// What of the budget was used up.
pub(super) fn overrun(run: &Run, limits: &Limits) -> String {
    run.overrun.as_ref().map(|overrun| overrun.describe(limits)).unwrap_or_default()
}

/// An error taken out of the calls it passed through.
struct Unwrapped<'a> {
    innermost: &'a EvalAltResult,
    /// The file of the function it happened in; `None` for the script itself.
    source: Option<&'a str>,
    /// Of the error, or of the innermost call that has one.
    position: Position,
    /// Named functions on the way, outermost first.
    calls: Vec<&'a str>,
}

impl<'a> Unwrapped<'a> {
    fn of(error: &'a EvalAltResult) -> Self {
        let mut found = Self { innermost: error, source: None, position: error.position(), calls: Vec::new() };
        let mut source = None;
        loop {
            match found.innermost {
                EvalAltResult::ErrorInFunctionCall(name, from, inner, _) => {
                    if !from.is_empty() {
                        source = Some(from.as_str());
                    }
                    if !name.starts_with("anon$") {
                        found.calls.push(name);
                    }
                    found.innermost = inner;
                }
                EvalAltResult::ErrorInModule(_, inner, _) => found.innermost = inner,
                _ => return found,
            }
            if !found.innermost.position().is_none() {
                (found.source, found.position) = (source, found.innermost.position());
            }
        }
    }
}

fn sentence(error: &EvalAltResult, limits: &Limits) -> (ErrorClass, String) {
    use EvalAltResult as E;
    let limit = |message: String| (ErrorClass::Limit, message);
    match error {
        E::ErrorTooManyOperations(..) => limit(format!("more than {} operations", limits.operations)),
        E::ErrorStackOverflow(..) => limit(format!("calls nested deeper than {} levels", limits.call_depth)),
        E::ErrorTooManyVariables(..) => limit("too many variables".to_owned()),
        E::ErrorTooManyModules(..) => limit("too many imports".to_owned()),
        E::ErrorDataTooLarge(what, ..) => limit(format!("value too large: {}", lower(what))),
        E::ErrorTerminated(..) => limit("the run was stopped".to_owned()),
        other => (ErrorClass::Script, script_sentence(other)),
    }
}

fn script_sentence(error: &EvalAltResult) -> String {
    use EvalAltResult as E;
    match error {
        E::ErrorRuntime(value, ..) if value.is_unit() => "the script threw an error".to_owned(),
        E::ErrorRuntime(value, ..) => text::shown(value, MAX_MESSAGE),
        E::ErrorFunctionNotFound(signature, ..) => unknown_function(signature),
        E::ErrorVariableNotFound(name, ..) => format!("unknown variable `{name}`"),
        E::ErrorAssignmentToConstant(name, ..) if !name.is_empty() => format!("`{name}` is read-only"),
        E::ErrorNonPureMethodCallOnConstant(name, ..) => {
            format!("`{name}` would change a value that is read-only; copy it into a variable first")
        }
        E::ErrorDataRace(..) => {
            "the value is being changed by the call that this closure runs in; copy what the closure needs into a \
             variable first"
                .to_owned()
        }
        E::ErrorMismatchDataType(expected, actual, ..) | E::ErrorMismatchOutputType(expected, actual, ..) => {
            format!("expected {expected}, found {actual}")
        }
        E::ErrorDotExpr(message, ..) if message.contains("for type '()'") => {
            "a property of `()`: what stands before it is absent; use `?.` and `??`".to_owned()
        }
        E::ErrorIndexingType(types, ..) if types.starts_with("()") => {
            "an element of `()`: what stands before it is absent; use `?[` and `??`".to_owned()
        }
        other => lower(&without_position(&other.to_string())),
    }
}

fn unknown_function(signature: &str) -> String {
    let name = signature.split([' ', '(']).next().unwrap_or(signature);
    if let Some((_, usage)) = SIGNATURES.iter().find(|(known, _)| *known == name) {
        return format!("wrong arguments in `{signature}`; call it as `{usage}`");
    }
    if signature.contains("()") && !name.chars().next().is_some_and(char::is_alphabetic) {
        return format!("`{signature}`: a value is absent; give it a default with `??`");
    }
    format!("no function `{signature}`")
}

/// Rhai ends its messages with ` (line 1, position 2)`.
fn without_position(message: &str) -> String {
    message.rfind(" (line ").map_or(message, |at| &message[..at]).to_owned()
}

fn lower(message: &str) -> String {
    let mut chars = message.chars();
    match chars.next() {
        Some(first) => first.to_lowercase().chain(chars).collect::<String>().replace('\'', "`"),
        None => String::new(),
    }
}

/// A script that does not parse.
pub(super) fn of_parse(source: &Source<'_>, error: &ParseError) -> Diagnostic {
    let rule = match error.err_type() {
        ParseErrorType::VariableUndefined(_) | ParseErrorType::ModuleUndefined(_) => &rules::UNKNOWN_VARIABLE,
        ParseErrorType::AssignmentToConstant(_) => &rules::READ_ONLY,
        _ => &rules::SCRIPT_SYNTAX,
    };
    let (message, help) = match error.err_type() {
        // Words of the language itself, as against words kept for later.
        ParseErrorType::PropertyExpected => match word(source, error.position()) {
            "" => parse_sentence(error.err_type()),
            word => parse_sentence(&ParseErrorType::Reserved(word.to_owned())),
        },
        other => parse_sentence(other),
    };
    let position = error.position();
    let (begun, help) = match error.err_type() {
        ParseErrorType::MissingToken(token, _) if token == ";" => (end_before(source, position), help),
        ParseErrorType::VariableUndefined(name) => (None, help.or_else(|| check::suggestion(declared(source), name))),
        _ => (None, help),
    };
    let mut diagnostic = at(rule, source, position, message);
    diagnostic.span = begun.or(diagnostic.span);
    diagnostic.help = help;
    diagnostic
}

/// Where the statement ends that stands before what begins a line: what misses there is not seen before the next one
/// begins. `None` where that is not plain to see.
fn end_before(source: &Source<'_>, position: Position) -> Option<Span> {
    let (line, column) = (position.line()?, position.position()?);
    let lines: Vec<&str> = source.text.lines().collect();
    if !lines.get(line - 1)?.chars().take(column - 1).all(char::is_whitespace) {
        return None;
    }
    let (at, before) = lines[..line - 1].iter().enumerate().rev().find(|(_, text)| !text.trim().is_empty())?;
    let has_comment = ["//", "/*", "*/"].iter().any(|mark| before.contains(mark));
    let end = before.trim_end().chars().count() + 1;
    (!has_comment).then(|| Span::on_line(source.file, at + 1 + source.line_offset, end, 0))
}

/// Names that a variable may be a slip of: what scripts are given, and what this one declares.
fn declared<'a>(source: &Source<'a>) -> impl Iterator<Item = &'a str> {
    let words: Vec<&str> =
        source.text.split(|c: char| !c.is_alphanumeric() && c != '_').filter(|word| !word.is_empty()).collect();
    let own: Vec<&str> =
        words.windows(2).filter(|pair| matches!(pair[0], "let" | "const" | "for")).map(|pair| pair[1]).collect();
    [EVENT, STATE, CTX].into_iter().chain(own)
}

fn parse_sentence(error: &ParseErrorType) -> (String, Option<String>) {
    use ParseErrorType as P;
    match error {
        P::Reserved(word) => (
            format!("`{word}` is a reserved word"),
            Some(format!("for a field of that name write `[\"{word}\"]`, e.g. `event.data[\"{word}\"]`")),
        ),
        P::VariableUndefined(name) => unknown_variable(name),
        P::ModuleUndefined(name) => {
            (format!("unknown module `{name}`"), Some(format!("import it first: `import \"lib/{name}\" as {name};`")))
        }
        P::AssignmentToConstant(name) if !name.is_empty() => (format!("`{name}` is read-only"), None),
        P::UnexpectedEOF => ("the script ends too early: a bracket or a string is not closed".to_owned(), None),
        other => (lower(&other.to_string()), None),
    }
}

/// Message and help.
pub(super) fn unknown_variable(name: &str) -> (String, Option<String>) {
    if [EVENT, STATE, CTX, DATA].contains(&name) {
        let help = "handlers and filters see `event`, `state` and `ctx`, upcasters `event` and `data`; functions see \
                    none of these: pass what they need as an argument"
            .to_owned();
        return (format!("`{name}` is not in scope here"), Some(help));
    }
    (format!("unknown variable `{name}`"), None)
}

/// An error of a script at a position, underlining the word there.
pub(super) fn at(rule: &Rule, source: &Source<'_>, position: Position, message: impl Into<String>) -> Diagnostic {
    let span = position.line().map(|line| {
        let column = position.position().unwrap_or(1).max(1);
        let length = word(source, position).chars().count().max(quoted(source, position));
        let rest = rest(source, position).chars().count().min(1);
        Span::on_line(source.file, line + source.line_offset, column, length.max(rest))
    });
    let mut diagnostic = Diagnostic::new(rule, message);
    diagnostic.span = span;
    diagnostic
}

/// How many characters the text in quotes at a position has, with its quotes; 0 where there is none, or no end of it.
fn quoted(source: &Source<'_>, position: Position) -> usize {
    let Some(inside) = rest(source, position).strip_prefix('"') else { return 0 };
    inside.find('"').map_or(0, |end| inside[..end].chars().count() + 2)
}

/// The identifier at a position, or nothing.
fn word<'a>(source: &Source<'a>, position: Position) -> &'a str {
    let rest = rest(source, position);
    &rest[..rest.find(|c: char| !c.is_alphanumeric() && c != '_').unwrap_or(rest.len())]
}

/// The line from a position on.
fn rest<'a>(source: &Source<'a>, position: Position) -> &'a str {
    let text = position.line().and_then(|line| source.text.lines().nth(line - 1)).unwrap_or("");
    let skipped = position.position().unwrap_or(1).max(1) - 1;
    text.char_indices().nth(skipped).map_or("", |(at, _)| &text[at..])
}
