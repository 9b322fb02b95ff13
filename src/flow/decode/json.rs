//! Bytes → JSON, after looking at the bytes for what a parser must not see.

use serde_json::Value;

use crate::spec::program::Limits;
use crate::store::record::Failure;

pub fn parse(bytes: &[u8], limits: &Limits) -> Result<Value, Failure> {
    // Depth is checked on the bytes: a parser that recurses must not see what is too deep for it.
    if depth_exceeds(bytes, limits.depth) {
        return Err(Failure::permanent("too_deep", format!("the payload nests deeper than {}", limits.depth)));
    }
    if let Err(error) = std::str::from_utf8(bytes) {
        return Err(Failure::permanent(
            "not_utf8",
            format!("the payload is not UTF-8 at byte {}", error.valid_up_to()),
        ));
    }
    if names_reserved_member(bytes) {
        let message = "the payload has a member whose name begins with `$serde_json::private::`, which is reserved";
        return Err(Failure::permanent("reserved_name", message));
    }
    // serde_json's message names line and column, never the content.
    serde_json::from_slice(bytes)
        .map_err(|error| Failure::permanent("not_json", format!("the payload is not JSON: {error}")))
}

/// Whether brackets nest deeper than `limit`, strings skipped. Malformed input may answer either way; it is
/// refused by the parser then.
fn depth_exceeds(bytes: &[u8], limit: usize) -> bool {
    // Nearly every payload ends here: too few brackets to be too deep.
    if memchr::memchr2_iter(b'{', b'[', bytes).take(limit.saturating_add(1)).count() <= limit {
        return false;
    }
    let (mut depth, mut in_string, mut escaped) = (0_usize, false, false);
    for byte in bytes {
        match byte {
            _ if escaped => escaped = false,
            b'\\' if in_string => escaped = true,
            b'"' => in_string = !in_string,
            _ if in_string => {}
            b'{' | b'[' => {
                depth += 1;
                if depth > limit {
                    return true;
                }
            }
            b'}' | b']' => depth = depth.saturating_sub(1),
            _ => {}
        }
    }
    false
}

/// Whether a member is named as `serde_json` spells numbers and raw JSON to itself: such an object would be read as
/// a number, as the JSON in a string (whose depth nobody checked), or as what is never read again once written.
fn names_reserved_member(bytes: &[u8]) -> bool {
    const RESERVED: &str = "$serde_json::private::";
    let contains = |part: &str| memchr::memmem::find(bytes, part.as_bytes()).is_some();
    // Nearly every payload ends here; a name may be spelled with escapes.
    if !contains(RESERVED) && !contains("\\u") {
        return false;
    }
    let mut rest = bytes;
    while let Some(start) = rest.iter().position(|byte| *byte == b'"') {
        let text = &rest[start..];
        let mut escaped = false;
        let end = text.iter().skip(1).position(|byte| {
            let closes = *byte == b'"' && !escaped;
            escaped = *byte == b'\\' && !escaped;
            closes
        });
        // An open string is no JSON: for the parser to refuse.
        let Some(end) = end.map(|end| end + 2) else { return false };
        rest = &text[end..];
        let is_name = rest.iter().find(|byte| !byte.is_ascii_whitespace()) == Some(&b':');
        if is_name && serde_json::from_slice::<String>(&text[..end]).is_ok_and(|name| name.starts_with(RESERVED)) {
            return true;
        }
    }
    false
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_member_that_would_be_read_as_something_else_is_refused() {
        let limits = Limits::default();
        for name in
            ["$serde_json::private::Number", "\\u0024serde_json::private::RawValue", "$serde_json::private::x\\\""]
        {
            for payload in
                [format!(r#"{{"data":{{"{name}":"1"}}}}"#), format!(r#"{{"data":{{"a":"\\","{name}" : "1"}}}}"#)]
            {
                assert_eq!(parse(payload.as_bytes(), &limits).expect_err(&payload).reason, "reserved_name");
            }
            let value = format!(r#"{{"data":["{name}", "\u0041:", {{"a\"":"{name}"}}]}}"#);
            assert!(parse(value.as_bytes(), &limits).is_ok(), "{value}");
        }
    }
}
