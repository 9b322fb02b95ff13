//! What tests share.

pub mod conformance;
