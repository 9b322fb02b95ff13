//! One event's life, one file a step. The supervisor is the only one that spawns; `decide` is pure.
//!
//! ```text
//! intake ─▶ route ─▶ worker ─▶ batch ─▶ decide ─▶ commit ─▶ outbox ─▶ ack
//! pulls,    decode,  takes     one      validate,  one      publish,   held
//! recovers  key,     what      lookup   handle,    call a   confirm,
//!           mark     waits              emit, park partition clear
//!                      ▲
//!                  clockwork: keys whose parked events are due
//! ```

// Pulling, or reading again after a crash.
pub mod intake;
pub mod budget;
pub mod held;
pub mod story;
pub mod tally;

// Bytes to an event that knows where it belongs.
pub mod route;
pub mod decode;

// Batches: look up, decide, commit.
pub mod job;
pub mod worker;
pub mod batch;
pub mod recent;
pub mod decide;
pub mod validate;
pub mod handle;
pub mod retry;
pub mod emit;
pub mod dead;

// What was committed goes out; what was parked comes back.
pub mod outbox;
pub mod refused;
pub mod confirmed;
pub mod timers;
pub mod clockwork;

// What starts, recovers and stops it all, and what they share.
pub mod supervisor;
pub mod tenure;
pub mod context;

#[cfg(test)]
#[allow(clippy::disallowed_methods, reason = "tests ask the system and spawn as they need")]
mod chaos;
