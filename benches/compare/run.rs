//! One run of one side: fresh servers, a stream full of events, and what it takes until all are done.

use std::time::{Duration, Instant};

use serde::Serialize;

use crate::adapter::{Done, Running, Side, sluice};
use crate::measure::{Group, RedisUse, cpu_seconds};
use crate::project::{self, CHANNEL};
use crate::servers::{OUT_STREAM, Servers};
use crate::workload::{Ground, Workload};

/// How often the broker is asked how far a side is: so far may a time be off.
const LOOK: Duration = Duration::from_millis(10);
/// Memory is looked at every so many looks.
const MEMORY_EVERY: u32 = 10;
/// A side that makes no progress for so long has failed.
const PATIENCE: Duration = Duration::from_secs(60);

/// What one run took.
#[derive(Clone, Debug, Serialize)]
pub struct Run {
    /// Messages in the stream, copies included.
    pub messages: u64,
    /// From the first delivery to the last ack, confirmed emissions included.
    pub seconds: f64,
    pub per_second: f64,
    /// Seconds of processor time for a million messages.
    pub cpu: Cpu,
    /// Of one message. `None` without servers.
    pub redis: Option<PerMessage>,
    /// Resident memory in MiB, every tenth of a second.
    pub resident: Vec<f64>,
}

#[derive(Clone, Copy, Debug, Serialize)]
pub struct Cpu {
    pub side: f64,
    pub nats: f64,
    pub redis: f64,
}

#[derive(Clone, Copy, Debug, Serialize)]
pub struct PerMessage {
    pub reads: f64,
    pub calls: f64,
    pub bytes_in: f64,
    pub bytes_out: f64,
}

impl Run {
    pub fn peak_mib(&self) -> f64 {
        self.resident.iter().copied().fold(0.0, f64::max)
    }
}

/// `messages` events of a workload, from a stream that holds all of them, to the end.
pub async fn run(side: &Side, workload: &'static Workload, messages: u64) -> Result<Run, String> {
    match workload.ground {
        Ground::Servers => on_servers(side, workload, messages).await,
        Ground::Local => alone(side, workload, messages).await,
    }
}

async fn on_servers(side: &Side, workload: &'static Workload, messages: u64) -> Result<Run, String> {
    let servers = Servers::start(workload.strict).await?;
    let distinct = servers.fill(workload.events(1).take(messages as usize)).await?;
    finish(side, workload, &servers, messages, distinct).await
}

/// Lets a side work through what `servers` hold, checks that it did so exactly, and stops it.
///
/// `messages` are in the stream, and `distinct` of them are no copies: so many must be emitted.
pub async fn finish(
    side: &Side,
    workload: &Workload,
    servers: &Servers,
    messages: u64,
    distinct: u64,
) -> Result<Run, String> {
    let dir = tempfile::tempdir().map_err(|error| format!("there is no temporary directory: {error}"))?;
    let mut running = side.start(workload, servers, dir.path())?;
    let run = watch(side, &mut running, servers, messages, distinct).await?;
    side.check(Some(servers), dir.path()).map_err(|why| format!("{why}\n{}", running.log()))?;
    running.stop().await?;
    let emitted = servers.taken(OUT_STREAM).await?;
    if emitted != distinct {
        return Err(format!("{emitted} emissions of {distinct} events"));
    }
    Ok(run)
}

/// What was used up to a moment.
struct Used {
    at: Instant,
    cpu: Cpu,
    redis: RedisUse,
}

impl Used {
    fn now(group: &Group, servers: &Servers) -> Result<Self, String> {
        let (nats, redis) = (cpu_seconds(servers.nats_process), cpu_seconds(servers.redis_process));
        let cpu = Cpu { side: group.cpu_seconds(), nats, redis };
        Ok(Self { at: Instant::now(), cpu, redis: servers.redis_use()? })
    }
}

/// From the first delivery until `messages` are acked and `distinct` emissions are out.
pub async fn watch(
    side: &Side,
    running: &mut Running,
    servers: &Servers,
    messages: u64,
    distinct: u64,
) -> Result<Run, String> {
    let group = running.group();
    let mut resident = Vec::new();
    let mut before: Option<Used> = None;
    let (mut moved, mut last, mut looks) = (Instant::now(), 0, 0);
    loop {
        let progress = servers.progress(side.consumer()).await?.unwrap_or_default();
        let acked = progress.delivered >= messages && progress.pending == 0 && progress.unacked == 0;
        let by_emissions = side.done() == Done::Emitted;
        let emitted = if acked || by_emissions { servers.taken(OUT_STREAM).await? } else { 0 };
        if before.is_none() && (progress.delivered > 0 || emitted > 0) {
            before = Some(Used::now(&group, servers)?);
        }
        if looks % MEMORY_EVERY == 0 {
            resident.push(group.resident_kib() as f64 / 1024.0);
        }
        looks += 1;
        if (acked || by_emissions) && emitted >= distinct {
            break;
        }
        let so_far = progress.delivered + progress.floor + emitted;
        if so_far != last {
            (moved, last) = (Instant::now(), so_far);
        }
        running.at_work()?;
        if moved.elapsed() > PATIENCE {
            let emitted = servers.taken(OUT_STREAM).await?;
            let left = progress.pending + progress.unacked;
            return Err(format!(
                "no progress: {left} of {messages} not acked, {emitted} of {distinct} emitted\n{}",
                running.log()
            ));
        }
        tokio::time::sleep(LOOK).await;
    }
    let after = Used::now(&group, servers)?;
    let before = before.ok_or("all was done before anything was delivered")?;
    let redis = after.redis.since(before.redis);
    let each = |count: u64| count as f64 / messages as f64;
    let seconds = (after.at - before.at).as_secs_f64();
    let million = |after: f64, before: f64| (after - before) * 1e6 / messages as f64;
    Ok(Run {
        messages,
        seconds,
        per_second: messages as f64 / seconds,
        cpu: Cpu {
            side: million(after.cpu.side, before.cpu.side),
            nats: million(after.cpu.nats, before.cpu.nats),
            redis: million(after.cpu.redis, before.cpu.redis),
        },
        redis: Some(PerMessage {
            reads: each(redis.reads),
            calls: each(redis.calls),
            bytes_in: each(redis.bytes_in),
            bytes_out: each(redis.bytes_out),
        }),
        resident,
    })
}

/// `sluice` without servers: events are published first, then it runs until it is idle. Its start and the look for
/// idleness are in the time.
async fn alone(side: &Side, workload: &'static Workload, messages: u64) -> Result<Run, String> {
    let dir = tempfile::tempdir().map_err(|error| format!("there is no temporary directory: {error}"))?;
    project::write(workload, dir.path());
    let lines: String = workload.events(1).take(messages as usize).map(|event| event.payload + "\n").collect();
    std::fs::write(dir.path().join("events.ndjson"), lines).map_err(|error| format!("no room for events: {error}"))?;
    let file = dir.path().join("events.ndjson");
    let published = sluice(dir.path(), &["publish", CHANNEL], None).arg("--raw").arg(file).output();
    let published = published.map_err(|error| format!("`sluice publish` does not start: {error}"))?;
    if !published.status.success() {
        return Err(format!("`sluice publish` failed: {}", String::from_utf8_lossy(&published.stderr)));
    }
    let start = Instant::now();
    let command = sluice(dir.path(), &["run", "--log", "warn", "--until-idle"], None);
    let mut running = Running::start(side.name(), command, dir.path())?;
    let (group, mut resident, mut cpu, mut looks) = (running.group(), Vec::new(), 0.0f64, 0);
    let status = loop {
        // What has ended is not there to be asked any more, so this is up to a look too little.
        cpu = cpu.max(group.cpu_seconds());
        if looks % MEMORY_EVERY == 0 {
            resident.push(group.resident_kib() as f64 / 1024.0);
        }
        looks += 1;
        if let Some(status) = running.ended() {
            break status;
        }
        tokio::time::sleep(LOOK).await;
    };
    let seconds = start.elapsed().as_secs_f64();
    let log = running.log();
    // The balance, printed at the end.
    if !status.success() || !log.contains(&format!(" done {messages} +")) {
        return Err(format!("not all of {messages} events were handled: {status}\n{log}"));
    }
    side.check(None, dir.path())?;
    Ok(Run {
        messages,
        seconds,
        per_second: messages as f64 / seconds,
        cpu: Cpu { side: cpu * 1e6 / messages as f64, nats: 0.0, redis: 0.0 },
        redis: None,
        resident,
    })
}
