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
    document: Value,
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
    /// It is a `$ref` that leads nowhere.
    pub reference: bool,
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
            return Err(SchemaError::new(String::new(), "a schema is a JSON object"));
        }
        jsonschema::options()
            .offline()
            .should_validate_formats(true)
            // Linear in the input, whatever the pattern: events are not to be trusted.
            .with_pattern_options(PatternOptions::regex())
            .build(text)
            .map(|validator| Self { validator, document: text.clone() })
            .map_err(|error| refusal(text, &error))
    }

    /// What it was compiled from.
    pub fn document(&self) -> &Value {
        &self.document
    }

    /// All violations, at most ten; empty: valid.
    pub fn validate(&self, data: &Value) -> Vec<Violation> {
        if self.validator.is_valid(data) {
            return Vec::new();
        }
        self.validator.iter_errors(data).take(MAX_VIOLATIONS).map(|error| wording::violation(&error)).collect()
    }
}

impl SchemaError {
    fn new(path: String, message: impl Into<String>) -> Self {
        Self { path, message: message.into(), reference: false }
    }
}

fn refusal(schema: &Value, error: &ValidationError<'_>) -> SchemaError {
    let path = error.instance_path().to_string();
    match error.kind() {
        ValidationErrorKind::Referencing(inner) => {
            let told = inner.to_string();
            if let Some(draft) = schema["$schema"].as_str().filter(|draft| told.contains(draft.trim_end_matches('#'))) {
                let message = format!("the draft `{draft}` is not known; use draft 7 or 2020-12");
                return SchemaError::new("/$schema".to_owned(), message);
            }
            let (path, reference) = references(schema, String::new())
                .into_iter()
                .find(|(_, reference)| told.contains(reference.trim_start_matches('#')))
                .unwrap_or((path, told));
            let message = format!(
                "the reference `{reference}` leads nowhere; references stay within the file, like `#/$defs/Money`"
            );
            SchemaError { path, message, reference: true }
        }
        ValidationErrorKind::Format { format } if format == "regex" => {
            let pattern = error.instance();
            let message =
                format!("{pattern} is not a usable pattern (look-around and back references are not supported)");
            SchemaError::new(path, message)
        }
        ValidationErrorKind::AnyOf { .. } | ValidationErrorKind::Enum { .. } => {
            let keyword = path.rsplit('/').find(|part| part.parse::<usize>().is_err()).unwrap_or_default();
            let mut message = format!("this is not what `{keyword}` takes");
            if keyword == "type" {
                message.push_str(
                    ": `array`, `boolean`, `integer`, `null`, `number`, `object` or `string`, or a list of them",
                );
            }
            SchemaError::new(path, message)
        }
        _ => SchemaError::new(path, wording::sentence(&error.masked_with("this").to_string())),
    }
}

/// Every `$ref` with the pointer to it.
fn references(schema: &Value, at: String) -> Vec<(String, String)> {
    match schema {
        Value::Array(items) => {
            items.iter().enumerate().flat_map(|(index, item)| references(item, format!("{at}/{index}"))).collect()
        }
        Value::Object(members) => members
            .iter()
            .flat_map(|(name, member)| {
                let at = format!("{at}/{}", name.replace('~', "~0").replace('/', "~1"));
                match (name.as_str(), member) {
                    ("$ref", Value::String(reference)) => vec![(at, reference.clone())],
                    _ => references(member, at),
                }
            })
            .collect(),
        _ => Vec::new(),
    }
}

#[cfg(test)]
mod tests;
