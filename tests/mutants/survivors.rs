//! What lint may say nothing of, and why: each class was looked at, slip by slip.

use super::edits::{Edit, Kind};

pub struct Class {
    pub name: &'static str,
    pub why: &'static str,
    /// Of the five hundred. Fewer are as much news as more: then write the new number.
    pub count: usize,
    pub holds: fn(&Edit) -> bool,
}

/// The first that holds counts.
pub const CLASSES: &[Class] = &[
    Class {
        name: "a file of scenarios is gone",
        why: "nothing else names it; it is as if nobody had written it",
        count: 2,
        holds: |edit| edit.kind == Kind::RemovedFile && is_scenario(edit),
    },
    Class {
        name: "a scenario gives or demands something else",
        why: "it fits the schemas, and which of the two is meant, it or the pipeline, a person knows; `sluice test` tells",
        count: 32,
        holds: is_scenario,
    },
    Class {
        name: "a handler and a schema contradict each other",
        why: "no valid event goes wrong by it as far as the type checker can follow: an open \
              schema leaves room for what it does not describe",
        count: 1,
        holds: |edit| edit.file.starts_with("schemas/") || is_against_schema(edit),
    },
    Class {
        name: "a handler does something else",
        why: "it is as sound as before; scenarios say what it is to do",
        count: 13,
        holds: |edit| is_script(edit),
    },
    Class {
        name: "a setting is another that could be meant",
        why: "numbers of a sequence may begin with any",
        count: 1,
        holds: |edit| edit.before.starts_with("sequence: ") && edit.kind == Kind::OtherNumber,
    },
    Class {
        name: "an envelope's map looks elsewhere",
        why: "messages of somebody else's making are described nowhere",
        count: 2,
        holds: |edit| edit.file == "sluice.yaml" && edit.before.contains("{ path: ."),
    },
];

fn is_scenario(edit: &Edit) -> bool {
    edit.file.ends_with(".test.yaml")
}

/// A file of its own, or lines of a pipeline.
fn is_script(edit: &Edit) -> bool {
    edit.file.ends_with(".rhai") || edit.before.starts_with("      state.")
}

/// What it reads of an event, what it makes one of, or what it calls a function with.
fn is_against_schema(edit: &Edit) -> bool {
    let makes_event = edit.file.ends_with("_1_to_2.rhai") || edit.file.ends_with("lib/invoice.rhai");
    let reads = |line: &str| -> Vec<String> {
        let words = line.split(|c: char| !c.is_alphanumeric() && !"._".contains(c));
        words.filter(|word| word.starts_with("event.") || word.starts_with("ctx.")).map(str::to_owned).collect()
    };
    let reads_others = edit.kind == Kind::MisspeltName && reads(&edit.before) != reads(&edit.after);
    is_script(edit) && (makes_event || reads_others || (edit.kind == Kind::OtherType && edit.before.contains('(')))
}
