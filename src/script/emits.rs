//! What a script may emit, as far as that is written in it.

use std::collections::BTreeSet;

use rhai::{AST, ASTNode, Expr, Stmt};

/// What is emitted by the text of a script, or of a file that it imports.
#[derive(Debug, Default)]
pub(super) struct Emitted {
    /// Types that stand in calls of `emit`.
    pub(super) types: BTreeSet<String>,
    /// There are calls by a type that is computed, or by another name.
    pub(super) others: bool,
}

impl Emitted {
    pub(super) fn of(ast: &AST) -> Self {
        let mut emitted = Self::default();
        ast.walk(&mut |path| {
            match path.last() {
                Some(ASTNode::Expr(Expr::FnCall(call, _)) | ASTNode::Stmt(Stmt::FnCall(call, _))) => {
                    match (call.name.as_str(), call.args.first()) {
                        _ if call.is_qualified() => {}
                        ("emit", Some(Expr::StringConstant(kind, _))) => drop(emitted.types.insert(kind.to_string())),
                        ("emit" | "Fn", _) => emitted.others = true,
                        _ => {}
                    }
                }
                Some(ASTNode::Expr(Expr::MethodCall(call, _))) => emitted.others |= call.name == "emit",
                _ => {}
            }
            true
        });
        emitted
    }

    pub(super) fn may_be(&self, kind: &str) -> bool {
        self.others || self.types.contains(kind)
    }
}
