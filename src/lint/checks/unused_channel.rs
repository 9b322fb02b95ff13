//! A channel that `sluice.yaml` lists and nobody names.

use std::collections::BTreeSet;

use crate::lint::{Findings, Project};
use crate::spec::PROJECT_FILE;
use crate::spec::locate::NodePath;

pub fn check(project: &Project<'_>, findings: &mut Findings) {
    let mut used = BTreeSet::new();
    for pipeline in &project.program.pipelines {
        used.extend(pipeline.inputs());
        used.extend(pipeline.emits.iter().flat_map(|emit| emit.to.iter().cloned()));
        used.extend(pipeline.dead_letter.clone());
    }
    // What is not listed is there because somebody names it.
    for name in project.program.channels.keys().filter(|name| !used.contains(*name)) {
        let at = project.at_key(PROJECT_FILE, &NodePath::default().key("channels").key(name));
        let message = format!("no pipeline reads or feeds the channel `{name}`");
        findings.add(at, message, "name it in a pipeline, or take it out");
    }
}
