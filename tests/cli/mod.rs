//! The binary, as a person or a supervisor meets it.

mod dead_letters;
mod explain;
mod guarantee;
mod lint;
mod new;
mod parked;
mod publish;
mod refused;
mod run;
pub mod sandbox;
mod schema;
mod servers;
mod service;
mod shells;
mod standby;
mod subscriptions;
mod test;
mod tls;
mod versions;
