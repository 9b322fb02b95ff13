//! Opening: is this server fit to be a store, is the store this pipeline's, and who else is at work in it.

use redis::Value;

use super::info::{self, Settings};
use super::{RedisStore, Session, layout, reply, script};
use crate::event::hex;
use crate::store::{Durability, Opened, StoreError, WriterId, contract};

impl RedisStore {
    pub(super) async fn opened(&self, runner: WriterId) -> Result<Opened, StoreError> {
        let info = self.link.open().await?;
        let (durability, mut warnings) = self.inspect().await?;
        warnings.extend(self.clock_warning().await?);
        let (fresh, found) = self.sign_in(runner).await?;
        let unclean = !found.is_empty();
        *self.session() = Session { runner: Some(runner), found, signed: self.clock.now() };
        Ok(Opened { fresh, unclean, incarnation: info.run_id().to_owned(), durability, warnings })
    }

    /// What [`Store::open`](crate::store::Store::open) would tell, signing nobody in: for looking at a store
    /// beside whoever runs, and for what a person changes in it. `None`: this pipeline never ran here.
    pub async fn look(&self) -> Result<Option<Opened>, StoreError> {
        let what = "looking";
        let info = self.link.open().await?;
        let (durability, warnings) = self.inspect().await?;
        let made = self.made();
        let mut pipeline = redis::pipe();
        let mut held = redis::cmd("HMGET");
        held.arg(format!("{}:meta", self.layout.pipeline));
        made.iter().for_each(|(name, _)| {
            held.arg(*name);
        });
        pipeline.add_command(held).cmd("HLEN").arg(self.runners());
        let mut answers = self.link.ask_all(&pipeline).await?.into_iter();
        let mut next = || answers.next().ok_or_else(|| reply::unexpected(what));
        let held = reply::list(next()?, what)?;
        if held.iter().all(|value| *value == Value::Nil) {
            return Ok(None);
        }
        for ((name, ours), held) in made.iter().zip(held) {
            let held = reply::bytes(held, what)?.unwrap_or_default();
            if *held != *ours.as_bytes() {
                return Err(self.differs(name, &String::from_utf8_lossy(&held)));
            }
        }
        let unclean = reply::number(&next()?, what)? > 0;
        Ok(Some(Opened { fresh: false, unclean, incarnation: info.run_id().to_owned(), durability, warnings }))
    }

    /// What the store is made with, and must never change.
    fn made(&self) -> [(&'static str, String); 4] {
        [
            ("format", layout::FORMAT.to_owned()),
            ("partitions", self.partition_count().to_string()),
            ("key_hash", contract::KEY_HASH.to_owned()),
            ("digest_vector", contract::digest_vector(self.partition_count())),
        ]
    }

    async fn inspect(&self) -> Result<(Durability, Vec<String>), StoreError> {
        let mut pipeline = redis::pipe();
        for name in Settings::NAMES {
            pipeline.cmd("CONFIG").arg("GET").arg(name);
        }
        // One name a command (several need 7.0's syntax and are forbidden as one); an error reply means: unreadable.
        let mut pairs = Vec::new();
        for answer in self.link.ask(&pipeline).await? {
            if let Value::Array(pair) = answer {
                pairs.extend(pair);
            }
        }
        Settings::parse(Value::Array(pairs)).durability(self.durability, self.link.address())
    }

    async fn clock_warning(&self) -> Result<Option<String>, StoreError> {
        let mut pipeline = redis::pipe();
        pipeline.cmd("TIME");
        let before = self.clock.now();
        let time = self.link.ask(&pipeline).await?.pop().unwrap_or_default();
        Ok(info::clock_warning(time, before, self.clock.now()))
    }

    /// Whether the store is fresh, and the other runners noted in it.
    async fn sign_in(&self, runner: WriterId) -> Result<(bool, Vec<Vec<u8>>), StoreError> {
        let what = "opening";
        let before = self.session().runner;
        let made = self.made();
        let mut call = self.link.scripts.open.call(&self.layout.pipeline);
        call.arg(hex(&runner.0)).arg(before.map_or(String::new(), |before| hex(&before.0)));
        call.arg(self.clock.now().0).arg(script::COMMANDS);
        for (name, value) in &made {
            call.arg(*name).arg(value);
        }
        let mut pipeline = redis::pipe();
        pipeline.add_command(call);
        let answer = self.link.ask_all(&pipeline).await?.pop().unwrap_or_default();
        let mut answer = reply::list(answer, what)?.into_iter();
        let mut next = || answer.next().ok_or_else(|| reply::unexpected(what));
        match reply::text(next()?, what)?.as_str() {
            "OK" => {
                let fresh = reply::number(&next()?, what)? == 1;
                let others = reply::list(next()?, what)?.into_iter().map(|other| reply::text(other, what));
                Ok((fresh, others.map(|other| other.map(String::into_bytes)).collect::<Result<_, _>>()?))
            }
            "DENIED" => Err(StoreError::Refused(format!(
                "the redis user at {} may not use `{}` on `{{sluice:*`: allow it, with these commands: {}",
                self.link.address(),
                reply::text(next()?, what)?,
                script::COMMANDS
            ))),
            "DIFFERS" => {
                let (name, held) = (reply::text(next()?, what)?, reply::text(next()?, what)?);
                Err(self.differs(&name, &held))
            }
            _ => Err(reply::unexpected(what)),
        }
    }

    fn differs(&self, name: &str, held: &str) -> StoreError {
        let (address, pipeline) = (self.link.address(), &self.layout.pipeline);
        StoreError::Refused(match name {
            "format" => format!(
                "the store at {address} holds `{pipeline}` in format `{held}`, and this sluice reads and writes \
                 `{}`: use the version of sluice that wrote it",
                layout::FORMAT
            ),
            "partitions" => format!(
                "the store at {address} was made with {held} partitions, and this pipeline wants {}: they are fixed \
                 with first use, so go back to {held}, or give the pipeline another name",
                self.partition_count()
            ),
            _ => format!(
                "the store at {address} spreads keys of `{pipeline}` otherwise (`{name}` is `{held}`): use the version \
                 of sluice that wrote it"
            ),
        })
    }
}
