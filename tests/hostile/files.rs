//! Projects that cannot be loaded: what a user reads, where it is, and how soon.

use std::fs::{self, File};
use std::os::unix::fs::symlink;
use std::process::Stdio;

use crate::cli::sandbox::{Done, Sandbox};

fn project() -> Sandbox {
    Sandbox::small("{ listen: '127.0.0.1:0' }")
}

/// `lint` finds this; nothing of it is a panic.
#[track_caller]
fn told(sandbox: &Sandbox, words: &[&str]) {
    let done = sandbox.sluice(&["lint"]).expect(1);
    for word in words {
        assert!(done.stdout.contains(word), "{word}: {}", done.stdout);
    }
    assert_eq!(done.stderr, "");
}

/// Puts a link in the place of a file.
fn linked(sandbox: Sandbox, path: &str, target: &str) -> Sandbox {
    let path = sandbox.path().join(path);
    let _ = fs::remove_file(&path);
    symlink(target, path).unwrap();
    sandbox
}

#[test]
fn a_link_that_leads_out_of_the_project_is_not_followed() {
    for file in ["pipelines/h.rhai", "schemas/OrderCreated/1.json", "pipelines/p.yaml", "sluice.yaml"] {
        told(&linked(project(), file, "/etc/hostname"), &["is outside of the project"]);
    }
    let imports = project().file("pipelines/h.rhai", "import \"m\" as m;\nstate.x = 1;\n");
    told(&linked(imports, "pipelines/m.rhai", "/etc/hostname"), &["pipelines/h.rhai:1:8", "leaves the project"]);
    let elsewhere = tempfile::tempdir().unwrap();
    fs::write(elsewhere.path().join("q.yaml"), "pipeline: stranger\n").unwrap();
    let folder = project();
    symlink(elsewhere.path(), folder.path().join("pipelines/folder")).unwrap();
    let lint = folder.sluice(&["lint"]).expect(0).stdout;
    assert!(lint.lines().last().is_some_and(|summary| summary.starts_with("1 pipeline, ")), "{lint}");
}

#[test]
fn a_link_that_leads_nowhere_or_to_itself_is_told() {
    told(&linked(project(), "pipelines/h.rhai", "nowhere.rhai"), &["pipelines/p.yaml:4:", "does not exist"]);
    told(&linked(project(), "pipelines/h.rhai", "h.rhai"), &["pipelines/p.yaml:4:", "cannot be read"]);
}

#[test]
fn a_directory_or_a_pipe_in_place_of_a_file_is_told() {
    for file in ["sluice.yaml", "pipelines/h.rhai", "schemas/OrderCreated/1.json"] {
        let sandbox = project();
        fs::remove_file(sandbox.path().join(file)).unwrap();
        fs::create_dir(sandbox.path().join(file)).unwrap();
        told(&sandbox, &["is a directory"]);
    }
    // Reading a pipe that nobody writes to would never end.
    for file in ["sluice.yaml", "pipelines/p.yaml", "pipelines/h.rhai", "schemas/OrderCreated/1.json"] {
        let sandbox = project();
        let path = sandbox.path().join(file);
        fs::remove_file(&path).unwrap();
        rustix::fs::mkfifoat(rustix::fs::CWD, &path, rustix::fs::Mode::RUSR).unwrap();
        told(&sandbox, &["is not a file"]);
    }
}

#[test]
fn a_file_of_a_hundred_megabytes_is_refused_without_being_read() {
    for file in ["sluice.yaml", "pipelines/p.yaml", "pipelines/h.rhai", "schemas/OrderCreated/1.json"] {
        let sandbox = project();
        File::options().write(true).open(sandbox.path().join(file)).unwrap().set_len(100 << 20).unwrap();
        told(&sandbox, &["is larger than 1024 KiB"]);
    }
}

#[test]
fn marks_and_encodings_of_other_systems_are_read_or_told() {
    let windows = |text: &str| format!("\u{feff}{}", text.replace('\n', "\r\n"));
    let mut sandbox = project();
    for file in ["sluice.yaml", "pipelines/p.yaml", "pipelines/h.rhai", "schemas/OrderCreated/1.json"] {
        let text = fs::read_to_string(sandbox.path().join(file)).unwrap();
        sandbox = sandbox.file(file, &windows(&text));
    }
    sandbox.sluice(&["lint"]).expect(0);

    for file in ["sluice.yaml", "pipelines/p.yaml", "pipelines/h.rhai", "schemas/OrderCreated/1.json"] {
        let sandbox = project();
        let path = sandbox.path().join(file);
        let text = fs::read_to_string(&path).unwrap();
        let utf16: Vec<u8> = [0xff, 0xfe].into_iter().chain(text.encode_utf16().flat_map(u16::to_le_bytes)).collect();
        fs::write(&path, utf16).unwrap();
        told(&sandbox, &["is UTF-16 text; save it as UTF-8"]);
        fs::write(&path, b"a: caf\xe9\n").unwrap();
        told(&sandbox, &["is not UTF-8 text (line 1)"]);
    }
}

#[test]
fn nesting_that_a_parser_would_not_survive_is_told() {
    let open = |part: &str| part.repeat(200_000);
    for (file, text) in [
        ("pipelines/p.yaml", open("[")),
        ("pipelines/p.yaml", open("{a: ")),
        ("pipelines/p.yaml", open("- ")),
        ("sluice.yaml", open("[")),
        ("schemas/OrderCreated/1.json", open("[")),
        ("schemas/OrderCreated/1.json", open("{\"not\":")),
        ("pipelines/h.rhai", open("(")),
        ("pipelines/h.rhai", format!("if true {{}} {}", "else if true {} ".repeat(20_000))),
        ("pipelines/h.rhai", format!("let x = event{};", ".a".repeat(200_000))),
        ("pipelines/h.rhai", format!("let x = 1{};", "+1".repeat(200_000))),
        ("pipelines/h.rhai", format!("let x = {}1;", "|a| ".repeat(100_000))),
        ("pipelines/h.rhai", format!("let x = {}1{};", "`${".repeat(1_000), "}`".repeat(1_000))),
    ] {
        let sandbox = project().file(file, &text);
        let done = sandbox.sluice(&["lint"]).expect(1);
        assert!(done.stdout.contains(file), "{}: {}", &text[..20], done.stdout);
        assert!(done.stdout.len() < 20_000, "{}: {} bytes are told", &text[..20], done.stdout.len());
    }
}

#[test]
fn a_project_that_is_a_file_or_gone_is_told() {
    let sandbox = project();
    for command in ["lint", "run", "status"] {
        let done = sandbox.sluice(&[command, "--project", "sluice.yaml"]).expect(2);
        assert!(done.stderr.starts_with("error: `sluice.yaml` is not a directory\nhelp: "), "{}", done.stderr);
    }
}

#[test]
fn output_to_a_full_disk_is_told() {
    let sandbox = project();
    for arguments in ["lint", "lint --format json"] {
        let mut command = sandbox.shell(&format!("sluice {arguments} > /dev/full"));
        let done = Done::of(command.stdin(Stdio::null()).output().unwrap()).expect(2);
        assert!(done.stderr.starts_with("error: the output cannot be written: No space left"), "{}", done.stderr);
    }
}

#[test]
fn a_log_on_a_full_disk_stops_nothing() {
    // The port is taken, so the run ends by itself, after some lines of log that nobody can read.
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let sandbox = Sandbox::small(&format!("{{ listen: '{}' }}", taken.local_addr().unwrap()));
    let mut command = sandbox.shell("sluice run --log-format json 2> /dev/full");
    Done::of(command.stdin(Stdio::null()).output().unwrap()).expect(2);
}
