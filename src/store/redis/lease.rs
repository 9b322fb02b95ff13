//! The lease, over a connection of its own.
//!
//! It goes on over a restart of the server, which the other connection must not; and an answer that comes late is
//! worth nothing here, while there it saves a recovery.

use std::time::Duration;

use redis::Value;

use super::{RedisStore, reply};
use crate::event::hex;
use crate::store::{Holder, Lease, StoreError, WriterId};

/// Well within a lease, so that a connection that fell silent leaves time for the next.
pub const ANSWER_WITHIN: Duration = Duration::from_secs(2);

const WHAT: &str = "the lease";

impl RedisStore {
    pub(super) async fn leased(&self, runner: WriterId, lasts: Duration) -> Result<Lease, StoreError> {
        // Who stands by with the wrong store should be told now, and not when it is needed.
        if self.link.incarnation().is_none() {
            self.look().await?;
        }
        let mut call = self.lease_link.scripts.lease.call(&self.layout.pipeline);
        // None would give it back.
        call.arg(hex(&runner.0)).arg(u64::try_from(lasts.as_millis()).unwrap_or(u64::MAX).max(1));
        let mut pipeline = redis::pipe();
        pipeline.add_command(call);
        let answer = self.lease_link.ask_all(&pipeline).await?.pop().unwrap_or_default();
        let [holder, left] = <[Value; 2]>::try_from(reply::list(answer, WHAT)?).map_err(|_| reply::unexpected(WHAT))?;
        let holder = held_by(holder, &left)?.filter(|holder| holder.runner != runner);
        Ok(holder.map_or(Lease::Ours, Lease::Theirs))
    }

    pub(super) async fn released(&self, runner: WriterId) -> Result<(), StoreError> {
        let mut call = self.lease_link.scripts.lease.call(&self.layout.pipeline);
        call.arg(hex(&runner.0)).arg(0);
        let mut pipeline = redis::pipe();
        pipeline.add_command(call);
        self.lease_link.ask_all(&pipeline).await.map(drop)
    }

    pub(super) async fn leaseholder(&self) -> Result<Option<Holder>, StoreError> {
        let key = format!("{}:lease", self.layout.pipeline);
        let mut pipeline = redis::pipe();
        pipeline.cmd("GET").arg(&key).cmd("PTTL").arg(&key);
        let [holder, left] =
            <[Value; 2]>::try_from(self.lease_link.ask_all(&pipeline).await?).map_err(|_| reply::unexpected(WHAT))?;
        held_by(holder, &left)
    }
}

fn held_by(holder: Value, left: &Value) -> Result<Option<Holder>, StoreError> {
    let Some(holder) = reply::bytes(holder, WHAT)? else { return Ok(None) };
    // Below nothing: it ended between two questions, or has no end and is nobody's.
    let Value::Int(left) = left else { return Err(reply::unexpected(WHAT)) };
    let Ok(left) = u64::try_from(*left) else { return Ok(None) };
    let runner = runner(&holder).ok_or_else(|| reply::unexpected(WHAT))?;
    Ok(Some(Holder { runner, left: Duration::from_millis(left) }))
}

/// What [`hex`] wrote.
fn runner(text: &[u8]) -> Option<WriterId> {
    let text = std::str::from_utf8(text).ok().filter(|text| text.len() == 32)?;
    u128::from_str_radix(text, 16).ok().map(|id| WriterId(id.to_be_bytes()))
}
