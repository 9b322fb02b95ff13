//! Natives of the language that would leave the sandbox, replaced: they wait, build values far beyond the size
//! limits before these are checked, or round numbers.

use rhai::{Dynamic, Engine, EvalAltResult, INT, ImmutableString, Map, NativeCallContext, Position};
use serde_json::Value;

use super::convert::{self, Allowance};
use super::errors;
use super::host::fail;
use super::run::Run;
use crate::spec::program::Limits;

type Answer<T> = Result<T, Box<EvalAltResult>>;

pub(super) fn register(engine: &mut Engine, limits: &Limits) {
    register_sleep(engine);
    register_replace(engine, limits.string_bytes);
    register_json(engine, *limits);
}

/// Also known to [`check`](super::check); this catches `Fn("sleep").call(1)`.
fn register_sleep(engine: &mut Engine) {
    const WHY: &str = "a handler must not wait; end it with `retry(why, delay)`";
    engine.register_fn("sleep", |_: INT| -> Answer<()> { Err(WHY.into()) });
    engine.register_fn("sleep", |_: f64| -> Answer<()> { Err(WHY.into()) });
}

/// Two strings within limits make one of their product's length.
fn register_replace(engine: &mut Engine, most: usize) {
    engine.register_fn("replace", move |s: &mut ImmutableString, find: &str, with: &str| replace(s, find, with, most));
    engine.register_fn("replace", move |s: &mut ImmutableString, find: &str, with: char| {
        replace(s, find, with.encode_utf8(&mut [0; 4]), most)
    });
    engine.register_fn("replace", move |s: &mut ImmutableString, find: char, with: &str| {
        replace(s, find.encode_utf8(&mut [0; 4]), with, most)
    });
    engine.register_fn("replace", move |s: &mut ImmutableString, find: char, with: char| {
        replace(s, find.encode_utf8(&mut [0; 4]), with.encode_utf8(&mut [0; 4]), most)
    });
}

fn replace(text: &mut ImmutableString, find: &str, with: &str, most: usize) -> Answer<()> {
    if text.is_empty() {
        return Ok(());
    }
    let matches = text.matches(find).count();
    let length = (text.len() - matches * find.len()).saturating_add(matches.saturating_mul(with.len()));
    if length > most {
        return Err(EvalAltResult::ErrorDataTooLarge("Length of string".to_owned(), Position::NONE).into());
    }
    if matches > 0 {
        *text = text.replace(find, with).into();
    }
    Ok(())
}

/// The language's own reads large numbers as floats and writes what is no JSON.
fn register_json(engine: &mut Engine, limits: Limits) {
    engine.register_fn("parse_json", move |context: NativeCallContext, text: &str| -> Answer<Dynamic> {
        let value: Value = serde_json::from_str(text).map_err(|error| fail(&context, format!("not JSON: {error}")))?;
        convert::to_dynamic(&value, limits.depth).map_err(|why| fail(&context, why.message("the JSON")))
    });
    engine.register_fn("to_json", move |context: NativeCallContext, map: Map| -> Answer<String> {
        let mut allowance = Allowance { depth: limits.depth, bytes: limits.string_bytes.saturating_mul(4) };
        let value = allowance.take(Dynamic::from_map(map)).map_err(|why| {
            Run::with(|run| errors::unconvertible(run, &why, "the map", context.call_position()))
                .unwrap_or_else(|| fail(&context, why.message("the map")))
        })?;
        Ok(value.to_string())
    });
}
