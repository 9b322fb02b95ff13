//! Slips in scripts that are right: whatever goes wrong by one of them with some valid event is told, and where it is; and
//! what is told as an error goes wrong.
//!
//! What is missed is listed in `misses.txt`, for everybody to see.

mod edits;
mod words;

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::ops::Range;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::{env, fs, thread};

use edits::{Edit, KINDS, Names, edits};

use super::corpus::{Corpus, Example, compiled, corpora, engine};
use super::events::{Became, events, handled};
use super::runs::{OF_ONE_KEY, ON_PURPOSE};
use super::*;
use crate::diagnostic::{Diagnostic, Level, Span, rules};
use crate::event::Event;
use crate::schema::Schema;
use crate::script::Engine;

/// Events tried of each edited script until one goes wrong.
const EVENTS: usize = 80;
/// The same, where something is told: it may take a rare one.
const MORE_EVENTS: usize = 800;

/// Threads that try them: no test should take them all.
const THREADS: usize = 2;

/// Of a hundred that go wrong, so many must be told, and so many at their place: a little below what is reached. Most of the
/// rest would take knowing values, not types.
const DEMANDED: usize = 95;

/// Of one kind of edit.
#[derive(Clone, Default)]
struct Count {
    tried: usize,
    wrong: usize,
    told: usize,
    placed: usize,
}

/// What became of an edit that is not as it should be, by what is the matter.
enum Verdict {
    /// It does no harm, or none that could be told.
    Harmless,
    Placed,
    Misplaced(String),
    Untold(String),
    FalseAlarm(String),
}

/// The schemas and events of a corpus, ready to be used.
struct Bench {
    corpus: Corpus,
    names: Names,
    accepts: Schema,
    events: Vec<Event>,
}

impl Bench {
    fn new(corpus: Corpus) -> Self {
        let (names, accepts, events) = (Names::of(&corpus), corpus.accepts(), events(&corpus, MORE_EVENTS));
        Self { corpus, names, accepts, events }
    }

    /// What goes wrong with some event, if it does.
    fn first_wrong(&self, script: &Script, many: usize) -> Option<Became> {
        for of_one_key in self.events[..many].chunks(OF_ONE_KEY) {
            let mut state = None;
            for event in of_one_key {
                match handled(script, event, state.as_ref(), &self.accepts) {
                    Became::Well(left) => state = left.or(state),
                    Became::Elsewise(_) => {}
                    wrong => return Some(wrong),
                }
            }
        }
        None
    }

    fn judge(&self, engine: &Engine, edit: &Edit) -> Option<Verdict> {
        let script = compiled(engine, &edit.text).ok()?;
        let told = self.corpus.check(&script);
        // What no event has is read as nothing, which need not be an error.
        let is_alarm = |found: &&Finding| {
            let Diagnostic { level, rule, span, .. } = &found.diagnostic;
            let is_error = *level == Level::Error && *rule != rules::UNKNOWN_PROPERTY.id;
            let place = span.as_ref().map(|span| bytes(&edit.text, span));
            is_error && !place.is_some_and(|place| is_within_sort(&edit.text, place.start))
        };
        let alarm = told.iter().find(is_alarm);
        let many = if alarm.is_some() { MORE_EVENTS } else { EVENTS };
        // Whatever reads a name that no event has is wrong, also where it does not fail.
        let is_unknown = edit.kind == 0 && edit.reads_event;
        let wrong = if is_unknown { None } else { self.first_wrong(&script, many) };
        let (why, place) = match &wrong {
            Some(Became::Wrong(error)) => (error.message.clone(), Some(&error.at)),
            Some(Became::Refused(at)) => ("what it emits is refused".to_owned(), Some(at)),
            _ if is_unknown => ("no event has it".to_owned(), None),
            _ => {
                return Some(match alarm {
                    Some(_) => Verdict::FalseAlarm(shown(&told).join("; ")),
                    None => Verdict::Harmless,
                });
            }
        };
        let refused = matches!(wrong, Some(Became::Refused(_)));
        if told.is_empty() {
            return Some(Verdict::Untold(why));
        }
        let fails = place.map(|at| offset(&edit.text, at.line, at.column));
        let is_placed = |found: &Finding| {
            found.diagnostic.span.as_ref().is_some_and(|span| is_right(edit, &bytes(&edit.text, span), fails, refused))
        };
        Some(match told.iter().any(is_placed) {
            true => Verdict::Placed,
            false => Verdict::Misplaced(format!("{why}; told: {}", shown(&told).join("; "))),
        })
    }
}

/// What goes wrong there, `sort` takes for an order.
fn is_within_sort(text: &str, at: usize) -> bool {
    let words = words::words(text);
    let mut sorts = (0..words.len()).filter(|nth| words[*nth].text == "sort");
    sorts.any(|nth| words::closing(&words, nth + 1).is_some_and(|end| (words[nth].at..words[end].at).contains(&at)))
}

fn offset(text: &str, line: usize, column: usize) -> usize {
    let before: usize = text.split_inclusive('\n').take(line.saturating_sub(1)).map(str::len).sum();
    let rest = &text[before.min(text.len())..];
    before + rest.char_indices().nth(column.saturating_sub(1)).map_or(rest.len(), |(at, _)| at)
}

fn bytes(text: &str, span: &Span) -> Range<usize> {
    offset(text, span.line, span.column)..offset(text, span.end_line, span.end_column)
}

/// The right place is that of the edit; else where the script fails: the same expression, so that an operator may be
/// marked for its operand. What is emitted fails in the literal that was edited, at its beginning or the member, or in the
/// call of `emit`.
fn is_right(edit: &Edit, told: &Range<usize>, fails: Option<usize>, refused: bool) -> bool {
    let touches = |place: &Range<usize>| told.start <= place.end && place.start <= told.end;
    if touches(&edit.about) || edit.literal == Some(told.start) {
        return true;
    }
    let words = words::words(&edit.text);
    if refused && words::member_around(&words, edit.about.start).is_some_and(|member| touches(&member)) {
        return true;
    }
    let until = |from: usize, to: usize| &edit.text[from.min(to)..from.max(to)];
    // The same expression; or, of a check, the first statement that it guards.
    let guarded = until(edit.about.end, told.start);
    let of_check = refused && KINDS[edit.kind].contains("check") && told.start >= edit.about.end;
    let most = usize::from(of_check);
    if !guarded.contains([';', '}', ',']) && guarded.matches('{').count() <= most {
        return true;
    }
    let Some(fails) = fails else { return false };
    if refused {
        let call = words.iter().position(|word| word.at == fails);
        let end = call.and_then(|call| words::closing(&words, call + 1)).map_or(fails, |end| words[end].end());
        return edit.literal.is_none() && (fails..end).contains(&told.start);
    }
    !until(fails, told.start).contains([';', '{', '}', ','])
}

#[test]
fn what_goes_wrong_by_a_slip_is_told_where_it_is_and_what_is_told_goes_wrong() {
    let benches: Vec<Bench> = corpora().into_iter().map(Bench::new).collect();
    let all: Vec<(&Bench, &Example, Edit)> = benches.iter().flat_map(edited).collect();
    let (next, engine) = (AtomicUsize::new(0), engine());
    let work = || {
        let mut done = Vec::new();
        loop {
            let nth = next.fetch_add(1, Ordering::Relaxed);
            let Some((bench, _, edit)) = all.get(nth) else { return done };
            done.extend(bench.judge(&engine, edit).map(|verdict| (nth, verdict)));
        }
    };
    let verdicts: BTreeMap<usize, Verdict> = thread::scope(|scope| {
        let threads: Vec<_> = (0..THREADS).map(|_| scope.spawn(work)).collect();
        threads.into_iter().flat_map(|thread| thread.join().expect("no panic")).collect()
    });
    let mut counts = vec![Count::default(); KINDS.len()];
    let (mut misses, mut alarms) = (String::new(), String::new());
    for (nth, verdict) in verdicts {
        let (bench, script, edit) = &all[nth];
        let count = &mut counts[edit.kind];
        count.tried += 1;
        let (told, placed, what) = match verdict {
            Verdict::Harmless => continue,
            Verdict::FalseAlarm(told) => {
                let _ = writeln!(alarms, "{}: {}: {told}\n{}\n", bench.corpus.name, script.name, edit.text);
                continue;
            }
            Verdict::Placed => (1, 1, None),
            Verdict::Misplaced(what) => (1, 0, Some(format!("elsewhere: {what}"))),
            Verdict::Untold(what) => (0, 0, Some(format!("untold: {what}"))),
        };
        (count.wrong, count.told, count.placed) = (count.wrong + 1, count.told + told, count.placed + placed);
        if let Some(what) = what {
            let line = edit.text[..edit.about.start].matches('\n').count();
            let text = edit.text.lines().nth(line).unwrap_or_default().trim();
            let (corpus, script, kind) = (&bench.corpus.name, &script.name, KINDS[edit.kind]);
            let _ = writeln!(misses, "{corpus}: {script}: {kind} in line {}\n    {text}\n    {what}\n", line + 1);
        }
    }
    held(&format!("{}\n{misses}", table(&counts)));
    assert!(alarms.is_empty(), "told, and never goes wrong:\n{alarms}");
    let sum = |of: fn(&Count) -> usize| counts.iter().map(of).sum::<usize>();
    let (wrong, told, placed) = (sum(|count| count.wrong), sum(|count| count.told), sum(|count| count.placed));
    assert!(told * 100 >= wrong * DEMANDED, "{told} of {wrong} are told");
    assert!(placed * 100 >= wrong * DEMANDED, "{placed} of {wrong} are told at their place");
}

/// All edits of all scripts of a corpus.
fn edited(bench: &Bench) -> Vec<(&Bench, &Example, Edit)> {
    let scripts = bench.corpus.scripts.iter().filter(|script| !ON_PURPOSE.contains(&script.name.as_str()));
    scripts
        .flat_map(|script| edits(&script.text, &bench.names).into_iter().map(move |edit| (bench, script, edit)))
        .collect()
}

fn table(counts: &[Count]) -> String {
    let mut table = String::from("edit                                      tried  wrong   told  in place\n");
    let row = |name: &str, c: &Count| format!("{name:40} {:6} {:6} {:6} {:9}\n", c.tried, c.wrong, c.told, c.placed);
    let mut all = Count::default();
    for (kind, count) in KINDS.iter().zip(counts) {
        table += &row(kind, count);
        all.tried += count.tried;
        all.wrong += count.wrong;
        all.told += count.told;
        all.placed += count.placed;
    }
    table + row("all", &all).as_str()
}

fn held(text: &str) {
    let path = super::corpus::folder().with_file_name("misses.txt");
    if env::var_os("SLUICE_WRITE").is_some() {
        fs::write(&path, text).expect("it can be written");
    }
    let held = fs::read_to_string(&path).unwrap_or_default();
    let how = "look at it, and write it with `SLUICE_WRITE=1 cargo test --lib script::types`";
    assert!(held == text, "`misses.txt` is not current; {how}\n{text}");
}
