//! `sluice.yaml`: connections, store, channels, admin.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use secrecy::SecretString;

use super::super::document::Document;
use super::super::locate::NodePath;
use super::super::program::{
    Admin, Channel, ChannelKind, DurabilityChoice, LocalStream, NatsAuth, NatsConnection, NatsTls, StoreConfig,
};
use super::super::variables::Expanded;
use super::super::{names, raw, units};
use super::reliability::Settings;
use super::{Context, envelope};
use crate::diagnostic::{Diagnostic, did_you_mean, rules};
use crate::event::ChannelName;

/// As JetStream has it.
const ACK_WAIT: Duration = Duration::from_secs(30);
/// The embedded database, below the project.
const DATA: &str = ".sluice";
/// What a local stream keeps of events that all its consumers are done with.
const LOCAL_BYTES: u64 = 1 << 30;
const LOCAL_AGE: Duration = Duration::from_secs(7 * 24 * 3600);
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
    project.document = Some(document);
    project
}

/// Where a channel lives of which nothing is said.
pub fn local_stream(channel: &str) -> LocalStream {
    LocalStream {
        stream: channel.to_owned(),
        subjects: vec![channel.to_owned()],
        max_bytes: LOCAL_BYTES,
        max_age: LOCAL_AGE,
    }
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
            self.context.error(rules::BAD_VALUE, "this is empty", self.document, path);
            return None;
        }
        Some(expanded.value.into())
    }

    fn error(&mut self, rule: &'static str, message: &str, path: &NodePath) {
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
            let error = Diagnostic::error(rules::BAD_VALUE, message).at(self.document.at(&path));
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
            self.error(rules::CHANNEL, &message, &base.key(second));
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
            self.error(rules::CHANNEL, "`cert` and `key` go together", base);
        }
        NatsTls { required, ca, cert, key }
    }

    /// A file that is read when connecting, inside of the project or not.
    fn file(&mut self, text: Option<&String>, path: &NodePath) -> Option<PathBuf> {
        let text = text?;
        let expanded = self.text(Some(text), path)?;
        let file = self.context.files.root().join(&expanded.value);
        if self.context.environment.is_some() && !file.is_file() {
            self.error(rules::MISSING_FILE, &format!("the file `{text}` does not exist"), path);
            return None;
        }
        Some(file)
    }

    /// A directory that is made when it is needed, inside of the project or not.
    fn directory(&mut self, text: Option<&String>, path: &NodePath) -> Option<PathBuf> {
        let expanded = self.text(text, path)?;
        if expanded.known && expanded.value.is_empty() {
            self.error(rules::BAD_VALUE, "this is empty", path);
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

    fn channel(&mut self, name: &str, raw: &raw::Channel, connections: &[Arc<str>]) -> Option<Channel> {
        let base = NodePath::default().key("channels").key(name);
        if let Err(why) = names::channel(name) {
            self.context.push(Diagnostic::error(rules::BAD_VALUE, why).at(self.document.at_key(&base)));
            return None;
        }
        let envelope = envelope::compile(self.context, self.document, &base.key("envelope"), raw.envelope.as_ref());
        let kind = match (&raw.nats, &raw.local) {
            (Some(nats), None) => self.nats_channel(nats, &base.key("nats"), connections)?,
            (None, Some(local)) => ChannelKind::Local(self.local_channel(name, local, &base.key("local"))?),
            (Some(_), Some(_)) => {
                self.error(rules::CHANNEL, "a channel lives in one place; keep `nats` or `local`", &base);
                return None;
            }
            (None, None) => {
                let told = ["nats", "local"].iter().any(|kind| self.document.is_damaged(&base.key(kind)));
                if !told && !self.document.is_damaged(&base) {
                    self.error(rules::CHANNEL, "it is not said where this channel lives; add `nats` or `local`", &base);
                }
                return None;
            }
        };
        Some(Channel { name: name.into(), kind, envelope: envelope? })
    }

    fn nats_channel(
        &mut self,
        raw: &raw::NatsChannel,
        base: &NodePath,
        connections: &[Arc<str>],
    ) -> Option<ChannelKind> {
        let connection = self.connection(raw.connection.as_ref(), base, connections);
        let help = "name the JetStream stream, like `stream: ORDERS`";
        let stream = self.context.require(raw.stream.as_ref(), self.document, base, "stream", help);
        let stream = self.stream(stream, base);
        let subjects = self.subjects(raw.subject.as_ref(), raw.subjects.as_ref(), base);
        Some(ChannelKind::Nats {
            connection: connection?,
            stream: stream?,
            subjects: subjects?,
            create: raw.create.unwrap_or(false),
            ack_wait: self.ack_wait(raw.ack_wait.as_ref(), &base.key("ack_wait")).unwrap_or(ACK_WAIT),
        })
    }

    fn local_channel(&mut self, name: &str, raw: &raw::LocalChannel, base: &NodePath) -> Option<LocalStream> {
        let mut local = local_stream(name);
        if raw.stream.is_some() {
            local.stream = self.stream(raw.stream.as_ref(), base)?;
        }
        if raw.subject.is_some() || raw.subjects.is_some() {
            local.subjects = self.subjects(raw.subject.as_ref(), raw.subjects.as_ref(), base)?;
        }
        let path = base.key("max_bytes");
        if let Some(text) = self.text(raw.max_bytes.as_ref().map(|human| &human.0), &path).filter(|text| text.known) {
            let bytes = units::size(&text.value).and_then(|bytes| match u64::try_from(bytes) {
                Ok(bytes) if bytes >= 1 << 20 => Ok(bytes),
                _ => Err("`max_bytes` must be at least 1MiB".to_owned()),
            });
            local.max_bytes = self.context.checked(bytes, self.document, &path)?;
        }
        let path = base.key("max_age");
        if let Some(text) = self.text(raw.max_age.as_ref().map(|human| &human.0), &path).filter(|text| text.known) {
            local.max_age = self.context.checked(units::duration(&text.value), self.document, &path)?;
        }
        Some(local)
    }

    /// One stream has one set of limits, whichever channel names it.
    fn local_streams_agree(&mut self, channels: &BTreeMap<ChannelName, Channel>) {
        let mut limits: BTreeMap<&str, (&ChannelName, u64, Duration)> = BTreeMap::new();
        for channel in channels.values() {
            let ChannelKind::Local(local) = &channel.kind else { continue };
            let mine = (&channel.name, local.max_bytes, local.max_age);
            let first = limits.entry(&local.stream).or_insert(mine);
            if (first.1, first.2) != (mine.1, mine.2) {
                let message =
                    format!("`{}` says other limits of the stream `{}` than `{}`", mine.0, local.stream, first.0);
                let path = NodePath::default().key("channels").key(&channel.name).key("local");
                self.error(rules::CHANNEL, &message, &path);
            }
        }
    }

    fn stream(&mut self, text: Option<&String>, base: &NodePath) -> Option<String> {
        let path = base.key("stream");
        let stream = self.text(text, &path)?;
        let checked = if stream.known { names::stream(&stream.value) } else { Ok(()) };
        self.context.checked(checked, self.document, &path).map(|()| stream.value)
    }

    fn ack_wait(&mut self, text: Option<&raw::Human>, path: &NodePath) -> Option<Duration> {
        let expanded = self.text(text.map(|human| &human.0), path).filter(|expanded| expanded.known)?;
        let wait = units::duration(&expanded.value).and_then(|wait| {
            let sensible = (Duration::from_secs(1)..=Duration::from_secs(3600)).contains(&wait);
            if sensible { Ok(wait) } else { Err("`ack_wait` must be from 1s to 1h".to_owned()) }
        });
        self.context.checked(wait, self.document, path)
    }

    fn connection(&mut self, name: Option<&String>, base: &NodePath, known: &[Arc<str>]) -> Option<Arc<str>> {
        let path = base.key("connection");
        if self.document.is_damaged(&path) || self.document.is_damaged(&NodePath::default().key("connections")) {
            return None;
        }
        let listed: Vec<String> = known.iter().map(|name| format!("`{name}`")).collect();
        let (message, at, help) = match (name, known) {
            (Some(name), _) => {
                if let Some(found) = known.iter().find(|known| ***known == **name) {
                    return Some(found.clone());
                }
                let help = match did_you_mean(name, known.iter().map(|name| &**name)) {
                    Some(meant) => format!("did you mean `{meant}`?"),
                    None if known.is_empty() => "list it below `connections`".into(),
                    None => format!("the connections are {}", listed.join(", ")),
                };
                (format!("there is no connection `{name}`"), path, help)
            }
            (None, [only]) => return Some(only.clone()),
            (None, []) => (
                "there is no connection to `nats`".to_owned(),
                base.clone(),
                "add `connections: { nats: { nats: { url: \"nats://127.0.0.1:4222\" } } }`".to_owned(),
            ),
            (None, _) => (
                "it is not said which connection this channel uses".to_owned(),
                base.clone(),
                format!("add `connection:` with one of {}", listed.join(", ")),
            ),
        };
        self.context.push(Diagnostic::error(rules::CHANNEL, message).at(self.document.at_key(&at)).help(help));
        None
    }

    fn subjects(
        &mut self,
        one: Option<&String>,
        several: Option<&Vec<String>>,
        base: &NodePath,
    ) -> Option<Vec<String>> {
        let many = base.key("subjects");
        let texts: Vec<(&String, NodePath)> = match (one, several) {
            (Some(_), Some(_)) => {
                self.error(rules::CHANNEL, "`subject` and `subjects` say the same; keep one", &base.key("subject"));
                return None;
            }
            (Some(subject), None) => vec![(subject, base.key("subject"))],
            (None, Some(subjects)) => subjects.iter().enumerate().map(|(i, s)| (s, many.index(i))).collect(),
            (None, None) => Vec::new(),
        };
        if texts.is_empty() {
            let told = self.document.is_damaged(&many) || self.document.is_damaged(&base.key("subject"));
            if !told {
                let message = "a channel needs at least one subject; add `subject` or `subjects`";
                self.error(rules::CHANNEL, message, if several.is_some() { &many } else { base });
            }
            return None;
        }
        let mut subjects = Vec::new();
        let mut fine = true;
        for (text, path) in texts {
            let subject = self.text(Some(text), &path).and_then(|subject| {
                let checked = if subject.known { names::subject(&subject.value) } else { Ok(()) };
                self.context.checked(checked, self.document, &path).map(|()| subject.value)
            });
            fine &= subject.is_some();
            subjects.extend(subject);
        }
        fine.then_some(subjects)
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
            self.error(rules::BAD_VALUE, "this is not an address and port, like `127.0.0.1:7474`", &path);
            return None;
        };
        if !listen.ip().is_loopback() && raw.token.is_none() && !self.document.is_damaged(&base.key("token")) {
            let message = "whoever reaches this address could change the running system";
            let error = Diagnostic::error(rules::BAD_VALUE, message).at(self.document.at(&path));
            self.context.push(error.help("add a `token`, or listen on a loopback address"));
            return None;
        }
        if raw.token.is_some() && token.is_none() {
            return None;
        }
        Some(Admin { listen, token })
    }
}
