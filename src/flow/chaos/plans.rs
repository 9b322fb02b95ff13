//! The plans of an ordinary test run, by the names of the tests that hold them.

use super::plan::Plan;
use super::plan::Trouble::{
    Ages, BrokerFaults, Crash, CrashAnywhere, CutOff, Forgets, Freeze, LeftOpen, PublishFaults, Refusals, StoreFaults,
    TailLost,
};
use super::workload::block::Blocking;
use super::workload::ordered::Ordered;

/// Each plan is played with so many seeds, unless `SLUICE_SIM_SEEDS` says otherwise.
pub const SEEDS: u64 = 600;

pub fn plans() -> Vec<(&'static str, Plan)> {
    let two = |plan: Plan| Plan { runners: 2, ..plan };
    let upgrade = |plan: Plan| Plan { upgrade: true, ..plan };
    let ordered = |workload, plan: Plan| Plan { workload, ..plan };
    let person = |plan: Plan| Plan { person: true, ..plan };
    let leased = |runners, plan: Plan| Plan { runners, lease: true, keys: 3, ..plan };
    vec![
        ("without_trouble_everything_is_handled_once_and_in_order", Plan::of(&[])),
        ("crashes_lose_and_double_nothing", Plan::of(&[Crash])),
        ("a_crash_at_any_call_loses_and_doubles_nothing", Plan::of(&[CrashAnywhere])),
        (
            "a_crash_at_any_call_amid_all_faults_loses_and_doubles_nothing",
            Plan::of(&[CrashAnywhere, StoreFaults, PublishFaults, BrokerFaults]),
        ),
        ("a_store_that_loses_its_last_writes_costs_nothing", Plan::of(&[TailLost])),
        ("lost_and_late_replies_cost_nothing", Plan::of(&[StoreFaults])),
        ("publishes_that_are_not_confirmed_are_repeated_in_order", Plan::of(&[PublishFaults])),
        ("a_broker_that_delivers_again_what_was_acked_costs_nothing", Plan::of(&[BrokerFaults])),
        ("a_broker_beside_crashes_keeps_the_order_of_what_it_repeats", Plan::of(&[BrokerFaults, Crash, PublishFaults])),
        (
            "a_broker_that_forgets_ids_gets_emissions_again_and_in_order",
            Plan::of(&[Forgets, Crash, PublishFaults, StoreFaults]),
        ),
        ("what_is_older_than_the_store_remembers_is_never_handled_twice", Plan::of(&[Ages, BrokerFaults, Crash])),
        ("a_runner_that_stands_still_goes_on_where_it_was", Plan::of(&[Freeze, StoreFaults, PublishFaults])),
        (
            "refused_emissions_are_set_aside_once_and_hold_up_nothing",
            Plan::of(&[Refusals, Crash, StoreFaults, PublishFaults]),
        ),
        (
            "refused_emissions_are_set_aside_once_by_two_runners",
            two(Plan::of(&[Refusals, Crash, StoreFaults, PublishFaults])),
        ),
        ("refused_emissions_outlive_a_store_that_loses_its_last_writes", Plan::of(&[Refusals, Crash, TailLost])),
        ("all_of_it_together", Plan::of(&[Crash, TailLost, StoreFaults, PublishFaults, BrokerFaults])),
        ("what_waits_for_a_version_keeps_its_turn_through_crashes", upgrade(Plan::of(&[Crash, PublishFaults]))),
        (
            "what_waits_for_a_version_outlives_a_store_that_loses_its_last_writes",
            upgrade(Plan::of(&[Crash, TailLost, StoreFaults, PublishFaults])),
        ),
        ("what_waits_for_a_version_is_handled_by_two_runners_once", two(upgrade(Plan::of(&[Crash, StoreFaults])))),
        ("a_person_who_releases_and_discards_loses_and_doubles_nothing", person(Plan::of(&[PublishFaults]))),
        (
            "a_person_beside_runners_that_crash_loses_and_doubles_nothing",
            two(person(Plan::of(&[Crash, StoreFaults, PublishFaults]))),
        ),
        ("several_runners_double_nothing", two(Plan::of(&[Crash, StoreFaults]))),
        (
            "several_runners_on_a_store_that_loses_its_last_writes_lose_nothing",
            two(Plan::of(&[Crash, TailLost, StoreFaults, PublishFaults])),
        ),
        ("a_runner_that_stood_still_is_refused_what_another_did", two(Plan::of(&[Freeze, StoreFaults]))),
        (
            "several_runners_at_a_bad_broker_double_nothing",
            two(Plan::of(&[CrashAnywhere, Freeze, StoreFaults, PublishFaults, BrokerFaults])),
        ),
        (
            "what_builds_on_others_waits_for_them_through_crashes",
            ordered(&Ordered::After, Plan::of(&[Crash, StoreFaults, PublishFaults, BrokerFaults])),
        ),
        (
            "what_builds_on_others_waits_for_them_with_two_runners",
            two(ordered(&Ordered::After, Plan::of(&[CrashAnywhere, Freeze, StoreFaults, BrokerFaults]))),
        ),
        (
            "numbers_are_handled_in_turn_through_crashes",
            ordered(&Ordered::Sequence, Plan::of(&[Crash, StoreFaults, PublishFaults, BrokerFaults])),
        ),
        (
            "numbers_are_handled_in_turn_by_a_store_that_loses_its_last_writes",
            ordered(&Ordered::Sequence, Plan::of(&[Crash, TailLost, StoreFaults, PublishFaults])),
        ),
        (
            "numbers_are_handled_in_turn_by_two_runners",
            two(ordered(
                &Ordered::Sequence,
                Plan::of(&[CrashAnywhere, Freeze, StoreFaults, PublishFaults, BrokerFaults]),
            )),
        ),
        (
            "gaps_end_by_policy_and_hold_up_no_other_key",
            two(ordered(&Ordered::Gaps, Plan::of(&[Crash, StoreFaults, BrokerFaults]))),
        ),
        (
            "a_full_buffer_always_takes_what_the_others_wait_for",
            Plan { events: 16, ..ordered(&Ordered::Full, Plan::of(&[Crash, StoreFaults, PublishFaults])) },
        ),
        (
            "what_is_held_leaves_in_the_order_of_its_times",
            ordered(&Ordered::Resequence, Plan::of(&[Crash, StoreFaults, PublishFaults, BrokerFaults])),
        ),
        (
            "what_is_held_leaves_in_the_order_of_its_times_with_two_runners",
            two(ordered(&Ordered::Resequence, Plan::of(&[CrashAnywhere, StoreFaults, PublishFaults]))),
        ),
        (
            "numbers_that_never_come_are_given_up_by_policy",
            ordered(&Ordered::GivenUp, Plan::of(&[CrashAnywhere, StoreFaults, BrokerFaults])),
        ),
        (
            "a_dead_letter_blocks_its_key_until_a_person_has_decided",
            person(ordered(&Blocking, Plan::of(&[Crash, TailLost, StoreFaults, PublishFaults]))),
        ),
        (
            "a_dead_letter_blocks_its_key_at_two_runners",
            two(person(ordered(&Blocking, Plan::of(&[CrashAnywhere, Freeze, StoreFaults, BrokerFaults])))),
        ),
        ("runners_that_crash_keep_the_order_of_arrival", leased(3, Plan::of(&[Crash, PublishFaults]))),
        ("requests_that_are_left_open_keep_the_order_of_arrival", leased(2, Plan::of(&[LeftOpen]))),
        (
            "runners_that_cannot_reach_their_store_keep_the_order_of_arrival",
            leased(3, Plan::of(&[CutOff, Crash, LeftOpen, StoreFaults, PublishFaults])),
        ),
        (
            "a_store_that_loses_its_last_writes_keeps_the_order_of_arrival_among_several",
            leased(2, Plan::of(&[TailLost, Crash, LeftOpen, CutOff, StoreFaults])),
        ),
        (
            "what_waits_for_a_version_keeps_its_turn_over_takeovers",
            leased(3, upgrade(Plan::of(&[Crash, LeftOpen, CutOff]))),
        ),
        (
            "what_builds_on_others_waits_for_them_over_takeovers",
            leased(3, ordered(&Ordered::After, Plan::of(&[Crash, LeftOpen, CutOff, StoreFaults]))),
        ),
    ]
}
