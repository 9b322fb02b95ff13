//! What schemas and pipelines by themselves were found to be, for the next look at the project.

use std::collections::{BTreeMap, HashMap};
use std::panic::resume_unwind;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::thread;

use serde_json::Value;

use super::project::{Project, Used};
use super::{Check, Findings, RULES, Rule, handlers};
use crate::diagnostic::{Diagnostic, rules};
use crate::schema::Schema;
use crate::spec::locate::{NodePath, Target};
use crate::spec::program::Pipeline;

/// Of a thread: what is looked at can be nested.
const STACK_BYTES: usize = 64 << 20;

/// Below so many things another thread is not worth while.
const WORTH_A_THREAD: usize = 16;

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
    schemas: Kept<Schema, (&'static rules::Rule, Flaw)>,
    pipelines: Kept<Pipeline, Diagnostic>,
}

impl Seen {
    /// What is wrong with the schemas and pipelines of a project, each by itself.
    pub(super) fn look(&mut self, project: &Project<'_>) -> Vec<Diagnostic> {
        let mut found = Vec::new();
        let schemas = project.schemas_in_use();
        self.schemas.learn(schemas.iter().map(|used| used.schema), |schema| flaws(schema.document()));
        for Used { kind, version, schema } in schemas {
            for (rule, Flaw { at, message, help }) in self.schemas.of(schema) {
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
        self.pipelines.learn(project.program.pipelines.iter(), |pipeline| findings(project, pipeline));
        for pipeline in &project.program.pipelines {
            // A script that several pipelines share is told of once.
            for finding in self.pipelines.of(pipeline) {
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
struct Kept<T, F>(HashMap<usize, (Arc<T>, Vec<F>)>);

impl<T, F> Default for Kept<T, F> {
    fn default() -> Self {
        Self(HashMap::new())
    }
}

impl<T: Send + Sync, F: Send> Kept<T, F> {
    /// Finds out what is not known of these yet, on all cores.
    fn learn<'t>(&mut self, things: impl Iterator<Item = &'t Arc<T>>, make: impl Fn(&T) -> Vec<F> + Sync)
    where
        T: 't,
    {
        let new: BTreeMap<usize, &Arc<T>> = things
            .map(|thing| (Arc::as_ptr(thing).addr(), thing))
            .filter(|(address, _)| !self.0.contains_key(address))
            .collect();
        let new: Vec<&Arc<T>> = new.into_values().collect();
        let next = AtomicUsize::new(0);
        let work = || {
            let mut made = Vec::new();
            while let Some(thing) = new.get(next.fetch_add(1, Relaxed)) {
                made.push((Arc::as_ptr(thing).addr(), (Arc::clone(thing), make(thing))));
            }
            made
        };
        let helpers = thread::available_parallelism().map_or(1, usize::from).min(new.len().div_ceil(WORTH_A_THREAD));
        let made: Vec<_> = thread::scope(|scope| {
            let spawned: Vec<_> = (1..helpers)
                .filter_map(|_| thread::Builder::new().stack_size(STACK_BYTES).spawn_scoped(scope, work).ok())
                .collect();
            let mut made = work();
            for thread in spawned {
                match thread.join() {
                    Ok(more) => made.extend(more),
                    Err(panic) => resume_unwind(panic),
                }
            }
            made
        });
        self.0.extend(made);
    }

    fn of(&self, thing: &Arc<T>) -> &[F] {
        self.0.get(&Arc::as_ptr(thing).addr()).map_or(&[], |(_, found)| found)
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
