//! `sluice guarantee`: what each pipeline promises, as it is configured.

use clap::Args;
use serde_json::{Value, json};

use super::failure::{Exit, Failure};
use super::{Format, ProjectArgs, print, project};
use crate::ops::guarantee::Guarantee;

/// Say what every pipeline promises, on which assumptions, and what in its configuration weakens it
///
/// Reads the project's files and nothing else: no environment, no secrets, no network. What only the running servers
/// can tell is listed as such; `sluice status` and the start of `sluice run` tell it.
#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  sluice guarantee
  sluice guarantee --pipeline fulfilment
  sluice guarantee --format json | jq '.pipelines[] | select(.weakened != []) | .pipeline'")]
pub struct GuaranteeArgs {
    #[command(flatten)]
    project: ProjectArgs,
    /// Only this pipeline
    #[arg(long, value_name = "NAME")]
    pipeline: Option<String>,
    #[arg(long, value_enum, default_value_t = Format::Human)]
    format: Format,
}

pub fn guarantee(arguments: &GuaranteeArgs) -> Result<Exit, Failure> {
    let program = project::load_files(&arguments.project.project)?;
    let pipelines = project::pipelines(&program, arguments.pipeline.as_deref())?;
    let all: Vec<(&str, Guarantee)> =
        pipelines.iter().map(|pipeline| (&*pipeline.name, Guarantee::of(&program, pipeline))).collect();
    match arguments.format {
        Format::Json => {
            let pipelines: Vec<Value> = all.iter().map(|(name, guarantee)| as_json(name, guarantee)).collect();
            print::json(&json!({ "revision": &*program.revision, "pipelines": pipelines }))?;
        }
        Format::Human => {
            let told: Vec<String> = all.iter().map(|(name, guarantee)| human(name, guarantee)).collect();
            print::line(&told.join("\n\n"))?;
        }
    }
    Ok(Exit::Fine)
}

fn as_json(name: &str, guarantee: &Guarantee) -> Value {
    let Guarantee { promised, assumed, weakened, unknown } = guarantee;
    json!({ "pipeline": name, "promised": promised, "assumed": assumed, "weakened": weakened, "unknown": unknown })
}

fn human(name: &str, guarantee: &Guarantee) -> String {
    let parts = [
        ("promised", &guarantee.promised),
        ("on the assumption that", &guarantee.assumed),
        ("weakened by this configuration", &guarantee.weakened),
        ("only the running servers can tell", &guarantee.unknown),
    ];
    let mut lines = vec![name.to_owned()];
    for (heading, sentences) in parts.iter().filter(|(_, sentences)| !sentences.is_empty()) {
        lines.push(format!("  {heading}"));
        lines.extend(sentences.iter().map(|sentence| format!("    - {sentence}")));
    }
    lines.join("\n")
}
