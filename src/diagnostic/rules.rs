//! Ids of everything that can be wrong. Ids are stable: people write them into issues and pipelines of their own.

/// Not YAML, not text, or not the shape that is asked for.
pub const INVALID: &str = "SG001";
pub const UNKNOWN_KEY: &str = "SG002";
pub const MISSING_FILE: &str = "SG003";
pub const UNDEFINED_VARIABLE: &str = "SG004";
pub const BAD_VALUE: &str = "SG005";
pub const DUPLICATE: &str = "SG006";
pub const SCHEMA: &str = "SG007";
pub const UPCAST: &str = "SG008";
pub const SCRIPT: &str = "SG009";
pub const CHANNEL: &str = "SG010";
pub const GUARANTEE: &str = "SG020";

pub struct Rule {
    pub id: &'static str,
    pub summary: &'static str,
}

/// Every rule, by id.
pub const RULES: &[Rule] = &[
    Rule { id: INVALID, summary: "a file is not valid YAML, or not the shape that is asked for" },
    Rule { id: UNKNOWN_KEY, summary: "a key that nothing reads" },
    Rule { id: MISSING_FILE, summary: "a file is missing, unreadable, too large, or outside the project" },
    Rule { id: UNDEFINED_VARIABLE, summary: "a variable is not set" },
    Rule { id: BAD_VALUE, summary: "a name, duration, size, version, path or address that cannot be used" },
    Rule { id: DUPLICATE, summary: "two things under one name" },
    Rule { id: SCHEMA, summary: "a schema is missing or broken" },
    Rule { id: UPCAST, summary: "an accepted version does not reach the newest by its upcasts" },
    Rule { id: SCRIPT, summary: "a script does not compile" },
    Rule { id: CHANNEL, summary: "a channel or connection cannot be used like this" },
    Rule { id: GUARANTEE, summary: "a setting weakens the guarantee" },
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rules_are_in_order_and_ids_unique() {
        assert!(RULES.windows(2).all(|pair| pair[0].id < pair[1].id));
    }
}
