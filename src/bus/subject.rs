//! Subjects: templates, escaping, and which subjects a pattern covers.

/// Longest subject in bytes; the line of NATS with subject and reply must stay below 4 KiB.
const MAX_BYTES: usize = 3500;

/// Makes any text one token of a subject or a consumer's name: space, `.`, `*`, `>`, `%`, `/`, `\` and control
/// characters become `%` and two hex digits a byte. Empty text becomes a lone `%`. Different texts stay different.
pub fn token(text: &str) -> String {
    if text.is_empty() {
        return "%".to_owned();
    }
    let mut out = String::with_capacity(text.len());
    for char in text.chars() {
        if char.is_control() || char.is_whitespace() || matches!(char, '.' | '*' | '>' | '%' | '/' | '\\') {
            let mut bytes = [0; 4];
            for byte in char.encode_utf8(&mut bytes).bytes() {
                out.push_str(&format!("%{byte:02X}"));
            }
        } else {
            out.push(char);
        }
    }
    out
}

/// Fills `{pipeline}`, `{type}` and `{key}`, each as one token.
pub fn fill(template: &str, pipeline: &str, kind: &str, key: &str) -> Result<String, String> {
    let mut subject = String::with_capacity(template.len());
    let mut rest = template;
    while let Some((before, after)) = rest.split_once('{') {
        let (name, after) =
            after.split_once('}').ok_or_else(|| format!("subject `{template}` has a `{{` without its `}}`"))?;
        subject.push_str(before);
        subject.push_str(&token(match name {
            "pipeline" => pipeline,
            "type" => kind,
            "key" => key,
            _ => {
                return Err(format!(
                    "subject `{template}` names `{{{name}}}`; it can name `{{pipeline}}`, `{{type}}` and `{{key}}`"
                ));
            }
        }));
        rest = after;
    }
    subject.push_str(rest);
    if subject.len() > MAX_BYTES {
        return Err(format!(
            "subject `{template}` gets {} bytes long, subjects have at most {MAX_BYTES}",
            subject.len()
        ));
    }
    Ok(subject)
}

/// The pattern that matches whatever a template can become: its tokens with a placeholder are `*`.
pub fn pattern(template: &str) -> String {
    template.split('.').map(|t| if t.contains('{') { "*" } else { t }).collect::<Vec<_>>().join(".")
}

/// Patterns of a channel's subjects for a consumer's filter, which must not overlap.
pub fn patterns(templates: &[String]) -> Vec<String> {
    let all: Vec<String> = templates.iter().map(|t| pattern(t)).collect();
    let mut kept: Vec<String> = Vec::new();
    for (i, one) in all.iter().enumerate() {
        let covered = all.iter().enumerate().any(|(j, other)| j != i && covers(other, one) && (other != one || j < i));
        if !covered {
            kept.push(one.clone());
        }
    }
    kept
}

/// Whether every subject that `narrow` matches is matched by `wide`.
pub fn covers(wide: &str, narrow: &str) -> bool {
    let mut narrow = narrow.split('.');
    for token in wide.split('.') {
        match (token, narrow.next()) {
            (">", Some(_)) => return true,
            (_, None | Some(">")) => return false,
            ("*", Some(_)) => {}
            (wide, Some(narrow)) if wide == narrow => {}
            _ => return false,
        }
    }
    narrow.next().is_none()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_are_safe_and_stay_different() {
        assert_eq!(token("o-1_ü"), "o-1_ü");
        assert_eq!(token("a.b c*>%\n"), "a%2Eb%20c%2A%3E%25%0A");
        assert_eq!(token(""), "%");
        assert_ne!(token("a.b"), token("a%2Eb"));
    }

    #[test]
    fn templates_are_filled_with_one_token_each() {
        assert_eq!(fill("dead.{pipeline}.{key}", "p", "T", "a.b").as_deref(), Ok("dead.p.a%2Eb"));
        assert!(fill("x.{nope}", "p", "T", "k").is_err_and(|e| e.contains("`{nope}`")));
        assert!(fill("x.{key", "p", "T", "k").is_err());
        assert!(fill("x.{key}", "p", "T", &".".repeat(1200)).is_err());
    }

    #[test]
    fn patterns_cover_subjects() {
        for (wide, narrow) in [("a.>", "a.b.c"), ("a.*", "a.b"), (">", "a"), ("a.*.c", "a.*.c"), ("a.>", "a.>")] {
            assert!(covers(wide, narrow), "{wide} {narrow}");
        }
        for (wide, narrow) in [("a.>", "a"), ("a.*", "a.b.c"), ("a.b", "a.*"), ("a.*", "a.>"), ("a.b.c", "a.b")] {
            assert!(!covers(wide, narrow), "{wide} {narrow}");
        }
    }

    #[test]
    fn a_filter_has_no_subject_twice() {
        let subjects = ["a.>", "a.b", "d.{key}", "a.>"].map(str::to_owned);
        assert_eq!(patterns(&subjects), ["a.>", "d.*"]);
    }
}
