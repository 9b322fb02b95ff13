//! The channels that `sluice.yaml` lists: where each lives.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use super::super::super::locate::NodePath;
use super::super::super::program::{Channel, ChannelKind, LocalStream};
use super::super::super::{names, raw, units};
use super::super::envelope;
use super::Reader;
use crate::diagnostic::{Diagnostic, did_you_mean, rules};
use crate::event::ChannelName;

/// As JetStream has it.
const ACK_WAIT: Duration = Duration::from_secs(30);
/// What a local stream keeps of events that all its consumers are done with.
const LOCAL_BYTES: u64 = 1 << 30;
const LOCAL_AGE: Duration = Duration::from_secs(7 * 24 * 3600);

/// Where a channel lives of which nothing is said.
pub fn local_stream(channel: &str) -> LocalStream {
    LocalStream {
        stream: channel.to_owned(),
        subjects: vec![channel.to_owned()],
        max_bytes: LOCAL_BYTES,
        max_age: LOCAL_AGE,
    }
}

impl Reader<'_, '_> {
    pub(super) fn channel(&mut self, name: &str, raw: &raw::Channel, connections: &[Arc<str>]) -> Option<Channel> {
        let base = NodePath::default().key("channels").key(name);
        if let Err(why) = names::channel(name) {
            self.context.push(Diagnostic::new(&rules::BAD_NAME, why).at(self.document.at_key(&base)));
            return None;
        }
        let envelope = envelope::compile(self.context, self.document, &base.key("envelope"), raw.envelope.as_ref());
        let kind = match (&raw.nats, &raw.local) {
            (Some(nats), None) => self.nats_channel(nats, &base.key("nats"), connections)?,
            (None, Some(local)) => ChannelKind::Local(self.local_channel(name, local, &base.key("local"))?),
            (Some(_), Some(_)) => {
                self.error(&rules::CONTRADICTION, "a channel lives in one place; keep `nats` or `local`", &base);
                return None;
            }
            (None, None) => {
                let told = ["nats", "local"].iter().any(|kind| self.document.is_damaged(&base.key(kind)));
                if !told && !self.document.is_damaged(&base) {
                    self.error(
                        &rules::NOT_SAID,
                        "it is not said where this channel lives; add `nats` or `local`",
                        &base,
                    );
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
            local.max_bytes = self.context.checked(&rules::BAD_FIGURE, bytes, self.document, &path)?;
        }
        let path = base.key("max_age");
        if let Some(text) = self.text(raw.max_age.as_ref().map(|human| &human.0), &path).filter(|text| text.known) {
            local.max_age =
                self.context.checked(&rules::BAD_FIGURE, units::duration(&text.value), self.document, &path)?;
        }
        Some(local)
    }

    /// One stream has one set of limits, whichever channel names it.
    pub(super) fn local_streams_agree(&mut self, channels: &BTreeMap<ChannelName, Channel>) {
        let mut limits: BTreeMap<&str, (&ChannelName, u64, Duration)> = BTreeMap::new();
        for channel in channels.values() {
            let ChannelKind::Local(local) = &channel.kind else { continue };
            let mine = (&channel.name, local.max_bytes, local.max_age);
            let first = limits.entry(&local.stream).or_insert(mine);
            if (first.1, first.2) != (mine.1, mine.2) {
                let message =
                    format!("`{}` says other limits of the stream `{}` than `{}`", mine.0, local.stream, first.0);
                let path = NodePath::default().key("channels").key(&channel.name).key("local");
                self.error(&rules::STREAM_LIMITS, &message, &path);
            }
        }
    }

    fn stream(&mut self, text: Option<&String>, base: &NodePath) -> Option<String> {
        let path = base.key("stream");
        let stream = self.text(text, &path)?;
        let checked = if stream.known { names::stream(&stream.value) } else { Ok(()) };
        self.context.checked(&rules::BAD_NAME, checked, self.document, &path).map(|()| stream.value)
    }

    fn ack_wait(&mut self, text: Option<&raw::Human>, path: &NodePath) -> Option<Duration> {
        let expanded = self.text(text.map(|human| &human.0), path).filter(|expanded| expanded.known)?;
        let wait = units::duration(&expanded.value).and_then(|wait| {
            let sensible = (Duration::from_secs(1)..=Duration::from_secs(3600)).contains(&wait);
            if sensible { Ok(wait) } else { Err("`ack_wait` must be from 1s to 1h".to_owned()) }
        });
        self.context.checked(&rules::BAD_FIGURE, wait, self.document, path)
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
        self.context.push(Diagnostic::new(&rules::NO_CONNECTION, message).at(self.document.at_key(&at)).help(help));
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
                self.error(
                    &rules::CONTRADICTION,
                    "`subject` and `subjects` say the same; keep one",
                    &base.key("subject"),
                );
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
                self.error(&rules::NOT_SAID, message, if several.is_some() { &many } else { base });
            }
            return None;
        }
        let mut subjects = Vec::new();
        let mut fine = true;
        for (text, path) in texts {
            let subject = self.text(Some(text), &path).and_then(|subject| {
                let checked = if subject.known { names::subject(&subject.value) } else { Ok(()) };
                self.context.checked(&rules::BAD_NAME, checked, self.document, &path).map(|()| subject.value)
            });
            fine &= subject.is_some();
            subjects.extend(subject);
        }
        fine.then_some(subjects)
    }
}
