//! What a partition's commits count as they write it, so that nobody has to count it.

use super::{Connection, database, lookup};

#[derive(Clone, Copy, Default, PartialEq, Eq)]
pub struct Counts {
    pub outbox_seq: u64,
    pub outbox_len: u64,
    /// Of the bodies of all that is parked.
    pub parked_bytes: u64,
}

impl Counts {
    pub fn read(connection: &Connection, slot: i64) -> database::Result<Self> {
        connection.prepare_cached("SELECT outbox_seq, outbox_len, parked_bytes FROM slots WHERE slot = ?1")?.query_row(
            [slot],
            |row| {
                let count = |column| lookup::unsigned(row, column);
                Ok(Self { outbox_seq: count(0)?, outbox_len: count(1)?, parked_bytes: count(2)? })
            },
        )
    }

    pub fn write(self, connection: &Connection, slot: i64) -> database::Result<()> {
        let [sequence, len, bytes] = [self.outbox_seq, self.outbox_len, self.parked_bytes].map(u64::cast_signed);
        connection
            .prepare_cached("UPDATE slots SET outbox_seq = ?2, outbox_len = ?3, parked_bytes = ?4 WHERE slot = ?1")?
            .execute([slot, sequence, len, bytes])
            .map(drop)
    }
}
