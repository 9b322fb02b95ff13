//! What users write, and nothing more: serde only. [`compile`](super::compile) makes it mean something.
//!
//! Everything is optional here, so that one missing key hides no other problem; `compile` asks for what must be there.
//! The comments on fields are read by users: editors show them, and `docs/configuration.md` holds them. They, the
//! defaults and the examples come to both through [`json_schema`](super::json_schema).

mod channels;
mod order;
mod pipeline;
mod project;
mod reliability;
pub mod scenarios;

pub use super::values::{Constant, FirstNumber, Human, OneOrMany};
pub use channels::{Channel, Envelope, LocalChannel, Mapped, Mapping, NatsChannel};
pub use order::{OnDeadPrerequisite, OnFailure, OnTimeout, Reorder, Resequence, Sequence};
pub use pipeline::{Emit, Pipeline, Subscription};
pub use project::{Admin, Connection, Durability, LintLevel, Nats, Nothing, Project, Store, Tls};
pub use reliability::{Idempotency, Limits, Reliability, Retry, Slo, UnknownVersion};
