//! Results for build servers: JUnit's XML, a suite a file, a case a scenario.

use std::fmt::Write as _;

use super::{Played, human};
use crate::testkit::scenario::Failure;

pub fn all(all: &[Played]) -> String {
    let mut suites: Vec<(&str, Vec<&Played>)> = Vec::new();
    for played in all {
        match suites.last_mut().filter(|(file, _)| *file == played.file) {
            Some((_, cases)) => cases.push(played),
            None => suites.push((&played.file, vec![played])),
        }
    }
    let every: Vec<&Played> = all.iter().collect();
    let mut out = String::from("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n");
    let _ = writeln!(out, "<testsuites {}>", totals("sluice test", &every));
    for (file, cases) in suites {
        let _ = writeln!(out, "  <testsuite {}>", totals(file, &cases));
        for played in cases {
            case(&mut out, played);
        }
        out += "  </testsuite>\n";
    }
    out + "</testsuites>"
}

fn totals(name: &str, cases: &[&Played]) -> String {
    let failures = cases.iter().filter(|played| !played.passed()).count();
    let seconds: f64 = cases.iter().map(|played| played.took.as_secs_f64()).sum();
    format!(
        "name=\"{}\" tests=\"{}\" failures=\"{failures}\" errors=\"0\" time=\"{seconds:.3}\"",
        escaped(name),
        cases.len()
    )
}

fn case(out: &mut String, played: &Played) {
    let _ = write!(
        out,
        "    <testcase name=\"{}\" classname=\"{}\" file=\"{}\" line=\"{}\" time=\"{:.3}\"",
        escaped(&played.name),
        escaped(&played.file),
        escaped(&played.file),
        played.line,
        played.took.as_secs_f64()
    );
    let Some(failure) = &played.report.failure else {
        *out += "/>\n";
        return;
    };
    let message = match failure {
        Failure::Given { .. } => "what it demands does not hold",
        Failure::Explored(_) => "what it demands holds in the given order, but not in another run",
        Failure::Broken { .. } => "the flow failed",
    };
    let told = escaped(&human::lines(failure).join("\n"));
    let _ = writeln!(out, ">\n      <failure message=\"{message}\">{told}</failure>\n    </testcase>");
}

/// As text or as an attribute; what XML cannot hold at all is replaced.
fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => out += "&amp;",
            '<' => out += "&lt;",
            '>' => out += "&gt;",
            '"' => out += "&quot;",
            '\n' => out += "\n",
            '\t' => out += "\t",
            c if c.is_control() || matches!(c, '\u{fffe}' | '\u{ffff}') => out.push('\u{fffd}'),
            c => out.push(c),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_would_break_xml_does_not() {
        assert_eq!(escaped("a<b>&\"c\"\u{1b}\n"), "a&lt;b&gt;&amp;&quot;c&quot;\u{fffd}\n");
    }
}
