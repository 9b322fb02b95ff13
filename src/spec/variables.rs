//! `${VAR}`, `${VAR:-default}` and `${file:PATH}` in the values of `sluice.yaml`.

use crate::diagnostic::rules::{self, Rule};

/// What a reference stands for, and how a look-up may answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reference<'a> {
    Variable(&'a str),
    File(&'a str),
}

/// Answers with what a reference stands for, `Ok(None)` when that is not set.
pub type LookUp<'a> = dyn Fn(Reference<'_>) -> Result<Option<String>, String> + 'a;

/// What is wrong with one reference.
pub type Wrong = (&'static Rule, String);

/// A value after expansion. It may be secret: `Debug` does not show it.
#[derive(Clone, PartialEq, Eq)]
pub struct Expanded {
    pub value: String,
    /// Nothing took part that only the environment knows: the value is what it will be when it runs.
    pub known: bool,
    /// What else takes its place: each reference to the environment, as it is written, `NAME` or `file:PATH`.
    pub granted: Vec<String>,
    /// It is exactly what is written in the file, so it may be shown.
    pub literal: bool,
}

impl std::fmt::Debug for Expanded {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Expanded").field("known", &self.known).finish_non_exhaustive()
    }
}

/// What stands for a value that only the environment knows.
const PLACEHOLDER: &str = "placeholder";

/// Expands a text; without `look_up`, what has no default becomes a placeholder. The errors are all that is wrong,
/// none repeats a value.
pub fn expand(text: &str, look_up: Option<&LookUp<'_>>) -> Result<Expanded, Vec<Wrong>> {
    let value = String::with_capacity(text.len());
    let mut expanded = Expanded { value, known: true, granted: Vec::new(), literal: true };
    let mut errors = Vec::new();
    let mut rest = text;
    while let Some(dollar) = rest.find('$') {
        expanded.value.push_str(&rest[..dollar]);
        rest = &rest[dollar..];
        if let Some(after) = rest.strip_prefix("$${") {
            expanded.value.push_str("${");
            expanded.literal = false;
            rest = after;
            continue;
        }
        let Some(inside) = rest.strip_prefix("${") else {
            expanded.value.push('$');
            rest = &rest[1..];
            continue;
        };
        let Some(end) = inside.find('}') else {
            let message = "`${` is not closed; write `$${` for the characters themselves".to_owned();
            errors.push((&rules::BAD_REFERENCE, message));
            break;
        };
        expanded.literal = false;
        match reference(&inside[..end]) {
            Ok((reference, default)) => match resolve(reference, default, look_up) {
                Ok(Some(value)) => expanded.value.push_str(&value),
                Ok(None) => {
                    expanded.known = false;
                    expanded.granted.push(inside[..end].to_owned());
                    expanded.value.push_str(PLACEHOLDER);
                }
                Err(error) => errors.push((&rules::UNSET_VARIABLE, error)),
            },
            Err(error) => errors.push((&rules::BAD_REFERENCE, error)),
        }
        rest = &inside[end + 1..];
    }
    if errors.is_empty() {
        expanded.value.push_str(rest);
        Ok(expanded)
    } else {
        Err(errors)
    }
}

fn reference(inside: &str) -> Result<(Reference<'_>, Option<&str>), String> {
    if let Some(path) = inside.strip_prefix("file:") {
        return if path.is_empty() {
            Err("`${file:}` names no file".into())
        } else {
            Ok((Reference::File(path), None))
        };
    }
    let (name, default) = match inside.split_once(":-") {
        Some((name, default)) => (name, Some(default)),
        None => (inside, None),
    };
    let mut bytes = name.bytes();
    let begins_well = bytes.next().is_some_and(|b| b.is_ascii_alphabetic() || b == b'_');
    if begins_well && bytes.all(|b| b.is_ascii_alphanumeric() || b == b'_') {
        Ok((Reference::Variable(name), default))
    } else {
        Err(format!("`${{{inside}}}` is not a variable; write `${{NAME}}`, `${{NAME:-default}}` or `${{file:PATH}}`"))
    }
}

/// `None`: only the environment knows.
fn resolve(
    reference: Reference<'_>,
    default: Option<&str>,
    look_up: Option<&LookUp<'_>>,
) -> Result<Option<String>, String> {
    let Some(look_up) = look_up else {
        return Ok(default.map(str::to_owned));
    };
    // As in a shell, a variable that is set to nothing counts as unset where there is a default.
    let found = look_up(reference)?.filter(|value| default.is_none() || !value.is_empty());
    match (found, default, reference) {
        (Some(value), ..) => Ok(Some(value)),
        (None, Some(default), _) => Ok(Some(default.to_owned())),
        (None, None, Reference::Variable(name)) => Err(format!("the variable `{name}` is not set")),
        (None, None, Reference::File(path)) => Err(format!("the file `{path}` does not exist")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn look_up(reference: Reference<'_>) -> Result<Option<String>, String> {
        match reference {
            Reference::Variable("HOST") => Ok(Some("h".into())),
            Reference::Variable("EMPTY") => Ok(Some(String::new())),
            Reference::Variable("NESTED") => Ok(Some("${HOST}".into())),
            Reference::File("/run/token") => Ok(Some("t".into())),
            Reference::File("/run/broken") => Err("the file `/run/broken` cannot be read".into()),
            _ => Ok(None),
        }
    }

    fn value(text: &str) -> Result<String, Vec<String>> {
        let wrong = |errors: Vec<Wrong>| errors.into_iter().map(|(_, message)| message).collect();
        expand(text, Some(&look_up)).map(|e| e.value).map_err(wrong)
    }

    #[test]
    fn variables_defaults_and_files_are_expanded() {
        assert_eq!(value("nats://${HOST}:4222").as_deref(), Ok("nats://h:4222"));
        assert_eq!(value("${NONE:-a:-b}").as_deref(), Ok("a:-b"));
        assert_eq!(value("${EMPTY:-d}${EMPTY}|${NONE:-}").as_deref(), Ok("d|"));
        assert_eq!(value("${file:/run/token}").as_deref(), Ok("t"));
        assert_eq!(value("no $ variable$").as_deref(), Ok("no $ variable$"));
    }

    #[test]
    fn what_a_variable_holds_is_not_expanded_again() {
        assert_eq!(value("${NESTED}").as_deref(), Ok("${HOST}"));
    }

    #[test]
    fn two_dollars_escape() {
        assert_eq!(value("$${HOST} costs $$5").as_deref(), Ok("${HOST} costs $$5"));
    }

    #[test]
    fn all_that_is_unset_or_malformed_is_named() {
        assert_eq!(
            value("${A} ${B} ${file:/no}"),
            Err(vec![
                "the variable `A` is not set".into(),
                "the variable `B` is not set".into(),
                "the file `/no` does not exist".into()
            ])
        );
        assert!(value("${1X}").is_err_and(|e| e[0].contains("is not a variable")));
        assert!(value("${}").is_err_and(|e| e[0].contains("is not a variable")));
        assert!(value("${file:}").is_err_and(|e| e[0].contains("names no file")));
        assert!(value("a ${HOST").is_err_and(|e| e[0].contains("not closed")));
        assert_eq!(value("${file:/run/broken}"), Err(vec!["the file `/run/broken` cannot be read".into()]));
    }

    #[test]
    fn without_an_environment_defaults_count_and_the_rest_is_a_placeholder() {
        let known = expand("${A:-x}", None).expect("expands");
        assert!(known.known && !known.literal && known.value == "x");
        let granted = expand("${A}-${file:/run/b}-${C:-c}", None).expect("expands");
        assert!(!granted.known && granted.granted == ["A", "file:/run/b"], "{granted:?}");
        assert!(expand("plain", None).expect("expands").literal);
    }

    #[test]
    fn debug_does_not_show_the_value() {
        assert!(!format!("{:?}", expand("secret", None)).contains("secret"));
    }
}
