//! Natives of the language that would leave the sandbox, replaced: they wait, build values far beyond the size
//! limits before these are checked, or round numbers.

use rhai::{Array, Blob, Dynamic, Engine, EvalAltResult, INT, ImmutableString, Map, NativeCallContext, Position};
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
    register_pad(engine, *limits);
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
        return Err(too_large("Length of string"));
    }
    if matches > 0 {
        *text = text.replace(find, with).into();
    }
    Ok(())
}

/// The language's own multiplies before it compares, so that a length may wrap around, and never ends when it pads
/// with nothing.
fn register_pad(engine: &mut Engine, limits: Limits) {
    engine.register_fn("pad", move |array: &mut Array, length: INT, item: Dynamic| pad(array, length, item, &limits));
    engine.register_fn("pad", move |text: &mut ImmutableString, length: INT, with: &str| -> Answer<()> {
        let length = usize::try_from(length).unwrap_or(0);
        let missing = length.saturating_sub(text.chars().count());
        if missing == 0 || with.is_empty() {
            return Ok(());
        }
        if length > limits.string_bytes {
            return Err(too_large("Length of string"));
        }
        // At most four bytes a character, so this is bounded before the language looks at the result.
        text.make_mut().extend(with.chars().cycle().take(missing));
        Ok(())
    });
}

fn pad(array: &mut Array, length: INT, item: Dynamic, limits: &Limits) -> Answer<()> {
    let length = usize::try_from(length).unwrap_or(0);
    let missing = length.saturating_sub(array.len());
    if missing == 0 {
        return Ok(());
    }
    let (items, bytes) = weight(&item);
    if length > limits.collection_items || missing.saturating_mul(items) > limits.collection_items {
        return Err(too_large("Size of array/BLOB"));
    }
    if missing.saturating_mul(bytes) > limits.string_bytes {
        return Err(too_large("Length of string"));
    }
    array.resize(length, item);
    Ok(())
}

/// Values in a value, itself included, and bytes of text.
fn weight(value: &Dynamic) -> (usize, usize) {
    let all = |parts: &mut dyn Iterator<Item = &Dynamic>| {
        parts.map(weight).fold((1, 0), |sum: (usize, usize), part| (sum.0 + part.0, sum.1 + part.1))
    };
    if let Some(array) = value.read_lock::<Array>() {
        return all(&mut array.iter());
    }
    if let Some(map) = value.read_lock::<Map>() {
        return all(&mut map.values());
    }
    let bytes = value.read_lock::<Blob>().map_or(0, |blob| blob.len());
    (1 + bytes, value.read_lock::<ImmutableString>().map_or(0, |text| text.len()))
}

fn too_large(what: &str) -> Box<EvalAltResult> {
    EvalAltResult::ErrorDataTooLarge(what.to_owned(), Position::NONE).into()
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
