//! What is set aside is in the store's ledger, and with a channel for it, there as well.

use crate::lint::{Findings, Project};
use crate::spec::locate::NodePath;
use crate::spec::program::StoreConfig;

pub fn check(project: &Project<'_>, findings: &mut Findings) {
    // The embedded store is on disk beside its streams; the one in memory is told of as such.
    if !matches!(project.program.store, StoreConfig::Redis { .. }) {
        return;
    }
    for pipeline in project.program.pipelines.iter().filter(|pipeline| pipeline.dead_letter.is_none()) {
        let message = format!("what `{}` sets aside is in redis and nowhere else", pipeline.name);
        let at = project.at(&pipeline.file, &NodePath::default().key("pipeline"));
        findings.add(at, message, "name a channel for it, like `dead_letter: dead`");
    }
}
