//! What schemas and pipelines by themselves were found to be, for the next look at the project.

use std::collections::HashMap;
use std::sync::Arc;

use serde_json::Value;

use super::project::{Project, Used};
use super::{Check, Findings, RULES, Rule, handlers};
use crate::diagnostic::{Diagnostic, rules};
use crate::schema::Schema;
use crate::spec::locate::{NodePath, Target};
use crate::spec::program::Pipeline;

/// What is wrong with a schema.
pub struct Flaw {
    pub at: Where,
    pub message: String,
    pub help: String,
}

pub enum Where {
    InSchema(NodePath, Target),
    /// Where the event is named, and only of its newest version. JSON has no comments, and it may be meant.
    AtEvent,
}

#[derive(Default)]
pub struct Seen {
    schemas: Kept<Schema, Vec<(&'static rules::Rule, Flaw)>>,
    pipelines: Kept<Pipeline, Vec<Diagnostic>>,
}

impl Seen {
    /// What is wrong with the schemas and pipelines of a project, each by itself.
    pub(super) fn look(&mut self, project: &Project<'_>) -> Vec<Diagnostic> {
        let mut found = Vec::new();
        for Used { kind, version, schema } in project.schemas_in_use() {
            for (rule, Flaw { at, message, help }) in self.schemas.of(schema, || flaws(schema.document())) {
                let file = project.schema_file(kind, version);
                let flaw = Diagnostic::new(rule, message.clone());
                match at {
                    Where::InSchema(path, target) => {
                        found.push(flaw.at(project.place(&file, path, *target)).help(help.clone()));
                    }
                    Where::AtEvent => {
                        let event = project.event(kind).filter(|event| event.newest == version);
                        let flaw = |event| flaw.at(project.at_event(event)).help(format!("in `{file}`, {help}"));
                        found.extend(event.map(flaw));
                    }
                }
            }
        }
        for pipeline in &project.program.pipelines {
            // A script that several pipelines share is told of once.
            for finding in self.pipelines.of(pipeline, || findings(project, pipeline)) {
                if !found.contains(finding) {
                    found.push(finding.clone());
                }
            }
        }
        // Pipelines first: they hold schemas.
        self.pipelines.forget_the_gone();
        self.schemas.forget_the_gone();
        found
    }
}

fn flaws(schema: &Value) -> Vec<(&'static rules::Rule, Flaw)> {
    let mut found = Vec::new();
    for rule in RULES {
        if let Check::Schema(check) = rule.check {
            found.extend(check(schema).into_iter().map(|flaw| (&rule.rule, flaw)));
        }
    }
    found
}

fn findings(project: &Project<'_>, pipeline: &Pipeline) -> Vec<Diagnostic> {
    let mut found = Vec::new();
    for Rule { rule, check, .. } in RULES {
        if let Check::Pipeline(check) = check {
            let mut findings = Findings { rule, found: Vec::new() };
            check(project, pipeline, &mut findings);
            found.append(&mut findings.found);
        }
    }
    found.append(&mut handlers::check(project, pipeline));
    found
}

/// By address: a thing is never changed, and its address is nothing else's as long as it is held here.
struct Kept<T, V>(HashMap<usize, (Arc<T>, V)>);

impl<T, V> Default for Kept<T, V> {
    fn default() -> Self {
        Self(HashMap::new())
    }
}

impl<T, V> Kept<T, V> {
    fn of(&mut self, thing: &Arc<T>, make: impl FnOnce() -> V) -> &V {
        &self.0.entry(Arc::as_ptr(thing).addr()).or_insert_with(|| (Arc::clone(thing), make())).1
    }

    fn forget_the_gone(&mut self) {
        self.0.retain(|_, (thing, _)| Arc::strong_count(thing) > 1);
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::path::PathBuf;

    use super::super::{judge_again, tests::project};
    use super::*;
    use crate::spec::{self, Cache, Changed, Loaded};

    const FILE: &str = "schemas/OrderCreated/1.json";
    const SLIP: &str = r#"{ "type": "object", "required": ["order_id"], "propertees": { "order_id": {} } }"#;

    fn rules_of(loaded: &Loaded) -> Vec<&str> {
        loaded
            .diagnostics
            .iter()
            .filter(|found| found.span.as_ref().is_some_and(|at| at.file == FILE))
            .map(|found| found.rule)
            .collect()
    }

    #[test]
    fn a_schema_is_looked_at_again_when_it_is_another_and_only_then() {
        let project = project([(FILE, SLIP), ("sluice.yaml", "channels: { orders: { local: {} } }\n")]);
        let (mut cache, mut seen) = (Cache::default(), Seen::default());
        let mut look = |text: &str, seen: &mut Seen| {
            fs::write(project.path().join(FILE), text).expect("a file");
            cache.forget(project.path(), &Changed::new([PathBuf::from(FILE)]));
            judge_again(spec::load_again(project.path(), &|_| false, &mut cache), seen)
        };
        let first = look(SLIP, &mut seen);
        assert_eq!(rules_of(&first), [rules::ALMOST_KEYWORD.id]);
        let addresses = |seen: &Seen| seen.schemas.0.keys().copied().collect::<Vec<_>>();
        let of_first = addresses(&seen);
        assert!(!of_first.is_empty());

        drop(first);
        let mended = look(&SLIP.replace("propertees", "properties"), &mut seen);
        assert_eq!(rules_of(&mended), [""; 0]);
        drop(mended);
        assert_eq!(rules_of(&look(SLIP, &mut seen)), [rules::ALMOST_KEYWORD.id]);
        // What no project has any more is not kept.
        assert_eq!(addresses(&seen).len(), of_first.len());
    }
}
