//! Durations, sizes and numbers within bounds, wherever they stand.

use std::sync::Arc;
use std::time::Duration;

use super::super::document::Document;
use super::super::locate::{NodePath, Step};
use super::super::{raw, units};
use super::Context;
use crate::diagnostic::rules;

pub struct Figures<'r, 'c> {
    pub context: &'r mut Context<'c>,
    pub document: &'r Arc<Document>,
}

impl Figures<'_, '_> {
    pub fn error(&mut self, message: &str, path: &NodePath) {
        self.context.error(&rules::BAD_FIGURE, message, self.document, path);
    }

    pub fn duration(&mut self, text: Option<&raw::Human>, path: &NodePath) -> Option<Duration> {
        self.parsed(text, path, units::duration)
    }

    pub fn size(&mut self, text: Option<&raw::Human>, path: &NodePath) -> Option<usize> {
        self.parsed(text, path, units::size)
    }

    fn parsed<T>(
        &mut self,
        text: Option<&raw::Human>,
        path: &NodePath,
        parse: fn(&str) -> Result<T, String>,
    ) -> Option<T> {
        let expanded = self.context.expand(&text?.0, self.document, path)?;
        if !expanded.known {
            return None;
        }
        let parsed = parse(&expanded.value);
        // What a variable holds is never shown.
        let told = parsed
            .map_err(|why| if expanded.literal { why } else { "what this expands to cannot be read here".into() });
        self.context.checked(&rules::BAD_FIGURE, told, self.document, path)
    }

    pub fn within(
        &mut self,
        number: Option<u64>,
        range: std::ops::RangeInclusive<u64>,
        path: &NodePath,
    ) -> Option<u64> {
        let number = number?;
        if range.contains(&number) {
            return Some(number);
        }
        let key = path.0.last().map(|step| match step {
            Step::Key(key) => key.clone(),
            Step::Index(index) => index.to_string(),
        });
        let message = format!("`{}` is from {} to {}", key.unwrap_or_default(), range.start(), range.end());
        self.error(&message, path);
        None
    }
}
