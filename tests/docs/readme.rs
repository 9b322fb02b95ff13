//! What the README says to type.

use std::fs;
use std::path::PathBuf;
use std::process::Stdio;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

use super::document::Document;
use super::walk::{fits, walk};
use crate::cli::sandbox::{Done, Sandbox};
use crate::support::servers::{NatsServer, RedisServer};

const SOON: Duration = Duration::from_secs(30);

#[test]
fn the_first_pipeline_of_the_readme_handles_its_first_event() {
    walk(&Document::read("README.md").section("## Your first pipeline"), &Sandbox::empty(), false).unwrap();
}

#[test]
fn the_first_command_of_the_readme_shows_every_outcome() {
    let readme = Document::read("README.md");
    let blocks = readme.blocks();
    let at = blocks.iter().position(|block| block.attributes == ["first"]).unwrap();
    let sandbox = Sandbox::sample_alone();
    let done = Done::of(sandbox.shell(&blocks[at].text).output().unwrap()).expect(0);
    let missing = missing(&blocks[at + 1].text, &done.stdout);
    assert!(missing.is_empty(), "not said: {missing:#?}\n{}", done.stdout);
    assert_eq!(done.stdout.lines().count(), blocks[at + 1].text.lines().count(), "{}", done.stdout);
    let again = Done::of(sandbox.shell(&blocks[at].text).output().unwrap()).expect(0);
    assert!(again.stdout.contains("received 10 = done 0 + skipped 0 + duplicate 9 + parked 0 + dead 0 + ignored 1"));
}

#[test]
fn the_commands_of_the_readme_do_what_it_says() {
    let (nats, redis) = (NatsServer::start(), RedisServer::start());
    let readme = Document::read("README.md");
    let blocks = readme.blocks();
    let sandbox = Sandbox::sample(&nats, &redis);
    let mut running = None;
    let servers = blocks.iter().position(|block| block.attributes == ["servers=sluice.yaml"]).unwrap();
    for (at, block) in blocks.iter().enumerate().skip(servers).filter(|(_, block)| block.language == "sh") {
        let output = blocks.get(at + 1).filter(|next| next.attributes == ["output"]).map(|next| next.text.as_str());
        match block.attributes.as_slice() {
            ["run"] => {
                let run = Background::start(&sandbox, block.text.trim());
                run.until_it_says(output.unwrap());
                running = Some(run);
            }
            [] | ["exit=1"] => {
                let code = block.attributes.len().try_into().unwrap();
                let start = Instant::now();
                // Events take their time; asking again does no harm.
                let again = code == 0;
                loop {
                    let done = Done::of(sandbox.shell(&block.text).output().unwrap()).expect(code);
                    let missing = missing(output.unwrap_or_default(), &format!("{}{}", done.stderr, done.stdout));
                    if missing.is_empty() {
                        break;
                    }
                    assert!(again && start.elapsed() < SOON, "{}: not said: {missing:#?}", block.place);
                }
            }
            _ => {}
        }
    }
    let balance = blocks.iter().find(|block| block.attributes == ["balance"]).unwrap();
    assert_eq!(running.unwrap().interrupted(), balance.text);
}

/// Lines that are promised and not said, wherever they stand and whatever stands before them.
pub fn missing(promised: &str, said: &str) -> Vec<String> {
    let anywhere = promised.replace(":7474", ":…").replace(":6379", ":…");
    let is_said = |line: &&str| !said.lines().any(|said| fits(said, &format!("…{line}")));
    anywhere.lines().filter(is_said).map(str::to_owned).collect()
}

/// `sluice run` as a person sees it.
struct Background {
    child: std::process::Child,
    log: PathBuf,
}

impl Background {
    fn start(sandbox: &Sandbox, command: &str) -> Self {
        assert_eq!(command, "cargo run -- run");
        let log = sandbox.path().join("run.log");
        let mut shell = sandbox.shell("exec sluice run --log-format human");
        shell.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(fs::File::create(&log).unwrap());
        Self { child: shell.spawn().unwrap(), log }
    }

    fn until_it_says(&self, promised: &str) {
        let start = Instant::now();
        loop {
            let said = fs::read_to_string(&self.log).unwrap();
            let missing = missing(promised, &said);
            if missing.is_empty() {
                return;
            }
            assert!(start.elapsed() < SOON, "not said: {missing:#?}\n{said}");
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    /// Ctrl-C, and what it prints then.
    fn interrupted(mut self) -> String {
        kill_process(Pid::from_child(&self.child), Signal::INT).unwrap();
        let start = Instant::now();
        while self.child.try_wait().unwrap().is_none() {
            assert!(start.elapsed() < SOON, "it does not end");
            std::thread::sleep(Duration::from_millis(10));
        }
        let mut stdout = self.child.stdout.take().unwrap();
        std::io::read_to_string(&mut stdout).unwrap()
    }
}

impl Drop for Background {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
