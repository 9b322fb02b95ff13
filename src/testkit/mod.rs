//! What tests share: one conformance suite a trait, and models of nasty brokers and stores.

pub mod conformance;
pub mod fate;
pub mod faulty_bus;
pub mod faulty_store;
