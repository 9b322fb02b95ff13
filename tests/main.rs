//! Black-box tests, one binary: a module per capability, on real servers that the tests start themselves.
#![allow(clippy::unwrap_used, clippy::print_stdout, clippy::print_stderr)]

mod bus_nats;
mod chaos;
mod cli;
mod servers;
mod store_redis;
mod support;
