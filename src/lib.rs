//! Sluicegate runs event consumers that are declared instead of coded: nothing passes the gate malformed, twice, or
//! out of turn, and nothing is lost at it. The binary is `sluice`; `docs/architecture.md` says how the guarantee is
//! kept and what enforces it.
//!
//! ```text
//! cli ─▶ spec ─▶ Program ─▶ ops::gate ─▶ flow::supervisor        what starts what
//!
//! source ─▶ decode ─▶ validate ─▶ handle ─▶ commit ─▶ publish ─▶ ack    what one event passes
//!   bus      flow     schema      script     store      bus       bus
//! ```
//!
//! Modules are listed in reading order: what everything stands on, what users write, what an event passes, what
//! people do. A module uses those above it and, where `tests/tidy.rs` says so, no others.

// What everything stands on.
pub mod event;
pub mod clock;
pub mod diagnostic;

// What users write: schemas, scripts, and the project files that bind them.
pub mod schema;
pub mod script;
pub mod spec;
pub mod lint;

// What an event passes: brokers, the store, and the flow between them.
pub mod database;
pub mod bus;
pub mod store;
pub mod flow;

// What people do with it.
pub mod ops;
pub mod admin;
pub mod cli;
pub mod telemetry;

// What its tests do to it.
mod mutant;
#[allow(clippy::disallowed_methods, reason = "tests ask the system and spawn as they need")]
pub mod testkit;
