//! A subscription to what the envelope's map of its channel never makes.

use crate::lint::{Findings, Project};
use crate::spec::locate::NodePath;
use crate::spec::program::{Envelope, MappedText, MappedVersion, Piece};

pub fn check(project: &Project<'_>, findings: &mut Findings) {
    for pipeline in &project.program.pipelines {
        for (nth, subscription) in pipeline.subscriptions.iter().enumerate() {
            let base = NodePath::default().key("subscriptions").index(nth);
            for channel in &subscription.from {
                let Some(Envelope::Map(mapping)) = project.program.channels.get(channel).map(|c| &c.envelope) else {
                    continue;
                };
                if !can_be(&mapping.kind, &subscription.event) {
                    let message =
                        format!("no message of `{channel}` becomes an event of type `{}`", subscription.event);
                    let help = "its `envelope` says which types there are; change the one or the other";
                    findings.add(project.at(&pipeline.file, &base.key("event")), message, help);
                }
                if let MappedVersion::Value(version) = &mapping.version
                    && !subscription.versions.contains_key(version)
                {
                    let message = format!("every event of `{channel}` is of version {version}");
                    let help = format!("accept {version} too, or say in its `envelope` where the version stands");
                    findings.add(project.at(&pipeline.file, &base.key("versions")), message, help);
                }
            }
        }
    }
}

/// Whether a type can come of it. A path may lead to any text.
fn can_be(kind: &MappedText, event: &str) -> bool {
    match kind {
        MappedText::Value(value) => value == event,
        MappedText::Path(_) => true,
        MappedText::Template(pieces) => fits(pieces, event),
    }
}

fn fits(pieces: &[Piece], text: &str) -> bool {
    match pieces {
        [] => text.is_empty(),
        [Piece::Literal(literal), rest @ ..] => {
            text.strip_prefix(literal.as_str()).is_some_and(|text| fits(rest, text))
        }
        [Piece::Path(_)] => true,
        // The first place that fits leaves most for the rest.
        [Piece::Path(_), Piece::Literal(literal), rest @ ..] => {
            let places = text.match_indices(literal.as_str()).map(|(at, _)| &text[at + literal.len()..]);
            places.into_iter().any(|text| fits(rest, text))
        }
        [Piece::Path(_), rest @ ..] => fits(rest, text),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::spec::program::MappingPath;

    #[test]
    fn a_template_makes_what_its_texts_leave_room_for() {
        let path = || Piece::Path(MappingPath::Payload(vec!["a".to_owned()]));
        let text = |text: &str| Piece::Literal(text.to_owned());
        let template = MappedText::Template(vec![text("Pay"), path(), text("Ed"), path(), text("Now")]);
        for (event, can) in [("PayEdNow", true), ("PayEdEdXNow", true), ("PayXNow", false), ("payXEdNow", false)] {
            assert_eq!(can_be(&template, event), can, "{event}");
        }
        assert!(can_be(&MappedText::Template(vec![path(), path()]), "Any"));
        assert!(can_be(&MappedText::Value("A".to_owned()), "A") && !can_be(&MappedText::Value("A".to_owned()), "B"));
    }
}
