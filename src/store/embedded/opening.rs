//! Opening: is the database this pipeline's, and who else is at work in it.

use std::collections::BTreeSet;

use super::{Connection, EmbeddedStore, Opened, Slots, StoreError, database, params};
use crate::database::OptionalExtension as _;
use crate::event::Millis;
use crate::store::{Durability, WriterId, contract};

/// What a pipeline was made with.
struct Made {
    id: i64,
    partitions: u16,
    key_hash: String,
    digest_vector: String,
}

impl EmbeddedStore {
    pub(super) async fn opened(&self, runner: WriterId) -> Result<Opened, StoreError> {
        let (pipeline, partitions, now) = (self.pipeline.clone(), self.partitions, self.clock.now());
        let before = self.session().runner.filter(|before| *before != runner);
        let vector = contract::digest_vector(partitions);
        let opened = self.database.write(move |connection| {
            let fresh = match made(connection, &pipeline)? {
                Some(made) if made.fits(partitions, &vector) => None,
                Some(made) => return Ok(Err(made)),
                None => Some(make(connection, &pipeline, partitions, &vector)?),
            };
            let id = match fresh {
                Some(id) => id,
                None => made(connection, &pipeline)?.map_or(0, |made| made.id),
            };
            if let Some(before) = before {
                connection.execute("DELETE FROM runners WHERE pipeline = ?1 AND runner = ?2", params![id, before.0])?;
            }
            note(connection, id, runner, now)?;
            let mut others = connection.prepare("SELECT runner FROM runners WHERE pipeline = ?1 AND runner <> ?2")?;
            let others = others.query_map(params![id, runner.0], |row| row.get::<_, Vec<u8>>(0))?;
            Ok(Ok((id, fresh.is_some(), others.collect::<Result<BTreeSet<_>, _>>()?)))
        });
        let (id, fresh, found) = opened.await?.map_err(|made| self.differs(&made))?;
        let unclean = !found.is_empty();
        let mut session = self.session();
        (session.id, session.runner, session.found, session.signed) = (Some(id), Some(runner), found, now);
        Ok(self.told(fresh, unclean))
    }

    /// What [`Store::open`](crate::store::Store::open) would tell, signing nobody in. `None`: this pipeline never ran here.
    pub async fn look(&self) -> Result<Option<Opened>, StoreError> {
        let pipeline = self.pipeline.clone();
        let looked = self.database.read(move |connection| {
            let Some(made) = made(connection, &pipeline)? else { return Ok(None) };
            let runners =
                connection.query_row("SELECT count(*) FROM runners WHERE pipeline = ?1", [made.id], |row| {
                    row.get::<_, u32>(0)
                })?;
            Ok(Some((made, runners > 0)))
        });
        let Some((made, unclean)) = looked.await? else { return Ok(None) };
        if !made.fits(self.partitions, &contract::digest_vector(self.partitions)) {
            return Err(self.differs(&made));
        }
        self.session().id = Some(made.id);
        Ok(Some(self.told(false, unclean)))
    }

    fn told(&self, fresh: bool, unclean: bool) -> Opened {
        let incarnation = self.database.incarnation().to_owned();
        Opened { fresh, unclean, incarnation, durability: Durability::Strict, warnings: Vec::new() }
    }

    fn differs(&self, made: &Made) -> StoreError {
        let (path, pipeline) = (self.database.path().display(), &self.pipeline);
        StoreError::Refused(if made.partitions == self.partitions {
            format!("`{path}` spreads keys of `{pipeline}` otherwise: use the version of sluice that wrote it")
        } else {
            format!(
                "`{path}` was made with {} partitions for `{pipeline}`, and this pipeline wants {}: they are fixed with first \
                 use, so go back to {}, or give the pipeline another name",
                made.partitions, self.partitions, made.partitions
            )
        })
    }
}

impl Made {
    fn fits(&self, partitions: u16, vector: &str) -> bool {
        self.partitions == partitions && self.key_hash == contract::KEY_HASH && self.digest_vector == vector
    }
}

fn made(connection: &Connection, pipeline: &str) -> database::Result<Option<Made>> {
    let find = "SELECT id, partitions, key_hash, digest_vector FROM pipelines WHERE name = ?1";
    let made = |row: &super::Row<'_>| {
        Ok(Made { id: row.get(0)?, partitions: row.get(1)?, key_hash: row.get(2)?, digest_vector: row.get(3)? })
    };
    connection.query_row(find, [pipeline], made).optional()
}

fn make(connection: &Connection, pipeline: &str, partitions: u16, vector: &str) -> database::Result<i64> {
    connection.execute(
        "INSERT INTO pipelines (name, partitions, key_hash, digest_vector) VALUES (?1, ?2, ?3, ?4)",
        params![pipeline, partitions, contract::KEY_HASH, vector],
    )?;
    let id = connection.last_insert_rowid();
    for (_, slot) in Slots::of(id, partitions).each() {
        connection.execute("INSERT INTO slots VALUES (?1, 0, 0, 0)", [slot])?;
    }
    Ok(id)
}

pub fn note(connection: &Connection, pipeline: i64, runner: WriterId, now: Millis) -> database::Result<()> {
    connection
        .prepare_cached("INSERT OR REPLACE INTO runners VALUES (?1, ?2, ?3)")?
        .execute(params![pipeline, runner.0, now.0])
        .map(drop)
}

/// Takes out a runner, and those of `found` that gave no sign of life since.
pub fn forget(
    connection: &Connection,
    pipeline: i64,
    runner: WriterId,
    found: &BTreeSet<Vec<u8>>,
    since: Millis,
) -> database::Result<()> {
    connection.execute("DELETE FROM runners WHERE pipeline = ?1 AND runner = ?2", params![pipeline, runner.0])?;
    for other in found {
        connection.execute(
            "DELETE FROM runners WHERE pipeline = ?1 AND runner = ?2 AND seen < ?3",
            params![pipeline, other, since.0],
        )?;
    }
    Ok(())
}
