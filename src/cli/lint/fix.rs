//! `--fix` and `--diff`: what a machine can mend, written or shown.

use std::collections::BTreeMap;
use std::fs;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use super::super::failure::Failure;
use super::super::print;
use super::diff::unified;
use crate::diagnostic::{Fix, fixed};
use crate::spec::Loaded;

/// Mending one slip may bring up the next; what still changes after this many rounds goes in circles.
const MAX_ROUNDS: usize = 10;

/// Mends what can be mended, and loads again, until nothing is left to mend. Tells each fix.
pub fn fix(root: &Path, mut loaded: Loaded, load: &dyn Fn() -> Loaded) -> Result<Loaded, Failure> {
    for _ in 0..MAX_ROUNDS {
        let mut mended = 0;
        for (file, fixes) in by_file(&loaded) {
            let Some(Text { path, bom, text }) = Text::read(root, file) else { continue };
            let done = fixed(&text, &fixes);
            if done.made.is_empty() {
                continue;
            }
            replace(&path, &format!("{bom}{}", done.text))
                .map_err(|error| Failure::cannot_run(format!("`{file}` cannot be written: {error}")))?;
            for made in &done.made {
                let Fix { span, from, to } = made;
                print::note(&format!("fixed {}:{}:{}: `{from}` is `{to}` now", span.file, span.line, span.column));
            }
            mended += done.made.len();
        }
        if mended == 0 {
            break;
        }
        loaded = load();
    }
    Ok(loaded)
}

/// What mending would change, as a unified diff; changes nothing. Empty when there is nothing to mend.
pub fn diff(root: &Path, loaded: &Loaded) -> String {
    let of_file = |(file, fixes): (&str, Vec<&Fix>)| {
        let Text { text, .. } = Text::read(root, file)?;
        Some(unified(file, &text, &fixed(&text, &fixes).text))
    };
    by_file(loaded).into_iter().filter_map(of_file).collect()
}

fn by_file(loaded: &Loaded) -> BTreeMap<&str, Vec<&Fix>> {
    let mut files: BTreeMap<&str, Vec<&Fix>> = BTreeMap::new();
    for fix in loaded.diagnostics.iter().filter_map(|diagnostic| diagnostic.fix.as_ref()) {
        files.entry(&fix.span.file).or_default().push(fix);
    }
    files
}

/// A file as it is on disk: what was loaded may have secrets masked.
struct Text {
    path: PathBuf,
    /// A byte order mark, which is no part of the text.
    bom: &'static str,
    text: String,
}

impl Text {
    /// `None`: not there any more, no text, or outside of the project, be it by a link.
    fn read(root: &Path, file: &str) -> Option<Self> {
        const BOM: &str = "\u{feff}";
        let root = root.canonicalize().ok()?;
        let path = root.join(file).canonicalize().ok().filter(|path| path.starts_with(&root) && path.is_file())?;
        let text = fs::read_to_string(&path).ok()?;
        Some(match text.strip_prefix(BOM) {
            Some(after) => Self { path, bom: BOM, text: after.to_owned() },
            None => Self { path, bom: "", text },
        })
    }
}

/// The whole new text or the whole old one, whatever happens; permissions stay.
fn replace(path: &Path, text: &str) -> io::Result<()> {
    let name = path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
    // Hidden files are no part of a project.
    let beside = path.with_file_name(format!(".{name}.{}.fixed", std::process::id()));
    let written = (|| {
        let mut file = fs::OpenOptions::new().write(true).create_new(true).open(&beside)?;
        file.write_all(text.as_bytes())?;
        file.set_permissions(fs::metadata(path)?.permissions())?;
        file.sync_all()?;
        fs::rename(&beside, path)
    })();
    if written.is_err() {
        let _ = fs::remove_file(&beside);
    }
    written
}
