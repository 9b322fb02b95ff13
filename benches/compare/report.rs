//! What was found: as a table, as JSON, and against the figures that are to be reached.

use serde::Serialize;
use serde_json::{Value, json};

use crate::growth::{Grown, REMEMBERED};
use crate::latency::Latency;
use crate::run::Run;
use crate::soak::{BUDGET, FLAT, Soak};
use crate::workload::Workload;

/// All of one workload.
pub struct Part {
    pub workload: &'static str,
    pub about: &'static str,
    pub sides: Vec<Of>,
}

/// Of one side. The n-th run is of the n-th round.
pub struct Of {
    pub side: String,
    pub runs: Vec<Run>,
    pub latency: Vec<Latency>,
}

#[derive(Default)]
pub struct Report {
    pub machine: Value,
    pub parts: Vec<Part>,
    pub soak: Option<Soak>,
    pub growth: Vec<Grown>,
}

/// The middle one and the outermost.
#[derive(Clone, Copy, Serialize)]
pub struct Spread {
    pub median: f64,
    pub min: f64,
    pub max: f64,
}

impl Spread {
    /// `None` of nothing.
    pub fn of(values: impl IntoIterator<Item = f64>) -> Option<Self> {
        let mut values: Vec<f64> = values.into_iter().collect();
        values.sort_by(f64::total_cmp);
        let (min, max) = (*values.first()?, *values.last()?);
        let half = values.len() / 2;
        let median = if values.len() % 2 == 1 { values[half] } else { f64::midpoint(values[half - 1], values[half]) };
        Some(Self { median, min, max })
    }

    fn show(&self, digits: usize) -> String {
        let Self { median, min, max } = self;
        format!("{median:.digits$} ({min:.digits$}–{max:.digits$})")
    }
}

impl Part {
    pub fn new(workload: &Workload, sides: impl Iterator<Item = String>) -> Self {
        let sides = sides.map(|side| Of { side, runs: Vec::new(), latency: Vec::new() }).collect();
        Self { workload: workload.name, about: workload.about, sides }
    }

    fn side(&self, name: &str) -> Option<&Of> {
        self.sides.iter().find(|of| of.side == name)
    }

    /// How many times as fast `side` was as `other`, round by round.
    fn ratio(&self, side: &Of, other: &str) -> Option<Spread> {
        let other = self.side(other)?;
        Spread::of(side.runs.iter().zip(&other.runs).map(|(one, other)| one.per_second / other.per_second))
    }

    pub fn print(&self) {
        println!("\n{} — {}\n", self.workload, self.about);
        println!(
            "{:<12} {:>24} {:>18} {:>18} {:>21} {:>27} {:>8}",
            "side", "events/s", "× ceiling", "× usual-1", "CPU s/million", "Redis an event", "MiB"
        );
        println!(
            "{:<12} {:>24} {:>18} {:>18} {:>21} {:>27} {:>8}",
            "", "", "", "", "side/nats/redis", "reads/calls/B in/B out", "peak"
        );
        for of in &self.sides {
            let Some(rate) = of.spread(|run| run.per_second) else { continue };
            let ratio = |other: &str| self.ratio(of, other).map_or("–".to_owned(), |ratio| ratio.show(2));
            let median = |value: fn(&Run) -> f64| of.spread(value).map_or(0.0, |spread| spread.median);
            let cpu = format!(
                "{:.1}/{:.1}/{:.1}",
                median(|run| run.cpu.side),
                median(|run| run.cpu.nats),
                median(|run| run.cpu.redis)
            );
            let redis = match of.runs.iter().all(|run| run.redis.is_some()) {
                false => "–".to_owned(),
                true => format!(
                    "{:.3}/{:.2}/{:.0}/{:.0}",
                    median(|run| run.redis.map_or(0.0, |redis| redis.reads)),
                    median(|run| run.redis.map_or(0.0, |redis| redis.calls)),
                    median(|run| run.redis.map_or(0.0, |redis| redis.bytes_in)),
                    median(|run| run.redis.map_or(0.0, |redis| redis.bytes_out))
                ),
            };
            println!(
                "{:<12} {:>24} {:>18} {:>18} {:>21} {:>27} {:>8.0}",
                of.side,
                rate.show(0),
                ratio("ceiling"),
                ratio("usual-1"),
                cpu,
                redis,
                median(Run::peak_mib)
            );
        }
        self.print_latency();
    }

    /// Every run, and what they come to.
    fn json(&self) -> Value {
        let side = |of: &Of| {
            let ratio = |other: &str| self.ratio(of, other);
            json!({
                "side": of.side,
                "per_second": of.spread(|run| run.per_second),
                "against_ceiling": ratio("ceiling"),
                "against_usual_1": ratio("usual-1"),
                "peak_mib": of.spread(Run::peak_mib),
                "runs": of.runs,
                "latency_ms": of.latency,
            })
        };
        let sides: Vec<Value> = self.sides.iter().map(side).collect();
        json!({ "workload": self.workload, "about": self.about, "sides": sides })
    }

    fn print_latency(&self) {
        if self.sides.iter().all(|of| of.latency.is_empty()) {
            return;
        }
        println!(
            "\n{:<12} {:>6} {:>10} {:>9} {:>9} {:>9} {:>9} {:>9}  ms",
            "side", "load", "events/s", "p50", "p90", "p99", "p99.9", "max"
        );
        for of in &self.sides {
            for Latency { load, rate, p50, p90, p99, p999, max, .. } in &of.latency {
                println!(
                    "{:<12} {:>6} {rate:>10.0} {p50:>9.2} {p90:>9.2} {p99:>9.2} {p999:>9.2} {max:>9.2}",
                    of.side,
                    format!("{load} %")
                );
            }
        }
    }
}

impl Of {
    pub fn spread(&self, value: fn(&Run) -> f64) -> Option<Spread> {
        Spread::of(self.runs.iter().map(value))
    }

    /// Events a second, the middle of all rounds.
    pub fn capacity(&self) -> Option<f64> {
        self.spread(|run| run.per_second).map(|spread| spread.median)
    }
}

/// A figure of the design.
struct Row {
    figure: &'static str,
    wanted: &'static str,
    found: Option<(String, bool)>,
    /// Where it is measured when this run did not.
    elsewhere: &'static str,
}

impl Report {
    pub fn print(&self) {
        if let Some(soak) = &self.soak {
            println!("\nsoak — {} for {:.0} s, more to do than can be done\n", soak.side, soak.seconds);
            println!("{} events, {:.0} a second", soak.events, soak.per_second);
            println!(
                "resident memory in MiB: first {:.1}, median {:.1}, max {:.1}; in the second half {:+.2} a minute",
                soak.first, soak.median, soak.max, soak.slope
            );
        }
        println!("\nwhat is to be reached\n");
        for Row { figure, wanted, found, elsewhere } in self.rows() {
            match found {
                Some((found, true)) => println!("reached      {figure}: {found}, wanted {wanted}"),
                Some((found, false)) => println!("NOT reached  {figure}: {found}, wanted {wanted}"),
                None => println!("not measured {figure}, wanted {wanted}; {elsewhere}"),
            }
        }
    }

    pub fn json(&self) -> Value {
        let rows: Vec<Value> = self.rows().into_iter().map(Row::json).collect();
        let parts: Vec<Value> = self.parts.iter().map(Part::json).collect();
        json!({ "machine": self.machine, "workloads": parts, "soak": self.soak, "growth": self.growth, "figures": rows })
    }

    fn sluice(&self, workload: &str) -> Option<(&Part, &Of)> {
        let part = self.parts.iter().find(|part| part.workload == workload)?;
        Some((part, part.side("sluice")?))
    }

    /// The ratio to the fastest of those that are neither built in nor `sluice`.
    fn best_peer(&self) -> Option<Spread> {
        let (part, sluice) = self.sluice("order")?;
        let own = |of: &&Of| !["sluice", "ceiling"].contains(&of.side.as_str()) && !of.side.starts_with("usual-");
        let peers = part.sides.iter().filter(own).filter_map(|peer| Some((peer, peer.capacity()?)));
        let best = peers.max_by(|one, other| one.1.total_cmp(&other.1))?.0;
        part.ratio(sluice, &best.side)
    }

    fn rows(&self) -> Vec<Row> {
        let order = self.sluice("order");
        let ratio = |other: &str| order.and_then(|(part, sluice)| part.ratio(sluice, other));
        let at_least = |found: Option<Spread>, bar: f64, digits: usize| {
            found.map(|found| (found.show(digits), found.median >= bar))
        };
        let rate = |workload: &str| self.sluice(workload).and_then(|(_, of)| of.spread(|run| run.per_second));
        let half = order.and_then(|(_, of)| of.latency.iter().find(|latency| latency.load == 50));
        let row = |figure, wanted, found, elsewhere| Row { figure, wanted, found, elsewhere };
        vec![
            row(
                "the order job against the same I/O without an engine (relaxed)",
                "≥ 0.75 ×",
                at_least(ratio("ceiling"), 0.75, 2),
                "run `order` with the sides `sluice` and `ceiling`",
            ),
            row(
                "against the usual consumer, one event at a time (relaxed)",
                "≥ 10 ×",
                at_least(ratio("usual-1"), 10.0, 1),
                "run `order` with the sides `sluice` and `usual-1`",
            ),
            row(
                "against the best peer (relaxed)",
                "≥ 5 ×",
                at_least(self.best_peer(), 5.0, 1),
                "name one with `--adapter`",
            ),
            row("events a second (relaxed)", "≥ 30,000", at_least(rate("order"), 30_000.0, 0), "run `order`"),
            row(
                "local channel and embedded store (strict)",
                "≥ 100,000/s",
                at_least(rate("local"), 100_000.0, 0),
                "run `local`",
            ),
            row(
                "an event's cost at ten million remembered ids against ten thousand (relaxed)",
                "≤ 1.1 ×",
                self.growth
                    .iter()
                    .rfind(|grown| grown.row == REMEMBERED)
                    .map(|grown| (format!("{:.2} × at {} ids", grown.ratio, grown.size), grown.ratio <= 1.1)),
                "use `--growth`",
            ),
            row(
                "resident memory under sustained overload",
                "≤ 128 MiB, flat",
                self.soak.as_ref().map(|soak| {
                    (format!("{:.0} MiB, {:+.2} a minute", soak.max, soak.slope), soak.fits() && soak.is_flat())
                }),
                "use `--soak 300`",
            ),
            row(
                "latency p99 at half load (relaxed)",
                "≤ 10 ms",
                half.map(|latency| (format!("{:.2} ms", latency.p99), latency.p99 <= 10.0)),
                "use `--latency`",
            ),
        ]
    }
}

impl Row {
    fn json(self) -> Value {
        let (found, reached) = self.found.unzip();
        json!({ "figure": self.figure, "wanted": self.wanted, "found": found, "reached": reached })
    }
}

impl Soak {
    pub fn fits(&self) -> bool {
        self.max <= BUDGET
    }

    fn is_flat(&self) -> bool {
        self.slope <= FLAT
    }
}
