//! Secrets that people write into `sluice.yaml` itself, hidden from the code frames that show its lines.

use super::PROJECT_FILE;

/// Keys whose values are secret.
const SECRET_KEYS: [&str; 3] = ["password", "token", "nkey"];

/// The text with secrets as stars, one for each character: every place in it stays where it is.
pub fn masked(text: &str) -> String {
    text.split_inclusive('\n').map(|line| credentials(&keys(line))).collect()
}

/// A text that parses as what was masked did. Stars would be an alias.
pub fn parsable(file: &str, text: &str) -> String {
    if file == PROJECT_FILE { text.replace('*', "x") } else { text.to_owned() }
}

/// `://user:password@`
fn credentials(line: &str) -> String {
    let mut out = String::with_capacity(line.len());
    let mut rest = line;
    while let Some(scheme) = rest.find("://") {
        let (before, after) = rest.split_at(scheme + 3);
        out.push_str(before);
        let authority = after.find(|c: char| c.is_whitespace() || matches!(c, '/' | '"' | '\'')).unwrap_or(after.len());
        let user = after[..authority].rfind('@').unwrap_or(0);
        out.push_str(&stars(&after[..user]));
        rest = &after[user..];
    }
    out + rest
}

/// `password: secret`, in block and in flow style.
fn keys(line: &str) -> String {
    let mut out = line.to_owned();
    for key in SECRET_KEYS {
        let mut from = 0;
        while let Some(at) = out[from..].find(key).map(|at| from + at) {
            from = at + key.len();
            let begins = out[..at].chars().next_back().is_none_or(|c| !c.is_alphanumeric() && c != '_');
            let Some(after) = out[from..].trim_start_matches(['"', '\'']).trim_start().strip_prefix(':') else {
                continue;
            };
            if !begins {
                continue;
            }
            let value = after.trim_start();
            let start = out.len() - value.len();
            let end = start + value_length(value);
            let hidden = stars(&out[start..end]);
            out.replace_range(start..end, &hidden);
            from = start + hidden.len();
        }
    }
    out
}

/// Bytes of a scalar: to its closing quote, or to what ends a plain one.
fn value_length(value: &str) -> usize {
    let Some(quote) = value.chars().next().filter(|c| matches!(c, '"' | '\'')) else {
        return value.find([',', '}', '\n', '\r']).unwrap_or(value.len());
    };
    value[1..].find(quote).map_or(value.trim_end().len(), |end| end + 2)
}

/// What only names a secret is shown.
fn stars(secret: &str) -> String {
    if secret.contains("${") {
        return secret.to_owned();
    }
    secret.chars().map(|c| if matches!(c, '"' | '\'') || c.is_whitespace() { c } else { '*' }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_become_stars_of_the_same_length() {
        for (text, hidden) in [
            ("url: redis://:pw@h/0", "url: redis://***@h/0"),
            ("url: \"nats://me:p@w@h\"", "url: \"nats://******@h\""),
            ("a: { password: pw, user: me }", "a: { password: **, user: me }"),
            ("  token: \"t o\"  # x\n", "  token: \"* *\"  # x\n"),
            ("\"nkey\": 'S,U'\n", "\"nkey\": '***'\n"),
            ("password:pw", "password:**"),
            ("token: ü", "token: *"),
        ] {
            assert_eq!(masked(text), hidden);
        }
    }

    #[test]
    fn what_is_no_secret_is_left() {
        for text in [
            "url: nats://h:4222",
            "token: \"${TOKEN}\"",
            "url: r://${U}:${P}@h",
            "passwords: 3",
            "my_token: x",
            "# token",
        ] {
            assert_eq!(masked(text), text);
        }
    }
}
