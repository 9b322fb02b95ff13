//! Events that nobody should have sent: each is set aside with its reason, and nothing is lost.

use std::fmt::Write as _;

use async_nats::jetstream;
use serde_json::Value;

use crate::cli::sandbox::Sandbox;
use crate::support::servers::{NatsServer, RedisServer};

const PIPELINE: &str = "\
pipeline: p
key: data.id
limits: { payload: 16KiB }
emits:
  - { event: Out, version: 1, to: out }
subscriptions:
  - { event: Thing, from: in, versions: [1], script: 'state.thing = event.data; emit(\"Out\", event.data);' }
  - { event: Echo, from: in, versions: [1], script: 'emit(\"Out\", state);' }
  - { event: Refused, from: in, versions: [1], script: 'reject(\"always\");' }
";

struct Gate {
    nats: NatsServer,
    _redis: RedisServer,
    sandbox: Sandbox,
}

impl Gate {
    fn open() -> Self {
        let (nats, redis) = (NatsServer::start(), RedisServer::start());
        let thing = r#"{ "type": "object", "properties": { "n": { "type": "number" } } }"#;
        let sandbox = Sandbox::empty()
            .on(&nats, &redis)
            .file(
                "sluice.yaml",
                "connections: { nats: { nats: { url: \"${NATS_URL}\" } } }\nstore: { redis: { url: \"${REDIS_URL}\" } }\n\
                 channels:\n  in: { nats: { stream: IN, subjects: [\"in.>\"] } }\n  \
                 out: { nats: { stream: OUT, subject: out, create: true } }\nadmin: { listen: \"127.0.0.1:0\" }\n",
            )
            .file("pipelines/p.yaml", PIPELINE)
            .file("schemas/Thing/1.json", thing)
            .file("schemas/Echo/1.json", "{}")
            .file("schemas/Refused/1.json", "{}")
            .file("schemas/Out/1.json", "{}");
        Self { nats, _redis: redis, sandbox }
    }

    /// Publishes these payloads as they are and runs until all of them have their outcome.
    async fn handle(&self, payloads: &[Vec<u8>]) {
        let context = self.context().await;
        let stream =
            jetstream::stream::Config { name: "IN".into(), subjects: vec!["in.>".into()], ..Default::default() };
        context.get_or_create_stream(stream).await.unwrap();
        for payload in payloads {
            context.publish("in.x", payload.clone().into()).await.unwrap().await.unwrap();
        }
        let running = self.sandbox.run(&[]);
        running.until_metric("sluice_received_total{pipeline=\"p\"}", payloads.len() as f64);
        running.until_metric("sluice_in_flight{pipeline=\"p\"}", 0.0);
        let done = running.terminated().expect(0);
        assert!(done.stdout.starts_with(&format!("p: received {} = ", payloads.len())), "{}", done.stdout);
        assert!(!done.stderr.contains("panicked"), "{}", done.stderr);
    }

    async fn context(&self) -> jetstream::Context {
        jetstream::new(async_nats::connect(self.nats.url()).await.unwrap())
    }

    fn letters(&self) -> Vec<Value> {
        let listed = self.sandbox.sluice(&["dlq", "list", "--format", "json"]).expect(0).json();
        listed["dead_letters"].as_array().unwrap().clone()
    }
}

fn event(id: &str, kind: &str, data: &str) -> Vec<u8> {
    format!(r#"{{"id":"{id}","type":"{kind}","source":"t","version":1,"data":{data}}}"#).into_bytes()
}

#[tokio::test]
async fn what_is_no_usable_event_is_set_aside_with_its_reason_and_kept_byte_for_byte() {
    let gate = Gate::open();
    let deep = format!("{}{}", "[".repeat(200), "]".repeat(200));
    let bad: Vec<(&str, Vec<u8>)> = vec![
        ("not_json", Vec::new()),
        ("not_json", b"{oops".to_vec()),
        ("not_json", b"\0\0\0\0".to_vec()),
        ("not_json", b"\xef\xbb\xbf{}".to_vec()),
        ("not_utf8", b"{\"id\":\"\xff\xfe\"}".to_vec()),
        ("not_utf8", b"\xff\xfe{\0}\0".to_vec()),
        ("not_an_event", b"[1]".to_vec()),
        ("not_an_event", b"null".to_vec()),
        ("no_id", br#"{"type":"Thing","source":"t","version":1,"data":{"id":"k"}}"#.to_vec()),
        ("no_id", br#"{"id":7,"type":"Thing","source":"t","version":1,"data":{"id":"k"}}"#.to_vec()),
        ("no_type", br#"{"id":"1","source":"t","version":1,"data":{"id":"k"}}"#.to_vec()),
        ("no_source", br#"{"id":"1","type":"Thing","version":1,"data":{"id":"k"}}"#.to_vec()),
        ("no_version", br#"{"id":"1","type":"Thing","source":"t","version":"1","data":{"id":"k"}}"#.to_vec()),
        ("no_version", br#"{"id":"1","type":"Thing","source":"t","version":99999999999,"data":{}}"#.to_vec()),
        ("no_key", event("2", "Thing", "{}")),
        ("no_key", event("3", "Thing", r#"{"id":""}"#)),
        ("no_key", event("4", "Thing", r#"{"id":1.5}"#)),
        ("no_key", event("5", "Thing", r#"{"id":{"a":1}}"#)),
        ("no_key", event("6", "Thing", "null")),
        ("schema", event("7", "Thing", r#"{"id":"k","n":"many"}"#)),
        ("too_large", event("8", "Thing", &format!(r#"{{"id":"k","s":"{}"}}"#, "x".repeat(20_000)))),
        ("too_deep", event("9", "Thing", &format!(r#"{{"id":"k","s":{deep}}}"#))),
        ("too_deep", "[".repeat(15_000).into_bytes()),
        ("reserved_name", event("10", "Thing", r#"{"id":"k","$serde_json::private::Number":"1"}"#)),
    ];
    let good = event("11", "Thing", r#"{"id":"k","n":1}"#);
    let payloads: Vec<Vec<u8>> = bad.iter().map(|(_, payload)| payload.clone()).chain([good]).collect();
    gate.handle(&payloads).await;

    let letters = gate.letters();
    assert_eq!(letters.len(), bad.len());
    for (index, (reason, payload)) in bad.iter().enumerate() {
        let what = String::from_utf8_lossy(&payload[..payload.len().min(80)]);
        let at = |letter: &&Value| letter["position"]["seq"] == index as u64 + 1;
        let letter = letters.iter().find(at).unwrap_or_else(|| panic!("{what} is not set aside"));
        let failure = &letter["failure"];
        assert_eq!((&failure["class"], &failure["reason"]), (&"permanent".into(), &(*reason).into()), "{what}");
        let shown = gate.sandbox.sluice(&["dlq", "show", letter["id"].as_str().unwrap()]).expect(0).stdout;
        assert!(shown.contains(&format!("permanent/{reason}")), "{shown}");
        // Handled again, the very same bytes fail for the very same reason.
        let tried = gate.sandbox.sluice(&["dlq", "try", letter["id"].as_str().unwrap()]).expect(1).stdout;
        assert!(tried.starts_with(&format!("would die again: permanent/{reason}")), "{tried}");
    }
}

#[tokio::test]
async fn numbers_that_no_machine_type_holds_pass_unchanged_through_state_emission_and_dead_letter() {
    const NUMBERS: [&str; 6] = [
        "9223372036854775808",
        "-170141183460469231731687303715884105729",
        "0.1000000000000000055511151231257827",
        "3.14159265358979323846264338327950288419716939937510",
        "1e+400",
        "-1.5e-400",
    ];
    let gate = Gate::open();
    let mut data = String::from(r#"{"id":"k""#);
    for (index, number) in NUMBERS.iter().enumerate() {
        let _ = write!(data, r#","n{index}":{number}"#);
    }
    data.push('}');
    gate.handle(&[event("1", "Thing", &data), event("2", "Echo", r#"{"id":"k"}"#), event("3", "Refused", &data)]).await;

    let out = gate.context().await.get_stream("OUT").await.unwrap();
    let letter = gate.letters().remove(0);
    let shown = gate.sandbox.sluice(&["dlq", "show", letter["id"].as_str().unwrap()]).expect(0).stdout;
    let mut texts = vec![("the dead letter", shown.replace(": ", ":"))];
    for (sequence, what) in [(1, "the emission"), (2, "the state, emitted by a later event")] {
        let message = out.get_raw_message(sequence).await.unwrap();
        texts.push((what, String::from_utf8(message.payload.to_vec()).unwrap()));
    }
    for (what, text) in texts {
        for (index, number) in NUMBERS.iter().enumerate() {
            assert!(text.contains(&format!(r#""n{index}":{number}"#)), "{number} in {what}: {text}");
        }
    }
}
