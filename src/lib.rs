//! Sluicegate runs event consumers that are declared instead of coded. Modules are listed in reading order.

pub mod admin;
pub mod bus;
pub mod cli;
pub mod clock;
pub mod diagnostic;
pub mod event;
pub mod flow;
mod mutant;
pub mod ops;
pub mod schema;
pub mod script;
pub mod spec;
pub mod store;
pub mod telemetry;
pub mod testkit;
