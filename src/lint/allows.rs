//! `# sluice: allow(SG104)` in YAML, `// sluice: allow(SG104)` in Rhai: one finding that is as it should be.

use std::collections::BTreeMap;

use super::{Rule, unknown_rule};
use crate::diagnostic::{Diagnostic, Sources, Span, rules};
use crate::spec::comments;

const BEGIN: &str = "sluice: allow(";

/// Every id in every such comment.
pub struct Allows {
    known: Vec<Allow>,
    wrong: Vec<Diagnostic>,
    /// Numbers of `known` by file and the line whose findings they allow.
    by_line: BTreeMap<(String, usize), Vec<usize>>,
}

struct Allow {
    rule: &'static str,
    at: Span,
    used: bool,
}

impl Allows {
    pub fn read(sources: &Sources) -> Self {
        let mut allows = Self { known: Vec::new(), wrong: Vec::new(), by_line: BTreeMap::new() };
        for (file, text) in &sources.0 {
            if text.contains(BEGIN) {
                allows.read_file(file, text);
            }
        }
        allows
    }

    fn read_file(&mut self, file: &str, text: &str) {
        let lines: Vec<&str> = text.lines().collect();
        let (mut line, mut counted) = (1, 0);
        for at in comments::beginning_with(BEGIN, file, text) {
            line += text[counted..at].matches('\n').count();
            counted = at;
            let before = text[..at].rsplit('\n').next().unwrap_or_default();
            let inside = text[at + BEGIN.len()..].split([')', '\n']).next().unwrap_or_default();
            let about = if is_comment(before) { line + 1 + comments_from(&lines[line..]) } else { line };
            let mut column = before.chars().count() + BEGIN.chars().count() + 1;
            for word in inside.split(',') {
                let id = word.trim();
                let skipped = word.chars().take_while(|c| c.is_whitespace()).count();
                let span = Span::on_line(file, line, column + skipped, id.chars().count().max(1));
                column += word.chars().count() + 1;
                self.read_id(id, span, about);
            }
        }
    }

    fn read_id(&mut self, id: &str, at: Span, about: usize) {
        let Some(rule) = Rule::of(id) else {
            self.wrong.push(unknown_rule(id, at));
            return;
        };
        if rule.is_fixed() {
            let message = format!("`{id}` cannot be allowed: nothing can be built where it is broken");
            self.wrong.push(Diagnostic::new(&rules::FIXED_RULE, message).at(at).help("take it out of the comment"));
            return;
        }
        self.by_line.entry((at.file.clone(), about)).or_default().push(self.known.len());
        self.known.push(Allow { rule: rule.rule.id, at, used: false });
    }

    /// Whether a comment allows it.
    pub fn allow(&mut self, diagnostic: &Diagnostic) -> bool {
        let Some(span) = &diagnostic.span else { return false };
        let about = self.by_line.get(&(span.file.clone(), span.line)).into_iter().flatten();
        let mut allowed = false;
        for number in about {
            let allow = &mut self.known[*number];
            if allow.rule == diagnostic.rule {
                allow.used = true;
                allowed = true;
            }
        }
        allowed
    }

    /// Ids that there are not, or that cannot be allowed.
    pub fn wrong(&mut self) -> Vec<Diagnostic> {
        std::mem::take(&mut self.wrong)
    }

    pub fn unused(&self) -> Vec<Diagnostic> {
        let unused = self.known.iter().filter(|allow| !allow.used);
        let tell = |allow: &Allow| {
            let message = format!("nothing here is a finding of `{}`", allow.rule);
            let help = "take it out; an `allow` is about its own line, or alone on a line about the next one";
            Diagnostic::new(&rules::UNUSED_ALLOW, message).at(allow.at.clone()).help(help)
        };
        unused.map(tell).collect()
    }
}

/// Whether what stands before the words is nothing but the sign of a comment.
fn is_comment(before: &str) -> bool {
    matches!(before.trim(), "#" | "//")
}

/// Lines of nothing but comments that come first: several may stand above what they are about.
fn comments_from(lines: &[&str]) -> usize {
    let comment = |line: &&&str| line.trim_start().starts_with('#') || line.trim_start().starts_with("//");
    lines.iter().take_while(comment).count()
}
