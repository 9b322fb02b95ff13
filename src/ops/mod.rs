//! What a person does with a project: run it, feed it, look at it, and decide about what is parked or dead.

pub mod dead_letters;
pub mod gate;
pub mod guarantee;
pub mod idle;
pub mod ledger;
pub mod parked;
pub mod publish;
pub mod state;
pub mod status;
