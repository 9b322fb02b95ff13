//! What lint accepts, `run` builds.

use super::*;

/// Each error for which `run` refuses to start is one of lint's, word for word; or it is the environment's, and then lint
/// notes at the same place what is not here, unless that is allowed.
///
/// So a project in which lint finds no error is built wherever there is what it notes.
pub(crate) fn agrees(case: &str, directory: &Path) {
    let run = spec::load(directory, &|_| None);
    let judged = lint(directory);
    let unjudged = spec::load_for_lint(directory, &|_| false);
    let noted = |refused: &Diagnostic| {
        unjudged.diagnostics.iter().any(|told| told.rule == rules::NOT_HERE.id && told.span == refused.span)
    };
    for refused in run.diagnostics.iter().filter(|diagnostic| diagnostic.level == Level::Error) {
        let told = judged.diagnostics.contains(refused) || noted(refused);
        assert!(told, "{case}: `run` refuses, lint does not tell:\n{}\nlint says\n{}", shown(&run), shown(&judged));
    }
    let built = run.program.is_some() || run.diagnostics.iter().any(noted);
    assert!(built || crate::diagnostic::has_errors(&judged.diagnostics), "{case}: `run` builds nothing");
}

#[test]
fn what_is_the_environments_is_a_note_where_run_refuses() {
    let needing = |main: &str| {
        let project = project([("sluice.yaml", main)]);
        agrees(main, project.path());
        let judged = lint(project.path());
        assert!(judged.program.is_some(), "{main}: {}", shown(&judged));
        assert!(spec::load(project.path(), &|_| None).program.is_none(), "{main}");
        judged.diagnostics.into_iter().map(|d| (d.rule, d.level, d.message)).collect::<Vec<_>>()
    };
    let note = |message: &str| vec![("SG021", Level::Info, message.to_owned())];
    assert_eq!(needing("admin: { token: \"${TOKEN}\" }\n"), note("the variable `TOKEN` is not set here"));
    assert_eq!(needing("admin: { token: \"${file:no/token}\" }\n"), note("the file `no/token` is not here"));
    let creds = "connections: { main: { nats: { url: \"tls://h\", creds: /nonexistent/my.creds } } }\n";
    assert_eq!(needing(creds), note("the file `/nonexistent/my.creds` is not here"));
}

#[test]
fn what_is_set_is_not_noted_and_not_read() {
    let project = project([("sluice.yaml", "admin: { listen: \"${LISTEN}\" }\n")]);
    let judged = judge(spec::load_for_lint(project.path(), &|name| name == "LISTEN"));
    assert_eq!(shown(&judged), "");
    let run = spec::load(project.path(), &|_| Some("nowhere".to_owned()));
    assert_eq!(run.diagnostics.iter().map(|d| d.rule).collect::<Vec<_>>(), ["SG016"]);
}

#[test]
fn a_note_of_the_environment_can_be_allowed_and_turned_off() {
    for main in [
        "admin: { token: \"${TOKEN}\" } # sluice: allow(SG021): the platform sets it\n",
        "admin: { token: \"${TOKEN}\" }\nlint: { SG021: off }\n",
    ] {
        assert_eq!(shown(&lint(project([("sluice.yaml", main)]).path())), "", "{main}");
    }
}
