//! Keys and parked events, page by page.

use redis::Value;

use super::{RedisStore, layout, reply};
use crate::event::{Key, MarkId, Partition};
use crate::store::listing::PAGE;
use crate::store::{Cursor, KeysPage, ParkedAt, ParkedEvent, StoreError, Which};

/// Where the server's own cursors begin and end.
const START: &str = "0";

impl RedisStore {
    pub(super) async fn keys_page(&self, which: Which, from: Option<Cursor>) -> Result<KeysPage, StoreError> {
        let from = from.unwrap_or_else(|| Cursor { after: START.to_owned(), ..Cursor::default() });
        match which {
            Which::All => self.every_key(from).await,
            Which::WithParked => self.keys_with_timer(from).await,
        }
    }

    /// Nothing lists the records, so this walks through all that the server holds.
    async fn every_key(&self, from: Cursor) -> Result<KeysPage, StoreError> {
        let mut scan = redis::cmd("SCAN");
        scan.arg(&from.after).arg("MATCH").arg(self.layout.records()).arg("COUNT").arg(PAGE);
        let (next, names) = self.scanned(scan).await?;
        let keys = names.iter().filter_map(|name| self.layout.record_of(name)).collect();
        Ok(KeysPage { keys, next: (next != START).then_some(Cursor { after: next, ..from }) })
    }

    async fn keys_with_timer(&self, from: Cursor) -> Result<KeysPage, StoreError> {
        let mut scan = redis::cmd("ZSCAN");
        scan.arg(format!("{}:t", self.prefix(from.partition)?)).arg(&from.after).arg("COUNT").arg(PAGE);
        let (next, members) = self.scanned(scan).await?;
        let keys = members.iter().step_by(2).map(|name| Ok((from.partition, reply::key(name, "timers")?)));
        let keys = keys.collect::<Result<_, StoreError>>()?;
        let next = match next {
            next if next != START => Some(Cursor { after: next, ..from }),
            start => {
                let following = Partition(from.partition.0 + 1);
                self.layout.partition(following).map(|_| Cursor { partition: following, after: start })
            }
        };
        Ok(KeysPage { keys, next })
    }

    /// The server's next cursor, and what it gave.
    async fn scanned(&self, scan: redis::Cmd) -> Result<(String, Vec<bytes::Bytes>), StoreError> {
        let what = "a listing";
        let mut pipeline = redis::pipe();
        pipeline.add_command(scan);
        let answer = reply::list(self.link.ask_all(&pipeline).await?.pop().unwrap_or_default(), what)?;
        let [next, items] = <[Value; 2]>::try_from(answer).map_err(|_| reply::unexpected(what))?;
        let items = reply::list(items, what)?.into_iter().map(|item| Ok(reply::bytes(item, what)?.unwrap_or_default()));
        Ok((reply::text(next, what)?, items.collect::<Result<_, StoreError>>()?))
    }

    pub(super) async fn line_page(
        &self,
        partition: Partition,
        key: &Key,
        after: Option<u64>,
        limit: usize,
    ) -> Result<Vec<ParkedEvent>, StoreError> {
        let mut call = self.link.scripts.line.call(self.prefix(partition)?);
        call.arg(key.as_str()).arg(after.map_or(String::new(), |after| after.to_string())).arg(limit);
        let mut pipeline = redis::pipe();
        pipeline.add_command(call);
        reply::line(self.link.ask_all(&pipeline).await?.pop().unwrap_or_default())
    }

    pub(super) async fn parked_event(&self, id: MarkId) -> Result<Option<ParkedAt>, StoreError> {
        let what = "a parked event";
        let entries = self.each_partition(|pipeline, prefix| {
            pipeline.cmd("HGET").arg(format!("{prefix}:p")).arg(&id.0);
        });
        for (partition, entry) in entries.await? {
            let Some(entry) = reply::bytes(entry, what)? else { continue };
            let key = layout::key_of_parked(&entry).ok_or_else(|| reply::unexpected(what))?;
            let event = layout::decode_parked(id, &entry).ok_or_else(|| reply::unexpected(what))?;
            let mut pipeline = redis::pipe();
            pipeline.cmd("ZRANK").arg(format!("{}:q:{key}", self.prefix(partition)?)).arg(&id.0);
            return match self.link.ask_all(&pipeline).await?.pop().unwrap_or_default() {
                // It left between the two.
                Value::Nil => Ok(None),
                rank => Ok(Some(ParkedAt { partition, key, before: reply::number(&rank, what)?, event })),
            };
        }
        Ok(None)
    }
}
