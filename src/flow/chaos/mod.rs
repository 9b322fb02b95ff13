//! The flow under fire, in process: the real decision, worker, outbox and recovery code on virtual time, over a bus
//! and a store that outlive crashes. One seed, one run; the same seed gives the same run.

mod aba;
mod broken;
mod broker;
mod desk;
mod mutants;
mod order;
mod person;
mod rig;
mod versions;

use rig::{Plan, Trouble, run};

/// Seeds of each plan in an ordinary test run; `SLUICE_SIM_SEEDS` asks for more, `SLUICE_SIM_SEED` for one
/// alone, `SLUICE_SIM_LOG` for its log.
fn seeds() -> u64 {
    std::env::var("SLUICE_SIM_SEEDS").ok().and_then(|text| text.parse().ok()).unwrap_or(150)
}

fn hold(plan: &Plan) {
    let only = std::env::var("SLUICE_SIM_SEED").ok().and_then(|text| text.parse::<u64>().ok());
    for seed in only.map_or(0..seeds(), |seed| seed..seed + 1) {
        if let Err(broken) = run(plan, seed) {
            panic!("seed {seed} of {plan:?}: {broken}");
        }
    }
}

#[test]
fn without_trouble_everything_is_handled_once_and_in_order() {
    hold(&Plan { trouble: Vec::new(), ..Plan::default() });
}

#[test]
fn crashes_lose_and_double_nothing() {
    hold(&Plan { trouble: vec![Trouble::Crash], ..Plan::default() });
}

#[test]
fn a_store_that_loses_its_last_writes_costs_nothing() {
    hold(&Plan { trouble: vec![Trouble::TailLost], ..Plan::default() });
}

#[test]
fn lost_and_late_replies_cost_nothing() {
    hold(&Plan { trouble: vec![Trouble::StoreFaults], ..Plan::default() });
}

#[test]
fn publishes_that_are_not_confirmed_are_repeated_in_order() {
    hold(&Plan { trouble: vec![Trouble::PublishFaults], ..Plan::default() });
}

#[test]
fn refused_emissions_are_set_aside_once_and_hold_up_nothing() {
    let trouble = vec![Trouble::Refusals, Trouble::Crash, Trouble::StoreFaults, Trouble::PublishFaults];
    hold(&Plan { trouble: trouble.clone(), ..Plan::default() });
    hold(&Plan { runners: 2, trouble, ..Plan::default() });
}

#[test]
fn refused_emissions_outlive_a_store_that_loses_its_last_writes() {
    hold(&Plan { trouble: vec![Trouble::Refusals, Trouble::Crash, Trouble::TailLost], ..Plan::default() });
}

#[test]
fn all_of_it_together() {
    hold(&Plan {
        trouble: vec![Trouble::Crash, Trouble::TailLost, Trouble::StoreFaults, Trouble::PublishFaults],
        ..Plan::default()
    });
}

#[test]
fn what_waits_for_a_version_keeps_its_turn_through_crashes() {
    hold(&Plan { upgrade: true, trouble: vec![Trouble::Crash, Trouble::PublishFaults], ..Plan::default() });
}

#[test]
fn what_waits_for_a_version_outlives_a_store_that_loses_its_last_writes() {
    let trouble = vec![Trouble::Crash, Trouble::TailLost, Trouble::StoreFaults, Trouble::PublishFaults];
    hold(&Plan { upgrade: true, trouble, ..Plan::default() });
}

#[test]
fn what_waits_for_a_version_is_handled_by_two_runners_once() {
    hold(&Plan { runners: 2, upgrade: true, trouble: vec![Trouble::Crash, Trouble::StoreFaults], ..Plan::default() });
}

#[test]
fn what_waits_for_a_version_is_looked_at_as_soon_as_a_program_starts() {
    let took = rig::wait_for_version().expect("three events, in order");
    assert!(took < std::time::Duration::from_secs(5), "{took:?}");
}

#[test]
fn an_event_that_waited_for_a_version_and_kills_its_runner_three_times_is_set_aside() {
    assert_eq!(rig::killer_that_waited().as_deref(), Ok("crash_suspect handled [2]"));
}

#[test]
fn a_person_who_releases_and_discards_loses_and_doubles_nothing() {
    hold(&Plan { person: true, trouble: vec![Trouble::PublishFaults], ..Plan::default() });
}

#[test]
fn a_person_beside_runners_that_crash_loses_and_doubles_nothing() {
    let trouble = vec![Trouble::Crash, Trouble::StoreFaults, Trouble::PublishFaults];
    hold(&Plan { runners: 2, person: true, trouble, ..Plan::default() });
}

#[test]
fn several_runners_double_nothing() {
    hold(&Plan { runners: 2, trouble: vec![Trouble::Crash, Trouble::StoreFaults], ..Plan::default() });
}

#[test]
fn several_runners_on_a_store_that_loses_its_last_writes_lose_nothing() {
    let trouble = vec![Trouble::Crash, Trouble::TailLost, Trouble::StoreFaults, Trouble::PublishFaults];
    hold(&Plan { runners: 2, trouble, ..Plan::default() });
}

#[test]
fn an_event_that_kills_its_runner_three_times_is_set_aside_and_its_neighbours_are_not() {
    assert_eq!(rig::killer().as_deref(), Ok("crash_suspect killer handled [1, 3]"));
}

#[test]
fn a_runner_that_starts_while_another_goes_on_is_not_turned_away() {
    rig::late().unwrap_or_else(|why| panic!("{why}"));
}
