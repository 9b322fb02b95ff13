//! Text that a parser reads → a tree within bounds, and what is given twice in it.

use std::cell::Cell;
use std::collections::HashMap;
use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, EnumAccess, Error as _, MapAccess, SeqAccess, Visitor};
use serde_yaml::{Mapping, Value};

use super::locate::{self, NodePath, Step, Target};
use crate::diagnostic::{Diagnostic, rules};

/// Deepest nesting, in mappings and sequences: what users write needs five.
const MAX_DEPTH: usize = 32;
/// Most nodes after aliases are followed: a small file of aliases can stand for billions.
const MAX_NODES: usize = 100_000;

/// Keys that stand more than once in one mapping, with the number of the occurrence, from 0.
pub struct Twice(Vec<(NodePath, usize)>);

impl Twice {
    pub fn told(self, name: &str, text: &str) -> impl Iterator<Item = Diagnostic> {
        self.0.into_iter().filter_map(move |(path, nth)| {
            let Some(Step::Key(key)) = path.0.last() else { return None };
            let error = Diagnostic::new(&rules::GIVEN_TWICE, format!("`{key}` is given twice"));
            Some(error.at(locate::span(name, text, &path, Target::Key(nth))).help("keep one of them"))
        })
    }
}

/// Keys are kept as they are written, the first of equal keys wins.
pub fn read<'de, D: Deserializer<'de>>(deserializer: D) -> (Result<Value, D::Error>, Twice) {
    let (duplicates, nodes) = (Cell::new(Vec::new()), Cell::new(0));
    let tree = Tree { path: NodePath::default(), duplicates: &duplicates, nodes: &nodes };
    let read = tree.deserialize(deserializer);
    (read, Twice(duplicates.into_inner()))
}

/// What a text of valid JSON gives twice.
pub fn given_twice_in_json(name: &str, text: &str) -> Vec<Diagnostic> {
    // What is too large to be looked through is told where it is used.
    let (_, twice) = read(&mut serde_json::Deserializer::from_str(text));
    twice.told(name, text).collect()
}

struct Tree<'a> {
    path: NodePath,
    duplicates: &'a Cell<Vec<(NodePath, usize)>>,
    nodes: &'a Cell<usize>,
}

impl Tree<'_> {
    fn child(&self, path: NodePath) -> Tree<'_> {
        Tree { path, duplicates: self.duplicates, nodes: self.nodes }
    }
}

impl<'de> DeserializeSeed<'de> for Tree<'_> {
    type Value = Value;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        self.nodes.set(self.nodes.get() + 1);
        if self.nodes.get() > MAX_NODES {
            return Err(D::Error::custom(format!("more than {MAX_NODES} nodes, aliases followed")));
        }
        if self.path.0.len() > MAX_DEPTH {
            return Err(D::Error::custom("nested too deeply"));
        }
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Tree<'_> {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a value")
    }

    fn visit_bool<E>(self, value: bool) -> Result<Value, E> {
        Ok(Value::Bool(value))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Value, E> {
        Ok(Value::Number(value.into()))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Value, E> {
        Ok(Value::Number(value.into()))
    }

    fn visit_f64<E>(self, value: f64) -> Result<Value, E> {
        Ok(Value::Number(value.into()))
    }

    fn visit_str<E>(self, value: &str) -> Result<Value, E> {
        Ok(Value::String(value.to_owned()))
    }

    fn visit_none<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_enum<A: EnumAccess<'de>>(self, _: A) -> Result<Value, A::Error> {
        Err(A::Error::custom("tags (`!name`) mean nothing here"))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Value, A::Error> {
        let mut items = Vec::new();
        while let Some(item) = seq.next_element_seed(self.child(self.path.index(items.len())))? {
            items.push(item);
        }
        Ok(Value::Sequence(items))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Value, A::Error> {
        let mut members = Mapping::new();
        let mut seen = HashMap::<String, usize>::new();
        while let Some(key) = map.next_key::<String>()? {
            let path = self.path.key(&key);
            let value = map.next_value_seed(self.child(path.clone()))?;
            let times = seen.entry(key.clone()).or_default();
            if *times == 0 {
                members.insert(Value::String(key), value);
            } else {
                let mut duplicates = self.duplicates.take();
                duplicates.push((path, *times));
                self.duplicates.set(duplicates);
            }
            *times += 1;
        }
        Ok(Value::Mapping(members))
    }
}
