//! What a script may emit, as far as that is written in it.

use std::collections::BTreeSet;

use rhai::{AST, ASTNode, Expr, Stmt};

/// Types that stand in calls of `emit`. One that is computed, or emitted by what is imported, is not among them.
pub(super) fn literal_types(ast: &AST) -> BTreeSet<String> {
    let mut types = BTreeSet::new();
    ast.walk(&mut |path| {
        if let Some(ASTNode::Expr(Expr::FnCall(call, _)) | ASTNode::Stmt(Stmt::FnCall(call, _))) = path.last()
            && call.name == "emit"
            && !call.is_qualified()
            && let Some(Expr::StringConstant(kind, _)) = call.args.first()
        {
            types.insert(kind.to_string());
        }
        true
    });
    types
}
