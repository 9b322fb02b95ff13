//! Checks a script against the schemas of what it reads and emits: written by the input itself, or put together by it from
//! pieces that fit the schemas more or less. It ends soon, and whatever it tells has a place in the script.
//!
//! Whether what it is silent about goes well is asked elsewhere, of scripts that people write: here most never get far.
#![no_main]

use std::sync::LazyLock;
use std::time::{Duration, Instant};

use libfuzzer_sys::arbitrary::{Result, Unstructured};
use libfuzzer_sys::fuzz_target;
use serde_json::Value;
use sluicegate::script::types::{Document, Emits, Given, State};
use sluicegate::script::{Engine, Kind, Script, Source};
use sluicegate::spec::program::Limits;

macro_rules! schemas {
    ($($name:literal),*) => { [$(include_str!(concat!("../../src/script/types/tests/corpus/", $name, ".json"))),*] };
}

/// What the correct scripts of the tests are written over.
static SCHEMAS: LazyLock<Vec<(Value, Vec<String>)>> = LazyLock::new(|| {
    let all = schemas!("comment", "job", "order", "payment", "profile", "sensor", "shipment", "ticket");
    let read = |text: &str| {
        let schemas: Value = serde_json::from_str(text).expect("JSON");
        let mut names = Vec::new();
        named(&schemas, &mut names);
        (schemas, names)
    };
    all.into_iter().map(read).collect()
});

static ENGINE: LazyLock<Engine> =
    LazyLock::new(|| Engine::new(Limits::default(), std::path::Path::new("/nonexistent")));

/// Generous: the sanitizer and a busy machine are slow.
const PATIENCE: Duration = Duration::from_secs(8);

/// Pieces within each other.
const MAX_DEPTH: usize = 5;

fuzz_target!(|bytes: &[u8]| {
    let mut input = Unstructured::new(bytes);
    let Ok(chosen) = input.choose_index(SCHEMAS.len()) else { return };
    let (schemas, names) = &SCHEMAS[chosen];
    let text = match input.ratio(1, 4) {
        Ok(true) => String::from_utf8_lossy(input.take_rest()).into_owned(),
        _ => Writer { input, names, depth: 0 }.script().unwrap_or_default(),
    };
    for kind in [Kind::Handler, Kind::Upcaster, Kind::Filter] {
        let Ok(script) = ENGINE.compile(kind, &Source { file: "h.rhai", text: &text, line_offset: 0 }) else {
            continue;
        };
        let started = Instant::now();
        check(&script, schemas, &text);
        assert!(started.elapsed() < PATIENCE, "{:?}\n{text}", started.elapsed());
    }
});

fn check(script: &Script, schemas: &Value, text: &str) {
    let word = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let (event, emitted, key) = (word(&schemas["event"]), word(&schemas["emits"]["event"]), word(&schemas["key"]));
    let data = Document::new("1.json".to_owned(), &schemas["data"]);
    let of_emitted = Document::new("2.json".to_owned(), &schemas["emits"]["data"]);
    let key = ["data".to_owned(), key];
    let given = Given {
        event: &event,
        version: 1,
        data: &data,
        present: vec![&key],
        filter: None,
        state: State::default(),
        emits: vec![Emits { event: &emitted, version: 1, data: &of_emitted }],
        becomes: Some(&of_emitted),
    };
    let kept = State::left_by(&[(script, &given)]);
    for state in [State::default(), kept.in_order(), kept] {
        for found in script.check(&Given { state, ..given.clone() }) {
            let span = found.diagnostic.span.expect("a place");
            let line = text.split('\n').nth(span.line - 1).expect("it is in the script");
            assert!(span.column <= line.chars().count() + 1, "{span:?} in {text}");
        }
    }
}

/// The names of properties, and what they may be.
fn named(schema: &Value, names: &mut Vec<String>) {
    if let Some(properties) = schema["properties"].as_object() {
        names.extend(properties.keys().cloned());
    }
    match schema {
        Value::Object(members) => members.values().for_each(|inner| named(inner, names)),
        Value::Array(items) => items.iter().for_each(|inner| named(inner, names)),
        _ => {}
    }
}

/// Puts a script together from what the input chooses.
struct Writer<'i, 'n> {
    input: Unstructured<'i>,
    names: &'n [String],
    depth: usize,
}

impl Writer<'_, '_> {
    fn script(mut self) -> Result<String> {
        let mut text = String::new();
        while !self.input.is_empty() && text.len() < 4_000 {
            text += &self.statement()?;
            text += "\n";
        }
        Ok(text)
    }

    fn of(&mut self, choices: &[&'static str]) -> Result<&'static str> {
        self.input.choose(choices).copied()
    }

    fn deeper(&mut self, write: fn(&mut Self) -> Result<String>) -> Result<String> {
        if self.depth >= MAX_DEPTH {
            return self.path();
        }
        self.depth += 1;
        let text = write(self);
        self.depth -= 1;
        text
    }

    fn statement(&mut self) -> Result<String> {
        if self.depth >= MAX_DEPTH {
            return Ok(format!("{};", self.path()?));
        }
        let name = self.of(&["a", "b", "c", "item", "state.x"])?;
        Ok(match self.input.int_in_range(0..=13)? {
            0 | 1 => format!("let {} = {};", name.trim_start_matches("state."), self.value()?),
            2 => format!("{name} = {};", self.value()?),
            3 => format!("{} {} {};", self.path()?, self.of(&["=", "+=", "-=", "*=", "/="])?, self.value()?),
            4 | 5 => format!("if {} {} else {}", self.value()?, self.block()?, self.block()?),
            6 => format!("if {} {{ {}(\"x\"); }}", self.value()?, self.of(&["skip", "reject", "retry", "throw"])?),
            7 => format!("for item in {} {}", self.value()?, self.block()?),
            8 => format!("while {} {}", self.value()?, self.block()?),
            9 => format!(
                "switch {} {{ {} => {}, _ => {} }}",
                self.path()?,
                self.literal()?,
                self.value()?,
                self.value()?
            ),
            10 => format!("try {} catch (e) {}", self.block()?, self.block()?),
            11 => format!("fn {}(a) {{ {} }}", self.of(&["f", "g"])?, self.deeper(Self::statement)?),
            12 => format!("emit(\"{}\", {});", self.of(&["OrderTracked", "JobDone", "X"])?, self.map()?),
            _ => format!("{};", self.value()?),
        })
    }

    fn block(&mut self) -> Result<String> {
        Ok(format!(
            "{{ {} {} }}",
            self.deeper(Self::statement)?,
            self.of(&["", "", "break;", "continue;", "return;", "1"])?
        ))
    }

    fn value(&mut self) -> Result<String> {
        self.deeper(|writer| {
            Ok(match writer.input.int_in_range(0..=12)? {
                0 | 1 | 2 => writer.path()?,
                3 => writer.literal()?,
                4 | 5 => {
                    let operator =
                        writer.of(&["+", "-", "*", "/", "==", "!=", "<", ">=", "&&", "||", "in", "..", "%", "**"])?;
                    format!("{} {operator} {}", writer.value()?, writer.value()?)
                }
                6 => format!("({} ?? {})", writer.value()?, writer.value()?),
                7 => format!("type_of({})", writer.value()?),
                8 => format!(
                    "{}({})",
                    writer.of(&["f", "g", "max", "min", "parse_int", "log", "!", "-"])?,
                    writer.value()?
                ),
                9 => writer.map()?,
                10 => format!("[{}, {}]", writer.value()?, writer.value()?),
                11 => format!("if {} {{ {} }} else {{ {} }}", writer.value()?, writer.value()?, writer.value()?),
                _ => {
                    let method =
                        writer.of(&["map", "filter", "some", "all", "find", "reduce", "sort", "for_each", "push"])?;
                    format!("{}.{method}(|item| {})", writer.path()?, writer.value()?)
                }
            })
        })
    }

    fn map(&mut self) -> Result<String> {
        let (one, other) = (self.name()?, self.name()?);
        Ok(format!("#{{ {one}: {}, {other}_: {} }}", self.value()?, self.value()?))
    }

    fn name(&mut self) -> Result<String> {
        self.input.choose(self.names).cloned()
    }

    fn path(&mut self) -> Result<String> {
        let mut path = self
            .of(&["event.data", "event.data", "event.data", "event", "state", "ctx", "a", "b", "item", "this"])?
            .to_owned();
        for _ in 0..self.input.int_in_range(0..=4)? {
            match self.input.int_in_range(0..=7)? {
                0..=3 => path += &format!(".{}", self.name()?),
                4 => path += &format!("?.{}", self.name()?),
                5 => path += self.of(&["[0]", "[a]", "[\"kind\"]", "?[\"x\"]", "[item]", "[-1]"])?,
                6 => {
                    path +=
                        self.of(&[".len()", ".keys()", ".pop()", ".get(0)", ".to_string()", ".contains(\"kind\")"])?
                }
                _ => path += self.of(&[".kind", ".len", ".clear()", ".remove(\"kind\")", ".call(1)", ".to_json()"])?,
            }
        }
        Ok(path)
    }

    fn literal(&mut self) -> Result<String> {
        let all =
            ["()", "0", "1", "1.5", "\"x\"", "\"card\"", "\"paid\"", "'c'", "true", "[]", "#{}", "\"string\"", "|x| x"];
        self.of(&all).map(str::to_owned)
    }
}
