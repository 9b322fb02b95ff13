//! Mechanical fixes: one word of a text in the place of another, where that is sure to be what was meant.

use super::Span;

/// A word to replace.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fix {
    /// Within one line; the word, in quotes or without.
    pub span: Span,
    pub from: String,
    pub to: String,
}

/// A text with fixes made in it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fixed<'f> {
    pub text: String,
    /// In order of their places.
    pub made: Vec<&'f Fix>,
}

/// Makes those fixes that can be made: of two in one place the first, and none where the text is not the one that was
/// looked at.
pub fn fixed<'f>(text: &str, fixes: &[&'f Fix]) -> Fixed<'f> {
    let mut placed: Vec<(usize, usize, &Fix)> =
        fixes.iter().filter_map(|fix| word(text, fix).map(|(begin, end)| (begin, end, *fix))).collect();
    placed.sort_by_key(|(begin, end, _)| (*begin, *end));
    let mut done = Fixed { text: String::with_capacity(text.len()), made: Vec::new() };
    let mut copied = 0;
    for (begin, end, fix) in placed {
        if begin < copied {
            continue;
        }
        done.text += &text[copied..begin];
        done.text += &fix.to;
        done.made.push(fix);
        copied = end;
    }
    done.text += &text[copied..];
    done
}

/// The bytes of the word that is replaced, without its quotes.
fn word(text: &str, fix: &Fix) -> Option<(usize, usize)> {
    let Span { line, column, end_line, end_column, .. } = fix.span;
    if line != end_line || !is_plain(&fix.to) {
        return None;
    }
    let begin = text.split_inclusive('\n').take(line.checked_sub(1)?).map(str::len).sum::<usize>();
    let line = text[begin..].lines().next()?;
    let offset = |column: usize| {
        let at = column.checked_sub(1)?;
        line.char_indices().map(|(at, _)| at).chain([line.len()]).nth(at)
    };
    let (from, to) = (offset(column)?, offset(end_column)?);
    let marked = line.get(from..to)?;
    let quotes = usize::from(marked.len() >= 2 && marked.starts_with(['"', '\'']) && marked.ends_with(&marked[..1]));
    let (from, to) = (from + quotes, to - quotes);
    (line.get(from..to)? == fix.from).then_some((begin + from, begin + to))
}

/// Reads the same with quotes and without, in YAML and elsewhere.
fn is_plain(word: &str) -> bool {
    let mut chars = word.chars();
    chars.next().is_some_and(char::is_alphabetic)
        && chars.all(|c| c.is_alphanumeric() || matches!(c, '_' | '-' | '.'))
        && !["true", "false", "null", "yes", "no", "on", "off", "y", "n"].contains(&word.to_lowercase().as_str())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fix(line: usize, column: usize, length: usize, from: &str, to: &str) -> Fix {
        Fix { span: Span::on_line("a.yaml", line, column, length), from: from.into(), to: to.into() }
    }

    fn text(text: &str, fixes: &[Fix]) -> String {
        fixed(text, &fixes.iter().collect::<Vec<_>>()).text
    }

    #[test]
    fn words_are_replaced_and_all_else_stays() {
        let fixes = [fix(2, 4, 5, "ordrs", "orders"), fix(1, 1, 3, "kye", "key"), fix(1, 10, 7, "ordrs", "orders")];
        assert_eq!(text("kye: ä # 'ordrs'\r\nx: ordrs", &fixes), "key: ä # 'orders'\r\nx: orders");
    }

    #[test]
    fn of_two_in_one_place_the_first_is_made() {
        let (first, second) = (fix(1, 1, 3, "kye", "key"), fix(1, 1, 3, "kye", "kyle"));
        let done = fixed("kye: 1\n", &[&first, &second]);
        assert_eq!((done.text.as_str(), done.made), ("key: 1\n", vec![&first]));
    }

    #[test]
    fn nothing_is_done_where_the_text_is_another() {
        for fix in [
            fix(1, 1, 3, "kex", "key"),
            fix(1, 2, 3, "kye", "key"),
            fix(1, 1, 30, "kye", "key"),
            fix(9, 1, 3, "kye", "key"),
        ] {
            assert_eq!(text("kye: 1\n", std::slice::from_ref(&fix)), "kye: 1\n", "{fix:?}");
        }
    }

    #[test]
    fn nothing_is_written_that_reads_as_something_else_than_a_word() {
        for to in ["no", "Null", "1", "a: b", "a b", "", "-x"] {
            assert_eq!(text("kye: 1\n", &[fix(1, 1, 3, "kye", to)]), "kye: 1\n", "{to}");
        }
    }
}
