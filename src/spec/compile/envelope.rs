//! `envelope:` of a channel.

use std::sync::Arc;

use super::super::document::Document;
use super::super::locate::NodePath;
use super::super::mapping::{self, Mapping, Path, Text, Version};
use super::super::program::Envelope;
use super::super::{names, raw};
use super::Context;
use crate::diagnostic::{Diagnostic, rules};

/// `None`: something in it is wrong, which is told.
pub fn compile(
    context: &mut Context<'_>,
    document: &Document,
    base: &NodePath,
    raw: Option<&raw::Envelope>,
) -> Option<Envelope> {
    if document.is_damaged(base) {
        return None;
    }
    Some(match raw {
        None => Envelope::Auto,
        Some(raw::Envelope::Sluice) => Envelope::Sluice,
        Some(raw::Envelope::CloudEvents) => Envelope::CloudEventsStructured,
        Some(raw::Envelope::CloudEventsBinary) => Envelope::CloudEventsBinary,
        Some(raw::Envelope::Map(map)) => {
            let mut reader = Reader { context, document, base: base.key("map"), fine: true };
            let mapping = reader.mapping(map)?;
            Envelope::Map(Arc::new(mapping))
        }
    })
}

struct Reader<'r, 'c> {
    context: &'r mut Context<'c>,
    document: &'r Document,
    base: NodePath,
    fine: bool,
}

impl Reader<'_, '_> {
    fn mapping(&mut self, raw: &raw::Mapping) -> Option<Mapping> {
        let same_id = "every event would have the same id, and all but the first would be duplicates";
        let id = self.variable("id", raw.id.as_ref(), same_id);
        let kind = raw.kind.as_ref().and_then(|kind| self.text("type", kind, mapping::constant_type));
        if raw.kind.is_none() && !self.document.is_damaged(&self.base.key("type")) {
            let error = Diagnostic::new(&rules::NOT_SAID, "`type` is missing");
            let error = error.at(self.document.at(&self.base));
            self.context.push(error.help("say where an event's type comes from, like `type: { path: .event }`"));
        }
        let version = self.version(raw.version.as_ref());
        let source = raw.source.as_ref().and_then(|source| self.text("source", source, mapping::constant));
        let time = self.variable("time", raw.time.as_ref(), "every event would have happened at the same time");
        let data = self.data(raw.data.as_ref());
        let damaged = ["id", "type", "version", "source", "time", "data"]
            .iter()
            .any(|field| self.document.is_damaged(&self.base.key(field)));
        let kind = kind.filter(|_| self.fine && !damaged)?;
        Some(Mapping { id, kind, version: version?, source, time, data: data? })
    }

    fn told<T>(&mut self, field: &str, how: &str, result: Result<T, String>) -> Option<T> {
        let path = self.base.key(field).key(how);
        self.fine &= result.is_ok();
        self.context.checked(&rules::BAD_MAPPING, result, self.document, &path)
    }

    fn text(&mut self, field: &str, raw: &raw::Mapped, constant: fn(&str) -> Result<String, String>) -> Option<Text> {
        match raw {
            raw::Mapped::Path(path) => self.path(field, path).map(Text::Path),
            raw::Mapped::Template(text) => self.told(field, "template", mapping::template(text)).map(Text::Template),
            raw::Mapped::Value(raw::Constant::Text(text)) => self.told(field, "value", constant(text)).map(Text::Value),
            raw::Mapped::Value(raw::Constant::Number(_)) => {
                self.told(field, "value", Err(format!("`{field}` is a text; put it in quotes")))
            }
        }
    }

    fn path(&mut self, field: &str, text: &str) -> Option<Path> {
        self.told(field, "path", Path::parse(text))
    }

    /// A field that no constant makes sense for.
    fn variable(&mut self, field: &str, raw: Option<&raw::Mapped>, why_not: &str) -> Option<Text> {
        let raw = raw?;
        if let raw::Mapped::Value(_) = raw {
            return self.told(field, "value", Err(format!("{why_not}; use `path` or `template`")));
        }
        self.text(field, raw, mapping::constant)
    }

    /// What says nothing of versions is in its first.
    fn version(&mut self, raw: Option<&raw::Mapped>) -> Option<Version> {
        match raw {
            None => Some(Version::Value(1)),
            Some(raw::Mapped::Value(raw::Constant::Number(number))) => {
                self.told("version", "value", names::version(*number)).map(Version::Value)
            }
            Some(raw::Mapped::Value(raw::Constant::Text(_))) => {
                self.told("version", "value", Err("a version is a whole number, without quotes".to_owned()))
            }
            Some(other) => self.text("version", other, mapping::constant).map(Version::Read),
        }
    }

    /// Without `data`, the whole payload.
    fn data(&mut self, raw: Option<&raw::Mapped>) -> Option<Vec<String>> {
        let usage = "`data` is the payload or a member of it, like `data: { path: . }` or `data: { path: .order }`";
        match raw {
            None => Some(Vec::new()),
            Some(raw::Mapped::Path(text)) => match self.path("data", text)? {
                Path::Payload(members) => Some(members),
                Path::Data(_) | Path::Header(_) => self.told("data", "path", Err(usage.to_owned())),
            },
            Some(raw::Mapped::Template(_)) => self.told("data", "template", Err(usage.to_owned())),
            Some(raw::Mapped::Value(_)) => self.told("data", "value", Err(usage.to_owned())),
        }
    }
}
