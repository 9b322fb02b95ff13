use super::sandbox::Sandbox;

/// The sample project, with an environment that answers nothing.
#[test]
fn it_is_told_from_the_files_alone() {
    let sandbox = Sandbox::small("{ listen: '127.0.0.1:0', token: '${NOBODY_SET_THIS}' }").file(
        "pipelines/q.yaml",
        "pipeline: q\nkey: data.id\nsubscriptions:\n  - { event: OrderCreated, from: orders, versions: [1], handler: h.rhai }\n",
    );
    let done = sandbox.sluice(&["guarantee"]).expect(0);
    assert_eq!((done.stderr.as_str(), done.stdout.starts_with("p\n  promised\n    - ")), ("", true), "{}", done.stdout);
    for words in
        ["\n\nq\n  promised\n", "what the store confirmed outlives a power failure", "no `dead_letter` channel"]
    {
        assert!(done.stdout.contains(words), "{words}: {}", done.stdout);
    }
}

#[test]
fn json_has_the_same_sentences_in_lists() {
    let sandbox = Sandbox::small("{ listen: '127.0.0.1:0' }");
    let told = sandbox.sluice(&["guarantee", "--pipeline", "p", "--format", "json"]).expect(0).json();
    let text = sandbox.sluice(&["guarantee"]).expect(0).stdout;
    let pipeline = &told["pipelines"][0];
    assert_eq!(pipeline["pipeline"], "p");
    let lists = ["promised", "assumed", "weakened", "unknown"].map(|list| pipeline[list].as_array().unwrap());
    let sentences: Vec<String> = lists
        .iter()
        .flat_map(|list| list.iter())
        .map(|sentence| format!("    - {}", sentence.as_str().unwrap()))
        .collect();
    let shown: Vec<&str> = text.lines().filter(|line| line.starts_with("    - ")).collect();
    assert!(shown == sentences && sentences.len() > 4, "{text}");
}

#[test]
fn a_project_with_errors_promises_nothing() {
    let broken = Sandbox::small("{}").file("pipelines/p.yaml", "pipeline: p\nkye: data.id\n");
    let done = broken.sluice(&["guarantee"]).expect(1);
    assert!(done.stdout.is_empty() && done.stderr.contains("did you mean `key`?"), "{}", done.stderr);
}
