//! `sluice status`: where every pipeline stands.

use std::sync::Arc;

use clap::Args;
use serde_json::{Value, json};

use super::failure::{Exit, Failure};
use super::project::Tell;
use super::{Format, ProjectArgs, print, project};
use crate::bus::open::OpenChannels;
use crate::clock::{Clock, SystemClock};
use crate::ops::status::{Broker, InputStatus, PipelineStatus, StoreStatus};
use crate::store::Durability;

/// Show where every pipeline stands: its store, its position in every channel, and what waits
///
/// Asks the store and the brokers directly, whether `sluice run` is at work or not, and changes nothing.
#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  sluice status
  sluice status --pipeline fulfilment --format json | jq '.pipelines[0].store.dead_letters'

The exit code is 2 when the store or a broker does not answer.")]
pub struct StatusArgs {
    #[command(flatten)]
    project: ProjectArgs,
    /// Only this pipeline
    #[arg(long, value_name = "NAME")]
    pipeline: Option<String>,
    #[arg(long, value_enum, default_value_t = Format::Human)]
    format: Format,
}

pub async fn status(arguments: StatusArgs) -> Result<Exit, Failure> {
    let program = project::load(&arguments.project.project, Tell::Errors)?;
    let pipelines = project::pipelines(&program, arguments.pipeline.as_deref())?;
    let clock: Arc<dyn Clock> = Arc::new(SystemClock);
    let inputs: Vec<_> = pipelines.iter().flat_map(|pipeline| pipeline.inputs()).collect();
    let database = project::database(&program, &*clock)?;
    let channels = OpenChannels::open(&program, &inputs, database.as_ref(), Arc::clone(&clock)).await;
    let channels = channels.map_err(|error| Failure::cannot_run(error.to_string()))?;
    let mut all = Vec::new();
    for pipeline in &pipelines {
        all.push(PipelineStatus::ask(&program, pipeline, &channels, database.as_ref(), Arc::clone(&clock)).await);
    }
    match arguments.format {
        Format::Json => {
            print::json(
                &json!({ "revision": &*program.revision, "pipelines": all.iter().map(as_json).collect::<Vec<_>>() }),
            )?;
        }
        Format::Human => {
            for (index, status) in all.iter().enumerate() {
                if index > 0 {
                    print::line("")?;
                }
                print::line(&human(status))?;
            }
        }
    }
    Ok(if all.iter().all(PipelineStatus::answered) { Exit::Fine } else { Exit::CannotRun })
}

fn durability(durability: Durability) -> &'static str {
    match durability {
        Durability::Strict => "strict",
        Durability::Relaxed => "relaxed",
        Durability::None => "none",
    }
}

fn human(status: &PipelineStatus) -> String {
    let mut lines = vec![status.pipeline.name.to_string()];
    match &status.store {
        Err(error) => lines.push(format!("  store: {error}")),
        Ok(None) => lines.push("  store: this pipeline never ran on it".to_owned()),
        Ok(Some(StoreStatus { opened, census, active })) => {
            lines.push(format!("  store: {}", durability(opened.durability)));
            lines.extend(opened.warnings.iter().map(|warning| format!("  warning: {warning}")));
            lines.push(format!(
                "  parked {} · outbox {} · dead letters open {} · keys with a timer {}",
                census.parked, census.outbox, census.dead_open, census.keys_with_timer
            ));
            lines.extend(active.map(|active| {
                let left = active.left.as_secs_f64();
                format!("  active: runner {}, and for {left:.1} s unless it renews", active.runner)
            }));
        }
    }
    lines.extend(status.inputs.iter().map(|input| format!("  {}", input_line(input))));
    lines.join("\n")
}

fn input_line(input: &InputStatus) -> String {
    let position = input.position.map_or("no position yet".to_owned(), |position| format!("position {position}"));
    let broker = match &input.broker {
        Broker::NoConsumer => "no consumer yet".to_owned(),
        Broker::Progress(p) => format!(
            "pending {} · delivered {} · ack floor {} · stream {}–{}",
            p.pending, p.delivered, p.ack_floor, p.first, p.last
        ),
        Broker::Down(error) => error.to_string(),
    };
    format!("channel {}: {position} · {broker}", input.channel)
}

fn as_json(status: &PipelineStatus) -> Value {
    let store = match &status.store {
        Err(error) => json!({ "error": error.to_string() }),
        Ok(None) => Value::Null,
        Ok(Some(StoreStatus { opened, census, active })) => json!({
            "durability": durability(opened.durability),
            "warnings": opened.warnings,
            "parked": census.parked,
            "outbox": census.outbox,
            "dead_letters": census.dead_open,
            "keys_with_timer": census.keys_with_timer,
            "active": active.map(|active| json!({
                "runner": active.runner.to_string(),
                "lease_ms": u64::try_from(active.left.as_millis()).unwrap_or(u64::MAX),
            })),
        }),
    };
    let inputs: Vec<Value> = status.inputs.iter().map(input_json).collect();
    json!({ "pipeline": &*status.pipeline.name, "store": store, "inputs": inputs })
}

fn input_json(input: &InputStatus) -> Value {
    let mut value = json!({ "channel": &*input.channel, "position": input.position });
    match &input.broker {
        Broker::NoConsumer => {}
        Broker::Progress(p) => {
            value["consumer"] = json!({
                "pending": p.pending, "delivered": p.delivered, "ack_floor": p.ack_floor, "first": p.first, "last": p.last,
                "deletes_on_ack": p.deletes_on_ack,
            });
        }
        Broker::Down(error) => value["error"] = json!(error.to_string()),
    }
    value
}
