//! A page: a text, files of a bad example, what lint says of it, and files of a good one.

use std::sync::{Mutex, PoisonError};

use super::*;

const PAGES: &str = "src/lint/pages";
const DOCUMENTS: &str = "docs/rules";

/// A fenced block: its language and attributes, and what is in it.
struct Block<'p> {
    info: &'p str,
    text: &'p str,
}

impl Block<'_> {
    fn file(&self) -> Option<(&str, &str)> {
        Some((self.info.split_once(" file=")?.1, self.text))
    }
}

fn blocks(page: &str) -> Vec<Block<'_>> {
    let mut blocks = Vec::new();
    let mut rest = page;
    while let Some((_, after)) = rest.split_once("\n```") {
        let (info, inside) = after.split_once('\n').expect("a block");
        let (text, behind) = if let Some(behind) = inside.strip_prefix("```\n") {
            ("", behind)
        } else {
            let end = inside.find("\n```\n").expect("a block has an end");
            (&inside[..=end], &inside[end + "\n```\n".len()..])
        };
        blocks.push(Block { info, text });
        rest = behind;
    }
    blocks
}

fn repository() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn source(rule: &Rule) -> PathBuf {
    repository().join(PAGES).join(format!("{}.md", rule.rule.id))
}

fn writing() -> bool {
    std::env::var_os("SLUICE_WRITE").is_some()
}

/// As the command that the output is of: `run` finds what only the environment knows.
fn output(info: &str, directory: &Path) -> (Loaded, String) {
    let loaded = match info {
        "text output" => lint(directory),
        "text output run" => spec::load(directory, &|_| None),
        other => panic!("an output of `{other}`"),
    };
    let shown = shown(&loaded);
    (loaded, shown)
}

#[test]
fn every_bad_example_gives_what_its_page_shows_and_every_good_one_nothing() {
    let wrong = play();
    let how = "write outputs with `SLUICE_WRITE=1 cargo test --lib lint::tests`";
    assert!(wrong.is_empty(), "{how}\n{}", wrong.join("\n"));
}

/// Lints what the pages show, and tells where they are wrong; writes what they should show, if asked to.
fn play() -> Vec<String> {
    // Two tests play the pages, and none may read what the other has half written.
    static ALONE: Mutex<()> = Mutex::new(());
    let _alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
    let mut wrong = Vec::new();
    for rule in RULES {
        let page = fs::read_to_string(source(rule)).expect("a page");
        let blocks = blocks(&page);
        let at = blocks.iter().position(|block| block.info.starts_with("text output")).expect("an output");
        let (bad, told, good) = (&blocks[..at], &blocks[at], &blocks[at + 1..]);
        let id = rule.rule.id;
        assert!(!bad.is_empty() && !good.is_empty(), "{id}: a bad and a good example");
        let files = |blocks: &[Block<'_>]| project(blocks.iter().map(|block| block.file().expect("a file"))).keep();
        let (bad, good) = (files(bad), files(good));
        [&bad, &good].into_iter().for_each(|directory| run::agrees(id, directory));
        let (loaded, shown) = output(told.info, &bad);
        assert!(loaded.diagnostics.iter().any(|d| d.rule == id), "{id}: its example shows others:\n{shown}");
        if told.text != shown && writing() {
            let output = |text: &str| format!("```{}\n{text}```", told.info);
            let written = page.replacen(&output(told.text), &output(&shown), 1);
            fs::write(source(rule), written).expect("the page is written");
        } else if told.text != shown {
            wrong.push(format!("{id}: the page shows\n{}\nlint says\n{shown}", told.text));
        }
        let (_, shown) = output(told.info, &good);
        if !shown.is_empty() {
            wrong.push(format!("{id}: the good example has findings\n{shown}"));
        }
        [bad, good].iter().for_each(|directory| fs::remove_dir_all(directory).expect("removed"));
    }
    wrong
}

/// The examples of all pages, one after the other in one place, as somebody who watches the files sees them.
#[test]
fn what_was_found_before_changes_nothing_that_is_found() {
    let directory = project([]);
    let root = directory.path();
    let (mut cache, mut seen) = (spec::Cache::default(), Seen::default());
    let mut before: BTreeMap<String, String> = BTreeMap::new();
    for rule in RULES {
        let page = fs::read_to_string(source(rule)).expect("a page");
        let blocks = blocks(&page);
        for example in blocks.split(|block| block.info.starts_with("text output")) {
            let own = example.iter().map(|block| block.file().expect("a file"));
            let files = BASE.into_iter().chain(own).map(|(name, text)| (name.to_owned(), text.to_owned()));
            let files: BTreeMap<String, String> = files.collect();
            let mut changed = Vec::new();
            for name in before.keys().filter(|name| !files.contains_key(*name)) {
                fs::remove_file(root.join(name)).expect("removed");
                changed.push(PathBuf::from(name));
            }
            for (name, text) in files.iter().filter(|(name, text)| before.get(*name) != Some(text)) {
                fs::create_dir_all(root.join(name).parent().expect("a parent")).expect("directories");
                fs::write(root.join(name), text).expect("a file");
                changed.push(PathBuf::from(name));
            }
            cache.forget(root, &spec::Changed::new(changed));
            let again = judge_again(spec::load_again(root, &|_| false, &mut cache), &mut seen);
            assert_eq!(shown(&again), shown(&lint(root)), "{}", rule.rule.id);
            before = files;
        }
    }
}

#[test]
fn the_project_that_examples_begin_with_has_no_findings() {
    let found = lint(project([]).path());
    assert_eq!(shown(&found), "");
}

/// The pages as they are read on the web, and a table of them.
fn documents() -> BTreeMap<String, String> {
    let mut table = "\
<!-- made from src/lint by `SLUICE_WRITE=1 cargo test --lib lint::tests` -->
# Rules of `sluice lint`

`sluice explain SG311` prints the page of a rule, `sluice explain` lists all of them. What can be changed about them is in
[Lint](../configuration.md#lint).
"
    .to_owned();
    let families = ["Files and YAML", "Events and schemas", "Handlers", "Flow", "Settings that weaken the guarantee"];
    for (number, family) in families.iter().enumerate() {
        let _ = writeln!(table, "\n## {family}\n\n| rule | level | what |\n|---|---|---|");
        for Rule { rule, .. } in RULES.iter().filter(|rule| rule.rule.id.starts_with(&format!("SG{number}"))) {
            let _ = writeln!(table, "| [{0}]({0}.md) | {1} | {2} |", rule.id, rule.level.name(), rule.summary);
        }
    }
    table.push_str(
        "\n## The project that the examples begin with\n\nEach page shows only the files that differ from these.\n",
    );
    for (file, text) in BASE {
        let language = file.rsplit('.').next().expect("an ending");
        let _ = write!(table, "\n```{language} file={file}\n{text}```\n");
    }
    let mut documents: BTreeMap<String, String> = RULES
        .iter()
        .map(|rule| {
            let text = fs::read_to_string(source(rule)).expect("a page");
            (format!("{}.md", rule.rule.id), page(rule, &text))
        })
        .collect();
    documents.insert("README.md".to_owned(), table);
    documents
}

#[test]
fn the_documents_are_what_the_pages_make() {
    let folder = repository().join(DOCUMENTS);
    if writing() {
        play();
    }
    let documents = documents();
    if writing() {
        let _ = fs::remove_dir_all(&folder);
        fs::create_dir_all(&folder).expect("a folder");
        for (name, text) in &documents {
            fs::write(folder.join(name), text).expect("the document is written");
        }
    }
    let held: BTreeMap<String, String> = fs::read_dir(&folder)
        .expect("the documents")
        .map(|entry| entry.expect("an entry").path())
        .map(|path| {
            let name = path.file_name().expect("a name").to_string_lossy().into_owned();
            (name, fs::read_to_string(path).expect("a document"))
        })
        .collect();
    assert!(
        held == documents,
        "`{DOCUMENTS}` is not current; write it with `SLUICE_WRITE=1 cargo test --lib lint::tests`"
    );
}
