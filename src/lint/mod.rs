//! The rules of `sluice lint`: what each is about, its page, and the checks on a project as a whole.
//!
//! Most of what can be wrong is found while a project is loaded, by the loader that `run` uses as well: what lint
//! accepts, run can build. A rule of that kind is a line in `diagnostic::rules`, a page here, and a line below. One on the
//! project as a whole has a file in `checks` beside that.
//!
//! ```text
//! spec::load_for_lint ─▶ checks ─▶ allows in comments ─▶ levels in sluice.yaml
//! ```
//!
//! A rule on one schema or pipeline by itself looks at it once: while files are watched, [`Seen`] keeps what it found.

mod allows;
mod asked;
mod checks;
mod handlers;
mod levels;
mod project;
mod seen;
mod subschemas;
pub mod uses;

use serde_json::Value;

use crate::diagnostic::{Diagnostic, Level, Span, rules, sort};
use crate::spec::Loaded;
use crate::spec::program::Pipeline;
use allows::Allows;
use checks::{
    accepts_anything, accepts_nothing, advances, almost_described, almost_keyword, event_loop, may_lack, never_comes,
    never_emitted, no_dead_letter, no_id, past_tense, relaxed_store, same_id, thin_event, unused_channel,
    volatile_store,
};
use levels::Levels;
use project::Project;
pub use seen::Seen;
use seen::{Flaw, Where};

pub struct Rule {
    pub rule: rules::Rule,
    /// What it means, why it hurts and what to do, with an example; in Markdown, without the heading.
    pub text: &'static str,
    check: Check,
}

#[derive(Clone, Copy)]
enum Check {
    /// The loader finds it.
    Loader,
    Project(fn(&Project<'_>, &mut Findings)),
    /// On a pipeline with its own file and schemas, and nothing else.
    Pipeline(fn(&Project<'_>, &Pipeline, &mut Findings)),
    Schema(fn(&Value) -> Vec<Flaw>),
    /// The type checker finds it, together with all others of this kind.
    Types,
}

/// Every rule, by id.
pub static RULES: &[Rule] = &[
    // Files and YAML.
    found(rules::NOT_YAML, include_str!("pages/SG001.md")),
    found(rules::UNKNOWN_KEY, include_str!("pages/SG002.md")),
    found(rules::MISSING_FILE, include_str!("pages/SG003.md")),
    found(rules::UNSET_VARIABLE, include_str!("pages/SG004.md")),
    found(rules::WRONG_SHAPE, include_str!("pages/SG005.md")),
    found(rules::GIVEN_TWICE, include_str!("pages/SG006.md")),
    found(rules::NOT_SAID, include_str!("pages/SG007.md")),
    found(rules::UNKNOWN_CHOICE, include_str!("pages/SG008.md")),
    found(rules::UNUSABLE_FILE, include_str!("pages/SG009.md")),
    found(rules::BAD_FIGURE, include_str!("pages/SG010.md")),
    found(rules::BAD_NAME, include_str!("pages/SG011.md")),
    found(rules::BAD_REFERENCE, include_str!("pages/SG012.md")),
    found(rules::CONTRADICTION, include_str!("pages/SG013.md")),
    found(rules::UNKNOWN_FORMAT, include_str!("pages/SG014.md")),
    found(rules::SAME_NAME, include_str!("pages/SG015.md")),
    found(rules::BAD_ADDRESS, include_str!("pages/SG016.md")),
    found(rules::OPEN_DOOR, include_str!("pages/SG017.md")),
    found(rules::UNKNOWN_RULE, include_str!("pages/SG018.md")),
    found(rules::FIXED_RULE, include_str!("pages/SG019.md")),
    found(rules::UNUSED_ALLOW, include_str!("pages/SG020.md")),
    found(rules::NOT_HERE, include_str!("pages/SG021.md")),
    // Events and schemas.
    found(rules::NO_SCHEMA, include_str!("pages/SG101.md")),
    found(rules::BAD_SCHEMA, include_str!("pages/SG102.md")),
    found(rules::BROKEN_REF, include_str!("pages/SG103.md")),
    found(rules::BROKEN_UPCAST, include_str!("pages/SG104.md")),
    found(rules::BAD_PATH, include_str!("pages/SG105.md")),
    found(rules::BAD_MAPPING, include_str!("pages/SG106.md")),
    checked(rules::NOT_PAST_TENSE, include_str!("pages/SG110.md"), past_tense::check),
    schema(rules::THIN_EVENT, include_str!("pages/SG111.md"), thin_event::check),
    schema(rules::ACCEPTS_NOTHING, include_str!("pages/SG112.md"), accepts_nothing::check),
    schema(rules::ACCEPTS_ANYTHING, include_str!("pages/SG113.md"), accepts_anything::check),
    schema(rules::ALMOST_KEYWORD, include_str!("pages/SG114.md"), almost_keyword::check),
    schema(rules::ALMOST_DESCRIBED, include_str!("pages/SG115.md"), almost_described::check),
    pipeline(rules::MAY_LACK, include_str!("pages/SG116.md"), may_lack::check),
    // Handlers.
    found(rules::SCRIPT_SYNTAX, include_str!("pages/SG201.md")),
    found(rules::UNKNOWN_FUNCTION, include_str!("pages/SG202.md")),
    found(rules::UNKNOWN_VARIABLE, include_str!("pages/SG203.md")),
    found(rules::HANDLER_ONLY, include_str!("pages/SG204.md")),
    found(rules::HIDDEN_NAME, include_str!("pages/SG205.md")),
    found(rules::READ_ONLY, include_str!("pages/SG206.md")),
    found(rules::IN_USE, include_str!("pages/SG207.md")),
    found(rules::UNBOUNDED_SWITCH, include_str!("pages/SG208.md")),
    found(rules::BAD_IMPORT, include_str!("pages/SG209.md")),
    found(rules::FOLDED_SCRIPT, include_str!("pages/SG210.md")),
    typed(rules::UNKNOWN_PROPERTY, include_str!("pages/SG220.md")),
    typed(rules::MAY_BE_ABSENT, include_str!("pages/SG221.md")),
    typed(rules::WRONG_TYPE, include_str!("pages/SG222.md")),
    typed(rules::REFUSED_DATA, include_str!("pages/SG223.md")),
    typed(rules::NEVER_EQUAL, include_str!("pages/SG224.md")),
    typed(rules::UNWRITTEN, include_str!("pages/SG225.md")),
    typed(rules::LOST_CHANGE, include_str!("pages/SG226.md")),
    typed(rules::WITHOUT_CASE, include_str!("pages/SG227.md")),
    typed(rules::UNDECLARED, include_str!("pages/SG228.md")),
    pipeline(rules::NEVER_EMITTED, include_str!("pages/SG229.md"), never_emitted::check),
    // Flow.
    found(rules::NO_CONNECTION, include_str!("pages/SG301.md")),
    found(rules::UNPUBLISHABLE, include_str!("pages/SG302.md")),
    found(rules::DEAD_LETTER_LOOP, include_str!("pages/SG303.md")),
    found(rules::STREAM_LIMITS, include_str!("pages/SG304.md")),
    found(rules::SHARED_CONSUMER, include_str!("pages/SG305.md")),
    found(rules::ALMOST_LISTED, include_str!("pages/SG306.md")),
    found(rules::SECOND_HANDLER, include_str!("pages/SG307.md")),
    found(rules::AFTER_UNKNOWN, include_str!("pages/SG308.md")),
    found(rules::AFTER_CIRCLE, include_str!("pages/SG309.md")),
    found(rules::NO_KEY, include_str!("pages/SG310.md")),
    checked(rules::UNUSED_CHANNEL, include_str!("pages/SG311.md"), unused_channel::check),
    checked(rules::EVENT_LOOP, include_str!("pages/SG312.md"), event_loop::check),
    checked(rules::NEVER_COMES, include_str!("pages/SG313.md"), never_comes::check),
    found(rules::SCENARIO_UNKNOWN, include_str!("pages/SG320.md")),
    found(rules::SCENARIO_DATA, include_str!("pages/SG321.md")),
    found(rules::SCENARIO_UNCLEAR, include_str!("pages/SG322.md")),
    // Settings that weaken the guarantee.
    found(rules::RETRIED_TOO_LONG, include_str!("pages/SG401.md")),
    found(rules::WAITS_TOO_LONG, include_str!("pages/SG402.md")),
    found(rules::HELD_TOO_LONG, include_str!("pages/SG403.md")),
    checked(rules::VOLATILE_STORE, include_str!("pages/SG404.md"), volatile_store::check),
    checked(rules::NO_DEAD_LETTER, include_str!("pages/SG405.md"), no_dead_letter::check),
    checked(rules::RELAXED_STORE, include_str!("pages/SG406.md"), relaxed_store::check),
    checked(rules::SAME_ID, include_str!("pages/SG407.md"), same_id::check),
    checked(rules::ADVANCES, include_str!("pages/SG408.md"), advances::check),
    checked(rules::NO_ID, include_str!("pages/SG409.md"), no_id::check),
];

const fn found(rule: rules::Rule, text: &'static str) -> Rule {
    Rule { rule, text, check: Check::Loader }
}

const fn checked(rule: rules::Rule, text: &'static str, check: fn(&Project<'_>, &mut Findings)) -> Rule {
    Rule { rule, text, check: Check::Project(check) }
}

const fn pipeline(rule: rules::Rule, text: &'static str, check: fn(&Project<'_>, &Pipeline, &mut Findings)) -> Rule {
    Rule { rule, text, check: Check::Pipeline(check) }
}

const fn schema(rule: rules::Rule, text: &'static str, check: fn(&Value) -> Vec<Flaw>) -> Rule {
    Rule { rule, text, check: Check::Schema(check) }
}

const fn typed(rule: rules::Rule, text: &'static str) -> Rule {
    Rule { rule, text, check: Check::Types }
}

impl Rule {
    pub fn of(id: &str) -> Option<&'static Self> {
        RULES.iter().find(|known| known.rule.id == id)
    }

    /// Where it is broken nothing can be built, so no setting and no comment changes its level.
    pub fn is_fixed(&self) -> bool {
        matches!(self.check, Check::Loader) && self.rule.level == Level::Error
    }

    /// The whole page, in Markdown.
    pub fn page(&self) -> String {
        page(self, self.text)
    }
}

fn page(rule: &Rule, text: &str) -> String {
    let rules::Rule { id, level, summary } = rule.rule;
    let level = match (level.name(), rule.is_fixed()) {
        (level, true) => format!(
            "Level: {level}. Nothing can be built while it is there, so it can be neither turned off nor allowed."
        ),
        (level, false) => format!(
            "Level: {level}. `lint: {{ {id}: off }}` in `sluice.yaml` turns it off, a comment `sluice: allow({id})` allows one finding."
        ),
    };
    format!("# {id}: {summary}\n\n{level}\n\n{text}")
}

/// What one check found.
struct Findings {
    rule: &'static rules::Rule,
    found: Vec<Diagnostic>,
}

impl Findings {
    /// What several pipelines have in common is told once.
    fn add(&mut self, at: Span, message: impl Into<String>, help: impl Into<String>) {
        let finding = Diagnostic::new(self.rule, message).at(at).help(help);
        if !self.found.contains(&finding) {
            self.found.push(finding);
        }
    }
}

/// All there is to say of a project that was loaded: what the loader found, what the checks find, less what is
/// allowed, at the levels that the project wants.
///
/// A project that cannot be built is not checked as a whole: with parts left out, much would look wrong.
#[must_use]
pub fn judge(loaded: Loaded) -> Loaded {
    judge_again(loaded, &mut Seen::default())
}

/// The same, of a project that was loaded again: what is still the same is not looked at again.
#[must_use]
pub fn judge_again(mut loaded: Loaded, seen: &mut Seen) -> Loaded {
    if let Some(program) = &loaded.program {
        let project = Project::new(program, &loaded.sources, &loaded.schemas);
        for Rule { rule, check, .. } in RULES {
            if let Check::Project(check) = check {
                let mut findings = Findings { rule, found: Vec::new() };
                check(&project, &mut findings);
                loaded.diagnostics.append(&mut findings.found);
            }
        }
        loaded.diagnostics.append(&mut seen.look(&project));
    }
    let mut allows = Allows::read(&loaded.sources);
    loaded.diagnostics.retain(|diagnostic| !allows.allow(diagnostic));
    loaded.diagnostics.append(&mut allows.wrong());
    if loaded.program.is_some() {
        loaded.diagnostics.append(&mut allows.unused());
    }
    let levels = Levels::read(&loaded.levels, &mut loaded.diagnostics);
    loaded.diagnostics.retain_mut(|diagnostic| levels.apply(diagnostic));
    sort(&mut loaded.diagnostics);
    loaded
}

/// A word in place of a rule's id.
fn unknown_rule(id: &str, at: Span) -> Diagnostic {
    let shown: String = id.chars().take(40).collect();
    let unknown = Diagnostic::new(&rules::UNKNOWN_RULE, format!("there is no rule `{shown}`")).at(at);
    match did_you_mean(id) {
        Some(meant) => unknown.help(format!("did you mean `{meant}`?")),
        None => unknown.help("`sluice explain` lists the rules"),
    }
}

/// The rule that a misspelt id means. Ids are near to each other: it is told only where one slip leads to one of them
/// more likely than to another, most likely to one that begins in the same way.
pub fn did_you_mean(id: &str) -> Option<&'static str> {
    let upper = id.to_ascii_uppercase();
    let ids = RULES.iter().map(|known| known.rule.id);
    let near = ids.filter(|known| id.len() < 16 && strsim::damerau_levenshtein(&upper, known) <= 1);
    let alike = |known: &str| known.chars().zip(upper.chars()).take_while(|(a, b)| a == b).count();
    let mut near: Vec<(usize, &str)> = near.map(|known| (alike(known), known)).collect();
    near.sort_unstable();
    match near.as_slice() {
        [] => None,
        [.., (second, _), (first, _)] if first == second => None,
        [.., (_, most)] => Some(*most),
    }
}

#[cfg(test)]
pub(crate) mod tests;
