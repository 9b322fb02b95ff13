//! Feeding a channel by hand: lines → checked events → confirmed publishes.

mod press;

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::{BoxFuture, FutureExt as _};
use futures_util::stream::{FuturesUnordered, Stream, StreamExt as _};

use crate::bus::subject;
use crate::bus::{PublishError, Sink};

pub use press::{Press, Ready, encode};

/// Unconfirmed publishes at a time.
const WINDOW: usize = 256;
const RETRY_FIRST: Duration = Duration::from_millis(200);
const RETRY_MAX: Duration = Duration::from_secs(2);

/// A subject template for publishing to a channel that may have wildcards: the one given, or the channel's only
/// subject with a `*` or `>` at its end replaced by the event's type.
pub fn template(subjects: &[String], given: Option<&str>) -> Result<String, String> {
    let is_wild = |token: &str| matches!(token, "*" | ">");
    if let Some(given) = given {
        if given.split('.').any(is_wild) {
            return Err(format!("`{given}` is a pattern; events are published to one subject"));
        }
        let pattern = subject::pattern(given);
        if !subjects.iter().any(|ours| subject::covers(&subject::pattern(ours), &pattern)) {
            return Err(format!("`{given}` is not in this channel, which takes `{}`", subjects.join("`, `")));
        }
        return Ok(given.to_owned());
    }
    let [only] = subjects else {
        return Err(format!("the channel has several subjects: `{}`", subjects.join("`, `")));
    };
    let mut tokens: Vec<&str> = only.split('.').collect();
    if let Some(last) = tokens.last_mut()
        && is_wild(last)
    {
        *last = "{type}";
    }
    if tokens.iter().any(|token| is_wild(token) || token.contains("{pipeline}")) {
        return Err(format!("what stands for the rest of `{only}` is not known"));
    }
    Ok(tokens.join("."))
}

/// What is told while lines are published.
pub enum News {
    /// Not published: what is wrong with it. Lines count from 1.
    Invalid {
        line: u64,
        problems: Vec<String>,
    },
    /// Not known to be published: the broker refused it, or did not confirm it in time.
    Failed {
        line: u64,
        why: String,
    },
    /// Nothing behind this line was tried.
    Stopped {
        line: u64,
    },
    Published {
        total: u64,
    },
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Summary {
    pub published: u64,
    pub invalid: u64,
    pub failed: u64,
}

/// Publishes every line that holds something, in order per key, and waits for each confirmation. A publish that is
/// not confirmed is repeated until `patience` is over: without `dedupe` the stream may then hold it twice, under
/// the same id. Once one is given up nothing more is tried: what comes behind it of its key must not take its place, and
/// each would be waited for as long. An error is one of reading.
pub async fn publish_all(
    lines: impl Stream<Item = std::io::Result<Vec<u8>>>,
    press: &Press<'_>,
    sink: &Arc<dyn Sink>,
    patience: Duration,
    tell: &mut dyn FnMut(News),
) -> std::io::Result<Summary> {
    let mut lines = std::pin::pin!(lines.fuse());
    let mut flight = Flight {
        in_flight: FuturesUnordered::new(),
        keys: HashSet::new(),
        summary: Summary::default(),
        given_up: false,
    };
    let mut number = 0;
    while !flight.given_up {
        let line = tokio::select! {
            biased;
            Some(landed) = flight.in_flight.next() => {
                flight.land(landed, tell);
                continue;
            }
            line = lines.next() => line,
        };
        let Some(line) = line else { break };
        number += 1;
        let line = line?;
        if line.iter().all(u8::is_ascii_whitespace) {
            continue;
        }
        match press.press(&line, &**sink) {
            Err(problems) => {
                flight.summary.invalid += 1;
                tell(News::Invalid { line: number, problems });
            }
            Ok(ready) => {
                while flight.keys.contains(&ready.order_key) || flight.in_flight.len() >= WINDOW {
                    let Some(landed) = flight.in_flight.next().await else { break };
                    flight.land(landed, tell);
                }
                if flight.given_up {
                    number -= 1;
                    break;
                }
                flight.keys.insert(ready.order_key.clone());
                flight.in_flight.push(send(Arc::clone(sink), ready, number, patience).boxed());
            }
        }
    }
    while let Some(landed) = flight.in_flight.next().await {
        flight.land(landed, tell);
    }
    if flight.given_up {
        tell(News::Stopped { line: number });
    }
    Ok(flight.summary)
}

struct Flight {
    in_flight: FuturesUnordered<BoxFuture<'static, Landed>>,
    keys: HashSet<String>,
    summary: Summary,
    given_up: bool,
}

enum Landed {
    Confirmed { order_key: String },
    Failed { order_key: String, line: u64, why: String, given_up: bool },
}

impl Flight {
    fn land(&mut self, landed: Landed, tell: &mut dyn FnMut(News)) {
        match landed {
            Landed::Confirmed { order_key } => {
                self.keys.remove(&order_key);
                self.summary.published += 1;
                tell(News::Published { total: self.summary.published });
            }
            Landed::Failed { order_key, line, why, given_up } => {
                self.given_up |= given_up;
                self.keys.remove(&order_key);
                self.summary.failed += 1;
                tell(News::Failed { line, why });
            }
        }
    }
}

async fn send(sink: Arc<dyn Sink>, ready: Ready, line: u64, patience: Duration) -> Landed {
    let Ready { order_key, outgoing } = ready;
    let outgoing = Arc::new(outgoing);
    let deadline = tokio::time::Instant::now() + patience;
    let mut pause = RETRY_FIRST;
    loop {
        let why = match sink.publish(outgoing.clone()).await {
            Ok(()) => return Landed::Confirmed { order_key },
            Err(PublishError::Refused(why)) => return Landed::Failed { order_key, line, why, given_up: false },
            Err(PublishError::Unconfirmed(why)) => why,
        };
        if tokio::time::Instant::now() + pause >= deadline {
            return Landed::Failed { order_key, line, why, given_up: true };
        }
        tokio::time::sleep(pause).await;
        pause = (pause * 2).min(RETRY_MAX);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(subjects: &[&str], given: Option<&str>) -> Result<String, String> {
        template(&subjects.iter().map(|subject| (*subject).to_owned()).collect::<Vec<_>>(), given)
    }

    #[test]
    fn the_type_takes_the_place_of_a_wildcard_at_the_end() {
        assert_eq!(of(&["orders.>"], None).as_deref(), Ok("orders.{type}"));
        assert_eq!(of(&["orders.*"], None).as_deref(), Ok("orders.{type}"));
        assert_eq!(of(&["orders"], None).as_deref(), Ok("orders"));
        assert_eq!(of(&["orders.{key}"], None).as_deref(), Ok("orders.{key}"));
    }

    #[test]
    fn where_nothing_says_the_subject_it_must_be_given() {
        for unclear in [&["a.*.b"][..], &["a.*.*"], &["a", "b"], &["dead.{pipeline}"]] {
            assert!(of(unclear, None).is_err(), "{unclear:?}");
        }
        assert_eq!(of(&["a", "b.>"], Some("b.x")).as_deref(), Ok("b.x"));
        assert_eq!(of(&["b.*.y"], Some("b.{type}.y")).as_deref(), Ok("b.{type}.y"));
    }

    #[test]
    fn a_subject_outside_the_channel_is_refused() {
        for outside in ["b.x", "a.*", "a"] {
            assert!(of(&["a.>"], Some(outside)).is_err(), "{outside}");
        }
    }
}
