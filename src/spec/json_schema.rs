//! JSON Schemas of the kinds of files that users write, for editors and for the reference.

use schemars::generate::SchemaSettings;
use schemars::transform::{RecursiveTransform, Transform};
use schemars::{JsonSchema, Schema};
use serde_json::{Map, Value, json};

use super::{raw, values};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FileKind {
    /// `sluice.yaml`
    Project,
    Pipeline,
    /// `*.test.yaml`
    Scenarios,
}

impl FileKind {
    pub const ALL: [Self; 3] = [Self::Project, Self::Pipeline, Self::Scenarios];

    pub fn name(self) -> &'static str {
        match self {
            Self::Project => "project",
            Self::Pipeline => "pipeline",
            Self::Scenarios => "scenarios",
        }
    }
}

/// The schema of a kind of file, draft 7: the newest that every YAML editor reads. It is narrower than the loader in
/// one thing: a key with nothing after its colon is refused.
pub fn json_schema(kind: FileKind) -> Value {
    let mut schema = match kind {
        FileKind::Project => root::<raw::Project>(),
        FileKind::Pipeline => root::<raw::Pipeline>(),
        FileKind::Scenarios => root::<raw::scenarios::Scenarios>(),
    };
    if kind == FileKind::Project {
        RecursiveTransform(allow_variables).transform(&mut schema);
    }
    schema.insert("title".to_owned(), format!("Sluicegate: {}", kind.name()).into());
    schema.to_value()
}

fn root<T: JsonSchema>() -> Schema {
    // Draft 7 ignores what stands beside a reference; without references each place keeps its own description.
    let settings = SchemaSettings::draft07().with(|settings| settings.inline_subschemas = true);
    settings.with_transform(RecursiveTransform(tidy)).into_generator().into_root_schema_for::<T>()
}

/// From what serde can decode to what people write.
fn tidy(schema: &mut Schema) {
    let Some(object) = schema.as_object_mut() else { return };
    without_null(object);
    one_key_map(object);
    // What `Default` of an optional field says is not what holds.
    if object.get("default").is_some_and(is_empty) {
        object.remove("default");
    }
    // Widths of Rust's numbers.
    object.remove("format");
    // Lines are as long as an editor makes them.
    if let Some(Value::String(description)) = object.get_mut("description") {
        *description = description.replace('\n', " ");
        // Without this, editors show backticks as they stand.
        let markdown = description.clone();
        object.insert("markdownDescription".to_owned(), markdown.into());
    }
}

/// A key is left out rather than given nothing.
fn without_null(object: &mut Map<String, Value>) {
    if let Some(Value::Array(types)) = object.get_mut("type") {
        types.retain(|kind| kind != "null");
        if let [only] = types.as_slice() {
            let only = only.clone();
            object.insert("type".to_owned(), only);
        }
    }
    if let Some(Value::Array(choices)) = object.get_mut("enum") {
        choices.retain(|choice| !choice.is_null());
    }
    let null = json!({ "type": "null" });
    if let Some(Value::Array(choices)) = object.get("anyOf")
        && let [Value::Object(some), none] = choices.as_slice()
        && *none == null
    {
        let some = some.clone();
        object.remove("anyOf");
        for (key, value) in some {
            object.entry(key).or_insert(value);
        }
    }
}

fn is_empty(value: &Value) -> bool {
    value.is_null() || value.as_array().is_some_and(Vec::is_empty) || value.as_object().is_some_and(Map::is_empty)
}

/// Of kinds that are objects of one key each, what is said of a kind is said of its key; and where all are such, they
/// become one object with one key: editors complete that better.
fn one_key_map(object: &mut Map<String, Value>) {
    let Some(Value::Array(kinds)) = object.get_mut("oneOf") else { return };
    let mut properties = Map::new();
    for kind in &mut *kinds {
        let said = kind.get("description").cloned();
        let inside = kind.get_mut("properties").and_then(Value::as_object_mut);
        let Some(only) = inside.filter(|only| only.len() == 1) else { continue };
        for (name, inner) in only {
            if let Some(said) = &said {
                inner["description"] = said.clone();
            }
            properties.insert(name.clone(), inner.clone());
        }
    }
    if properties.len() < kinds.len() {
        return;
    }
    object.remove("oneOf");
    object.insert("type".to_owned(), json!("object"));
    object.insert("properties".to_owned(), properties.into());
    object.insert("additionalProperties".to_owned(), json!(false));
    object.insert("minProperties".to_owned(), json!(1));
    object.insert("maxProperties".to_owned(), json!(1));
}

/// In `sluice.yaml`, what is filled in from the environment cannot be judged by its look. Names are never filled in.
fn allow_variables(schema: &mut Schema) {
    let Some(object) = schema.as_object_mut() else { return };
    let is_name = object.get("pattern").is_none_or(|pattern| pattern == values::CHANNEL);
    if let (false, Some(Value::String(pattern))) = (is_name, object.get_mut("pattern")) {
        *pattern = format!(r"{pattern}|\$\{{");
    }
}
