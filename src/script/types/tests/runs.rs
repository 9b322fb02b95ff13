//! What is told against what happens: scripts, right and wrong, run on events made up from the schema.

use std::collections::BTreeSet;

use super::correct::SCRIPTS;
use super::*;
use crate::diagnostic::{Level, rules};
use crate::event::{Event, Headers, Key, Millis};
use crate::schema::Schema;
use crate::script::{Context, ErrorClass, Outcome};

/// Events tried of each script.
const EVENTS: usize = 60;

/// A sequence of numbers that looks random and is the same each time.
struct Numbers(u64);

impl Numbers {
    fn below(&mut self, end: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        usize::try_from(self.0 % end.max(1) as u64).expect("small")
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
    for list in ["enum", "oneOf"] {
        if let Some(choices) = schema[list].as_array() {
            let choice = &choices[numbers.below(choices.len())];
            return if list == "enum" { choice.clone() } else { sample(root, choice, numbers, depth) };
        }
    }
    let kind = match &schema["type"] {
        Value::Array(kinds) => kinds[numbers.below(kinds.len())].as_str().expect("a type").to_owned(),
        Value::String(kind) => kind.clone(),
        _ => return json!(null),
    };
    match kind.as_str() {
        "null" => Value::Null,
        "boolean" => json!(numbers.below(2) == 0),
        "integer" => json!(numbers.below(200)),
        "number" if numbers.below(2) == 0 => json!(numbers.below(9)),
        "number" => json!(0.5 + f64::from(u32::try_from(numbers.below(9)).expect("small"))),
        "string" => json!(
            ["A", "ord-1", "Bonn", "x@example.com"][if schema.get("format").is_some() { 3 } else { numbers.below(3) }]
        ),
        "array" => (0..numbers.below(3)).map(|_| sample(root, &schema["items"], numbers, depth)).collect(),
        _ => {
            let mut object = serde_json::Map::new();
            let required = |name: &str| schema["required"].as_array().is_some_and(|all| all.iter().any(|n| n == name));
            for (name, property) in schema["properties"].as_object().into_iter().flatten() {
                if required(name) || (depth > 0 && numbers.below(2) == 0) {
                    object.insert(name.clone(), sample(root, property, numbers, depth.saturating_sub(1)));
                }
            }
            if let Some(others) = schema["additionalProperties"].as_object() {
                for name in ["colour", "size"] {
                    if numbers.below(2) == 0 {
                        object.insert(name.to_owned(), sample(root, &Value::Object(others.clone()), numbers, depth));
                    }
                }
            }
            Value::Object(object)
        }
    }
}

fn events() -> Vec<Event> {
    let (schema, mut numbers) = (order(), Numbers(0x9e37_79b9_7f4a_7c15));
    let valid = Schema::compile(&schema).expect("a schema");
    let event = |nth: usize| {
        let data = sample(&schema, &schema, &mut numbers, 4);
        assert!(valid.validate(&data).is_empty(), "{data}");
        let time = nth.is_multiple_of(2).then(|| "2026-01-02T03:04:05Z".to_owned());
        let headers = Headers(if nth.is_multiple_of(3) { vec![("X-Trace".into(), "t1".into())] } else { Vec::new() });
        let (id, kind, source) = (format!("e{nth}"), "OrderPlaced".into(), "shop".into());
        Event { id, kind, version: 1, source, time, data, headers }
    };
    (0..EVENTS).map(event).collect()
}

/// What a script does with the events: the errors of types that it ends with, and whether what it emits is refused.
struct Ran {
    errors: BTreeSet<String>,
    refused: bool,
}

fn run(script: &Script, events: &[Event], emitted: &Schema) -> Ran {
    let context = Context { attempt: 1, time: Millis(1_767_323_045_000), pipeline: "orders".into() };
    let key = Key::new("o1").expect("a key");
    let mut ran = Ran { errors: BTreeSet::new(), refused: false };
    for event in events {
        match script.handle(event, &key, None, &context) {
            Ok(Outcome::Done { emitted: all, .. }) => {
                ran.refused |= all.iter().any(|one| !emitted.validate(&one.data).is_empty());
            }
            Ok(_) => {}
            Err(error) if error.class == ErrorClass::Script => {
                ran.errors.insert(format!("{} ({}:{})", error.message, error.at.line, error.at.column));
            }
            Err(_) => {}
        }
    }
    ran
}

#[test]
fn scripts_that_do_nothing_wrong_run_without_an_error() {
    let (events, tracked) = (events(), tracked());
    let emitted = Schema::compile(&tracked).expect("a schema");
    let mut wrong = Vec::new();
    let root = tempfile::tempdir().expect("a directory");
    let engine = Engine::new(Limits::default(), root.path());
    for (name, text) in SCRIPTS {
        let script = engine.compile(Kind::Handler, &Source { file: "h.rhai", text, line_offset: 0 });
        let ran = run(&script.unwrap_or_else(|problems| panic!("{name}: {problems:#?}")), &events, &emitted);
        // Of a type that is computed nothing is known, and a state may be anything.
        let unknown = ["an emission of a computed type", "an emission of the state"].contains(name);
        let throws = *name == "an early throw" && ran.errors.iter().all(|error| error.starts_with("none"));
        if (ran.refused && !unknown) || (!ran.errors.is_empty() && !throws) {
            wrong.push(format!("{name}: {:?}", ran.errors));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// Edits of a script: words replaced, one place at a time.
fn edits(text: &str) -> Vec<String> {
    const WORDS: [(&str, &str); 22] = [
        (" ?? 0", ""),
        (" ?? \"\"", ""),
        (" ?? \"none\"", ""),
        (" ?? []", ""),
        (" ?? #{}", ""),
        (" ?? false", ""),
        ("?.", "."),
        (" != ()", " == ()"),
        (" == ()", " != ()"),
        (".discount_cents", ".discont_cents"),
        (".customer", ".custmer"),
        (".quantity", ".quantty"),
        (".total_cents", ".order_id"),
        (".name", ".nmae"),
        (".last4", ".lastfour"),
        (".sku", ".quantity"),
        ("state: \"open\"", "state: \"opened\""),
        (", state: \"open\"", ""),
        ("order_id: event.key, ", ""),
        (".note", ".status"),
        ("\"paid\"", "\"payed\""),
        (" && ", " || "),
    ];
    let mut all = Vec::new();
    for (from, to) in WORDS {
        for (at, _) in text.match_indices(from) {
            let edited = format!("{}{to}{}", &text[..at], &text[at + from.len()..]);
            all.push(edited);
        }
    }
    all
}

#[test]
fn what_goes_wrong_with_valid_events_is_told_and_what_is_told_goes_wrong() {
    let (events, tracked, schema) = (events(), tracked(), order());
    let emitted = Schema::compile(&tracked).expect("a schema");
    let root = tempfile::tempdir().expect("a directory");
    let engine = Engine::new(Limits::default(), root.path());
    let (mut failing, mut missed, mut false_alarms) = (0, Vec::new(), Vec::new());
    let edited: BTreeSet<String> = SCRIPTS
        .iter()
        // No schema says what a state holds.
        .filter(|(name, _)| !name.contains("state"))
        .flat_map(|(_, text)| edits(text))
        .collect();
    for text in &edited {
        let Ok(script) = engine.compile(Kind::Handler, &Source { file: "h.rhai", text, line_offset: 0 }) else {
            continue;
        };
        let told = check_with(&script, &schema);
        let ran = run(&script, &events, &emitted);
        let by_type = ran.errors.iter().any(|error| !error.starts_with("none") && !error.contains("out of bounds"));
        if by_type || ran.refused {
            failing += 1;
            if told.is_empty() {
                missed.push(format!("{text}\n    {:?} refused: {}", ran.errors, ran.refused));
            }
        }
        // What no event has is read as nothing, which need not be an error.
        let fails = |found: &&Finding| {
            found.diagnostic.level == Level::Error && found.diagnostic.rule != rules::UNKNOWN_PROPERTY.id
        };
        if told.iter().any(|found| fails(&found)) && !by_type && !ran.refused {
            false_alarms.push(format!("{text}\n    {:?}", shown(&told)));
        }
    }
    assert!(false_alarms.is_empty(), "told as an error, and never goes wrong:\n{}", false_alarms.join("\n"));
    assert!(missed.len() * 8 <= failing, "{} of {failing} are not told:\n{}", missed.len(), missed.join("\n"));
}
