//! What tests share: one conformance suite a trait, and models of nasty brokers and stores.

pub mod faulty_store;
