//! A unified diff between texts whose lines correspond: fixes stay within their lines.

const CONTEXT: usize = 3;

/// Empty when nothing differs.
pub fn unified(file: &str, old: &str, new: &str) -> String {
    let (old, new): (Vec<&str>, Vec<&str>) = (lines(old), lines(new));
    let changed: Vec<usize> = (0..old.len()).filter(|at| old.get(*at) != new.get(*at)).collect();
    let mut diff = String::new();
    let mut rest = changed.as_slice();
    while let [first, ..] = rest {
        // Changes whose contexts touch are one hunk.
        let together = rest.windows(2).take_while(|pair| pair[1] - pair[0] <= 2 * CONTEXT).count() + 1;
        let (hunk, after) = rest.split_at(together);
        let begin = first.saturating_sub(CONTEXT);
        let end = (hunk[together - 1] + CONTEXT + 1).min(old.len());
        if diff.is_empty() {
            diff = format!("--- a/{file}\n+++ b/{file}\n");
        }
        diff += &format!("@@ -{},{} +{},{} @@\n", begin + 1, end - begin, begin + 1, end - begin);
        let mut at = begin;
        while at < end {
            if !hunk.contains(&at) {
                diff += &marked(' ', old[at]);
                at += 1;
                continue;
            }
            let run = (at..end).take_while(|at| hunk.contains(at)).count();
            old[at..at + run].iter().for_each(|line| diff += &marked('-', line));
            new[at..at + run].iter().for_each(|line| diff += &marked('+', line));
            at += run;
        }
        rest = after;
    }
    diff
}

fn lines(text: &str) -> Vec<&str> {
    text.split_inclusive('\n').collect()
}

fn marked(mark: char, line: &str) -> String {
    match line.strip_suffix('\n') {
        Some(line) => format!("{mark}{line}\n"),
        None => format!("{mark}{line}\n\\ No newline at end of file\n"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn changes_that_are_near_share_a_hunk_and_others_do_not() {
        let old: String = (1..=20).map(|n| format!("{n}\n")).collect();
        let new = old.replace("2\n3\n", "2\nthree\n").replace("\n5\n", "\nfive\n").replace("\n20\n", "\ntwenty\n");
        insta::assert_snapshot!(unified("p.yaml", &old, &new), @r"
        --- a/p.yaml
        +++ b/p.yaml
        @@ -1,8 +1,8 @@
         1
         2
        -3
        +three
         4
        -5
        +five
         6
         7
         8
        @@ -17,4 +17,4 @@
         17
         18
         19
        -20
        +twenty
        ");
    }

    #[test]
    fn a_last_line_without_an_end_is_said_to_be_one() {
        let diff = unified("a", "x", "y");
        assert!(
            diff.ends_with("@@ -1,1 +1,1 @@\n-x\n\\ No newline at end of file\n+y\n\\ No newline at end of file\n")
        );
        assert_eq!(unified("a", "x\n", "x\n"), "");
    }
}
