//! Handlers, upcasters and filters against the schemas of the events that they read and emit.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::project::Project;
use crate::diagnostic::Diagnostic;
use crate::schema::Schema;
use crate::script::Script;
use crate::script::types::{Document, Emits, Finding, Given, Says, State};
use crate::spec::locate::NodePath;
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
    let Finding { mut diagnostic, says } = found;
    if let Some(Says { what, file, pointer }) = says {
        let said = format!("{what} `{file}:{}`", project.at(&file, &NodePath::from_pointer(&pointer)).line);
        diagnostic.help = Some(match diagnostic.help {
            Some(help) => format!("{help} ({said})"),
            None => said,
        });
    }
    // One that stands in the pipeline's file stands within a text of that file.
    if script.file() == pipeline.file {
        diagnostic = project.within(&pipeline.file, base, script.text(), diagnostic);
        if let (Some(fix), Some(span)) = (&mut diagnostic.fix, &diagnostic.span) {
            fix.span = span.clone();
        }
    }
    diagnostic
}
