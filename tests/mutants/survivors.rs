//! What lint may say nothing of, and why.

use super::edits::Edit;

pub struct Class {
    pub name: &'static str,
    pub why: &'static str,
    /// Of the five hundred. Fewer are as much news as more: then write the new number.
    pub count: usize,
    pub holds: fn(&Edit) -> bool,
}

pub const CLASSES: &[Class] = &[];
