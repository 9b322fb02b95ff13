//! What a script reads of its event, found once: only that is made for it in each run.
//!
//! Precise where the script says `event.member` or `event.data.member`; wherever the event, or its data, is used in any
//! other way (passed on, captured, indexed by a value, asked for its keys) it is taken to be read whole.

use std::collections::BTreeSet;

use rhai::{AST, ASTNode, Expr, Stmt};

use super::engine::{CTX, DATA, EVENT};

/// Members of a map.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Members {
    All,
    Only(BTreeSet<String>),
}

impl Members {
    pub(super) fn has(&self, name: &str) -> bool {
        match self {
            Self::All => true,
            Self::Only(names) => names.contains(name),
        }
    }

    fn add(&mut self, name: &str) {
        if let Self::Only(names) = self
            && !names.contains(name)
        {
            names.insert(name.to_owned());
        }
    }
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Reads {
    pub(super) event: Members,
    /// Of `event.data`, when that is read.
    pub(super) data: Members,
    pub(super) ctx: bool,
}

impl Reads {
    pub(super) fn all() -> Self {
        Self { event: Members::All, data: Members::All, ctx: true }
    }

    pub(super) fn of(ast: &AST) -> Self {
        let none = Members::Only(BTreeSet::new());
        let mut reads = Self { event: none.clone(), data: none, ctx: false };
        // Every `event` must be the head of a chain that is understood.
        let (mut heads, mut uses, mut captured) = (0_usize, 0_usize, false);
        ast.walk(&mut |path| {
            match path.last() {
                Some(ASTNode::Expr(Expr::Variable(variable, ..))) => {
                    uses += usize::from(variable.1 == EVENT);
                    reads.ctx |= variable.1 == CTX;
                }
                Some(ASTNode::Expr(Expr::Dot(parts, ..))) => {
                    if let Expr::Variable(variable, ..) = &parts.lhs
                        && variable.1 == EVENT
                        && reads.chain(&parts.rhs)
                    {
                        heads += 1;
                    }
                }
                Some(ASTNode::Expr(Expr::FnCall(call, _)) | ASTNode::Stmt(Stmt::FnCall(call, _))) => {
                    // `call!()` lends the function all variables.
                    captured |= call.capture_parent_scope;
                }
                Some(ASTNode::Stmt(Stmt::Share(_))) => captured = true,
                _ => {}
            }
            true
        });
        if captured || heads != uses { Self::all() } else { reads }
    }

    /// What follows `event.`; whether it is understood.
    fn chain(&mut self, rest: &Expr) -> bool {
        match rest {
            Expr::Property(property, _) => {
                self.event.add(&property.2);
                if property.2 == DATA {
                    self.data = Members::All;
                }
                true
            }
            Expr::Dot(parts, ..) | Expr::Index(parts, ..) => {
                let Expr::Property(property, _) = &parts.lhs else { return false };
                self.event.add(&property.2);
                if property.2 == DATA {
                    match (rest, member(&parts.rhs)) {
                        (Expr::Dot(..), Some(name)) => self.data.add(name),
                        _ => self.data = Members::All,
                    }
                }
                true
            }
            _ => false,
        }
    }
}

/// The property that a chain goes on with.
fn member(rest: &Expr) -> Option<&str> {
    match rest {
        Expr::Property(property, _) => Some(&property.2),
        Expr::Dot(parts, ..) | Expr::Index(parts, ..) => match &parts.lhs {
            Expr::Property(property, _) => Some(&property.2),
            _ => None,
        },
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reads(text: &str) -> Reads {
        Reads::of(&rhai::Engine::new_raw().compile(text).expect("a script"))
    }

    fn only(names: &[&str]) -> Members {
        Members::Only(names.iter().map(|name| (*name).to_owned()).collect())
    }

    #[test]
    fn members_that_are_named_are_read_alone() {
        let found = reads(
            r#"state.a = event.data.amount + event.data.items[0].price;
               if event.type == "T" && "x" in event.data.tags { emit("E", #{ at: event?.time, n: event.data?.note ?? 1 }) }
               switch event.data.status { "a" => event.data.b.len(), _ => `${event.data.c}` }
               for item in event.data.lines { state[item.sku] = event.data.rates[item.sku] }"#,
        );
        assert_eq!(found.event, only(&["data", "time", "type"]));
        assert_eq!(found.data, only(&["amount", "b", "c", "items", "lines", "note", "rates", "status", "tags"]));
        assert!(!found.ctx);
    }

    #[test]
    fn what_is_used_in_any_other_way_is_read_whole() {
        for whole in [
            "f(event)",
            "let e = event; e.data.x",
            "event[\"data\"].x",
            "event.keys()",
            "event.data.x + event[k]",
            "[event]",
            "#{ a: event }",
            "`${event}`",
            "if event == () { }",
            "\"id\" in event",
            "let f = || event.data.x; f.call()",
            "fn f() { 1 } f!()",
            "return event;",
            "event.data.x; throw event",
        ] {
            assert_eq!(reads(whole), Reads::all(), "{whole}");
        }
        for data in
            ["event.data", "f(event.data)", "event.data.keys()", "event.data[\"x\"]", "event.data.len() + event.data.x"]
        {
            assert_eq!(reads(data).data, Members::All, "{data}");
            assert_eq!(reads(data).event, only(&["data"]), "{data}");
        }
        assert_eq!(reads("event.headers[\"x\"]"), Reads { event: only(&["headers"]), data: only(&[]), ctx: false });
    }

    #[test]
    fn a_script_without_a_look_at_the_context_gets_none() {
        assert!(!reads("state.n = 1").ctx);
        assert!(reads("state.n = ctx.attempt").ctx);
        assert!(reads("let f = || ctx.attempt; f.call()").ctx);
    }
}
