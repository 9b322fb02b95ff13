//! Reading the project's files: bounded, as text, never outside the project; each once.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::fs;
use std::io::{self, Read as _};
use std::path::{Component, Path, PathBuf};
use std::sync::Arc;

use sha2::{Digest as _, Sha256};

use crate::diagnostic::Sources;
use crate::diagnostic::rules::{self, Rule};
use crate::event::hex;

/// Largest file in bytes.
const MAX_BYTES: u64 = 1 << 20;
/// Deepest directory below `pipelines`.
const MAX_DEPTH: usize = 32;

/// Why a file cannot be used, in words that follow its name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refused {
    pub absent: bool,
    pub why: String,
}

impl Refused {
    fn because(why: impl Into<String>) -> Self {
        Self { absent: false, why: why.into() }
    }

    /// What is not there is one mistake, what is there and no use another.
    pub fn rule(&self) -> &'static Rule {
        if self.absent { &rules::MISSING_FILE } else { &rules::UNUSABLE_FILE }
    }

    fn io(error: &io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::NotFound | io::ErrorKind::NotADirectory => {
                Self { absent: true, why: "does not exist".into() }
            }
            io::ErrorKind::PermissionDenied => Self::because("may not be read (permission denied)"),
            _ => Self::because(format!("cannot be read: {error}")),
        }
    }
}

/// A file's name relative to the project, with `/`, and its text.
pub type Found = (Arc<str>, Arc<str>);

#[derive(Debug)]
pub struct Files {
    /// Canonical.
    root: PathBuf,
    pub sources: Sources,
    known: Known,
    trace: Trace,
}

/// What was found on disk, so that it is not looked for again.
#[derive(Debug, Default)]
pub struct Known {
    /// By path below the project.
    pub texts: HashMap<PathBuf, Result<Found, Refused>>,
    /// Every file below a directory.
    pub below: HashMap<PathBuf, Result<Vec<PathBuf>, Refused>>,
}

/// What was looked at since somebody asked: what something that was made from files depends on.
#[derive(Debug, Default)]
pub struct Trace {
    /// Relative to the project, there or not; of directories, what is in them.
    pub looked_at: BTreeSet<PathBuf>,
    pub read: Vec<Found>,
}

impl Files {
    pub fn new(root: &Path, known: Known) -> io::Result<Self> {
        let root = fs::canonicalize(root)?;
        if root.is_dir() {
            Ok(Self { root, sources: Sources::default(), known, trace: Trace::default() })
        } else {
            Err(io::Error::new(io::ErrorKind::NotADirectory, "not a directory"))
        }
    }

    pub fn root(&self) -> &Path {
        &self.root
    }

    /// Reads a text file; `path` is relative to the project.
    pub fn read(&mut self, path: &Path) -> Result<Found, Refused> {
        let (plain, found) = match self.known.texts.get(path) {
            Some(known) => (path.to_owned(), known.clone()),
            None => {
                // What is outside is refused, and no business of ours.
                let Some(plain) = self.below_root(path) else { return self.open(path) };
                let found = self.open(path);
                self.known.texts.insert(plain.clone(), found.clone());
                (plain, found)
            }
        };
        self.trace.looked_at.insert(plain);
        let (name, text) = found?;
        if !self.sources.0.contains_key(&name) {
            self.sources.0.insert(name.clone(), text.clone());
        }
        self.trace.read.push((name.clone(), text.clone()));
        Ok((name, text))
    }

    /// A path relative to the project, without `.` and `..`; `None` when it leads out.
    fn below_root(&self, path: &Path) -> Option<PathBuf> {
        lexically(&self.root.join(path)).strip_prefix(&self.root).map(Path::to_path_buf).ok()
    }

    fn open(&self, path: &Path) -> Result<Found, Refused> {
        let (plain, real) = self.resolve(path)?;
        Ok((self.name(&plain).into(), text(read_bounded(&real, MAX_BYTES)?)?.into()))
    }

    /// What was looked at since this was asked last.
    pub fn trace(&mut self) -> Trace {
        std::mem::take(&mut self.trace)
    }

    /// Somebody else looked at these.
    pub fn looked_at(&mut self, paths: impl IntoIterator<Item = PathBuf>) {
        self.trace.looked_at.extend(paths);
    }

    /// What was made from these files is used as it is.
    pub fn read_before(&mut self, files: &[Found]) {
        self.sources.0.extend(files.iter().cloned());
    }

    pub fn into_parts(self) -> (Sources, Known) {
        (self.sources, self.known)
    }

    /// A path as it is written, and its real place, if both are inside of the project.
    ///
    /// Files go by the first: a project that is all links (a mounted ConfigMap: to a directory named after the time)
    /// has the names its author gave, and the same revision everywhere.
    fn resolve(&self, path: &Path) -> Result<(PathBuf, PathBuf), Refused> {
        let outside = || Refused::because("is outside of the project");
        // A path that climbs out is outside whether or not something is there: no probing of what exists.
        let plain = lexically(&self.root.join(path));
        if !plain.starts_with(&self.root) {
            return Err(outside());
        }
        let real = fs::canonicalize(&plain).map_err(|error| Refused::io(&error))?;
        if real.starts_with(&self.root) { Ok((plain, real)) } else { Err(outside()) }
    }

    fn name(&self, plain: &Path) -> String {
        let relative = plain.strip_prefix(&self.root).unwrap_or(plain);
        relative.components().map(|c| c.as_os_str().to_string_lossy()).collect::<Vec<_>>().join("/")
    }

    /// Every file below a directory that `wanted` takes by its name, sorted; hidden ones are left out.
    pub fn below(&mut self, directory: &Path, wanted: &dyn Fn(&str) -> bool) -> Result<Vec<PathBuf>, Refused> {
        let all = self.known.below.remove(directory).unwrap_or_else(|| self.all_below(directory));
        let named = |path: &&PathBuf| path.file_name().is_some_and(|name| wanted(&name.to_string_lossy()));
        let found = all.as_ref().map(|all| all.iter().filter(named).cloned().collect()).map_err(Clone::clone);
        self.known.below.insert(directory.to_owned(), all);
        found
    }

    fn all_below(&self, directory: &Path) -> Result<Vec<PathBuf>, Refused> {
        let (plain, real) = self.resolve(directory)?;
        if !real.is_dir() {
            return Err(Refused::because("is not a directory"));
        }
        let mut found = BTreeMap::new();
        self.walk(&plain, 0, &mut found)?;
        Ok(found.into_values().collect())
    }

    fn walk(&self, directory: &Path, depth: usize, found: &mut BTreeMap<String, PathBuf>) -> Result<(), Refused> {
        if depth > MAX_DEPTH {
            return Err(Refused::because(format!("has directories nested deeper than {MAX_DEPTH}")));
        }
        for entry in fs::read_dir(directory).map_err(|error| Refused::io(&error))? {
            let entry = entry.map_err(|error| Refused::io(&error))?;
            let name = entry.file_name().to_string_lossy().into_owned();
            if name.starts_with('.') {
                continue;
            }
            // Links to directories are not followed: they make circles.
            let kind = entry.file_type().map_err(|error| Refused::io(&error))?;
            if kind.is_dir() {
                self.walk(&entry.path(), depth + 1, found)?;
            } else {
                let relative = entry.path().strip_prefix(&self.root).map(Path::to_path_buf).unwrap_or_default();
                found.insert(self.name(&entry.path()), relative);
            }
        }
        Ok(())
    }

    /// Names of the directories in a directory; empty when there is none.
    pub fn directories(&mut self, directory: &Path) -> Vec<String> {
        self.entries(directory, true)
    }

    /// Names of the files in a directory; empty when there is none.
    pub fn listing(&mut self, directory: &Path) -> Vec<String> {
        self.entries(directory, false)
    }

    fn entries(&mut self, directory: &Path, directories: bool) -> Vec<String> {
        self.trace.looked_at.extend(self.below_root(directory));
        let Ok(entries) = self.resolve(directory).and_then(|(_, real)| fs::read_dir(real).map_err(|e| Refused::io(&e)))
        else {
            return Vec::new();
        };
        // Asking for what a link leads to costs a call each; most entries are none.
        let is_directory = |entry: &fs::DirEntry| match entry.file_type() {
            Ok(kind) if kind.is_symlink() => entry.path().is_dir(),
            kind => kind.is_ok_and(|kind| kind.is_dir()),
        };
        let wanted = entries.flatten().filter(|entry| is_directory(entry) == directories);
        let mut names: Vec<String> = wanted.map(|e| e.file_name().to_string_lossy().into_owned()).collect();
        names.sort();
        names
    }

    /// The first 12 hex digits of SHA-256 over every file read, by name.
    pub fn revision(&self) -> String {
        let mut hasher = Sha256::new();
        for (name, text) in &self.sources.0 {
            for part in [&**name, text] {
                hasher.update((part.len() as u64).to_be_bytes());
                hasher.update(part.as_bytes());
            }
        }
        hex(&hasher.finalize()[..6])
    }
}

/// Reads what `${file:PATH}` names: anywhere, small, without the line break at its end. `Ok(None)`: not there.
pub fn secret(path: &Path) -> Result<Option<String>, Refused> {
    const MAX_SECRET: u64 = 64 << 10;
    match read_bounded(path, MAX_SECRET).and_then(text) {
        Ok(text) => {
            Ok(Some(text.strip_suffix('\n').map_or(text.as_str(), |t| t.strip_suffix('\r').unwrap_or(t)).to_owned()))
        }
        Err(refused) if refused.absent => Ok(None),
        Err(refused) => Err(refused),
    }
}

fn read_bounded(path: &Path, limit: u64) -> Result<Vec<u8>, Refused> {
    // Asked before it is opened: opening a pipe that nobody writes to never returns.
    let meta = fs::metadata(path).map_err(|error| Refused::io(&error))?;
    if meta.is_dir() {
        return Err(Refused::because("is a directory"));
    }
    if !meta.is_file() {
        return Err(Refused::because("is not a file"));
    }
    let file = fs::File::open(path).map_err(|error| Refused::io(&error))?;
    let mut bytes = Vec::new();
    file.take(limit + 1).read_to_end(&mut bytes).map_err(|error| Refused::io(&error))?;
    if bytes.len() as u64 > limit {
        return Err(Refused::because(format!("is larger than {} KiB", limit >> 10)));
    }
    Ok(bytes)
}

/// UTF-8 without a byte order mark: editors write one, and nobody sees it.
fn text(bytes: Vec<u8>) -> Result<String, Refused> {
    if bytes.starts_with(&[0xff, 0xfe]) || bytes.starts_with(&[0xfe, 0xff]) {
        return Err(Refused::because("is UTF-16 text; save it as UTF-8"));
    }
    let text = String::from_utf8(bytes).map_err(|error| {
        let valid = &error.as_bytes()[..error.utf8_error().valid_up_to()];
        let line = valid.iter().filter(|b| **b == b'\n').count() + 1;
        Refused::because(format!("is not UTF-8 text (line {line})"))
    })?;
    if text.contains('\0') {
        return Err(Refused::because("is not text"));
    }
    Ok(text.strip_prefix('\u{feff}').map_or_else(|| text.clone(), str::to_owned))
}

/// Without `.` and `..`, whatever exists.
pub fn lexically(path: &Path) -> PathBuf {
    let mut plain = PathBuf::new();
    for component in path.components() {
        match component {
            Component::CurDir => {}
            Component::ParentDir => {
                plain.pop();
            }
            other => plain.push(other),
        }
    }
    plain
}

#[cfg(test)]
mod tests {
    use super::*;

    fn project(files: &[(&str, &[u8])]) -> (tempfile::TempDir, Files) {
        let directory = tempfile::tempdir().expect("a directory");
        for (name, bytes) in files {
            let path = directory.path().join(name);
            fs::create_dir_all(path.parent().expect("a parent")).expect("directories");
            fs::write(path, bytes).expect("a file");
        }
        let files = Files::new(directory.path(), Known::default()).expect("a project");
        (directory, files)
    }

    fn why(files: &mut Files, path: &str) -> String {
        files.read(Path::new(path)).expect_err("refused").why
    }

    #[test]
    fn a_byte_order_mark_is_dropped() {
        let (_directory, mut files) = project(&[("a.yaml", b"\xef\xbb\xbfkey: 1\n")]);
        assert_eq!(&*files.read(Path::new("a.yaml")).expect("read").1, "key: 1\n");
    }

    #[test]
    fn what_is_not_readable_text_is_refused_with_the_reason() {
        let big = vec![b'x'; (1 << 20) + 1];
        let (_directory, mut files) = project(&[
            ("big", &big),
            ("utf16", b"\xff\xfea\0"),
            ("latin", b"ok\ncaf\xe9\n"),
            ("nul", b"a\0b"),
            ("d/x", b""),
        ]);
        assert_eq!(why(&mut files, "big"), "is larger than 1024 KiB");
        assert_eq!(why(&mut files, "utf16"), "is UTF-16 text; save it as UTF-8");
        assert_eq!(why(&mut files, "latin"), "is not UTF-8 text (line 2)");
        assert_eq!(why(&mut files, "nul"), "is not text");
        assert_eq!(why(&mut files, "d"), "is a directory");
        assert_eq!(why(&mut files, "none"), "does not exist");
    }

    #[test]
    fn nothing_outside_of_the_project_is_read() {
        let (directory, mut files) = project(&[("a/b", b"")]);
        for path in ["../x", "/etc/passwd", "a/../../x"] {
            assert_eq!(why(&mut files, path), "is outside of the project", "{path}");
        }
        let outside = tempfile::NamedTempFile::new().expect("a file");
        #[cfg(unix)]
        {
            std::os::unix::fs::symlink(outside.path(), directory.path().join("link")).expect("a link");
            assert_eq!(why(&mut files, "link"), "is outside of the project");
        }
        assert_eq!(&*files.read(Path::new("a/../a/b")).expect("inside").0, "a/b");
    }

    #[cfg(unix)]
    #[test]
    fn a_walk_ends_where_links_make_a_circle() {
        let (directory, mut files) = project(&[("p/a.yaml", b""), ("p/deep/b.yaml", b""), ("p/.hidden/c.yaml", b"")]);
        std::os::unix::fs::symlink(directory.path().join("p"), directory.path().join("p/deep/again")).expect("a link");
        let found = files.below(Path::new("p"), &|name| name.ends_with(".yaml")).expect("a directory");
        assert_eq!(found, [PathBuf::from("p/a.yaml"), PathBuf::from("p/deep/b.yaml")]);
    }

    /// The way ConfigMaps are mounted.
    #[cfg(unix)]
    #[test]
    fn files_reached_by_links_go_by_the_names_they_are_reached_by() {
        let (directory, mut files) = project(&[("..2026/a.yaml", b"1"), ("..2026/p/b.yaml", b"2")]);
        for (link, target) in [("..data", "..2026"), ("a.yaml", "..data/a.yaml"), ("p", "..data/p")] {
            std::os::unix::fs::symlink(target, directory.path().join(link)).expect("a link");
        }
        assert_eq!(&*files.read(Path::new("a.yaml")).expect("read").0, "a.yaml");
        let found = files.below(Path::new("p"), &|_| true).expect("a directory");
        assert_eq!(found, [PathBuf::from("p/b.yaml")]);
        assert_eq!(&*files.read(&found[0]).expect("read").0, "p/b.yaml");
        let (_directory, mut plain) = project(&[("a.yaml", b"1"), ("p/b.yaml", b"2")]);
        for name in ["a.yaml", "p/b.yaml"] {
            plain.read(Path::new(name)).expect("read");
        }
        assert_eq!(files.revision(), plain.revision());
    }

    #[test]
    fn the_revision_changes_with_every_name_and_content() {
        let revision = |files: &[(&str, &[u8])]| {
            let (_directory, mut project) = project(files);
            for (name, _) in files {
                project.read(Path::new(name)).expect("read");
            }
            project.revision()
        };
        let base = revision(&[("a", b"1"), ("b", b"2")]);
        assert_eq!(base.len(), 12);
        assert_eq!(base, revision(&[("b", b"2"), ("a", b"1")]));
        for other in
            [revision(&[("a", b"1"), ("b", b"3")]), revision(&[("a", b"1"), ("c", b"2")]), revision(&[("a", b"12")])]
        {
            assert_ne!(base, other);
        }
    }

    #[test]
    fn a_secret_loses_only_its_last_line_break() {
        let file = tempfile::NamedTempFile::new().expect("a file");
        fs::write(file.path(), " a b \r\n").expect("written");
        assert_eq!(secret(file.path()), Ok(Some(" a b ".into())));
        assert_eq!(secret(Path::new("/nonexistent/x")), Ok(None));
    }
}
