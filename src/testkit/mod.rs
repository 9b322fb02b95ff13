//! What tests share: one conformance suite a trait, models of nasty brokers and stores, and the engine of scenarios.

pub mod conformance;
pub mod fate;
pub mod faulty_bus;
pub mod faulty_store;
pub mod scenario;
