//! `sluice.yaml`: connections, store, admin; the channels that are listed in it are in `listed.rs`.

mod listed;

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;

use secrecy::SecretString;

use super::super::document::Document;
use super::super::locate::NodePath;
use super::super::program::{Admin, Channel, DurabilityChoice, NatsAuth, NatsConnection, NatsTls, StoreConfig};
use super::super::variables::Expanded;
use super::super::{SaidLevel, raw};
use super::reliability::Settings;
use super::{Context, Environment};
use crate::diagnostic::{Diagnostic, Level, rules};
use crate::event::ChannelName;
pub use listed::local_stream;

/// The embedded database, below the project.
const DATA: &str = ".sluice";
const DEFAULT_LISTEN: &str = "127.0.0.1:7474";

pub struct Project {
    /// `None`: there is no `sluice.yaml`.
    pub document: Option<Arc<Document>>,
    /// Relative to the root, both.
    pub schemas: PathBuf,
    pub pipelines: PathBuf,
    pub store: StoreConfig,
    pub data: PathBuf,
    pub connections: BTreeMap<Arc<str>, NatsConnection>,
    /// Those that are listed.
    pub channels: BTreeMap<ChannelName, Channel>,
    /// Listed, but broken: nothing more is said about them.
    pub broken_channels: Vec<String>,
    pub admin: Option<Admin>,
    pub defaults: Settings,
    pub levels: Vec<SaidLevel>,
}

pub fn compile(context: &mut Context<'_>) -> Project {
    let (raw, document) = context.raw_project();
    let mut project = Project {
        document: None,
        schemas: "schemas".into(),
        pipelines: "pipelines".into(),
        store: StoreConfig::Embedded,
        data: context.files.root().join(DATA),
        connections: BTreeMap::new(),
        channels: BTreeMap::new(),
        broken_channels: Vec::new(),
        admin: None,
        defaults: Settings::default(),
        levels: Vec::new(),
    };
    let Some(document) = document.map(Arc::new) else { return project };
    let root = NodePath::default();
    context.check_format(raw.format, &document);
    // Names and places within the project say what the program is: no variable changes that.
    for (text, directory) in [(raw.schemas, &mut project.schemas), (raw.pipelines, &mut project.pipelines)] {
        if let Some(text) = text {
            *directory = text.into();
        }
    }
    let mut reader = Reader { context, document: &document };
    let mut known_connections: Vec<Arc<str>> = Vec::new();
    for (name, raw::Connection::Nats(nats)) in &raw.connections {
        let path = root.key("connections").key(name);
        known_connections.push(name.as_str().into());
        let connection = reader.nats(nats, &path.key("nats"));
        project.connections.extend(connection.map(|connection| (name.as_str().into(), connection)));
    }
    if let Some(store) = reader.store(raw.store.as_ref()) {
        project.store = store;
    }
    if let Some(raw::Store::Embedded(embedded)) = &raw.store
        && let Some(path) = reader.directory(embedded.path.as_ref(), &root.key("store").key("embedded").key("path"))
    {
        project.data = path;
    }
    for (name, channel) in &raw.channels {
        match reader.channel(name, channel, &known_connections) {
            Some(channel) => {
                project.channels.insert(channel.name.clone(), channel);
            }
            None => project.broken_channels.push(name.clone()),
        }
    }
    reader.local_streams_agree(&project.channels);
    project.admin = raw.admin.as_ref().and_then(|admin| reader.admin(admin));
    if let Some(defaults) = &raw.defaults {
        let base = root.key("defaults");
        project.defaults = Settings::read(reader.context, &document, &base, defaults);
    }
    project.levels = raw.lint.iter().map(|(rule, level)| said(rule, *level, &document)).collect();
    project.document = Some(document);
    project
}

fn said(rule: &str, level: raw::LintLevel, document: &Document) -> SaidLevel {
    let level = match level {
        raw::LintLevel::Off => None,
        raw::LintLevel::Info => Some(Level::Info),
        raw::LintLevel::Warning => Some(Level::Warning),
        raw::LintLevel::Error => Some(Level::Error),
    };
    SaidLevel { rule: rule.to_owned(), level, at: document.at_key(&NodePath::default().key("lint").key(rule)) }
}

struct Reader<'r, 'c> {
    context: &'r mut Context<'c>,
    document: &'r Document,
}

impl Reader<'_, '_> {
    fn text(&mut self, text: Option<&String>, path: &NodePath) -> Option<Expanded> {
        self.context.expand(text?, self.document, path)
    }

    fn secret(&mut self, text: Option<&String>, path: &NodePath) -> Option<SecretString> {
        let expanded = self.text(text, path)?;
        if expanded.value.is_empty() {
            self.context.error(&rules::NOT_SAID, "this is empty", self.document, path);
            return None;
        }
        Some(expanded.value.into())
    }

    fn error(&mut self, rule: &rules::Rule, message: &str, path: &NodePath) {
        self.context.error(rule, message, self.document, path);
    }

    /// A URL of one of these schemes; never shown, for it may hold a password.
    fn url(&mut self, text: Option<&String>, base: &NodePath, schemes: &[&str], example: &str) -> Option<SecretString> {
        let path = base.key("url");
        let help = format!("like `url: {example}`");
        let text = self.context.require(text, self.document, base, "url", &help)?;
        let expanded = self.text(Some(text), &path)?;
        let scheme = expanded.value.split_once("://").map(|(scheme, rest)| (scheme, rest.is_empty()));
        if expanded.known && !matches!(scheme, Some((scheme, false)) if schemes.contains(&scheme)) {
            let message = format!("this is not a URL like `{example}`");
            let error = Diagnostic::new(&rules::BAD_ADDRESS, message).at(self.document.at(&path));
            let known: Vec<String> = schemes.iter().map(|scheme| format!("`{scheme}://`")).collect();
            self.context.push(error.help(format!("it begins with {}", known.join(", "))));
            return None;
        }
        Some(expanded.value.into())
    }

    fn nats(&mut self, raw: &raw::Nats, base: &NodePath) -> Option<NatsConnection> {
        let url = self.url(raw.url.as_ref(), base, &["nats", "tls", "ws", "wss"], "nats://127.0.0.1:4222");
        let auth = self.nats_auth(raw, base);
        let tls = raw.tls.as_ref().map_or_else(NatsTls::default, |tls| self.tls(tls, &base.key("tls")));
        Some(NatsConnection { url: url?, auth: auth?, tls })
    }

    fn nats_auth(&mut self, raw: &raw::Nats, base: &NodePath) -> Option<NatsAuth> {
        let user = raw.user.is_some() || raw.password.is_some();
        let ways = [
            ("creds", raw.creds.is_some()),
            ("nkey", raw.nkey.is_some()),
            ("token", raw.token.is_some()),
            ("user", user),
        ];
        let given: Vec<&str> = ways.iter().filter(|(_, given)| *given).map(|(key, _)| *key).collect();
        if let [first, second, ..] = given.as_slice() {
            let message = format!("`{first}` and `{second}` are two ways to authenticate; keep one");
            self.error(&rules::CONTRADICTION, &message, &base.key(second));
            return None;
        }
        if raw.creds.is_some() {
            return self.file(raw.creds.as_ref(), &base.key("creds")).map(NatsAuth::Creds);
        }
        if raw.nkey.is_some() {
            return self.secret(raw.nkey.as_ref(), &base.key("nkey")).map(NatsAuth::NKey);
        }
        if raw.token.is_some() {
            return self.secret(raw.token.as_ref(), &base.key("token")).map(NatsAuth::Token);
        }
        if user {
            let help = "`user` and `password` go together";
            let user = self.context.require(raw.user.as_ref(), self.document, base, "user", help);
            let password = self.context.require(raw.password.as_ref(), self.document, base, "password", help);
            let user = self.text(user, &base.key("user"));
            let password = self.secret(password, &base.key("password"));
            return Some(NatsAuth::User { user: user?.value, password: password? });
        }
        Some(NatsAuth::None)
    }

    fn tls(&mut self, raw: &raw::Tls, base: &NodePath) -> NatsTls {
        let required = raw.required.unwrap_or(false);
        let ca = self.file(raw.ca.as_ref(), &base.key("ca"));
        let cert = self.file(raw.cert.as_ref(), &base.key("cert"));
        let key = self.file(raw.key.as_ref(), &base.key("key"));
        if raw.cert.is_some() != raw.key.is_some() {
            self.error(&rules::NOT_SAID, "`cert` and `key` go together", base);
        }
        NatsTls { required, ca, cert, key }
    }

    /// A file that is read when connecting, inside of the project or not.
    fn file(&mut self, text: Option<&String>, path: &NodePath) -> Option<PathBuf> {
        let text = text?;
        let expanded = self.text(Some(text), path)?;
        let file = self.context.files.root().join(&expanded.value);
        if expanded.known {
            self.context.note_absent(&expanded.value, self.document, path);
        }
        if matches!(self.context.environment, Environment::Is(_)) && !file.is_file() {
            self.error(&rules::MISSING_FILE, &format!("the file `{text}` does not exist"), path);
            return None;
        }
        Some(file)
    }

    /// A directory that is made when it is needed, inside of the project or not.
    fn directory(&mut self, text: Option<&String>, path: &NodePath) -> Option<PathBuf> {
        let expanded = self.text(text, path)?;
        if expanded.known && expanded.value.is_empty() {
            self.error(&rules::NOT_SAID, "this is empty", path);
            return None;
        }
        Some(self.context.files.root().join(expanded.value))
    }

    fn store(&mut self, raw: Option<&raw::Store>) -> Option<StoreConfig> {
        match raw? {
            raw::Store::Embedded(_) => Some(StoreConfig::Embedded),
            raw::Store::Memory(raw::Nothing {}) => Some(StoreConfig::Memory),
            raw::Store::Redis(redis) => {
                let base = NodePath::default().key("store").key("redis");
                let url = self.url(redis.url.as_ref(), &base, &["redis", "rediss"], "redis://127.0.0.1:6379")?;
                let durability = match redis.durability {
                    None | Some(raw::Durability::Auto) => DurabilityChoice::Auto,
                    Some(raw::Durability::Strict) => DurabilityChoice::Strict,
                    Some(raw::Durability::Relaxed) => DurabilityChoice::Relaxed,
                };
                Some(StoreConfig::Redis { url, durability })
            }
        }
    }

    fn admin(&mut self, raw: &raw::Admin) -> Option<Admin> {
        let base = NodePath::default().key("admin");
        let path = base.key("listen");
        let default = DEFAULT_LISTEN.to_owned();
        let listen = self.text(Some(raw.listen.as_ref().unwrap_or(&default)), &path);
        let token = self.secret(raw.token.as_ref(), &base.key("token"));
        let listen = listen?;
        let text = if listen.known { listen.value.replace("localhost:", "127.0.0.1:") } else { default };
        let Ok(listen) = text.parse::<SocketAddr>() else {
            self.error(&rules::BAD_ADDRESS, "this is not an address and port, like `127.0.0.1:7474`", &path);
            return None;
        };
        if !listen.ip().is_loopback() && raw.token.is_none() && !self.document.is_damaged(&base.key("token")) {
            let message = "whoever reaches this address could change the running system";
            let error = Diagnostic::new(&rules::OPEN_DOOR, message).at(self.document.at(&path));
            self.context.push(error.help("add a `token`, or listen on a loopback address"));
            return None;
        }
        if raw.token.is_some() && token.is_none() {
            return None;
        }
        Some(Admin { listen, token })
    }
}
