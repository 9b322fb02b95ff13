//! `schemas/<Type>/<version>.json`, each compiled once.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::super::document::{Document, given_twice_in_json};
use super::super::locate::{NodePath, Target, span};
use super::Context;
use crate::diagnostic::{Diagnostic, Span, did_you_mean, rules};
use crate::schema::Schema;

pub struct Schemas {
    directory: PathBuf,
    /// `None`: broken, and told.
    compiled: HashMap<(String, u32), Option<Arc<Schema>>>,
}

impl Schemas {
    pub fn new(directory: &Path) -> Self {
        Self { directory: directory.to_owned(), compiled: HashMap::new() }
    }

    /// The schema of a version; that there is none is told at the place that asks for it.
    pub fn get(
        &mut self,
        context: &mut Context<'_>,
        event: &str,
        version: u32,
        document: &Document,
        path: &NodePath,
    ) -> Option<Arc<Schema>> {
        let key = (event.to_owned(), version);
        if let Some(known) = self.compiled.get(&key) {
            return known.clone();
        }
        let file = self.directory.join(event).join(format!("{version}.json"));
        let schema = match context.files.read(&file) {
            Ok((name, text)) => compile(context, &name, &text).map(Arc::new),
            Err(refused) if refused.absent => {
                let message = format!("`{event}` {version} has no schema");
                let error = Diagnostic::new(&rules::NO_SCHEMA, message).at(document.at(path));
                context.push(error.help(self.what_there_is(context, event, &file)));
                return None;
            }
            Err(refused) => {
                context.refused(&file.to_string_lossy(), &refused);
                None
            }
        };
        self.compiled.insert(key, schema.clone());
        schema
    }

    /// Every type that has a directory.
    pub fn types(&self, context: &Context<'_>) -> Vec<String> {
        context.files.directories(&self.directory)
    }

    fn what_there_is(&self, context: &Context<'_>, event: &str, file: &Path) -> String {
        let types = self.types(context);
        if types.iter().any(|known| known == event) {
            let versions = context.files.listing(&self.directory.join(event));
            let mut versions: Vec<u32> =
                versions.iter().filter_map(|name| name.strip_suffix(".json")?.parse().ok()).collect();
            versions.sort_unstable();
            let versions: Vec<String> = versions.iter().map(u32::to_string).collect();
            return match versions.as_slice() {
                [] => format!("write `{}`", file.display()),
                _ => format!("write `{}`; the versions there are {}", file.display(), versions.join(", ")),
            };
        }
        match did_you_mean(event, types.iter().map(String::as_str)) {
            Some(meant) => format!("did you mean `{meant}`?"),
            None => format!("write `{}`", file.display()),
        }
    }
}

/// `None`: broken, and told.
fn compile(context: &mut Context<'_>, name: &str, text: &str) -> Option<Schema> {
    let value = match serde_json::from_str(text) {
        Ok(value) => value,
        Err(error) => {
            let why = if text.trim().is_empty() {
                "the file is empty".to_owned()
            } else {
                format!("not valid JSON: {}", cause(&error))
            };
            let at = Span::on_line(name, error.line(), error.column(), 1);
            context.push(Diagnostic::new(&rules::BAD_SCHEMA, why).at(at));
            return None;
        }
    };
    for twice in given_twice_in_json(name, text) {
        context.push(twice);
    }
    match Schema::compile(&value) {
        Ok(schema) => Some(schema),
        Err(error) => {
            let at = span(name, text, &NodePath::from_pointer(&error.path), Target::Value);
            let rule = if error.reference { &rules::BROKEN_REF } else { &rules::BAD_SCHEMA };
            context.push(Diagnostic::new(rule, error.message).at(at));
            None
        }
    }
}

/// Serde's message without the place, which the frame shows.
fn cause(error: &serde_json::Error) -> String {
    let message = error.to_string();
    message.split(" at line ").next().unwrap_or_default().to_owned()
}
