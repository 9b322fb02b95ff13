//! A sound project as rules see it: the program, and where in the files each thing of it stands.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::{Arc, OnceLock};

use crate::diagnostic::{Sources, Span};
use crate::event::ChannelName;
use crate::schema::Schema;
use crate::spec::locate::{NodePath, Target};
use crate::spec::program::{Pipeline, Program};
use crate::spec::{self, PROJECT_FILE};

pub struct Project<'a> {
    pub program: &'a Program,
    sources: &'a Sources,
    /// The directory of schemas, relative to the project.
    schemas: &'a Path,
    events: OnceLock<Vec<Named<'a>>>,
}

/// An event type, as some pipeline names it first.
pub struct Named<'a> {
    pub kind: &'a str,
    pipeline: &'a Pipeline,
    /// The list of the pipeline that names it, and where in it.
    list: &'static str,
    at: usize,
    /// Of all that the project takes or emits.
    pub newest: u32,
    /// Every channel that some pipeline takes it from.
    pub from: Vec<&'a ChannelName>,
}

/// A schema that some subscription or emission needs.
pub struct Used<'a> {
    pub kind: &'a str,
    pub version: u32,
    pub schema: &'a Arc<Schema>,
}

impl<'a> Project<'a> {
    pub fn new(program: &'a Program, sources: &'a Sources, schemas: &'a Path) -> Self {
        Self { program, sources, schemas, events: OnceLock::new() }
    }

    /// The span of a value.
    pub fn at(&self, file: &str, path: &NodePath) -> Span {
        self.place(file, path, Target::Value)
    }

    /// The span of the key that leads to a value.
    pub fn at_key(&self, file: &str, path: &NodePath) -> Span {
        self.place(file, path, Target::Key(0))
    }

    pub fn place(&self, file: &str, path: &NodePath, target: Target) -> Span {
        spec::place(self.sources, file, path, target)
    }

    /// A place in a text within a file, as one in that file.
    pub fn within(&self, file: &str, path: &NodePath, text: &str, found: &Span) -> Span {
        spec::within(self.sources, file, path, text, found)
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
                subscription.versions.iter().map(|(version, schema)| ((&*subscription.event, *version), schema))
            });
            taken.chain(pipeline.emits.iter().map(|emit| ((&*emit.event, emit.version), &emit.schema)))
        };
        let needed: BTreeMap<(&'a str, u32), &'a Arc<Schema>> = self.program.pipelines.iter().flat_map(of).collect();
        needed.into_iter().map(|((kind, version), schema)| Used { kind, version, schema }).collect()
    }

    /// Every event type, by name; found once for all checks.
    pub fn events(&self) -> &[Named<'a>] {
        self.events.get_or_init(|| self.find_events())
    }

    pub fn event(&self, kind: &str) -> Option<&Named<'a>> {
        let events = self.events();
        events.binary_search_by(|event| event.kind.cmp(kind)).ok().and_then(|at| events.get(at))
    }

    fn find_events(&self) -> Vec<Named<'a>> {
        let mut events: BTreeMap<&str, Named<'a>> = BTreeMap::new();
        for pipeline in &self.program.pipelines {
            let mut name = |kind: &'a str, newest: u32, list: &'static str, at: usize, from: &'a [ChannelName]| {
                let new = Named { kind, pipeline, list, at, newest, from: Vec::new() };
                let known = events.entry(kind).or_insert(new);
                known.newest = known.newest.max(newest);
                known.from.extend(from);
            };
            for (at, subscription) in pipeline.subscriptions.iter().enumerate() {
                name(&subscription.event, subscription.newest, "subscriptions", at, &subscription.from);
            }
            for (at, emit) in pipeline.emits.iter().enumerate() {
                name(&emit.event, emit.version, "emits", at, &[]);
            }
        }
        events.into_values().collect()
    }

    /// Where it is named.
    pub fn at_event(&self, named: &Named<'_>) -> Span {
        self.at(&named.pipeline.file, &NodePath::default().key(named.list).index(named.at).key("event"))
    }

    pub fn schema_file(&self, kind: &str, version: u32) -> String {
        let file = self.schemas.join(kind).join(format!("{version}.json"));
        let file: Vec<_> = file.iter().map(|part| part.to_string_lossy()).filter(|part| part != ".").collect();
        file.join("/")
    }
}
