//! Scripts that try to take the process with them. Each is contained: its event is run twice and set aside, and those
//! around it are handled.

use std::fmt::Write as _;
use std::time::Duration;

use serde_json::Value;

use crate::cli::sandbox::Sandbox;
use crate::support::servers::{NatsServer, RedisServer};

/// Each on one line, the second of its file, so that the place is known.
const HANDLERS: [(&str, &str); 31] = [
    ("EndlessLoop", "loop {}"),
    ("LoopsInsideTry", "loop { try { loop {} } catch {} }"),
    ("LongRange", "for i in 0..9223372036854775807 {}"),
    ("DeepRecursion", "fn f(n) { f(n + 1) } f(0);"),
    ("NestedMaps", "let m = #{}; loop { m = #{ a: m }; }"),
    ("NestedArrays", "let a = []; loop { a = [a, a]; }"),
    ("ClosureChain", "let f = || 0; loop { let g = f; f = || g.call(); }"),
    ("ClosuresByReduce", "let a = []; a.pad(60000, 0); let k = 0; loop { k = a.reduce(|f, x| { || f }, k); }"),
    ("ClosuresHoldMuch", "let a = []; a.pad(60000, 0); let k = []; loop { let b = a; k.push(|| b); }"),
    ("CurryGrowth", "let f = 0; loop { let g = f; let h = f; f = || [g, h]; }"),
    ("DoublingText", r#"let s = "x"; loop { s += s; }"#),
    ("DoublingArray", "let a = [0]; loop { a += a; }"),
    ("ManyMembers", r#"let m = #{}; let i = 0; loop { m["k" + i] = i; i += 1; }"#),
    ("PaddedWithoutEnd", r#"let s = "x"; s.pad(1000000000, "x");"#),
    ("PadThatWraps", "let i = []; i.pad(65535, 0); let a = []; a.pad(281474976710656, i);"),
    ("HugeBlob", "let b = blob(100000000);"),
    ("Replace", r#"let s = "a"; s.pad(900000, "a"); let t = s; loop { s.replace("a", t); }"#),
    ("Split", r#"let s = "x,"; s.pad(60000, "x,"); loop { let t = s.split(","); }"#),
    ("IndexOf", r#"let s = "x"; s.pad(900000, "x"); loop { s.index_of("xxxxxxxxy"); }"#),
    ("Upper", r#"let s = "x"; s.pad(900000, "x"); loop { let t = s.to_upper(); }"#),
    ("Sort", "let a = []; a.pad(60000, 1); loop { let b = a; b.sort(); b.reverse(); }"),
    ("FilterAndMap", "let a = []; a.pad(60000, 1); loop { a.filter(|x| x > 0).map(|x| x + 1); }"),
    (
        "TextOfClosures",
        r#"let s = "x"; s.pad(900000, "x"); let f = || s; let a = []; a.pad(60000, f); let t = `${a}`;"#,
    ),
    ("ToJson", r#"let m = #{}; for i in 0..9000 { m["k" + i] = "some text"; } loop { m.to_json(); }"#),
    ("DeepState", "let m = #{}; for i in 0..10000 { m = #{ a: m }; } state.m = m;"),
    ("DeepEmission", r#"let m = []; for i in 0..200 { m = [m]; } emit("Out", #{ m: m });"#),
    ("LargeState", r#"let s = "x"; s.pad(70000, "x"); state.s = s;"#),
    ("EmitStorm", r#"for i in 0..1000000 { emit("Out", #{ i: i }); }"#),
    ("LogStorm", r#"loop { log("error", "again"); }"#),
    ("PrintStorm", r#"let s = "x"; s.pad(900000, "x"); loop { print(s); }"#),
    ("EmitsMuch", r#"let s = "x"; s.pad(900000, "x"); loop { emit("Out", #{ s: s }); }"#),
];

/// `sleep` is no way to use up the budget: it is refused at once, as what the script does wrong.
const SLEEP: &str = r#"Fn("sleep").call(100000);"#;

fn project(mut sandbox: Sandbox) -> Sandbox {
    let mut pipeline = String::from(
        "pipeline: p\nkey: data.id\nretry: { attempts: 5, first: 50ms, max: 100ms }\n\
         limits: { wall: 300ms, state: 64KiB }\nemits:\n  - { event: Out, version: 1, to: out }\nsubscriptions:\n",
    );
    let scripts = HANDLERS.iter().copied().chain([("Sleep", SLEEP), ("Honest", "state.n = (state.n ?? 0) + 1;")]);
    for (event, script) in scripts {
        let _ = writeln!(pipeline, "  - {{ event: {event}, from: in, versions: [1], handler: handlers/{event}.rhai }}");
        let text = format!("// what it tries:\n{script}\n");
        sandbox = sandbox.file(&format!("pipelines/handlers/{event}.rhai"), &text);
    }
    // A filter is one expression, without loops: ten to the seventh runs of a closure.
    let filter = (0..7).fold("1".to_owned(), |inner, _| format!("[{}].map(|x| {inner})", ["0"; 10].join(",")));
    let _ = write!(
        pipeline,
        "  - event: HostileFilter\n    from: in\n    versions: [1]\n    handler: handlers/Honest.rhai\n    \
         where: \"{filter}.len() > 0\"\n"
    );
    pipeline += "  - event: HostileUpcast\n    from: in\n    versions: [1, 2]\n    handler: handlers/Honest.rhai\n    \
                 upcast: { 1: handlers/upcast.rhai }\n";
    sandbox
        .file("pipelines/p.yaml", &pipeline)
        .file("pipelines/handlers/upcast.rhai", "// what it tries:\nloop { data = #{ a: data }; }\n")
        .file(
            "sluice.yaml",
            "connections: { nats: { nats: { url: \"${NATS_URL}\" } } }\nstore: { redis: { url: \"${REDIS_URL}\" } }\n\
             channels:\n  in: { nats: { stream: IN, subjects: [\"in.>\"], create: true } }\n  \
             out: { nats: { stream: OUT, subject: out, create: true } }\nadmin: { listen: \"127.0.0.1:0\" }\n",
        )
}

fn with_schemas(mut sandbox: Sandbox) -> Sandbox {
    let events = HANDLERS.iter().map(|(event, _)| *event).chain(["Sleep", "Honest", "Out", "HostileFilter"]);
    for event in events.chain(["HostileUpcast"]) {
        sandbox = sandbox.file(&format!("schemas/{event}/1.json"), "{}");
    }
    sandbox.file("schemas/HostileUpcast/2.json", "{}")
}

#[test]
fn hostile_scripts_cost_their_own_events_and_nothing_else() {
    let (nats, redis) = (NatsServer::start(), RedisServer::start());
    let sandbox = with_schemas(project(Sandbox::empty().on(&nats, &redis)));
    sandbox.sluice(&["lint"]).expect(0);

    let mut lines = Vec::new();
    let mut publish = |event: &str, key: &str| {
        let id = lines.len();
        lines.push(format!(r#"{{"id":"{id}","type":"{event}","version":1,"data":{{"id":"{key}"}}}}"#));
    };
    let hostile: Vec<&str> =
        HANDLERS.iter().map(|(event, _)| *event).chain(["HostileFilter", "HostileUpcast", "Sleep"]).collect();
    // Before, beside and behind: one of another key, and one of the very key that is held up by the retry.
    for event in &hostile {
        publish("Honest", &format!("beside-{event}"));
        publish("Honest", event);
        publish(event, event);
        publish("Honest", event);
    }
    sandbox.sluice_fed(&["publish", "in"], &lines.join("\n")).expect(0);

    let running = sandbox.run(&[]);
    // All but `Sleep` were parked for their one retry, and what followed for their key behind them.
    let retried = hostile.len() as f64 - 1.0;
    running.until_within(Duration::from_secs(120), "all is handled", |run| {
        let unparked = |to: &str| run.metric(&format!("sluice_unparked_total{{pipeline=\"p\",to=\"{to}\"}}"));
        unparked("dead") == Some(retried) && unparked("done") == Some(retried)
    });
    let honest = "sluice_events_total{pipeline=\"p\",subscription=\"Honest\",outcome=\"done\"}";
    assert_eq!(running.metric(honest), Some(3.0 * hostile.len() as f64 - retried));
    let peak = running.peak_memory_mib();
    assert!(peak < 512, "{peak} MiB");
    running.terminated().expect(0);

    let listed = sandbox.sluice(&["dlq", "list", "--format", "json"]).expect(0).json();
    let letters = listed["dead_letters"].as_array().unwrap();
    assert_eq!(letters.len(), hostile.len(), "{listed:#}");
    for event in hostile {
        let letter = letters.iter().find(|letter| letter["key"] == event).unwrap_or_else(|| panic!("{event}"));
        check(event, letter);
    }
}

/// Seven lines of settings, one for each handler and the two beside them, and the fifth of its own subscription.
fn line_of_the_filter() -> usize {
    7 + HANDLERS.len() + 2 + 5
}

#[track_caller]
fn check(event: &str, letter: &Value) {
    let failure = &letter["failure"];
    let (class, reason, attempts, file, line) = match event {
        "Sleep" => ("script", "script_error", 1, "pipelines/handlers/Sleep.rhai".to_owned(), 2),
        "LargeState" => ("limit", "state_too_large", 2, "pipelines/handlers/LargeState.rhai".to_owned(), 2),
        "HostileFilter" => ("limit", "limit", 2, "pipelines/p.yaml".to_owned(), line_of_the_filter()),
        "HostileUpcast" => ("limit", "limit", 2, "pipelines/handlers/upcast.rhai".to_owned(), 2),
        _ => ("limit", "limit", 2, format!("pipelines/handlers/{event}.rhai"), 2),
    };
    assert_eq!((&failure["class"], &failure["reason"]), (&class.into(), &reason.into()), "{event}: {letter:#}");
    assert_eq!(letter["attempts"], attempts, "{event}: {letter:#}");
    assert_eq!(failure["at"]["file"], file.as_str(), "{event}: {letter:#}");
    assert_eq!(failure["at"]["line"], line, "{event}: {letter:#}");
}
