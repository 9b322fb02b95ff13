//! Documents that are walked: top to bottom from a folder, as a reader would. Files are written when they appear, commands are
//! run, and what they print is compared, line by line.

use super::document::{Block, Document};
use crate::cli::sandbox::{Done, Sandbox};
use crate::support::servers::{NatsServer, RedisServer};

/// Walks a document, and says where it does not hold. Blocks that want servers are left out without them.
pub fn walk(document: &Document, sandbox: &Sandbox, servers: bool) -> Result<(), String> {
    let mut said = None;
    let mut commands = 0;
    for block in document.blocks() {
        let files = block.files().chain(block.file_on_servers().filter(|_| servers));
        files.for_each(|file| sandbox.write(file, &block.text));
        match (block.language, code(&block, servers)) {
            ("sh", Some(code)) => {
                commands += 1;
                said = Some(run(&block, code, sandbox)?);
            }
            ("sh", None) => said = None,
            ("text", _) if block.attributes == ["output"] => {
                if let Some(said) = said.take() {
                    compare(&block, &said)?;
                }
            }
            _ => {}
        }
    }
    if commands == 0 { Err(format!("{}: there is nothing to run", document.name)) } else { Ok(()) }
}

/// What the block's commands are to end with; nothing if they are not run here.
fn code(block: &Block<'_>, servers: bool) -> Option<i32> {
    match block.attributes.as_slice() {
        [] | ["project"] => Some(0),
        ["exit=1"] => Some(1),
        ["on-servers"] => servers.then_some(0),
        _ => None,
    }
}

/// What it printed on both streams.
fn run(block: &Block<'_>, code: i32, sandbox: &Sandbox) -> Result<String, String> {
    let done = Done::of(sandbox.shell(&format!("set -e\nexec 2>&1 </dev/null\n{}", block.text)).output().unwrap());
    if done.code == code {
        return Ok(done.stdout);
    }
    Err(format!("{}: ended with {}, not with {code}:\n{}", block.place, done.code, done.stdout))
}

fn compare(block: &Block<'_>, said: &str) -> Result<(), String> {
    let promised = block.text.replace(":6379", ":…");
    let fine = promised.lines().count() == said.lines().count()
        && promised.lines().zip(said.lines()).all(|(promised, said)| fits(said, promised));
    if fine { Ok(()) } else { Err(format!("{}: what it says is not what it prints:\n{said}", block.place)) }
}

/// Whether the line is the promised one, in which dots stand for anything.
pub fn fits(said: &str, promised: &str) -> bool {
    let Some((first, rest)) = promised.split_once('…') else { return said == promised };
    let Some(mut said) = said.strip_prefix(first) else { return false };
    let (between, last) = rest.rsplit_once('…').unwrap_or(("", rest));
    for part in between.split('…') {
        let Some(at) = said.find(part) else { return false };
        said = &said[at + part.len()..];
    }
    said.ends_with(last)
}

#[test]
fn the_tutorial_leads_from_an_empty_folder_to_the_replay_of_a_dead_letter() {
    let (nats, redis) = (NatsServer::start(), RedisServer::start());
    let sandbox = Sandbox::empty().on(&nats, &redis);
    let tutorial = Document::read("docs/tutorial.md");
    let left_out = tutorial.blocks().into_iter().find(|block| block.language == "sh" && code(block, true).is_none());
    assert!(left_out.is_none(), "{}: not run", left_out.unwrap().place);
    walk(&tutorial, &sandbox, true).unwrap();
}

#[test]
fn events_come_in_turn_as_the_document_shows() {
    walk(&Document::read("docs/order.md"), &Sandbox::empty(), false).unwrap();
}

#[test]
fn the_page_on_testing_finds_its_bug_and_mends_it() {
    walk(&Document::read("docs/testing.md"), &Sandbox::empty(), false).unwrap();
}

#[test]
fn the_page_on_contracts_shows_what_a_project_reads() {
    walk(&Document::read("docs/contracts.md"), &Sandbox::empty(), false).unwrap();
}

#[test]
fn a_walk_notices_what_a_document_says_wrongly() {
    let walked = |text: &str| walk(&Document { name: "x.md".into(), text: text.into() }, &Sandbox::empty(), false);
    let right =
        "```json file=a.json\n1\n```\n```json file=a.json\n2\n```\n```sh\ncat a.json\n```\n```text output\n2\n```\n";
    assert_eq!(walked(right), Ok(()));
    for (from, to) in [
        ("output\n2", "output\n3"),
        ("output\n2", "output\n2\n2"),
        ("output\n2", "output\n2…3"),
        ("cat a.json", "cat b.json"),
        ("cat a.json", "false\ncat a.json"),
        ("sh\n", "sh exit=1\n"),
        ("sh\n", "sh not-run\n"),
        ("```json file=a.json\n2\n```\n", ""),
    ] {
        assert!(right.contains(from), "{from}");
        assert!(walked(&right.replace(from, to)).is_err(), "{to}");
    }
}

#[test]
fn dots_stand_for_anything_within_a_line() {
    for (said, promised) in [("a b c", "a…c"), ("a b c", "…"), ("a b c", "a…b…c"), ("abab", "…ab"), ("a", "a…")]
    {
        assert!(fits(said, promised), "{said}: {promised}");
    }
    for (said, promised) in [("a b c", "a"), ("a b c", "b…"), ("a b c", "…b"), ("a", "a…a"), ("ab", "a…b…b")]
    {
        assert!(!fits(said, promised), "{said}: {promised}");
    }
}
