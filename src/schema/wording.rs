//! Violations in words that never repeat the data.

use jsonschema::ValidationError;
use jsonschema::error::ValidationErrorKind as Kind;
use serde_json::Value;

use super::Violation;

/// Longest message and path in characters: what is said about an event goes into logs and dead letters.
const MAX_CHARS: usize = 400;
/// Most names listed in one message.
const MAX_NAMES: usize = 5;

pub(super) fn violation(error: &ValidationError<'_>) -> Violation {
    Violation {
        path: shorten(error.instance_path().as_str()),
        schema_path: shorten(error.schema_path().as_str()),
        message: shorten(&message(error)),
    }
}

/// Every kind that is not worded here is worded by the library with the value masked.
fn message(error: &ValidationError<'_>) -> String {
    match error.kind() {
        Kind::Required { property } => format!("{} is missing", quoted(property)),
        Kind::AdditionalProperties { unexpected } | Kind::UnevaluatedProperties { unexpected } => {
            format!("not allowed here: {}", names(unexpected))
        }
        // The library's own wording of this kind repeats the name, and what is wrong with it, unmasked.
        Kind::PropertyNames { error } => format!("a property's name is not allowed: {}", message(error)),
        Kind::UnevaluatedItems { .. } => "more items than the schema allows".into(),
        Kind::AdditionalItems { limit } => format!("more than the {limit} items that the schema allows"),
        Kind::FalseSchema => "nothing is allowed here".into(),
        Kind::Constant { expected_value } => format!("it must be {expected_value}"),
        Kind::Not { .. } => "it is what `not` forbids".into(),
        Kind::Contains => "no item is what `contains` asks for".into(),
        Kind::RegexEngineFailure { .. } | Kind::BacktrackLimitExceeded { .. } => {
            "its pattern could not be checked".into()
        }
        _ => sentence(&error.masked_with("the value").to_string()),
    }
}

fn quoted(property: &Value) -> String {
    property.as_str().map_or_else(|| property.to_string(), |name| format!("`{name}`"))
}

fn names(unexpected: &[String]) -> String {
    let mut listed: Vec<String> = unexpected
        .iter()
        .take(MAX_NAMES)
        .map(|name| format!("`{}`", name.chars().take(60).collect::<String>()))
        .collect();
    if unexpected.len() > MAX_NAMES {
        listed.push(format!("and {} more", unexpected.len() - MAX_NAMES));
    }
    listed.join(", ")
}

/// Lower case, no full stop: the library writes sentences, this project writes clauses.
pub(super) fn sentence(text: &str) -> String {
    let text = text.trim_end_matches('.');
    let mut chars = text.chars();
    match (chars.next(), chars.next()) {
        (Some(first), Some(second)) if first.is_uppercase() && !second.is_uppercase() => {
            first.to_lowercase().chain(text.chars().skip(1)).collect()
        }
        _ => text.to_owned(),
    }
}

fn shorten(text: &str) -> String {
    match text.char_indices().nth(MAX_CHARS) {
        Some((at, _)) => format!("{}…", &text[..at]),
        None => text.to_owned(),
    }
}
