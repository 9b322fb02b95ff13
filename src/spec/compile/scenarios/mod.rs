//! `*.test.yaml`: scenarios of pipelines that are compiled already.

mod given;
mod then;

use std::collections::{BTreeMap, HashSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::super::document::Document;
use super::super::files::lexically;
use super::super::locate::NodePath;
use super::super::program::{Channel, Pipeline};
use super::super::scenario::{Explore, Orders, Scenario, ScenarioFile};
use super::super::{names, raw};
use super::Context;
use super::pipeline::Artifacts;
use crate::diagnostic::{Diagnostic, did_you_mean, rules};
use crate::event::ChannelName;

const MAX_DUPLICATES: u64 = 5;
const MAX_SAMPLE: u64 = 100_000;

/// What scenarios are about.
pub struct Surroundings<'a> {
    pub pipelines: &'a [Arc<Pipeline>],
    pub channels: &'a BTreeMap<ChannelName, Channel>,
    /// Every pipeline file there is, broken or not.
    pub files: &'a [PathBuf],
    /// Whether nothing is wrong with the program: else it may lack what scenarios name.
    pub sound: bool,
}

pub fn is_scenarios(name: &str) -> bool {
    name.ends_with(".test.yaml") || name.ends_with(".test.yml")
}

/// `None` when something in it is wrong, which is told.
pub fn compile(
    context: &mut Context<'_>,
    around: &Surroundings<'_>,
    artifacts: &mut Artifacts,
    file: &Path,
) -> Option<ScenarioFile> {
    let mut document = context.document(file, false)?;
    let raw: Option<raw::scenarios::Scenarios> = context.whole(&mut document);
    let Some(raw) = raw else {
        if document.is_empty() {
            let error = Diagnostic::new(&rules::NOT_SAID, "the file is empty").at(document.at(&NodePath::default()));
            context.push(error.help("a file of scenarios has `pipelines` and `scenarios`"));
        }
        return None;
    };
    let told = context.diagnostics.len();
    let document = Arc::new(document);
    context.check_format(raw.format, &document);
    let root = NodePath::default();
    let help = "name the files of the pipelines that run, like `pipelines: [fulfilment.yaml]`";
    let files = context.require(raw.pipelines.as_ref(), &document, &root, "pipelines", help);
    let pipelines = files.and_then(|files| pipelines(context, around, &document, files)).filter(|_| around.sound);
    let help = "add `scenarios:` with a `name`, `given` and `then` each";
    let listed = context.require(raw.scenarios.as_ref(), &document, &root, "scenarios", help)?;
    if listed.is_empty() {
        context.error(&rules::NOT_SAID, "at least one scenario is needed", &document, &root.key("scenarios"));
    }
    let mut reader = Reader { context, around, artifacts, document: &document, pipelines: pipelines.as_deref() };
    let mut seen = HashSet::new();
    let base = root.key("scenarios");
    let scenarios: Vec<Option<Scenario>> =
        listed.iter().enumerate().map(|(at, raw)| reader.scenario(raw, &base.index(at), &mut seen)).collect();
    let fine = context.diagnostics[told..].iter().all(|d| d.level != crate::diagnostic::Level::Error);
    let scenarios: Option<Vec<Scenario>> = scenarios.into_iter().collect();
    Some(ScenarioFile { name: document.name.clone(), pipelines: pipelines?, scenarios: scenarios.filter(|_| fine)? })
}

/// `None`: some are missing or broken, which is told here or with them.
fn pipelines(
    context: &mut Context<'_>,
    around: &Surroundings<'_>,
    document: &Document,
    written: &[String],
) -> Option<Vec<Arc<Pipeline>>> {
    let base = NodePath::default().key("pipelines");
    if written.is_empty() {
        context.error(&rules::NOT_SAID, "at least one pipeline is needed", document, &base);
        return None;
    }
    let directory = Path::new(&document.name).parent().unwrap_or(Path::new(""));
    let mut found: Vec<Option<Arc<Pipeline>>> = Vec::new();
    let mut seen = HashSet::new();
    for (at, file) in written.iter().enumerate() {
        let (path, at) = (lexically(&directory.join(file)), base.index(at));
        context.files.looked_at([path.clone()]);
        if !seen.insert(path.clone()) {
            context.error(&rules::GIVEN_TWICE, format!("`{file}` is named twice"), document, &at);
            continue;
        }
        let known = around.pipelines.iter().find(|pipeline| Path::new(&pipeline.file) == path);
        if known.is_none() && !around.files.contains(&path) {
            let message = format!("`{file}` is no pipeline of this project");
            let names = around.files.iter().filter_map(|known| known.strip_prefix(directory).ok()?.to_str());
            let help = match did_you_mean(file, names) {
                Some(meant) => format!("did you mean `{meant}`?"),
                None => "paths are relative to this file".to_owned(),
            };
            context.push(Diagnostic::new(&rules::SCENARIO_UNKNOWN, message).at(document.at(&at)).help(help));
        }
        found.push(known.cloned());
    }
    found.into_iter().collect()
}

struct Reader<'r, 'c> {
    context: &'r mut Context<'c>,
    around: &'r Surroundings<'r>,
    artifacts: &'r mut Artifacts,
    document: &'r Arc<Document>,
    /// `None`: not all of them are known, and what depends on that is not judged.
    pipelines: Option<&'r [Arc<Pipeline>]>,
}

impl Reader<'_, '_> {
    fn error(&mut self, rule: &rules::Rule, message: impl Into<String>, path: &NodePath) {
        self.context.error(rule, message, self.document, path);
    }

    fn helped(&mut self, rule: &rules::Rule, message: impl Into<String>, path: &NodePath, help: impl Into<String>) {
        self.context.push(Diagnostic::new(rule, message).at(self.document.at(path)).help(help));
    }

    /// What was told last is about a slip in this word.
    fn meant(&mut self, word: &str, surely: Option<&str>) {
        if let Some(told) = self.context.diagnostics.pop() {
            self.context.push(told.meant(word, surely));
        }
    }

    fn require<'t, T>(&mut self, value: Option<&'t T>, base: &NodePath, key: &str, help: &str) -> Option<&'t T> {
        self.context.require(value, self.document, base, key, help)
    }

    fn scenario(
        &mut self,
        raw: &raw::scenarios::Scenario,
        base: &NodePath,
        seen: &mut HashSet<String>,
    ) -> Option<Scenario> {
        let name = self.require(raw.name.as_ref(), base, "name", "say what it shows, like `name: an order is shipped`");
        if let Some(name) = name {
            if name.trim().is_empty() {
                self.error(&rules::NOT_SAID, "a scenario's name is not empty", &base.key("name"));
            }
            if !seen.insert(name.clone()) {
                let message = format!("a scenario is named `{name}` already");
                self.helped(&rules::SAME_NAME, message, &base.key("name"), "give one of them another name");
            }
        }
        let help = "list what comes, like `- { event: OrderCreated, data: { order_id: o1 } }`";
        let given = self.require(raw.given.as_ref(), base, "given", help);
        let given = given.and_then(|given| self.given(given, &base.key("given")));
        let explore = raw.explore.as_ref().map(|explore| self.explore(explore, &base.key("explore")));
        let help = "say what must hold, like `then: { state: { o1: { status: shipped } } }`";
        let then = self.require(raw.then.as_ref(), base, "then", help);
        let then = then.and_then(|then| self.then(then, &base.key("then")));
        Some(Scenario {
            name: name?.clone(),
            line: self.document.at(base).line,
            given: given?,
            explore: explore.map_or(Some(Explore::default()), |explore| explore)?,
            then: then?,
        })
    }

    fn explore(&mut self, raw: &raw::scenarios::Explore, base: &NodePath) -> Option<Explore> {
        let orders = match &raw.orders {
            None => Some(Orders::Given),
            Some(raw::scenarios::Orders::All) => Some(Orders::All),
            Some(raw::scenarios::Orders::Sample(sample)) => {
                let path = base.key("orders");
                let help = "say how many, like `orders: { sample: 200, seed: 1 }`";
                let size = self.require(sample.sample.as_ref(), &path, "sample", help).copied();
                let fits = size.filter(|size| (1..=MAX_SAMPLE).contains(size));
                if size.is_some() && fits.is_none() {
                    let message = format!("a sample has from 1 to {MAX_SAMPLE} orders");
                    self.error(&rules::BAD_FIGURE, message, &path.key("sample"));
                }
                let size = fits.and_then(|size| usize::try_from(size).ok());
                size.map(|size| Orders::Sample { size, seed: sample.seed.unwrap_or(1) })
            }
        };
        let duplicates = raw.duplicates.unwrap_or(0);
        let fits = usize::try_from(duplicates).ok().filter(|_| duplicates <= MAX_DUPLICATES);
        if fits.is_none() {
            let message = format!("at most {MAX_DUPLICATES} deliveries of a run are repeated");
            self.error(&rules::BAD_FIGURE, message, &base.key("duplicates"));
        }
        Some(Explore { orders: orders?, duplicates: fits?, crashes: raw.crashes.unwrap_or(false) })
    }

    fn event_name(&mut self, event: &str, path: &NodePath) -> Option<()> {
        self.context.checked(&rules::BAD_NAME, names::event(event), self.document, path)
    }

    fn version(&mut self, version: u64, path: &NodePath) -> Option<u32> {
        self.context.checked(&rules::BAD_FIGURE, names::version(version), self.document, path)
    }
}
