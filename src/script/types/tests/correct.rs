//! Scripts that do nothing wrong: nothing is told of them.

use super::corpus::{compiled, corpora, engine};
use super::*;

#[test]
fn nothing_is_told_of_scripts_that_do_nothing_wrong() {
    let engine = engine();
    let (mut wrong, mut all) = (Vec::new(), 0);
    for corpus in corpora() {
        // That one is about a state that another handler writes.
        for script in corpus.scripts.iter().filter(|script| script.name != "an emission of the state") {
            all += 1;
            let told = match compiled(&engine, &script.text) {
                Ok(compiled) => shown(&corpus.check(&compiled)),
                Err(problems) => {
                    problems.iter().map(|problem| format!("{:?} {}", problem.span, problem.message)).collect()
                }
            };
            if !told.is_empty() {
                wrong.push(format!("{}: {}: {told:?}\n{}", corpus.name, script.name, script.text));
            }
        }
    }
    assert!(wrong.is_empty(), "{} of {all}\n{}", wrong.len(), wrong.join("\n"));
}

/// Without a `type` the members of an object say nothing of what is none.
#[test]
fn what_need_not_be_an_object_may_be_anything() {
    let inner = json!({ "properties": { "name": { "type": "string" } } });
    let schema = json!({ "type": "object", "required": ["by"], "properties": { "by": inner } });
    let text = "state.nobody = event.data.by == \"nobody\"; if type_of(event.data.by) == \"string\" { skip(\"x\"); }";
    assert_eq!(told_of(Kind::Handler, text, &schema), [""; 0]);
}

#[test]
fn nothing_is_told_where_a_schema_says_nothing() {
    let text = "state.a = event.data.x.y + 1; if event.data.z { state.z = event.data.z - 1; }";
    for schema in [
        json!(true),
        json!({}),
        json!({ "type": "object" }),
        json!({ "properties": { "x": {} }, "if": { "required": ["x"] }, "then": { "required": ["z"] } }),
        json!({ "$ref": "#/$defs/a", "$defs": { "a": { "$ref": "#/$defs/a" } } }),
        json!({ "$ref": "https://example.com/order.json" }),
        json!({ "type": "object", "patternProperties": { "^x": { "type": "object" } }, "additionalProperties": false }),
    ] {
        let told = told_of(Kind::Handler, text, &schema);
        assert_eq!(told, Vec::<String>::new(), "{schema}");
    }
}
