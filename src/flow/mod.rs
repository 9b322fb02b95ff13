pub mod batch;
pub mod budget;
pub mod context;
pub mod dead;
pub mod decide;
pub mod decode;
pub mod emit;
pub mod handle;
pub mod held;
pub mod intake;
pub mod outbox;
pub mod retry;
pub mod route;
pub mod supervisor;
pub mod tally;
pub mod timers;
pub mod validate;
pub mod worker;

#[cfg(test)]
mod chaos;
