//! What is written to the state in a branch, and whether the script asks for it: then it may tell which way was taken.

use std::collections::HashSet;

use rhai::{AST, ASTNode, Expr, Stmt};

use super::super::engine::STATE;
use super::chain;

/// Members of the state that a script reads.
#[derive(Default)]
pub(super) struct Read {
    members: HashSet<String>,
    /// It does something with the state as a whole.
    whole: bool,
}

impl Read {
    pub(super) fn by(ast: &AST) -> Self {
        let (mut seen, mut read) = (Seen::default(), Self::default());
        ast.walk(&mut |path| {
            seen.node(path.last());
            true
        });
        read.whole = seen.whole != 0;
        read.members = seen.read;
        read
    }

    /// Whether all that these do to the state is to write members that nobody reads.
    pub(super) fn misses(&self, all: &[&[Stmt]]) -> bool {
        let mut seen = Seen::default();
        for statement in all.iter().copied().flatten() {
            statement.walk(&mut Vec::new(), &mut |path| {
                seen.node(path.last());
                true
            });
        }
        let unread = |name: &String| !self.members.contains(name);
        !self.whole && seen.whole == 0 && seen.read.is_empty() && seen.written.iter().all(unread)
    }
}

#[derive(Default)]
struct Seen {
    targets: HashSet<*const Expr>,
    written: HashSet<String>,
    read: HashSet<String>,
    /// Mentions of the state, without those that are of a member.
    whole: isize,
}

impl Seen {
    fn node(&mut self, node: Option<&ASTNode<'_>>) {
        match node {
            Some(ASTNode::Stmt(Stmt::Assignment(parts))) if parts.0.get_op_assignment_info().is_none() => {
                self.targets.insert(&raw const parts.1.lhs);
            }
            Some(ASTNode::Expr(Expr::Variable(variable, ..))) if variable.1 == STATE => self.whole += 1,
            Some(ASTNode::Expr(chain @ (Expr::Dot(..) | Expr::Index(..)))) => {
                let Some(name) = chain::member_of(chain, STATE) else { return };
                self.whole -= 1;
                let of = if self.targets.contains(&(&raw const **chain)) { &mut self.written } else { &mut self.read };
                of.insert(name.to_owned());
            }
            _ => {}
        }
    }
}
