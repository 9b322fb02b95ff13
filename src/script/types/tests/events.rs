//! Events made up from a schema, and what a script does with them.

use serde_json::{Map, Value, json};

use super::corpus::Corpus;
use crate::event::{Event, Headers, Key, Millis};
use crate::schema::Schema;
use crate::script::{Context, ErrorClass, Outcome, Place, Script, ScriptError};

/// Objects within each other that have more than what they must have.
const DEPTH: usize = 6;

/// A sequence of numbers that looks random and is the same each time.
struct Numbers(u64);

impl Numbers {
    fn below(&mut self, end: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        usize::try_from(self.0 % end.max(1) as u64).expect("small")
    }

    fn flip(&mut self) -> bool {
        self.below(2) == 0
    }

    fn of<'v>(&mut self, values: &'v [Value]) -> &'v Value {
        &values[self.below(values.len())]
    }
}

/// A value that is valid by a schema of the kind that these tests use.
fn sample(root: &Value, schema: &Value, numbers: &mut Numbers, depth: usize) -> Value {
    if let Some(reference) = schema["$ref"].as_str() {
        let pointer = reference.strip_prefix('#').expect("within the file");
        return sample(root, root.pointer(pointer).expect("it leads somewhere"), numbers, depth);
    }
    if let Some(constant) = schema.get("const") {
        return constant.clone();
    }
    if let Some(choices) = schema["enum"].as_array() {
        return numbers.of(choices).clone();
    }
    for list in ["oneOf", "anyOf"] {
        if let Some(choices) = schema[list].as_array() {
            return sample(root, numbers.of(choices), numbers, depth);
        }
    }
    let kind = match &schema["type"] {
        Value::Array(kinds) => numbers.of(kinds).as_str().expect("a type").to_owned(),
        Value::String(kind) => kind.clone(),
        _ => return anything(numbers),
    };
    let bound = |name: &str| schema[name].as_u64().map(|bound| usize::try_from(bound).expect("small"));
    match kind.as_str() {
        "null" => Value::Null,
        "boolean" => json!(numbers.flip()),
        "integer" => {
            let least = bound("minimum").unwrap_or(0);
            json!(least + numbers.below(bound("maximum").unwrap_or(200) + 1 - least))
        }
        "number" if numbers.flip() => json!(numbers.below(60)),
        "number" => json!(0.5 + f64::from(u32::try_from(numbers.below(60)).expect("small"))),
        "string" => text(schema["format"].as_str(), numbers),
        "array" => {
            let least = bound("minItems").unwrap_or(0);
            let many = least + numbers.below(bound("maxItems").unwrap_or(least + 3) + 1 - least);
            // Schemas that lead to themselves must end somewhere.
            let many = if depth == 0 { least } else { many };
            (0..many).map(|_| sample(root, &schema["items"], numbers, depth.saturating_sub(1))).collect()
        }
        _ => object(root, schema, numbers, depth),
    }
}

fn text(format: Option<&str>, numbers: &mut Numbers) -> Value {
    match format {
        Some("email") => json!("x@example.com"),
        Some("date-time") => json!("2026-01-02T03:04:05Z"),
        _ => numbers.of(&["A", "ord-1", "Bonn", "crash in the cellar"].map(Value::from)).clone(),
    }
}

/// Where a schema says nothing.
fn anything(numbers: &mut Numbers) -> Value {
    let all = [json!(null), json!(true), json!(7), json!(1.5), json!("x"), json!(["y"]), json!({ "of": { "any": 1 } })];
    numbers.of(&all).clone()
}

fn object(root: &Value, schema: &Value, numbers: &mut Numbers, depth: usize) -> Value {
    let mut object = Map::new();
    let required = |name: &str| schema["required"].as_array().is_some_and(|all| all.iter().any(|n| n == name));
    for (name, property) in schema["properties"].as_object().into_iter().flatten() {
        if required(name) || (depth > 0 && numbers.flip()) {
            object.insert(name.clone(), sample(root, property, numbers, depth.saturating_sub(1)));
        }
    }
    match &schema["additionalProperties"] {
        Value::Bool(false) => {}
        Value::Object(others) => {
            for name in ["colour", "size"] {
                if numbers.flip() {
                    object.insert(name.to_owned(), sample(root, &json!(others), numbers, depth));
                }
            }
        }
        _ => {
            for name in ["title", "tags"] {
                if numbers.flip() {
                    object.insert(name.to_owned(), anything(numbers));
                }
            }
        }
    }
    Value::Object(object)
}

/// So many different events that are valid by the schema of a corpus.
pub(super) fn events(corpus: &Corpus, many: usize) -> Vec<Event> {
    let mut numbers = Numbers(0x9e37_79b9_7f4a_7c15);
    let valid = Schema::compile(&corpus.data).expect("a schema");
    let event = |nth: usize| {
        let data = sample(&corpus.data, &corpus.data, &mut numbers, DEPTH);
        assert!(valid.validate(&data).is_empty(), "{data}");
        let time = nth.is_multiple_of(2).then(|| "2026-01-02T03:04:05Z".to_owned());
        let headers = Headers(if nth.is_multiple_of(3) { vec![("X-Trace".into(), "t1".into())] } else { Vec::new() });
        let (id, kind, source) = (format!("e{nth}"), corpus.event.as_str().into(), "shop".into());
        Event { id, kind, version: 1, source, time, data, headers }
    };
    (0..many).map(event).collect()
}

/// What became of an event.
pub(super) enum Became {
    /// It was handled, with this state left.
    Well(Option<Value>),
    /// The script failed: not because of a value of the wrong type, but of its size, or because it throws.
    Elsewise(ScriptError),
    /// It failed by the type of a value, or its absence.
    Wrong(ScriptError),
    /// The schema of what is emitted refuses it.
    Refused(Place),
}

pub(super) fn handled(script: &Script, event: &Event, state: Option<&Value>, accepts: &Schema) -> Became {
    // Some come again.
    let attempt = if event.time.is_some() { 1 } else { 2 };
    let context = Context { attempt, time: Millis(1_767_323_045_000), pipeline: "orders".into() };
    let key = Key::new("o1").expect("a key");
    match script.handle(event, &key, state, &context) {
        Ok(Outcome::Done { emitted, state }) => {
            match emitted.into_iter().find(|one| !accepts.validate(&one.data).is_empty()) {
                Some(refused) => Became::Refused(refused.at),
                None => Became::Well(state),
            }
        }
        Ok(_) => Became::Well(None),
        Err(error) if error.class == ErrorClass::Script && is_of_types(&error.message) => Became::Wrong(error),
        Err(error) => Became::Elsewise(error),
    }
}

/// Which of the messages of the engine are about the types of values.
fn is_of_types(message: &str) -> bool {
    let of_values = ["out of bounds", "overflow", "division by zero", "Division by zero", "NaN", "is too much", "none"];
    !of_values.iter().any(|part| message.contains(part))
}
