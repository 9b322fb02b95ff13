//! Which operators and functions the engine has for which kinds of values: found by asking it.
//!
//! A table written by hand would be another truth beside the engine's own. Here each combination of kinds is tried once,
//! with a value of each kind, and what the engine says of it is kept.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use rhai::{Array, Dynamic, EvalAltResult, FnPtr, Map, Scope};

use super::super::number;
use super::model::Kind;

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(in crate::script) enum Form {
    /// `a + b`
    Operator,
    /// `-a`
    Prefix,
    /// `a += b`
    Assign,
    /// `name(a, b)`
    Call,
    /// `a.name`
    Property,
    /// `a[b]`
    Index,
}

type Key = (Form, String, Vec<Kind>);
type Partly = (Form, String, Vec<Option<Kind>>);

/// Of which kind a result was.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Made {
    Kind(Kind),
    /// A range, a blob, or nothing that could be told.
    Other,
}

/// What was tried so far.
#[derive(Default)]
pub(in crate::script) struct Trials {
    results: Mutex<HashMap<Key, Option<Made>>>,
    /// With a value of none of our kinds in the place of `None`.
    others: Mutex<HashMap<Partly, bool>>,
    /// Of literals, as `switch` sees them.
    hashes: Mutex<HashMap<String, Option<u64>>>,
}

impl Trials {
    /// Whether the engine can do it, and of which kind the result was that time. `None`: it cannot.
    pub(super) fn result(&self, engine: &rhai::Engine, form: Form, name: &str, kinds: &[Kind]) -> Option<Made> {
        let key = (form, name.to_owned(), kinds.to_vec());
        let lock = || self.results.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = lock().get(&key) {
            return *known;
        }
        let found = attempt(engine, form, name, kinds.iter().map(|kind| sample(*kind)).collect());
        lock().insert(key, found);
        found
    }

    /// Whether the engine can do it with a value of none of our kinds in the one place of `None`. Where there are several,
    /// that is not tried, and `true`.
    pub(super) fn takes_others(&self, engine: &rhai::Engine, form: Form, name: &str, kinds: &[Option<Kind>]) -> bool {
        if kinds.iter().filter(|kind| kind.is_none()).count() != 1 {
            return true;
        }
        let key = (form, name.to_owned(), kinds.to_vec());
        let lock = || self.others.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = lock().get(&key) {
            return *known;
        }
        let works = |other: Dynamic| {
            let values = kinds.iter().map(|kind| kind.map_or_else(|| other.clone(), sample));
            attempt(engine, form, name, values.collect()).is_some()
        };
        let found = others().into_iter().any(works);
        lock().insert(key, found);
        found
    }

    pub(super) fn hash(&self, engine: &rhai::Engine, literal: &str) -> Option<u64> {
        let mut hashes = self.hashes.lock().unwrap_or_else(PoisonError::into_inner);
        *hashes.entry(literal.to_owned()).or_insert_with(|| super::switch::hash(engine, literal))
    }
}

const NAMES: [&str; 8] = ["a", "b", "c", "d", "e", "f", "g", "h"];

fn attempt(engine: &rhai::Engine, form: Form, name: &str, values: Vec<Dynamic>) -> Option<Made> {
    let many = values.len().min(NAMES.len());
    let mut scope = Scope::new();
    for (name, value) in NAMES.iter().zip(values) {
        scope.push_dynamic(*name, value);
    }
    let text = match form {
        Form::Operator => format!("a {name} b"),
        Form::Prefix => format!("{name}a"),
        Form::Assign => format!("a {name} b; a"),
        Form::Call => format!("{name}({})", NAMES[..many].join(", ")),
        Form::Property => format!("a.{name}"),
        Form::Index => "a[b]".to_owned(),
    };
    // What does not even parse is for others to tell.
    let Ok(ast) = engine.compile_with_scope(&scope, text) else { return Some(Made::Other) };
    match engine.eval_ast_with_scope::<Dynamic>(&mut scope, &ast) {
        Ok(result) => Some(Kind::named(result.type_name()).map_or(Made::Other, Made::Kind)),
        Err(error) => match *error {
            EvalAltResult::ErrorFunctionNotFound(signature, _) if signature.starts_with(name.trim_end_matches('=')) => {
                None
            }
            EvalAltResult::ErrorMismatchDataType(..) if matches!(form, Form::Operator | Form::Assign | Form::Index) => {
                None
            }
            EvalAltResult::ErrorIndexingType(..) => None,
            EvalAltResult::ErrorDotExpr(..) => None,
            _ => Some(Made::Other),
        },
    }
}

/// Values of the types that scripts meet beside those of [`Kind`].
fn others() -> [Dynamic; 4] {
    [
        Dynamic::from_blob(vec![1]),
        Dynamic::from(0..1_i64),
        Dynamic::from(0..=1_i64),
        number::to_dynamic(&u64::MAX.into()),
    ]
}

fn sample(kind: Kind) -> Dynamic {
    match kind {
        Kind::Unit => Dynamic::UNIT,
        Kind::Bool => Dynamic::TRUE,
        Kind::Int => Dynamic::from_int(1),
        Kind::Float => Dynamic::from_float(1.5),
        Kind::Text => "a".into(),
        Kind::Char => Dynamic::from_char('a'),
        Kind::Array => Dynamic::from_array(Array::new()),
        Kind::Map => Dynamic::from_map(Map::new()),
        Kind::Function => FnPtr::new("no_such_function").map_or(Dynamic::UNIT, Dynamic::from),
    }
}
