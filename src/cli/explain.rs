//! `sluice explain`: what a rule of `sluice lint` is about.

use clap::Args;

use super::failure::{Exit, Failure};
use super::print;
use crate::lint::{self, RULES, Rule};

/// Say what a finding of `sluice lint` means, why it hurts, and what to do about it
///
/// Without a rule, lists all of them: id, level, and what each is about.
#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  sluice explain SG311
  sluice explain | grep warning")]
pub struct ExplainArgs {
    /// The rule's id, as findings show it
    #[arg(value_name = "RULE")]
    rule: Option<String>,
}

pub fn explain(arguments: &ExplainArgs) -> Result<Exit, Failure> {
    let Some(id) = &arguments.rule else {
        let line = |Rule { rule, .. }: &Rule| format!("{}  {:7}  {}", rule.id, rule.level.name(), rule.summary);
        print::line(&RULES.iter().map(line).collect::<Vec<_>>().join("\n"))?;
        return Ok(Exit::Fine);
    };
    match Rule::of(&id.to_ascii_uppercase()) {
        Some(rule) => print::line(rule.page().trim_end())?,
        None => return Err(unknown(id)),
    }
    Ok(Exit::Fine)
}

fn unknown(id: &str) -> Failure {
    let failure = Failure::cannot_run(format!("there is no rule `{}`", print::tame(id)));
    match lint::did_you_mean(id) {
        Some(meant) => failure.help(format!("did you mean `{meant}`?")),
        None => failure.help("`sluice explain` lists the rules"),
    }
}
