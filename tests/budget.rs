//! The comparison of instruction counts with their budget; `cargo bench --profile dev --bench instructions` makes it.

#[path = "../benches/budget.rs"]
mod counts;

use counts::{Comparison, Counts, Verdict};

const HERE: &str = "rustc 1.95.0 for x86_64-unknown-linux-gnu";

fn counted(compiler: &str, steps: &[(&str, u64)]) -> Counts {
    let steps = steps.iter().map(|(step, count)| ((*step).to_owned(), *count)).collect();
    Counts { compiler: compiler.to_owned(), steps }
}

fn compared(now: &[(&str, u64)], budget: &[(&str, u64)]) -> Comparison {
    counted(HERE, now).against(&counted(HERE, budget))
}

fn verdicts(comparison: &Comparison) -> Vec<Verdict> {
    comparison.lines.iter().map(|line| line.verdict).collect()
}

#[test]
fn five_percent_over_the_budget_pass_and_more_fails() {
    let (within, over) = (compared(&[("a", 1_050)], &[("a", 1_000)]), compared(&[("a", 1_051)], &[("a", 1_000)]));
    assert_eq!((verdicts(&within), within.fails()), (vec![Verdict::Within], false));
    assert_eq!((verdicts(&over), over.fails()), (vec![Verdict::Over], true));
}

#[test]
fn one_step_over_its_budget_fails_beside_others_that_became_cheaper() {
    let comparison = compared(&[("a", 500), ("b", 2_000)], &[("a", 1_000), ("b", 1_000)]);
    assert!(comparison.fails());
}

#[test]
fn what_became_cheaper_is_told_and_passes() {
    let (within, under) = (compared(&[("a", 950)], &[("a", 1_000)]), compared(&[("a", 949)], &[("a", 1_000)]));
    assert_eq!(verdicts(&within), [Verdict::Within]);
    assert_eq!((verdicts(&under), under.fails()), (vec![Verdict::Under], false));
    assert!(under.to_string().contains("record it"), "{under}");
}

#[test]
fn a_step_without_a_budget_fails() {
    let comparison = compared(&[("a", 1_000), ("new", 1)], &[("a", 1_000)]);
    assert_eq!((verdicts(&comparison), comparison.fails()), (vec![Verdict::Within, Verdict::NoBudget], true));
}

#[test]
fn a_budget_whose_step_is_not_counted_fails() {
    let comparison = compared(&[("a", 1_000)], &[("a", 1_000), ("gone", 1)]);
    assert_eq!((verdicts(&comparison), comparison.fails()), (vec![Verdict::Within, Verdict::NotCounted], true));
}

#[test]
fn with_another_compiler_a_little_more_passes_and_is_told_and_much_more_fails() {
    let compared = |now| {
        counted("rustc 1.96.0 for x86_64-unknown-linux-gnu", &[("a", now)]).against(&counted(HERE, &[("a", 1_000)]))
    };
    let (little, much) = (compared(1_200), compared(1_201));
    assert!(!little.fails() && much.fails());
    assert!(little.to_string().contains(HERE), "{little}");
}
