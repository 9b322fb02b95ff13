//! Completion scripts and manual pages.

use std::fs;

use super::sandbox::{Done, Sandbox};

#[test]
fn bash_completes_commands_and_flags() {
    let sandbox = Sandbox::empty();
    let script = "\
        sluice completions bash > completions.bash && exec bash --norc -c '
            source ./completions.bash
            for line in \"sluice gua\" \"sluice dlq li\" \"sluice guarantee --form\"; do
                read -ra COMP_WORDS <<< \"$line\"
                COMP_CWORD=$((${#COMP_WORDS[@]} - 1))
                _sluice sluice \"${COMP_WORDS[COMP_CWORD]}\" \"${COMP_WORDS[COMP_CWORD - 1]}\"
                echo \"${COMPREPLY[@]}\"
            done'";
    let done = Done::of(sandbox.shell(script).output().unwrap()).expect(0);
    assert_eq!(done.stdout, "guarantee\nlist\n--format\n", "{}", done.stderr);
}

#[test]
fn every_shell_has_a_script_and_what_is_hidden_is_not_completed() {
    for shell in ["bash", "zsh", "fish", "elvish", "powershell"] {
        let script = Sandbox::empty().sluice(&["completions", shell]).expect(0).stdout;
        assert!(script.contains("guarantee") && script.contains("new"), "{shell}");
    }
    Sandbox::empty().sluice(&["completions", "csh"]).expect(2);
}

#[test]
fn every_command_has_a_manual_page() {
    let sandbox = Sandbox::empty();
    let done = sandbox.sluice(&["man", "share/man1"]).expect(0);
    let pages: Vec<_> =
        fs::read_dir(sandbox.path().join("share/man1")).unwrap().map(|page| page.unwrap().path()).collect();
    assert_eq!(done.stdout, format!("wrote {} manual pages to `share/man1`\n", pages.len()));
    let page = |name: &str| fs::read_to_string(sandbox.path().join("share/man1").join(name)).unwrap();
    assert_eq!(page("sluice.1").trim_end(), sandbox.sluice(&["man"]).expect(0).stdout.trim_end());
    for (name, words) in [
        ("sluice.1", "sluice\\-guarantee(1)"),
        ("sluice-run.1", "  sluice run \\-\\-project shop \\-\\-log debug"),
        ("sluice-dlq-list.1", "one line a cause"),
        ("sluice-new.1", "Exit codes:"),
    ] {
        assert!(page(name).contains(words), "{name}: {words}");
    }
    // A page that the others mention is there.
    for verb in page("sluice.1").lines().filter_map(|line| line.strip_prefix("sluice\\-")?.strip_suffix("(1)")) {
        assert!(pages.iter().any(|path| path.ends_with(format!("sluice-{verb}.1"))), "{verb}");
    }
}
