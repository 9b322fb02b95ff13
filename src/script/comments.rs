//! Where a script has comments to the end of a line. The parser drops them.

use std::ops::Range;

/// Bytes of every `// …`, its line break left out. A script that does not parse has some of them at most.
pub fn comments(script: &str) -> Vec<Range<usize>> {
    let mut scanner = Scanner { text: script, at: 0, comments: Vec::new(), templates: Vec::new() };
    while scanner.at < script.len() {
        scanner.step();
    }
    scanner.comments
}

struct Scanner<'a> {
    text: &'a str,
    at: usize,
    comments: Vec<Range<usize>>,
    /// Open braces within each `${…}` that is open: a text in backticks goes on behind it.
    templates: Vec<usize>,
}

impl Scanner<'_> {
    fn rest(&self) -> &str {
        &self.text[self.at..]
    }

    /// Behind the first `end`, or at the end of the text.
    fn skip_past(&mut self, end: &str) {
        self.at += self.rest().find(end).map_or(self.rest().len(), |found| found + end.len());
    }

    fn step(&mut self) {
        let rest = self.rest();
        let Some(first) = rest.chars().next() else { return };
        let hashes = rest.len() - rest.trim_start_matches('#').len();
        if rest.starts_with("//") {
            let length = rest.find('\n').unwrap_or(rest.len());
            self.comments.push(self.at..self.at + length);
            self.at += length;
        } else if rest.starts_with("/*") {
            self.block();
        } else if hashes > 0 && rest[hashes..].starts_with('"') {
            let end = format!("\"{}", "#".repeat(hashes));
            self.at += hashes + 1;
            self.skip_past(&end);
        } else if matches!(first, '"' | '\'') {
            self.quoted(first);
        } else if first == '`' {
            self.at += 1;
            self.template();
        } else {
            self.at += first.len_utf8();
            match (first, self.templates.last_mut()) {
                ('{', Some(open)) => *open += 1,
                ('}', Some(0)) => {
                    self.templates.pop();
                    self.template();
                }
                ('}', Some(open)) => *open -= 1,
                _ => {}
            }
        }
    }

    /// `/* … */`, which nests.
    fn block(&mut self) {
        let mut open = 0_usize;
        loop {
            let rest = self.rest();
            match (rest.find("/*"), rest.find("*/")) {
                (Some(begin), Some(end)) if begin < end => {
                    open += 1;
                    self.at += begin + 2;
                }
                (_, Some(end)) => {
                    open = open.saturating_sub(1);
                    self.at += end + 2;
                }
                (_, None) => self.at = self.text.len(),
            }
            if open == 0 || self.at == self.text.len() {
                return;
            }
        }
    }

    fn quoted(&mut self, quote: char) {
        let mut escaped = false;
        let end = self.rest().char_indices().skip(1).find(|(_, c)| {
            let ends = *c == quote && !escaped;
            escaped = *c == '\\' && !escaped;
            ends
        });
        self.at = end.map_or(self.text.len(), |(at, _)| self.at + at + quote.len_utf8());
    }

    /// A text in backticks, up to its end or to what is computed within it.
    fn template(&mut self) {
        let rest = self.rest();
        let end = rest.find('`').unwrap_or(rest.len());
        match rest[..end].find("${") {
            Some(computed) => {
                self.at += computed + 2;
                self.templates.push(0);
            }
            None => self.at += (end + 1).min(rest.len()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(script: &str) -> Vec<&str> {
        comments(script).into_iter().map(|range| &script[range]).collect()
    }

    #[test]
    fn comments_are_found_beside_code() {
        assert_eq!(found("let a = 1; // one\n// two\nlet b = a / 2; /// three"), ["// one", "// two", "/// three"]);
        assert_eq!(found(""), Vec::<&str>::new());
    }

    #[test]
    fn what_is_in_a_text_is_no_comment() {
        for text in [
            r#"let a = "// no";"#,
            r#"let a = "\"// no";"#,
            r#"let a = '"'; let b = "// no";"#,
            r###"let a = #"a "// no"#;"###,
            "let a = `// no`;",
            "let a = `${ `// no` } // no`;",
            "let a = `${ #{ b: #{} }.len() } // no`;",
            "let a = `\n// no\n`;",
            "/* // no /* // no */ // no */",
            "/* // no",
            "let a = \"// no",
        ] {
            assert_eq!(found(text), Vec::<&str>::new(), "{text}");
            assert!(text.ends_with("// no") || found(&format!("{text} // yes")) == ["// yes"], "{text}");
        }
        assert_eq!(found("let m = #{ a: 1 }; // yes"), ["// yes"]);
        assert_eq!(found("let a = `${ 1 // yes\n}`; let ä = 'ä'; // and yes"), ["// yes", "// and yes"]);
    }
}
