//! Values as text, within a bound.
//!
//! The language's own printing builds the whole text before its length is checked: an array of closures that share
//! one long string becomes gigabytes in a single operation.

use std::fmt::{self, Write};

use rhai::{Array, Dynamic, Engine, FnPtr, FuncRegistration, INT, ImmutableString, Map};

use super::budget::Overrun;
use super::run::Run;

/// What `print`, `to_string` and string interpolation make of collections. A text that would be too long is cut, and
/// the run stopped: an error would make the language fall back to its own printing.
pub(super) fn register(engine: &mut Engine, most: usize) {
    for name in ["print", "to_string", "debug", "to_debug"] {
        FuncRegistration::new(name)
            .with_purity(true)
            .register_into_engine(engine, move |value: &mut Array| within(most, |out| array(value, out)));
        FuncRegistration::new(name)
            .with_purity(true)
            .register_into_engine(engine, move |value: &mut Map| within(most, |out| map(value, out)));
    }
}

fn within(most: usize, write: impl FnOnce(&mut Bounded) -> fmt::Result) -> ImmutableString {
    let mut out = Bounded { text: String::new(), most };
    if write(&mut out).is_err() {
        let message = format!("a text of more than {most} bytes");
        Run::with(|run| {
            run.overrun.get_or_insert(Overrun::Output(message));
        });
    }
    out.text.into()
}

/// The text of a value, cut after about `most` bytes.
pub(super) fn shown(value: &Dynamic, most: usize) -> String {
    let mut out = Bounded { text: String::new(), most };
    let written = match value.read_lock::<ImmutableString>() {
        Some(text) => out.write_str(&text),
        None => nested(value, &mut out),
    };
    if written.is_err() {
        out.text.push('…');
    }
    out.text
}

fn nested(value: &Dynamic, out: &mut Bounded) -> fmt::Result {
    if let Some(items) = value.read_lock::<Array>() {
        return array(&items, out);
    }
    if let Some(members) = value.read_lock::<Map>() {
        return map(&members, out);
    }
    if let Some(function) = value.read_lock::<FnPtr>() {
        return write!(out, "Fn({})", function.fn_name());
    }
    if let Some(character) = value.read_lock::<char>() {
        return out.write_char(*character);
    }
    if let Some(number) = value.read_lock::<INT>() {
        return write!(out, "{}", *number);
    }
    if let Some(number) = value.read_lock::<super::number::ExactNumber>() {
        return write!(out, "{}", *number);
    }
    write!(out, "{value:?}")
}

fn array(items: &[Dynamic], out: &mut Bounded) -> fmt::Result {
    out.write_char('[')?;
    for (index, item) in items.iter().enumerate() {
        out.write_str(if index > 0 { ", " } else { "" })?;
        nested(item, out)?;
    }
    out.write_char(']')
}

fn map(members: &Map, out: &mut Bounded) -> fmt::Result {
    out.write_str("#{")?;
    for (index, (name, member)) in members.iter().enumerate() {
        write!(out, "{}{name:?}: ", if index > 0 { ", " } else { "" })?;
        nested(member, out)?;
    }
    out.write_char('}')
}

/// A text that takes no more than `most` bytes: whoever writes beyond is told, and stops.
struct Bounded {
    text: String,
    most: usize,
}

impl Write for Bounded {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        let room = self.most.saturating_sub(self.text.len());
        if text.len() <= room {
            self.text.push_str(text);
            return Ok(());
        }
        let end = (0..=room).rev().find(|at| text.is_char_boundary(*at)).unwrap_or(0);
        self.text.push_str(&text[..end]);
        Err(fmt::Error)
    }
}
