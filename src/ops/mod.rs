//! What a person does with a project: run it, feed it, look at it, and decide about dead letters.

pub mod dead_letters;
pub mod gate;
pub mod guarantee;
pub mod idle;
pub mod publish;
pub mod status;
