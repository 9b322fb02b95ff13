//! `idempotency.by: [id]`: ids of different sources are taken for one another.

use crate::lint::{Findings, Project};
use crate::spec::program::IdentityBy;

pub fn check(project: &Project<'_>, findings: &mut Findings) {
    for pipeline in project.program.pipelines.iter().filter(|pipeline| pipeline.identity == IdentityBy::Id) {
        let at = project.at_setting(pipeline, &["idempotency", "by"]);
        let message = "of two events with one id and key from different sources, the second is not handled";
        findings.add(at, message, "write `[source, id]`, unless ids are unique among all sources");
    }
}
