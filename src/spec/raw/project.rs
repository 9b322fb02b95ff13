//! `sluice.yaml`, but for its channels.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::Deserialize;

use super::super::values;
use super::{Channel, Reliability};

/// Where the things live that pipelines name: connections, channels, the store. Every line is optional.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Project {
    /// Version of this file's format.
    #[schemars(extend("const" = 1, "default" = 1))]
    pub format: Option<u64>,
    /// Directory of the events' schemas, one file a version: `schemas/OrderCreated/1.json`. Relative to this file.
    #[schemars(extend("default" = "schemas"))]
    pub schemas: Option<String>,
    /// Directory of the pipelines: every `.yaml` file below it is one, except for `*.test.yaml`. Relative to this file.
    #[schemars(extend("default" = "pipelines"))]
    pub pipelines: Option<String>,
    /// Servers by a name of your choice, for channels to refer to.
    pub connections: BTreeMap<String, Connection>,
    /// Where is kept what was handled, the state of every key, what is parked and what is still to be sent. Exactly
    /// one kind; without it, `embedded`.
    pub store: Option<Store>,
    /// Channels by the name that pipelines use: where events come from and go to. One that is not listed is local.
    #[schemars(extend("propertyNames" = { "pattern": values::CHANNEL }))]
    pub channels: BTreeMap<String, Channel>,
    /// Health and metrics over HTTP; without it nothing listens.
    pub admin: Option<Admin>,
    /// What holds for every pipeline that does not say otherwise.
    pub defaults: Option<Reliability>,
    /// How hard `sluice lint` takes a finding, by the id of its rule; `sluice explain` lists them.
    #[schemars(extend("propertyNames" = { "enum": values::rules() }, "examples" = [{ "SG111": "off" }]))]
    pub lint: BTreeMap<String, LintLevel>,
}

/// The level of a rule of `sluice lint`.
#[derive(Clone, Copy, Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase", expecting = "one of `off`, `info`, `warning`, `error`")]
pub enum LintLevel {
    Off,
    Info,
    Warning,
    Error,
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase", expecting = "one of `nats`")]
pub enum Connection {
    /// A NATS server, or a cluster of them, with JetStream.
    Nats(Nats),
}

#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
#[schemars(extend("required" = ["url"]))]
pub struct Nats {
    /// Begins with `nats://`, `tls://`, `ws://` or `wss://`; several, separated by commas, are one cluster.
    #[schemars(schema_with = "values::nats_url", example = &"${NATS_URL:-nats://127.0.0.1:4222}")]
    pub url: Option<String>,
    /// Encryption of the connection.
    pub tls: Option<Tls>,
    /// Path of a credentials file, relative to the project. Of `creds`, `nkey`, `token` and `user` only one may be given.
    #[schemars(example = &"/run/secrets/nats.creds")]
    pub creds: Option<String>,
    /// An nkey's seed.
    #[schemars(example = &"${file:/run/secrets/nkey}")]
    pub nkey: Option<String>,
    /// A token.
    #[schemars(example = &"${NATS_TOKEN}")]
    pub token: Option<String>,
    /// A user's name; goes with `password`.
    #[schemars(example = &"shop")]
    pub user: Option<String>,
    /// The user's password.
    #[schemars(example = &"${file:/run/secrets/nats}")]
    pub password: Option<String>,
}

#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
#[schemars(extend("dependencies" = { "cert": ["key"], "key": ["cert"] }))]
pub struct Tls {
    /// Refuse a connection that is not encrypted.
    #[schemars(extend("default" = false))]
    pub required: Option<bool>,
    /// Path of a PEM file with the authorities to trust, beside the system's. Relative to the project.
    #[schemars(example = &"ca.pem")]
    pub ca: Option<String>,
    /// Path of a PEM file with the client's certificate; goes with `key`.
    #[schemars(example = &"client.pem")]
    pub cert: Option<String>,
    /// Path of a PEM file with the client's private key.
    #[schemars(example = &"client.key")]
    pub key: Option<String>,
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase", expecting = "one of `embedded`, `redis`, `memory`")]
pub enum Store {
    /// The project's own database, in a directory of this machine; also what there is without `store`. One `sluice run` at
    /// a time. Local channels live there too.
    Embedded(Embedded),
    /// A Redis or Valkey server, 7.0 or later, no cluster. The store of several runners.
    Redis(Redis),
    /// Remembers until the process ends: for trying things out.
    Memory(Nothing),
}

#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Embedded {
    /// The directory, relative to the project. It is made when it is not there.
    #[schemars(extend("default" = ".sluice"))]
    pub path: Option<String>,
}

#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
#[schemars(extend("required" = ["url"]))]
pub struct Redis {
    /// Begins with `redis://`, or `rediss://` for TLS; may hold user, password and database. A certificate must be issued by
    /// an authority that this system trusts, or one in the file that `SSL_CERT_FILE` names.
    #[schemars(schema_with = "values::redis_url", example = &"${REDIS_URL:-redis://127.0.0.1:6379}")]
    pub url: Option<String>,
    /// What a power failure may cost. `auto`: as the server's settings say. `strict`: refuse to start unless a reply is
    /// durable (`appendfsync always`). `relaxed`: accept without a warning that the last second or two can be lost.
    #[schemars(extend("default" = "auto"))]
    pub durability: Option<Durability>,
}

#[derive(Clone, Copy, Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase", expecting = "one of `auto`, `strict`, `relaxed`")]
pub enum Durability {
    Auto,
    Strict,
    Relaxed,
}

/// `{}`
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Nothing {}

#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Admin {
    /// Address and port. One that is not loopback needs a `token`.
    #[schemars(schema_with = "values::listen", extend("default" = "127.0.0.1:7474"))]
    pub listen: Option<String>,
    /// What a caller must send as `Authorization: Bearer …`.
    #[schemars(example = &"${file:/run/secrets/sluice}")]
    pub token: Option<String>,
}
