//! The servers of the test harness itself: what other tests rely on.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::time::Duration;

use crate::support::servers::{NatsServer, RedisServer};
use crate::support::wait::eventually;

fn ask(server: &RedisServer, command: &str) -> std::io::Result<String> {
    let mut stream = TcpStream::connect(("127.0.0.1", server.port))?;
    stream.set_read_timeout(Some(Duration::from_millis(200)))?;
    stream.write_all(format!("{command}\r\n").as_bytes())?;
    let mut reply = [0; 256];
    let len = stream.read(&mut reply)?;
    Ok(String::from_utf8_lossy(&reply[..len]).into_owned())
}

#[test]
fn redis_comes_back_on_its_port_with_its_data() {
    let mut server = RedisServer::start();
    assert_eq!(ask(&server, "SET a 1").unwrap(), "+OK\r\n");
    server.kill9();
    assert!(ask(&server, "GET a").is_err());
    server.restart();
    assert_eq!(ask(&server, "GET a").unwrap(), "$1\r\n1\r\n");
}

#[test]
fn redis_forgets_what_was_cut_from_its_append_only_file() {
    let mut server = RedisServer::start();
    ask(&server, "SET a 1").unwrap();
    let before = server.aof_size();
    ask(&server, "SET b 2").unwrap();
    assert!(server.aof_size() > before + 3);
    // Into the middle of the second command: the server drops the torn rest as after a power failure.
    server.kill9();
    server.truncate_aof(before + 3);
    server.restart();
    assert_eq!(ask(&server, "GET a").unwrap(), "$1\r\n1\r\n");
    assert_eq!(ask(&server, "GET b").unwrap(), "$-1\r\n");
}

#[tokio::test]
async fn each_redis_is_a_server_of_its_own() {
    let (one, two) = (RedisServer::start(), RedisServer::with_args(&["--appendfsync", "always"]));
    for (server, appendfsync) in [(&one, "everysec"), (&two, "always")] {
        let client = redis::Client::open(server.url()).unwrap();
        let mut connection = client.get_multiplexed_async_connection().await.unwrap();
        let setting: Vec<String> =
            redis::cmd("CONFIG").arg("GET").arg("appendfsync").query_async(&mut connection).await.unwrap();
        assert_eq!(setting, ["appendfsync", appendfsync]);
    }
}

#[tokio::test]
async fn a_frozen_redis_answers_again_when_continued() {
    let server = RedisServer::start();
    server.sigstop();
    assert!(ask(&server, "PING").is_err());
    server.sigcont();
    eventually(Duration::from_secs(5), "an answer", async || ask(&server, "PING").is_ok()).await;
}

#[tokio::test]
async fn nats_comes_back_on_its_port_with_its_streams() {
    let mut server = NatsServer::start();
    let client = async_nats::connect(server.url()).await.unwrap();
    let js = async_nats::jetstream::new(client);
    let config =
        async_nats::jetstream::stream::Config { name: "S".into(), subjects: vec!["s".into()], ..Default::default() };
    js.create_stream(config).await.unwrap();
    js.publish("s", "1".into()).await.unwrap().await.unwrap();
    server.stop();
    server.restart();
    let client = async_nats::connect(server.url()).await.unwrap();
    let stream = async_nats::jetstream::new(client).get_stream("S").await.unwrap();
    assert_eq!(stream.cached_info().state.messages, 1);
}
