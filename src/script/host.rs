//! The functions a script is given, beside the language's own.

use std::time::Duration;

use rhai::{Dynamic, Engine, EvalAltResult, INT, ImmutableString, Map, NativeCallContext, Position};

use super::budget::Overrun;
use super::run::{Ending, Run};
use super::{Emitted, Kind, Place, errors, text};
use crate::event::{Headers, Key, derived_id};

type Answer<T> = Result<T, Box<EvalAltResult>>;

/// Names of the functions that end a script or leave something, which only handlers may do.
pub(super) const HANDLER_ONLY: [&str; 6] = ["emit", "retry", "reject", "skip", "wait_for", "delete_state"];

/// What an emitted event costs beside its data: its envelope on the wire and in the outbox.
const EMITTED_BYTES: usize = 256;

/// Longest type of an event: schemas are found by it, and no file has a longer name.
const MAX_KIND_BYTES: usize = 255;

/// What one run may write to the log, in bytes; a line costs [`LINE_BYTES`] beside its message. Some thousand lines:
/// an honest handler writes a few.
pub(super) const LOG_BYTES: usize = 256 * 1024;
const LINE_BYTES: usize = 128;

/// How the functions are called, for errors about their arguments.
pub(super) const SIGNATURES: [(&str, &str); 8] = [
    ("emit", "emit(type, data) or emit(type, data, #{ version, key, headers })"),
    ("retry", "retry(why) or retry(why, delay), the delay in seconds or as in \"30s\""),
    ("reject", "reject(why)"),
    ("skip", "skip(why)"),
    ("wait_for", "wait_for(type)"),
    ("delete_state", "delete_state()"),
    ("uuid", "uuid()"),
    ("log", "log(level, message), the level one of \"debug\", \"info\", \"warn\", \"error\""),
];

pub(super) fn register(engine: &mut Engine) {
    engine.register_fn("emit", |context: NativeCallContext, kind: ImmutableString, data: Dynamic| {
        emit(&context, &kind, data, None)
    });
    engine.register_fn("emit", |context: NativeCallContext, kind: ImmutableString, data: Dynamic, options: Map| {
        emit(&context, &kind, data, Some(options))
    });
    engine.register_fn("retry", |context: NativeCallContext, why: ImmutableString| {
        end(&context, "retry", Ending::Retry { why: reason(why), delay: None })
    });
    engine.register_fn("retry", |context: NativeCallContext, why: ImmutableString, delay: ImmutableString| {
        let delay = parse_delay(&delay).ok_or_else(|| {
            fail(&context, format!("`{delay}` is not a delay; write e.g. `\"30s\"`, `\"5m\"` or `\"1h30m\"`"))
        })?;
        end(&context, "retry", Ending::Retry { why: reason(why), delay: Some(delay) })
    });
    engine.register_fn("retry", |context: NativeCallContext, why: ImmutableString, seconds: INT| {
        let seconds =
            u64::try_from(seconds).map_err(|_| fail(&context, format!("a delay of {seconds} s lies in the past")))?;
        end(&context, "retry", Ending::Retry { why: reason(why), delay: Some(Duration::from_secs(seconds)) })
    });
    engine.register_fn("reject", |context: NativeCallContext, why: ImmutableString| {
        end(&context, "reject", Ending::Reject { why: reason(why) })
    });
    engine.register_fn("skip", |context: NativeCallContext, why: ImmutableString| {
        end(&context, "skip", Ending::Skip { why: reason(why) })
    });
    engine.register_fn("wait_for", |context: NativeCallContext, kind: ImmutableString| {
        let at = Run::with(|run| place(run, &context)).unwrap_or_default();
        end(&context, "wait_for", Ending::WaitFor { kind: reason(kind), at })
    });
    engine.register_fn("delete_state", |context: NativeCallContext| -> Answer<()> {
        in_handler(&context, "delete_state", |run| run.state_deleted = true)
    });
    engine.register_fn("uuid", |context: NativeCallContext| -> Answer<ImmutableString> {
        let id = Run::with(|run| {
            run.kind?;
            let subject = &run.subject;
            let id = derived_id(&[&subject.pipeline, "uuid", &subject.source, &subject.id, &subject.key], run.uuids);
            run.uuids += 1;
            Some(id.to_string().into())
        });
        id.flatten().ok_or_else(|| fail(&context, "`uuid` needs an event, which a module being imported has not"))
    });
    engine.register_fn("log", |context: NativeCallContext, level: ImmutableString, message: Dynamic| {
        log(&context, &level, message)
    });
    engine.on_print(|text| note(tracing::Level::INFO, None, Position::NONE, text));
    engine.on_debug(|text, source, at| note(tracing::Level::DEBUG, source, at, text));
}

/// A runtime error at the call.
pub(super) fn fail(context: &NativeCallContext<'_>, message: impl Into<String>) -> Box<EvalAltResult> {
    EvalAltResult::ErrorRuntime(message.into().into(), context.call_position()).into()
}

fn in_handler<T>(context: &NativeCallContext<'_>, name: &str, act: impl FnOnce(&mut Run) -> T) -> Answer<T> {
    Run::with(|run| (run.kind == Some(Kind::Handler)).then(|| act(run))).flatten().ok_or_else(|| {
        fail(context, format!("`{name}` is for handlers; filters, upcasters and imports have no effects"))
    })
}

/// What a script gives as its reason goes where messages go, and is as long as these at most.
fn reason(why: ImmutableString) -> String {
    let mut why = why.into_owned();
    errors::shorten(&mut why);
    why
}

/// Ends the script: `ErrorTerminated` passes every `try`, and [`Run::must_stop`] sees to the rest.
fn end(context: &NativeCallContext<'_>, name: &str, ending: Ending) -> Answer<()> {
    in_handler(context, name, |run| {
        run.ending.get_or_insert(ending);
    })?;
    Err(EvalAltResult::ErrorTerminated(Dynamic::UNIT, context.call_position()).into())
}

/// Where the script calls from.
fn place(run: &Run, context: &NativeCallContext<'_>) -> Place {
    let position = context.call_position();
    Place {
        file: context.call_source().unwrap_or(&run.subject.file).to_owned(),
        line: errors::line(run, context.call_source(), position),
        column: position.position().unwrap_or(0),
    }
}

fn emit(context: &NativeCallContext<'_>, kind: &str, data: Dynamic, options: Option<Map>) -> Answer<()> {
    let options = Options::read(context, options)?;
    let position = context.call_position();
    if kind.len() > MAX_KIND_BYTES {
        return Err(fail(context, format!("an event type has at most {MAX_KIND_BYTES} bytes, not {}", kind.len())));
    }
    in_handler(context, "emit", |run| {
        let overhead = EMITTED_BYTES + options.headers.0.iter().map(|(n, v)| n.len() + v.len()).sum::<usize>();
        let data = run.allowance.charge(overhead).and_then(|()| run.allowance.take(data));
        let data = data.map_err(|why| errors::unconvertible(run, &why, "data", position))?;
        let at = place(run, context);
        let Options { version, key, headers } = options;
        run.emitted.push(Emitted { kind: kind.to_owned(), version, key, headers, data, at });
        Ok(())
    })?
}

#[derive(Default)]
struct Options {
    version: Option<u32>,
    key: Option<Key>,
    headers: Headers,
}

impl Options {
    fn read(context: &NativeCallContext<'_>, options: Option<Map>) -> Answer<Self> {
        let mut read = Self::default();
        for (name, value) in options.into_iter().flatten() {
            let value = value.flatten();
            match name.as_str() {
                _ if value.is_unit() => {}
                "version" => {
                    let version = value.as_int().ok().and_then(|v| u32::try_from(v).ok()).filter(|v| *v > 0);
                    read.version = Some(version.ok_or_else(|| fail(context, "`version` must be a positive integer"))?);
                }
                "key" => read.key = Some(key(context, value)?),
                "headers" => read.headers = headers(context, value)?,
                _ => {
                    let message = format!("`emit` has no option `{name}`; it has `version`, `key` and `headers`");
                    return Err(fail(context, message));
                }
            }
        }
        Ok(read)
    }
}

fn key(context: &NativeCallContext<'_>, value: Dynamic) -> Answer<Key> {
    let text = match value.as_int() {
        Ok(int) => Some(int.to_string()),
        Err(_) => value.into_string().ok(),
    };
    text.and_then(|text| Key::new(&text)).ok_or_else(|| {
        let most = Key::MAX_BYTES;
        fail(context, format!("`key` must be an integer or a string of 1 to {most} bytes"))
    })
}

fn headers(context: &NativeCallContext<'_>, value: Dynamic) -> Answer<Headers> {
    let refused = || fail(context, "`headers` must be a map of strings");
    let mut headers = Headers::default();
    for (name, value) in value.try_cast::<Map>().ok_or_else(refused)? {
        let value = value.flatten().into_string().map_err(|_| refused())?;
        if let Some(why) = unsendable(&name, &value) {
            return Err(fail(context, format!("header `{}` {why}", name.escape_debug())));
        }
        headers.push(name.as_str(), value);
    }
    Ok(headers)
}

/// Prefixes of names that steer the broker, or that the envelope and the gate write themselves.
const TAKEN: [&str; 3] = ["nats-", "ce-", "sluice-"];

/// Why the broker would not carry this header as it stands, if so. What passes here must pass on every bus: an
/// emission that cannot be sent would hold up its outbox for ever.
fn unsendable(name: &str, value: &str) -> Option<&'static str> {
    if name.is_empty() || !name.bytes().all(|b| b.is_ascii_graphic() && b != b':') {
        return Some("cannot be sent: a name is made of visible ASCII characters without `:` and spaces");
    }
    if TAKEN.iter().any(|prefix| name.get(..prefix.len()).is_some_and(|head| head.eq_ignore_ascii_case(prefix))) {
        return Some("is not for scripts: names that begin with `nats-`, `ce-` or `sluice-` are taken");
    }
    if value.contains(char::is_control) {
        return Some("cannot be sent: a value has no line breaks or other control characters");
    }
    None
}

fn log(context: &NativeCallContext<'_>, level: &str, message: Dynamic) -> Answer<()> {
    let level = match level {
        "debug" => tracing::Level::DEBUG,
        "info" => tracing::Level::INFO,
        "warn" => tracing::Level::WARN,
        "error" => tracing::Level::ERROR,
        _ => {
            let message = format!("`{level}` is no log level; use `debug`, `info`, `warn` or `error`");
            return Err(fail(context, message));
        }
    };
    let message = text::shown(&message, LOG_BYTES);
    note(level, context.call_source(), context.call_position(), &message);
    Ok(())
}

/// A line of a script in the log. The message is the script's own choice; nothing of the event is added.
fn note(level: tracing::Level, source: Option<&str>, at: Position, message: &str) {
    Run::with(|run| {
        let Some(left) = run.log_bytes.checked_sub(message.len() + LINE_BYTES) else {
            run.overrun.get_or_insert(Overrun::Output(format!("more than {} KiB of log", LOG_BYTES >> 10)));
            return;
        };
        run.log_bytes = left;
        let file = source.unwrap_or(&run.subject.file);
        let line = errors::line(run, source, at);
        let (pipeline, event) = (&*run.subject.pipeline, run.subject.id.as_str());
        match level {
            tracing::Level::ERROR => {
                tracing::error!(target: "sluice::handler", pipeline, event, file, line, "{message}");
            }
            tracing::Level::WARN => {
                tracing::warn!(target: "sluice::handler", pipeline, event, file, line, "{message}");
            }
            tracing::Level::INFO => {
                tracing::info!(target: "sluice::handler", pipeline, event, file, line, "{message}");
            }
            _ => tracing::debug!(target: "sluice::handler", pipeline, event, file, line, "{message}"),
        }
    });
}

/// `30s`, `1h30m`, `250ms`: whole numbers with units `ms s m h d`.
fn parse_delay(text: &str) -> Option<Duration> {
    let mut rest = text.trim();
    let mut total = Duration::ZERO;
    if rest.is_empty() {
        return None;
    }
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit())?;
        let (number, tail) = rest.split_at(digits);
        let unit = tail.find(|c: char| c.is_ascii_digit()).unwrap_or(tail.len());
        let (unit, tail) = tail.split_at(unit);
        let number: u64 = number.parse().ok()?;
        let milliseconds = match unit.trim() {
            "ms" => 1,
            "s" => 1_000,
            "m" => 60_000,
            "h" => 3_600_000,
            "d" => 86_400_000,
            _ => return None,
        };
        total = total.checked_add(Duration::from_millis(number.checked_mul(milliseconds)?))?;
        rest = tail;
    }
    Some(total)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn delays_are_whole_numbers_with_units() {
        assert_eq!(parse_delay("30s"), Some(Duration::from_secs(30)));
        assert_eq!(parse_delay(" 1h30m "), Some(Duration::from_secs(5400)));
        assert_eq!(parse_delay("250ms"), Some(Duration::from_millis(250)));
        assert_eq!(parse_delay("2d"), Some(Duration::from_secs(172_800)));
        for bad in ["", "30", "s", "-1s", "1.5s", "1w", "99999999999999999999s", "18446744073709551615d", "1s x"] {
            assert_eq!(parse_delay(bad), None, "{bad}");
        }
    }
}
