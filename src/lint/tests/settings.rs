//! Levels in `sluice.yaml`, and comments that allow.

use super::*;

const UNUSED: &str = "channels:\n  spare: { local: {} }\n";

/// Rule, level, and file, line and column.
type Told = (&'static str, Level, Option<(String, usize, usize)>);

fn found(files: &[(&str, &str)]) -> Vec<Told> {
    let loaded = lint(project(files.iter().copied()).path());
    let place = |span: Span| (span.file, span.line, span.column);
    loaded.diagnostics.into_iter().map(|d| (d.rule, d.level, d.span.map(place))).collect()
}

fn rules_of(files: &[(&str, &str)]) -> Vec<&'static str> {
    found(files).into_iter().map(|(rule, ..)| rule).collect()
}

#[test]
fn a_rule_has_the_level_that_the_project_says() {
    let with = |lint: &str| found(&[("sluice.yaml", &format!("{UNUSED}{lint}"))]);
    let place = Some(("sluice.yaml".to_owned(), 2, 3));
    assert_eq!(with(""), [("SG311", Level::Warning, place.clone())]);
    assert_eq!(with("lint: { SG311: warning }\n"), [("SG311", Level::Warning, place.clone())]);
    assert_eq!(with("lint: { SG311: info }\n"), [("SG311", Level::Info, place.clone())]);
    assert_eq!(with("lint: { SG311: error }\n"), [("SG311", Level::Error, place)]);
    assert_eq!(with("lint: { SG311: off }\n"), []);
}

#[test]
fn a_warning_that_is_made_an_error_keeps_nothing_from_running() {
    let project = project([("sluice.yaml", "defaults: { idempotency: { retain: 1m } }\nlint: { SG401: error }\n")]);
    let judged = lint(project.path());
    assert_eq!(judged.diagnostics.iter().map(|d| (d.rule, d.level)).collect::<Vec<_>>(), [("SG401", Level::Error)]);
    let run = spec::load(project.path(), &|_| None);
    assert!(run.program.is_some());
    assert_eq!(run.diagnostics.iter().map(|d| (d.rule, d.level)).collect::<Vec<_>>(), [("SG401", Level::Warning)]);
}

#[test]
fn what_cannot_be_set_is_told_and_changes_nothing() {
    let levels = "lint: { SG999: off, sg311: off, SG002: off, SG101: error }\n";
    let told = found(&[("sluice.yaml", &format!("{levels}stroe: {{}}\n"))]);
    let told: Vec<_> = told
        .into_iter()
        .map(|(rule, level, place)| (rule, level, place.map(|(_, line, column)| (line, column))))
        .collect();
    assert_eq!(
        told,
        [
            ("SG018", Level::Warning, Some((1, 9))),
            ("SG018", Level::Warning, Some((1, 21))),
            ("SG019", Level::Warning, Some((1, 33))),
            ("SG002", Level::Error, Some((2, 1))),
        ]
    );
    let shown = shown(&lint(project([("sluice.yaml", levels)]).path()));
    assert!(shown.contains("help: did you mean `SG311`?"), "{shown}");
}

#[test]
fn a_comment_on_the_line_or_above_it_allows_a_finding() {
    for allowed in [
        "channels:\n  spare: { local: {} } # sluice: allow(SG311)\n",
        "channels:\n  # sluice: allow(SG311)\n  spare: { local: {} }\n",
        "channels:\n  # sluice: allow(SG311): kept for next week\n  # and this is why\n  spare: { local: {} }\n",
        "lint: { SG311: off }\nchannels:\n  spare: { local: {} } # sluice: allow(SG311)\n",
    ] {
        assert_eq!(rules_of(&[("sluice.yaml", allowed)]), Vec::<&str>::new(), "{allowed}");
    }
    for not_here in [
        "channels: # sluice: allow(SG311)\n  spare: { local: {} }\n",
        "# sluice: allow(SG311)\nchannels:\n  spare: { local: {} }\n",
    ] {
        assert!(rules_of(&[("sluice.yaml", not_here)]).contains(&"SG311"), "{not_here}");
    }
}

#[test]
fn what_only_looks_like_an_allow_is_none() {
    let pipeline = BASE[0].1;
    for text in [
        format!("{pipeline}description: \"# sluice: allow(SG311)\"\n"),
        format!("{pipeline}description: |\n  # sluice: allow(SG311)\n  // sluice: allow(SG311)\n"),
        pipeline.replace(
            "handler: created.rhai",
            "script: |\n      let a = \"// sluice: allow(SG311)\";\n      state.a = a;",
        ),
    ] {
        assert_eq!(rules_of(&[("pipelines/orders.yaml", &text)]), Vec::<&str>::new(), "{text}");
    }
}

#[test]
fn an_allow_that_nothing_used_is_told_where_it_stands() {
    let script =
        BASE[0].1.replace("handler: created.rhai", "script: |\n      // sluice: allow(SG312)\n      state.a = 1;");
    let told = found(&[
        ("sluice.yaml", "channels: { orders: { local: {} } } # sluice: allow(SG311, SG111)\n"),
        ("pipelines/orders.yaml", &script),
        ("pipelines/other.rhai", "state.a = 1; // sluice: allow(SG404)\n"),
    ]);
    let place = |file: &str, line, column| Some((file.to_owned(), line, column));
    assert_eq!(
        told,
        [
            ("SG020", Level::Warning, place("pipelines/orders.yaml", 8, 24)),
            ("SG020", Level::Warning, place("pipelines/other.rhai", 1, 31)),
            ("SG020", Level::Warning, place("sluice.yaml", 1, 53)),
            ("SG020", Level::Warning, place("sluice.yaml", 1, 60)),
        ]
    );
}

#[test]
fn an_allow_of_what_there_is_not_or_must_not_be_is_told() {
    let told = found(&[("sluice.yaml", "# sluice: allow(SG3111, SG002)\nstroe: {}\n")]);
    let rules: Vec<_> = told.iter().map(|(rule, ..)| *rule).collect();
    assert_eq!(rules, ["SG018", "SG019", "SG002"], "{told:?}");
}

#[test]
fn of_a_broken_project_no_allow_is_called_unused() {
    let told = rules_of(&[("sluice.yaml", "# sluice: allow(SG311)\nstroe: {}\n")]);
    assert_eq!(told, ["SG002"]);
}

proptest::proptest! {
    #![proptest_config(proptest::prelude::ProptestConfig::with_cases(64))]

    /// Wherever a comment stands and whatever is in it, it is told and not a panic.
    #[test]
    fn no_comment_makes_lint_panic(cut in 0..300_usize, inside in "[# /\"'`|>{}\n,SG0-9\u{e000}ä)]{0,12}", sign in "(#|//) ?") {
        for (file, text) in [BASE[0], BASE[1], ("sluice.yaml", "admin: { token: secret }\nchannels: { a: { local: {} } }\n")] {
            let at = text.char_indices().map(|(at, _)| at).nth(cut % text.chars().count()).unwrap_or(0);
            let text = format!("{}{sign}sluice: allow({inside}{}", &text[..at], &text[at..]);
            shown(&lint(project([(file, text.as_str())]).path()));
        }
    }
}
