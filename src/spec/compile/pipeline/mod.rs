//! One pipeline file.

mod order;
mod subscriptions;

use std::collections::HashSet;
use std::path::Path;
use std::sync::Arc;

use serde_yaml::Value;

use super::super::cache::Changed;
use super::super::document::Document;
use super::super::locate::NodePath;
use super::super::program::{Emit, FieldPath, Limits, Pipeline, Subscription};
use super::super::{names, raw};
use super::Context;
use super::channels::{Place, Uses};
use super::limits;
use super::project::Project;
use super::reliability::Settings;
use super::schemas::Schemas;
use super::scripts::Scripts;
use crate::diagnostic::{Diagnostic, rules};
use crate::event::ChannelName;

const DEFAULT_PARTITIONS: u16 = 16;
const MAX_PARTITIONS: u64 = 1024;

/// Schemas and scripts, shared by all pipelines.
pub struct Artifacts {
    pub schemas: Schemas,
    scripts: Scripts,
}

impl Artifacts {
    pub fn new(project: &Project) -> Self {
        Self { schemas: Schemas::new(&project.schemas), scripts: Scripts::default() }
    }

    pub fn forget(&mut self, changed: &Changed) {
        self.schemas.forget(changed);
        self.scripts.forget(changed);
    }
}

/// `None` when something in it is wrong, which is told.
pub fn compile(
    context: &mut Context<'_>,
    project: &Project,
    artifacts: &mut Artifacts,
    uses: &mut Uses,
    file: &Path,
) -> Option<(Pipeline, Arc<Document>)> {
    let decoded = decode(context, file)?;
    let Decoded { document, raw, subscriptions, emits } = decoded;
    let root = NodePath::default();
    context.check_format(raw.format, &document);
    let name = context.require(
        raw.pipeline.as_ref(),
        &document,
        &root,
        "pipeline",
        "give it a name, like `pipeline: fulfilment`",
    );
    let name = name.and_then(|name| {
        context
            .checked(&rules::BAD_NAME, names::pipeline(name), &document, &root.key("pipeline"))
            .map(|()| Arc::<str>::from(name.as_str()))
    });
    let partitions = partitions(context, &document, raw.partitions);
    let limits = limits::read(context, &document, raw.limits.as_ref());
    let said = raw::Reliability {
        retry: raw.retry,
        dead_letter: raw.dead_letter,
        idempotency: raw.idempotency,
        reorder: raw.reorder,
        on_failure: raw.on_failure,
        unknown_version: raw.unknown_version,
        slo: raw.slo,
    };
    let settings = Settings::read(context, &document, &root, &said).or(&project.defaults);
    let key = raw
        .key
        .as_ref()
        .map(|key| context.checked(&rules::BAD_PATH, names::field_path(key), &document, &root.key("key")));
    let mut reader = Reader {
        context,
        artifacts,
        uses,
        document: &document,
        pipeline: name.as_deref().unwrap_or_default(),
        limits,
        key: key.clone(),
    };
    let after = subscriptions.iter().flatten().any(|raw| raw.after.as_ref().is_some_and(|after| !after.is_empty()));
    settings.warn_if_forgotten(reader.context, &document, &said, after || raw.sequence.is_some());
    reader.prerequisites(&subscriptions);
    let subscriptions = reader.subscriptions(&subscriptions);
    let sequence = raw.sequence.as_ref().and_then(|sequence| reader.sequence(sequence));
    let resequence = raw.resequence.as_ref().and_then(|resequence| reader.resequence(resequence, settings.retain()));
    reader.one_order(raw.sequence.is_some() && raw.resequence.is_some());
    let emits = reader.emits(&emits);
    let dead_letter = settings
        .dead_letter
        .as_ref()
        .map(|(channel, place)| reader.uses.set_aside(reader.context, channel, place.clone()));
    reader.dead_letters_come_back(dead_letter.as_ref().and_then(Option::as_ref), &subscriptions, &settings);
    let pipeline = Pipeline {
        name: name?,
        description: raw.description,
        file: document.name.clone(),
        partitions: partitions?,
        subscriptions: subscriptions.into_iter().map(Arc::new).collect(),
        emits: emits.into_iter().map(Arc::new).collect(),
        retain: settings.retain(),
        identity: settings.identity(),
        retry: settings.retry(),
        reorder: settings.reorder(),
        sequence,
        resequence,
        on_failure: settings.on_failure(),
        unknown_version: settings.unknown_version(),
        dead_letter: dead_letter.flatten(),
        limits,
        lag_slo: settings.lag,
    };
    Some((pipeline, document))
}

struct Decoded {
    document: Arc<Document>,
    raw: raw::Pipeline,
    subscriptions: Vec<Option<raw::Subscription>>,
    emits: Vec<Option<raw::Emit>>,
}

/// The parts of lists are decoded one by one; `None` is a broken one.
fn decode(context: &mut Context<'_>, file: &Path) -> Option<Decoded> {
    let mut document = context.document(file, false)?;
    let Some(raw) = context.whole::<raw::Pipeline>(&mut document) else {
        if document.is_empty() {
            let error = Diagnostic::new(&rules::NOT_SAID, "the file is empty").at(document.at(&NodePath::default()));
            context.push(error.help("a pipeline has a `pipeline` name, a `key` and `subscriptions`"));
        }
        return None;
    };
    let subscriptions = parts(context, &mut document, &raw.subscriptions, "subscriptions");
    let emits = parts(context, &mut document, &raw.emits, "emits");
    Some(Decoded { document: Arc::new(document), raw, subscriptions, emits })
}

fn parts<T: serde::de::DeserializeOwned>(
    context: &mut Context<'_>,
    document: &mut Document,
    values: &[Value],
    key: &str,
) -> Vec<Option<T>> {
    let base = NodePath::default().key(key);
    let decode = |(at, value)| document.decode(value, &base.index(at), &mut context.diagnostics);
    values.iter().enumerate().map(decode).collect()
}

fn partitions(context: &mut Context<'_>, document: &Document, raw: Option<u64>) -> Option<u16> {
    let Some(count) = raw else { return Some(DEFAULT_PARTITIONS) };
    let fits = u16::try_from(count).ok().filter(|_| (1..=MAX_PARTITIONS).contains(&count));
    let checked = fits.ok_or_else(|| format!("partitions are from 1 to {MAX_PARTITIONS}"));
    context.checked(&rules::BAD_FIGURE, checked, document, &NodePath::default().key("partitions"))
}

struct Reader<'r, 'c> {
    context: &'r mut Context<'c>,
    artifacts: &'r mut Artifacts,
    uses: &'r mut Uses,
    document: &'r Arc<Document>,
    pipeline: &'r str,
    limits: Limits,
    /// The pipeline's own; the inner `None`: it is broken, which is told.
    key: Option<Option<FieldPath>>,
}

impl Reader<'_, '_> {
    fn error(&mut self, rule: &rules::Rule, message: impl Into<String>, path: &NodePath) {
        self.context.error(rule, message, self.document, path);
    }

    fn require<'t, T>(&mut self, value: Option<&'t T>, base: &NodePath, key: &str, help: &str) -> Option<&'t T> {
        self.context.require(value, self.document, base, key, help)
    }

    fn event(&mut self, raw: Option<&String>, base: &NodePath) -> Option<String> {
        let event = self.require(raw, base, "event", "name the event's type, like `event: OrderCreated`")?;
        self.context
            .checked(&rules::BAD_NAME, names::event(event), self.document, &base.key("event"))
            .map(|()| event.clone())
    }

    /// Names of channels, each once; read by `pipeline`, or published to.
    fn channels(&mut self, raw: &raw::OneOrMany, path: &NodePath, pipeline: Option<&str>) -> Option<Vec<ChannelName>> {
        let many = matches!(raw, raw::OneOrMany::Many(_));
        if raw.names().is_empty() {
            self.error(&rules::NOT_SAID, "at least one channel is needed", path);
            return None;
        }
        let mut channels = Vec::new();
        let mut fine = true;
        for (at, name) in raw.names().iter().enumerate() {
            let path = if many { path.index(at) } else { path.clone() };
            let place = Place::new(self.document, path.clone());
            let channel = match pipeline {
                Some(pipeline) => self.uses.read(self.context, name, pipeline, place),
                None => self.uses.emit(self.context, name, place),
            };
            match channel {
                Some(channel) if channels.contains(&channel) => {
                    self.error(&rules::GIVEN_TWICE, format!("`{channel}` is named twice"), &path);
                }
                Some(channel) => channels.push(channel),
                None => fine = false,
            }
        }
        fine.then_some(channels)
    }

    fn emits(&mut self, raw: &[Option<raw::Emit>]) -> Vec<Emit> {
        let base = NodePath::default().key("emits");
        let mut seen = HashSet::new();
        let parts = raw.iter().enumerate();
        parts.filter_map(|(at, raw)| self.emit(raw.as_ref()?, &base.index(at), &mut seen)).collect()
    }

    fn emit(&mut self, raw: &raw::Emit, base: &NodePath, seen: &mut HashSet<(String, u32)>) -> Option<Emit> {
        let event = self.event(raw.event.as_ref(), base);
        let at = base.key("version");
        let version =
            self.require(raw.version.as_ref(), base, "version", "say which version is emitted, like `version: 1`");
        let version = version
            .and_then(|version| self.context.checked(&rules::BAD_FIGURE, names::version(*version), self.document, &at));
        let to = self.require(raw.to.as_ref(), base, "to", "name the channel it goes to, like `to: shipments`");
        let to = to.and_then(|to| self.channels(to, &base.key("to"), None));
        let (event, version) = (event?, version?);
        if !seen.insert((event.clone(), version)) {
            let message = format!("`{event}` {version} is declared already");
            let error = Diagnostic::new(&rules::SECOND_HANDLER, message).at(self.document.at(&base.key("event")));
            self.context.push(error.help("to send it to several channels, write `to: [a, b]`"));
        }
        let schema = self.artifacts.schemas.get(self.context, &event, version, self.document, base, &at);
        Some(Emit { event, version, to: to?, schema: schema? })
    }

    /// A pipeline that reads its own dead letters would handle, and set aside, the same failure for ever.
    fn dead_letters_come_back(
        &mut self,
        channel: Option<&ChannelName>,
        subscriptions: &[Subscription],
        settings: &Settings,
    ) {
        let read = channel.is_some_and(|channel| subscriptions.iter().any(|s| s.from.contains(channel)));
        if let (true, Some((name, place))) = (read, &settings.dead_letter) {
            let message = format!("`{}` reads `{name}`, where its own dead letters go", self.pipeline);
            let error = Diagnostic::new(&rules::DEAD_LETTER_LOOP, message).at(place.span());
            self.context.push(error.help("dead letters need a channel that this pipeline does not read"));
        }
    }
}
