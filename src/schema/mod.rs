//! JSON Schemas: the versions of an event type and their validators.

use serde_json::Value;

/// A compiled schema (drafts 7 and 2020-12). Never touches the network.
pub struct Schema {
    _todo: (),
}

impl std::fmt::Debug for Schema {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Schema")
    }
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
    /// `text` is the schema file's JSON.
    pub fn compile(_text: &Value) -> Result<Self, String> {
        todo!("schema")
    }

    /// All violations, at most ten; empty: valid.
    pub fn validate(&self, _data: &Value) -> Vec<Violation> {
        todo!("schema")
    }
}
