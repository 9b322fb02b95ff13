//! TLS against certificates of an authority of one's own.

use super::sandbox::Sandbox;
use crate::support::servers::{NatsServer, RedisServer};
use crate::support::tls::{Certificates, TlsFront};

const EVENT: &str = r#"{"type":"OrderCreated","version":2,"data":{"order_id":"o-1","customer_id":"c","total_cents":1,"currency":"EUR"}}"#;

#[test]
fn nats_is_reached_over_tls_with_its_authority_and_with_no_other() {
    let (ours, other) = (Certificates::issue(), Certificates::issue());
    let files = Sandbox::empty().file("cert.pem", &ours.certificate).file("key.pem", &ours.key);
    let path = |name: &str| files.path().join(name).display().to_string();
    let config = format!("tls {{ cert_file: \"{}\", key_file: \"{}\" }}", path("cert.pem"), path("key.pem"));
    let (nats, redis) = (NatsServer::with_config(&config), RedisServer::start());
    let connection = format!("url: \"tls://127.0.0.1:{}\", tls: {{ ca: ca.pem }}", nats.port);
    let sandbox = Sandbox::sample(&nats, &redis)
        .edited("sluice.yaml", "url: \"${NATS_URL:-nats://127.0.0.1:4222}\"", &connection)
        .file("ca.pem", &other.authority);

    let running = sandbox.run(&[]);
    let why = "TLS with it fails: its certificate must name this host, and be issued by `tls.ca` of the connection or by \
               an authority that this system trusts";
    running.until("it says why", |run| run.get("/readyz", &[]).1.contains(why));
    running.until_logged(why);
    running.terminated().expect(0);

    let sandbox = sandbox.file("ca.pem", &ours.authority);
    let running = sandbox.run(&[]);
    running.until_ready();
    sandbox.sluice_fed(&["publish", "orders"], EVENT).expect(0);
    running.until_metric("sluice_received_total{pipeline=\"fulfilment\"}", 1.0);
    running.terminated().expect(0);
}

#[tokio::test(flavor = "multi_thread")]
async fn redis_is_reached_over_tls_with_its_authority_and_with_no_other() {
    let (ours, other) = (Certificates::issue(), Certificates::issue());
    let (nats, redis) = (NatsServer::start(), RedisServer::start());
    let front = TlsFront::start(&ours, redis.port).await;
    let sandbox = Sandbox::sample(&nats, &redis)
        .file("ours.pem", &ours.authority)
        .file("other.pem", &other.authority)
        .with("REDIS_URL", &format!("rediss://127.0.0.1:{}", front.port));
    let path = |sandbox: &Sandbox, name: &str| sandbox.path().join(name).display().to_string();

    // What this system trusts is asked of the environment first.
    let file = path(&sandbox, "other.pem");
    let sandbox = sandbox.with("SSL_CERT_FILE", &file);
    let running = sandbox.run(&[]);
    running.until("it says why", |run| {
        let (status, body) = run.get("/readyz", &[]);
        status == 503
            && body.contains("TLS with redis")
            && body.contains("or one in the file that `SSL_CERT_FILE` names")
    });
    running.terminated().expect(0);

    let file = path(&sandbox, "ours.pem");
    let sandbox = sandbox.with("SSL_CERT_FILE", &file);
    let running = sandbox.run(&[]);
    running.until_ready();
    sandbox.sluice_fed(&["publish", "orders"], EVENT).expect(0);
    running.until_metric("sluice_received_total{pipeline=\"fulfilment\"}", 1.0);
    running.terminated().expect(0);
}
