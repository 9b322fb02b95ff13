//! `lint` in `sluice.yaml`: how hard findings are taken.

use std::collections::BTreeMap;

use super::{Rule, unknown_rule};
use crate::diagnostic::{Diagnostic, Level, rules};
use crate::spec::SaidLevel;

/// By rule; `None`: off.
pub struct Levels(BTreeMap<&'static str, Option<Level>>);

impl Levels {
    /// What cannot be as it is said is told, and left as it is.
    pub fn read(said: &[SaidLevel], diagnostics: &mut Vec<Diagnostic>) -> Self {
        let mut levels = BTreeMap::new();
        for SaidLevel { rule: id, level, at } in said {
            let Some(known) = Rule::of(id) else {
                diagnostics.push(unknown_rule(id, at.clone()));
                continue;
            };
            if known.is_fixed() && *level != Some(Level::Error) {
                let message = format!("`{id}` stays an error: nothing can be built where it is broken");
                let fixed = Diagnostic::new(&rules::FIXED_RULE, message).at(at.clone());
                diagnostics.push(fixed.help("take it out of `lint`"));
                continue;
            }
            levels.insert(known.rule.id, *level);
        }
        Self(levels)
    }

    /// Whether it is told at all; if so, it has its level.
    pub fn apply(&self, diagnostic: &mut Diagnostic) -> bool {
        match self.0.get(diagnostic.rule) {
            Some(Some(level)) => diagnostic.level = *level,
            Some(None) => return false,
            None => {}
        }
        true
    }
}
