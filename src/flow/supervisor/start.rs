//! Where a source starts: what the store says of its position, against what the broker says.

use std::sync::Arc;

use super::super::intake::Backoff;
use super::{Ended, Generation, UnknownPosition};
use crate::bus::{BusError, ConsumerSpec, DELETES_ON_ACK, Progress, Source};
use crate::event::ChannelName;
use crate::store::{Durability, Opened, StoreError};

pub(super) struct Start {
    pub(super) channel: ChannelName,
    pub(super) source: Box<dyn Source>,
    pub(super) position: u64,
    /// Sequences to read again, when there are any.
    pub(super) span: Option<(u64, u64)>,
}

impl Generation<'_> {
    /// Connects a source and finds out from where on events may have no outcome.
    pub(super) async fn start(&self, channel: ChannelName, opened: &Opened) -> Result<Option<Start>, Ended> {
        let mut backoff = Backoff::default();
        loop {
            match self.connect(&channel, opened).await {
                Ok(start) => return Ok(Some(start)),
                Err(Connect::End(ended)) => return Err(ended),
                Err(Connect::Wait(what, why)) => {
                    if !self.wait(&what, &why, &mut backoff).await {
                        return Ok(None);
                    }
                }
            }
        }
    }

    async fn connect(&self, channel: &ChannelName, opened: &Opened) -> Result<Start, Connect> {
        let store = &self.context.store;
        let stored = store.position(channel).await.map_err(Connect::store)?;
        let spec = ConsumerSpec {
            pipeline: Arc::clone(&self.context.pipeline.name),
            channel: channel.clone(),
            start_after: stored,
        };
        let bus = |error| Connect::bus(channel, error);
        let source = self.channels.source(spec).await.map_err(bus)?;
        let mut progress = source.progress().await.map_err(bus)?;
        // Asked again: another runner may have begun between the two answers, and acked since.
        let stored = match stored {
            Some(position) => Some(position),
            None => store.position(channel).await.map_err(Connect::store)?,
        };
        let position = match stored {
            Some(position) => position,
            None => self.first_position(channel, &progress, opened)?,
        };
        if position > progress.last {
            // It may have gone on between the broker's answer and the store's, too.
            progress = source.progress().await.map_err(bus)?;
        }
        if position > progress.last {
            return Err(Connect::cannot_run(format!(
                "the store stands at {position} in channel `{channel}`, but its stream ends at {}: the stream was made anew, or this is another \
                 stream's store; use another store, or run once with `--unknown-position replay` after deleting this pipeline's keys",
                progress.last
            )));
        }
        if stored.is_none() {
            store.advance(channel, None, position).await.map_err(Connect::store)?;
        }
        if opened.durability != Durability::Strict && progress.deletes_on_ack {
            tracing::warn!(
                pipeline = %self.context.pipeline.name, %channel, "{DELETES_ON_ACK}");
        }
        let from = position.min(progress.ack_floor) + 1;
        let span = (progress.delivered >= from).then_some((from, progress.delivered));
        if let Some((from, to)) = span
            && progress.first > from
            && !progress.deletes_on_ack
        {
            tracing::error!(
                %channel, from, until = progress.first.min(to + 1),
                "the stream no longer holds events that were delivered before and may have no outcome: its retention is shorter than the outage was"
            );
        }
        Ok(Start { channel: channel.clone(), source, position, span })
    }

    /// The position of a channel that the store has never heard of.
    fn first_position(&self, channel: &ChannelName, progress: &Progress, opened: &Opened) -> Result<u64, Connect> {
        match (progress.ack_floor, self.options.unknown_position) {
            (0, _) | (_, UnknownPosition::Replay) => Ok(0),
            // It never knows one at first, and nothing was mistaken: who chose it was told what a restart forgets.
            (floor, UnknownPosition::Refuse) if opened.durability == Durability::None => Ok(floor),
            (floor, UnknownPosition::Continue) => Ok(floor),
            (floor, UnknownPosition::Refuse) => Err(Connect::cannot_run(format!(
                "the store knows no position for channel `{channel}`, but its consumer has acked up to {floor}: this looks like an emptied, an old or \
                 another store; point `store` at the right one, or run once with `--unknown-position continue` (what was acked stays as it is) or \
                 `--unknown-position replay` (everything still in the stream is handled again)"
            ))),
        }
    }
}

enum Connect {
    /// For what, and what it said.
    Wait(String, String),
    End(Ended),
}

impl Connect {
    fn cannot_run(why: String) -> Self {
        Self::End(Ended::CannotRun(why))
    }

    fn store(error: StoreError) -> Self {
        match error {
            StoreError::Refused(why) => Self::cannot_run(why),
            // It restarted since it was opened: what `open` said no longer holds.
            error @ StoreError::TailLost(_) => Self::End(Ended::Again(error.to_string())),
            error @ StoreError::Unavailable(_) => Self::Wait("store".to_owned(), error.to_string()),
        }
    }

    fn bus(channel: &str, error: BusError) -> Self {
        match error {
            BusError::Refused(why) => Self::cannot_run(format!("channel `{channel}`: {why}")),
            BusError::Unavailable(why) | BusError::Lapsed(why) => Self::Wait(format!("source `{channel}`"), why),
        }
    }
}
