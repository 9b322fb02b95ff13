//! Events that fail, and block their key until a person has decided.

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::{Arc, OnceLock};

use serde_json::json;

use super::fold::accepting;
use super::{End, Fed, KeyEnd, Workload, patient};
use crate::event::{Key, MarkId};
use crate::flow::chaos::plan::{PARTITIONS, Plan};
use crate::flow::chaos::script::Dice;
use crate::script::{Engine, Kind, Source};
use crate::spec::program::{OnFailure, Pipeline, Subscription};

#[derive(Debug)]
pub struct Blocking;

const HANDLER: &str = r#"
    if event.data.flaky && ctx.attempt < 2 { retry("not yet", "1s"); }
    if event.data.poison { reject("it is poisonous"); }
    state.log = (state.log ?? []) + [event.data.n];
    emit("Folded", #{ n: event.data.n });
"#;

fn compile() -> Pipeline {
    let mut pipeline = accepting(&[1]);
    let engine = Engine::new(patient(), Path::new("."));
    let source = Source { file: "log.rhai", text: HANDLER, line_offset: 0 };
    let handler = engine.compile(Kind::Handler, &source).unwrap_or_else(|errors| panic!("{errors:?}"));
    let counted = Arc::clone(&pipeline.subscriptions[0]);
    pipeline.subscriptions[0] = Arc::new(Subscription {
        event: counted.event.clone(),
        from: counted.from.clone(),
        key: counted.key.clone(),
        versions: counted.versions.clone(),
        upcasts: Default::default(),
        newest: counted.newest,
        after: Vec::new(),
        filter: None,
        handler: Arc::new(handler),
    });
    pipeline.on_failure = OnFailure::BlockKey;
    pipeline
}

fn is_poison(fed: &Fed) -> bool {
    fed.kind == 1
}

impl Workload for Blocking {
    fn pipeline(&self, _: &Plan, _: bool) -> Arc<Pipeline> {
        static COMPILED: OnceLock<Arc<Pipeline>> = OnceLock::new();
        Arc::clone(COMPILED.get_or_init(|| Arc::new(compile())))
    }

    fn feed(&self, plan: &Plan, dice: &Dice) -> Vec<Fed> {
        let one = |n| {
            let key = Key::new(&format!("k{}", dice.roll(plan.keys))).expect("keys are not empty");
            let (flaky, poison) = (plan.retries && dice.roll(8) == 0, dice.roll(8) == 0);
            let event = json!({
                "id": format!("e{n}"), "type": "Counted", "version": 1, "source": "test",
                "data": { "key": key.as_str(), "n": n, "flaky": flaky, "poison": poison },
            });
            let mark = MarkId::of_event("test", &format!("e{n}"), &key);
            let (partition, payload) = (key.partition(PARTITIONS), event.to_string());
            Fed { n, mark, partition, key, payload, rank: 0, kind: usize::from(poison) }
        };
        (1..=plan.events).map(one).collect()
    }

    fn blocks(&self) -> bool {
        true
    }

    fn refuses(&self, _: &[u8]) -> bool {
        false
    }

    fn check(&self, end: &End<'_>) -> Result<(), String> {
        let dead: BTreeSet<u64> = end.dead.iter().filter_map(|letter| letter.data["n"].as_u64()).collect();
        let poison: BTreeSet<u64> = end.fed.iter().filter(|fed| is_poison(fed)).map(|fed| fed.n).collect();
        if dead != poison {
            return Err(format!("{dead:?} are set aside, wanted {poison:?}"));
        }
        let nothing = KeyEnd::default();
        for key in end.fed.iter().map(|fed| &fed.key).collect::<BTreeSet<_>>() {
            let there = end.keys.get(key).unwrap_or(&nothing);
            let log: Vec<u64> = serde_json::from_value(there.state["log"].clone()).unwrap_or_default();
            let emitted: BTreeSet<u64> = there.emitted.iter().filter_map(|data| data["n"].as_u64()).collect();
            let of_key = end.fed.iter().filter(|fed| fed.key == *key && !is_poison(fed));
            let wanted: Vec<u64> = of_key.map(|fed| fed.n).collect();
            let mut sorted = log.clone();
            sorted.sort_unstable();
            let in_any_order = sorted == {
                let mut all = wanted.clone();
                all.sort_unstable();
                all
            };
            if emitted != log.iter().copied().collect() || !in_any_order || (end.plan.ordered() && log != wanted) {
                return Err(format!("key {key}: handled {log:?}, emitted {emitted:?}, wanted {wanted:?}"));
            }
        }
        Ok(())
    }
}
