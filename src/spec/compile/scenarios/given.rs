//! What comes.

use std::sync::Arc;

use super::super::super::locate::NodePath;
use super::super::super::program::{Envelope, Pipeline, Subscription};
use super::super::super::scenario::{A_DELIVERY, BEGINNING, Body, Given, Message};
use super::super::super::{raw, units};
use super::Reader;
use crate::diagnostic::{did_you_mean, rules, surely_meant};
use crate::event::{ChannelName, Event, Headers, Millis};
use crate::schema::Schema;
use crate::spec::plain;

const MAX_DELIVERIES: usize = 500;
const MAX_TIMES: u64 = 100;
const SOURCE: &str = "scenario";

impl Reader<'_, '_> {
    /// `None`: something is wrong, which is told.
    pub fn given(&mut self, raw: &[raw::scenarios::Given], base: &NodePath) -> Option<Vec<Given>> {
        let mut given = Vec::new();
        let (mut now, mut deliveries, mut number) = (BEGINNING, 0, 0);
        let mut fine = true;
        for (at, raw) in raw.iter().enumerate() {
            let base = base.index(at);
            if raw.wait.is_none() {
                number += 1;
            }
            match self.one(raw, &base, number, now) {
                Some(Given::Wait(time)) => {
                    now = now.plus(time);
                    given.push(Given::Wait(time));
                }
                Some(Given::Message(message)) => {
                    deliveries += message.times;
                    now = now.plus(A_DELIVERY * u32::try_from(message.times).unwrap_or(u32::MAX));
                    given.push(Given::Message(message));
                }
                None => fine = false,
            }
        }
        if deliveries > MAX_DELIVERIES {
            self.error(&rules::BAD_FIGURE, format!("a scenario has at most {MAX_DELIVERIES} deliveries"), base);
            fine = false;
        }
        if fine && deliveries == 0 {
            self.error(&rules::NOT_SAID, "nothing comes: at least one `event` or `raw` is needed", base);
            fine = false;
        }
        fine.then_some(given)
    }

    fn one(&mut self, raw: &raw::scenarios::Given, base: &NodePath, number: usize, now: Millis) -> Option<Given> {
        let beside = |allowed: &[&str]| {
            let written = [
                ("version", raw.version.is_some()),
                ("data", raw.data.is_some()),
                ("id", raw.id.is_some()),
                ("source", raw.source.is_some()),
                ("time", raw.time.is_some()),
                ("from", raw.from.is_some()),
                ("headers", !raw.headers.is_empty()),
                ("duplicates", raw.duplicates.is_some()),
            ];
            written.into_iter().find(|(key, there)| *there && !allowed.contains(key)).map(|(key, _)| key)
        };
        match (&raw.event, &raw.raw, &raw.wait) {
            (None, None, Some(wait)) => {
                if let Some(key) = beside(&[]) {
                    self.error(&rules::CONTRADICTION, format!("`{key}` means nothing beside `wait`"), &base.key(key));
                    return None;
                }
                self.context
                    .checked(&rules::BAD_FIGURE, units::duration(&wait.0), self.document, &base.key("wait"))
                    .map(Given::Wait)
            }
            (Some(kind), None, None) => self.event(raw, kind, base, number, now).map(Given::Message),
            (None, Some(text), None) => {
                if let Some(key) = beside(&["from", "headers", "duplicates"]) {
                    let help = "it is delivered as it stands; write it into the text";
                    self.helped(
                        &rules::CONTRADICTION,
                        format!("`{key}` means nothing beside `raw`"),
                        &base.key(key),
                        help,
                    );
                    return None;
                }
                let times = self.times(raw, base);
                let channel = self.channel(raw, None, base);
                let body = Body::Raw(text.clone());
                Some(Given::Message(Message { channel: channel?, headers: headers(raw), body, times: times? }))
            }
            _ => {
                let damaged = ["event", "raw", "wait"].iter().any(|key| self.document.is_damaged(&base.key(key)));
                if !damaged {
                    let help = "for example `{ event: OrderCreated, data: { order_id: o1 } }`, or `{ wait: 2m }`";
                    let none = raw.event.is_none() && raw.raw.is_none() && raw.wait.is_none();
                    let rule = if none { &rules::NOT_SAID } else { &rules::CONTRADICTION };
                    self.helped(rule, "one of `event`, `raw` and `wait` is expected here", base, help);
                }
                None
            }
        }
    }

    fn event(
        &mut self,
        raw: &raw::scenarios::Given,
        kind: &str,
        base: &NodePath,
        number: usize,
        now: Millis,
    ) -> Option<Message> {
        self.event_name(kind, &base.key("event"))?;
        let times = self.times(raw, base);
        let data = match &raw.data {
            None => Some(serde_json::Value::Null),
            Some(data) => {
                self.context.checked(&rules::WRONG_SHAPE, plain::json(data), self.document, &base.key("data"))
            }
        };
        self.known(kind, base)?;
        let channel = self.channel(raw, Some(kind), base);
        let version = self.version_of(raw, kind, channel.as_ref(), base)?;
        if let Some(schema) = self.schema(kind, version, base) {
            self.fits(&schema, kind, version, data.as_ref()?, base)?;
        } else if self.pipelines.is_some() {
            return None;
        }
        let event = Event {
            id: raw.id.clone().unwrap_or_else(|| format!("e-{number}")),
            kind: kind.to_owned(),
            version,
            source: raw.source.clone().unwrap_or_else(|| SOURCE.to_owned()),
            time: Some(raw.time.clone().unwrap_or_else(|| now.rfc3339())),
            data: data?,
            headers: Headers::default(),
        };
        let channel = channel?;
        if let Some(Envelope::Map(_)) = self.around.channels.get(&channel).map(|channel| &channel.envelope) {
            let message = format!("the channel `{channel}` has messages of somebody else's making");
            self.helped(&rules::CONTRADICTION, message, &base.key("event"), "write one as it comes, as `raw`");
            return None;
        }
        Some(Message { channel, headers: headers(raw), body: Body::Event(Box::new(event)), times: times? })
    }

    fn times(&mut self, raw: &raw::scenarios::Given, base: &NodePath) -> Option<usize> {
        let duplicates = raw.duplicates.unwrap_or(0);
        let fits = usize::try_from(duplicates).ok().filter(|_| duplicates <= MAX_TIMES);
        if fits.is_none() {
            let message = format!("at most {MAX_TIMES} duplicates");
            self.error(&rules::BAD_FIGURE, message, &base.key("duplicates"));
        }
        fits.map(|duplicates| duplicates + 1)
    }

    fn subscriptions(&self) -> impl Iterator<Item = &Arc<Subscription>> {
        self.pipelines.iter().flat_map(|pipelines| pipelines.iter()).flat_map(|pipeline| &pipeline.subscriptions)
    }

    /// A type that some pipeline here takes, or that has schemas: others are slips.
    pub(super) fn known(&mut self, kind: &str, base: &NodePath) -> Option<()> {
        if self.pipelines.is_none() || self.subscriptions().any(|s| s.event == kind) {
            return Some(());
        }
        let types = self.artifacts.schemas.types(self.context);
        if types.iter().any(|known| known == kind) {
            return Some(());
        }
        let names: Vec<&str> =
            self.subscriptions().map(|s| s.event.as_str()).chain(types.iter().map(String::as_str)).collect();
        let help = match did_you_mean(kind, names.iter().copied()) {
            Some(meant) => format!("did you mean `{meant}`?"),
            None => "an event that is no business of these pipelines is given as `raw`".to_owned(),
        };
        let surely = surely_meant(kind, names).map(str::to_owned);
        self.helped(
            &rules::SCENARIO_UNKNOWN,
            format!("nothing here knows events of type `{kind}`"),
            &base.key("event"),
            help,
        );
        self.meant(kind, surely.as_deref());
        None
    }

    /// Where it comes from: as said, or the only channel that can be meant.
    fn channel(&mut self, raw: &raw::scenarios::Given, kind: Option<&str>, base: &NodePath) -> Option<ChannelName> {
        let pipelines = self.pipelines?;
        let mut inputs: Vec<ChannelName> = pipelines.iter().flat_map(|pipeline| pipeline.inputs()).collect();
        inputs.sort();
        inputs.dedup();
        if let Some(written) = &raw.from {
            if let Some(known) = inputs.iter().find(|input| ***input == **written) {
                return Some(known.clone());
            }
            let help = match did_you_mean(written, inputs.iter().map(|input| &**input)) {
                Some(meant) => format!("did you mean `{meant}`?"),
                None => format!("they read {}", listed(&inputs)),
            };
            let message = format!("no pipeline here reads the channel `{written}`");
            self.helped(&rules::SCENARIO_UNKNOWN, message, &base.key("from"), help);
            return None;
        }
        let mut candidates: Vec<ChannelName> = self
            .subscriptions()
            .filter(|s| Some(s.event.as_str()) == kind)
            .filter_map(|s| s.from.first().cloned())
            .collect();
        candidates.sort();
        candidates.dedup();
        match (candidates.as_slice(), inputs.as_slice()) {
            ([only], _) | ([], [only]) => Some(only.clone()),
            (several, all) => {
                let choice = listed(if several.is_empty() { all } else { several });
                let message = "it is not clear which channel it comes from";
                self.helped(&rules::SCENARIO_UNCLEAR, message, base, format!("add `from:` with one of {choice}"));
                None
            }
        }
    }

    fn version_of(
        &mut self,
        raw: &raw::scenarios::Given,
        kind: &str,
        channel: Option<&ChannelName>,
        base: &NodePath,
    ) -> Option<u32> {
        if let Some(version) = raw.version {
            return self.version(version, &base.key("version"));
        }
        let takes = |s: &&Arc<Subscription>| s.event == kind && channel.is_none_or(|channel| s.from.contains(channel));
        let newest = self.subscriptions().filter(takes).map(|s| s.newest).max();
        if newest.is_none() && self.pipelines.is_some() {
            let help = "add `version:`; the newest is known only of events that are taken from there";
            self.helped(&rules::SCENARIO_UNCLEAR, "`version` is missing", base, help);
        }
        newest
    }

    /// Of the pipelines that run; else as it lies in the directory of schemas.
    fn schema(&mut self, kind: &str, version: u32, base: &NodePath) -> Option<Arc<Schema>> {
        let known = self.subscriptions().filter(|s| s.event == kind).find_map(|s| s.versions.get(&version).cloned());
        if known.is_some() || self.pipelines.is_none() {
            return known;
        }
        let at = base.key("version");
        self.artifacts.schemas.get(self.context, kind, version, self.document, base, &at)
    }

    fn fits(
        &mut self,
        schema: &Schema,
        kind: &str,
        version: u32,
        data: &serde_json::Value,
        base: &NodePath,
    ) -> Option<()> {
        let violations = schema.validate(data);
        for violation in &violations {
            let place = if violation.path.is_empty() { "the data" } else { violation.path.as_str() };
            let message = format!("`{kind}` {version} does not match its schema: {place}: {}", violation.message);
            let below = NodePath::from_pointer(&violation.path).0;
            let at = NodePath([base.key("data").0, below].concat());
            let help = "to show what becomes of an event that is not valid, give it as `raw`";
            self.helped(&rules::SCENARIO_DATA, message, &at, help);
        }
        violations.is_empty().then_some(())
    }

    /// The pipeline of that name among those that run.
    pub fn pipeline_named(&mut self, name: &str, path: &NodePath) -> Option<Arc<Pipeline>> {
        let pipelines = self.pipelines?;
        if let Some(known) = pipelines.iter().find(|pipeline| *pipeline.name == *name) {
            return Some(Arc::clone(known));
        }
        let help = match did_you_mean(name, pipelines.iter().map(|pipeline| &*pipeline.name)) {
            Some(meant) => format!("did you mean `{meant}`?"),
            None => {
                let names: Vec<ChannelName> = pipelines.iter().map(|pipeline| Arc::clone(&pipeline.name)).collect();
                format!("they are {}", listed(&names))
            }
        };
        self.helped(&rules::SCENARIO_UNKNOWN, format!("no pipeline `{name}` runs here"), path, help);
        None
    }
}

fn headers(raw: &raw::scenarios::Given) -> Headers {
    Headers(raw.headers.iter().map(|(name, value)| (name.clone(), value.clone())).collect())
}

fn listed(names: &[ChannelName]) -> String {
    names.iter().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ")
}
