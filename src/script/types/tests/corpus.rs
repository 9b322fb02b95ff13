//! The scripts and schemas in `corpus`: handlers that do nothing wrong, as people write them.
//!
//! `payment.json` has the schemas of what is read and of what is emitted, `payment.rhai` the scripts over them, each under
//! a heading. Of `job` there are two files: `job.published.rhai` does what the scripts that Rhai publishes do, and
//! `job.language.rhai` goes through its reference, feature by feature.

use std::fs;
use std::path::PathBuf;

use serde_json::Value;

use crate::diagnostic::Diagnostic;
use crate::schema::Schema;
use crate::script::types::{Document, Emits, Finding, Given, State};
use crate::script::{Engine, Kind, Script, Source};
use crate::spec::program::Limits;

/// What stands before the name of a script.
const HEADING: &str = "// ## ";

/// The schemas of a pipeline, and handlers for it.
pub(super) struct Corpus {
    pub(super) name: String,
    pub(super) event: String,
    /// The member of the data that is the key.
    pub(super) key: String,
    pub(super) data: Value,
    /// What may be emitted, and its schema.
    pub(super) emits: (String, Value),
    pub(super) scripts: Vec<Example>,
}

pub(super) struct Example {
    pub(super) name: String,
    pub(super) text: String,
}

pub(super) fn folder() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("src/script/types/tests/corpus")
}

/// Finds what is in `corpus/lib`.
pub(super) fn engine() -> Engine {
    Engine::new(Limits::default(), &folder())
}

pub(super) fn corpora() -> Vec<Corpus> {
    let mut names: Vec<String> =
        files().into_iter().filter_map(|name| Some(name.strip_suffix(".json")?.to_owned())).collect();
    names.sort();
    names.iter().map(|name| Corpus::read(name)).collect()
}

fn files() -> Vec<String> {
    let entries = fs::read_dir(folder()).expect("a folder").map(|entry| entry.expect("an entry").file_name());
    let mut names: Vec<String> = entries.map(|name| name.into_string().expect("a plain name")).collect();
    names.sort();
    names
}

impl Corpus {
    pub(super) fn read(name: &str) -> Self {
        let text =
            |file: &str| fs::read_to_string(folder().join(file)).unwrap_or_else(|error| panic!("{file}: {error}"));
        let mut schemas: Value = serde_json::from_str(&text(&format!("{name}.json"))).expect("JSON");
        let word = |value: &Value| value.as_str().expect("a text").to_owned();
        let of = |file: &String| file.starts_with(&format!("{name}.")) && file.ends_with(".rhai");
        let scripts = files().into_iter().filter(of).flat_map(|file| examples(&text(&file))).collect();
        Self {
            name: name.to_owned(),
            event: word(&schemas["event"]),
            key: word(&schemas["key"]),
            emits: (word(&schemas["emits"]["event"]), schemas["emits"]["data"].take()),
            data: schemas["data"].take(),
            scripts,
        }
    }

    /// What is told of a handler that is alone in its pipeline.
    pub(super) fn check(&self, script: &Script) -> Vec<Finding> {
        let (emitted, of_emitted) = &self.emits;
        let data = Document::new(format!("schemas/{}/1.json", self.event), &self.data);
        let of_emitted = Document::new(format!("schemas/{emitted}/1.json"), of_emitted);
        let key = ["data".to_owned(), self.key.clone()];
        let given = Given {
            event: &self.event,
            version: 1,
            data: &data,
            present: vec![&key],
            filter: None,
            state: State::default(),
            emits: vec![Emits { event: emitted, version: 1, data: &of_emitted }],
            becomes: None,
        };
        script.check(&Given { state: State::left_by(&[(script, &given)]), ..given })
    }

    /// What accepts an emission.
    pub(super) fn accepts(&self) -> Schema {
        Schema::compile(&self.emits.1).expect("a schema")
    }
}

fn examples(text: &str) -> Vec<Example> {
    let split = |part: &str| {
        let (name, text) = part.split_once('\n').expect("a script under its name");
        Example { name: name.to_owned(), text: text.trim_end().to_owned() }
    };
    text.split(HEADING).skip(1).map(split).collect()
}

pub(super) fn compiled(engine: &Engine, text: &str) -> Result<Script, Vec<Diagnostic>> {
    engine.compile(Kind::Handler, &Source { file: "h.rhai", text, line_offset: 0 })
}
