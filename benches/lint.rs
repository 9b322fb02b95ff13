//! How long `sluice lint` takes for a large project: `cargo bench --bench lint`.
//!
//! The project is written for the purpose: 1,000 pipelines of three handlers each, no two alike, with schemas, upcasts,
//! imports, filters and one file of scenarios for every tenth. It is linted as a whole; then `--watch` is asked how long
//! it takes from a change of one file (a handler, a schema, a pipeline, a module that fifty import) to its answer.

#![allow(
    clippy::print_stdout,
    clippy::disallowed_methods,
    clippy::unwrap_used,
    reason = "a benchmark prints, and stops at surprises"
)]

use std::fs;
use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::{Child, ChildStdout, Command, Stdio};
use std::time::{Duration, Instant};

const PIPELINES: usize = 1_000;
const ROUNDS: usize = 9;
const CHANGES: usize = 21;

fn main() {
    let project = tempfile::tempdir().unwrap();
    let files = write(project.path());
    println!("{PIPELINES} pipelines in {files} files");
    told("all of it", (0..ROUNDS).map(|_| lint(project.path())).collect());
    let mut watch = Watch::begin(project.path());
    for (what, file) in [
        ("a handler changes", "pipelines/area-7/p7/sent.rhai"),
        ("a schema changes", "schemas/Order7Paid/1.json"),
        ("a pipeline changes", "pipelines/area-7/p7.yaml"),
        ("a module changes", "pipelines/area-7/lib/money.rhai"),
    ] {
        told(what, (0..CHANGES).map(|_| watch.change(&project.path().join(file))).collect());
    }
}

fn last_line() -> String {
    format!("{PIPELINES} pipelines, no problems found\n")
}

/// `sluice lint --watch`, at work.
struct Watch {
    child: Child,
    said: BufReader<ChildStdout>,
}

impl Watch {
    fn begin(project: &Path) -> Self {
        let mut command = Command::new(env!("CARGO_BIN_EXE_sluice"));
        let mut child = command.args(["lint", "--watch"]).current_dir(project).stdout(Stdio::piped()).spawn().unwrap();
        let said = BufReader::new(child.stdout.take().unwrap());
        let mut watch = Self { child, said };
        watch.answer();
        watch
    }

    /// From the moment before the file is written to the answer.
    fn change(&mut self, file: &Path) -> Duration {
        let text = fs::read_to_string(file).unwrap() + "\n";
        let began = Instant::now();
        fs::write(file, text).unwrap();
        self.answer();
        began.elapsed()
    }

    fn answer(&mut self) {
        let mut line = String::new();
        while line != last_line() {
            line.clear();
            assert_ne!(self.said.read_line(&mut line).unwrap(), 0, "it ended");
        }
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }
}

fn told(what: &str, mut times: Vec<Duration>) {
    times.sort_unstable();
    let median = times[times.len() / 2];
    let (fastest, slowest) = (times[0], times[times.len() - 1]);
    println!("{what:<22} median {median:>7.1?}  fastest {fastest:>7.1?}  slowest {slowest:>7.1?}");
}

fn lint(project: &Path) -> Duration {
    let began = Instant::now();
    let output = Command::new(env!("CARGO_BIN_EXE_sluice")).arg("lint").current_dir(project).output().unwrap();
    let taken = began.elapsed();
    let said = String::from_utf8(output.stdout).unwrap();
    assert!(said.ends_with(&last_line()), "{said}");
    taken
}

/// Writes the project; how many files it has.
fn write(root: &Path) -> usize {
    let mut files = Files { root, count: 0 };
    let channels: String =
        (0..50).map(|n| format!("  orders-{n}: {{ local: {{}} }}\n  reports-{n}: {{ local: {{}} }}\n")).collect();
    files.write("sluice.yaml", &format!("channels:\n  dead: {{ local: {{}} }}\n{channels}"));
    for n in 0..20 {
        files.write(&format!("pipelines/area-{n}/lib/money.rhai"), &module(n));
    }
    for n in 0..PIPELINES {
        let area = format!("pipelines/area-{}", n % 20);
        files.write(&format!("{area}/p{n}.yaml"), &pipeline(n));
        files.write(&format!("{area}/p{n}/placed.rhai"), &placed(n));
        files.write(&format!("{area}/p{n}/paid.rhai"), &paid(n));
        files.write(&format!("{area}/p{n}/sent.rhai"), &sent(n));
        for event in ["Placed", "Paid", "Sent"] {
            files.write(&format!("schemas/Order{n}{event}/1.json"), &schema(n, event));
        }
        files.write(&format!("schemas/Report{n}Filed/1.json"), &schema(n, "Filed"));
        if n % 4 == 0 {
            files.write(&format!("schemas/Order{n}Placed/2.json"), &schema(n, "Moved"));
            files.write(&format!("{area}/p{n}/up.rhai"), "data = event.data;\ndata.channel = \"web\";\n");
        }
        if n % 10 == 0 {
            files.write(&format!("{area}/p{n}.test.yaml"), &scenarios(n));
        }
    }
    files.count
}

struct Files<'r> {
    root: &'r Path,
    count: usize,
}

impl Files<'_> {
    fn write(&mut self, name: &str, text: &str) {
        let path = self.root.join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
        self.count += 1;
    }
}

fn pipeline(n: usize) -> String {
    let (versions, upcast) = match n % 4 {
        0 => ("[1, 2]", format!("\n    upcast: {{ 1: p{n}/up.rhai }}")),
        _ => ("[1]", String::new()),
    };
    let channel = n % 50;
    format!(
        "# Orders of kind {n}, from the shop to the parcel.
pipeline: orders-{n}
description: Follows an order of kind {n} and files a report when it is sent.
key: data.order_id

subscriptions:
  - event: Order{n}Placed
    from: orders-{channel}
    versions: {versions}{upcast}
    handler: p{n}/placed.rhai

  - event: Order{n}Paid
    from: orders-{channel}
    versions: [1]
    where: event.data.amount_cents > {}
    handler: p{n}/paid.rhai

  - event: Order{n}Sent
    from: [orders-{channel}, reports-{}]
    versions: [1]
    after: [Order{n}Placed]
    handler: p{n}/sent.rhai

emits:
  - {{ event: Report{n}Filed, version: 1, to: reports-{channel} }}

idempotency: {{ by: [source, id], retain: 7d }}
reorder: {{ timeout: {}m, on_timeout: dead_letter }}
retry: {{ attempts: 5, first: 5s, factor: 4, max: 1h }}
dead_letter: dead
",
        n % 7,
        (n + 1) % 50,
        5 + n % 20,
    )
}

fn placed(n: usize) -> String {
    format!(
        "// An order of kind {n} begins here.
if state.status != () && state.status != \"new\" {{
    skip(`it is ${{state.status}} already`);
}}
state.order_id = event.data.order_id;
state.total_cents = event.data.amount_cents;
state.lines = (event.data.lines ?? []).filter(|line| line.count > {}).map(|line| #{{ sku: line.sku, count: line.count }});
state.status = \"new\";
state.kind = {n};
",
        n % 3
    )
}

fn paid(n: usize) -> String {
    format!(
        "import \"../lib/money\" as money;

let due = money::due(state.total_cents ?? 0, event.data.amount_cents);
if due > {} {{
    reject(`${{due}} cents are missing`);
}}
if event.data.note == \"pending\" && ctx.attempt < 3 {{
    retry(\"the bank has not settled yet\", \"2s\");
}}
state.paid = true;
state.paid_at = event.time;
",
        n % 100
    )
}

fn sent(n: usize) -> String {
    format!(
        "let count = 0;
for line in state.lines ?? [] {{
    count += line.count;
}}
fn worded(kind, count) {{
    if count == 1 {{ `one parcel of kind ${{kind}}` }} else {{ `${{count}} parcels of kind ${{kind}}` }}
}}
state.status = \"sent\";
emit(\"Report{n}Filed\", #{{
    order_id: event.key,
    amount_cents: state.total_cents ?? 0,
    note: worded({n}, count),
    lines: [],
}});
"
    )
}

fn module(n: usize) -> String {
    format!("fn due(total, paid) {{\n    let due = total - paid;\n    if due < {n} {{ 0 }} else {{ due }}\n}}\n")
}

fn schema(n: usize, event: &str) -> String {
    format!(
        r##"{{
  "$schema": "https://json-schema.org/draft/2020-12/schema",
  "title": "{event} of kind {n}",
  "type": "object",
  "required": ["order_id", "amount_cents"],
  "properties": {{
    "order_id": {{ "type": "string", "minLength": 1, "pattern": "^[a-z]{{1,3}}-?[0-9]*$" }},
    "amount_cents": {{ "type": "integer", "minimum": {} }},
    "currency": {{ "enum": ["EUR", "USD", "GBP"] }},
    "at": {{ "type": "string", "format": "date-time" }},
    "note": {{ "type": "string", "maxLength": 400 }},
    "lines": {{ "type": "array", "items": {{ "$ref": "#/$defs/Line" }} }}
  }},
  "$defs": {{
    "Line": {{
      "type": "object",
      "required": ["sku", "count"],
      "properties": {{
        "sku": {{ "type": "string" }},
        "count": {{ "type": "integer", "minimum": 1 }}
      }}
    }}
  }}
}}
"##,
        n % 5
    )
}

fn scenarios(n: usize) -> String {
    format!(
        "pipelines: [p{n}.yaml]
scenarios:
  - name: an order of kind {n} is sent
    given:
      - {{ event: Order{n}Placed, data: {{ order_id: o-1, amount_cents: 900, lines: [{{ sku: a, count: 3 }}] }} }}
      - {{ event: Order{n}Paid, data: {{ order_id: o-1, amount_cents: 900 }} }}
      - {{ event: Order{n}Sent, data: {{ order_id: o-1, amount_cents: 900 }} }}
    then:
      emits: [{{ event: Report{n}Filed, data: {{ order_id: o-1 }} }}]
"
    )
}
