use super::*;

#[test]
fn what_is_not_yaml_or_not_text() {
    told(
        "what_is_not_yaml_or_not_text",
        [
            ("a tab indents", Project::new().with("pipelines/p.yaml", "pipeline: a\nsubscriptions:\n\t- event: X\n")),
            ("a quote is not closed", Project::new().with("pipelines/p.yaml", "pipeline: \"a\nkey: data.x\n")),
            ("a bracket is not closed", Project::new().and("retry: { attempts: 3\nslo: { lag: 1s }\n")),
            ("a comma misses", Project::new().and("retry: { attempts: 3\n  first: 1s }\n")),
            ("a colon misses", Project::new().swap("key: data", "key data")),
            ("lines of an old system", Project::new().with("pipelines/p.yaml", "pipeline: a\rkye: data.x\r")),
            ("the file is empty", Project::new().with("pipelines/p.yaml", "# nothing\n\n")),
            ("the file is a list", Project::new().with("pipelines/p.yaml", "- a\n- b\n")),
            ("two documents", Project::new().with("pipelines/p.yaml", format!("{PIPELINE}---\n{PIPELINE}"))),
            ("a tag", Project::new().swap("orders\nkey", "!name orders\nkey")),
            ("an unknown anchor", Project::new().swap("data.order_id", "*anchor")),
            ("latin-1", Project::new().with("pipelines/p.yaml", b"pipeline: caf\xe9\n")),
            ("utf-16", Project::new().with("pipelines/p.yaml", b"\xff\xfep\0")),
            ("too large", Project::new().with("pipelines/p.yaml", " ".repeat((1 << 20) + 1))),
        ],
    );
}

#[test]
fn keys_and_shapes() {
    told(
        "keys_and_shapes",
        [
            ("a misspelt key", Project::new().and("retyr: { attempts: 3 }\n")),
            ("a misspelt key that is required", Project::new().swap("subscriptions", "subscription")),
            ("an unknown policy", Project::new().and("unknown_version: prak\n")),
            ("a misspelt key deep inside", Project::new().and("retry: { atempts: 3 }\n")),
            ("a key of nothing there is", Project::new().swap("    handler", "    until: [X]\n    handler")),
            (
                "all that is wrong at once",
                Project::new().and("retry: { first: [1], factor: x }\npartitions: many\ncolour: red\n"),
            ),
            ("a key twice", Project::new().and("key: data.other\n")),
            ("a number where a name belongs", Project::new().swap("event: OrderCreated", "event: 7")),
            ("a list where one belongs", Project::new().swap("handler: h.rhai", "handler: [h.rhai]")),
            ("a text in a list of numbers", Project::new().swap("[1]", "[1, two]")),
            ("nothing but a name", Project::new().with("pipelines/p.yaml", "pipeline: orders\n")),
            ("an empty subscription", Project::new().with("pipelines/p.yaml", "pipeline: a\nsubscriptions:\n  - {}\n")),
            ("a format of the future", Project::new().and("format: 2\n")),
            (
                "two kinds of store",
                Project::new().with("sluice.yaml", "store: { memory: {}, redis: { url: \"redis://x\" } }\n"),
            ),
            (
                "an unknown kind of store",
                Project::new().with("sluice.yaml", "store: { reddis: { url: \"redis://x\" } }\n"),
            ),
            ("a store by its name alone", Project::new().with("sluice.yaml", "store: redis\n")),
            ("no store", Project::new().with("sluice.yaml", "store: {}\n")),
            ("a list as a key", Project::new().and("? [a, b]\n: c\n")),
            ("a negative number", Project::new().swap("[1]", "[-1]")),
            (
                "an unknown choice",
                Project::new().with("sluice.yaml", "store: { redis: { url: \"redis://x\", durability: strct } }\n"),
            ),
        ],
    );
}

#[test]
fn values() {
    told(
        "values",
        [
            ("a duration without a unit", Project::new().and("idempotency: { retain: 7 }\n")),
            ("not a duration", Project::new().and("retry: { first: soon }\n")),
            ("not a size", Project::new().and("limits: { payload: 1megabyte }\n")),
            (
                "out of range",
                Project::new().and("partitions: 4096\nlimits: { depth: 1000 }\nretry: { attempts: 0, factor: 0.5 }\n"),
            ),
            ("a maximum below the first", Project::new().and("retry: { first: 1h, max: 5s }\n")),
            ("an unusable pipeline name", Project::new().swap("pipeline: orders", "pipeline: My Orders")),
            ("an unusable event type", Project::new().swap("event: OrderCreated", "event: ../OrderCreated")),
            ("an unusable channel name", Project::new().swap("from: orders", "from: orders.eu")),
            ("a key from nowhere", Project::new().swap("data.order_id", "order_id")),
            ("no key at all", Project::new().swap("key: data.order_id\n", "")),
            ("version zero", Project::new().swap("[1]", "[0]")),
            ("no version", Project::new().swap("[1]", "[]")),
            ("an identity by something else", Project::new().and("idempotency: { by: [time] }\n")),
            ("forgotten while retried", Project::new().and("idempotency: { retain: 1m }\n")),
        ],
    );
}

#[test]
fn files_schemas_and_scripts() {
    told(
        "files_schemas_and_scripts",
        [
            ("a handler that is not there", Project::new().swap("h.rhai", "hh.rhai")),
            ("a handler outside of the project", Project::new().swap("h.rhai", "../../../etc/passwd")),
            ("a handler that is a directory", Project::new().swap("h.rhai", ".")),
            ("no handler", Project::new().swap("    handler: h.rhai\n", "")),
            ("two handlers", Project::new().swap("handler: h.rhai", "handler: h.rhai\n    script: state.x = 1")),
            (
                "a script that does not parse",
                Project::new().with("pipelines/h.rhai", "state.seen = true;\nstate.x = = 1;\n"),
            ),
            (
                "a script in the file that does not parse",
                Project::new().swap("handler: h.rhai", "script: |\n      // fine\n      state.x = = 1;"),
            ),
            (
                "a folded script",
                Project::new().swap("handler: h.rhai", "script: >\n      state.x = 1;\n      state.y = 2;"),
            ),
            (
                "a filter that does not parse",
                Project::new().swap("    handler", "    where: event.data.x ==\n    handler"),
            ),
            ("a version without a schema", Project::new().swap("[1]", "[7]")),
            ("a misspelt event type", Project::new().swap("OrderCreated", "OrderCraeted")),
            (
                "a schema that is not JSON",
                Project::new().with("schemas/OrderCreated/1.json", "{\n  \"type\": \"object\",\n}\n"),
            ),
            (
                "a schema that gives a member twice",
                Project::new().with(
                    "schemas/OrderCreated/1.json",
                    "{\n\t\"type\": \"object\",\n\t\"properties\": {\n\t\t\"id\": { \"minimum\": 1 },\n\t\t\"id\": {}\n\t}\n}\n",
                ),
            ),
            (
                "a schema with an unknown type",
                Project::new().with(
                    "schemas/OrderCreated/1.json",
                    "{\n  \"properties\": {\n    \"id\": { \"type\": \"strin\" }\n  }\n}\n",
                ),
            ),
            (
                "a reference to the network",
                Project::new().with("schemas/OrderCreated/1.json", "{ \"$ref\": \"https://example.com/a.json\" }"),
            ),
            ("a hole in the upcasts", Project::new().swap("[1]", "[1, 2]")),
            ("an upcast from nowhere", Project::new().swap("[1]", "[1]\n    upcast: { 1: h.rhai, x: h.rhai }")),
            ("an upcaster that is not there", Project::new().swap("[1]", "[1, 2]\n    upcast: { 1: up.rhai }")),
        ],
    );
}

#[test]
fn channels_connections_and_duplicates() {
    let nats = "connections:\n  a: { nats: { url: \"nats://127.0.0.1\" } }\n";
    let channel = |line: &str| {
        Project::new()
            .with("sluice.yaml", format!("{nats}store: {{ redis: {{ url: \"redis://x\" }} }}\nchannels:\n  {line}\n"))
    };
    let two = "connections:\n  a: { nats: { url: \"nats://a\" } }\n  b: { nats: { url: \"nats://b\" } }\n";
    let orders = "channels:\n  orders: { nats: { stream: S, subject: s } }\n";
    told("channels_connections_and_duplicates", [
        ("no connection", Project::new().with("sluice.yaml", orders)),
        ("an ambiguous connection", Project::new().with("sluice.yaml", format!("{two}{orders}"))),
        ("a misspelt connection", channel("orders: { nats: { connection: aa, stream: S, subject: s } }")),
        ("no kind", channel("orders: { envelope: sluice }")),
        ("two kinds", channel("orders: { nats: { stream: S, subject: s }, local: {} }")),
        ("no stream, no subject", channel("orders: { nats: {} }")),
        ("an unusable subject", channel("orders: { nats: { stream: \"a.b\", subjects: [\"orders..x\", \"d.{pipline}\"] } }")),
        ("a wildcard to publish to", channel("dead: { nats: { stream: S, subject: \"d.>\" } }").and("dead_letter: dead\n")),
        ("several subjects to publish to", channel("dead: { nats: { stream: S, subjects: [a, b] } }").and("dead_letter: dead\n")),
        ("a misspelt channel", channel("orders: { nats: { stream: S, subject: s } }").swap("from: orders", "from: ordrs")),
        ("what a pipeline reads is where its dead letters go", Project::new().and("dead_letter: orders\n")),
        ("a pipeline twice", Project::new().with("pipelines/q.yaml", PIPELINE)),
        (
            "a subscription twice",
            Project::new().and("  - { event: OrderCreated, from: [legacy, orders], versions: [1], handler: h.rhai }\n"),
        ),
        (
            "an emit twice",
            Project::new().and("emits:\n  - { event: OrderPaid, version: 3, to: a }\n  - { event: OrderPaid, version: 3, to: [b, b] }\n"),
        ),
        ("two ways to authenticate", Project::new().with("sluice.yaml", "connections:\n  a: { nats: { url: \"nats://a\", token: t, nkey: n } }\n")),
        (
            "consumers of one name",
            Project::new()
                .with("sluice.yaml", format!("{nats}store: {{ redis: {{ url: \"redis://x\" }} }}\nchannels:\n  b-c: {{ nats: {{ stream: S, subject: s }} }}\n  c: {{ nats: {{ stream: S, subject: s }} }}\n"))
                .with("pipelines/p.yaml", PIPELINE.replace("orders\nkey", "a\nkey").replace("from: orders", "from: b-c"))
                .with("pipelines/q.yaml", PIPELINE.replace("orders\nkey", "a-b\nkey").replace("from: orders", "from: c")),
        ),
        (
            "a local stream of two minds",
            Project::new().with(
                "sluice.yaml",
                "channels:\n  orders: { local: { stream: all, subject: orders, max_age: 1d } }\n  other: { local: { stream: all, subjects: [other], max_bytes: 12 } }\n  third: { local: { stream: all } }\n",
            ),
        ),
    ]);
}

#[test]
fn the_project_file() {
    let main = |text: &str| Project::new().with("sluice.yaml", text);
    told(
        "the_project_file",
        [
            ("variables that are not set", main("store: { redis: { url: \"redis://${USER_X}:${PASS_X}@h\" } }\n")),
            ("a variable that is none", main("store: { redis: { url: \"redis://${1}\" } }\n")),
            ("a secret that is not there", main("admin: { token: \"${file:/nonexistent/token}\" }\n")),
            ("an empty token", main("admin: { token: \"${NONE:-}\" }\n")),
            ("an open door", main("admin: { listen: \"0.0.0.0:7474\" }\n")),
            ("not an address", main("admin: { listen: here }\n")),
            ("not a URL", main("connections:\n  a: { nats: { url: \"http://x\" } }\n")),
            ("no URL", main("store:\n  redis: {}\n")),
            (
                "a certificate that is not there",
                main("connections:\n  a: { nats: { url: \"tls://a\", tls: { ca: ca.pem } } }\n"),
            ),
            ("a user without a password", main("connections:\n  a: { nats: { url: \"tls://a\", user: u } }\n")),
            ("bad defaults", main("defaults: { retry: { first: 5 }, slo: { lagg: 3s } }\n")),
            ("a directory that is not there", main("pipelines: pipes\n")),
            ("a directory outside of the project", main("pipelines: ..\n")),
            ("no pipeline", Project::new().without("pipelines/p.yaml")),
            ("nothing at all", Project(BTreeMap::new())),
            ("another ending", Project::new().without("sluice.yaml").with("sluice.yml", "")),
        ],
    );
}

#[test]
fn a_problem_in_one_file_hides_none_in_another() {
    let loaded = Project::new()
        .with("sluice.yaml", "stroe: {}\n")
        .with("pipelines/a.yaml", "pipeline: [")
        .with("pipelines/b/c.yml", PIPELINE)
        .swap("[1]", "[5]")
        .load();
    let files: Vec<_> = loaded.diagnostics.iter().filter_map(|d| d.span.as_ref().map(|s| s.file.as_str())).collect();
    for file in ["sluice.yaml", "pipelines/a.yaml", "pipelines/b/c.yml", "pipelines/p.yaml"] {
        assert!(files.contains(&file), "{file} is not among {files:?}");
    }
}

#[test]
fn what_variables_hold_is_never_shown() {
    let project = Project::new().with(
        "sluice.yaml",
        "connections:\n  a: { nats: { url: \"http://${SECRET}\", tls: { ca: \"${SECRET}\" } } }\n\
         store: { redis: { url: \"x${SECRET}\" } }\n\
         channels:\n  c: { nats: { stream: \"a.${SECRET}\", subject: \" ${SECRET}\" } }\n\
         admin: { listen: \"${SECRET}\", token: \"${SECRET}\" }\n\
         defaults: { retry: { first: \"${SECRET}\" }, dead_letter: \"${SECRET}\" }\n\
         pipelines: \"${SECRET}\"\n",
    );
    let loaded = project.load_in(&[("SECRET", "hunter2")]);
    assert!(loaded.diagnostics.len() >= 6, "{}", shown(&loaded));
    assert!(!format!("{loaded:?}{}", shown(&loaded)).contains("hunter2"), "{}", shown(&loaded));
}

#[test]
fn a_secret_written_into_the_file_is_not_shown_in_a_frame() {
    let loaded = Project::new()
        .with(
            "sluice.yaml",
            "connections:\n  a: { nats: { url: \"nats://me:hunter2@h\", password: hunter2, usr: me } }\n\
             store: { redis: { url: \"redis://:hunter2@h\", durability: strct } }\n\
             admin: { token: \"hunter2\", lsten: x }\n",
        )
        .load();
    assert_eq!(loaded.diagnostics.len(), 3, "{}", shown(&loaded));
    assert!(!format!("{loaded:?}{}", shown(&loaded)).contains("hunter2"), "{}", shown(&loaded));
}

#[test]
fn bombs_are_refused_quickly() {
    let aliases = {
        let mut text = String::from("a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n");
        for i in 1..30 {
            let _ = writeln!(text, "a{i}: &a{i} [{}]", vec![format!("*a{}", i - 1); 10].join(", "));
        }
        text
    };
    let wide = format!("a: &a [{}]\nb: [{}]\n", "x, ".repeat(2000), "*a, ".repeat(2000));
    let cases = [
        aliases,
        wide,
        "a: &a [*a]\n".to_owned(),
        "[".repeat(1 << 20),
        "{a: ".repeat(200_000),
        "- ".repeat(400_000),
        "? ".repeat(400_000),
        format!("pipeline: {}", "x".repeat(1 << 19)),
    ];
    let started = std::time::Instant::now();
    for text in cases {
        for file in ["sluice.yaml", "pipelines/p.yaml"] {
            let loaded = Project::new().with(file, &text).load();
            assert!(loaded.program.is_none(), "{file}: {}", &text[..40.min(text.len())]);
            assert!(shown(&loaded).contains(file));
        }
    }
    assert!(started.elapsed().as_secs() < 60, "{:?}", started.elapsed());
}

#[test]
fn envelopes_that_map() {
    let map = |fields: &str| {
        let channel = format!("channels:\n  orders:\n    local: {{}}\n    envelope: {fields}\n");
        Project::new().with("sluice.yaml", channel)
    };
    told(
        "envelopes_that_map",
        [
            ("an unknown envelope", map("cloud")),
            ("an empty map", map("{ map: {} }")),
            ("a map of nothing", map("{ map: }")),
            ("a list", map("{ map: [type] }")),
            ("two envelopes", map("{ map: { type: { value: T } }, sluice: }")),
            ("an unknown field", map("{ map: { type: { value: T }, idd: { path: .id } } }")),
            ("a misspelt field that is required", map("{ map: { tpye: { value: T } } }")),
            ("an unknown way", map("{ map: { type: { pth: .type } } }")),
            ("two ways at once", map("{ map: { type: { path: .type, value: T } } }")),
            ("no way", map("{ map: { type: {} } }")),
            ("a field without a way", map("{ map: { type: .type } }")),
            ("a path from nowhere", map("{ map: { type: { path: action } } }")),
            ("a path with a hole", map("{ map: { type: { path: .a..b } } }")),
            ("an open quote", map("{ map: { type: { path: '.\"a.b' } } }")),
            ("a header without a name", map("{ map: { type: { path: headers. } } }")),
            ("a template without a path", map("{ map: { type: { template: T } } }")),
            ("a template with a stray brace", map("{ map: { type: { template: 'T.{.a' } } }")),
            ("a template with a bad path", map("{ map: { type: { template: 'T.{a}' } } }")),
            ("a variable in a template", map("{ map: { type: { template: '${T}.{.a}' } } }")),
            ("a variable in a value", map("{ map: { type: { value: T }, source: { value: '${S}' } } }")),
            ("a type that is no name", map("{ map: { type: { value: a type } } }")),
            ("a number where a text belongs", map("{ map: { type: { value: 7 } } }")),
            ("a list where a constant belongs", map("{ map: { type: { value: [T] } } }")),
            ("one id for all", map("{ map: { type: { value: T }, id: { value: same } } }")),
            ("one time for all", map("{ map: { type: { value: T }, time: { value: now } } }")),
            ("a version in quotes", map("{ map: { type: { value: T }, version: { value: '1' } } }")),
            ("version zero", map("{ map: { type: { value: T }, version: { value: 0 } } }")),
            ("data from a header", map("{ map: { type: { value: T }, data: { path: headers.X } } }")),
            ("data from itself", map("{ map: { type: { value: T }, data: { path: data.x } } }")),
            ("data as a template", map("{ map: { type: { value: T }, data: { template: '{.a}' } } }")),
            (
                "all that is wrong at once",
                map("{ map: { id: { value: x }, type: { path: a }, version: { value: x }, data: { value: 1 } } }"),
            ),
            (
                "emitted to",
                map("{ map: { type: { value: T } } }").and("emits: [ { event: OrderPaid, version: 3, to: orders } ]\n"),
            ),
        ],
    );
}

proptest::proptest! {
    #![proptest_config(proptest::prelude::ProptestConfig::with_cases(48))]

    /// Whatever stands in a file, it is told and not a panic; and lint tells what is refused.
    #[test]
    fn no_text_makes_loading_panic(cut in 0..200_usize, insert in "[\\[\\]{}:,\"'|>&*!#\\- \n\ta-z0-9$]{0,12}", main in proptest::bool::ANY) {
        let (file, base) = if main { ("sluice.yaml", include_str!("../../../sluice.yaml")) } else { ("pipelines/p.yaml", PIPELINE) };
        let at = base.char_indices().map(|(at, _)| at).nth(cut % base.chars().count()).unwrap_or(0);
        let text = format!("{}{insert}{}", &base[..at], &base[at..]);
        let project = Project::new().with(file, text);
        agrees("a text", project.write().path());
        shown(&project.load());
    }
}
