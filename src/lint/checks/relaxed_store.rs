//! `durability: relaxed` accepts what `auto` warns of.

use crate::lint::{Findings, Project};
use crate::spec::PROJECT_FILE;
use crate::spec::locate::NodePath;
use crate::spec::program::{DurabilityChoice, StoreConfig};

pub fn check(project: &Project<'_>, findings: &mut Findings) {
    if matches!(project.program.store, StoreConfig::Redis { durability: DurabilityChoice::Relaxed, .. }) {
        let at = project.at(PROJECT_FILE, &NodePath::default().key("store").key("redis").key("durability"));
        let message = "redis may lose its last second or two: streams that delete what was acked lose those events";
        findings.add(at, message, "write `strict`, with `appendfsync always` on the server, where that must not be");
    }
}
