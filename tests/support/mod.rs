//! What the tests stand on: real servers on free ports, and waiting for a condition instead of sleeping.

mod binaries;
pub mod memory;
mod process;
pub mod proxy;
pub mod servers;
pub mod tls;
pub mod wait;
