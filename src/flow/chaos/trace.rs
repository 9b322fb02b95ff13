//! What happened in a run, for a person to read.

use std::fmt::Display;
use std::sync::{Mutex, PoisonError};

use tokio::time::Instant;

/// Lines with their virtual times, when anybody wants them.
pub struct Trace {
    start: Instant,
    lines: Option<Mutex<Vec<String>>>,
}

impl Trace {
    pub fn new(wanted: bool) -> Self {
        Self { start: Instant::now(), lines: wanted.then(Mutex::default) }
    }

    pub fn wanted(&self) -> bool {
        self.lines.is_some()
    }

    pub fn say<T: Display>(&self, what: impl FnOnce() -> T) {
        if let Some(lines) = &self.lines {
            let line = format!("{:>8.3} s  {}", self.start.elapsed().as_secs_f64(), what());
            lines.lock().unwrap_or_else(PoisonError::into_inner).push(line);
        }
    }

    pub fn lines(&self) -> Vec<String> {
        let lines = self.lines.as_ref().map(|lines| lines.lock().unwrap_or_else(PoisonError::into_inner).clone());
        lines.unwrap_or_default()
    }
}
