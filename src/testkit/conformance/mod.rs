//! One suite a trait, run against every implementation.

pub mod bus;
pub mod store;
