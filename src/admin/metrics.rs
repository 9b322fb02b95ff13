//! Counts of the running pipelines as metrics, read when somebody asks: nothing is counted twice, and nothing in
//! the way of an event.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, MetricEncoder, NoLabelSet};
use prometheus_client::metrics::MetricType;
use prometheus_client::registry::Registry;

use crate::flow::context::Context;

/// What a scrape is answered with: OpenMetrics text.
pub const CONTENT_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// All metrics of these pipelines.
pub fn registry(pipelines: &[Arc<Context>]) -> Registry {
    let mut registry = Registry::with_prefix("sluice");
    registry.register_collector(Box::new(Pipelines(pipelines.to_vec())));
    registry
}

type Figure<T> = (&'static str, &'static str, fn(&Context) -> T);

const COUNTERS: &[Figure<u64>] = &[
    ("received", "Deliveries taken in", |c| c.tally.snapshot().received),
    ("publish_confirmed", "Emitted events that their broker confirmed", |c| c.published.confirmed.load(Relaxed)),
    ("publish_errors", "Publishes that were not confirmed, and are tried again", |c| c.published.errors.load(Relaxed)),
];

const GAUGES: &[Figure<i64>] = &[
    ("in_flight", "Deliveries that have no outcome yet", |c| c.tally.snapshot().in_flight),
    ("outbox_waiting", "Emitted events that are not confirmed yet", |c| {
        i64::try_from(c.published.waiting.load(Relaxed)).unwrap_or(i64::MAX)
    }),
    ("pipeline_ready", "1 while the pipeline takes events or stands by, 0 otherwise", |c| {
        i64::from(c.phase.borrow().ready())
    }),
    ("pipeline_active", "1 while the pipeline takes events here, 0 otherwise", |c| {
        i64::from(c.phase.borrow().active())
    }),
];

struct Pipelines(Vec<Arc<Context>>);

impl fmt::Debug for Pipelines {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.0.iter().map(|context| &context.pipeline.name)).finish()
    }
}

impl Collector for Pipelines {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        self.events(counter(&mut encoder, "events", "Deliveries that ended, by outcome")?)?;
        self.unparked(counter(&mut encoder, "unparked", "Events that left the park, by what became of them")?)?;
        for (name, help, value) in COUNTERS {
            self.each_counter(counter(&mut encoder, name, help)?, *value)?;
        }
        for (name, help, value) in GAUGES {
            self.each_gauge(gauge(&mut encoder, name, help)?, *value)?;
        }
        Ok(())
    }
}

fn counter<'e>(
    encoder: &'e mut DescriptorEncoder<'_>,
    name: &'e str,
    help: &str,
) -> Result<MetricEncoder<'e>, fmt::Error> {
    encoder.encode_descriptor(name, help, None, MetricType::Counter)
}

fn gauge<'e>(
    encoder: &'e mut DescriptorEncoder<'_>,
    name: &'e str,
    help: &str,
) -> Result<MetricEncoder<'e>, fmt::Error> {
    encoder.encode_descriptor(name, help, None, MetricType::Gauge)
}

impl Pipelines {
    fn events(&self, mut metric: MetricEncoder<'_>) -> fmt::Result {
        for context in &self.0 {
            for (subscription, outcome, count) in context.tally.events() {
                let labels = [
                    ("pipeline", &*context.pipeline.name),
                    ("subscription", subscription),
                    ("outcome", outcome.name()),
                ];
                metric.encode_family(&labels)?.encode_counter::<NoLabelSet, u64, u64>(&count, None)?;
            }
        }
        Ok(())
    }

    fn unparked(&self, mut metric: MetricEncoder<'_>) -> fmt::Result {
        for context in &self.0 {
            for (outcome, count) in context.tally.unparked() {
                let labels = [("pipeline", &*context.pipeline.name), ("to", outcome.name())];
                metric.encode_family(&labels)?.encode_counter::<NoLabelSet, u64, u64>(&count, None)?;
            }
        }
        Ok(())
    }

    fn each_counter(&self, mut metric: MetricEncoder<'_>, value: fn(&Context) -> u64) -> fmt::Result {
        for context in &self.0 {
            let labels = [("pipeline", &*context.pipeline.name)];
            metric.encode_family(&labels)?.encode_counter::<NoLabelSet, u64, u64>(&value(context), None)?;
        }
        Ok(())
    }

    fn each_gauge(&self, mut metric: MetricEncoder<'_>, value: fn(&Context) -> i64) -> fmt::Result {
        for context in &self.0 {
            let labels = [("pipeline", &*context.pipeline.name)];
            metric.encode_family(&labels)?.encode_gauge(&value(context))?;
        }
        Ok(())
    }
}
