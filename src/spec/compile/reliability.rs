//! Retry, idempotency, dead letters, lag and limits; in a pipeline or as defaults for all.

use std::sync::Arc;
use std::time::Duration;

use super::super::document::Document;
use super::super::locate::{NodePath, Step};
use super::super::program::{IdentityBy, Limits, Retry, UnknownVersion};
use super::super::{raw, units};
use super::Context;
use super::channels::Place;
use crate::diagnostic::{Diagnostic, rules};

const RETAIN: Duration = Duration::from_secs(7 * 24 * 3600);
const RETRY: Retry = Retry { attempts: 5, first: Duration::from_secs(5), factor: 4.0, max: Duration::from_secs(3600) };

/// What is said in one place; `None` where nothing is.
#[derive(Clone, Debug, Default)]
pub struct Settings {
    attempts: Option<u32>,
    first: Option<Duration>,
    factor: Option<f64>,
    max: Option<Duration>,
    by: Option<IdentityBy>,
    retain: Option<Duration>,
    unknown_version: Option<UnknownVersion>,
    pub lag: Option<Duration>,
    pub dead_letter: Option<(String, Place)>,
}

impl Settings {
    pub fn read(context: &mut Context<'_>, document: &Arc<Document>, base: &NodePath, raw: &raw::Reliability) -> Self {
        let mut settings = Self::default();
        let mut reader = Reader { context, document };
        if let Some(retry) = &raw.retry {
            let base = base.key("retry");
            settings.attempts = reader
                .within(retry.attempts, 1..=1000, &base.key("attempts"))
                .and_then(|attempts| u32::try_from(attempts).ok());
            settings.first = reader.duration(retry.first.as_ref(), &base.key("first"));
            settings.max = reader.duration(retry.max.as_ref(), &base.key("max"));
            settings.factor = retry.factor.filter(|factor| {
                let fine = (1.0..=100.0).contains(factor);
                if !fine {
                    reader.error("`factor` is from 1 to 100", &base.key("factor"));
                }
                fine
            });
            if let (Some(first), Some(max)) = (settings.first, settings.max)
                && first > max
            {
                reader.error("`max` is shorter than `first`", &base.key("max"));
            }
        }
        if let Some(idempotency) = &raw.idempotency {
            let base = base.key("idempotency");
            settings.retain = reader.duration(idempotency.retain.as_ref(), &base.key("retain"));
            settings.by = idempotency.by.as_ref().and_then(|by| reader.identity(by, &base.key("by")));
        }
        settings.unknown_version = raw.unknown_version.map(|choice| match choice {
            raw::UnknownVersion::DeadLetter => UnknownVersion::DeadLetter,
            raw::UnknownVersion::Park => UnknownVersion::Park,
        });
        if let Some(slo) = &raw.slo {
            settings.lag = reader.duration(slo.lag.as_ref(), &base.key("slo").key("lag"));
        }
        settings.dead_letter =
            raw.dead_letter.as_ref().map(|name| (name.clone(), Place::new(document, base.key("dead_letter"))));
        settings
    }

    /// What is said here, and where nothing is, what `defaults` say.
    #[must_use]
    pub fn or(self, defaults: &Self) -> Self {
        Self {
            attempts: self.attempts.or(defaults.attempts),
            first: self.first.or(defaults.first),
            factor: self.factor.or(defaults.factor),
            max: self.max.or(defaults.max),
            by: self.by.or(defaults.by),
            retain: self.retain.or(defaults.retain),
            unknown_version: self.unknown_version.or(defaults.unknown_version),
            lag: self.lag.or(defaults.lag),
            dead_letter: self.dead_letter.or_else(|| defaults.dead_letter.clone()),
        }
    }

    pub fn retain(&self) -> Duration {
        self.retain.unwrap_or(RETAIN)
    }

    pub fn identity(&self) -> IdentityBy {
        self.by.unwrap_or(IdentityBy::SourceAndId)
    }

    pub fn unknown_version(&self) -> UnknownVersion {
        self.unknown_version.unwrap_or(UnknownVersion::DeadLetter)
    }

    pub fn retry(&self) -> Retry {
        let first = self.first.unwrap_or(RETRY.first);
        Retry {
            attempts: self.attempts.unwrap_or(RETRY.attempts),
            first,
            factor: self.factor.unwrap_or(RETRY.factor),
            // A first delay beyond the default maximum is meant as it stands.
            max: self.max.unwrap_or(RETRY.max).max(first),
        }
    }

    /// Warns when an event can be forgotten while it is still being retried.
    pub fn warn_if_forgotten(&self, context: &mut Context<'_>, document: &Document) {
        let Some(message) = self.retry().outlasts(self.retain()) else { return };
        let root = NodePath::default();
        let said = if self.retain.is_some() { root.key("idempotency").key("retain") } else { root.key("retry") };
        let span = document.at_key(&said);
        let warning = Diagnostic::warning(rules::GUARANTEE, message).at(span);
        context.push(warning.help("make `idempotency.retain` longer, or the retry schedule shorter"));
    }
}

/// `serde_json` reads 128 levels and refuses more; state and emissions add an envelope to what a script may nest, and
/// what was committed must be readable ever after.
const MAX_DEPTH: usize = 100;

pub fn limits(context: &mut Context<'_>, document: &Arc<Document>, raw: Option<&raw::Limits>) -> Limits {
    let mut limits = Limits::default();
    let Some(raw) = raw else { return limits };
    let base = NodePath::default().key("limits");
    let mut reader = Reader { context, document };
    let sizes = [
        (&raw.payload, "payload", &mut limits.payload_bytes),
        (&raw.string, "string", &mut limits.string_bytes),
        (&raw.state, "state", &mut limits.state_bytes),
    ];
    for (text, key, limit) in sizes {
        if let Some(size) = reader.size(text.as_ref(), &base.key(key)) {
            *limit = size;
        }
    }
    match raw.depth.map(usize::try_from) {
        None => {}
        Some(Ok(depth)) if (1..=MAX_DEPTH).contains(&depth) => limits.depth = depth,
        Some(_) => {
            let message = format!(
                "`depth` is from 1 to {MAX_DEPTH}: JSON is read to 128 levels, and what is stored or emitted nests deeper than \
                 the data within"
            );
            reader.error(&message, &base.key("depth"));
        }
    }
    let counts = [
        (raw.call_depth, "call_depth", 1..=128, &mut limits.call_depth),
        (raw.items, "items", 1..=10_000_000, &mut limits.collection_items),
    ];
    for (count, key, range, limit) in counts {
        if let Some(count) = reader.within(count, range, &base.key(key)).and_then(|c| usize::try_from(c).ok()) {
            *limit = count;
        }
    }
    if let Some(operations) = reader.within(raw.operations, 1..=1_000_000_000, &base.key("operations")) {
        limits.operations = operations;
    }
    if let Some(wall) = reader.duration(raw.wall.as_ref(), &base.key("wall")) {
        limits.wall = wall;
    }
    limits
}

struct Reader<'r, 'c> {
    context: &'r mut Context<'c>,
    document: &'r Arc<Document>,
}

impl Reader<'_, '_> {
    fn error(&mut self, message: &str, path: &NodePath) {
        self.context.error(rules::BAD_VALUE, message, self.document, path);
    }

    fn duration(&mut self, text: Option<&raw::Human>, path: &NodePath) -> Option<Duration> {
        self.parsed(text, path, units::duration)
    }

    fn size(&mut self, text: Option<&raw::Human>, path: &NodePath) -> Option<usize> {
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
        self.context.checked(told, self.document, path)
    }

    fn within(&mut self, number: Option<u64>, range: std::ops::RangeInclusive<u64>, path: &NodePath) -> Option<u64> {
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

    fn identity(&mut self, by: &[String], path: &NodePath) -> Option<IdentityBy> {
        let mut by: Vec<&str> = by.iter().map(String::as_str).collect();
        by.sort_unstable();
        match by.as_slice() {
            ["id", "source"] => Some(IdentityBy::SourceAndId),
            ["id"] => Some(IdentityBy::Id),
            _ => {
                self.error("an event is identified by `[source, id]` or `[id]`", path);
                None
            }
        }
    }
}
