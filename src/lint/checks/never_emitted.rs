//! `emits` without a handler that does.

use crate::diagnostic::did_you_mean;
use crate::lint::{Findings, Project};
use crate::spec::locate::NodePath;
use crate::spec::program::Pipeline;

pub fn check(project: &Project<'_>, pipeline: &Pipeline, findings: &mut Findings) {
    let handlers = || pipeline.subscriptions.iter().map(|subscription| &subscription.handler);
    let is_declared = |kind: &str| pipeline.emits.iter().any(|emit| emit.event == kind);
    // One that is misspelt in a handler is told there.
    let undeclared: Vec<&str> =
        handlers().flat_map(|handler| handler.emits()).map(String::as_str).filter(|kind| !is_declared(kind)).collect();
    for (nth, emit) in pipeline.emits.iter().enumerate() {
        let kind = emit.event.as_str();
        let is_meant = undeclared.iter().any(|written| did_you_mean(written, [kind]).is_some());
        if is_meant || handlers().any(|handler| handler.may_emit(kind)) {
            continue;
        }
        let path = NodePath::default().key("emits").index(nth).key("event");
        let message = format!("no handler of `{}` emits `{kind}`", pipeline.name);
        let help = format!("take it away, or emit it: `emit(\"{kind}\", #{{ … }})`");
        findings.add(project.at(&pipeline.file, &path), message, help);
    }
}
