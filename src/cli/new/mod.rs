//! `sluice new`: a project that runs, lints and can be played with at once.

use std::fs;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use clap::Args;

use super::failure::{Exit, Failure};
use super::print;
use crate::spec::{FileKind, json_schema};

/// What to do next, as it is printed and as the project's README has it.
const COMMANDS: &str = "\
sluice lint                                                             # everything that is wrong, before it runs
sluice test                                                             # its scenarios, in every order of delivery
sluice run --show --feed signups=samples/signups.ndjson --until-idle    # handle the samples, then end
sluice status                                                           # where it stands
sluice dlq list                                                         # what was set aside, and why
sluice guarantee                                                        # what is promised, and what weakens it";

/// The files, each with its text. `{name}` and `{commands}` are filled in.
const TEMPLATE: [(&str, &str); 9] = [
    ("sluice.yaml", include_str!("template/sluice.yaml")),
    ("pipelines/welcome.yaml", include_str!("template/welcome.yaml")),
    ("pipelines/welcome.test.yaml", include_str!("template/welcome.test.yaml")),
    ("pipelines/handlers/user_signed_up.rhai", include_str!("template/user_signed_up.rhai")),
    ("schemas/UserSignedUp/1.json", include_str!("template/UserSignedUp.1.json")),
    ("schemas/WelcomeRequested/1.json", include_str!("template/WelcomeRequested.1.json")),
    ("samples/signups.ndjson", include_str!("template/signups.ndjson")),
    (".gitignore", include_str!("template/gitignore")),
    ("README.md", include_str!("template/README.md")),
];

/// Make a project: one pipeline with its handler, schemas and sample events
///
/// It needs no server: the store is a file below `.sluice/`, and channels are local. The YAML files name schemas that
/// lie beside them, so that editors complete and check them, offline.
#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  sluice new shop
  sluice new services/shop")]
pub struct NewArgs {
    /// Directory of the project, which must not exist, or be empty; its name is the project's
    #[arg(value_name = "NAME")]
    directory: PathBuf,
}

pub fn new(arguments: &NewArgs) -> Result<Exit, Failure> {
    let directory = &arguments.directory;
    let name = name(directory)?;
    vacant(directory)?;
    let files = files(name);
    for (file, text) in &files {
        let path = directory.join(file);
        write(&path, text)
            .map_err(|error| Failure::cannot_run(format!("`{}` cannot be written: {error}", path.display())))?;
    }
    let commands: String = COMMANDS.lines().map(|line| format!("\n  {line}")).collect();
    let count = print::count(files.len() as u64, "file");
    let shown = print::tame(&directory.to_string_lossy());
    print::line(&format!("made `{shown}` with {count}; now:\n\n  cd {}{commands}", quoted(&shown)))?;
    Ok(Exit::Fine)
}

/// One word for a shell.
fn quoted(path: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '/' | '.' | '-' | '_');
    if path.chars().all(plain) { path.to_owned() } else { format!("'{}'", path.replace('\'', "'\\''")) }
}

/// The project's name; it will be typed in shells and may become part of other names.
fn name(directory: &Path) -> Result<&str, Failure> {
    let name = directory.file_name().and_then(|name| name.to_str()).unwrap_or_default();
    let fine = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_');
    if name.bytes().all(fine) && name.starts_with(|first: char| first.is_ascii_alphanumeric()) && name.len() <= 64 {
        return Ok(name);
    }
    Err(Failure::cannot_run(format!("`{}` cannot be a project's name", print::tame(&directory.to_string_lossy()))).help(
        "a name is letters, digits, `-` and `_`, begins with a letter or digit, and has at most 64 characters, like `shop`",
    ))
}

fn vacant(directory: &Path) -> Result<(), Failure> {
    let shown = directory.display();
    match fs::read_dir(directory).map(|mut entries| entries.next().is_none()) {
        Ok(true) => Ok(()),
        Ok(false) => Err(Failure::cannot_run(format!("`{shown}` is there already, and is not empty"))
            .help("choose another name; nothing is overwritten")),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(error) => {
            Err(Failure::cannot_run(format!("`{shown}` cannot be used: {error}")).help("choose another name"))
        }
    }
}

fn files(name: &str) -> Vec<(String, String)> {
    let filled = |text: &str| text.replace("{name}", name).replace("{commands}", COMMANDS);
    let schema = |kind: FileKind| {
        let text = serde_json::to_string_pretty(&json_schema(kind)).expect("JSON values serialize");
        (format!(".sluice-schemas/{}.json", kind.name()), text + "\n")
    };
    let template = TEMPLATE.into_iter().map(|(file, text)| (file.to_owned(), filled(text)));
    template.chain(FileKind::ALL.map(schema)).collect()
}

/// Only what is not there is written, whoever else is at work in the directory.
fn write(path: &Path, text: &str) -> io::Result<()> {
    if let Some(parent) = path.parent() {
        fs::create_dir_all(parent)?;
    }
    fs::File::create_new(path)?.write_all(text.as_bytes())
}
