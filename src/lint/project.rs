//! A sound project as rules see it: the program, and where in the files each thing of it stands.

use std::cell::OnceCell;
use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use serde_json::Value;

use crate::diagnostic::{Diagnostic, Sources, Span};
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
    newest: OnceCell<Vec<Newest<'a>>>,
    used: OnceCell<Vec<Used<'a>>>,
    typed: OnceCell<Vec<Diagnostic>>,
}

/// An event type, the file of the schema of its newest version, and what is in it.
pub type Newest<'a> = (Named<'a>, String, &'a Value);

/// An event type, as some pipeline names it first.
pub struct Named<'a> {
    pub kind: &'a str,
    pipeline: &'a Pipeline,
    /// Of the subscription or the emission.
    path: NodePath,
    /// Of all that the project takes or emits.
    pub newest: u32,
    /// Of that version.
    schema: Option<&'a Schema>,
    /// Every channel that some pipeline takes it from.
    pub from: Vec<&'a ChannelName>,
}

/// A schema that some subscription or emission needs.
pub struct Used<'a> {
    pub file: String,
    pub schema: &'a Value,
}

impl<'a> Project<'a> {
    pub fn new(program: &'a Program, sources: &'a Sources, schemas: &'a Path) -> Self {
        Self { program, sources, schemas, newest: OnceCell::new(), used: OnceCell::new(), typed: OnceCell::new() }
    }

    /// The span of a value.
    pub fn at(&self, file: &str, path: &NodePath) -> Span {
        spec::place(self.sources, file, path, Target::Value)
    }

    /// The span of the key that leads to a value.
    pub fn at_key(&self, file: &str, path: &NodePath) -> Span {
        spec::place(self.sources, file, path, Target::Key(0))
    }

    /// What scripts do wrong with the events that their schemas allow, found once for all rules about that.
    pub fn typed(&self) -> &[Diagnostic] {
        self.typed.get_or_init(|| super::handlers::check(self))
    }

    /// A finding in a text within a file, where it stands in that file.
    pub fn within(&self, file: &str, path: &NodePath, text: &str, found: Diagnostic) -> Diagnostic {
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

    /// Every schema that is needed, of all versions, found once for all checks.
    pub fn schemas_in_use(&self) -> &[Used<'a>] {
        self.used.get_or_init(|| {
            let of = |pipeline: &'a Arc<Pipeline>| {
                let taken = pipeline.subscriptions.iter().flat_map(|subscription| {
                    let of = |(version, schema): (&u32, &'a Arc<Schema>)| {
                        ((subscription.event.as_str(), *version), schema.document())
                    };
                    subscription.versions.iter().map(of)
                });
                taken.chain(
                    pipeline.emits.iter().map(|emit| ((emit.event.as_str(), emit.version), emit.schema.document())),
                )
            };
            let needed: BTreeMap<(&'a str, u32), &'a Value> = self.program.pipelines.iter().flat_map(of).collect();
            let used = |((kind, version), schema)| Used { file: self.schema_file(kind, version), schema };
            needed.into_iter().map(used).collect()
        })
    }

    /// Every event type, by name.
    pub fn events(&self) -> Vec<Named<'a>> {
        let mut events: BTreeMap<&str, Named<'a>> = BTreeMap::new();
        for pipeline in &self.program.pipelines {
            let mut name = |kind: &'a str,
                            (newest, schema): (u32, Option<&'a Schema>),
                            path: NodePath,
                            from: &'a [ChannelName]| {
                let new = Named { kind, pipeline, path, newest, schema, from: Vec::new() };
                let known = events.entry(kind).or_insert(new);
                if newest > known.newest {
                    (known.newest, known.schema) = (newest, schema);
                }
                known.from.extend(from);
            };
            let root = NodePath::default();
            for (at, subscription) in pipeline.subscriptions.iter().enumerate() {
                let path = root.key("subscriptions").index(at);
                let newest = subscription.newest;
                let schema = subscription.versions.get(&newest).map(|schema| &**schema);
                name(&subscription.event, (newest, schema), path, &subscription.from);
            }
            for (at, emit) in pipeline.emits.iter().enumerate() {
                let newest = (emit.version, Some(&*emit.schema));
                name(&emit.event, newest, root.key("emits").index(at), &[]);
            }
        }
        events.into_values().collect()
    }

    /// Where it is named.
    pub fn at_event(&self, named: &Named<'_>) -> Span {
        self.at(&named.pipeline.file, &named.path.key("event"))
    }

    /// Every event type with its newest schema, found once for all checks.
    pub fn newest_schemas(&self) -> &[Newest<'a>] {
        self.newest.get_or_init(|| {
            let events = self.events().into_iter();
            events.filter_map(|event| self.schema(&event).map(|(file, schema)| (event, file, schema))).collect()
        })
    }

    fn schema(&self, named: &Named<'a>) -> Option<(String, &'a Value)> {
        Some((self.schema_file(named.kind, named.newest), named.schema?.document()))
    }

    pub fn schema_file(&self, kind: &str, version: u32) -> String {
        let file = self.schemas.join(kind).join(format!("{version}.json"));
        let file: Vec<_> = file.iter().map(|part| part.to_string_lossy()).filter(|part| part != ".").collect();
        file.join("/")
    }
}
