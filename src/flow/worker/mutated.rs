//! What only mutants do: marks in commits of their own.

use super::{Fatal, Worker};
use crate::event::Partition;
use crate::store::{Commit, Group, Write};

impl Worker {
    /// Mutant: the marks are written first, on their own.
    pub(super) async fn mark_before(&mut self, commits: &mut [Commit]) -> Result<(), Fatal> {
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
    pub(super) async fn commit_marks(&mut self, marks: Vec<(Partition, Group)>) -> Result<(), Fatal> {
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
pub(super) fn take_marks(commits: &mut [Commit]) -> Vec<(Partition, Group)> {
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
