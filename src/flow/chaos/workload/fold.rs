//! Events of one type, folded in a way that is neither commutative nor idempotent: what is lost, doubled or out of turn
//! shows in the end.

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use serde_json::{Value, json};

use super::{End, Fed, KeyEnd, Workload, patient};
use crate::event::{Key, MarkId};
use crate::flow::chaos::plan::{PARTITIONS, Plan, RETAIN, Trouble};
use crate::flow::chaos::script::Dice;
use crate::schema::Schema;
use crate::script::{Engine, Kind, Source as ScriptSource};
use crate::spec::program::{
    Emit, FieldPath, IdentityBy, Limits, OnFailure, Pipeline, Reorder, Retry, Subscription, UnknownVersion, Upcast,
};

/// Some ask for a retry first, and some are in a version that only the program of later accepts.
#[derive(Debug)]
pub struct Fold;

const HANDLER: &str = r#"
    if event.data.flaky && ctx.attempt < 3 { retry("not yet", "1s"); }
    state.hash = ((state.hash ?? 7) * 31 + event.data.n) % 1000003;
    state.count = (state.count ?? 0) + 1;
    state.sum = (state.sum ?? 0) + event.data.n;
    emit("Folded", #{ n: event.data.n, count: state.count, hash: state.hash });
"#;

/// The pipeline in a program that accepts these versions, and lets the others wait.
pub fn accepting(versions: &[u32]) -> Pipeline {
    let engine = Engine::new(patient(), Path::new("."));
    let source = ScriptSource { file: "fold.rhai", text: HANDLER, line_offset: 0 };
    let handler = engine.compile(Kind::Handler, &source).unwrap_or_else(|errors| panic!("{errors:?}"));
    let source = ScriptSource { file: "up.rhai", text: "data = event.data;", line_offset: 0 };
    let upcast = Arc::new(engine.compile(Kind::Upcaster, &source).unwrap_or_else(|errors| panic!("{errors:?}")));
    let anything = || Arc::new(Schema::compile(&json!(true)).expect("a schema"));
    let subscription = Subscription {
        event: "Counted".to_owned(),
        from: vec!["in".into()],
        key: FieldPath(vec!["data".to_owned(), "key".to_owned()]),
        versions: versions.iter().map(|version| (*version, anything())).collect(),
        upcasts: versions
            .windows(2)
            .map(|step| (step[0], Upcast { to: step[1], script: Arc::clone(&upcast) }))
            .collect(),
        newest: versions.iter().copied().max().expect("at least one version"),
        after: Vec::new(),
        filter: None,
        handler: Arc::new(handler),
    };
    let emit = Emit { event: "Folded".to_owned(), version: 1, to: vec!["out".into()], schema: anything() };
    Pipeline {
        name: "fold".into(),
        description: None,
        file: "pipelines/fold.yaml".to_owned(),
        partitions: PARTITIONS,
        subscriptions: vec![Arc::new(subscription)],
        emits: vec![Arc::new(emit)],
        retain: RETAIN,
        identity: IdentityBy::SourceAndId,
        retry: Retry { attempts: 5, first: Duration::from_secs(1), factor: 2.0, max: Duration::from_secs(10) },
        reorder: Reorder::default(),
        sequence: None,
        resequence: None,
        on_failure: OnFailure::Continue,
        unknown_version: UnknownVersion::Park,
        dead_letter: None,
        limits: Limits::default(),
        lag_slo: None,
    }
}

/// One event, with its payload.
pub fn counted(n: u64, key: &str, version: u32, flaky: bool) -> Fed {
    let event = json!({
        "id": format!("e{n}"), "type": "Counted", "version": version, "source": "test",
        "data": { "key": key, "n": n, "flaky": flaky },
    });
    let key = Key::new(key).expect("keys are not empty");
    let mark = MarkId::of_event("test", &format!("e{n}"), &key);
    Fed { n, mark, partition: key.partition(PARTITIONS), key, payload: event.to_string(), rank: n, kind: 0 }
}

pub fn dislikes(n: u64) -> bool {
    n.is_multiple_of(5)
}

impl Workload for Fold {
    fn pipeline(&self, plan: &Plan, upgraded: bool) -> Arc<Pipeline> {
        // Compiling costs as much as a short run.
        static COMPILED: [OnceLock<Arc<Pipeline>>; 4] = [const { OnceLock::new() }; 4];
        let versions: &[u32] = if upgraded { &[1, 2] } else { &[1] };
        let variant = usize::from(upgraded) + 2 * usize::from(plan.has(Trouble::Ages));
        let compile = || Arc::new(Pipeline { retain: plan.retain(), ..accepting(versions) });
        Arc::clone(COMPILED[variant].get_or_init(compile))
    }

    fn feed(&self, plan: &Plan, dice: &Dice) -> Vec<Fed> {
        let one = |n| {
            let key = format!("k{}", dice.roll(plan.keys));
            let flaky = plan.retries && dice.roll(8) == 0;
            let version = if plan.upgrade && dice.roll(6) == 0 { 2 } else { 1 };
            counted(n, &key, version, flaky)
        };
        (1..=plan.events).map(one).collect()
    }

    fn refuses(&self, payload: &[u8]) -> bool {
        let event: Value = serde_json::from_slice(payload).unwrap_or_default();
        event["data"]["n"].as_u64().is_some_and(dislikes)
    }

    fn check(&self, end: &End<'_>) -> Result<(), String> {
        let gone = set_aside(end)?;
        let nothing = KeyEnd::default();
        for key in end.fed.iter().map(|fed| &fed.key).collect::<BTreeSet<_>>() {
            let there = end.keys.get(key).unwrap_or(&nothing);
            let emitted: Vec<u64> = there.emitted.iter().filter_map(|data| data["n"].as_u64()).collect();
            let of_key = end.fed.iter().filter(|fed| fed.key == *key).map(|fed| fed.n);
            let handled: Vec<u64> = of_key.filter(|n| !gone.contains(n) || emitted.contains(n)).collect();
            self.check_key(end.plan, &handled, &emitted, there).map_err(|why| format!("key {key}: {why}"))?;
        }
        Ok(())
    }
}

impl Fold {
    fn check_key(&self, plan: &Plan, handled: &[u64], emitted: &[u64], there: &KeyEnd) -> Result<(), String> {
        let refuses = |n: &u64| plan.has(Trouble::Refusals) && dislikes(*n);
        let state = &there.state;
        let (count, sum) = (handled.len() as u64, handled.iter().sum::<u64>());
        if state["count"].as_u64().unwrap_or(0) != count || state["sum"].as_u64().unwrap_or(0) != sum {
            return Err(format!("state {state}, wanted count {count} and sum {sum} of {handled:?}"));
        }
        let (mut wanted, mut got) = (handled.to_vec(), emitted.to_vec());
        wanted.retain(|n| !refuses(n));
        wanted.sort_unstable();
        got.sort_unstable();
        if got != wanted {
            return Err(format!("emitted for {got:?}, wanted {wanted:?}"));
        }
        // What several runners held at once comes in any order, and in another when the store forgot it and it is
        // handled again; but emissions keep the order of the state changes that caused them.
        if !plan.ordered() && (plan.has(Trouble::TailLost) || plan.has(Trouble::Refusals)) {
            return Ok(());
        }
        let order = if plan.ordered() { handled } else { emitted };
        folded(order, refuses, there)
    }
}

/// Whether state and emissions are what comes of handling these, in this order.
pub fn folded(order: &[u64], refuses: impl Fn(&u64) -> bool, there: &KeyEnd) -> Result<(), String> {
    let (mut hash, mut wanted) = (7_u64, Vec::new());
    for (index, n) in order.iter().enumerate() {
        hash = (hash * 31 + n) % 1_000_003;
        if !refuses(n) {
            wanted.push(json!({ "n": n, "count": index + 1, "hash": hash }));
        }
    }
    if there.emitted != wanted {
        let told = |list: &[Value]| list.iter().map(Value::to_string).collect::<Vec<_>>().join(" ");
        return Err(format!("emitted {}, wanted {}", told(&there.emitted), told(&wanted)));
    }
    let state = &there.state;
    if state["hash"].as_u64().unwrap_or(7) != hash {
        return Err(format!("state {state}, wanted hash {hash} of {order:?}"));
    }
    Ok(())
}

/// Numbers of the events that may not have been handled. Whatever else was set aside is wrong.
fn set_aside(end: &End<'_>) -> Result<BTreeSet<u64>, String> {
    let (mut refused, mut gone) = (BTreeSet::new(), BTreeSet::new());
    for letter in &end.dead {
        let n = letter.data["n"].as_u64().ok_or("a dead letter without a number")?;
        let reason = letter.record.failure.reason.as_str();
        let expected = match reason {
            _ if letter.refused => refused.insert(n),
            "discarded" => end.plan.person && !letter.open && gone.insert(n),
            "beyond_retain" => end.plan.has(Trouble::Ages) && gone.insert(n),
            _ => false,
        };
        if !expected {
            return Err(format!("e{n} is set aside: {reason}: {}", letter.record.failure.message));
        }
    }
    let wanted = |n: &u64| end.plan.has(Trouble::Refusals) && dislikes(*n);
    let disliked: BTreeSet<u64> = end.fed.iter().map(|fed| fed.n).filter(wanted).collect();
    if refused != disliked {
        return Err(format!("refused emissions set aside: {refused:?}, wanted {disliked:?}"));
    }
    Ok(gone)
}
