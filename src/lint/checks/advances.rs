//! `reorder.on_timeout: advance`: order for a while only.

use crate::lint::{Findings, Project};
use crate::spec::program::OnTimeout;
use crate::spec::units;

pub fn check(project: &Project<'_>, findings: &mut Findings) {
    for pipeline in &project.program.pipelines {
        if pipeline.waits() && pipeline.reorder.on_timeout == OnTimeout::Advance {
            let at = project.at_setting(pipeline, &["reorder", "on_timeout"]);
            let timeout = units::show(pipeline.reorder.timeout);
            let message = format!("after {timeout} an event is handled without what it waits for");
            findings.add(at, message, "write `dead_letter`, unless its handler can do without");
        }
    }
}
