//! What Rhai reports, as what a user reads: the innermost place, in the file it is in, and a sentence.

use rhai::{EvalAltResult, ParseError, ParseErrorType, Position};

use super::budget::Overrun;
use super::convert::Unconvertible;
use super::host::SIGNATURES;
use super::run::Run;
use super::{ErrorClass, Place, ScriptError, Source};
use crate::diagnostic::{Diagnostic, Level, Span};
use crate::spec::program::Limits;

pub(super) const RULE: &str = "SG009";

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
pub(super) fn of_result(run: &Run, why: &Unconvertible, name: &str) -> ScriptError {
    let at = Place { file: run.subject.file.to_string(), line: 0, column: 0 };
    ScriptError { class: why.class, message: why.message(name), at }
}

/// A run that did not reach its end.
pub(super) fn of_run(run: &Run, error: &EvalAltResult, limits: &Limits) -> ScriptError {
    let (innermost, source, calls) = unwrap(error);
    let position = innermost.position();
    let file = source.unwrap_or(&run.subject.file).to_owned();
    let at = Place { file, line: line(run, source, position), column: position.position().unwrap_or(0) };
    let (class, mut message) = match run.overrun {
        Some(_) => (ErrorClass::Limit, overrun(run, limits)),
        None => sentence(innermost, limits),
    };
    for name in calls.iter().rev().take(4) {
        message.push_str(&format!(", in `{name}`"));
    }
    ScriptError { class, message, at }
}

/// What of the budget was used up.
pub(super) fn overrun(run: &Run, limits: &Limits) -> String {
    run.overrun.as_ref().map(|overrun| overrun.describe(limits)).unwrap_or_default()
}

/// The innermost error, the file of the function it happened in, and the named functions on the way, outermost
/// first.
fn unwrap(error: &EvalAltResult) -> (&EvalAltResult, Option<&str>, Vec<&str>) {
    let (mut error, mut source, mut calls) = (error, None, Vec::new());
    loop {
        match error {
            EvalAltResult::ErrorInFunctionCall(name, from, inner, _) => {
                if !from.is_empty() {
                    source = Some(from.as_str());
                }
                if !name.starts_with("anon$") {
                    calls.push(name.as_str());
                }
                error = inner;
            }
            EvalAltResult::ErrorInModule(_, inner, _) => error = inner,
            _ => return (error, source, calls),
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
        E::ErrorRuntime(value, ..) => value.to_string(),
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
    let (message, help) = parse_sentence(error.err_type());
    let mut diagnostic = at(source, error.position(), message);
    diagnostic.help = help;
    diagnostic
}

fn parse_sentence(error: &ParseErrorType) -> (String, Option<String>) {
    use ParseErrorType as P;
    match error {
        P::Reserved(word) => (
            format!("`{word}` is a reserved word"),
            Some(format!("for a field of that name write `[\"{word}\"]`, e.g. `event.data[\"{word}\"]`")),
        ),
        P::VariableUndefined(name) if ["event", "state", "ctx", "data"].contains(&name.as_str()) => (
            format!("`{name}` is not in scope here"),
            Some(format!("functions do not see `{name}`: pass it, or what you need of it, as an argument")),
        ),
        P::VariableUndefined(name) => (format!("unknown variable `{name}`"), None),
        P::ModuleUndefined(name) => {
            (format!("unknown module `{name}`"), Some(format!("import it first: `import \"lib/{name}\" as {name};`")))
        }
        P::AssignmentToConstant(name) if !name.is_empty() => (format!("`{name}` is read-only"), None),
        P::UnexpectedEOF => ("the script ends too early: a bracket or a string is not closed".to_owned(), None),
        other => (lower(&other.to_string()), None),
    }
}

/// An error of a script at a position, underlining the word there.
pub(super) fn at(source: &Source<'_>, position: Position, message: impl Into<String>) -> Diagnostic {
    let span = position.line().map(|line| {
        let column = position.position().unwrap_or(1).max(1);
        let text = source.text.lines().nth(line - 1).unwrap_or("");
        let word = text.chars().skip(column - 1).take_while(|c| c.is_alphanumeric() || *c == '_').count();
        let line = line + source.line_offset;
        Span { file: source.file.to_owned(), line, column, end_line: line, end_column: column + word.max(1) }
    });
    let label = None;
    Diagnostic { rule: RULE, level: Level::Error, message: message.into(), span, label, help: None }
}
