//! Calls as arguments of their scripts; `commit.lua` and `lookup.lua` tell the order.

use std::io::Write as _;
use std::time::Duration;

use redis::{Cmd, RedisWrite as _};

use super::layout;
use crate::event::{ContentDigest, MarkId};
use crate::store::{Commit, Condition, Group, Lookup, MarkStatus, Write};

pub fn lookup(cmd: &mut Cmd, lookup: &Lookup) {
    cmd.arg(lookup.marks.len());
    lookup.marks.iter().for_each(|mark| push(cmd, &mark.0));
    cmd.arg(lookup.keys.len());
    for key in &lookup.keys {
        cmd.arg(key.key.as_str()).arg(key.line.len());
        for part in &key.line {
            push(cmd, &part.from.0);
            push(cmd, &part.to.0);
            // The server counts in signed numbers.
            cmd.arg(i64::try_from(part.limit).unwrap_or(i64::MAX));
        }
    }
    cmd.arg(lookup.dead.len());
    lookup.dead.iter().for_each(|id| push(cmd, &id.0));
}

/// `commit` has passed [`contract::check`](crate::store::contract::check).
pub fn commit(cmd: &mut Cmd, commit: &Commit, retain: Duration) {
    push(cmd, &commit.writer.0);
    cmd.arg(commit.expected_number).arg(commit.now.0).arg(u64::try_from(retain.as_millis()).unwrap_or(u64::MAX));
    let small = |group: &Group| group.touch.as_ref().is_none_or(|touch| touch.record.len() <= READ_WHOLE);
    cmd.arg(u8::from(commit.groups.iter().all(small)));
    cmd.arg(commit.cleared.len());
    for number in &commit.cleared {
        cmd.arg(*number);
    }
    cmd.arg(commit.returned.len());
    commit.returned.iter().for_each(|id| push(cmd, &id.0));
    cmd.arg(commit.groups.len());
    commit.groups.iter().for_each(|group| head(cmd, group));
    commit.groups.iter().for_each(|group| match new_event(group) {
        Some(event) => one(cmd, &event),
        None => body(cmd, group),
    });
}

/// Up to this size of the new ones, bytes, the records in place are read whole rather than one by one.
const READ_WHOLE: usize = 4096;

fn head(cmd: &mut Cmd, group: &Group) {
    match &group.touch {
        None => (0..4).for_each(|_| push(cmd, b"")),
        Some(touch) => {
            cmd.arg(touch.key.as_str());
            push(cmd, touch.expected.as_ref().map_or(&[], |nonce| &nonce.0));
            let mut record = cmd.writer_for_next_arg();
            let whole = [&touch.new.0, &*touch.record].into_iter().try_for_each(|part| record.write_all(part));
            whole.expect("a buffer in memory takes all");
            drop(record);
            match touch.timer {
                Some(due) => cmd.arg(due.0),
                None => cmd.arg(""),
            };
        }
    }
}

/// A group that handles one event, not seen before, and does nothing else: most are.
struct NewEvent<'a> {
    mark: &'a MarkId,
    remembered: [u8; 9],
    emissions: &'a [Write],
}

fn new_event(group: &Group) -> Option<NewEvent<'_>> {
    let ([Condition::Unmarked(mark)], [Write::Mark { id, status, content }, emissions @ ..]) =
        (&*group.conditions, &*group.writes)
    else {
        return None;
    };
    let only = mark == id && emissions.iter().all(|write| matches!(write, Write::Emit(_)));
    only.then(|| NewEvent { mark, remembered: remembered(*status, content), emissions })
}

fn one(cmd: &mut Cmd, event: &NewEvent<'_>) {
    push(cmd, b"N");
    push(cmd, &event.mark.0);
    push(cmd, &event.remembered);
    cmd.arg(event.emissions.len());
    for write in event.emissions {
        if let Write::Emit(body) = write {
            push(cmd, body);
        }
    }
}

fn remembered(status: MarkStatus, content: &ContentDigest) -> [u8; 9] {
    let mut value = [layout::status_byte(status); 9];
    value[1..].copy_from_slice(&content.0);
    value
}

fn body(cmd: &mut Cmd, group: &Group) {
    cmd.arg(group.conditions.len());
    for condition in &group.conditions {
        match condition {
            Condition::Unmarked(id) => push(cmd, &tagged(b'U', id, b"")),
            Condition::Parked(id) => push(cmd, &tagged(b'P', id, b"")),
            Condition::DeadOpen { id, generation } => push(cmd, &tagged(b'D', id, generation.to_string().as_bytes())),
            Condition::Owed(number) => push(cmd, format!("O{number}").as_bytes()),
        }
    }
    cmd.arg(group.writes.len());
    for write in &group.writes {
        match write {
            Write::Mark { id, status, content } => {
                push(cmd, &tagged(b'M', id, &remembered(*status, content)));
            }
            Write::Park(parked) => {
                let key = &group.touch.as_ref().expect("the contract check refuses to park without a key").key;
                push(cmd, &tagged(b'P', &parked.mark, b""));
                push(cmd, &layout::encode_parked(key, parked));
            }
            Write::Unpark { mark } => push(cmd, &tagged(b'U', mark, b"")),
            Write::Emit(body) => {
                push(cmd, b"E");
                push(cmd, body);
            }
            Write::Unowe(number) => push(cmd, format!("O{number}").as_bytes()),
            Write::Dead { id, body } => {
                push(cmd, &tagged(b'D', id, b""));
                push(cmd, body);
            }
            Write::CloseDead { id, body } => {
                push(cmd, &tagged(b'C', id, b""));
                push(cmd, body);
            }
        }
    }
}

fn push(cmd: &mut Cmd, bytes: &[u8]) {
    cmd.arg(bytes);
}

fn tagged(tag: u8, id: &MarkId, rest: &[u8]) -> Vec<u8> {
    let mut argument = Vec::with_capacity(17 + rest.len());
    argument.push(tag);
    argument.extend_from_slice(&id.0);
    argument.extend_from_slice(rest);
    argument
}
