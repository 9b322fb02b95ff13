//! What a caller of [`Store::commit`](super::Store::commit) owes; the same for every implementation. A breach is a
//! bug of ours, refused before it can write anything.

use super::{Commit, Condition, Group, StoreError, Write};
use crate::event::{ChannelName, Key, MarkId, Partition};

/// How keys are spread over partitions; its vector is checked against the store at every start.
pub(super) const KEY_HASH: &str = "sha256-be64-mod";

/// Pins how keys and events are digested: a program that digests otherwise would look in the wrong places.
pub(super) fn digest_vector(partitions: u16) -> String {
    let key = Key::new("sluice-vector").expect("short and not empty");
    format!("{}:{}", key.partition(partitions).0, MarkId::of_event("vector", "1", &key).hex())
}

pub(super) fn check(commit: &Commit, partitions: u16) -> Result<(), StoreError> {
    check_partition(commit.partition, partitions)?;
    // Groups are judged one by one against what was there before the call, so they must not meet.
    let mut keys: Vec<&Key> = commit.groups.iter().filter_map(|group| Some(&group.touch.as_ref()?.key)).collect();
    keys.sort_unstable();
    if keys.windows(2).any(|pair| pair[0] == pair[1]) {
        return Err(bug("two groups of a commit touch one key"));
    }
    let groups = commit.groups.iter().enumerate();
    let mut items: Vec<(Item, usize)> =
        groups.flat_map(|(index, group)| items(group).map(move |item| (item, index))).collect();
    items.sort_unstable();
    if items.windows(2).any(|pair| pair[0].0 == pair[1].0 && pair[0].1 != pair[1].1) {
        return Err(bug("two groups of a commit are about one event or outbox entry"));
    }
    for group in &commit.groups {
        for write in &group.writes {
            match write {
                Write::Park(parked) if parked.also == Some(parked.place) => {
                    return Err(bug("an event is parked twice at one place"));
                }
                Write::Park(_) | Write::Unpark { .. } if group.touch.is_none() => {
                    return Err(bug("a group without a key parks or unparks"));
                }
                _ => {}
            }
        }
    }
    Ok(())
}

pub(super) fn check_partition(partition: Partition, partitions: u16) -> Result<(), StoreError> {
    if partition.0 < partitions {
        return Ok(());
    }
    Err(bug(&format!("partition {} is named, and there are {partitions}", partition.0)))
}

/// A partition stands lower in a channel than a runner left it, or nowhere.
pub(super) fn position_lost(partition: Partition, channel: &ChannelName, found: Option<u64>) -> StoreError {
    let found = found.map_or("no position".to_owned(), |found| format!("position {found}"));
    StoreError::TailLost(format!("partition {} knows {found} of `{channel}`, and was told a later one", partition.0))
}

fn bug(what: &str) -> StoreError {
    StoreError::Refused(format!("the store refused a call: {what}; please report this as a bug"))
}

/// What a group claims for itself.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
enum Item {
    Event(MarkId),
    Dead(MarkId),
    Owed(u64),
}

fn items(group: &Group) -> impl Iterator<Item = Item> {
    let conditions = group.conditions.iter().map(|condition| match condition {
        Condition::Unmarked(id) | Condition::Parked(id) => Item::Event(*id),
        Condition::DeadOpen { id, .. } => Item::Dead(*id),
        Condition::Owed(number) => Item::Owed(*number),
    });
    let writes = group.writes.iter().filter_map(|write| match write {
        Write::Mark { id, .. } | Write::Unpark { mark: id } => Some(Item::Event(*id)),
        Write::Park(parked) => Some(Item::Event(parked.mark)),
        Write::Dead { id, .. } | Write::CloseDead { id, .. } => Some(Item::Dead(*id)),
        Write::Unowe(number) => Some(Item::Owed(*number)),
        Write::Emit(_) => None,
    });
    conditions.chain(writes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn vector_of_the_store_format() {
        assert_eq!(digest_vector(16), "15:bbd9905df5db99bb7be84ef4bc0ad476");
    }
}
