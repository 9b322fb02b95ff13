//! Scripts that do nothing wrong, run.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use super::corpus::{Corpus, compiled, corpora, engine};
use super::events::{Became, events, handled};

/// Events tried of each script.
const EVENTS: usize = 1_000;

/// Events of one key, one after the other: each finds the state that the one before has left.
pub(super) const OF_ONE_KEY: usize = 10;

/// Threads that try them: no test should take them all.
const THREADS: usize = 2;

/// Handlers that end with an error on purpose, or rely on what no schema says.
pub(super) const ON_PURPOSE: [&str; 4] =
    ["an early throw", "an emission of a computed type", "an emission of the state", "something unknown"];

fn wrong(corpus: &Corpus, name: &str, text: &str, events: &[crate::event::Event]) -> Option<String> {
    let accepts = corpus.accepts();
    let Ok(script) = compiled(&engine(), text) else { return Some(format!("{name}: it is no script")) };
    let mut state = None;
    for (nth, event) in events.iter().enumerate() {
        if nth.is_multiple_of(OF_ONE_KEY) {
            state = None;
        }
        match handled(&script, event, state.as_ref(), &accepts) {
            Became::Well(left) => state = left.or(state),
            Became::Elsewise(error) | Became::Wrong(error) => {
                let at = &error.at;
                return Some(format!("{}: {name}: {}:{}: {error}\n{}", corpus.name, at.line, at.column, event.data));
            }
            Became::Refused(at) => return Some(format!("{}: {name}: {}:{}: refused", corpus.name, at.line, at.column)),
        }
    }
    None
}

#[test]
fn scripts_that_do_nothing_wrong_run_without_an_error_on_a_thousand_events() {
    let corpora = corpora();
    let events: Vec<_> = corpora.iter().map(|corpus| events(corpus, EVENTS)).collect();
    let all: Vec<_> = corpora
        .iter()
        .zip(&events)
        .flat_map(|(corpus, events)| corpus.scripts.iter().map(move |script| (corpus, script, events)))
        .filter(|(_, script, _)| !ON_PURPOSE.contains(&script.name.as_str()))
        .collect();
    let next = AtomicUsize::new(0);
    let work = || {
        let mut found = Vec::new();
        while let Some((corpus, script, events)) = all.get(next.fetch_add(1, Ordering::Relaxed)) {
            found.extend(wrong(corpus, &script.name, &script.text, events));
        }
        found
    };
    let found: Vec<String> = thread::scope(|scope| {
        let threads: Vec<_> = (0..THREADS).map(|_| scope.spawn(work)).collect();
        threads.into_iter().flat_map(|thread| thread.join().expect("no panic")).collect()
    });
    assert!(found.is_empty(), "{} of {}\n{}", found.len(), all.len(), found.join("\n"));
}
