//! SARIF 2.1.0, what code scanning services take: <https://docs.oasis-open.org/sarif/sarif/v2.1.0/>.

use std::fmt::Write as _;

use serde_json::{Value, json};

use super::super::rules::{RULES, Rule};
use super::super::{Diagnostic, Level, Related, Span};
use super::{message_with_help, seen_from_outside, sorted};

/// What file names are relative to. Code scanning services take it for the root of the repository.
const BASE: &str = "%SRCROOT%";

/// One SARIF log, its results sorted by place. `prefix` is where the project is in the repository.
pub fn sarif(diagnostics: &[Diagnostic], prefix: &str) -> String {
    let rules: Vec<Value> = RULES.iter().map(rule).collect();
    let log = json!({
        "$schema": "https://docs.oasis-open.org/sarif/sarif/v2.1.0/os/schemas/sarif-schema-2.1.0.json",
        "version": "2.1.0",
        "runs": [{
            "tool": {
                "driver": {
                    "name": "sluice",
                    "semanticVersion": env!("CARGO_PKG_VERSION"),
                    "rules": rules,
                },
            },
            "columnKind": "unicodeCodePoints",
            "originalUriBaseIds": { BASE: { "description": { "text": "the root of the repository" } } },
            "results": sorted(diagnostics).iter().map(|diagnostic| result(diagnostic, prefix)).collect::<Vec<_>>(),
        }],
    });
    log.to_string()
}

fn rule(rule: &Rule) -> Value {
    json!({
        "id": rule.id,
        "shortDescription": { "text": rule.summary },
        "defaultConfiguration": { "level": level(rule.level) },
    })
}

fn result(diagnostic: &Diagnostic, prefix: &str) -> Value {
    let mut result = json!({
        "ruleId": diagnostic.rule,
        "level": level(diagnostic.level),
        "message": { "text": message_with_help(diagnostic) },
    });
    if let Some(index) = RULES.iter().position(|rule| rule.id == diagnostic.rule) {
        result["ruleIndex"] = index.into();
    }
    if let Some(span) = &diagnostic.span {
        result["locations"] = json!([{ "physicalLocation": place(span, prefix) }]);
    }
    if !diagnostic.related.is_empty() {
        let of = |Related { span, label }: &Related| json!({ "physicalLocation": place(span, prefix), "message": { "text": label } });
        result["relatedLocations"] = diagnostic.related.iter().map(of).collect();
    }
    result
}

fn place(span: &Span, prefix: &str) -> Value {
    let artifact = json!({ "uri": uri(&seen_from_outside(prefix, &span.file)), "uriBaseId": BASE });
    json!({ "artifactLocation": artifact, "region": region(span) })
}

/// Lines and columns from 1, the end exclusive: as in a [`Span`].
fn region(span: &Span) -> Value {
    json!({
        "startLine": span.line,
        "startColumn": span.column,
        "endLine": span.end_line,
        "endColumn": span.end_column,
    })
}

fn level(level: Level) -> &'static str {
    match level {
        Level::Error => "error",
        Level::Warning => "warning",
        Level::Info => "note",
    }
}

/// A relative reference: what a URI may not hold is percent-encoded, and a colon, which would make a scheme of what
/// stands before it.
fn uri(file: &str) -> String {
    let mut uri = String::new();
    for byte in file.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~/".contains(&byte) {
            uri.push(char::from(byte));
        } else {
            let _ = write!(uri, "%{byte:02X}");
        }
    }
    uri
}

#[cfg(test)]
mod tests {
    use super::super::tests::finding;
    use super::*;
    use crate::diagnostic::rules;

    fn parsed(diagnostics: &[Diagnostic], prefix: &str) -> Value {
        serde_json::from_str(&sarif(diagnostics, prefix)).expect("it is JSON")
    }

    #[test]
    fn a_result_names_rule_place_and_what_to_do() {
        let log = parsed(&[finding()], "apps/shop");
        let result = &log["runs"][0]["results"][0];
        assert_eq!(result["ruleId"], "SG002");
        assert_eq!(result["level"], "error");
        assert_eq!(result["message"]["text"], "unknown key `retyr`\nhelp: did you mean `retry`?");
        let place = &result["locations"][0]["physicalLocation"];
        assert_eq!(place["artifactLocation"], json!({ "uri": "apps/shop/a.yaml", "uriBaseId": "%SRCROOT%" }));
        assert_eq!(place["region"], json!({ "startLine": 2, "startColumn": 1, "endLine": 2, "endColumn": 6 }));
        let rule = &log["runs"][0]["tool"]["driver"]["rules"][result["ruleIndex"].as_u64().expect("an index") as usize];
        assert_eq!(rule["id"], "SG002");
    }

    #[test]
    fn file_names_are_references_whatever_they_are_made_of() {
        assert_eq!(uri("pipelines/a b#ü:%.yaml"), "pipelines/a%20b%23%C3%BC%3A%25.yaml");
    }

    #[test]
    fn further_places_are_related_locations_with_what_is_to_be_seen_there() {
        let log = parsed(&[finding().related(Span::on_line("b.json", 3, 5, 6), "given here")], "apps/shop");
        let related = json!([{
            "physicalLocation": {
                "artifactLocation": { "uri": "apps/shop/b.json", "uriBaseId": "%SRCROOT%" },
                "region": { "startLine": 3, "startColumn": 5, "endLine": 3, "endColumn": 11 },
            },
            "message": { "text": "given here" },
        }]);
        assert_eq!(log["runs"][0]["results"][0]["relatedLocations"], related);
        assert_eq!(parsed(&[finding()], "")["runs"][0]["results"][0].get("relatedLocations"), None);
    }

    #[test]
    fn what_has_no_place_has_no_location() {
        let log = parsed(&[Diagnostic::new(&rules::UNUSED_CHANNEL, "gone")], "");
        let result = &log["runs"][0]["results"][0];
        assert_eq!((result["level"].as_str(), result.get("locations")), (Some("warning"), None));
    }
}
