//! Redis: one lookup and one commit a partition and batch, all partitions in one write each.

use std::time::{SystemTime, UNIX_EPOCH};

use redis::aio::MultiplexedConnection;
use redis::{Cmd, Pipeline, Value};

use super::super::Trouble;
use super::super::job::RETAIN;

/// One partition of the store, and what this process knows of it.
pub struct Partition {
    prefix: String,
    records: String,
    commits: u64,
    /// Number of the last outbox entry.
    pub outbox_seq: u64,
}

/// What a batch asks a partition for.
pub struct Wanted<'a> {
    pub partition: &'a Partition,
    pub keys: &'a [&'a str],
    pub marks: &'a [[u8; 16]],
}

/// What a batch reads of a partition.
pub struct Found {
    /// Nonce and state, one a key.
    pub records: Vec<Option<Vec<u8>>>,
    /// Whether it is remembered, one a mark.
    pub marks: Vec<bool>,
}

/// What a batch writes to a partition.
#[derive(Default)]
pub struct Change<'a> {
    pub cleared: Vec<u64>,
    /// All that was read, one after the other.
    pub nonces: Vec<u8>,
    /// Key; nonce and state.
    pub records: Vec<(&'a str, Vec<u8>)>,
    pub marks: Vec<([u8; 16], [u8; 9])>,
    pub owed: Vec<(u64, Vec<u8>)>,
}

pub struct Store {
    connection: MultiplexedConnection,
    commit: String,
    writer: String,
}

impl Store {
    pub async fn open(mut connection: MultiplexedConnection, writer: String) -> Result<Self, Trouble> {
        let commit =
            redis::cmd("SCRIPT").arg("LOAD").arg(include_str!("commit.lua")).query_async(&mut connection).await?;
        Ok(Self { connection, commit, writer })
    }

    /// The partition as a process finds it that begins, and what it still owes: number and body.
    pub async fn partition(&mut self, name: &str, number: usize) -> Result<(Partition, Vec<(u64, Vec<u8>)>), Trouble> {
        let prefix = format!("{{bench:{name}:{number}}}");
        let mut pipeline = redis::pipe();
        pipeline.cmd("HGET").arg(format!("{prefix}:m")).arg("outbox_seq");
        pipeline.cmd("HGETALL").arg(format!("{prefix}:o"));
        let (outbox_seq, mut owed): (Option<u64>, Vec<(u64, Vec<u8>)>) =
            pipeline.query_async(&mut self.connection).await?;
        owed.sort_by_key(|(number, _)| *number);
        let records = format!("{prefix}:k:");
        Ok((Partition { prefix, records, commits: 0, outbox_seq: outbox_seq.unwrap_or(0) }, owed))
    }

    /// Records first: what is committed between them and the marks makes the commit fail.
    pub async fn lookup(&mut self, wanted: &[Wanted<'_>]) -> Result<Vec<Found>, Trouble> {
        let generation = generation();
        let mut pipeline = Pipeline::with_capacity(wanted.len() * 3);
        for Wanted { partition, keys, marks } in wanted {
            if !keys.is_empty() {
                let mut records = Cmd::with_capacity(1 + keys.len(), keys.len() * (partition.records.len() + 16));
                records.arg("MGET");
                keys.iter().for_each(|key| name(&mut records, partition, key));
                pipeline.add_command(records);
            }
            for generation in [generation, generation - 1] {
                let mut remembered = Cmd::with_capacity(2 + marks.len(), 64 + marks.len() * 16);
                remembered.arg("HMGET").arg(partition.marks(generation));
                marks.iter().for_each(|mark| push(&mut remembered, mark));
                pipeline.add_command(remembered);
            }
        }
        let mut replies = self.ask(&pipeline).await?.into_iter();
        let mut list = || match replies.next() {
            Some(Value::Array(items)) => Ok(items),
            reply => Err(format!("no answer to a lookup: {reply:?}")),
        };
        let mut found = Vec::with_capacity(wanted.len());
        for Wanted { keys, .. } in wanted {
            let records = if keys.is_empty() { Vec::new() } else { list()? };
            let records = records.into_iter().map(|record| match record {
                Value::BulkString(record) => Some(record),
                _ => None,
            });
            let marks = list()?.into_iter().zip(list()?);
            let marks = marks.map(|(now, before)| now != Value::Nil || before != Value::Nil);
            found.push(Found { records: records.collect(), marks: marks.collect() });
        }
        Ok(found)
    }

    pub async fn commit(&mut self, changes: &mut [(&mut Partition, Change<'_>)]) -> Result<(), Trouble> {
        let mut pipeline = Pipeline::with_capacity(changes.len());
        for (partition, change) in &*changes {
            pipeline.add_command(self.call(partition, change));
        }
        let replies = self.ask(&pipeline).await?;
        for ((partition, change), reply) in changes.iter_mut().zip(replies) {
            if reply != Value::Int(1) {
                return Err(format!("somebody else writes to `{}`: {reply:?}", partition.prefix).into());
            }
            partition.commits += 1;
            partition.outbox_seq += change.owed.len() as u64;
        }
        Ok(())
    }

    fn call(&self, partition: &Partition, change: &Change<'_>) -> Cmd {
        let bytes = change.records.iter().map(|(_, record)| record.len() + 48).sum::<usize>()
            + change.owed.iter().map(|(_, body)| body.len() + 8).sum::<usize>()
            + change.marks.len() * 25;
        let arguments = 2 * (change.records.len() + change.owed.len() + change.marks.len()) + change.cleared.len();
        let mut call = Cmd::with_capacity(arguments + 16, bytes + 512);
        call.arg("EVALSHA").arg(&self.commit).arg(1).arg(&partition.prefix).arg(&self.writer);
        call.arg(partition.commits).arg(partition.outbox_seq);
        call.arg(partition.commits + 1).arg(partition.outbox_seq + change.owed.len() as u64);
        call.arg(partition.marks(generation())).arg(2 * RETAIN.as_secs() * 1000);
        call.arg(change.cleared.len());
        change.cleared.iter().for_each(|number| {
            call.arg(*number);
        });
        push(&mut call, &change.nonces);
        call.arg(change.records.len());
        for (key, record) in &change.records {
            name(&mut call, partition, key);
            push(&mut call, record);
        }
        call.arg(change.marks.len());
        for (mark, content) in &change.marks {
            push(&mut call, mark);
            push(&mut call, content);
        }
        call.arg(change.owed.len());
        for (number, body) in &change.owed {
            call.arg(*number);
            push(&mut call, body);
        }
        call
    }

    async fn ask(&mut self, pipeline: &Pipeline) -> Result<Vec<Value>, Trouble> {
        Ok(self.connection.send_packed_commands(pipeline, 0, pipeline.len()).await?)
    }
}

impl Partition {
    fn marks(&self, generation: u64) -> String {
        format!("{}:d:{generation}", self.prefix)
    }
}

/// Marks are written to the hash of the time they are written in, which goes when its last one is old enough: a look
/// at two of them sees all that must be remembered.
fn generation() -> u64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
    now / RETAIN.as_secs()
}

fn name(cmd: &mut Cmd, partition: &Partition, key: &str) {
    let mut name = Vec::with_capacity(partition.records.len() + key.len());
    name.extend_from_slice(partition.records.as_bytes());
    name.extend_from_slice(key.as_bytes());
    push(cmd, &name);
}

fn push(cmd: &mut Cmd, bytes: &[u8]) {
    cmd.arg(bytes);
}
