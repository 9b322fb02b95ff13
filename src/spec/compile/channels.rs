//! Channels as pipelines use them: some are read, some published to, some not listed anywhere.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::super::document::Document;
use super::super::locate::NodePath;
use super::super::names;
use super::super::program::{Channel, ChannelKind, Envelope};
use super::Context;
use super::project::{self, Project};
use crate::diagnostic::{Diagnostic, Span, did_you_mean, rules, surely_meant};
use crate::event::ChannelName;

/// Where something is said, for what is found wrong with it later.
#[derive(Clone, Debug)]
pub struct Place {
    document: Arc<Document>,
    path: NodePath,
}

impl Place {
    pub fn new(document: &Arc<Document>, path: NodePath) -> Self {
        Self { document: document.clone(), path }
    }

    pub fn span(&self) -> Span {
        self.document.at(&self.path)
    }
}

#[derive(Clone, Debug)]
enum Use {
    Read {
        pipeline: String,
    },
    /// Events, in the channel's envelope.
    Emit,
    /// Dead letters, as they were received.
    SetAside,
}

/// Every mention of a channel, in order.
#[derive(Clone, Debug, Default)]
pub struct Uses(Vec<(ChannelName, Use, Place)>);

impl Uses {
    pub fn add(&mut self, others: &Self) {
        self.0.extend(others.0.iter().cloned());
    }

    pub fn read(&mut self, context: &mut Context<'_>, name: &str, pipeline: &str, place: Place) -> Option<ChannelName> {
        self.mention(context, name, Use::Read { pipeline: pipeline.to_owned() }, place)
    }

    pub fn emit(&mut self, context: &mut Context<'_>, name: &str, place: Place) -> Option<ChannelName> {
        self.mention(context, name, Use::Emit, place)
    }

    pub fn set_aside(&mut self, context: &mut Context<'_>, name: &str, place: Place) -> Option<ChannelName> {
        self.mention(context, name, Use::SetAside, place)
    }

    fn mention(&mut self, context: &mut Context<'_>, name: &str, how: Use, place: Place) -> Option<ChannelName> {
        if let Err(why) = names::channel(name) {
            context.push(Diagnostic::new(&rules::BAD_NAME, why).at(place.span()));
            return None;
        }
        let name: ChannelName = name.into();
        self.0.push((name.clone(), how, place));
        Some(name)
    }

    /// Every channel, listed or mentioned, after checking that each can be what it is used for.
    pub fn resolve(self, context: &mut Context<'_>, project: &Project) -> BTreeMap<ChannelName, Channel> {
        let mut channels: BTreeMap<ChannelName, Channel> = BTreeMap::new();
        for channel in project.channels.values() {
            let Channel { name, kind, envelope } = channel;
            channels
                .insert(name.clone(), Channel { name: name.clone(), kind: kind.clone(), envelope: envelope.clone() });
        }
        let mut consumers: BTreeMap<(Arc<str>, String, String), (String, ChannelName)> = BTreeMap::new();
        for (name, how, place) in self.0 {
            let Some(channel) = project.channels.get(&name) else {
                if !project.broken_channels.iter().any(|broken| **broken == *name) {
                    unlisted(context, project, &name, &place, channels.contains_key(&name));
                    let kind = ChannelKind::Local(project::local_stream(&name));
                    channels.insert(name.clone(), Channel { name, kind, envelope: Envelope::Auto });
                }
                continue;
            };
            if matches!((&how, &channel.envelope), (Use::Emit, Envelope::Map(_))) {
                let message = format!(
                    "nothing can be emitted to the channel `{name}`: its envelope is a `map`, which is read only"
                );
                let error = Diagnostic::new(&rules::UNPUBLISHABLE, message).at(place.span());
                context.push(error.help("emit to a channel with another envelope, or with none"));
            }
            match how {
                Use::Emit | Use::SetAside => {
                    if let Some(why) = unpublishable(channel.kind.subjects()) {
                        let message = format!("the channel `{name}` cannot be published to: {why}");
                        let error = Diagnostic::new(&rules::UNPUBLISHABLE, message).at(place.span());
                        context.push(error.help("list a channel with one subject and no wildcard"));
                    }
                }
                Use::Read { pipeline } => {
                    let ChannelKind::Nats { connection, stream, .. } = &channel.kind else { continue };
                    // Dashes in both names can make one name of two pairs, and two pipelines would share a consumer.
                    let consumer = (connection.clone(), stream.clone(), format!("sluice-{pipeline}-{name}"));
                    let mine = (pipeline, name.clone());
                    let first = consumers.entry(consumer).or_insert_with(|| mine.clone());
                    if *first != mine {
                        let message = format!(
                            "the consumer of `{}` for `{name}` would have the name of that of `{}` for `{}`",
                            mine.0, first.0, first.1
                        );
                        let error = Diagnostic::new(&rules::SHARED_CONSUMER, message).at(place.span());
                        context.push(error.help("give the pipeline or the channel another name"));
                    }
                }
            }
        }
        channels
    }
}

/// A channel that is not listed is local; one that is almost listed is a slip.
fn unlisted(context: &mut Context<'_>, project: &Project, name: &str, place: &Place, told: bool) {
    let listed = || project.channels.keys().map(|listed| &**listed);
    let meant = did_you_mean(name, listed());
    if let Some(meant) = meant.filter(|_| !told) {
        let message = format!("the channel `{name}` is not listed, so it is local");
        let warning = Diagnostic::new(&rules::ALMOST_LISTED, message).at(place.span());
        context.push(warning.help(format!("did you mean `{meant}`?")).meant(name, surely_meant(name, listed())));
    }
}

fn unpublishable(subjects: &[String]) -> Option<String> {
    match subjects {
        [only] if only.split('.').any(|token| token == "*" || token == ">") => Some(format!("`{only}` is a wildcard")),
        [_] => None,
        _ => Some("it has several subjects".into()),
    }
}
