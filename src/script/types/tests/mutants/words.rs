//! The words of a script, and where they are: enough to edit it, much less than a parser.

use std::ops::Range;

/// A word, a literal or a sign, by its bytes in the text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Word<'t> {
    pub(super) text: &'t str,
    pub(super) at: usize,
}

impl Word<'_> {
    pub(super) fn end(&self) -> usize {
        self.at + self.text.len()
    }

    pub(super) fn is_name(&self) -> bool {
        self.text.starts_with(|c: char| c.is_alphabetic() || c == '_')
    }
}

/// Longest first.
const SIGNS: [&str; 16] =
    ["..=", "?.", "?[", "??", "==", "!=", "<=", ">=", "&&", "||", "=>", "#{", "${", "..", "::", "->"];

pub(super) fn words(text: &str) -> Vec<Word<'_>> {
    let mut all = Vec::new();
    let mut at = 0;
    // How many braces are open in each `${…}` that this is within.
    let mut open: Vec<usize> = Vec::new();
    while let Some(first) = text[at..].chars().next() {
        let rest = &text[at..];
        let begins_text = first == '`' || (first == '}' && open.last() == Some(&0));
        let length = if first.is_whitespace() {
            at += first.len_utf8();
            continue;
        } else if let Some(comment) = rest.strip_prefix("//") {
            at += 2 + comment.find('\n').unwrap_or(comment.len());
            continue;
        } else if rest.starts_with("/*") {
            at += rest.find("*/").map_or(rest.len(), |end| end + 2);
            continue;
        } else if begins_text {
            if first == '}' {
                open.pop();
            }
            let end = rest[1..].find(['`', '$']).map_or(rest.len(), |end| end + 1);
            if rest[end..].starts_with("${") {
                open.push(0);
                at += end + 2;
            } else {
                at += (end + 1).min(rest.len());
            }
            continue;
        } else if first == '"' || first == '\'' {
            quoted(rest, first)
        } else if first.is_alphanumeric() || first == '_' {
            rest.find(|c: char| !(c.is_alphanumeric() || c == '_')).unwrap_or(rest.len())
        } else {
            SIGNS.iter().find(|sign| rest.starts_with(**sign)).map_or(first.len_utf8(), |sign| sign.len())
        };
        let word = Word { text: &rest[..length], at };
        if let Some(braces) = open.last_mut() {
            match word.text {
                "{" | "#{" => *braces += 1,
                "}" => *braces -= 1,
                _ => {}
            }
        }
        all.push(word);
        at += length;
    }
    all
}

fn quoted(rest: &str, quote: char) -> usize {
    let mut escaped = false;
    for (at, c) in rest.char_indices().skip(1) {
        match c {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            _ if c == quote => return at + 1,
            _ => {}
        }
    }
    rest.len()
}

/// The word that closes what this one opens.
pub(super) fn closing(words: &[Word<'_>], open: usize) -> Option<usize> {
    let mut depth = 0_usize;
    for (nth, word) in words.iter().enumerate().skip(open) {
        match word.text {
            "(" | "[" | "?[" | "{" | "#{" => depth += 1,
            ")" | "]" | "}" => {
                depth = depth.checked_sub(1)?;
                if depth == 0 {
                    return Some(nth);
                }
            }
            _ => {}
        }
    }
    None
}

/// The innermost member of an object literal that these bytes are in.
pub(super) fn member_around(words: &[Word<'_>], at: usize) -> Option<Range<usize>> {
    let literals = (0..words.len()).rev().filter(|nth| words[*nth].text == "#{" && words[*nth].at <= at);
    let around = |open: usize| closing(words, open).filter(|close| at < words[*close].at).map(|close| (open, close));
    let (open, close) = literals.into_iter().find_map(around)?;
    let mut begin = open + 1;
    let mut nth = begin;
    while nth < close {
        if words[nth].text == "," {
            if at < words[nth].at {
                break;
            }
            begin = nth + 1;
        }
        let opens = matches!(words[nth].text, "(" | "[" | "?[" | "{" | "#{");
        nth = if opens { closing(words, nth).unwrap_or(close) + 1 } else { nth + 1 };
    }
    Some(words[begin.min(close)].at..words[nth.min(close)].at)
}
