//! What waits and what is kept, as a person looks at it and decides.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicBool, Ordering};

use serde_json::{Value, json};

use super::sandbox::{Running, Sandbox};
use crate::support::servers::{NatsServer, RedisServer};

const ON_SERVERS: &str = r#"
connections: { nats: { nats: { url: "${NATS_URL}" } } }
store: { redis: { url: "${REDIS_URL}" } }
channels: { orders: { nats: { stream: ORDERS, subject: orders, create: true } } }
admin: { listen: "127.0.0.1:0" }
"#;

const PIPELINE: &str = r#"
pipeline: p
key: data.key
subscriptions:
  - event: OrderPlaced
    from: orders
    versions: [1]
    script: |
      if event.data.slow && ctx.attempt < ATTEMPTS { retry("the bank is closed", "DELAY"); }
      state.seen = (state.seen ?? "") + event.data.n + ",";
      state.amount = event.data.amount;
"#;

/// More digits than a float has.
const AMOUNT: &str = "123456789012345678901234567890.10";

struct Shop {
    _servers: Option<(NatsServer, RedisServer)>,
    sandbox: Sandbox,
}

impl Shop {
    fn new(sandbox: Sandbox, project: &str, attempts: u32, delay: &str) -> Self {
        let pipeline = PIPELINE.replace("ATTEMPTS", &attempts.to_string()).replace("DELAY", delay);
        let sandbox = sandbox.file("sluice.yaml", project).file("pipelines/p.yaml", &pipeline);
        Self { _servers: None, sandbox: sandbox.file("schemas/OrderPlaced/1.json", "{}") }
    }

    fn embedded(attempts: u32, delay: &str) -> Self {
        Self::new(Sandbox::empty(), "admin: { listen: \"127.0.0.1:0\" }\n", attempts, delay)
    }

    fn on_servers() -> Self {
        let servers = (NatsServer::start(), RedisServer::start());
        let sandbox = Sandbox::empty().on(&servers.0, &servers.1);
        Self { _servers: Some(servers), ..Self::new(sandbox, ON_SERVERS, 2, "1h") }
    }

    /// Numbers, keys, and whether they ask for a retry.
    fn publish(&self, events: &[(u32, &str, bool)]) {
        let lines = events.iter().map(|(n, key, slow)| {
            format!(
                r#"{{"id":"e-{n}","type":"OrderPlaced","version":1,"source":"shop","data":{{"key":{},"n":"{n}","slow":{slow},"amount":{AMOUNT}}}}}"#,
                json!(key)
            )
        });
        let lines: Vec<String> = lines.collect();
        self.sandbox.sluice_fed(&["publish", "orders", "--raw"], &lines.join("\n")).expect(0);
    }

    fn parked(&self, arguments: &[&str]) -> Vec<Value> {
        let list = [&["parked", "list", "--format", "json"], arguments].concat();
        self.sandbox.sluice(&list).expect(0).json()["parked"].as_array().unwrap().clone()
    }

    /// The id of the parked event of this number.
    fn id(&self, n: u32) -> String {
        let event_id = format!("e-{n}");
        let all = self.parked(&[]);
        let found = all.iter().find(|parked| parked["event"]["id"] == *event_id);
        found.unwrap_or_else(|| panic!("{n} in {all:#?}"))["id"].as_str().unwrap().to_owned()
    }

    /// What the handler has seen of a key, in order.
    fn seen(&self, key: &str) -> String {
        let done = self.sandbox.sluice(&["state", "show", key, "--format", "json"]);
        if done.code != 0 {
            return String::new();
        }
        done.json()["states"][0]["state"]["seen"].as_str().unwrap_or_default().to_owned()
    }

    fn discarded(&self) -> Vec<Value> {
        let listed = self.sandbox.sluice(&["dlq", "list", "--all", "--format", "json"]).expect(0).json();
        listed["dead_letters"].as_array().unwrap().clone()
    }
}

fn until_settled(running: &Running, received: f64) {
    running.until_metric("sluice_received_total{pipeline=\"p\"}", received);
    running.until_metric("sluice_in_flight{pipeline=\"p\"}", 0.0);
}

/// What one does with a line of three and one of one, whether a runner is at work or not.
fn look_and_decide(shop: &Shop) {
    let line = shop.parked(&["--key", "a"]);
    let of = |name: &str| line.iter().map(|parked| parked[name].clone()).collect::<Vec<_>>();
    assert_eq!(of("waits"), ["retry", "behind", "behind"], "{line:#?}");
    assert_eq!(of("attempts"), [1, 0, 0]);
    assert_eq!((&line[0]["why"], &line[0]["event"]["type"]), (&"the bank is closed".into(), &"OrderPlaced".into()));
    assert_eq!(shop.parked(&[]).len(), 4);
    assert!(shop.parked(&["--key", "nobody"]).is_empty());
    let listed = shop.sandbox.sluice(&["parked", "list"]).expect(0).stdout;
    assert_eq!(listed.lines().count(), 5, "{listed}");
    assert!(listed.starts_with("ID ") && listed.contains("for its next attempt at 20"), "{listed}");
    let groups = shop.sandbox.sluice(&["parked", "list", "--group", "--format", "json"]).expect(0).json();
    let counts: Vec<_> = groups["groups"].as_array().unwrap().iter().map(|g| (&g["waits"], &g["count"])).collect();
    assert_eq!(counts, [(&json!("behind"), &json!(2)), (&json!("retry"), &json!(2))]);

    let (head, second) = (shop.id(1), shop.id(2));
    let shown = shop.sandbox.sluice(&["parked", "show", &second[..10]]).expect(0).stdout;
    let place = format!("head         {}, which waits for its next attempt", &head[..12]);
    assert!(shown.contains("in line      2 of 3\n") && shown.contains(&place) && shown.contains(AMOUNT), "{shown}");
    let shown = shop.sandbox.sluice(&["parked", "show", &second, "--format", "json"]).expect(0);
    assert!(shown.stdout.contains(AMOUNT), "{}", shown.stdout);
    let shown = shown.json();
    assert_eq!((&shown["place"], &shown["line"], &shown["head"]), (&2.into(), &3.into(), &head.clone().into()));

    let refused = shop.sandbox.sluice(&["parked", "release", &second]).expect(1).stdout;
    let why = format!("not run: 1 event of its key before it; the first is {}, which waits", &head[..12]);
    assert!(refused.contains(&why), "{refused}");
    assert_eq!(shop.seen("a"), "");
    let released = shop.sandbox.sluice(&["parked", "release", &head]).expect(0).stdout;
    assert!(released.ends_with("done\n"), "{released}");
    assert_eq!(shop.seen("a"), "1,2,3,");

    let fourth = shop.id(4);
    shop.sandbox.sluice(&["parked", "discard", &fourth]).expect(2);
    let done = shop.sandbox.sluice(&["parked", "discard", &fourth[..8], "--why", "cancelled by phone"]).expect(0);
    assert!(done.stdout.ends_with("  discarded\n"), "{}", done.stdout);
    assert!(shop.parked(&[]).is_empty());
    let letters = shop.discarded();
    assert_eq!(letters.len(), 1, "{letters:#?}");
    assert_eq!((&letters[0]["id"], &letters[0]["open"]), (&fourth.clone().into(), &false.into()));
    assert_eq!((&letters[0]["failure"]["reason"], &letters[0]["attempts"]), (&"discarded".into(), &1.into()));
    assert_eq!(letters[0]["resolution"]["why"], "cancelled by phone");
    shop.sandbox.sluice(&["parked", "discard", &fourth, "--why", "again"]).expect(2);

    let shown = shop.sandbox.sluice(&["state", "show", "a"]).expect(0).stdout;
    assert!(shown.contains(&format!("\"amount\": {AMOUNT}")) && shown.contains("parked       0\n"), "{shown}");
    assert!(shop.sandbox.sluice(&["state", "show", "b"]).expect(0).stdout.ends_with("\n\nno state\n"));
    shop.sandbox.sluice(&["state", "show", "nobody"]).expect(2);
    let keys = shop.sandbox.sluice(&["state", "list", "--format", "json"]).expect(0).json();
    let mut keys: Vec<_> =
        keys["keys"].as_array().unwrap().iter().map(|k| k["key"].as_str().unwrap().to_owned()).collect();
    keys.sort();
    assert_eq!(keys, ["a", "b", "c"]);
    let one = shop.sandbox.sluice(&["state", "list", "--limit", "1"]).expect(0);
    assert!(one.stdout.lines().count() == 2 && one.stderr.contains("more than 1: "), "{}{}", one.stdout, one.stderr);
    let exported = shop.sandbox.sluice(&["state", "export"]).expect(0).stdout;
    let lines: Vec<Value> = exported.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(lines.len(), 3, "{exported}");
    assert!(lines.iter().any(|line| line["key"] == "a" && line["state"]["seen"] == "1,2,3,"), "{exported}");
    assert!(exported.contains(AMOUNT), "{exported}");
}

const EVENTS: &[(u32, &str, bool)] =
    &[(1, "a", true), (2, "a", false), (3, "a", true), (4, "b", true), (5, "c", false)];

#[test]
fn what_waits_is_looked_at_and_decided_about_without_a_runner() {
    let shop = Shop::embedded(2, "1h");
    let nothing = shop.sandbox.sluice(&["parked", "list"]).expect(0).stdout;
    assert_eq!(nothing, "no parked events\n");
    shop.publish(EVENTS);
    let running = shop.sandbox.run(&[]);
    until_settled(&running, 5.0);
    running.terminated().expect(0);
    // The third asks for a retry when its turn comes; here it is to be handled at once.
    let shop = Shop {
        sandbox: shop.sandbox.edited("pipelines/p.yaml", "event.data.slow &&", "event.data.n == \"1\" &&"),
        ..shop
    };
    look_and_decide(&shop);
}

#[test]
fn what_waits_is_looked_at_and_decided_about_beside_a_runner_on_servers() {
    let shop = Shop::on_servers();
    let running = shop.sandbox.run(&[]);
    running.until_ready();
    let events = EVENTS.iter().map(|(n, key, slow)| (*n, *key, *slow && *n != 3)).collect::<Vec<_>>();
    shop.publish(&events);
    until_settled(&running, 5.0);
    look_and_decide(&shop);
    // Whoever was discarded is remembered, and its key goes on.
    shop.publish(&[(6, "b", false)]);
    until_settled(&running, 6.0);
    assert_eq!(shop.seen("b"), "6,");
    let balance = running.terminated().expect(0).stdout;
    assert!(balance.contains("done 2 ") && balance.contains("parked 4 ") && balance.contains("dead 0 "), "{balance}");
}

#[test]
fn long_lines_and_many_keys_are_listed_whole_and_in_order() {
    let shop = Shop::embedded(2, "1h");
    let mut events = vec![(0, "long", true)];
    events.extend((1..600).map(|n| (n, "long", false)));
    let others: Vec<String> = (600..700).map(|n| format!("k{n}")).collect();
    events.extend((600..700).zip(&others).map(|(n, key)| (n, key.as_str(), true)));
    shop.publish(&events);
    let running = shop.sandbox.run(&[]);
    until_settled(&running, 700.0);
    running.terminated().expect(0);
    let all = shop.parked(&[]);
    let ids: BTreeSet<&str> = all.iter().map(|parked| parked["id"].as_str().unwrap()).collect();
    assert_eq!((all.len(), ids.len()), (700, 700));
    for line in [all, shop.parked(&["--key", "long"])] {
        let line = line.iter().filter(|parked| parked["key"] == "long");
        let places: Vec<u64> = line.map(|parked| parked["position"]["seq"].as_u64().unwrap()).collect();
        assert_eq!(places, (1..=600).collect::<Vec<u64>>());
    }
    let exported = shop.sandbox.sluice(&["state", "export"]).expect(0).stdout;
    assert_eq!(exported.lines().count(), 101);
}

#[test]
fn a_line_whose_head_was_discarded_moves_on_in_the_runner() {
    let shop = Shop::embedded(2, "1h");
    let running = shop.sandbox.run(&[]);
    shop.publish(&[(1, "a", true), (2, "a", false), (3, "a", false)]);
    until_settled(&running, 3.0);
    let third = shop.id(3);
    let done = shop.sandbox.sluice(&["parked", "discard", &third, "--why", "not this one"]).expect(0);
    assert!(done.stdout.ends_with("  discarded\n"), "{}", done.stdout);
    assert_eq!(shop.parked(&[]).len(), 2, "the head goes on waiting");
    let done = shop.sandbox.sluice(&["parked", "discard", &shop.id(1), "--why", "nor this"]).expect(0);
    assert!(done.stdout.contains("its line moves on"), "{}", done.stdout);
    running.until_metric("sluice_unparked_total{pipeline=\"p\",to=\"done\"}", 1.0);
    assert_eq!(shop.seen("a"), "2,");
    running.terminated().expect(0);
}

#[test]
fn what_waits_again_after_its_release_says_until_when() {
    let shop = Shop::embedded(9, "1h");
    let running = shop.sandbox.run(&[]);
    shop.publish(&[(1, "a", true)]);
    until_settled(&running, 1.0);
    running.terminated().expect(0);
    let id = shop.id(1);
    let released = shop.sandbox.sluice(&["parked", "release", "--key", "a"]).expect(0).stdout;
    assert!(released.contains("ran, and waits again for its next attempt at 20"), "{released}");
    assert_eq!(shop.parked(&[])[0]["attempts"], 2);
    // Five attempts are the default: two more wait again, the last one dies.
    for attempts in 3..=4 {
        shop.sandbox.sluice(&["parked", "release", &id[..6]]).expect(0);
        assert_eq!(shop.parked(&[])[0]["attempts"], attempts);
    }
    let released = shop.sandbox.sluice(&["parked", "release", &id, "--format", "json"]).expect(1).json();
    assert_eq!(released["released"][0]["outcome"], "dead");
    shop.sandbox.sluice(&["parked", "release", "--key", "a"]).expect(2);
}

#[test]
fn what_no_subscription_takes_any_more_is_told_and_goes_on_once_one_does() {
    let shop = Shop::embedded(2, "1h");
    let running = shop.sandbox.run(&[]);
    shop.publish(&[(1, "a", true), (2, "a", false)]);
    until_settled(&running, 2.0);
    running.terminated().expect(0);
    let taking = |event: &str| {
        let pipeline = PIPELINE.replace("ATTEMPTS", "2").replace("DELAY", "1h").replace("OrderPlaced", event);
        shop.sandbox.write("pipelines/p.yaml", &pipeline);
    };
    shop.sandbox.write("schemas/OrderClosed/1.json", "{}");
    taking("OrderClosed");
    let released = shop.sandbox.sluice(&["parked", "release", "--key", "a", "--format", "json"]).expect(1).json();
    assert_eq!(released["released"][0]["outcome"], "no_handler");
    let line = shop.parked(&[]);
    assert_eq!([&line[0]["waits"], &line[1]["waits"]], ["no_handler", "behind"], "{line:#?}");
    assert!(line[0]["due"].as_str().is_some_and(|due| due.starts_with("20")), "{line:#?}");
    let listed = shop.sandbox.sluice(&["parked", "list"]).expect(0).stdout;
    assert!(listed.contains("for a subscription that takes its type, and is looked at again at 20"), "{listed}");
    taking("OrderPlaced");
    shop.sandbox.sluice(&["parked", "release", "--key", "a"]).expect(0);
    assert_eq!(shop.seen("a"), "1,2,");
}

#[test]
fn keys_and_ids_of_events_do_not_steer_the_terminal() {
    let shop = Shop::embedded(2, "1h");
    let running = shop.sandbox.run(&[]);
    shop.publish(&[(1, "\u{1b}[2Ja", true)]);
    until_settled(&running, 1.0);
    running.terminated().expect(0);
    let id = shop.id(1);
    let commands: [&[&str]; 5] = [
        &["parked", "list"],
        &["parked", "show", &id],
        &["state", "list"],
        &["state", "export"],
        &["parked", "show", "\u{1b}"],
    ];
    for command in commands {
        let done = shop.sandbox.sluice(command);
        assert!(!format!("{}{}", done.stdout, done.stderr).contains('\u{1b}'), "{command:?}: {}", done.stdout);
    }
}

#[test]
fn a_store_in_memory_is_told_as_for_dead_letters() {
    let sandbox = Sandbox::small("{}").file("sluice.yaml", "store: { memory: {} }\n");
    for command in [&["parked", "list"][..], &["state", "list"]] {
        let done = sandbox.sluice(command).expect(2);
        assert!(done.stderr.contains("the store is in memory"), "{}", done.stderr);
    }
}

/// Every event is tried twice before it is handled, with a pause that gives everybody time to meddle.
#[test]
fn releasing_and_discarding_against_a_runner_loses_and_doubles_nothing() {
    const KEYS: [&str; 3] = ["a", "b", "c"];
    const EACH: u32 = 8;
    let shop = Shop::embedded(3, "400ms");
    let running = shop.sandbox.run(&[]);
    let events: Vec<(u32, &str, bool)> = (1..=EACH).flat_map(|n| KEYS.map(|key| (n, key, true))).collect();
    // Ids are the same for all keys: events are told apart by both.
    shop.publish(&events);
    until_settled(&running, f64::from(EACH) * 3.0);
    let over = AtomicBool::new(false);
    std::thread::scope(|scope| {
        for key in KEYS {
            let (shop, over) = (&shop, &over);
            scope.spawn(move || {
                while !over.load(Ordering::Relaxed) {
                    shop.sandbox.sluice(&["parked", "release", "--key", key]);
                }
            });
        }
        scope.spawn(|| {
            while !over.load(Ordering::Relaxed) {
                // The third of a line, and its head, which somebody may just be running.
                for key in ["a", "b"] {
                    let line = shop.parked(&["--key", key]);
                    let victim = line.get(if key == "a" { 2 } else { 0 });
                    if let Some(id) = victim.and_then(|victim| victim["id"].as_str()).filter(|_| line.len() > 3) {
                        shop.sandbox.sluice(&["parked", "discard", id, "--why", "a race"]);
                    }
                }
            }
        });
        let census = || {
            shop.sandbox.sluice(&["status", "--format", "json"]).expect(0).json()["pipelines"][0]["store"]["parked"]
                .clone()
        };
        running.until("nothing is parked any more", |_| census() == 0);
        over.store(true, Ordering::Relaxed);
    });
    running.terminated().expect(0);
    let letters = shop.discarded();
    assert!(letters.iter().all(|letter| letter["failure"]["reason"] == "discarded" && letter["open"] == false));
    assert!(!letters.is_empty(), "the race was no race");
    for key in KEYS {
        let seen: Vec<u32> = shop.seen(key).split_terminator(',').map(|n| n.parse().unwrap()).collect();
        let of_key = letters.iter().filter(|letter| letter["key"] == key);
        let number =
            |letter: &Value| letter["event"]["id"].as_str().unwrap().strip_prefix("e-").unwrap().parse().unwrap();
        let gone: Vec<u32> = of_key.map(number).collect();
        assert!(seen.is_sorted(), "{key}: out of turn: {seen:?}");
        let all: BTreeSet<u32> = seen.iter().chain(&gone).copied().collect();
        let what = format!("{key}: {seen:?} handled and {gone:?} discarded");
        assert!(all.len() == EACH as usize && seen.len() + gone.len() == EACH as usize, "{what}");
    }
}
