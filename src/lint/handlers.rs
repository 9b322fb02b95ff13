//! Handlers, upcasters and filters against the schemas of the events that they read and emit.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::project::Project;
use crate::diagnostic::{Diagnostic, Span};
use crate::schema::Schema;
use crate::script::Script;
use crate::script::types::{Document, Emits, Finding, Given, Says, State, Uses};
use crate::spec::locate::{NodePath, Target};
use crate::spec::program::{EventTime, FieldPath, Pipeline};

/// The key of a subscription's handler.
const HANDLER: &str = "script";

/// What the scripts of a pipeline do wrong, by all rules about that.
pub fn check(project: &Project<'_>, pipeline: &Pipeline) -> Vec<Diagnostic> {
    let documents = Documents::of(project, pipeline);
    let mut all = Vec::new();
    let mut scripts: Vec<_> =
        (0..pipeline.subscriptions.len()).flat_map(|nth| scripts(pipeline, nth, &documents)).collect();
    let kept = state(&scripts);
    let in_order = pipeline.sequence.is_some() || pipeline.resequence.is_some();
    for Checked { script, given, nth, path } in &mut scripts {
        let waits = in_order || !pipeline.subscriptions[*nth].after.is_empty();
        given.state = if waits { kept.in_order() } else { kept.clone() };
        let base = NodePath::default().key("subscriptions").index(*nth).key(path);
        for found in script.check(given) {
            all.push(placed(project, pipeline, script, &base, found));
        }
    }
    all
}

/// Tells what each script of a pipeline reads, by the type and the version of the event that it sees.
pub fn uses(project: &Project<'_>, pipeline: &Pipeline, tell: &mut dyn FnMut(&str, u32, Uses)) {
    let documents = Documents::of(project, pipeline);
    for Checked { script, given, nth, path } in
        (0..pipeline.subscriptions.len()).flat_map(|nth| scripts(pipeline, nth, &documents))
    {
        let base = NodePath::default().key("subscriptions").index(nth).key(path);
        let mut uses = script.uses(&given);
        for read in uses.reads.values_mut() {
            read.at = read.at.iter().map(|span| in_file(project, pipeline, script, &base, span)).collect();
        }
        tell(given.event, given.version, uses);
    }
}

/// A script of a subscription, what it is given, and the key that it is written under.
struct Checked<'d> {
    script: &'d Script,
    given: Given<'d>,
    nth: usize,
    path: &'static str,
}

/// What they keep for a key, as far as they look at it.
fn state<'d>(scripts: &[Checked<'d>]) -> State<'d> {
    if !scripts.iter().any(|checked| checked.script.text().contains("state")) {
        return State::default();
    }
    let handlers = scripts.iter().filter(|checked| checked.path == HANDLER);
    State::left_by(&handlers.map(|checked| (checked.script, &checked.given)).collect::<Vec<_>>())
}

/// Every schema with the file that it is in.
struct Documents<'a>(BTreeMap<(&'a str, u32), Document<'a>>);

impl<'a> Documents<'a> {
    fn of(project: &Project<'_>, pipeline: &'a Pipeline) -> Self {
        let mut documents = BTreeMap::new();
        let mut add = |kind: &'a str, version: u32, schema: &'a Arc<Schema>| {
            let document = || Document::new(project.schema_file(kind, version), schema.document());
            documents.entry((kind, version)).or_insert_with(document);
        };
        for subscription in &pipeline.subscriptions {
            subscription.versions.iter().for_each(|(version, schema)| add(&subscription.event, *version, schema));
        }
        pipeline.emits.iter().for_each(|emit| add(&emit.event, emit.version, &emit.schema));
        Self(documents)
    }
}

/// The scripts of the nth subscription.
fn scripts<'d, 'a: 'd>(pipeline: &'a Pipeline, nth: usize, documents: &'d Documents<'a>) -> Vec<Checked<'d>> {
    let subscription = &pipeline.subscriptions[nth];
    let document = |kind: &'a str, version: u32| documents.0.get(&(kind, version));
    let given = |version: u32| {
        let present = [Some(&subscription.key), number(pipeline), time(pipeline)];
        Some(Given {
            event: &subscription.event,
            version,
            data: document(&subscription.event, version)?,
            present: present.into_iter().flatten().map(|path| path.0.as_slice()).collect(),
            filter: None,
            state: State::default(),
            emits: Vec::new(),
            becomes: None,
        })
    };
    let mut all = Vec::new();
    for (from, upcast) in &subscription.upcasts {
        let given = given(*from).zip(document(&subscription.event, upcast.to));
        all.extend(given.map(|(given, to)| (&*upcast.script, Given { becomes: Some(to), ..given }, "upcast")));
    }
    if let (Some(filter), Some(given)) = (&subscription.filter, given(subscription.newest)) {
        all.push((&**filter, given, "where"));
    }
    if let Some(mut given) = given(subscription.newest) {
        given.filter = subscription.filter.as_deref();
        let emits = pipeline.emits.iter().filter_map(|emit| {
            let data = document(&emit.event, emit.version)?;
            Some(Emits { event: &emit.event, version: emit.version, data })
        });
        given.emits = emits.collect();
        all.push((&*subscription.handler, given, HANDLER));
    }
    all.into_iter().map(|(script, given, path)| Checked { script, given, nth, path }).collect()
}

fn number(pipeline: &Pipeline) -> Option<&FieldPath> {
    pipeline.sequence.as_ref().map(|sequence| &sequence.by)
}

fn time(pipeline: &Pipeline) -> Option<&FieldPath> {
    match &pipeline.resequence.as_ref()?.by {
        EventTime::Path(path) => Some(path),
        _ => None,
    }
}

/// A finding at its place in the file, with the line of the schema that says so.
fn placed(project: &Project<'_>, pipeline: &Pipeline, script: &Script, base: &NodePath, found: Finding) -> Diagnostic {
    let Finding { mut diagnostic, called, says } = found;
    if let Some(span) = &mut diagnostic.span {
        *span = in_file(project, pipeline, script, base, span);
        if let Some(fix) = &mut diagnostic.fix {
            fix.span = span.clone();
        }
    }
    if let Some(Says { label, file, pointer }) = says {
        let path = NodePath::from_pointer(&pointer);
        let target = if path.0.is_empty() { Target::Value } else { Target::Key(0) };
        diagnostic = diagnostic.related(project.place(&file, &path, target), label);
    }
    if let Some(called) = called {
        diagnostic = diagnostic.related(in_file(project, pipeline, script, base, &called), "called here");
    }
    diagnostic
}

/// A script that stands in the pipeline's file is a text within that file.
fn in_file(project: &Project<'_>, pipeline: &Pipeline, script: &Script, base: &NodePath, span: &Span) -> Span {
    if script.file() == pipeline.file && span.file == pipeline.file {
        project.within(&pipeline.file, base, script.text(), span)
    } else {
        span.clone()
    }
}

#[cfg(test)]
mod tests {
    use super::super::judge;
    use super::super::tests::project;
    use crate::spec;

    const PIPELINE: &str = "\
pipeline: orders
key: data.order_id
subscriptions:
  - event: OrderCreated
    from: orders
    versions: [1]
    handler: created.rhai
emits:
  - { event: OrderPaid, version: 1, to: payments }
";
    const CREATED: &str = r##"{
  "type": "object", "additionalProperties": false, "required": ["order_id", "status", "place"],
  "properties": {
    "order_id": { "type": "string" }, "note": { "type": "string" }, "mark": { "type": ["string", "null"] },
    "status": { "enum": ["created", "paid"] }, "place": { "$ref": "#/$defs/place" }
  },
  "$defs": { "place": {
    "type": "object", "required": ["city"],
    "properties": { "city": { "type": "string" } }, "additionalProperties": { "type": "string" }
  } }
}"##;
    const PAID: &str = r#"{
  "type": "object", "additionalProperties": false, "required": ["order_id", "cents"],
  "properties": { "order_id": { "type": "string" }, "cents": { "type": "integer" } }
}"#;

    #[test]
    fn a_finding_marks_the_words_of_the_schema_that_are_why() {
        for (script, marks) in [
            ("state.x = event.data.custmer;", vec![("\"properties\"", 3, "its properties are given here")]),
            ("state.x = event.data.note.len();", vec![("\"note\"", 4, "it is not `required`")]),
            ("state.x = event.data.mark.len();", vec![("\"type\"", 4, "null is allowed here")]),
            ("state.x = event.data.place.zip.len();", vec![("\"place\"", 7, "this object need not have it")]),
            ("state.x = event.data.place.city - 1;", vec![("\"type\"", 9, "its type is given here")]),
            ("state.x = event.data.status == \"payed\";", vec![("\"enum\"", 5, "its values are given here")]),
            (
                "state.x = switch event.data.status { \"paid\" => 1 };",
                vec![("\"enum\"", 5, "its values are given here")],
            ),
            ("emit(\"OrderPaid\", #{ order_id: \"o\" });", vec![("\"cents\"", 2, "it is `required` here")]),
            ("fn half(n) { n / 2 } state.x = half(\"a\");", vec![("half", 1, "called here")]),
            (
                "emit(\"OrderPaid\", #{ order_id: \"o\", cents: \"1\" });",
                vec![("\"type\"", 3, "its type is given here")],
            ),
            (
                "emit(\"OrderPaid\", #{ order_id: \"o\", cents: 1, sum: 1 });",
                vec![("\"additionalProperties\"", 2, "no others are allowed")],
            ),
        ] {
            let files = [
                ("pipelines/orders.yaml", PIPELINE),
                ("pipelines/created.rhai", script),
                ("schemas/OrderCreated/1.json", CREATED),
                ("schemas/OrderPaid/1.json", PAID),
            ];
            let judged = judge(spec::load_for_lint(project(files).path(), &|_| false));
            let of_script = judged.diagnostics.iter().filter(|found| found.rule.starts_with("SG2"));
            let found: Vec<_> = of_script.flat_map(|found| &found.related).collect();
            let found: Vec<(&str, usize, &str)> = found
                .iter()
                .map(|related| {
                    let line =
                        judged.sources.0[&*related.span.file].lines().nth(related.span.line - 1).expect("a line");
                    let word = &line[related.span.column - 1..related.span.end_column - 1];
                    (word, related.span.line, related.label.as_str())
                })
                .collect();
            assert_eq!(found, marks, "{script}");
        }
    }
}
