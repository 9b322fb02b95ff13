//! What tests ask the broker and the store themselves, beside the runners.

use std::sync::Arc;

use async_nats::jetstream;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use futures_util::StreamExt as _;
use serde_json::{Value, json};
use sluicegate::clock::SystemClock;
use sluicegate::spec::program::DurabilityChoice;
use sluicegate::store::redis::{RedisConfig, RedisStore};

use super::fold::{PARTITIONS, PATIENCE, RETAIN};
use crate::support::servers::{NatsServer, RedisServer};
use crate::support::wait::eventually;

pub async fn connect(nats: &NatsServer) -> jetstream::Context {
    let client = async_nats::ConnectOptions::new().retry_on_initial_connect().connect(nats.url()).await.unwrap();
    jetstream::new(client)
}

pub async fn make(jetstream: &jetstream::Context, name: &str, subject: &str) {
    let config =
        jetstream::stream::Config { name: name.to_owned(), subjects: vec![subject.to_owned()], ..Default::default() };
    eventually(PATIENCE, "streams", async || jetstream.get_or_create_stream(config.clone()).await.is_ok()).await;
}

pub async fn count(jetstream: &jetstream::Context, stream: &str) -> u64 {
    match jetstream.get_stream(stream).await {
        Ok(stream) => stream.get_info().await.map_or(0, |info| info.state.messages),
        Err(_) => 0,
    }
}

/// Every event of a stream, in stream order. One by one, for none of them can break that.
pub async fn read(jetstream: &jetstream::Context, stream: &str) -> Vec<Value> {
    let total = count(jetstream, stream).await;
    let event = async |seq: u64| {
        let got: Value = jetstream.request(format!("STREAM.MSG.GET.{stream}"), &json!({ "seq": seq })).await.unwrap();
        let payload = STANDARD.decode(got["message"]["data"].as_str().unwrap()).unwrap();
        serde_json::from_slice(&payload).unwrap()
    };
    let read = futures_util::stream::iter(1..=total).map(event).buffered(64);
    tokio::time::timeout(PATIENCE, read.collect()).await.unwrap()
}

pub fn store(redis: &RedisServer, pipeline: &str) -> RedisStore {
    let config = RedisConfig {
        url: redis.url().into(),
        durability: DurabilityChoice::Auto,
        pipeline: pipeline.into(),
        partitions: PARTITIONS,
        retain: RETAIN,
    };
    RedisStore::new(config, Arc::new(SystemClock)).unwrap()
}
