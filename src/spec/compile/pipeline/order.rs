//! What a pipeline says about order: what comes after what, sequences, resequencing.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use super::super::super::locate::NodePath;
use super::super::super::program::{First, Resequence, Sequence};
use super::super::super::{names, raw, units};
use super::super::figures::Figures;
use super::Reader;
use crate::diagnostic::{Diagnostic, did_you_mean, rules, surely_meant};

/// What a subscription's `after` says that can be right: its place, and the type.
type Waits<'r> = Vec<(NodePath, &'r str)>;

impl Reader<'_, '_> {
    /// Every type that something comes after is taken by another subscription, and no circle of them waits for itself.
    pub(super) fn prerequisites(&mut self, raw: &[Option<raw::Subscription>]) {
        let types: BTreeSet<&str> = raw.iter().flatten().filter_map(|raw| raw.event.as_deref()).collect();
        // A subscription that is broken may be the one that is missed.
        let all_known = raw.iter().all(|raw| raw.as_ref().is_some_and(|raw| raw.event.is_some()));
        let mut waiting: Vec<(&str, Waits<'_>)> = Vec::new();
        for (at, raw) in raw.iter().enumerate() {
            let Some((event, after)) = raw.as_ref().and_then(|raw| raw.event.as_deref().zip(Some(&raw.after))) else {
                continue;
            };
            let base = NodePath::default().key("subscriptions").index(at).key("after");
            let mut waits = Waits::new();
            for (at, wanted) in after.iter().flatten().enumerate() {
                let place = base.index(at);
                if wanted == event {
                    let error = self.wrong(&format!("`{event}` comes after itself"), &rules::AFTER_CIRCLE, &place);
                    self.context.push(error.help("the first one would never be handled; take it out of `after`"));
                } else if waits.iter().any(|(_, known)| known == wanted) {
                    self.error(&rules::GIVEN_TWICE, format!("`{wanted}` is named twice"), &place);
                } else if types.contains(wanted.as_str()) {
                    waits.push((place, wanted));
                } else if all_known {
                    let error =
                        self.wrong(&format!("no subscription here takes `{wanted}`"), &rules::AFTER_UNKNOWN, &place);
                    self.context.push(match did_you_mean(wanted, types.iter().copied()) {
                        Some(meant) => {
                            let surely = surely_meant(wanted, types.iter().copied());
                            error.help(format!("did you mean `{meant}`?")).meant(wanted, surely)
                        }
                        None => error.help("an event comes after types that this pipeline takes; add a subscription"),
                    });
                }
            }
            waiting.push((event, waits));
        }
        self.circles(&waiting);
    }

    /// Types that can never be handled, for each waits for another of them.
    fn circles(&mut self, waiting: &[(&str, Waits<'_>)]) {
        let mut possible: BTreeSet<&str> = BTreeSet::new();
        loop {
            // Of several subscriptions for a type, one that can be satisfied is enough.
            let before = possible.len();
            let can_be = |waits: &Waits<'_>| waits.iter().all(|(_, wanted)| possible.contains(wanted));
            let next: Vec<&str> = waiting.iter().filter(|(_, waits)| can_be(waits)).map(|(event, _)| *event).collect();
            possible.extend(next);
            if possible.len() > before {
                continue;
            }
            let Some(circle) = circle(waiting, &possible) else { return };
            let Some((_, (place, _))) = circle.first().copied() else { return };
            let steps: Vec<String> =
                circle.iter().map(|(event, (_, wanted))| format!("`{event}` waits for `{wanted}`")).collect();
            let error = self.wrong(&steps.join(", and "), &rules::AFTER_CIRCLE, place);
            self.context.push(error.help("none of them would be handled; take one of them out of `after`"));
            possible.extend(circle.iter().map(|(event, _)| *event));
        }
    }

    fn wrong(&self, message: &str, rule: &rules::Rule, place: &NodePath) -> Diagnostic {
        Diagnostic::new(rule, message).at(self.document.at(place))
    }

    pub(super) fn sequence(&mut self, raw: &raw::Sequence) -> Option<Sequence> {
        let base = NodePath::default().key("sequence");
        let by = self.require(raw.by.as_ref(), &base, "by", "say where the number stands, like `by: data.seq`");
        let by = by.and_then(|by| {
            self.context.checked(&rules::BAD_PATH, names::member_path(by), self.document, &base.key("by"))
        });
        if self.key.is_none() && !self.document.is_damaged(&NodePath::default().key("key")) {
            let message = "a `sequence` needs the pipeline's `key`";
            let error = Diagnostic::new(&rules::NO_KEY, message).at(self.document.at_key(&base));
            let help = "add `key:` to the pipeline: numbers of events that no subscription takes count by it";
            self.context.push(error.help(help));
        }
        let first = match raw.first {
            None => First::At(1),
            Some(raw::FirstNumber::Any) => First::Any,
            Some(raw::FirstNumber::At(number)) => First::At(number),
        };
        Some(Sequence { by: by?, key: self.key.clone()??, first })
    }

    pub(super) fn resequence(&mut self, raw: &raw::Resequence, retain: Duration) -> Option<Resequence> {
        let base = NodePath::default().key("resequence");
        let help = "say where the time stands: `by: time` is the envelope's, `by: data.at` a member";
        let by = self.require(raw.by.as_ref(), &base, "by", help);
        let by = by.and_then(|by| {
            self.context.checked(&rules::BAD_PATH, names::event_time(by), self.document, &base.key("by"))
        });
        self.require(raw.hold.as_ref(), &base, "hold", "say how long an event is held, like `hold: 5s`");
        let at = base.key("hold");
        let mut figures = Figures { context: self.context, document: self.document };
        let hold = figures.duration(raw.hold.as_ref(), &at)?;
        if hold > retain {
            let (hold, retain) = (units::show(hold), units::show(retain));
            let message = format!("events are held for {hold}, and remembered for {retain} only");
            let error = self.wrong(&message, &rules::HELD_TOO_LONG, &at);
            self.context.push(error.help("make `hold` shorter, or `idempotency.retain` longer"));
        }
        Some(Resequence { by: by?, hold })
    }

    pub(super) fn one_order(&mut self, both: bool) {
        if both {
            let message = "`sequence` and `resequence` are two orders";
            let place = self.document.at_key(&NodePath::default().key("resequence"));
            let error = Diagnostic::new(&rules::CONTRADICTION, message).at(place);
            self.context.push(error.help("keep one: numbers where there are any, else times"));
        }
    }
}

/// Each type of a circle, with what it waits for; every type that is not possible waits for such a one.
fn circle<'w, 'r>(
    waiting: &'w [(&'r str, Waits<'r>)],
    possible: &BTreeSet<&str>,
) -> Option<Vec<(&'r str, &'w (NodePath, &'r str))>> {
    let stuck: BTreeMap<&str, &(NodePath, &str)> = waiting
        .iter()
        .filter(|(event, _)| !possible.contains(event))
        .filter_map(|(event, waits)| Some((*event, waits.iter().find(|(_, wanted)| !possible.contains(wanted))?)))
        .rev()
        .collect();
    let (mut at, _) = stuck.first_key_value()?;
    let mut walked: Vec<(&str, &(NodePath, &str))> = Vec::new();
    loop {
        if let Some(begin) = walked.iter().position(|(event, _)| event == at) {
            return Some(walked.split_off(begin));
        }
        let wanted = stuck.get(at)?;
        walked.push((at, wanted));
        at = &wanted.1;
    }
}
