//! What tests share: one conformance suite a trait, and models of nasty brokers and stores.

pub mod conformance;
pub mod faulty_store;
