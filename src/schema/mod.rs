//! JSON Schemas: the versions of an event type and their validators.

mod wording;

use jsonschema::error::ValidationErrorKind;
use jsonschema::{PatternOptions, ValidationError, Validator};
use serde_json::Value;

/// Most violations told of one event: the first few explain it, the rest repeat it.
const MAX_VIOLATIONS: usize = 10;

/// A compiled schema (drafts 7 and 2020-12). Never touches the network.
pub struct Schema {
    validator: Validator,
}

impl std::fmt::Debug for Schema {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Schema")
    }
}

/// Why a schema cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct SchemaError {
    /// JSON pointer into the schema; empty for the schema as a whole.
    pub path: String,
    pub message: String,
}

/// One violation.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Violation {
    /// JSON pointer into the data.
    pub path: String,
    /// JSON pointer into the schema.
    pub schema_path: String,
    /// What is wrong, without the value itself (which may be personal or secret).
    pub message: String,
}

impl Schema {
    /// `text` is the schema file's JSON. The draft is the one `$schema` names, 2020-12 without it.
    pub fn compile(text: &Value) -> Result<Self, SchemaError> {
        if !text.is_object() && !text.is_boolean() {
            return Err(SchemaError { path: String::new(), message: "a schema is a JSON object".into() });
        }
        jsonschema::options()
            .offline()
            .should_validate_formats(true)
            // Linear in the input, whatever the pattern: events are not to be trusted.
            .with_pattern_options(PatternOptions::regex())
            .build(text)
            .map(|validator| Self { validator })
            .map_err(|error| refusal(&error))
    }

    /// All violations, at most ten; empty: valid.
    pub fn validate(&self, data: &Value) -> Vec<Violation> {
        if self.validator.is_valid(data) {
            return Vec::new();
        }
        self.validator.iter_errors(data).take(MAX_VIOLATIONS).map(|error| wording::violation(&error)).collect()
    }
}

fn refusal(error: &ValidationError<'_>) -> SchemaError {
    let message = match error.kind() {
        ValidationErrorKind::Referencing(inner) => format!(
            "a reference cannot be followed: {}; only references within the same file work, like `#/$defs/Money`",
            wording::sentence(&inner.to_string())
        ),
        ValidationErrorKind::Format { format } if format == "regex" => {
            format!(
                "`{}` is not a usable pattern (look-around and back references are not supported)",
                error.instance()
            )
        }
        _ => wording::sentence(&error.to_string()),
    };
    SchemaError { path: error.instance_path().to_string(), message }
}

#[cfg(test)]
mod tests;
