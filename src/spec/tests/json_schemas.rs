//! The JSON Schemas are current, and say of a file what the loader says.

use std::path::PathBuf;
use std::sync::LazyLock;

use serde_json::{Map, Value, json};

use super::*;
use crate::schema::Schema;
use crate::spec::{names, units, values};

fn repository() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// A file of the repository that is made from the types is as they make it; `SLUICE_WRITE=1` makes it so.
#[track_caller]
pub fn assert_current(name: &str, text: &str) {
    let path = repository().join(name);
    if std::env::var_os("SLUICE_WRITE").is_some() {
        fs::write(&path, text).expect("the file is written");
    }
    let held = fs::read_to_string(&path).unwrap_or_default();
    assert!(held == text, "`{name}` is not current; write it with `SLUICE_WRITE=1 cargo test --lib spec::tests`");
}

fn json(yaml: &str) -> Value {
    fn plain(value: serde_yaml::Value) -> Value {
        match value {
            serde_yaml::Value::Mapping(entries) => {
                let name =
                    |key: serde_yaml::Value| key.as_str().map_or_else(|| plain(key.clone()).to_string(), str::to_owned);
                entries.into_iter().map(|(key, value)| (name(key), plain(value))).collect::<Map<_, _>>().into()
            }
            serde_yaml::Value::Sequence(items) => items.into_iter().map(plain).collect(),
            other => serde_json::to_value(other).expect("a plain value"),
        }
    }
    plain(serde_yaml::from_str(yaml).expect("YAML"))
}

/// What the schema says of a file, by the file's name.
fn violations(name: &str, yaml: &str) -> Vec<String> {
    let kind = match name {
        _ if name.ends_with("sluice.yaml") => FileKind::Project,
        _ if name.ends_with(".test.yaml") => FileKind::Scenarios,
        _ => FileKind::Pipeline,
    };
    let schema = Schema::compile(&json_schema(kind)).expect("a schema");
    let file = match json(yaml) {
        // An empty file, or one of comments.
        Value::Null => json!({}),
        file => file,
    };
    schema.validate(&file).into_iter().map(|violation| format!("{}: {}", violation.path, violation.message)).collect()
}

/// README.md and what is below docs/.
fn documents() -> Vec<PathBuf> {
    let (mut folders, mut documents) = (vec![repository().join("docs")], vec![repository().join("README.md")]);
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).expect("a directory") {
            let path = entry.expect("an entry").path();
            if path.is_dir() {
                // What is wrong with the examples there is what they are for; `lint::tests` knows them.
                folders.extend(Some(path).filter(|path| !path.ends_with("rules")));
            } else if path.extension().is_some_and(|extension| extension == "md") {
                documents.push(path);
            }
        }
    }
    documents
}

/// Every YAML file of a project's shape that the repository holds: its own, and those in the documents.
/// Name, text, and whether a document goes on to show what `lint` finds wrong with it.
fn examples() -> Vec<(String, String, bool)> {
    let read = |name: &str| fs::read_to_string(repository().join(name)).expect(name);
    let mut examples: Vec<(String, String, bool)> = [
        "sluice.yaml",
        "pipelines/fulfilment.yaml",
        "pipelines/fulfilment.test.yaml",
        "src/cli/new/template/sluice.yaml",
        "src/cli/new/template/welcome.yaml",
        "src/cli/new/template/welcome.test.yaml",
    ]
    .iter()
    .map(|name| ((*name).to_owned(), read(name), false))
    .collect();
    for document in documents() {
        let text = fs::read_to_string(&document).expect("a document");
        for block in text.split("\n```yaml ").skip(1) {
            let (attribute, rest) = block.split_once('\n').expect("a block");
            let (_, file) = attribute.split_once('=').expect("a file's name");
            let yaml = rest.split("\n```").next().expect("an end");
            if file.contains("pipelines/") || file.ends_with("sluice.yaml") {
                let wrong = rest.contains("\n```sh exit=1\nsluice lint\n");
                examples.push((format!("{}: {file}", document.display()), yaml.to_owned(), wrong));
            }
        }
    }
    examples
}

#[test]
fn the_schemas_in_the_repository_are_current() {
    for kind in FileKind::ALL {
        let text = serde_json::to_string_pretty(&json_schema(kind)).expect("JSON") + "\n";
        assert_current(&format!("docs/schema/{}.json", kind.name()), &text);
    }
}

#[test]
fn every_example_of_the_repository_fits() {
    let examples = examples();
    assert!(examples.len() >= 8, "{}", examples.len());
    for (name, yaml, wrong) in examples {
        let found = violations(&name, &yaml);
        assert_eq!(found.is_empty(), !wrong, "{name}: {found:#?}\n{yaml}");
    }
}

/// Bad in shape or in a single value: what an editor can know without the rest of the project.
fn bad() -> Vec<(&'static str, Project)> {
    let pipeline = |part: &str, by: &str| Project::new().swap(part, by);
    let more = |text: &str| Project::new().and(text);
    let main = |text: &str| Project::new().with("sluice.yaml", text);
    let scenarios = |text: &str| Project::new().with("pipelines/p.test.yaml", text);
    let then = |text: &str| scenarios(&SCENARIOS.replace("{ state: { o1: { seen: true } } }", text));
    let given = |text: &str| scenarios(&SCENARIOS.replace("{ event: OrderCreated, data: { order_id: o1 } }", text));
    let explore = |text: &str| scenarios(&format!("{SCENARIOS}    explore: {text}\n"));
    let channel = |text: &str| {
        let nats = "connections:\n  a: { nats: { url: \"nats://127.0.0.1\" } }\n";
        Project::new().with("sluice.yaml", format!("{nats}channels:\n  orders: {text}\n"))
    };
    vec![
        ("a misspelt key", more("retyr: { attempts: 3 }\n")),
        ("a misspelt key deep inside", more("retry: { atempts: 3 }\n")),
        ("a misspelt key of a subscription", pipeline("handler:", "handlr:")),
        ("no name", pipeline("pipeline: orders\n", "")),
        ("no subscriptions", Project::new().with("pipelines/p.yaml", "pipeline: p\nkey: data.id\nsubscriptions: []\n")),
        ("a name that cannot be", pipeline("pipeline: orders", "pipeline: Orders!")),
        ("a list where one belongs", pipeline("handler: h.rhai", "handler: [h.rhai]")),
        ("two handlers", pipeline("handler: h.rhai", "handler: h.rhai\n    script: state.x = 1")),
        ("no handler", pipeline("    handler: h.rhai\n", "")),
        ("a type outside of its directory", pipeline("event: OrderCreated", "event: ../x")),
        ("a channel that cannot be", pipeline("from: orders", "from: orders.eu")),
        ("no channel", pipeline("from: orders", "from: []")),
        ("a key of nothing", pipeline("key: data.order_id", "key: order_id")),
        ("no version", pipeline("[1]", "[]")),
        ("version zero", pipeline("[1]", "[0]")),
        ("a version twice", pipeline("[1]", "[1, 1]")),
        ("an upcast of no version", pipeline("[1]", "[1]\n    upcast: { x: h.rhai }")),
        ("a duration without a unit", more("idempotency: { retain: 7 }\n")),
        ("a duration of no unit there is", more("retry: { first: 5y }\n")),
        ("a size of no unit there is", more("limits: { payload: 1megabyte }\n")),
        ("no size at all", more("limits: { payload: 0 }\n")),
        ("out of range", more("partitions: 4096\n")),
        ("too small a factor", more("retry: { factor: 0.5 }\n")),
        ("no attempt", more("retry: { attempts: 0 }\n")),
        ("another identity", more("idempotency: { by: [time] }\n")),
        ("half an identity", more("idempotency: { by: [source] }\n")),
        ("an emit to nowhere", more("emits:\n  - { event: OrderPaid, version: 3 }\n")),
        ("a format of the future", more("format: 2\n")),
        ("an unknown kind of store", main("store: { reddis: { url: \"redis://x\" } }\n")),
        ("two kinds of store", main("store: { memory: {}, redis: { url: \"redis://x\" } }\n")),
        ("no kind of store", main("store: {}\n")),
        ("a store by its name alone", main("store: redis\n")),
        ("no URL", main("store: { redis: {} }\n")),
        ("another URL", main("store: { redis: { url: \"http://x\" } }\n")),
        ("an unknown choice", main("store: { redis: { url: \"redis://x\", durability: strct } }\n")),
        ("an unknown kind of connection", main("connections: { a: { kafka: {} } }\n")),
        (
            "a certificate without a key",
            main("connections:\n  a: { nats: { url: \"tls://a\", tls: { cert: c.pem } } }\n"),
        ),
        ("a channel by another name", main("channels: { a.b: { local: {} } }\n")),
        ("two kinds of channel", channel("{ nats: { stream: S, subject: s }, local: {} }")),
        ("no subject", channel("{ nats: { stream: S } }")),
        ("local subject and subjects", channel("{ local: { subject: s, subjects: [s] } }")),
        ("subject and subjects", channel("{ nats: { stream: S, subject: s, subjects: [s] } }")),
        ("an unusable subject", channel("{ nats: { stream: S, subject: orders..x } }")),
        ("an unknown placeholder", channel("{ nats: { stream: S, subject: \"d.{pipline}\" } }")),
        ("an unusable stream", channel("{ nats: { stream: a.b, subject: s } }")),
        ("an unknown envelope", channel("{ nats: { stream: S, subject: s }, envelope: avro }")),
        ("a mapping without a type", channel("{ local: {}, envelope: { map: { id: { path: .id } } } }")),
        ("two ways to a field", channel("{ local: {}, envelope: { map: { type: { path: .a, value: B } } } }")),
        ("an unknown way to a field", channel("{ local: {}, envelope: { map: { type: { from: .a } } } }")),
        ("an unknown policy", more("unknown_version: prak\n")),
        ("after no list", pipeline("    handler", "    after: OrderPaid\n    handler")),
        ("after a type twice", pipeline("    handler", "    after: [OrderPaid, OrderPaid]\n    handler")),
        ("after what is no type", pipeline("    handler", "    after: [a type]\n    handler")),
        ("a sequence by nothing", more("sequence: { first: 1 }\n")),
        ("a sequence by an id", more("sequence: { by: id }\n")),
        ("another first", more("sequence: { by: data.seq, first: some }\n")),
        ("half a first", more("sequence: { by: data.seq, first: 1.5 }\n")),
        ("held for no time that is said", more("resequence: { by: time }\n")),
        ("held by no time", more("resequence: { by: id, hold: 5s }\n")),
        ("an unknown end of waiting", more("reorder: { on_timeout: advnce }\n")),
        ("room for none", more("reorder: { max_parked_per_key: 0 }\n")),
        ("room for too many", more("reorder: { max_parked_per_key: 1000001 }\n")),
        ("room for no bytes", more("reorder: { max_parked_bytes: 0 }\n")),
        ("an unknown way to fail", more("on_failure: stop\n")),
        ("a default of one pipeline", main("defaults: { sequence: { by: data.seq } }\n")),
        ("no address", main("admin: { listen: here }\n")),
        ("scenarios of nothing", scenarios("pipelines: [p.yaml]\n")),
        ("scenarios of no pipeline", scenarios(&SCENARIOS.replace("[p.yaml]", "[]"))),
        ("no scenario", scenarios("pipelines: [p.yaml]\nscenarios: []\n")),
        ("a scenario without a name", scenarios(&SCENARIOS.replace("name: one\n    given", "given"))),
        ("nothing given", scenarios(&SCENARIOS.replace("[{ event: OrderCreated, data: { order_id: o1 } }]", "[]"))),
        ("nothing demanded", scenarios(&SCENARIOS.replace("{ state: { o1: { seen: true } } }", "{}"))),
        ("all and some of the state", then("{ state: {}, state_exact: {} }")),
        ("all and some of what is emitted", then("{ emits: [], emits_exact: [] }")),
        ("a misspelt demand", then("{ stat: {} }")),
        ("parked events in words", then("{ parked: none }")),
        ("a dead letter of nothing", then("{ dead_letters: [{ typ: X }] }")),
        ("an emission without a type", then("{ emits: [{ version: 1 }] }")),
        ("an event and a wait", given("{ event: OrderCreated, wait: 1s }")),
        ("neither an event nor a wait", given("{ data: {} }")),
        ("a wait without a unit", given("{ wait: 5 }")),
        ("an event of version zero", given("{ event: OrderCreated, version: 0, data: { order_id: o1 } }")),
        ("very many duplicates", given("{ event: OrderCreated, data: { order_id: o1 }, duplicates: 101 }")),
        ("orders of another kind", explore("{ orders: some }")),
        ("a sample of none", explore("{ orders: { sample: 0 } }")),
        ("a sample of no size", explore("{ orders: { seed: 1 } }")),
        ("a misspelt sample", explore("{ orders: { sampel: 1 } }")),
        ("more repetitions than can be tried", explore("{ duplicates: 6 }")),
        ("bad defaults", main("defaults: { slo: { lagg: 3s } }\n")),
        ("a default duration without a unit", main("defaults: { retry: { first: 5 } }\n")),
    ]
}

#[test]
fn what_the_schemas_refuse_the_loader_refuses_too() {
    for (case, project) in bad() {
        let told: Vec<String> = ["sluice.yaml", "pipelines/p.yaml", "pipelines/p.test.yaml"]
            .iter()
            .filter_map(|name| Some((name, project.0.get(name)?)))
            .flat_map(|(name, file)| violations(name, std::str::from_utf8(file).expect("text")))
            .collect();
        assert!(!told.is_empty(), "{case}: the schema has nothing against it");
        assert!(project.load_tests().program.is_none(), "{case}: the loader takes it");
    }
    let good = Project::new().with("pipelines/p.test.yaml", SCENARIOS);
    assert_eq!(violations("pipelines/p.yaml", PIPELINE), Vec::<String>::new());
    assert_eq!(violations("pipelines/p.test.yaml", SCENARIOS), Vec::<String>::new());
    assert!(good.load_tests().program.is_some());
}

/// All places of a schema that tell a default, as the file that says it.
fn defaults(schema: &Value) -> Option<Value> {
    if let Some(default) = schema.get("default") {
        return Some(default.clone());
    }
    let inner = |(key, schema): (&String, &Value)| Some((key.clone(), defaults(schema)?));
    let found: Map<String, Value> = schema.get("properties")?.as_object()?.iter().filter_map(inner).collect();
    (!found.is_empty()).then(|| found.into())
}

#[test]
fn the_defaults_they_tell_are_those_that_hold() {
    let plain = Project::new().program();
    let mut told = defaults(&json_schema(FileKind::Pipeline)).expect("defaults");
    assert_eq!(told["retry"]["attempts"], 5);
    told.as_object_mut().expect("a map").remove("subscriptions");
    // Numbers are counted only where a pipeline says so.
    let first = &told.as_object_mut().expect("a map").remove("sequence").expect("defaults")["first"];
    let sequence = |text: &str| Project::new().and(text).program().pipelines[0].sequence.clone();
    let spelt = sequence(&format!("sequence: {{ by: data.seq, first: {first} }}\n"));
    assert!(spelt.is_some() && spelt == sequence("sequence: { by: data.seq }\n"));
    let said =
        told.as_object().expect("a map").iter().map(|(key, value)| format!("{key}: {value}\n")).collect::<String>();
    let spelt = Project::new().and(&said).program();
    assert_eq!(format!("{:?}", spelt.pipelines), format!("{:?}", plain.pipelines));

    let told = defaults(&json_schema(FileKind::Project)).expect("defaults");
    for (key, value) in [("format", json!(1)), ("schemas", json!("schemas")), ("pipelines", json!("pipelines"))] {
        assert_eq!(told[key], value, "{key}");
    }
    let listening = |admin: &str| Project::new().with("sluice.yaml", admin).program().admin.expect("an admin").listen;
    assert_eq!(listening(&format!("admin: {}\n", told["admin"])), listening("admin: {}\n"));
    let schema = json_schema(FileKind::Project);
    let channel = &schema["properties"]["channels"]["additionalProperties"]["properties"];
    let nats = |told: &Value| {
        let told =
            told.as_object().expect("a map").iter().map(|(key, value)| format!(", {key}: {value}")).collect::<String>();
        format!(
            "connections: {{ a: {{ nats: {{ url: \"nats://x\" }} }} }}\nstore: {{ redis: {{ url: \"redis://x\" }} }}\n\
             channels: {{ orders: {{ nats: {{ stream: S, subject: s{told} }} }} }}\n"
        )
    };
    let local = |told: &Value| format!("channels: {{ orders: {{ local: {told} }} }}\n");
    let channels = |text: String| format!("{:?}", Project::new().with("sluice.yaml", text).program().channels);
    let of = |kind: &str| defaults(&channel[kind]).expect("defaults");
    assert_eq!(channels(nats(&of("nats"))), channels(nats(&json!({}))));
    assert_eq!(channels(local(&of("local"))), channels(String::new()));
    let data = |text: String| {
        let program = Project::new().with("sluice.yaml", text).program();
        program.data.strip_prefix(&program.root).expect("below the project").to_owned()
    };
    assert_eq!(data(format!("store: {{ embedded: {} }}\n", told["store"]["embedded"])), data(String::new()));
}

/// Compiled once: that takes longer than all the matching.
static PATTERNS: LazyLock<BTreeMap<&str, Schema>> = LazyLock::new(|| {
    let patterns = [
        values::PIPELINE,
        values::CHANNEL,
        values::EVENT,
        values::FIELD_PATH,
        values::MEMBER_PATH,
        values::EVENT_TIME,
        values::SUBJECT,
        values::STREAM,
        values::SIZE,
        values::DURATION,
    ];
    patterns.map(|pattern| (pattern, Schema::compile(&json!({ "pattern": pattern })).expect("a pattern"))).into()
});

fn matches(pattern: &str, text: &str) -> bool {
    PATTERNS[pattern].validate(&json!(text)).is_empty()
}

proptest::proptest! {
    #![proptest_config(proptest::test_runner::Config { cases: 500, ..Default::default() })]

    #[test]
    fn patterns_say_what_the_loader_says(
        name in "[aZ0_.! -]{0,4}",
        path in "(data|headers|id|source|time|x)?[.a ]{0,5}",
        subject in "([a.*> ]|\\{(type|x)\\}?){0,5}",
        stream in "[a.*>/ ]{0,3}",
        duration in "([0-9]?(ms|s|m|h|d|w|[x.])?){0,3}",
        size in "[0-9]{0,3} ?(B|kB|KB|MB|GB|KiB|MiB|GiB|mb|x)?",
    ) {
        assert_eq!(matches(values::PIPELINE, &name), names::pipeline(&name).is_ok(), "pipeline {name:?}");
        assert_eq!(matches(values::CHANNEL, &name), names::channel(&name).is_ok(), "channel {name:?}");
        assert_eq!(matches(values::EVENT, &name), names::event(&name).is_ok(), "event {name:?}");
        assert_eq!(matches(values::FIELD_PATH, &path), names::field_path(&path).is_ok(), "path {path:?}");
        assert_eq!(matches(values::MEMBER_PATH, &path), names::member_path(&path).is_ok(), "member {path:?}");
        assert_eq!(matches(values::EVENT_TIME, &path), names::event_time(&path).is_ok(), "time {path:?}");
        assert_eq!(matches(values::SUBJECT, &subject), names::subject(&subject).is_ok(), "subject {subject:?}");
        assert_eq!(matches(values::STREAM, &stream), names::stream(&stream).is_ok(), "stream {stream:?}");
        assert_eq!(matches(values::SIZE, &size), units::size(&size).is_ok(), "size {size:?}");
        // How much time it is in all, no pattern sees.
        let amount = units::duration(&duration).is_err_and(|why| why.contains("no time at all") || why.contains("too long"));
        assert_eq!(matches(values::DURATION, &duration), units::duration(&duration).is_ok() || amount, "duration {duration:?}");
    }
}
