//! Numbers that Rhai cannot hold exactly: beyond `i64`, or with more digits than an `f64` keeps.
//!
//! They travel through a script untouched, as a value of their own type: it prints as its text, can be compared
//! for equality and goes back to JSON as it came. Calculating with it is an error, never a rounded result.

use std::fmt;
use std::sync::Arc;

use rhai::{Dynamic, EvalAltResult, FLOAT, INT};
use serde_json::Number;

use crate::event::canonical_number;

#[derive(Clone)]
pub(super) struct ExactNumber(Arc<str>);

impl ExactNumber {
    /// The JSON number again, digit for digit.
    pub(super) fn to_json(&self) -> Option<Number> {
        self.0.parse().ok()
    }
}

impl PartialEq for ExactNumber {
    fn eq(&self, other: &Self) -> bool {
        self.0 == other.0 || canonical_number(&self.0) == canonical_number(&other.0)
    }
}

impl fmt::Display for ExactNumber {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// INT when it fits `i64`, FLOAT when an `f64` means exactly this decimal, [`ExactNumber`] otherwise.
pub(super) fn to_dynamic(number: &Number) -> Dynamic {
    if let Some(int) = number.as_i64() {
        return Dynamic::from_int(int);
    }
    let text = number.as_str();
    let integral = text.bytes().all(|b| b.is_ascii_digit() || b == b'-');
    // An integer stays an integer: as a float, adding one to it could change nothing.
    if !integral && let Some(float) = exact_float(text) {
        return Dynamic::from_float(float);
    }
    Dynamic::from(ExactNumber(text.into()))
}

/// The float whose shortest decimal form is this number.
fn exact_float(text: &str) -> Option<FLOAT> {
    let float: FLOAT = text.parse().ok()?;
    if !float.is_finite() {
        return None;
    }
    let shortest = float.to_string();
    (shortest == text || canonical_number(&shortest) == canonical_number(text)).then_some(float)
}

pub(super) fn register(engine: &mut rhai::Engine) {
    engine.register_type_with_name::<ExactNumber>("exact number");
    engine.register_fn("to_string", |n: ExactNumber| n.to_string());
    engine.register_fn("to_debug", |n: ExactNumber| n.to_string());
    engine.register_fn("==", |a: ExactNumber, b: ExactNumber| a == b);
    engine.register_fn("!=", |a: ExactNumber, b: ExactNumber| a != b);
    engine.register_fn("-", |a: ExactNumber| refuse(&a));
    for operator in ["+", "-", "*", "/", "%", "**", "<", "<=", ">", ">="] {
        engine.register_fn(operator, |a: ExactNumber, _: ExactNumber| refuse(&a));
        engine.register_fn(operator, |a: ExactNumber, _: INT| refuse(&a));
        engine.register_fn(operator, |a: ExactNumber, _: FLOAT| refuse(&a));
        engine.register_fn(operator, |_: INT, b: ExactNumber| refuse(&b));
        engine.register_fn(operator, |_: FLOAT, b: ExactNumber| refuse(&b));
    }
}

fn refuse(number: &ExactNumber) -> Result<Dynamic, Box<EvalAltResult>> {
    let digits: String = number.0.chars().take(40).collect();
    let more = if digits.len() < number.0.len() { "…" } else { "" };
    Err(format!(
        "`{digits}{more}` does not fit a 64-bit integer or float, so calculating with it would round it; \
         compare it with `==`, pass it on, or let the producer send it as a string"
    )
    .into())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(text: &str) -> Dynamic {
        to_dynamic(&text.parse().expect("a number"))
    }

    #[test]
    fn what_fits_becomes_an_int_or_a_float() {
        assert_eq!(of("-42").as_int(), Ok(-42));
        assert_eq!(of("9223372036854775807").as_int(), Ok(i64::MAX));
        assert_eq!(of("-0").as_int(), Ok(0));
        for (text, float) in [("1.10", 1.1), ("3.0", 3.0), ("1e2", 100.0), ("25E-2", 0.25), ("1e23", 1e23)] {
            assert_eq!(of(text).as_float(), Ok(float), "{text}");
        }
    }

    #[test]
    fn what_would_be_rounded_stays_as_it_came() {
        for text in [
            "9223372036854775808",
            "-12345678901234567890123",
            "100000000000000000000",
            "0.1000000000000000055511151231257827",
            "1e400",
            "-1e400",
            "1e-400",
            "1e99999999999999999999",
        ] {
            let number: Number = text.parse().expect("a number");
            let exact = to_dynamic(&number).try_cast::<ExactNumber>().expect(text);
            assert_eq!(exact.to_json().expect("a number").as_str(), number.as_str());
        }
    }
}
