//! Which fields of which events a project reads: what a producer must keep.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use serde::Serialize;

use super::asked::asked;
use super::handlers;
use super::project::Project;
use crate::diagnostic::{Sources, Span};
use crate::script::types::{Read, Uses, path_to};
use crate::spec::program::{Pipeline, Program};

/// What is read of one version of an event type.
#[derive(Debug, PartialEq, Eq, Serialize)]
pub struct EventUses {
    pub event: String,
    pub version: u32,
    pub reads: Vec<Field>,
    /// Paths of values that are handed on, so that anything in them may be read.
    #[serde(skip_serializing_if = "BTreeSet::is_empty")]
    pub whole: BTreeSet<String>,
}

#[derive(Debug, PartialEq, Eq, Serialize)]
pub struct Field {
    /// From the event: `data.items[].sku`.
    pub path: String,
    /// Whether the project relies on its being there. `None`: no schema says whether it is.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub required: Option<bool>,
    /// Texts that it is compared with.
    #[serde(skip_serializing_if = "BTreeSet::is_empty")]
    pub values: BTreeSet<String>,
    pub at: BTreeSet<At>,
}

/// Where it is read.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct At {
    pub pipeline: String,
    /// Relative to the project.
    pub file: String,
    pub line: usize,
    pub column: usize,
}

/// By event type and version, each with its fields by path.
///
/// `schemas` is their directory, relative to the project.
pub fn uses(program: &Program, sources: &Sources, schemas: &Path) -> Vec<EventUses> {
    let project = Project::new(program, sources, schemas);
    let mut all = All::default();
    for pipeline in &program.pipelines {
        for (nth, subscription) in pipeline.subscriptions.iter().enumerate() {
            for version in subscription.versions.keys() {
                all.event(&subscription.event, *version);
                for asked in asked(pipeline, subscription) {
                    let field = all.field(&subscription.event, *version, path_to(&asked.path.0));
                    field.required = Some(true);
                    field.at.insert(at(pipeline, asked.of.place(&project, pipeline, nth)));
                }
            }
        }
        handlers::uses(&project, pipeline, &mut |event, version, uses| all.add(pipeline, (event, version), uses));
    }
    all.told()
}

fn at(pipeline: &Pipeline, span: Span) -> At {
    At { pipeline: pipeline.name.to_string(), file: span.file, line: span.line, column: span.column }
}

#[derive(Default)]
struct All(BTreeMap<(String, u32), Event>);

#[derive(Default)]
struct Event {
    fields: BTreeMap<String, Field>,
    whole: BTreeSet<String>,
}

impl All {
    fn event(&mut self, event: &str, version: u32) -> &mut Event {
        self.0.entry((event.to_owned(), version)).or_default()
    }

    fn field(&mut self, event: &str, version: u32, path: String) -> &mut Field {
        let new =
            |path: &String| Field { path: path.clone(), required: None, values: BTreeSet::new(), at: BTreeSet::new() };
        self.event(event, version).fields.entry(path).or_insert_with_key(new)
    }

    fn add(&mut self, pipeline: &Pipeline, (event, version): (&str, u32), uses: Uses) {
        for (path, Read { required, at: places, values, .. }) in uses.reads {
            let field = self.field(event, version, path);
            // Who relies on it decides.
            field.required = field.required.max(required);
            field.values.extend(values.iter().map(ToString::to_string));
            field.at.extend(places.into_iter().map(|span| at(pipeline, span)));
        }
        self.event(event, version).whole.extend(uses.whole);
    }

    fn told(self) -> Vec<EventUses> {
        let told = |((event, version), of): ((String, u32), Event)| {
            let Event { fields, whole } = of;
            EventUses { event, version, reads: fields.into_values().collect(), whole }
        };
        self.0.into_iter().map(told).collect()
    }
}
