//! What must hold at the end.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde_yaml::Value;

use super::super::super::locate::NodePath;
use super::super::super::raw;
use super::super::super::scenario::{DeadThen, EmittedThen, StateThen, Then};
use super::Reader;
use crate::diagnostic::{did_you_mean, rules, surely_meant};
use crate::schema::{Schema, Violation};
use crate::spec::plain;
use crate::spec::scenario::CLASSES;

/// What stands for a key without state.
const ABSENT: &str = "absent";

impl Reader<'_, '_> {
    /// `None`: something is wrong, which is told.
    pub fn then(&mut self, raw: &raw::scenarios::Then, base: &NodePath) -> Option<Then> {
        let raw::scenarios::Then { state, state_exact, emits, emits_exact, dead_letters, parked } = raw;
        for (part, all) in [("state", "state_exact"), ("emits", "emits_exact")] {
            let both = if part == "state" {
                state.is_some() && state_exact.is_some()
            } else {
                emits.is_some() && emits_exact.is_some()
            };
            if both {
                self.error(
                    &rules::CONTRADICTION,
                    format!("`{part}` and `{all}` say the same; keep one"),
                    &base.key(all),
                );
            }
        }
        let nothing = state.is_none() && state_exact.is_none() && emits.is_none() && emits_exact.is_none();
        if nothing && dead_letters.is_none() && parked.is_none() && !self.document.is_damaged(base) {
            let help = "add `state`, `emits`, `dead_letters` or `parked`";
            self.helped(&rules::NOT_SAID, "nothing is demanded, so nothing would be shown", base, help);
        }
        let (states, key) = match (state, state_exact) {
            (None, Some(states)) => (Some(states), "state_exact"),
            (states, _) => (states.as_ref(), "state"),
        };
        let states = states.map_or(Some(Vec::new()), |states| self.states(states, &base.key(key)));
        let (listed, key) = match (emits, emits_exact) {
            (None, Some(listed)) => (Some(listed), "emits_exact"),
            (listed, _) => (listed.as_ref(), "emits"),
        };
        let emits = listed.map(|listed| self.emits(listed, &base.key(key)));
        let dead = dead_letters.as_ref().map(|listed| self.dead_letters(listed, &base.key("dead_letters")));
        Some(Then {
            states: states?,
            all_states: state_exact.is_some(),
            emits: match emits {
                Some(emits) => Some(emits?),
                None => None,
            },
            all_emits: emits_exact.is_some(),
            dead_letters: match dead {
                Some(dead) => Some(dead?),
                None => None,
            },
            parked: *parked,
        })
    }

    /// By key where one pipeline runs, else by pipeline and key.
    fn states(&mut self, raw: &BTreeMap<String, Value>, base: &NodePath) -> Option<Vec<StateThen>> {
        let pipelines = self.pipelines?;
        if let [only] = pipelines {
            let states: Vec<_> =
                raw.iter().map(|(key, state)| self.state(&only.name, key, state, &base.key(key))).collect();
            return states.into_iter().collect();
        }
        let mut states = Vec::new();
        for (name, keys) in raw {
            let path = base.key(name);
            let pipeline = self.pipeline_named(name, &path);
            let Value::Mapping(keys) = keys else {
                let help = "where several pipelines run, it is `{ pipeline: { key: … } }`";
                self.helped(&rules::WRONG_SHAPE, "a mapping of keys is expected here", &path, help);
                states.push(None);
                continue;
            };
            for (key, state) in keys {
                let (Some(key), Some(pipeline)) = (key.as_str(), &pipeline) else {
                    states.push(None);
                    continue;
                };
                states.push(self.state(&pipeline.name, key, state, &path.key(key)));
            }
        }
        states.into_iter().collect()
    }

    fn state(&mut self, pipeline: &Arc<str>, key: &str, raw: &Value, path: &NodePath) -> Option<StateThen> {
        let state = match raw {
            Value::String(word) if word == ABSENT => None,
            Value::Mapping(_) => {
                Some(self.context.checked(&rules::WRONG_SHAPE, plain::json(raw), self.document, path)?)
            }
            _ => {
                let help = "write `{ status: shipped }`, or `absent`";
                self.helped(&rules::WRONG_SHAPE, "the state of a key is a mapping, or `absent`", path, help);
                return None;
            }
        };
        Some(StateThen { pipeline: Arc::clone(pipeline), key: key.to_owned(), state })
    }

    fn emits(&mut self, raw: &[raw::scenarios::Emitted], base: &NodePath) -> Option<Vec<EmittedThen>> {
        let all: Vec<_> = raw.iter().enumerate().map(|(at, raw)| self.emitted(raw, &base.index(at))).collect();
        all.into_iter().collect()
    }

    /// An event that these pipelines cannot emit is a slip.
    fn emitted(&mut self, raw: &raw::scenarios::Emitted, base: &NodePath) -> Option<EmittedThen> {
        let event = self.require(raw.event.as_ref(), base, "event", "name its type, like `event: ShipmentTracked`")?;
        let declared: Vec<_> = self.pipelines?.iter().flat_map(|pipeline| &pipeline.emits).collect();
        let named: Vec<_> = declared.iter().filter(|emit| emit.event == *event).collect();
        if named.is_empty() {
            let types = || declared.iter().map(|emit| emit.event.as_str());
            let help = match did_you_mean(event, types()) {
                Some(meant) => format!("did you mean `{meant}`?"),
                None => "declare it under `emits` of a pipeline".to_owned(),
            };
            let message = format!("no pipeline here emits `{event}`");
            self.helped(&rules::SCENARIO_UNKNOWN, message, &base.key("event"), help);
            self.meant(event, surely_meant(event, types()));
            return None;
        }
        if let Some(to) = &raw.to
            && !named.iter().any(|emit| emit.to.iter().any(|known| **known == **to))
        {
            let known = named.iter().flat_map(|emit| &emit.to).map(|known| &**known);
            let help = match did_you_mean(to, known.clone()) {
                Some(meant) => format!("did you mean `{meant}`?"),
                None => format!("it goes to {}", known.map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ")),
            };
            self.helped(&rules::SCENARIO_UNKNOWN, format!("`{event}` does not go to `{to}`"), &base.key("to"), help);
            return None;
        }
        let version = match raw.version {
            Some(version) => Some(self.version(version, &base.key("version"))?),
            None => None,
        };
        let meant: Vec<_> = named.iter().filter(|emit| version.is_none_or(|version| version == emit.version)).collect();
        if let (Some(version), []) = (version, meant.as_slice()) {
            let known: Vec<String> = named.iter().map(|emit| emit.version.to_string()).collect();
            let help = format!("what is emitted is {}", known.join(", "));
            let message = format!("no pipeline here emits `{event}` {version}");
            self.helped(&rules::SCENARIO_UNKNOWN, message, &base.key("version"), help);
            return None;
        }
        let data = match &raw.data {
            Some(data) => {
                Some(self.context.checked(&rules::WRONG_SHAPE, plain::json(data), self.document, &base.key("data"))?)
            }
            None => None,
        };
        if let Some(data) = &data
            && let Some(why) = never(meant.iter().map(|emit| &*emit.schema), data)
        {
            let at = NodePath([base.key("data").0, NodePath::from_pointer(&why.path).0].concat());
            let help = "what does not match its schema is not emitted";
            self.helped(&rules::SCENARIO_DATA, format!("no `{event}` can have this: {}", why.message), &at, help);
            return None;
        }
        Some(EmittedThen { event: event.clone(), version, to: raw.to.clone(), data })
    }

    fn dead_letters(&mut self, raw: &[raw::scenarios::DeadLetter], base: &NodePath) -> Option<Vec<DeadThen>> {
        let mut fine = true;
        for (at, letter) in raw.iter().enumerate() {
            if let Some(event) = &letter.event {
                fine &= self.known(event, &base.index(at)).is_some();
            }
            if let Some(name) = &letter.pipeline {
                fine &= self.pipeline_named(name, &base.index(at).key("pipeline")).is_some();
            }
            if let Some(class) = letter.class.as_deref().filter(|class| !CLASSES.contains(class)) {
                let path = base.index(at).key("class");
                let help = match did_you_mean(class, CLASSES) {
                    Some(meant) => format!("did you mean `{meant}`?"),
                    None => format!("the classes are {}", CLASSES.map(|class| format!("`{class}`")).join(", ")),
                };
                self.helped(&rules::UNKNOWN_CHOICE, format!("`{class}` is no class of failures"), &path, help);
                fine = false;
            }
        }
        let letters = raw.iter().map(|raw| DeadThen {
            event: raw.event.clone(),
            key: raw.key.clone(),
            class: raw.class.clone(),
            reason: raw.reason.clone(),
            pipeline: raw.pipeline.clone(),
        });
        fine.then(|| letters.collect())
    }
}

/// Why no event that matches one of these schemas has such members, among others.
fn never<'s>(schemas: impl Iterator<Item = &'s Schema>, members: &serde_json::Value) -> Option<Violation> {
    // What is not demanded may be there all the same, and then a choice may turn out otherwise.
    const LACKS: [&str; 10] = [
        "required",
        "minProperties",
        "dependentRequired",
        "dependentSchemas",
        "dependencies",
        "anyOf",
        "oneOf",
        "not",
        "if",
        "unevaluatedProperties",
    ];
    let sure = |violation: &Violation| !violation.schema_path.split('/').any(|step| LACKS.contains(&step));
    let mut why = None;
    for schema in schemas {
        why = Some(schema.validate(members).into_iter().find(sure)?);
    }
    why
}
