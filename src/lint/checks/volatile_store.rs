//! A store in memory.

use crate::lint::{Findings, Project};
use crate::spec::PROJECT_FILE;
use crate::spec::locate::NodePath;
use crate::spec::program::StoreConfig;

pub fn check(project: &Project<'_>, findings: &mut Findings) {
    if matches!(project.program.store, StoreConfig::Memory) {
        let at = project.at_key(PROJECT_FILE, &NodePath::default().key("store").key("memory"));
        let message = "what was handled is remembered in memory only: after a restart, events can be handled twice";
        findings.add(at, message, "take `store` out, or name a redis there");
    }
}
