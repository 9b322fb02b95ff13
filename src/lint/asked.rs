//! What a pipeline itself reads from events, whatever its scripts do: a key, a number, a time.

use super::project::Project;
use crate::diagnostic::Span;
use crate::spec::locate::NodePath;
use crate::spec::program::{EventTime, FieldPath, Pipeline, Subscription};

/// What can be a key: texts and whole numbers.
pub const KEY: [&str; 3] = ["string", "integer", "number"];
const NUMBER: [&str; 2] = ["integer", "number"];
const TIME: [&str; 3] = ["string", "integer", "number"];

/// What a pipeline reads from the events of a subscription.
pub struct Asked<'p> {
    pub path: &'p FieldPath,
    /// Which types it can be.
    pub types: &'static [&'static str],
    pub of: Of,
}

#[derive(Clone, Copy)]
pub enum Of {
    Key,
    Sequence,
    Resequence,
}

pub fn asked<'p>(pipeline: &'p Pipeline, subscription: &'p Subscription) -> impl Iterator<Item = Asked<'p>> {
    let key = Asked { path: &subscription.key, types: &KEY, of: Of::Key };
    let number =
        pipeline.sequence.as_ref().map(|sequence| Asked { path: &sequence.by, types: &NUMBER, of: Of::Sequence });
    let time = pipeline.resequence.as_ref().and_then(|resequence| match &resequence.by {
        EventTime::Path(path) => Some(Asked { path, types: &TIME, of: Of::Resequence }),
        _ => None,
    });
    [Some(key), number, time].into_iter().flatten()
}

impl Of {
    /// Where the pipeline says so, of its nth subscription.
    pub fn place(self, project: &Project<'_>, pipeline: &Pipeline, nth: usize) -> Span {
        let root = NodePath::default();
        let path = match self {
            Of::Key => {
                let own = root.key("subscriptions").index(nth).key("key");
                if project.says(&pipeline.file, &own) { own } else { root.key("key") }
            }
            Of::Sequence => root.key("sequence").key("by"),
            Of::Resequence => root.key("resequence").key("by"),
        };
        project.at(&pipeline.file, &path)
    }
}
