//! What the worker does under the mutants that write marks apart from their effects.

use crate::event::Partition;
use crate::flow::worker::{Fatal, Worker};
use crate::mutant::{self, Mutant};
use crate::store::{Commit, Group, Write};

impl Worker {
    /// Marks before: committed here, on their own. Marks after: returned, to be committed later.
    pub(in crate::flow) async fn break_apart(
        &mut self,
        commits: &mut [Commit],
    ) -> Result<Vec<(Partition, Group)>, Fatal> {
        if mutant::on(Mutant::MarkBefore) {
            self.mark_before(commits).await?;
        }
        Ok(if mutant::on(Mutant::MarkAfter) { take_marks(commits) } else { Vec::new() })
    }

    /// Mutant: the marks are written first, on their own.
    pub(in crate::flow) async fn mark_before(&mut self, commits: &mut [Commit]) -> Result<(), Fatal> {
        let marks = take_marks(commits);
        for group in commits.iter_mut().flat_map(|commit| &mut commit.groups) {
            group.conditions.clear();
        }
        self.commit_marks(marks).await?;
        for commit in commits {
            commit.expected_number = self.numbers.get(&commit.partition).copied().unwrap_or(0);
        }
        Ok(())
    }

    /// Mutants: writes marks that were taken out of their groups.
    pub(in crate::flow) async fn commit_marks(&mut self, marks: Vec<(Partition, Group)>) -> Result<(), Fatal> {
        for (partition, group) in marks {
            let commit = Commit { groups: vec![group], cleared: Vec::new(), ..self.commit_to(partition) };
            for answer in self.context.store.commit(vec![commit]).await {
                answer.map_err(|error| Fatal::Broken(error.to_string()))?;
                *self.numbers.entry(partition).or_default() += 1;
            }
        }
        Ok(())
    }
}

/// Mutants: takes the mark writes out of all groups, one group a partition.
pub(in crate::flow) fn take_marks(commits: &mut [Commit]) -> Vec<(Partition, Group)> {
    let mut taken = Vec::new();
    for commit in commits {
        let mut writes = Vec::new();
        for group in &mut commit.groups {
            let (marks, rest) = std::mem::take(&mut group.writes)
                .into_iter()
                .partition::<Vec<_>, _>(|write| matches!(write, Write::Mark { .. }));
            group.writes = rest;
            writes.extend(marks);
        }
        taken.push((commit.partition, Group { writes, ..Group::default() }));
    }
    taken
}
