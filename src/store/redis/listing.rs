//! Keys and parked events, page by page.

use redis::Value;

use super::{RedisStore, layout, reply};
use crate::event::{Key, MarkId, Partition};
use crate::store::listing::PAGE;
use crate::store::{Cursor, KeyLookup, KeysPage, Lookup, ParkedAt, ParkedEvent, Range, StoreError, Which};

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

    pub(super) async fn line_part(
        &self,
        partition: Partition,
        key: Key,
        part: Range,
    ) -> Result<Vec<ParkedEvent>, StoreError> {
        let lookup = Lookup { keys: vec![KeyLookup { key, line: vec![part] }], ..Lookup::default() };
        let found = self.found(vec![(partition, lookup)]).await?.into_iter().flat_map(|found| found.keys);
        Ok(found.flat_map(|key| key.parked).flatten().collect())
    }

    pub(super) async fn parked_event(&self, id: MarkId) -> Result<Option<ParkedAt>, StoreError> {
        let what = "a parked event";
        let mut pipeline = redis::pipe();
        for (_, prefix) in self.layout.partitions() {
            let mut call = self.link.scripts.parked.call(prefix);
            call.arg(&id.0);
            pipeline.add_command(call);
        }
        let answers = self.link.ask_all(&pipeline).await?;
        for ((partition, _), answer) in self.layout.partitions().zip(answers) {
            if answer == Value::Nil {
                continue;
            }
            let [entry, before] =
                <[Value; 2]>::try_from(reply::list(answer, what)?).map_err(|_| reply::unexpected(what))?;
            let entry = reply::bytes(entry, what)?.unwrap_or_default();
            let (key, event) = layout::decode_parked(id, &entry).ok_or_else(|| reply::unexpected(what))?;
            return Ok(Some(ParkedAt { partition, key, before: reply::number(&before, what)?, event }));
        }
        Ok(None)
    }
}
