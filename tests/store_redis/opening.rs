//! What `open` finds out, and how it says so.

use std::sync::atomic::AtomicI64;

use super::*;
use sluicegate::clock::Clock;
use sluicegate::store::{Durability, Opened};

async fn open(config: RedisConfig) -> Result<Opened, StoreError> {
    RedisStore::new(config, Arc::new(SystemClock)).unwrap().open(WRITER).await
}

async fn refusal(config: RedisConfig) -> String {
    match open(config).await {
        Err(StoreError::Refused(why)) => why,
        other => panic!("not refused: {other:?}"),
    }
}

fn with_url(url: String) -> RedisConfig {
    RedisConfig { url: SecretString::from(url), ..config(0, "p") }
}

#[tokio::test]
async fn durability_follows_the_settings_of_the_server() {
    let server = RedisServer::start();
    let mut raw = Raw::new(&server);
    let auto = || config(server.port, "p");
    let strict = || RedisConfig { durability: DurabilityChoice::Strict, ..auto() };
    let relaxed = || RedisConfig { durability: DurabilityChoice::Relaxed, ..auto() };

    for (settings, said) in [
        (["appendfsync", "everysec"], "once a second"),
        (["appendfsync", "no"], "leaves writing to disk to the system"),
        (["appendonly", "no"], "no append-only file"),
    ] {
        raw.run::<()>(&["CONFIG", "SET", settings[0], settings[1]]);
        let opened = open(auto()).await.unwrap();
        assert_eq!(opened.durability, Durability::Relaxed);
        assert!(matches!(&opened.warnings[..], [one] if one.contains(said)), "{:?}", opened.warnings);
        assert!(refusal(strict()).await.contains("appendfsync always"));
        assert_eq!(open(relaxed()).await.unwrap().warnings, [""; 0]);
    }
    raw.run::<()>(&["CONFIG", "SET", "appendonly", "yes"]);
    raw.run::<()>(&["CONFIG", "SET", "appendfsync", "always"]);
    for config in [auto(), strict()] {
        let opened = open(config).await.unwrap();
        assert_eq!((opened.durability, opened.warnings), (Durability::Strict, vec![]));
    }
    assert_eq!(open(relaxed()).await.unwrap().durability, Durability::Relaxed);
    raw.run::<()>(&["CONFIG", "SET", "no-appendfsync-on-rewrite", "yes"]);
    assert_eq!(open(auto()).await.unwrap().durability, Durability::Relaxed);
}

#[tokio::test]
async fn passwords_are_asked_for_and_never_repeated() {
    let server = RedisServer::start();
    Raw::new(&server).run::<()>(&["CONFIG", "SET", "requirepass", "open-sesame"]);
    let at = format!("127.0.0.1:{}", server.port);
    let missing = refusal(with_url(format!("redis://{at}"))).await;
    assert!(missing.contains("asks for a password") && missing.contains(&at), "{missing}");
    for wrong in ["redis://:let-me-in", "redis://somebody:let-me-in"] {
        let why = refusal(with_url(format!("{wrong}@{at}"))).await;
        assert!(why.contains("refused user or password") && !why.contains("let-me-in"), "{why}");
    }
    open(with_url(format!("redis://:open-sesame@{at}"))).await.unwrap();
    let nobody = open(with_url("redis://:let-me-in@127.0.0.1:1".to_owned())).await;
    assert!(matches!(&nobody, Err(StoreError::Unavailable(why)) if !why.contains("let-me-in")), "{nobody:?}");
    let no_url = RedisStore::new(with_url("redis//:let-me-in@127.0.0.1".to_owned()), Arc::new(SystemClock));
    assert!(matches!(no_url.err(), Some(StoreError::Refused(why)) if !why.contains("let-me-in")));
}

#[tokio::test]
async fn a_user_without_a_needed_permission_is_refused_and_one_without_config_is_warned() {
    let server = RedisServer::start();
    let mut raw = Raw::new(&server);
    fn user<'a>(rules: &[&'a str]) -> Vec<&'a str> {
        [&["ACL", "SETUSER", "bob", "reset", "on", ">pw"], rules].concat()
    }
    let bob = || with_url(format!("redis://bob:pw@127.0.0.1:{}", server.port));
    raw.run::<()>(&user(&["~{sluice:*", "+@all", "-config"]));
    let opened = open(bob()).await.unwrap();
    assert_eq!(opened.durability, Durability::Relaxed);
    assert!(opened.warnings.iter().any(|w| w.contains("does not let its settings be read")), "{:?}", opened.warnings);
    let before = raw.dump();
    for command in ["zadd", "unlink", "hset", "getrange"] {
        raw.run::<()>(&user(&["~{sluice:*", "+@all", &format!("-{command}")]));
        let why = refusal(bob()).await;
        assert!(why.contains(&format!("`{}`", command.to_uppercase())), "{why}");
    }
    raw.run::<()>(&user(&["~{sluice:p}*", "+@all"]));
    assert!(refusal(bob()).await.contains("{sluice:*"));
    assert_eq!(raw.dump(), before);
}

#[tokio::test]
async fn a_store_made_otherwise_is_refused() {
    let server = RedisServer::start();
    let mut raw = Raw::new(&server);
    let first = open(config(server.port, "p")).await.unwrap();
    assert!(first.fresh);
    let before = raw.dump();
    let why = refusal(RedisConfig { partitions: 8, ..config(server.port, "p") }).await;
    assert!(why.contains("made with 4 partitions") && why.contains("wants 8"), "{why}");
    assert_eq!(raw.dump(), before);
    for (field, value, said) in [("format", "1", "in format `1`"), ("digest_vector", "x", "spreads keys")] {
        let held: String = raw.run(&["HGET", "{sluice:p}:meta", field]);
        raw.run::<()>(&["HSET", "{sluice:p}:meta", field, value]);
        let why = refusal(config(server.port, "p")).await;
        assert!(why.contains(said), "{why}");
        raw.run::<()>(&["HSET", "{sluice:p}:meta", field, &held]);
    }
    open(config(server.port, "p")).await.unwrap();
    for planted in ["meta", "runners"] {
        raw.run::<()>(&["FLUSHALL"]);
        raw.run::<()>(&["RPUSH", &format!("{{sluice:p}}:{planted}"), "x"]);
        let before = raw.dump();
        assert!(refusal(config(server.port, "p")).await.contains("sluice did not write"));
        assert_eq!(raw.dump(), before);
    }
}

#[tokio::test]
async fn a_server_that_evicts_is_refused() {
    let server = RedisServer::start();
    let mut raw = Raw::new(&server);
    raw.run::<()>(&["CONFIG", "SET", "maxmemory-policy", "allkeys-lru"]);
    open(config(server.port, "p")).await.expect("without a limit it never evicts");
    raw.run::<()>(&["CONFIG", "SET", "maxmemory", "100mb"]);
    assert!(refusal(config(server.port, "p")).await.contains("CONFIG SET maxmemory-policy noeviction"));
}

#[tokio::test]
async fn clusters_are_refused_and_replicas_are_waited_for() {
    let cluster = RedisServer::with_args(&["--cluster-enabled", "yes"]);
    assert!(refusal(config(cluster.port, "p")).await.contains("is a cluster"));
    let server = RedisServer::start();
    Raw::new(&server).run::<()>(&["REPLICAOF", "127.0.0.1", "1"]);
    let answer = open(config(server.port, "p")).await;
    assert!(matches!(&answer, Err(StoreError::Unavailable(why)) if why.contains("replica")), "{answer:?}");
}

#[tokio::test]
async fn clocks_far_apart_are_told() {
    struct Fast;
    impl Clock for Fast {
        fn now(&self) -> Millis {
            SystemClock.now().plus(Duration::from_secs(60))
        }
    }
    let server = RedisServer::start();
    let store = RedisStore::new(config(server.port, "p"), Arc::new(Fast)).unwrap();
    let opened = store.open(WRITER).await.unwrap();
    let told = opened.warnings.iter().any(|w| w.contains("60.0 s behind") || w.contains("59.9 s behind"));
    assert!(told, "{:?}", opened.warnings);
}

#[tokio::test]
async fn a_clean_stop_settles_the_end_of_the_silent_and_not_of_the_living() {
    struct Hands(AtomicI64);
    impl Clock for Hands {
        fn now(&self) -> Millis {
            Millis(self.0.load(Ordering::Relaxed))
        }
    }
    let server = RedisServer::start();
    let mut raw = Raw::new(&server);
    let mut noted = || {
        let mut runners: Vec<String> = raw.run(&["HKEYS", "{sluice:p}:runners"]);
        runners.sort();
        runners
    };
    let clock = Arc::new(Hands(AtomicI64::new(NOW.0)));
    let runners = [1, 2, 3].map(|n| WriterId([n; 16]));
    let [silent, living, closing] = runners.map(|_| RedisStore::new(config(server.port, "p"), clock.clone()).unwrap());
    for (store, runner) in [&silent, &living, &closing].into_iter().zip(runners) {
        store.open(runner).await.unwrap();
    }
    clock.0.fetch_add(61_000, Ordering::Relaxed);
    assert!(!is_marked(&living, 1).await);
    closing.close(runners[2]).await.unwrap();
    assert_eq!(noted(), ["02".repeat(16)]);
    assert!(!is_marked(&closing, 1).await && !is_marked(&silent, 1).await);
    assert_eq!(noted(), ["01".repeat(16), "02".repeat(16)], "who was silent and lives after all is noted again");
}
