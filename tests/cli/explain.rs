use super::sandbox::Sandbox;

#[test]
fn a_page_is_printed_as_the_documents_have_it() {
    let page = Sandbox::empty().sluice(&["explain", "SG311"]).expect(0).stdout;
    assert_eq!(page, include_str!("../../docs/rules/SG311.md"));
    assert_eq!(Sandbox::empty().sluice(&["explain", "sg311"]).expect(0).stdout, page);
}

#[test]
fn without_a_rule_all_are_listed() {
    let listed = Sandbox::empty().sluice(&["explain"]).expect(0).stdout;
    assert!(listed.contains("SG311  warning  a channel that nobody reads or feeds\n"), "{listed}");
    assert!(listed.contains("SG001  error    a file is not YAML\n"), "{listed}");
    let ids: Vec<&str> = listed.lines().filter_map(|line| line.split("  ").next()).collect();
    assert_eq!(ids, sluicegate::lint::RULES.iter().map(|known| known.rule.id).collect::<Vec<_>>());
}

#[test]
fn a_rule_that_there_is_not_is_told_with_what_may_be_meant() {
    let done = Sandbox::empty().sluice(&["explain", "SG3111"]).expect(2);
    assert_eq!(done.stderr, "error: there is no rule `SG3111`\nhelp: did you mean `SG311`?\n");
    let done = Sandbox::empty().sluice(&["explain", "types"]).expect(2);
    assert_eq!(done.stderr, "error: there is no rule `types`\nhelp: `sluice explain` lists the rules\n");
}
