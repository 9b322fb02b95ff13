//! A sound project as rules see it: the program, and where in the files each thing of it stands.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::Arc;

use serde_json::Value;

use crate::diagnostic::{Sources, Span};
use crate::event::ChannelName;
use crate::spec::locate::{NodePath, Target};
use crate::spec::program::{Pipeline, Program, Subscription};
use crate::spec::{self, PROJECT_FILE};

pub struct Project<'a> {
    pub program: &'a Program,
    sources: &'a Sources,
    /// The directory of schemas, relative to the project.
    schemas: &'a Path,
}

/// An event type, as some pipeline names it first.
pub struct Named<'a> {
    pub kind: &'a str,
    pipeline: &'a Pipeline,
    /// Of the subscription or the emission.
    path: NodePath,
    /// Of all that the project takes or emits.
    pub newest: u32,
    /// Every channel that some pipeline takes it from.
    pub from: Vec<&'a ChannelName>,
}

/// A schema that some subscription or emission needs.
pub struct Used<'a> {
    pub kind: &'a str,
    pub version: u32,
    pub file: String,
    pub schema: Value,
}

impl Used<'_> {
    pub fn is_taken_by(&self, subscription: &Subscription) -> bool {
        subscription.event == self.kind && subscription.versions.contains_key(&self.version)
    }
}

impl<'a> Project<'a> {
    pub fn new(program: &'a Program, sources: &'a Sources, schemas: &'a Path) -> Self {
        Self { program, sources, schemas }
    }

    /// The span of a value.
    pub fn at(&self, file: &str, path: &NodePath) -> Span {
        spec::place(self.sources, file, path, Target::Value)
    }

    /// The span of the key that leads to a value.
    pub fn at_key(&self, file: &str, path: &NodePath) -> Span {
        spec::place(self.sources, file, path, Target::Key(0))
    }

    /// Where a setting of a pipeline is said: in its own file, else under `defaults`.
    pub fn at_setting(&self, pipeline: &Pipeline, keys: &[&str]) -> Span {
        let path = |root: NodePath| keys.iter().fold(root, |path, key| path.key(key));
        let own = path(NodePath::default());
        if self.says(&pipeline.file, &own) {
            self.at(&pipeline.file, &own)
        } else {
            self.at(PROJECT_FILE, &path(NodePath::default().key("defaults")))
        }
    }

    /// Whether a file has such a node.
    pub fn says(&self, file: &str, path: &NodePath) -> bool {
        spec::has(self.sources, file, path)
    }

    /// Every schema that is needed, of all versions.
    pub fn schemas_in_use(&self) -> Vec<Used<'a>> {
        let of = |pipeline: &'a Arc<Pipeline>| {
            let taken = pipeline.subscriptions.iter().flat_map(|subscription| {
                subscription.versions.keys().map(|version| (subscription.event.as_str(), *version))
            });
            taken.chain(pipeline.emits.iter().map(|emit| (emit.event.as_str(), emit.version)))
        };
        let needed: BTreeSet<(&'a str, u32)> = self.program.pipelines.iter().flat_map(of).collect();
        let read = |(kind, version)| {
            let (file, schema) = self.read_schema(kind, version)?;
            Some(Used { kind, version, file, schema })
        };
        needed.into_iter().filter_map(read).collect()
    }

    /// Every event type, by name.
    pub fn events(&self) -> Vec<Named<'a>> {
        let mut events: BTreeMap<&str, Named<'a>> = BTreeMap::new();
        for pipeline in &self.program.pipelines {
            let mut name = |kind: &'a str, newest: u32, path: NodePath, from: &'a [ChannelName]| {
                let new = Named { kind, pipeline, path, newest, from: Vec::new() };
                let known = events.entry(kind).or_insert(new);
                known.newest = known.newest.max(newest);
                known.from.extend(from);
            };
            let root = NodePath::default();
            for (at, subscription) in pipeline.subscriptions.iter().enumerate() {
                let path = root.key("subscriptions").index(at);
                name(&subscription.event, subscription.newest, path, &subscription.from);
            }
            for (at, emit) in pipeline.emits.iter().enumerate() {
                name(&emit.event, emit.version, root.key("emits").index(at), &[]);
            }
        }
        events.into_values().collect()
    }

    /// Where it is named.
    pub fn at_event(&self, named: &Named<'_>) -> Span {
        self.at(&named.pipeline.file, &named.path.key("event"))
    }

    /// The file of the schema of an event's newest version, and what is in it.
    pub fn schema(&self, named: &Named<'_>) -> Option<(String, Value)> {
        self.read_schema(named.kind, named.newest)
    }

    fn read_schema(&self, kind: &str, version: u32) -> Option<(String, Value)> {
        let file = self.schemas.join(kind).join(format!("{version}.json"));
        let file: Vec<_> = file.iter().map(|part| part.to_string_lossy()).filter(|part| part != ".").collect();
        let file = file.join("/");
        let schema = serde_json::from_str(self.sources.0.get(&file)?).ok()?;
        Some((file, schema))
    }
}
