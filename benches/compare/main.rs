//! The whole job, side by side: `cargo bench --bench compare`.

#![allow(
    clippy::print_stdout,
    clippy::print_stderr,
    clippy::disallowed_methods,
    clippy::unwrap_used,
    reason = "a benchmark prints, asks for the time, and stops at surprises"
)]

mod sides;

use std::process::ExitCode;

fn main() -> ExitCode {
    let mut arguments = std::env::args().skip(1);
    if arguments.next().as_deref() == Some("side") {
        return sides::run(&arguments.next().unwrap_or_default());
    }
    ExitCode::SUCCESS
}
