//! Retry, idempotency, waiting, dead letters and lag; in a pipeline or as defaults for all.

use std::sync::Arc;
use std::time::Duration;

use super::super::document::Document;
use super::super::locate::NodePath;
use super::super::program::{IdentityBy, OnFailure, Reorder, Retry, UnknownVersion};
use super::super::raw;
use super::channels::Place;
use super::figures::Figures;
use super::{Context, reorder};
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
    reorder: reorder::Said,
    on_failure: Option<OnFailure>,
    unknown_version: Option<UnknownVersion>,
    pub lag: Option<Duration>,
    pub dead_letter: Option<(String, Place)>,
}

impl Settings {
    pub fn read(context: &mut Context<'_>, document: &Arc<Document>, base: &NodePath, raw: &raw::Reliability) -> Self {
        let mut settings = Self::default();
        let mut figures = Figures { context, document };
        if let Some(retry) = &raw.retry {
            let base = base.key("retry");
            settings.attempts = figures
                .within(retry.attempts, 1..=1000, &base.key("attempts"))
                .and_then(|attempts| u32::try_from(attempts).ok());
            settings.first = figures.duration(retry.first.as_ref(), &base.key("first"));
            settings.max = figures.duration(retry.max.as_ref(), &base.key("max"));
            settings.factor = retry.factor.filter(|factor| {
                let fine = (1.0..=100.0).contains(factor);
                if !fine {
                    figures.error("`factor` is from 1 to 100", &base.key("factor"));
                }
                fine
            });
            if let (Some(first), Some(max)) = (settings.first, settings.max)
                && first > max
            {
                figures.error("`max` is shorter than `first`", &base.key("max"));
            }
        }
        if let Some(idempotency) = &raw.idempotency {
            let base = base.key("idempotency");
            settings.retain = figures.duration(idempotency.retain.as_ref(), &base.key("retain"));
            settings.by = idempotency.by.as_ref().and_then(|by| identity(&mut figures, by, &base.key("by")));
        }
        if let Some(reorder) = &raw.reorder {
            settings.reorder = reorder::Said::read(&mut figures, &base.key("reorder"), reorder);
        }
        settings.on_failure = raw.on_failure.map(|choice| match choice {
            raw::OnFailure::Continue => OnFailure::Continue,
            raw::OnFailure::BlockKey => OnFailure::BlockKey,
        });
        settings.unknown_version = raw.unknown_version.map(|choice| match choice {
            raw::UnknownVersion::DeadLetter => UnknownVersion::DeadLetter,
            raw::UnknownVersion::Park => UnknownVersion::Park,
        });
        if let Some(slo) = &raw.slo {
            settings.lag = figures.duration(slo.lag.as_ref(), &base.key("slo").key("lag"));
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
            reorder: self.reorder.or(defaults.reorder),
            on_failure: self.on_failure.or(defaults.on_failure),
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

    pub fn reorder(&self) -> Reorder {
        self.reorder.reorder()
    }

    pub fn on_failure(&self) -> OnFailure {
        self.on_failure.unwrap_or(OnFailure::Continue)
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

    /// Warns when an event can be forgotten while it is still being retried, or waits for another: where some do, or the
    /// pipeline itself says how long.
    pub fn warn_if_forgotten(
        &self,
        context: &mut Context<'_>,
        document: &Document,
        raw: &raw::Reliability,
        waits: bool,
    ) {
        let root = NodePath::default();
        let retain = raw.idempotency.as_ref().filter(|said| said.retain.is_some());
        let at = |other: NodePath| retain.map_or(other, |_| root.key("idempotency").key("retain"));
        let timeout = raw.reorder.as_ref().is_some_and(|reorder| reorder.timeout.is_some());
        let mut warn = |rule: &rules::Rule, message: Option<String>, at: NodePath, help: &str| {
            let Some(message) = message else { return };
            context.push(Diagnostic::new(rule, message).at(document.at_key(&at)).help(help));
        };
        warn(
            &rules::RETRIED_TOO_LONG,
            self.retry().outlasts(self.retain()),
            at(root.key("retry")),
            "make `idempotency.retain` longer, or the retry schedule shorter",
        );
        if waits || timeout {
            let message = self.reorder().outlasts(self.retain());
            let said = if timeout { root.key("reorder").key("timeout") } else { root.key("subscriptions") };
            warn(
                &rules::WAITS_TOO_LONG,
                message,
                at(said),
                "make `idempotency.retain` longer, or `reorder.timeout` shorter",
            );
        }
    }
}

fn identity(figures: &mut Figures<'_, '_>, by: &[String], path: &NodePath) -> Option<IdentityBy> {
    let mut by: Vec<&str> = by.iter().map(String::as_str).collect();
    by.sort_unstable();
    match by.as_slice() {
        ["id", "source"] => Some(IdentityBy::SourceAndId),
        ["id"] => Some(IdentityBy::Id),
        _ => {
            let message = "an event is identified by `[source, id]` or `[id]`";
            figures.context.error(&rules::UNKNOWN_CHOICE, message, figures.document, path);
            None
        }
    }
}
