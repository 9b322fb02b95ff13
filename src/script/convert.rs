//! JSON → Rhai → JSON, under a cap on depth and, on the way out, on size.

use rhai::{Array, Dynamic, ImmutableString, Map};
use serde_json::{Number, Value};

use super::ErrorClass;
use super::number::{self, ExactNumber};
use super::reads::Members;

/// Why a value has no counterpart on the other side, and where in it.
#[derive(Debug)]
pub(super) struct Unconvertible {
    pub(super) class: ErrorClass,
    what: String,
    /// From the inside out.
    steps: Vec<Step>,
}

#[derive(Debug)]
enum Step {
    Member(String),
    Item(usize),
}

impl Unconvertible {
    fn new(class: ErrorClass, what: impl Into<String>) -> Self {
        Self { class, what: what.into(), steps: Vec::new() }
    }

    fn within(mut self, step: Step) -> Self {
        self.steps.push(step);
        self
    }

    /// A sentence; `name` is how the whole value is called: `state`, `data`.
    pub(super) fn message(&self, name: &str) -> String {
        let mut path = name.to_owned();
        for step in self.steps.iter().rev() {
            match step {
                Step::Member(member) => path.push_str(&format!(".{member}")),
                Step::Item(index) => path.push_str(&format!("[{index}]")),
            }
        }
        format!("`{path}` {}", self.what)
    }
}

/// A copy of `value` as a script sees it. `depth` counts nested arrays and objects.
pub(super) fn to_dynamic(value: &Value, depth: usize) -> Result<Dynamic, Unconvertible> {
    Ok(match value {
        Value::Null => Dynamic::UNIT,
        Value::Bool(b) => Dynamic::from_bool(*b),
        Value::Number(n) => number::to_dynamic(n),
        Value::String(s) => ImmutableString::from(s.as_str()).into(),
        Value::Array(items) => {
            let depth = depth.checked_sub(1).ok_or_else(too_deep)?;
            let mut array = Array::with_capacity(items.len());
            for item in items {
                array.push(to_dynamic(item, depth)?);
            }
            Dynamic::from_array(array)
        }
        Value::Object(members) => {
            let depth = depth.checked_sub(1).ok_or_else(too_deep)?;
            let mut map = Map::new();
            for (name, member) in members {
                map.insert(name.as_str().into(), to_dynamic(member, depth)?);
            }
            Dynamic::from_map(map)
        }
    })
}

/// The same of an object's members that are read; of anything else, all.
pub(super) fn members_to_dynamic(value: &Value, read: &Members, depth: usize) -> Result<Dynamic, Unconvertible> {
    let (Value::Object(members), Members::Only(names)) = (value, read) else { return to_dynamic(value, depth) };
    let depth = depth.checked_sub(1).ok_or_else(too_deep)?;
    let mut map = Map::new();
    for (name, member) in names.iter().filter_map(|name| members.get_key_value(name)) {
        map.insert(name.as_str().into(), to_dynamic(member, depth)?);
    }
    Ok(Dynamic::from_map(map))
}

fn too_deep() -> Unconvertible {
    Unconvertible::new(ErrorClass::Limit, "is nested too deeply")
}

/// Members so named are how `serde_json` (with `arbitrary_precision`, `raw_value`) spells numbers and raw JSON to
/// itself: an object that has one is written, but read again as something else or not at all.
const RESERVED: &str = "$serde_json::private::";

fn reserved(name: &str) -> Unconvertible {
    let what = format!(
        "has a member `{name}`; names that begin with `{RESERVED}` are reserved, as what is stored under one cannot be \
         read again: choose another name"
    );
    Unconvertible::new(ErrorClass::Script, what)
}

/// Bytes of JSON, roughly, that one run may still hand out.
#[derive(Debug)]
pub(super) struct Allowance {
    pub(super) depth: usize,
    pub(super) bytes: usize,
}

impl Allowance {
    /// The JSON of `value`, charged to this allowance.
    pub(super) fn take(&mut self, value: Dynamic) -> Result<Value, Unconvertible> {
        self.convert(value, self.depth)
    }

    fn convert(&mut self, value: Dynamic, depth: usize) -> Result<Value, Unconvertible> {
        let value = value.flatten();
        if value.is_map() {
            let depth = self.enter(depth)?;
            let mut members = serde_json::Map::new();
            for (name, member) in value.cast::<Map>() {
                self.charge(name.len())?;
                if name.starts_with(RESERVED) {
                    return Err(reserved(&name));
                }
                let member =
                    self.convert(member, depth).map_err(|why| why.within(Step::Member(name.as_str().to_owned())))?;
                members.insert(name.into(), member);
            }
            return Ok(Value::Object(members));
        }
        if value.is_array() {
            let depth = self.enter(depth)?;
            let array = value.cast::<Array>();
            let mut items = Vec::with_capacity(array.len());
            for (index, item) in array.into_iter().enumerate() {
                items.push(self.convert(item, depth).map_err(|why| why.within(Step::Item(index)))?);
            }
            return Ok(Value::Array(items));
        }
        if value.is_string() {
            let text = value.cast::<ImmutableString>().into_owned();
            self.charge(text.len())?;
            return Ok(Value::String(text));
        }
        self.charge(1)?;
        scalar(value)
    }

    fn enter(&mut self, depth: usize) -> Result<usize, Unconvertible> {
        self.charge(1)?;
        depth.checked_sub(1).ok_or_else(too_deep)
    }

    pub(super) fn charge(&mut self, bytes: usize) -> Result<(), Unconvertible> {
        // Quotes, comma, colon.
        self.bytes = self.bytes.checked_sub(bytes.saturating_add(4)).ok_or_else(|| {
            self.bytes = 0;
            Unconvertible::new(ErrorClass::Limit, "exceeds what one run may emit and store")
        })?;
        Ok(())
    }
}

fn scalar(value: Dynamic) -> Result<Value, Unconvertible> {
    let refused = |what: String| Unconvertible::new(ErrorClass::Script, what);
    if value.is_unit() {
        return Ok(Value::Null);
    }
    if let Ok(int) = value.as_int() {
        return Ok(Value::Number(int.into()));
    }
    if let Ok(b) = value.as_bool() {
        return Ok(Value::Bool(b));
    }
    if let Ok(float) = value.as_float() {
        return Number::from_f64(float)
            .map(Value::Number)
            .ok_or_else(|| refused(format!("is `{float}`, a number that JSON does not have")));
    }
    if let Ok(c) = value.as_char() {
        return Ok(Value::String(c.to_string()));
    }
    if value.is_fnptr() {
        return Err(refused("is a function, which JSON does not have".to_owned()));
    }
    if value.is_blob() {
        return Err(refused("is a blob, which JSON does not have; convert it with `to_array()`".to_owned()));
    }
    let kind = value.type_name();
    if let Some(number) = value.try_cast::<ExactNumber>().and_then(|n| n.to_json()) {
        return Ok(Value::Number(number));
    }
    Err(refused(format!("is of type `{kind}`, which JSON does not have")))
}
