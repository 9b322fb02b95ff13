//! Bounds on an event, on a run of a script, and on the state it leaves.

use std::sync::Arc;

use super::super::document::Document;
use super::super::locate::NodePath;
use super::super::program::Limits;
use super::super::raw;
use super::Context;
use super::figures::Figures;

/// `serde_json` reads 128 levels and refuses more; state and emissions add an envelope to what a script may nest, and
/// what was committed must be readable ever after.
const MAX_DEPTH: usize = 100;

pub fn read(context: &mut Context<'_>, document: &Arc<Document>, raw: Option<&raw::Limits>) -> Limits {
    let mut limits = Limits::default();
    let Some(raw) = raw else { return limits };
    let base = NodePath::default().key("limits");
    let mut reader = Figures { context, document };
    let sizes = [
        (&raw.payload, "payload", &mut limits.payload_bytes),
        (&raw.string, "string", &mut limits.string_bytes),
        (&raw.state, "state", &mut limits.state_bytes),
    ];
    for (text, key, limit) in sizes {
        if let Some(size) = reader.size(text.as_ref(), &base.key(key)) {
            *limit = size;
        }
    }
    match raw.depth.map(usize::try_from) {
        None => {}
        Some(Ok(depth)) if (1..=MAX_DEPTH).contains(&depth) => limits.depth = depth,
        Some(_) => {
            let message = format!(
                "`depth` is from 1 to {MAX_DEPTH}: JSON is read to 128 levels, and what is stored or emitted nests deeper than \
                 the data within"
            );
            reader.error(&message, &base.key("depth"));
        }
    }
    let counts = [
        (raw.call_depth, "call_depth", 1..=128, &mut limits.call_depth),
        (raw.items, "items", 1..=10_000_000, &mut limits.collection_items),
    ];
    for (count, key, range, limit) in counts {
        if let Some(count) = reader.within(count, range, &base.key(key)).and_then(|c| usize::try_from(c).ok()) {
            *limit = count;
        }
    }
    if let Some(operations) = reader.within(raw.operations, 1..=1_000_000_000, &base.key("operations")) {
        limits.operations = operations;
    }
    if let Some(wall) = reader.duration(raw.wall.as_ref(), &base.key("wall")) {
        limits.wall = wall;
    }
    limits
}
