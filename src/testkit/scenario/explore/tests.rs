//! Exploration finds what is wrong, and only that.

use std::fs;
use std::sync::Arc;

use super::*;
use crate::mutant::{self, Mutant};
use crate::spec::load_with_scenarios;
use crate::spec::scenario::CLASSES;
use crate::store::record::Class;
use crate::testkit::scenario::orders::distance;

const PIPELINE: &str = r#"
pipeline: p
key: data.k
partitions: 2
subscriptions:
  - event: Counted
    from: in
    versions: [1]
    script: |
      if event.data.n == 13 && ctx.attempt == 1 { retry("later", "5m"); }
      state.sum = (state.sum ?? 0) + event.data.n;
      if event.data.n == 99 { state.sum = 0; }
      emit("Summed", #{ k: event.key, sum: state.sum });
emits:
  - { event: Summed, version: 1, to: out }
"#;

/// Plays the only scenario on this thread, where a mutant may be at work.
fn report(scenario: &str, mutant: Option<Mutant>) -> Report {
    let project = tempfile::tempdir().expect("a directory");
    let scenarios = format!("pipelines: [p.yaml]\nscenarios:\n  - name: one\n{scenario}");
    for (name, text) in [
        ("pipelines/p.yaml", PIPELINE),
        ("pipelines/p.test.yaml", scenarios.as_str()),
        ("schemas/Counted/1.json", "{}"),
        ("schemas/Summed/1.json", "{}"),
    ] {
        let path = project.path().join(name);
        fs::create_dir_all(path.parent().expect("a parent")).expect("directories");
        fs::write(path, text).expect("a file");
    }
    let loaded = load_with_scenarios(project.path(), None);
    assert!(loaded.diagnostics.is_empty(), "{:#?}", loaded.diagnostics);
    let program = Arc::new(loaded.program.expect("a program"));
    let scenario = &loaded.scenarios[0].scenarios[0];
    let stage = Stage::new(&program, &loaded.scenarios[0], scenario);
    let playing = Playing { stage: &stage, scenario, seed: 1 };
    let settings = Settings { seed: None, threads: 1, progress: &|_, _| {} };
    mutant::with(mutant, || playing.explore(&settings)).expect("it is played")
}

fn counted(numbers: &[u64]) -> String {
    numbers.iter().map(|n| format!("      - {{ event: Counted, data: {{ k: a, n: {n} }} }}\n")).collect()
}

fn example(report: Report) -> CounterExample {
    match report.failure {
        Some(Failure::Explored(example)) => *example,
        other => panic!("{other:?}"),
    }
}

#[test]
fn crashes_find_a_flow_that_loses_or_doubles() {
    let scenario = |explore: &str| {
        let (given, then) = (counted(&[1, 13, 2]), "{ state: { a: { sum: 16 } }, parked: 0 }");
        format!("    given:\n{given}      - {{ wait: 10m }}\n    explore: {explore}\n    then: {then}\n")
    };
    let sound = report(&scenario("{ crashes: true }"), None);
    assert!(sound.failure.is_none(), "{:?}", sound.failure);
    assert!(sound.runs > 20, "{}", sound.runs);
    for mutant in [Mutant::MarkBefore, Mutant::MarkAfter] {
        let unharmed = report(&scenario("{}"), Some(mutant));
        assert!(unharmed.failure.is_none(), "{mutant:?} shows without a crash: {:?}", unharmed.failure);
        let found = example(report(&scenario("{ crashes: true }"), Some(mutant)));
        assert!(found.crash.is_some() && found.given == found.order, "{mutant:?}: {found:?}");
    }
}

#[test]
fn a_counter_example_is_as_near_as_one_can_be() {
    let given = counted(&[1, 2, 99, 3, 4, 5]);
    let then = "{ state: { a: { sum: 12 } } }";
    for orders in ["{ sample: 30, seed: 3 }", "all"] {
        let explore = format!("{{ orders: {orders}, duplicates: 1 }}");
        let found = example(report(&format!("    given:\n{given}    explore: {explore}\n    then: {then}\n"), None));
        let rank = |delivery: &Delivery| match delivery {
            Delivery::Message { name, again: false } => name.rsplit_once('-').and_then(|(_, n)| n.parse().ok()),
            other => panic!("{other:?}"),
        };
        let steps = |order: &[Delivery]| order.iter().filter_map(rank).map(Step::Deliver).collect::<Vec<_>>();
        assert_eq!(distance(&steps(&found.given), &steps(&found.order)), (0, 1), "{orders}: {:?}", found.order);
    }
}

#[test]
fn a_run_repeats() {
    // The delay of a retry is drawn; what it ends in must not be.
    let scenario = format!(
        "    given:\n{}      - {{ wait: 5m }}\n    then: {{ state_exact: {{ a: {{ sum: 1 }} }} }}\n",
        counted(&[13, 4])
    );
    let told = || match report(&scenario, None).failure {
        Some(Failure::Given { mismatches, .. }) => mismatches,
        other => panic!("{other:?}"),
    };
    let first = told();
    assert_eq!(first.len(), 1);
    assert_eq!(first, told());
}

#[test]
fn the_classes_that_may_be_demanded_are_those_there_are() {
    let classes = [Class::Permanent, Class::Script, Class::Transient, Class::Limit, Class::CrashSuspect];
    assert_eq!(classes.map(Class::name), CLASSES);
}
