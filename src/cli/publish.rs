//! `sluice publish`: events from a file, stdin or the arguments into a channel.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use clap::Args;
use futures_util::stream::{self, Stream, StreamExt as _};
use serde_json::{Value, json};
use tokio::io::{AsyncBufRead, AsyncBufReadExt as _, AsyncReadExt as _, BufReader};

use super::failure::{Exit, Failure};
use super::project::Tell;
use super::{ProjectArgs, print, project};
use crate::bus::local::LocalBus;
use crate::bus::nats::StreamChannel;
use crate::bus::open::connect;
use crate::bus::{ConsumerSpec, Sink};
use crate::clock::{SystemClock, SystemEntropy};
use crate::database::{Access, Database};
use crate::event::Headers;
use crate::ops::publish::{News, Press, Summary, publish_all, template};
use crate::spec::program::{Channel, ChannelKind, Envelope, LocalStream, Mapping, Program, StoreConfig};
use crate::store::open;

/// Longest line in bytes. What is longer is no event: brokers take a megabyte or so.
const MAX_LINE: u64 = 16 << 20;

/// Publish events to a channel: one JSON object a line, from a file or stdin, or one event from the arguments
///
/// Every event is checked against the schemas of the project first, and confirmed by the broker. `id`, `source`
/// and `time` are filled in where they are absent (not where the channel's envelope is a `map`: there a line is a
/// message as it comes to the channel, and goes out to the byte). Where a channel's subject ends in a wildcard, the event's type
/// takes its place: `orders.>` becomes `orders.OrderCreated`. Events of one key are published in their order.
#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  sluice publish orders orders.ndjson
  generate-orders | sluice publish orders
  sluice publish orders --type OrderPaid --data '{\"order_id\":\"o1\",\"cents\":1999}'
  sluice publish orders --subject orders.legacy --raw odd.ndjson    lines as they are

A line that is not valid is reported with its number; the others go on, and the exit code is 1.")]
pub struct PublishArgs {
    #[command(flatten)]
    project: ProjectArgs,
    /// A channel of the project
    channel: String,
    /// Events, one a line; `-` is stdin
    #[arg(default_value = "-", conflicts_with = "kind")]
    file: PathBuf,
    /// Type of one event; its data comes with `--data`
    #[arg(long = "type", value_name = "TYPE", requires = "data")]
    kind: Option<String>,
    /// Version of that event
    #[arg(long, value_name = "N", default_value_t = 1, requires = "kind")]
    version: u32,
    /// Data of that event, as JSON
    #[arg(long, value_name = "JSON", requires = "kind")]
    data: Option<String>,
    /// Id of that event
    #[arg(long, requires = "kind")]
    id: Option<String>,
    /// Who events are from that do not say so themselves
    #[arg(long, value_name = "SOURCE", default_value = "sluice-publish")]
    source: String,
    /// A header of every event; may be repeated
    #[arg(long = "header", value_name = "NAME=VALUE", value_parser = header)]
    headers: Vec<(String, String)>,
    /// Where in the channel to publish; `{type}` and `{key}` stand for the event's
    #[arg(long)]
    subject: Option<String>,
    /// Publish lines as they are, unchecked and unchanged; in the subject, `unknown` stands for what cannot be told
    #[arg(long, conflicts_with_all = ["kind", "dedupe"])]
    raw: bool,
    /// Let the broker drop an event it took before, within its duplicate window (sends `Nats-Msg-Id`)
    #[arg(long)]
    dedupe: bool,
    /// How long to try when the broker does not confirm
    #[arg(long, value_name = "TIME", default_value = "30s", value_parser = super::duration)]
    patience: Duration,
}

fn header(text: &str) -> Result<(String, String), String> {
    let (name, value) = text.split_once('=').ok_or("write it like `name=value`")?;
    let usable = !name.is_empty() && name.bytes().all(|b| b.is_ascii_graphic() && b != b':');
    if !usable || value.contains(['\r', '\n']) {
        return Err("a name is of visible characters without `:`, a value of one line".to_owned());
    }
    Ok((name.to_owned(), value.to_owned()))
}

pub async fn publish(arguments: PublishArgs) -> Result<Exit, Failure> {
    let program = project::load(&arguments.project.project, Tell::Errors)?;
    let channel = project::channel(&program, &arguments.channel)?;
    if let Envelope::Map(mapping) = &channel.envelope {
        fits(&arguments, mapping)?;
    }
    let sink = sink(&program, channel, arguments.subject.as_deref()).await?;
    let press = Press {
        program: &program,
        channel,
        source: arguments.source.clone(),
        headers: Headers(arguments.headers.clone()),
        raw: arguments.raw,
        dedupe: arguments.dedupe,
        clock: &SystemClock,
        entropy: &SystemEntropy,
    };
    let mut progress = print::Progress::new();
    let mut tell = |news: News| match news {
        News::Published { total } => progress.show(|| format!("published {total}")),
        News::Invalid { line, problems } => {
            progress.clear();
            for problem in problems {
                print::note(&format!("error: line {line}: {}", print::tame(&problem)));
            }
        }
        News::Failed { line, why } => {
            progress.clear();
            print::note(&format!("error: line {line}: not confirmed: {}", print::tame(&why)));
        }
        News::Stopped { line } => {
            progress.clear();
            print::note(&format!("error: stopped: nothing after line {line} was published"));
        }
    };
    let lines = input(&arguments).await?;
    let summary = publish_all(lines, &press, &sink, arguments.patience, &mut tell).await;
    progress.clear();
    let summary = summary.map_err(|error| Failure::cannot_run(format!("the input cannot be read: {error}")))?;
    print::line(&told(&summary, &arguments.channel))?;
    Ok(match summary {
        Summary { failed: 1.., .. } => Exit::CannotRun,
        Summary { invalid: 1.., .. } => Exit::Findings,
        _ => Exit::Fine,
    })
}

/// What a channel that maps takes are somebody else's messages, whole.
fn fits(arguments: &PublishArgs, mapping: &Mapping) -> Result<(), Failure> {
    let name = &arguments.channel;
    if arguments.kind.is_some() {
        let why = format!(
            "the envelope of channel `{name}` is a `map`: what an event's type and data make there is not known"
        );
        return Err(Failure::cannot_run(why).help("give messages as they come to it, one a line, with `--header`s"));
    }
    if arguments.dedupe && mapping.id.is_none() {
        let why = format!("messages of channel `{name}` have no id by which the broker could know them again");
        return Err(Failure::cannot_run(why).help("leave out `--dedupe`, or map an `id`"));
    }
    Ok(())
}

fn told(summary: &Summary, channel: &str) -> String {
    let mut told = format!("published {} to `{channel}`", print::count(summary.published, "event"));
    if summary.invalid > 0 {
        told += &format!(", {} not valid", summary.invalid);
    }
    if summary.failed > 0 {
        told += &format!(", {} not confirmed", summary.failed);
    }
    told
}

pub(super) async fn sink(
    program: &Program,
    channel: &Channel,
    subject: Option<&str>,
) -> Result<Arc<dyn Sink>, Failure> {
    let cannot = |why: String| Failure::cannot_run(why);
    let ask = |why| Failure::cannot_run(why).help("say where to publish with `--subject`");
    let template = template(channel.kind.subjects(), subject).map_err(ask)?;
    match &channel.kind {
        ChannelKind::Local(stream) => {
            let database = Database::open(&program.data, Access::Beside, &SystemClock);
            let database = database.map_err(|trouble| cannot(trouble.to_string()))?;
            let bus = LocalBus::new(database.clone(), Arc::new(SystemClock), program.pipeline_names());
            keep_for_readers(program, channel, stream, &database, &bus).await?;
            Ok(Arc::new(bus.publisher(stream, &template)))
        }
        ChannelKind::Nats { connection, .. } => {
            let place = StreamChannel::of(&channel.kind);
            let place = place.ok_or_else(|| cannot(format!("channel `{}` is not on NATS", channel.name)))?;
            let connection = connect(program, connection).await.map_err(|error| cannot(error.to_string()))?;
            let sink = connection.publisher(place, &template).map_err(|error| cannot(error.to_string()))?;
            Ok(Arc::new(sink))
        }
    }
}

/// Events that come before the first run of their pipelines are kept for them, however many they are. (Where the store
/// knows a position already, a consumer that is missing means something else, and is for `sluice run` to judge.)
async fn keep_for_readers(
    program: &Program,
    channel: &Channel,
    stream: &LocalStream,
    database: &Database,
    bus: &LocalBus,
) -> Result<(), Failure> {
    if !matches!(program.store, StoreConfig::Embedded) {
        return Ok(());
    }
    let cannot = |error: &dyn std::fmt::Display| Failure::cannot_run(error.to_string());
    for pipeline in program.pipelines.iter().filter(|pipeline| pipeline.inputs().contains(&channel.name)) {
        let store = open::beside(program, pipeline, Some(database), Arc::new(SystemClock)).await;
        let position = match store.map_err(|error| cannot(&error))? {
            Some((store, _)) => store.position(&channel.name).await.map_err(|error| cannot(&error))?,
            None => None,
        };
        if position.is_none() {
            let (pipeline, channel) = (Arc::clone(&pipeline.name), channel.name.clone());
            let spec = ConsumerSpec { pipeline, channel, start_after: None };
            bus.source(stream, spec).await.map_err(|error| cannot(&error))?;
        }
    }
    Ok(())
}

pub(super) type Lines = stream::BoxStream<'static, std::io::Result<Vec<u8>>>;

async fn input(arguments: &PublishArgs) -> Result<Lines, Failure> {
    if let (Some(kind), Some(data)) = (&arguments.kind, &arguments.data) {
        let data: Value = serde_json::from_str(data)
            .map_err(|error| Failure::cannot_run(format!("`--data` is not JSON: {error}")))?;
        let mut event = json!({ "type": kind, "version": arguments.version, "data": data });
        if let Some(id) = &arguments.id {
            event["id"] = json!(id);
        }
        return Ok(stream::iter([Ok(event.to_string().into_bytes())]).boxed());
    }
    if arguments.file.as_os_str() == "-" {
        return Ok(lines(BufReader::new(tokio::io::stdin())).boxed());
    }
    file(&arguments.file).await
}

pub(super) async fn file(path: &Path) -> Result<Lines, Failure> {
    let file = tokio::fs::File::open(path).await;
    let file = file.map_err(|error| Failure::cannot_run(format!("`{}` cannot be opened: {error}", path.display())))?;
    Ok(lines(BufReader::new(file)).boxed())
}

/// Lines without their ends. The stream holds what was read of a line, so dropping a wait for it loses nothing.
fn lines<R: AsyncBufRead + Unpin + Send + 'static>(reader: R) -> impl Stream<Item = std::io::Result<Vec<u8>>> + Send {
    stream::unfold(Some(reader), |reader| async {
        let mut reader = reader?;
        let mut line = Vec::new();
        match (&mut reader).take(MAX_LINE).read_until(b'\n', &mut line).await {
            Err(error) => Some((Err(error), None)),
            Ok(0) => None,
            Ok(_) if line.len() as u64 == MAX_LINE && !line.ends_with(b"\n") => {
                let why = format!("a line is longer than {MAX_LINE} bytes; is it one JSON object a line?");
                Some((Err(std::io::Error::other(why)), None))
            }
            Ok(_) => {
                while line.last().is_some_and(|end| matches!(end, b'\n' | b'\r')) {
                    line.pop();
                }
                Some((Ok(line), Some(reader)))
            }
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn lines_come_without_their_ends_and_the_last_needs_none() {
        let all: Vec<_> = lines(&b"{}\r\n\n[1]"[..]).map(|line| line.expect("read")).collect().await;
        assert_eq!(all, [b"{}".to_vec(), b"".to_vec(), b"[1]".to_vec()]);
    }

    #[test]
    fn headers_that_would_forge_others_are_refused() {
        assert_eq!(header("a=b=c"), Ok(("a".into(), "b=c".into())));
        for bad in ["a", "=b", "a:=b", "a b=c", "a=b\r\nc: d"] {
            assert!(header(bad).is_err(), "{bad}");
        }
    }
}
