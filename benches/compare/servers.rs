//! A NATS and a Redis server for one run, with the streams that every side finds.

use std::fs;
use std::time::{Duration, Instant};

use async_nats::Client;
use futures_util::StreamExt as _;
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::measure::RedisUse;
use crate::support::servers::{NatsServer, RedisServer};
use crate::workload::Event;

pub const IN_STREAM: &str = "BENCH_IN";
pub const IN: &str = "bench.in";
pub const OUT_STREAM: &str = "BENCH_OUT";
pub const OUT: &str = "bench.out";
/// What `sluice` calls it; the other sides call it so, too.
pub const CONSUMER: &str = "sluice-bench-orders";

/// Published and not yet confirmed. The server drops what it has no room for when it is sent ten thousand at once.
const WINDOW: usize = 2_000;
const PATIENCE: Duration = Duration::from_secs(60);

pub struct Servers {
    pub nats: NatsServer,
    pub redis: RedisServer,
    pub nats_process: u32,
    pub redis_process: u32,
    pub client: Client,
    _pid: TempDir,
}

/// How far a consumer is.
#[derive(Clone, Copy, Default)]
pub struct Progress {
    pub delivered: u64,
    pub pending: u64,
    pub unacked: u64,
    /// Of the stream: all below it is acked.
    pub floor: u64,
    /// Requests that wait for messages.
    pub waiting: u64,
}

impl Servers {
    /// Fresh ones, with empty streams.
    pub async fn start(strict: bool) -> Result<Self, String> {
        let pid = tempfile::tempdir().map_err(|error| format!("there is no temporary directory: {error}"))?;
        let file = pid.path().join("nats.pid");
        let nats = NatsServer::with_config(&format!("pid_file: {:?}\n", file.display().to_string()));
        let redis = RedisServer::with_args(if strict { &["--appendfsync", "always"] } else { &[] });
        let nats_process = fs::read_to_string(&file).ok().and_then(|text| text.trim().parse().ok());
        let client = async_nats::connect(nats.url()).await.map_err(|error| format!("nats: {error}"))?;
        let mut servers = Self {
            nats,
            redis,
            nats_process: nats_process.ok_or("nats-server does not say its process id")?,
            redis_process: 0,
            client,
            _pid: pid,
        };
        let info = servers.info()?;
        let id = info.lines().find_map(|line| line.strip_prefix("process_id:")?.trim().parse().ok());
        servers.redis_process = id.ok_or("redis does not say its process id")?;
        servers.stream(IN_STREAM, &[IN], json!({})).await?;
        servers.stream(OUT_STREAM, &[OUT, "bench.out.>"], json!({})).await?;
        Ok(servers)
    }

    /// Makes a stream on disk; `more` are fields of its configuration.
    async fn stream(&self, name: &str, subjects: &[&str], more: Value) -> Result<(), String> {
        let mut config =
            json!({ "name": name, "subjects": subjects, "storage": "file", "retention": "limits", "num_replicas": 1 });
        for (field, value) in more.as_object().into_iter().flatten() {
            config[field] = value.clone();
        }
        self.api(&format!("STREAM.CREATE.{name}"), &config).await.map(|_| ())
    }

    /// From now on the stream of emissions keeps only the last ones.
    pub async fn keep_few_emissions(&self) -> Result<(), String> {
        let config = json!({
            "name": OUT_STREAM, "subjects": [OUT, "bench.out.>"], "storage": "file", "retention": "limits",
            "num_replicas": 1, "max_msgs": 10_000,
        });
        self.api(&format!("STREAM.UPDATE.{OUT_STREAM}"), &config).await.map(|_| ())
    }

    /// Forgets the events below a sequence.
    pub async fn forget_events_below(&self, sequence: u64) -> Result<(), String> {
        self.api(&format!("STREAM.PURGE.{IN_STREAM}"), &json!({ "seq": sequence })).await.map(|_| ())
    }

    /// Asks JetStream; an answer that is an error is one.
    async fn api(&self, what: &str, request: &Value) -> Result<Value, String> {
        let subject = format!("$JS.API.{what}");
        let answer = self.client.request(subject, request.to_string().into()).await;
        let answer = answer.map_err(|error| format!("nats does not answer {what}: {error}"))?;
        let answer: Value = serde_json::from_slice(&answer.payload).map_err(|error| format!("{what}: {error}"))?;
        match answer["error"]["description"].as_str() {
            Some(why) => Err(format!("{what}: {why}")),
            None => Ok(answer),
        }
    }

    /// `None` as long as the consumer is not there.
    pub async fn progress(&self, consumer: &str) -> Result<Option<Progress>, String> {
        match self.api(&format!("CONSUMER.INFO.{IN_STREAM}.{consumer}"), &json!({})).await {
            Err(why) if why.ends_with("consumer not found") => Ok(None),
            Err(why) => Err(why),
            Ok(info) => {
                let number = |value: &Value| value.as_u64().unwrap_or(0);
                Ok(Some(Progress {
                    delivered: number(&info["delivered"]["consumer_seq"]),
                    pending: number(&info["num_pending"]),
                    unacked: number(&info["num_ack_pending"]),
                    floor: number(&info["ack_floor"]["stream_seq"]),
                    waiting: number(&info["num_waiting"]),
                }))
            }
        }
    }

    /// How many messages a stream took since it was made.
    pub async fn taken(&self, stream: &str) -> Result<u64, String> {
        let info = self.api(&format!("STREAM.INFO.{stream}"), &json!({})).await?;
        info["state"]["last_seq"].as_u64().ok_or_else(|| format!("`{stream}` does not say how much it holds"))
    }

    /// Publishes events, each confirmed. The ids among them: copies count once.
    pub async fn fill(&self, events: impl Iterator<Item = Event>) -> Result<u64, String> {
        let inbox = self.client.new_inbox();
        let failed = |error: &dyn std::fmt::Display| format!("the events cannot be published: {error}");
        let mut confirms = self.client.subscribe(inbox.clone()).await.map_err(|error| failed(&error))?;
        let (mut open, mut distinct) = (0, 0);
        for event in events {
            distinct = distinct.max(event.id + 1);
            let sent = self.client.publish_with_reply(IN, inbox.clone(), event.payload.into()).await;
            sent.map_err(|error| failed(&error))?;
            open += 1;
            while open > WINDOW {
                self.confirmed(&mut confirms, &mut open).await?;
            }
        }
        while open > 0 {
            self.confirmed(&mut confirms, &mut open).await?;
        }
        Ok(distinct)
    }

    async fn confirmed(&self, confirms: &mut async_nats::Subscriber, open: &mut usize) -> Result<(), String> {
        let confirm = tokio::time::timeout(PATIENCE, confirms.next()).await.ok().flatten();
        let confirm = confirm.ok_or("nats does not confirm events")?;
        if confirm.payload.windows(7).any(|part| part == b"\"error\"") {
            return Err(format!("nats refuses an event: {}", String::from_utf8_lossy(&confirm.payload)));
        }
        *open -= 1;
        Ok(())
    }

    /// Asks until a side's consumer is there and asks for messages.
    pub async fn until_ready(&self, consumer: &str) -> Result<(), String> {
        let start = Instant::now();
        while self.progress(consumer).await?.is_none_or(|progress| progress.waiting == 0) {
            if start.elapsed() > PATIENCE {
                return Err(format!("the side does not ask for messages as `{consumer}`"));
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        Ok(())
    }

    pub fn redis_use(&self) -> Result<RedisUse, String> {
        self.info().map(|info| RedisUse::of(&info))
    }

    /// What NATS and Redis (or Valkey) call themselves.
    pub fn versions(&self) -> Result<(String, String), String> {
        let info = self.info()?;
        let of =
            |name: &str| info.lines().find_map(|line| line.strip_prefix(name)).map(|version| version.trim().to_owned());
        let valkey = of("valkey_version:").map(|version| format!("valkey {version}"));
        let redis = valkey.or_else(|| of("redis_version:")).unwrap_or_default();
        Ok((self.client.server_info().version, redis))
    }

    /// `redis://127.0.0.1:PORT/0`
    pub fn redis_url(&self) -> String {
        format!("{}/0", self.redis.url())
    }

    fn info(&self) -> Result<String, String> {
        let failed = |error: redis::RedisError| format!("redis does not answer: {error}");
        let client = redis::Client::open(self.redis.url()).map_err(failed)?;
        redis::cmd("INFO").query(&mut client.get_connection().map_err(failed)?).map_err(failed)
    }
}
