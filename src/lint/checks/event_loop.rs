//! Handlers that answer each other for ever.
//!
//! A step leads from a subscription to those that take what its handler emits by a literal type. What handlers emit in
//! other ways is not seen, so a loop may be missed; one that is told is written in the files.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use crate::lint::{Findings, Project};
use crate::spec::locate::NodePath;
use crate::spec::program::{Channel, ChannelKind, Pipeline, Subscription};

/// Steps of a circle that a message spells out.
const MOST_SHOWN: usize = 6;

/// A subscription: the pipeline's place in the program, and its own in the pipeline.
type Node = (usize, usize);

/// One emission that another subscription takes.
#[derive(Clone, Copy, Debug)]
struct Step {
    from: Node,
    /// Its place among the pipeline's `emits`.
    emit: usize,
    to: Node,
}

pub fn check(project: &Project<'_>, findings: &mut Findings) {
    let mut steps = steps(project);
    leave_out_ends(&mut steps);
    let mut told = BTreeSet::new();
    for start in steps.keys() {
        if told.contains(start) {
            continue;
        }
        let Some(circle) = circle(&steps, *start) else { continue };
        told.extend(circle.iter().map(|step| step.from));
        let pipeline = |node: Node| &*project.program.pipelines[node.0];
        let says = |step: &Step| {
            let of = pipeline(step.from);
            let (taken, emitted) = (&of.subscriptions[step.from.1].event, &of.emits[step.emit].event);
            format!("`{taken}` makes `{}` emit `{emitted}`", of.name)
        };
        let mut message = circle.iter().take(MOST_SHOWN).map(says).collect::<Vec<_>>().join(", and ");
        if circle.len() > MOST_SHOWN {
            message.push_str(&format!(", and so on, back to the first after {} steps", circle.len()));
        }
        let Some(first) = circle.first() else { continue };
        let path = NodePath::default().key("emits").index(first.emit).key("event");
        let help = "one event may cause others without an end; break the circle, or allow it here if a handler ends it";
        findings.add(project.at(&pipeline(first.from).file, &path), message, help);
    }
}

fn steps(project: &Project<'_>) -> BTreeMap<Node, Vec<Step>> {
    let pipelines = &project.program.pipelines;
    let mut takers: BTreeMap<&str, Vec<(Node, &Subscription)>> = BTreeMap::new();
    for (at, pipeline) in pipelines.iter().enumerate() {
        for (nth, subscription) in pipeline.subscriptions.iter().enumerate() {
            takers.entry(&subscription.event).or_default().push(((at, nth), subscription));
        }
    }
    let mut steps: BTreeMap<Node, Vec<Step>> = BTreeMap::new();
    for (at, pipeline) in pipelines.iter().enumerate().filter(|(_, pipeline)| !pipeline.emits.is_empty()) {
        for (nth, subscription) in pipeline.subscriptions.iter().enumerate() {
            let from = (at, nth);
            for (emit, to) in emitted(pipeline, subscription) {
                for (taker, taking) in takers.get(pipeline.emits[emit].event.as_str()).into_iter().flatten() {
                    let channel = |name| project.program.channels.get(name);
                    let reaches = |read| channel(to).zip(channel(read)).is_some_and(|(to, read)| flows(to, read));
                    if taking.from.iter().any(reaches) {
                        steps.entry(from).or_default().push(Step { from, emit, to: *taker });
                    }
                }
            }
        }
    }
    steps
}

/// Most projects have chains and no circle. Looking for one from each of their nodes would take time that grows with the
/// square of their length.
fn leave_out_ends(steps: &mut BTreeMap<Node, Vec<Step>>) {
    let mut onward: BTreeMap<Node, usize> = steps.iter().map(|(node, steps)| (*node, steps.len())).collect();
    let mut before: BTreeMap<Node, Vec<Node>> = BTreeMap::new();
    for step in steps.values().flatten() {
        before.entry(step.to).or_default().push(step.from);
    }
    let mut ends: Vec<Node> = before.keys().filter(|node| !onward.contains_key(node)).copied().collect();
    while let Some(end) = ends.pop() {
        for node in before.get(&end).into_iter().flatten() {
            if let Some(left) = onward.get_mut(node) {
                *left -= 1;
                ends.extend((*left == 0).then_some(*node));
            }
        }
    }
    steps.retain(|node, _| onward.get(node).is_some_and(|left| *left > 0));
}

/// What a handler emits, and where to.
fn emitted<'p>(
    pipeline: &'p Pipeline,
    subscription: &'p Subscription,
) -> impl Iterator<Item = (usize, &'p crate::event::ChannelName)> {
    let types = subscription.handler.emits();
    let emits = pipeline.emits.iter().enumerate().filter(move |(_, emit)| types.contains(&emit.event));
    emits.flat_map(|(at, emit)| emit.to.iter().map(move |channel| (at, channel)))
}

/// The shortest way back to where it began.
fn circle(steps: &BTreeMap<Node, Vec<Step>>, start: Node) -> Option<Vec<Step>> {
    let mut came: BTreeMap<Node, Step> = BTreeMap::new();
    let mut next = VecDeque::from([start]);
    while let Some(node) = next.pop_front() {
        for step in steps.get(&node).into_iter().flatten() {
            if came.contains_key(&step.to) {
                continue;
            }
            came.insert(step.to, *step);
            if step.to != start {
                next.push_back(step.to);
                continue;
            }
            let mut way = vec![*step];
            while let Some(first) = way.last().filter(|first| first.from != start) {
                way.push(*came.get(&first.from)?);
            }
            way.reverse();
            return Some(way);
        }
    }
    None
}

/// Whether what is published to one channel is read from another.
fn flows(to: &Channel, read: &Channel) -> bool {
    let same_stream = match (&to.kind, &read.kind) {
        (ChannelKind::Local(to), ChannelKind::Local(read)) => to.stream == read.stream,
        (
            ChannelKind::Nats { connection: to, stream: into, .. },
            ChannelKind::Nats { connection: read, stream: out, .. },
        ) => to == read && into == out,
        _ => false,
    };
    let subject = |to: &String| read.kind.subjects().iter().any(|read| meet(to, read));
    to.name == read.name || (same_stream && to.kind.subjects().iter().any(subject))
}

/// Whether a subject can be both: `*` and what is filled in stand for one token, `>` for the rest.
fn meet(one: &str, other: &str) -> bool {
    let open = |token: &str| token == "*" || token.contains('{');
    let (mut one, mut other) = (one.split('.'), other.split('.'));
    loop {
        match (one.next(), other.next()) {
            (None, None) | (Some(">"), Some(_)) | (Some(_), Some(">")) => return true,
            (Some(a), Some(b)) if a == b || open(a) || open(b) => {}
            _ => return false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn subjects_meet_where_one_event_can_be_in_both() {
        for (one, other) in
            [("a.b", "a.b"), ("a.b", "a.*"), ("a.b.c", "a.>"), ("a.{key}", "a.b"), ("{type}.x", "a.*"), ("a", ">")]
        {
            assert!(meet(one, other) && meet(other, one), "{one} {other}");
        }
        for (one, other) in [("a.b", "a.c"), ("a.b", "a"), ("a", "a.>"), ("a.b.c", "a.*"), ("a.{key}", "b.x")] {
            assert!(!meet(one, other) && !meet(other, one), "{one} {other}");
        }
    }

    fn steps(of: &[(usize, &[usize])]) -> BTreeMap<Node, Vec<Step>> {
        let step = |from: usize, to: usize| Step { from: (from, 0), emit: 0, to: (to, 0) };
        of.iter().map(|(from, to)| ((*from, 0), to.iter().map(|to| step(*from, *to)).collect())).collect()
    }

    #[test]
    fn what_only_leads_to_an_end_is_left_out() {
        let mut steps = steps(&[(0, &[1, 2]), (1, &[0, 3]), (2, &[3, 3]), (3, &[4])]);
        leave_out_ends(&mut steps);
        assert_eq!(steps.keys().map(|node| node.0).collect::<Vec<_>>(), [0, 1]);
    }

    #[test]
    fn the_way_back_is_the_shortest() {
        let steps = steps(&[(0, &[1, 2]), (1, &[3]), (2, &[0]), (3, &[0])]);
        let way = circle(&steps, (0, 0)).expect("a circle");
        let nodes: Vec<_> = way.iter().map(|step| (step.from.0, step.to.0)).collect();
        assert_eq!(nodes, [(0, 2), (2, 0)]);
    }
}
