//! The flow under fire, in process: the real decision, worker, outbox and recovery code on virtual time, over a broker
//! and a store that outlive crashes. One seed, one run; the same seed gives the same run.
//!
//! ```text
//! plan + seed ─▶ script ─▶ rig ─▶ check ─▶ (failed) ─▶ shrink ─▶ trace
//! ```

mod aba;
mod broken;
mod desk;
mod luck;
mod mutants;
mod order;
mod person;
mod plan;
mod plans;
mod rig;
mod script;
mod shrink;
mod trace;
mod versions;
mod workload;

use luck::Luck;
use plan::{Plan, Trouble};
use plans::{SEEDS, plans};
use script::{Script, Step};

fn variable(name: &str) -> Option<u64> {
    std::env::var(name).ok().and_then(|text| text.parse().ok())
}

/// Plays a plan with every seed: `SLUICE_SIM_SEEDS` asks for more or fewer, `SLUICE_SIM_SEED` for one alone,
/// `SLUICE_SIM_LOG` for its log.
fn hold(name: &str) {
    let all = plans();
    let (_, plan) = all.iter().find(|(plan, _)| *plan == name).expect("a plan of that name");
    let seeds = 0..variable("SLUICE_SIM_SEEDS").unwrap_or(SEEDS);
    for seed in variable("SLUICE_SIM_SEED").map_or(seeds, |seed| seed..seed + 1) {
        let script = Script::of(plan, seed);
        if let Err(why) = rig::play(&script, false).result {
            panic!("{}", shrink::report(name, &script, &why));
        }
    }
}

#[test]
fn an_ordinary_run_plays_twenty_thousand_seeds() {
    assert!(plans().len() as u64 * SEEDS >= 20_000, "{} plans", plans().len());
}

#[test]
fn the_same_seed_gives_the_same_run() {
    for (name, plan) in plans() {
        for seed in 0..2 {
            let script = Script::of(&plan, seed);
            let (one, other) = (rig::play(&script, true), rig::play(&script, true));
            assert_eq!(one.trace, other.trace, "{name}, seed {seed}");
        }
    }
}

#[test]
fn every_kind_of_trouble_befalls_runs() {
    let scripts = plans().into_iter().flat_map(|(_, plan)| (0..6).map(move |seed| Script::of(&plan, seed)));
    let lines: Vec<String> = scripts.flat_map(|script| rig::play(&script, true).trace).collect();
    let wanted = [
        "Commit is refused",
        "Commit is carried out, its reply lost",
        "Commit is late",
        "Lookup is refused",
        "Ask is refused",
        "Advance is late",
        "Read is not answered",
        "Progress is not answered",
        "has no answer, and is not stored",
        "has no answer, but is stored",
        "is lost",
        "is taken, and it comes again",
        "comes again before its ack",
        "a connection breaks with",
        "is dead",
        "stands still for",
        "forgets what came after its last save",
        "the broker restarts without",
        "the broker forgets which ids were published",
        "beyond_retain: ",
        "as parked",
        "out of the park",
        "as duplicate",
    ];
    let missing: Vec<_> = wanted.iter().filter(|what| !lines.iter().any(|line| line.contains(**what))).collect();
    assert!(missing.is_empty(), "never met: {missing:?}");
}

#[test]
fn a_crash_at_each_call_of_a_run_in_turn_loses_and_doubles_nothing() {
    let plan = Plan { events: 6, keys: 2, ..Plan::of(&[Trouble::CrashAnywhere]) };
    for seed in 0..4 {
        let mut script = Script::of(&plan, seed);
        script.steps.retain(|step| matches!(step, Step::Feed(_) | Step::Wait(_)));
        let travelled = rig::play(&script, false).travelled;
        assert!(travelled > 50, "{travelled} calls");
        for ways in 1..=travelled {
            script.steps.insert(0, Step::CrashAfter(0, ways, Luck(ways)));
            if let Err(why) = rig::play(&script, false).result {
                panic!("{}", shrink::report(&format!("a crash within {ways} calls"), &script, &why));
            }
            script.steps.remove(0);
        }
    }
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
fn an_event_that_kills_its_runner_three_times_is_set_aside_and_its_neighbours_are_not() {
    assert_eq!(rig::killer().as_deref(), Ok("crash_suspect killer handled [1, 3]"));
}

#[test]
fn a_runner_that_starts_while_another_goes_on_is_not_turned_away() {
    rig::late().unwrap_or_else(|why| panic!("{why}"));
}

/// A test for each of these plans.
macro_rules! held {
    ($($plan:ident)*) => {
        $(#[test] fn $plan() { hold(stringify!($plan)); })*
        const HELD: &[&str] = &[$(stringify!($plan)),*];
    };
}

held! {
    without_trouble_everything_is_handled_once_and_in_order
    crashes_lose_and_double_nothing
    a_crash_at_any_call_loses_and_doubles_nothing
    a_crash_at_any_call_amid_all_faults_loses_and_doubles_nothing
    a_store_that_loses_its_last_writes_costs_nothing
    lost_and_late_replies_cost_nothing
    publishes_that_are_not_confirmed_are_repeated_in_order
    a_broker_that_delivers_again_what_was_acked_costs_nothing
    a_broker_beside_crashes_keeps_the_order_of_what_it_repeats
    a_broker_that_forgets_ids_gets_emissions_again_and_in_order
    what_is_older_than_the_store_remembers_is_never_handled_twice
    a_runner_that_stands_still_goes_on_where_it_was
    refused_emissions_are_set_aside_once_and_hold_up_nothing
    refused_emissions_are_set_aside_once_by_two_runners
    refused_emissions_outlive_a_store_that_loses_its_last_writes
    all_of_it_together
    what_waits_for_a_version_keeps_its_turn_through_crashes
    what_waits_for_a_version_outlives_a_store_that_loses_its_last_writes
    what_waits_for_a_version_is_handled_by_two_runners_once
    a_person_who_releases_and_discards_loses_and_doubles_nothing
    a_person_beside_runners_that_crash_loses_and_doubles_nothing
    several_runners_double_nothing
    several_runners_on_a_store_that_loses_its_last_writes_lose_nothing
    a_runner_that_stood_still_is_refused_what_another_did
    several_runners_at_a_bad_broker_double_nothing
    what_builds_on_others_waits_for_them_through_crashes
    what_builds_on_others_waits_for_them_with_two_runners
    numbers_are_handled_in_turn_through_crashes
    numbers_are_handled_in_turn_by_a_store_that_loses_its_last_writes
    numbers_are_handled_in_turn_by_two_runners
    gaps_end_by_policy_and_hold_up_no_other_key
    a_full_buffer_always_takes_what_the_others_wait_for
    what_is_held_leaves_in_the_order_of_its_times
    what_is_held_leaves_in_the_order_of_its_times_with_two_runners
    numbers_that_never_come_are_given_up_by_policy
    a_dead_letter_blocks_its_key_until_a_person_has_decided
    a_dead_letter_blocks_its_key_at_two_runners
    runners_that_crash_keep_the_order_of_arrival
    requests_that_are_left_open_keep_the_order_of_arrival
    runners_that_cannot_reach_their_store_keep_the_order_of_arrival
    a_store_that_loses_its_last_writes_keeps_the_order_of_arrival_among_several
    what_waits_for_a_version_keeps_its_turn_over_takeovers
    what_builds_on_others_waits_for_them_over_takeovers
}

#[test]
fn no_plan_is_without_a_test() {
    let mut held = HELD.to_vec();
    let mut all: Vec<_> = plans().iter().map(|(name, _)| *name).collect();
    held.sort_unstable();
    all.sort_unstable();
    assert_eq!(held, all);
}
