//! Black-box tests, one binary: a module per capability, on real servers that the tests start themselves.
#![allow(clippy::unwrap_used, clippy::print_stdout, clippy::print_stderr)]
#![allow(clippy::disallowed_methods, reason = "tests ask the system and spawn as they need")]

mod budget;
mod bus_nats;
mod chaos;
mod cli;
mod docs;
mod hostile;
mod mutants;
mod packaging;
mod servers;
mod store_redis;
mod support;
mod tidy;
