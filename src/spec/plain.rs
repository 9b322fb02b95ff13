//! YAML values that stand for JSON.

use serde_json::{Map, Number, Value};

/// The same value as JSON; an error where JSON has none.
pub fn json(value: &serde_yaml::Value) -> Result<Value, String> {
    Ok(match value {
        serde_yaml::Value::Null => Value::Null,
        serde_yaml::Value::Bool(value) => Value::Bool(*value),
        serde_yaml::Value::String(text) => Value::String(text.clone()),
        serde_yaml::Value::Number(number) => Value::Number(self::number(number)?),
        serde_yaml::Value::Sequence(items) => items.iter().map(json).collect::<Result<Value, _>>()?,
        serde_yaml::Value::Mapping(members) => {
            let member = |(name, member): (&serde_yaml::Value, &serde_yaml::Value)| {
                let name = name.as_str().ok_or("a name of a member is not a text")?;
                Ok::<_, String>((name.to_owned(), json(member)?))
            };
            Value::Object(members.iter().map(member).collect::<Result<Map<_, _>, _>>()?)
        }
        serde_yaml::Value::Tagged(_) => return Err("tags (`!name`) mean nothing here".to_owned()),
    })
}

fn number(number: &serde_yaml::Number) -> Result<Number, String> {
    let whole = number.as_i64().map(Number::from).or_else(|| number.as_u64().map(Number::from));
    let number = whole.or_else(|| number.as_f64().and_then(Number::from_f64));
    number.ok_or_else(|| "JSON has no such number".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json as expected;

    #[test]
    fn what_yaml_says_is_said_in_json() {
        let yaml = serde_yaml::from_str("{ a: [1, -2, 1.5, true, null, x], b: { c: 18446744073709551615 } }");
        let found = json(&yaml.expect("YAML"));
        assert_eq!(found, Ok(expected!({ "a": [1, -2, 1.5, true, null, "x"], "b": { "c": u64::MAX } })));
    }

    #[test]
    fn what_json_cannot_say_is_refused() {
        for bad in [".nan", ".inf", "{ a: [.nan] }"] {
            assert!(json(&serde_yaml::from_str(bad).expect("YAML")).is_err(), "{bad}");
        }
    }
}
