//! An envelope's map without an `id`: an event is its place in the stream.

use crate::lint::{Findings, Project};
use crate::spec::PROJECT_FILE;
use crate::spec::locate::NodePath;
use crate::spec::program::Envelope;

pub fn check(project: &Project<'_>, findings: &mut Findings) {
    for channel in project.program.channels.values() {
        if matches!(&channel.envelope, Envelope::Map(mapping) if mapping.id.is_none()) {
            let path = NodePath::default().key("channels").key(&channel.name).key("envelope").key("map");
            let message = format!("a message that is published to `{}` twice is two events", channel.name);
            let help = "say where its id stands, like `id: { path: .delivery }`, if it has one";
            findings.add(project.at_key(PROJECT_FILE, &path), message, help);
        }
    }
}
