//! The binary, as a person or a supervisor meets it.

mod dead_letters;
mod lint;
mod publish;
mod run;
pub mod sandbox;
mod servers;
mod service;
mod subscriptions;
mod tls;
mod versions;
