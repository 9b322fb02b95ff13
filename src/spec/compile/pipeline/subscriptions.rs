//! The subscriptions of a pipeline: versions with their schemas and upcasts, keys, filters and handlers.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;

use super::super::super::locate::NodePath;
use super::super::super::program::{FieldPath, Subscription, Upcast};
use super::super::super::{names, raw};
use super::Reader;
use crate::diagnostic::{Diagnostic, rules};
use crate::event::ChannelName;
use crate::schema::Schema;
use crate::script::{Kind, Script};

impl Reader<'_, '_> {
    pub(super) fn subscriptions(&mut self, raw: &[Option<raw::Subscription>]) -> Vec<Subscription> {
        let base = NodePath::default().key("subscriptions");
        if raw.is_empty() && !self.document.is_damaged(&base) {
            let error = Diagnostic::new(&rules::NOT_SAID, "a pipeline needs at least one subscription");
            let error = error.at(self.document.at_key(&base));
            self.context.push(error.help("add `subscriptions:` with an `event`, `from`, `versions` and `handler`"));
        }
        let mut seen = HashSet::new();
        let parts = raw.iter().enumerate();
        parts.filter_map(|(at, raw)| self.subscription(raw.as_ref()?, &base.index(at), &mut seen)).collect()
    }

    fn subscription(
        &mut self,
        raw: &raw::Subscription,
        base: &NodePath,
        seen: &mut HashSet<(String, ChannelName)>,
    ) -> Option<Subscription> {
        let event = self.event(raw.event.as_ref(), base);
        let from = self.require(raw.from.as_ref(), base, "from", "name the channel it comes from, like `from: orders`");
        let pipeline = self.pipeline.to_owned();
        let from = from.and_then(|from| self.channels(from, &base.key("from"), Some(&pipeline)));
        if let (Some(event), Some(from)) = (&event, &from) {
            for channel in from {
                if !seen.insert((event.clone(), channel.clone())) {
                    let message = format!("`{event}` from `{channel}` has a subscription already");
                    let error =
                        Diagnostic::new(&rules::SECOND_HANDLER, message).at(self.document.at(&base.key("event")));
                    self.context.push(error.help("which of the two handlers would run? keep one"));
                }
            }
        }
        let key = self.subscription_key(raw, base);
        let versions = self.versions(raw, base);
        let schemas =
            event.as_ref().zip(versions.as_ref()).and_then(|(event, versions)| self.schemas(event, versions, base));
        let upcasts = versions.as_ref().and_then(|versions| self.upcasts(raw, versions, base));
        let filter = raw.filter.as_ref().map(|text| {
            let at = base.key("where");
            self.artifacts.scripts.inline(self.context, text, Kind::Filter, self.limits, (self.document, &at))
        });
        let handler = self.handler(raw, base);
        let newest = versions.as_ref().and_then(|versions| versions.iter().map(|(version, _)| *version).max());
        Some(Subscription {
            event: event?,
            from: from?,
            key: key?,
            versions: schemas?,
            upcasts: upcasts?,
            newest: newest?,
            after: raw.after.clone().unwrap_or_default(),
            filter: match filter {
                Some(filter) => Some(filter?),
                None => None,
            },
            handler: handler?,
        })
    }

    fn subscription_key(&mut self, raw: &raw::Subscription, base: &NodePath) -> Option<FieldPath> {
        if let Some(key) = &raw.key {
            return self.context.checked(&rules::BAD_PATH, names::field_path(key), self.document, &base.key("key"));
        }
        if let Some(of_pipeline) = &self.key {
            return of_pipeline.clone();
        }
        let told =
            self.document.is_damaged(&base.key("key")) || self.document.is_damaged(&NodePath::default().key("key"));
        if !told {
            let error =
                Diagnostic::new(&rules::NO_KEY, "it is not said what this event is about").at(self.document.at(base));
            self.context.push(error.help("add `key:` to the pipeline or the subscription, like `key: data.order_id`"));
        }
        None
    }

    /// Accepted versions in rising order, each with its place in the list.
    fn versions(&mut self, raw: &raw::Subscription, base: &NodePath) -> Option<Vec<(u32, usize)>> {
        let path = base.key("versions");
        let listed = self.require(
            raw.versions.as_ref(),
            base,
            "versions",
            "list the versions it accepts, like `versions: [1]`",
        )?;
        if listed.is_empty() {
            self.error(&rules::NOT_SAID, "at least one version must be accepted", &path);
            return None;
        }
        let mut versions: Vec<(u32, usize)> = Vec::new();
        let mut fine = true;
        for (at, number) in listed.iter().enumerate() {
            match self.context.checked(&rules::BAD_FIGURE, names::version(*number), self.document, &path.index(at)) {
                Some(version) if versions.iter().any(|(known, _)| *known == version) => {
                    self.error(&rules::GIVEN_TWICE, format!("version {version} is listed twice"), &path.index(at));
                }
                Some(version) => versions.push((version, at)),
                None => fine = false,
            }
        }
        versions.sort_unstable();
        fine.then_some(versions)
    }

    fn schemas(
        &mut self,
        event: &str,
        versions: &[(u32, usize)],
        base: &NodePath,
    ) -> Option<BTreeMap<u32, Arc<Schema>>> {
        let path = base.key("versions");
        let mut schemas = BTreeMap::new();
        for (version, at) in versions {
            let asks = path.index(*at);
            let schema = self.artifacts.schemas.get(self.context, event, *version, self.document, base, &asks);
            schemas.extend(schema.map(|schema| (*version, schema)));
        }
        (schemas.len() == versions.len()).then_some(schemas)
    }

    /// Each accepted version below the newest becomes the next accepted one.
    fn upcasts(
        &mut self,
        raw: &raw::Subscription,
        versions: &[(u32, usize)],
        base: &NodePath,
    ) -> Option<HashMap<u32, Upcast>> {
        let path = base.key("upcast");
        let damaged = self.document.is_damaged(&path);
        let mut upcasts = HashMap::new();
        let mut fine = !damaged;
        for step in versions.windows(2) {
            let [(from, at), (to, _)] = step else { continue };
            let Some((written, file)) = raw.upcast.iter().find(|(version, _)| version.parse() == Ok(*from)) else {
                if !damaged && !self.document.is_damaged(&path.key(&from.to_string())) {
                    let message = format!("version {from} does not become version {to}");
                    let error = Diagnostic::new(&rules::BROKEN_UPCAST, message);
                    let error = error.at(self.document.at(&base.key("versions").index(*at)));
                    self.context.push(
                        error.help(format!("add `upcast: {{ {from}: … }}` with a script, or accept version {to} only")),
                    );
                }
                fine = false;
                continue;
            };
            let at = path.key(written);
            match self.artifacts.scripts.file(self.context, file, Kind::Upcaster, self.limits, (self.document, &at)) {
                Some(script) => {
                    upcasts.insert(*from, Upcast { to: *to, script });
                }
                None => fine = false,
            }
        }
        for written in raw.upcast.keys() {
            let below_newest = versions
                .split_last()
                .is_some_and(|(_, below)| below.iter().any(|(version, _)| written.parse() == Ok(*version)));
            if !below_newest {
                let message = format!("nothing is upcast from version `{written}`");
                let error =
                    Diagnostic::new(&rules::BROKEN_UPCAST, message).at(self.document.at_key(&path.key(written)));
                self.context.push(error.help("upcasts begin at accepted versions below the newest"));
                fine = false;
            }
        }
        fine.then_some(upcasts)
    }

    fn handler(&mut self, raw: &raw::Subscription, base: &NodePath) -> Option<Arc<Script>> {
        match (&raw.handler, &raw.script) {
            (Some(file), None) => {
                let at = base.key("handler");
                self.artifacts.scripts.file(self.context, file, Kind::Handler, self.limits, (self.document, &at))
            }
            (None, Some(text)) => {
                let at = base.key("script");
                self.artifacts.scripts.inline(self.context, text, Kind::Handler, self.limits, (self.document, &at))
            }
            (Some(_), Some(_)) => {
                self.error(
                    &rules::CONTRADICTION,
                    "`handler` and `script` are two handlers; keep one",
                    &base.key("script"),
                );
                None
            }
            (None, None) => {
                if !self.document.is_damaged(&base.key("script")) {
                    let help = "name a script, like `handler: handlers/order_created.rhai`, or write it as `script: |`";
                    self.require(None::<&()>, base, "handler", help);
                }
                None
            }
        }
    }
}
