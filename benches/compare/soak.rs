//! Sustained overload: there is always far more to do than can be done, and memory must not show it.

use std::time::{Duration, Instant};

use serde::Serialize;

use crate::adapter::Side;
use crate::servers::{OUT_STREAM, Servers};
use crate::workload;

/// MiB of resident memory, at most: DESIGN's figure.
pub const BUDGET: f64 = 128.0;
/// MiB a minute. Five minutes of it are less than two samples differ by.
pub const FLAT: f64 = 1.0;
/// Events that wait at the broker, at least: ten times what a runner may hold.
const BACKLOG: u64 = 50_000;
/// Events that are published at once.
const PORTION: usize = 25_000;
/// What is done with is forgotten by the broker every so many events, so that its disk holds out.
const FORGET: u64 = 500_000;
const PATIENCE: Duration = Duration::from_secs(120);

#[derive(Debug, Serialize)]
pub struct Soak {
    pub side: String,
    pub seconds: f64,
    pub events: u64,
    pub per_second: f64,
    /// MiB, a sample a second.
    pub resident: Vec<f64>,
    pub first: f64,
    pub median: f64,
    pub max: f64,
    /// MiB a minute: the straight line that fits the second half best. The first half may still fill buffers.
    pub slope: f64,
}

/// The order job for so long, then what is left of it to the end, exactly.
pub async fn soak(side: &Side, lasting: Duration) -> Result<Soak, String> {
    let workload = workload::find("order").expect("it is in the table");
    let servers = Servers::start(workload.strict).await?;
    servers.keep_few_emissions().await?;
    let dir = tempfile::tempdir().map_err(|error| format!("there is no temporary directory: {error}"))?;
    let mut events = workload.events(1);
    let mut published = servers.fill(events.by_ref().take(BACKLOG as usize + PORTION)).await?;
    let mut running = side.start(workload, &servers, dir.path())?;
    servers.until_ready(side.consumer()).await.map_err(|why| format!("{why}\n{}", running.log()))?;
    let group = running.group();
    let (start, mut resident, mut forgotten) = (Instant::now(), Vec::new(), 0);
    let mut last = (Instant::now(), 0);
    while start.elapsed() < lasting {
        let progress = servers.progress(side.consumer()).await?.unwrap_or_default();
        if progress.pending < BACKLOG {
            published = servers.fill(events.by_ref().take(PORTION)).await?;
        }
        if progress.floor >= forgotten + FORGET {
            servers.forget_events_below(progress.floor).await?;
            forgotten = progress.floor;
        }
        if start.elapsed().as_secs() >= resident.len() as u64 {
            resident.push(group.resident_kib() as f64 / 1024.0);
            if resident.len() % 10 == 0 {
                eprintln!("  {} s: {} done, {:.0} MiB", resident.len(), progress.floor, resident[resident.len() - 1]);
            }
        }
        running.at_work()?;
        last = moving(last, progress.floor).ok_or_else(|| format!("no progress\n{}", running.log()))?;
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let handled = servers.progress(side.consumer()).await?.unwrap_or_default().floor;
    let seconds = start.elapsed().as_secs_f64();
    eprintln!("  the rest of {published}");
    loop {
        let progress = servers.progress(side.consumer()).await?.unwrap_or_default();
        let emitted = servers.taken(OUT_STREAM).await?;
        if progress.pending == 0 && progress.unacked == 0 && emitted >= published {
            break;
        }
        running.at_work()?;
        last = moving(last, progress.floor)
            .ok_or_else(|| format!("no progress: {emitted} emissions of {published} events\n{}", running.log()))?;
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    side.check(Some(&servers), dir.path())?;
    running.stop().await?;
    let emitted = servers.taken(OUT_STREAM).await?;
    if emitted != published {
        return Err(format!("{emitted} emissions of {published} events"));
    }
    let mut sorted = resident.clone();
    sorted.sort_by(f64::total_cmp);
    Ok(Soak {
        side: side.name(),
        seconds,
        events: published,
        per_second: handled as f64 / seconds,
        first: resident.first().copied().unwrap_or(0.0),
        median: sorted.get(sorted.len() / 2).copied().unwrap_or(0.0),
        max: sorted.last().copied().unwrap_or(0.0),
        slope: slope(&resident[resident.len() / 2..]) * 60.0,
        resident,
    })
}

/// When the floor last rose, and to what; `None` when that is too long ago.
fn moving(last: (Instant, u64), floor: u64) -> Option<(Instant, u64)> {
    match floor == last.1 {
        true => (last.0.elapsed() < PATIENCE).then_some(last),
        false => Some((Instant::now(), floor)),
    }
}

/// A sample, by least squares.
fn slope(samples: &[f64]) -> f64 {
    let n = samples.len() as f64;
    let (x, y) = ((n - 1.0) / 2.0, samples.iter().sum::<f64>() / n);
    let (mut above, mut below) = (0.0, 0.0);
    for (at, sample) in samples.iter().enumerate() {
        above += (at as f64 - x) * (sample - y);
        below += (at as f64 - x).powi(2);
    }
    if below > 0.0 { above / below } else { 0.0 }
}
