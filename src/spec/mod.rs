//! Files → [`Program`](program::Program), or every problem at once. No network.

pub mod program;
