//! What a scenario demands against what there is: the smallest differing parts, each told once.

use serde_json::{Value, json};

use super::end::{DeadEnd, EmittedEnd, End, ParkedEnd, StateEnd};
use crate::event::canonical_number;
use crate::spec::scenario::{DeadThen, EmittedThen, StateThen, Then};

/// One demand that does not hold.
#[derive(Clone, Debug, PartialEq)]
pub struct Mismatch {
    /// `state of o1`, `emitted ShipmentTracked`…
    pub about: String,
    /// JSON pointer to the part that differs; empty for the whole.
    pub path: String,
    /// `None`: nothing is expected there, or there is nothing.
    pub expected: Option<Value>,
    pub actual: Option<Value>,
}

pub fn check(then: &Then, end: &End, several: bool) -> Vec<Mismatch> {
    let mut found = Vec::new();
    states(then, end, several, &mut found);
    if let Some(expected) = &then.emits {
        emits(expected, then.all_emits, &end.emitted, &mut found);
    }
    if let Some(expected) = &then.dead_letters {
        dead_letters(expected, &end.dead, &mut found);
    }
    let parked = end.parked.len() as u64;
    if let Some(expected) = then.parked.filter(|expected| *expected != parked) {
        found.push(Mismatch {
            about: "parked events".to_owned(),
            path: String::new(),
            expected: Some(json!(expected)),
            actual: Some(json!(parked)),
        });
    }
    found
}

fn about_state(pipeline: &str, key: &str, several: bool) -> String {
    if several { format!("state of {key} in {pipeline}") } else { format!("state of {key}") }
}

fn states(then: &Then, end: &End, several: bool, found: &mut Vec<Mismatch>) {
    let of = |one: &StateThen| end.states.iter().find(|s| s.pipeline == one.pipeline && s.key == one.key);
    for one in &then.states {
        let actual = of(one).map(|there| &there.state);
        let about = about_state(&one.pipeline, &one.key, several);
        differences(&about, "", one.state.as_ref(), actual, then.all_states, found);
    }
    if then.all_states {
        let asked = |s: &&StateEnd| !then.states.iter().any(|one| one.pipeline == s.pipeline && one.key == s.key);
        for more in end.states.iter().filter(asked) {
            let about = about_state(&more.pipeline, &more.key, several);
            found.push(Mismatch { about, path: String::new(), expected: None, actual: Some(more.state.clone()) });
        }
    }
}

/// The smallest parts that differ. Of what is expected among others, more members of a map are no difference.
fn differences(
    about: &str,
    path: &str,
    expected: Option<&Value>,
    actual: Option<&Value>,
    exact: bool,
    found: &mut Vec<Mismatch>,
) {
    match (expected, actual) {
        (Some(Value::Object(expected)), Some(Value::Object(actual))) => {
            for (name, member) in expected {
                differences(about, &below(path, name), Some(member), actual.get(name), exact, found);
            }
            for (name, member) in actual.iter().filter(|(name, _)| exact && !expected.contains_key(*name)) {
                differences(about, &below(path, name), None, Some(member), exact, found);
            }
        }
        (Some(Value::Array(expected)), Some(Value::Array(actual))) if expected.len() == actual.len() => {
            for (at, (expected, actual)) in expected.iter().zip(actual).enumerate() {
                differences(about, &below(path, &at.to_string()), Some(expected), Some(actual), exact, found);
            }
        }
        (Some(Value::Number(a)), Some(Value::Number(b)))
            if canonical_number(&a.to_string()) == canonical_number(&b.to_string()) => {}
        (a, b) if a == b => {}
        (a, b) => found.push(Mismatch {
            about: about.to_owned(),
            path: path.to_owned(),
            expected: a.cloned(),
            actual: b.cloned(),
        }),
    }
}

/// What differs between how two runs ended: what the first has counts as expected.
pub fn compare(one: &End, other: &End, several: bool) -> Vec<Mismatch> {
    let mut found = Vec::new();
    let state = |end: &End, key: &(std::sync::Arc<str>, String)| {
        end.states.iter().find(|s| s.pipeline == key.0 && s.key == key.1).map(|s| s.state.clone())
    };
    let keys: std::collections::BTreeSet<_> =
        one.states.iter().chain(&other.states).map(|s| (s.pipeline.clone(), s.key.clone())).collect();
    for key in keys {
        let about = about_state(&key.0, &key.1, several);
        differences(&about, "", state(one, &key).as_ref(), state(other, &key).as_ref(), true, &mut found);
    }
    let emits = |end: &End| end.emitted.iter().map(|e| (about_emitted(&e.event), emitted(e))).collect();
    let letters = |end: &End| end.dead.iter().map(|d| (about_dead(d.event.as_deref()), dead(d))).collect();
    let waiting = |end: &End| end.parked.iter().map(|p| ("parked event".to_owned(), parked(p))).collect();
    for (one, other) in [(emits(one), emits(other)), (letters(one), letters(other)), (waiting(one), waiting(other))] {
        lists(one, other, &mut found);
    }
    found
}

/// What only one of two lists has, in pairs as far as they are about the same.
fn lists(one: Vec<(String, Value)>, other: Vec<(String, Value)>, found: &mut Vec<Mismatch>) {
    let (without, mut over) = pair(&one, &other, |a, b| a == b);
    for at in without {
        let (about, left) = &one[at];
        let near = over.iter().position(|over| other[*over].0 == *about).map(|at| over.remove(at));
        match near {
            Some(near) => differences(about, "", Some(left), Some(&other[near].1), true, found),
            None => found.push(Mismatch {
                about: about.clone(),
                path: String::new(),
                expected: Some(left.clone()),
                actual: None,
            }),
        }
    }
    found.extend(over.into_iter().map(|at| {
        let (about, right) = other[at].clone();
        Mismatch { about, path: String::new(), expected: None, actual: Some(right) }
    }));
}

fn below(path: &str, name: &str) -> String {
    format!("{path}/{}", name.replace('~', "~0").replace('/', "~1"))
}

fn fits(expected: &Value, actual: &Value) -> bool {
    let mut found = Vec::new();
    differences("", "", Some(expected), Some(actual), false, &mut found);
    found.is_empty()
}

/// Gives each of `expected` one of `actual` that fits, each to one: which were left on either side.
fn pair<E, A>(expected: &[E], actual: &[A], fits: impl Fn(&E, &A) -> bool) -> (Vec<usize>, Vec<usize>) {
    let mut owner: Vec<Option<usize>> = vec![None; actual.len()];
    let candidates: Vec<Vec<usize>> =
        expected.iter().map(|e| (0..actual.len()).filter(|at| fits(e, &actual[*at])).collect()).collect();
    // An owner gives way if it finds another: else what fits many could take what fits one only.
    fn take(who: usize, candidates: &[Vec<usize>], owner: &mut [Option<usize>], asked: &mut [bool]) -> bool {
        for at in &candidates[who] {
            if std::mem::replace(&mut asked[*at], true) {
                continue;
            }
            if owner[*at].is_none_or(|before| take(before, candidates, owner, asked)) {
                owner[*at] = Some(who);
                return true;
            }
        }
        false
    }
    let without: Vec<usize> = (0..expected.len())
        .filter(|who| !take(*who, &candidates, &mut owner, &mut vec![false; actual.len()]))
        .collect();
    let over = (0..actual.len()).filter(|at| owner[*at].is_none()).collect();
    (without, over)
}

fn emits(expected: &[EmittedThen], all: bool, actual: &[EmittedEnd], found: &mut Vec<Mismatch>) {
    let same = |e: &EmittedThen, a: &EmittedEnd| {
        e.event == a.event
            && e.version.is_none_or(|version| version == a.version)
            && e.to.as_ref().is_none_or(|to| *to == a.to)
            && e.data.as_ref().is_none_or(|data| fits(data, &a.data))
    };
    let (without, mut over) = pair(expected, actual, same);
    for at in without {
        let about = about_emitted(&expected[at].event);
        let demanded = demanded(&expected[at]);
        // The nearest one that is there says most.
        let differ = |other: &usize| {
            let mut found = Vec::new();
            differences("", "", Some(&demanded), Some(&emitted(&actual[*other])), false, &mut found);
            found.len()
        };
        let same_type = over.iter().enumerate().filter(|(_, other)| actual[**other].event == expected[at].event);
        let near = same_type.min_by_key(|(_, other)| differ(other)).map(|(at, _)| at);
        let near = near.map(|at| &actual[over.remove(at)]).map(emitted);
        differences(&about, "", Some(&demanded), near.as_ref(), false, found);
    }
    if all {
        found.extend(over.into_iter().map(|at| Mismatch {
            about: about_emitted(&actual[at].event),
            path: String::new(),
            expected: None,
            actual: Some(emitted(&actual[at])),
        }));
    }
}

fn demanded(one: &EmittedThen) -> Value {
    let mut value = json!({});
    if let Some(version) = one.version {
        value["version"] = json!(version);
    }
    if let Some(to) = &one.to {
        value["to"] = json!(to);
    }
    if let Some(data) = &one.data {
        value["data"] = data.clone();
    }
    value
}

fn about_emitted(event: &str) -> String {
    format!("emitted {event}")
}

fn emitted(one: &EmittedEnd) -> Value {
    json!({ "version": one.version, "to": one.to, "data": one.data })
}

fn dead_letters(expected: &[DeadThen], actual: &[DeadEnd], found: &mut Vec<Mismatch>) {
    let same = |e: &DeadThen, a: &DeadEnd| {
        let fits = |e: &Option<String>, a: Option<&str>| e.is_none() || e.as_deref() == a;
        fits(&e.event, a.event.as_deref())
            && fits(&e.key, a.key.as_deref())
            && fits(&e.class, Some(&a.class))
            && fits(&e.reason, Some(&a.reason))
            && fits(&e.pipeline, Some(&a.pipeline))
    };
    let (without, mut over) = pair(expected, actual, same);
    for at in without {
        let one = &expected[at];
        let mut value = json!({});
        for (name, member) in
            [("key", &one.key), ("class", &one.class), ("reason", &one.reason), ("pipeline", &one.pipeline)]
        {
            if let Some(member) = member {
                value[name] = json!(member);
            }
        }
        let near = over.iter().position(|over| one.event.is_none() || actual[*over].event == one.event);
        let near = near.map(|at| &actual[over.remove(at)]).map(dead);
        differences(&about_dead(one.event.as_deref()), "", Some(&value), near.as_ref(), false, found);
    }
    found.extend(over.into_iter().map(|at| Mismatch {
        about: about_dead(actual[at].event.as_deref()),
        path: String::new(),
        expected: None,
        actual: Some(dead(&actual[at])),
    }));
}

fn parked(one: &ParkedEnd) -> Value {
    json!({ "event": one.event, "key": one.key })
}

fn about_dead(event: Option<&str>) -> String {
    event.map_or("dead letter".to_owned(), |event| format!("dead letter {event}"))
}

fn dead(one: &DeadEnd) -> Value {
    json!({ "pipeline": &*one.pipeline, "key": one.key, "class": one.class, "reason": one.reason })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(expected: &Value, actual: &Value, exact: bool) -> Vec<String> {
        let mut found = Vec::new();
        differences("x", "", Some(expected), Some(actual), exact, &mut found);
        let side = |side: &Option<Value>| side.as_ref().map_or("nothing".to_owned(), Value::to_string);
        found.iter().map(|m| format!("{}: {} not {}", m.path, side(&m.expected), side(&m.actual))).collect()
    }

    #[test]
    fn a_difference_is_told_where_it_is_and_no_larger() {
        let (expected, actual) =
            (json!({ "a": { "b": [1, { "c": 2 }] }, "d": 1 }), json!({ "a": { "b": [1, { "c": 3 }] } }));
        assert_eq!(told(&expected, &actual, false), ["/a/b/1/c: 2 not 3", "/d: 1 not nothing"]);
    }

    #[test]
    fn more_members_are_a_difference_only_where_all_is_told() {
        let (expected, actual) = (json!({ "a": { "b": 1 } }), json!({ "a": { "b": 1, "c": 2 }, "d": 3 }));
        assert_eq!(told(&expected, &actual, false), [""; 0]);
        assert_eq!(told(&expected, &actual, true), ["/a/c: nothing not 2", "/d: nothing not 3"]);
    }

    #[test]
    fn one_number_written_twice_is_one() {
        assert_eq!(told(&json!(1), &json!(1.0), true), [""; 0]);
        assert_eq!(told(&json!([1]), &json!([1, 1]), false), [": [1] not [1,1]"]);
    }

    #[test]
    fn what_fits_many_leaves_the_only_one_to_what_fits_nothing_else() {
        let fits = |e: &&str, a: &&str| e == &"any" || e == a;
        assert_eq!(pair(&["any", "a"], &["a", "b"], fits), (vec![], vec![]));
        assert_eq!(pair(&["a", "any"], &["b"], fits), (vec![0], vec![]));
        assert_eq!(pair(&["a", "a"], &["a", "b"], fits), (vec![1], vec![1]));
    }
}
