//! Shows diagnostics whose texts, places and messages are arbitrary.
#![no_main]

use libfuzzer_sys::arbitrary::{self, Arbitrary};
use libfuzzer_sys::fuzz_target;
use sluicegate::diagnostic::{Diagnostic, Level, Sources, Span, render};

#[derive(Arbitrary, Debug)]
struct Input {
    findings: Vec<Finding>,
    text: String,
}

#[derive(Arbitrary, Debug)]
struct Finding {
    level: u8,
    message: String,
    place: Option<Place>,
    label: Option<String>,
    help: Option<String>,
}

/// Small numbers lie in the text, large ones beyond it.
#[derive(Arbitrary, Debug)]
enum Place {
    Near { line: u8, column: u8, end_line: u8, end_column: u8 },
    Far { line: usize, column: usize, end_line: usize, end_column: usize },
    Elsewhere { file: String, line: usize },
}

fuzz_target!(|input: Input| {
    let sources = Sources([("a.yaml".into(), input.text.as_str().into())].into());
    let findings: Vec<Diagnostic> = input.findings.into_iter().take(8).map(diagnostic).collect();
    for color in [false, true] {
        render::human(&findings, &sources, color);
    }
    let json: serde_json::Value = serde_json::from_str(&render::json(&findings)).expect("it is JSON");
    assert_eq!(json["diagnostics"].as_array().map(Vec::len), Some(findings.len()));
    let sarif: serde_json::Value = serde_json::from_str(&render::sarif(&findings, "a b")).expect("it is JSON");
    assert_eq!(sarif["runs"][0]["results"].as_array().map(Vec::len), Some(findings.len()));
    assert_eq!(render::github(&findings, "a b").lines().count(), findings.len());
});

fn diagnostic(finding: Finding) -> Diagnostic {
    let span = finding.place.map(|place| match place {
        Place::Near { line, column, end_line, end_column } => Span {
            file: "a.yaml".to_owned(),
            line: line.into(),
            column: column.into(),
            end_line: end_line.into(),
            end_column: end_column.into(),
        },
        Place::Far { line, column, end_line, end_column } => {
            Span { file: "a.yaml".to_owned(), line, column, end_line, end_column }
        }
        Place::Elsewhere { file, line } => Span::on_line(file, line, line, line),
    });
    Diagnostic {
        rule: "SG001",
        level: [Level::Info, Level::Warning, Level::Error][usize::from(finding.level) % 3],
        message: finding.message,
        span,
        label: finding.label,
        help: finding.help,
        fix: None,
    }
}
