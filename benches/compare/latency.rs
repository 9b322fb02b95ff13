//! How long an event takes from the moment it should have been sent, at a rate that does not wait for the side.

use std::time::{Duration, Instant};

use async_nats::Subscriber;
use futures_util::StreamExt as _;
use hdrhistogram::Histogram;
use serde::Serialize;
use tokio::task::JoinHandle;

use crate::adapter::Side;
use crate::servers::{IN, OUT, Servers};
use crate::workload::Workload;

/// The header of an emission that says which event caused it.
const CAUSE: &str = "sluice-cause-id";
/// So much of the beginning is not counted: the side warms up.
const WARM_UP: f64 = 0.2;
/// After the last event, for the last emission.
const PATIENCE: Duration = Duration::from_secs(60);

/// Milliseconds from when an event was to be sent until its emission is there.
#[derive(Clone, Debug, Serialize)]
pub struct Latency {
    /// Of what the side can handle, in percent.
    pub load: u32,
    /// Events a second.
    pub rate: f64,
    pub events: u64,
    pub p50: f64,
    pub p90: f64,
    pub p99: f64,
    pub p999: f64,
    pub max: f64,
}

/// `load` percent of `capacity` events a second, evenly spaced.
pub async fn latency(
    side: &Side,
    workload: &'static Workload,
    capacity: f64,
    load: u32,
    lasting: Duration,
) -> Result<Latency, String> {
    let rate = capacity * f64::from(load) / 100.0;
    let count = workload.whole((rate * lasting.as_secs_f64()).max(1.0) as u64);
    let servers = Servers::start(workload.strict).await?;
    let dir = tempfile::tempdir().map_err(|error| format!("there is no temporary directory: {error}"))?;
    let mut running = side.start(workload, &servers, dir.path())?;
    servers.until_ready(side.consumer()).await.map_err(|why| format!("{why}\n{}", running.log()))?;
    // A connection of its own: what comes must not wait for what goes.
    let failed = |error: &dyn std::fmt::Display| format!("nats: {error}");
    let listening = async_nats::connect(servers.nats.url()).await.map_err(|error| failed(&error))?;
    let emissions = listening.subscribe(OUT).await.map_err(|error| failed(&error))?;
    listening.flush().await.map_err(|error| failed(&error))?;

    let schedule = Schedule { start: Instant::now() + Duration::from_millis(100), rate, count };
    let mut receiving = Receiving(tokio::spawn(receive(emissions, schedule)));
    publish(&servers, workload, schedule).await?;
    let received = tokio::time::timeout(PATIENCE, &mut receiving.0).await;
    running.at_work()?;
    let received =
        received.map_err(|_| format!("not every event was answered within {PATIENCE:?}\n{}", running.log()))?;
    let histogram = received.map_err(|error| format!("receiving failed: {error}"))??;
    side.check(Some(&servers), dir.path())?;
    running.stop().await?;
    let millis = |micros: u64| micros as f64 / 1e3;
    let at = |quantile: f64| millis(histogram.value_at_quantile(quantile));
    Ok(Latency {
        load,
        rate,
        events: histogram.len(),
        p50: at(0.5),
        p90: at(0.9),
        p99: at(0.99),
        p999: at(0.999),
        max: millis(histogram.max()),
    })
}

struct Receiving(JoinHandle<Result<Histogram<u64>, String>>);

impl Drop for Receiving {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// When which event is to be sent.
#[derive(Clone, Copy)]
struct Schedule {
    start: Instant,
    rate: f64,
    count: u64,
}

impl Schedule {
    fn due(&self, event: u64) -> Instant {
        self.start + Duration::from_secs_f64(event as f64 / self.rate)
    }
}

async fn publish(servers: &Servers, workload: &'static Workload, schedule: Schedule) -> Result<(), String> {
    let failed = |error: &dyn std::fmt::Display| format!("the events cannot be published: {error}");
    for (number, event) in (0..schedule.count).zip(workload.events(1)) {
        let due = schedule.due(number);
        if due > Instant::now() {
            servers.client.flush().await.map_err(|error| failed(&error))?;
            // The timer's step is a millisecond; who is late sends what is due at once, and is measured from when it was.
            tokio::time::sleep_until(due.into()).await;
        }
        servers.client.publish(IN, event.payload.into()).await.map_err(|error| failed(&error))?;
    }
    servers.client.flush().await.map_err(|error| failed(&error))
}

/// Until each event was answered once.
async fn receive(mut emissions: Subscriber, schedule: Schedule) -> Result<Histogram<u64>, String> {
    let mut histogram = Histogram::new(3).expect("three digits are fine");
    let mut answered = vec![false; schedule.count as usize];
    for _ in 0..schedule.count {
        let emission = emissions.next().await.ok_or("nats went away")?;
        let now = Instant::now();
        let cause = emission.headers.as_ref().and_then(|headers| headers.get(CAUSE));
        let number = cause.and_then(|cause| cause.as_str().strip_prefix("e-")?.parse::<u64>().ok());
        let number = number.ok_or_else(|| format!("an emission has no usable header `{CAUSE}`"))?;
        let answered = answered.get_mut(number as usize).ok_or("an emission for an event that was not sent")?;
        if std::mem::replace(answered, true) {
            return Err(format!("event {number} was answered twice"));
        }
        if number as f64 >= schedule.count as f64 * WARM_UP {
            let waited = now.saturating_duration_since(schedule.due(number));
            histogram.record(waited.as_micros() as u64).expect("it grows with what it is given");
        }
    }
    Ok(histogram)
}
