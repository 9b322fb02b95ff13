//! The scripts, by hash.

use redis::{Cmd, Pipeline};

/// The text of the script every commit goes through.
pub const COMMIT: &str = include_str!("commit.lua");

/// Every command that running uses after `open`, in scripts or beside them (that `EVALSHA` works is seen by using it): a user that may not use one is refused at start.
pub const COMMANDS: &str = "INFO,GET,MGET,SET,MSET,GETRANGE,UNLINK,HGET,HSET,HSETNX,HDEL,HLEN,HMGET,HKEYS,HEXISTS,HGETALL,ZADD,\
                            ZREM,ZCARD,ZRANGE,SADD,SREM,SCARD,SMEMBERS,PEXPIRE,PTTL";

/// Commands that only listings use: who may not use them can run pipelines all the same.
pub const LISTING_COMMANDS: &str = "SCAN,ZSCAN,ZRANK";

pub struct Script {
    text: String,
    /// SHA-1 in hex, the server's name for it.
    hash: String,
}

impl Script {
    /// Comments and indentation stay here; lines keep their numbers, for errors.
    fn new(text: &str) -> Self {
        let lines = text.lines().map(str::trim_start).map(|line| if line.starts_with("--") { "" } else { line });
        let text = lines.collect::<Vec<_>>().join("\n");
        let hash = redis::Script::new(&text).get_hash().to_owned();
        Self { text, hash }
    }

    /// A call on the keys of one prefix; arguments follow.
    pub fn call(&self, prefix: &str) -> Cmd {
        let mut cmd = redis::cmd("EVALSHA");
        cmd.arg(&self.hash).arg(1).arg(prefix);
        cmd
    }
}

pub struct Scripts {
    pub commit: Script,
    pub lookup: Script,
    pub parked: Script,
    pub advance: Script,
    pub start: Script,
    pub open: Script,
    pub lease: Script,
}

impl Scripts {
    pub fn new(commit: &str) -> Self {
        Self {
            commit: Script::new(commit),
            lookup: Script::new(include_str!("lookup.lua")),
            parked: Script::new(include_str!("parked.lua")),
            advance: Script::new(include_str!("advance.lua")),
            start: Script::new(include_str!("start.lua")),
            open: Script::new(include_str!("open.lua")),
            lease: Script::new(include_str!("lease.lua")),
        }
    }

    pub fn load(&self) -> Pipeline {
        let mut pipeline = redis::pipe();
        for script in [&self.commit, &self.lookup, &self.parked, &self.advance, &self.start, &self.open, &self.lease] {
            pipeline.cmd("SCRIPT").arg("LOAD").arg(&script.text);
        }
        pipeline
    }
}
